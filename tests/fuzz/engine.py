"""Coverage-guided fuzzing with atheris (libFuzzer): starts a harness in a process of its own, within bounds.

A harness is a module with ``target(data)``, which raises for whatever must not happen, ``seeds()``, and ``WORDS`` to
build inputs of; ``python -m tests.fuzz.NAME [SECONDS [FOLDER]]`` runs it, and FOLDER keeps the corpus for the next run.
Time and memory of one input are libFuzzer's to judge; what is declared, and what must hold, are the target's.
"""

import importlib
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"  # inputs that once found something, kept by name
SECONDS_EACH = 10  # for one input, instrumented
MEGABYTES = 1024  # of the whole process
LONGEST = 8192  # bytes of one input; what costs memory by being long is in tests/attacks


@dataclass(frozen=True)
class Result:
    """How a run ended: 0 is nothing found; else ``output`` has the trace and ``artifact`` the input."""

    status: int
    executions: int
    covered: int  # edges of our code
    output: str
    artifact: bytes | None


def regressions(name: str) -> list[Path]:
    """Return the kept inputs of a harness."""
    return sorted((CORPUS / name.rpartition(".")[2]).glob("*"))


def run(name: str, seconds: float, folder: Path | None = None) -> Result:
    """Fuzz the harness module ``name`` for ``seconds``."""
    harness = importlib.import_module(name)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        (place / "seeds").mkdir()
        for n, seed in enumerate(harness.seeds()):
            (place / "seeds" / f"{n:04d}").write_bytes(seed)
        for path in regressions(name):
            (place / "seeds" / path.name).write_bytes(path.read_bytes())
        grown = folder or place / "grown"
        grown.mkdir(parents=True, exist_ok=True)
        (place / "words").write_text("".join(f'"{_escaped(word)}"\n' for word in harness.WORDS))
        done = subprocess.run(
            [
                # From a process of its own, for what is started by exec begins with the peak of who starts it, and
                # libFuzzer would take that of a large pytest for its own.
                "sh", "-c", '"$@"; exit $?', "sh",
                sys.executable, "-m", "tests.fuzz.engine", name,
                f"-max_total_time={seconds:.0f}", f"-timeout={SECONDS_EACH}", f"-rss_limit_mb={MEGABYTES}",
                f"-max_len={LONGEST}", f"-dict={place / 'words'}", f"-artifact_prefix={place}/found-",
                "-print_final_stats=1", str(grown), str(place / "seeds"),
            ],
            capture_output=True, text=True, errors="replace", timeout=seconds + 60, check=False,
        )  # fmt: skip
        output = done.stdout + done.stderr
        found = sorted(place.glob("found-*"))
        return Result(
            status=done.returncode,
            executions=_last(r"stat::number_of_executed_units: (\d+)", output),
            covered=_last(r"cov: (\d+)", output),
            output=output,
            artifact=found[0].read_bytes() if found else None,
        )


def main(name: str) -> None:
    """Be the command: fuzz, say what came of it, keep what was found beside the harness's regressions."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    result = run(name, seconds, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    print(f"{name}: {result.executions} executions, {result.covered} edges, exit status {result.status}")
    if result.status:
        print(result.output[-4000:])
        if result.artifact is not None:
            place = CORPUS / name.rpartition(".")[2] / "found"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(result.artifact)
            print(f"the input is kept in {place}; name it for what it shows")
    sys.exit(result.status)


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _last(pattern: str, text: str) -> int:
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def _fuzz(name: str, arguments: list[str]) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris

    # As in a parse worker (edge/parse/worker.py): no pixel is decoded, so nothing may need it.
    sys.modules["numpy"] = None
    with atheris.instrument_imports(include=["edge"]):
        harness = importlib.import_module(name)
    atheris.Setup([name, *arguments], harness.target)
    atheris.Fuzz()


if __name__ == "__main__":
    _fuzz(sys.argv[1], sys.argv[2:])
