"""Power cuts of a receiver in a User Mode Linux guest; the receiver is ours, or another for the negative controls."""

import itertools
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash import uml
from tests.crash.box import Box, settings
from tests.crash.checker import Verdict, check, check_any_part10, fingerprint, states
from tests.crash.evidence import Evidence
from tests.crash.ledger import Book, book
from tests.crash.verdict import Figures
from tests.nursery import REPOSITORY, Nursery

PORT = 11112  # the guest has a network of its own
SENDERS = 3
BURST = 12  # instances of each sender between two rests
UNTIL_SECONDS = 150  # how long a cut waits for what the console is to say first


@dataclass
class Tally(Figures):
    """What a series of cuts showed."""

    cuts: int = 0
    acked: int = 0
    refused: int = 0
    cuts_with_losses: int = 0
    losses: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)  # cuts that met at least one instance in the state

    def lines(self) -> list[str]:
        """Return the figures as text."""
        hit = ", ".join(f"{name}: {n}" for name, n in sorted(self.states.items()))
        lost = f"{len(self.losses)} lost in {self.cuts_with_losses} cuts"
        return [
            f"{self.cuts} power cuts, {self.acked} acknowledged, {self.refused} refused, {lost}",
            f"cuts that met each state: {hit}",
        ]


@dataclass(frozen=True)
class Cut:
    """One disk as a power cut left it, and what the senders had been told by then."""

    image: Path
    book: Book
    last: bool  # the machine was killed; the cuts before were taken from the running one


