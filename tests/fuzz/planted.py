"""A harness with a fault planted behind three lucky PDVs: fuzzing that does not find it proves nothing."""

from collections.abc import Iterator

from edge.association.faults import ProtocolFault
from edge.association.guard import fragments
from tests.fuzz import engine

WORDS = (b"\0\0\0\2\1\1",)


def target(data: bytes) -> None:
    """Fail once an input has been found that passes as three PDVs, the last of them a command's last."""
    try:
        found = [control for _, control, _ in fragments(memoryview(data))]
    except ProtocolFault:
        return
    if len(found) >= 3 and found[-1] == 3:
        raise RuntimeError("planted")


def seeds() -> Iterator[bytes]:
    """One PDV, from which three have to be found."""
    yield b"\0\0\0\2\1\1"


if __name__ == "__main__":
    engine.main("tests.fuzz.planted")
