"""Edits: the tagged object from the received one and back, whatever the bytes (D5)."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract.edits import Edit, read_tagged, read_untagged, tagged_size


class Trickle(io.BytesIO):
    """A stream that gives one byte less than asked for, as a network does."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read short."""
        return super().read(max(1, size - 1) if size and size > 1 else size)


@st.composite
def edited(draw: st.DrawFn) -> tuple[bytes, bytes, list[Edit]]:
    """Return received bytes, tagged bytes and the edits between them."""
    received, tagged, edits = b"", b"", []
    for kept, old, new in draw(
        st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=5), st.binary(max_size=5)))
    ):
        received, tagged = received + kept, tagged + kept
        edits.append(Edit(len(tagged), new, old))
        received, tagged = received + old, tagged + new
    rest = draw(st.binary(max_size=9))
    return received + rest, tagged + rest, edits


@given(edited(), st.integers(1, 20))
def test_D5_edits_lead_there_and_back(case: tuple[bytes, bytes, list[Edit]], chunk: int) -> None:
    """Any edits give the tagged bytes, and the received ones again; in pieces, from a slow stream, through JSON."""
    received, tagged, edits = case
    edits = [Edit.from_json(edit.to_json()) for edit in edits]
    for stream in (io.BytesIO, Trickle):
        assert b"".join(read_tagged(stream(received), edits, chunk)) == tagged
        assert b"".join(read_untagged(stream(tagged), edits, chunk)) == received
    assert tagged_size(len(received), edits) == len(tagged)


@given(edited(), st.integers(0), st.integers(1, 255))
def test_D5_a_tagged_object_that_was_changed_never_passes_as_the_received_one(
    case: tuple[bytes, bytes, list[Edit]], offset: int, flip: int
) -> None:
    """Untag of damaged bytes is a ValueError, or differs from what was received: the digest then tells."""
    received, tagged, edits = case
    if not tagged:
        return
    damaged = bytearray(tagged)
    damaged[offset % len(tagged)] ^= flip
    try:
        back = b"".join(read_untagged(io.BytesIO(bytes(damaged)), edits))
    except ValueError:
        return
    assert back != received


@pytest.mark.parametrize(
    "edits",
    [
        [Edit(4, b"x"), Edit(2, b"y")],
        [Edit(1, b"xyz", b"b"), Edit(2, b"y")],
        [Edit(-1, b"x")],
        [Edit(2, b"x", b"?")],
        [Edit(9, b"x")],
    ],
    ids=["out of order", "overlapping", "before the file", "other old bytes", "behind the end"],
)
def test_D5_edits_that_do_not_fit_are_refused(edits: list[Edit]) -> None:
    """Edits out of order, overlapping or of other bytes are a ValueError, never a wrong object."""
    with pytest.raises(ValueError, match="edit"):
        b"".join(read_tagged(io.BytesIO(b"abcdefg"), edits))


def test_D5_an_edit_that_is_not_there_cannot_be_undone() -> None:
    """Untag of an object that was never tagged is a ValueError."""
    with pytest.raises(ValueError, match="not in the tagged object"):
        b"".join(read_untagged(io.BytesIO(b"abcdefg"), [Edit(2, b"x")]))


def test_D5_json_of_an_edit_is_read_strictly() -> None:
    """Text that is not base64 is refused, not read as something else."""
    with pytest.raises(ValueError, match=r"base64|padding"):
        Edit.from_json({"Offset": 1, "New": "e*A==", "Old": ""})