def edge_command(mount: Path, flush: str) -> str:
    """Return the shell line that runs our edge in the guest."""
    # Announced scans stay for a second before they are released, or hardly a cut would meet one.
    more = {"RETAIN_HOURS": "0.0003", "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    values = settings(mount, SCP_PORT=str(PORT), FLUSH=flush, LOGLEVEL="INFO", **more)
    environ = " ".join(f"{name}={value}" for name, value in values.items())
    return f"env {environ} {sys.executable} -m edge serve"


def storescp_command(mount: Path) -> str:
    """Return the shell line that runs dcmtk's storescp in the guest, keeping datasets bit by bit."""
    return f"mkdir -p {mount}/in; storescp +B --fork -od {mount}/in {PORT}"


def cuts(
    folder: Path,
    command: Callable[[Path], str],
    *,
    count: int,
    per_boot: int,
    seed: int,
    mount_options: str = "defaults",
    until: str = "",
    burst: int = BURST,
) -> Iterator[Cut]:
    """Yield ``count`` cuts: of each boot ``per_boot``, the last of them by killing the machine.

    They fall right after an answer was read, which is the worst moment. With ``until``, a text of the guest's console,
    each boot is given time to say it first, and half of the cuts fall at a random moment.
    """
    rng = random.Random(seed)
    template = folder / "template.img"
    uml.make_template(template)
    number = 0
    while number < count:
        image = folder / "disk.img"
        uml.copy_image(template, image)
        senders = [
            f"{sys.executable} -S {REPOSITORY}/tests/crash/sender.py --ledger console --port {PORT}"
            f" --seed {rng.randrange(1 << 30)} --largest 32768 --burst {burst} --rest 3"
            for _ in range(SENDERS)
        ]
        guest = uml.Guest(folder, image, [command(uml.guest_mount(folder)), *senders], mount_options)
        try:
            guest.watch_until(lambda: guest.acked() > 0, uml.BOOT_SECONDS)  # noqa: B023  # used at once
            if until:
                with suppress(TimeoutError):  # a slow guest is cut before; the tally says whether each state was met
                    guest.watch_until(lambda: any(until in line for line in guest.console), UNTIL_SECONDS)  # noqa: B023
            for nth in range(min(per_boot, count - number)):
                goal = guest.acked() + rng.randrange(1, 10)
                guest.watch_until(lambda: guest.acked() >= goal, uml.BOOT_SECONDS)  # noqa: B023
                if until and rng.random() < 0.5:
                    guest.watch(rng.random() * 3)
                number += 1
                last = nth == per_boot - 1 or number == count
                cut = folder / f"cut-{number}.img"
                if last:
                    guest.kill()
                with nullcontext() if last else guest.frozen():  # a guest that ran on would slow the judging of it
                    uml.copy_image(image, cut)
                    yield Cut(cut, book(guest.sent), last)
                cut.unlink(missing_ok=True)
        finally:
            guest.kill()


def cut_the_edge(
    folder: Path,
    nursery: Nursery,
    *,
    count: int,
    per_boot: int,
    seed: int,
    flush: str = "full",
    patient: bool = True,
    burst: int = BURST,
) -> Tally:
    """Cut the power of our edge, recover on each disk and judge: before the recovery, after it, and at the end.

    ``patient``: not before all stages run.
    """
    tally = Tally()
    until = "generation.announced" if flush == "full" and patient else ""
    made = cuts(
        folder,
        lambda mount: edge_command(mount, flush),
        count=count,
        per_boot=per_boot,
        seed=seed,
        until=until,
        burst=burst,
    )
    for cut in made:
        with uml.mounted(cut.image, folder) as disk:
            evidence = Evidence(disk / "spool", disk / "store")
            tally.states.update(states(evidence).keys())
            if flush == "full":
                verdicts = [check(evidence, cut.book, settled=False), *_recover(nursery, disk, cut)]
            else:  # a control counts what the edge's own recovery could not bring back either
                verdicts = list(itertools.islice(_recover(nursery, disk, cut), 1))
            _enter(tally, cut, [f for v in verdicts for f in v.faults])
    return tally


def cut_side_by_side(
    folder: Path, nursery: Nursery, *, count: int, per_boot: int, seed: int, machines: int, until: AbstractSet[str]
) -> Tally:
    """Cut the edge's power ``count`` times, on so many machines at once: one waits while another is judged.

    Each has a folder and a seed of its own. Where a state of ``until`` was not met by then, up to twice as many cuts
    follow: how far an edge comes in a moment depends on the machine.
    """

    def one(number: int) -> Tally:
        own = folder / f"machine-{number}"
        own.mkdir()
        # One boot of four is cut from the first answer on. The fewer come, the further each has got.
        how = {"count": per_boot, "per_boot": per_boot, "seed": seed + number, "patient": number % 4 > 0, "burst": 4}
        made = cut_the_edge(own, nursery, **how)
        shutil.rmtree(own)
        return made

    tally, numbers = Tally(), itertools.count()
    with ThreadPoolExecutor(machines) as pool:
        while not tally.faults and (tally.cuts < count or (until - set(tally.states) and tally.cuts < 3 * count)):
            for part in pool.map(one, itertools.islice(numbers, machines)):
                tally.add(part)
    return tally


def _recover(nursery: Nursery, disk: Path, cut: Cut) -> Iterator[Verdict]:
    box = Box(nursery, disk)
    box.start()
    try:
        box.kill()  # a running box moves under the checker's eyes
        yield check(box.evidence(), cut.book, settled=False)
        if cut.last:
            box.start()
            box.settle()
            box.kill()
            yield check(box.evidence(), cut.book, settled=True)
            before = fingerprint(box.evidence())
            box.start()
            box.kill()
            assert fingerprint(box.evidence()) == before, "a second recovery changed something"
    finally:
        box.kill()


def cut_storescp(folder: Path, *, count: int, per_boot: int, seed: int, mount_options: str = "defaults") -> Tally:
    """Cut the power of dcmtk's storescp: a control, which must show losses."""
    tally = Tally()
    made = cuts(folder, storescp_command, count=count, per_boot=per_boot, seed=seed, mount_options=mount_options)
    for cut in made:
        with uml.mounted(cut.image, folder) as disk:
            _enter(tally, cut, check_any_part10(disk / "in", cut.book))
    return tally


def _enter(tally: Tally, cut: Cut, faults: list[str]) -> None:
    unique = list(dict.fromkeys(faults))
    losses = [fault for fault in unique if fault.startswith("lost: ")]
    tally.cuts += 1
    tally.acked += len(cut.book.acked)
    tally.refused += cut.book.refused
    tally.losses += losses
    tally.faults += unique
    tally.cuts_with_losses += bool(losses)


def main() -> None:
    """`python -m tests.crash.power_cut FOLDER RECEIVER CUTS SEED`, RECEIVER: full, no-directory, none or storescp."""
    folder, receiver, count, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if receiver == "storescp":
        tally = cut_storescp(folder, count=count, per_boot=10, seed=seed)
    else:
        with Nursery() as nursery:
            tally = cut_the_edge(folder, nursery, count=count, per_boot=10, seed=seed, flush=receiver)
    print("\n".join([*tally.lines(), *tally.faults[:20]]))
    sys.exit(bool(tally.faults))


if __name__ == "__main__":
    main()
