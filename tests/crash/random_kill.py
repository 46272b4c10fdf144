"""SIGKILL of the edge at random moments, under eight senders that come back after every restart."""

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests import waiting
from tests.crash.box import Box, start_sender
from tests.crash.checker import check, fingerprint, states
from tests.crash.ledger import Book, load
from tests.crash.verdict import Figures
from tests.nursery import Nursery

SENDERS = 8
BURST = 12  # instances a sender sends in one life of the edge: a study, so that generations close in between


@dataclass
class Tally(Figures):
    """What a series of kills showed."""

    kills: int = 0
    acked: int = 0
    unanswered: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)  # kills that met at least one instance in the state

    def lines(self) -> list[str]:
        """Return the figures as text."""
        hit = ", ".join(f"{name}: {n}" for name, n in sorted(self.states.items()))
        answers = f"{self.acked} acknowledged, {self.unanswered} unanswered, {self.refused} refused"
        return [f"{self.kills} kills, {answers}, {len(self.faults)} faults", f"kills that met each state: {hit}"]


def kill_at_random(
    folder: Path,
    nursery: Nursery,
    *,
    kills: int,
    per_box: int,
    seed: int,
    boxes: int = 1,
    longest: float = 4.0,
    more: tuple[str, ...] = (),
    until: AbstractSet[str] = frozenset(),
) -> Tally:
    """Kill ``kills`` times, each box ``per_box`` times, ``boxes`` of them at once: one is judged while another runs.

    ``more`` is told to the senders. Where a state of ``until`` was not met by then, up to twice as many kills follow,
    each time after longer lives: how far an edge comes in a moment depends on the machine.
    """
    rng = random.Random(seed)
    tally = Tally()
    with ThreadPoolExecutor(boxes) as pool:

        def one(own_seed: int) -> Tally:
            return _kill_one_box(folder / f"box-{own_seed}", nursery, per_box, own_seed, longest, more)

        while not tally.faults and (tally.kills < kills or (until - set(tally.states) and tally.kills < 3 * kills)):
            for part in pool.map(one, [rng.randrange(1 << 30) for _ in range(boxes)]):
                tally.add(part)
            if tally.kills >= kills:
                longest *= 2
    return tally


def _kill_one_box(
    folder: Path, nursery: Nursery, kills: int, seed: int, longest: float, more: tuple[str, ...]
) -> Tally:
    """Kill one box, 0 to ``longest`` seconds after each start (recovery included, early more often), and judge.

    Each kill is judged on what it left, before the next start touches it; at the end everything once more, settled,
    and recovery a second time, which must change nothing.
    """
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    # Announced scans stay for a second before they are released, or hardly a kill would meet one.
    box = Box(nursery, folder / "box", RETAIN_HOURS="0.0003")
    ledgers = [folder / f"ledger-{n}.jsonl" for n in range(SENDERS)]
    for path in ledgers:
        path.touch()  # the edge may be killed before the last sender is up
    senders = [
        start_sender(path, rng.randrange(1 << 30), box.listening, "--burst", BURST, "--largest", 100 << 10, *more)
        for path in ledgers
    ]
    tally = Tally()
    try:
        box.start()
        _await_acks(ledgers, 1)
        while tally.kills < kills and not tally.faults:  # a fault's evidence is left as it is
            time.sleep(rng.random() ** 2 * longest)  # the random moment itself
            box.kill()
            tally.kills += 1
            tally.states.update(states(box.evidence()).keys())
            tally.faults += check(box.evidence(), load(ledgers), settled=False).faults
            if not tally.faults:
                box.begin()
    finally:
        _stop(senders)
    if not tally.faults:
        tally.faults += _judge_the_end(box, ledgers)
    book = load(ledgers)
    tally.acked, tally.unanswered, tally.refused = len(book.acked), len(book.unanswered), book.refused
    return tally


def _judge_the_end(box: Box, ledgers: list[Path]) -> list[str]:
    box.kill()
    box.start()
    box.settle()
    box.kill()
    faults = check(box.evidence(), load(ledgers), settled=True).faults
    before = fingerprint(box.evidence())
    box.start()
    box.kill()
    if fingerprint(box.evidence()) != before:
        faults.append("recovery: a second one changed something")
    return faults


def _await_acks(ledgers: list[Path], count: int) -> Book:
    def answered() -> Book | None:
        book = load(ledgers)
        return book if len(book.acked) >= count else None

    return waiting.until(answered, f"{count} are acknowledged")


def _stop(senders: "list[subprocess.Popen[bytes]]") -> None:
    for sender in senders:
        sender.terminate()
    for sender in senders:
        sender.wait(30)


def main() -> None:
    """`python -m tests.crash.random_kill FOLDER KILLS SEED`."""
    folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    with Nursery() as nursery:
        tally = kill_at_random(folder, nursery, kills=kills, per_box=25, boxes=2, seed=seed)
    print("\n".join([*tally.lines(), *tally.faults[:20]]))
    sys.exit(bool(tally.faults))


if __name__ == "__main__":
    main()
