"""One value makes and undoes the tagged object of every transfer syntax."""

import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract.deflated import DeflateFault
from edge.contract.edits import Edit
from edge.contract.syntaxes import DEFLATED_SYNTAXES
from edge.contract.tagging import Tagging, dataset_of

HEAD = b"preamble and File Meta"
EXPLICIT = "1.2.840.10008.1.2.1"


class Wire(io.RawIOBase):
    """A network stream: forward only, and less at a time than it was asked for."""

    def __init__(self, raw: bytes, most: int) -> None:
        self._raw, self._most = io.BytesIO(raw), most

    def read(self, size: int = -1) -> bytes:
        return self._raw.read(min(size, self._most) if size >= 0 else self._most)


def deflate(raw: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return engine.compress(raw) + engine.flush()


@given(
    st.sampled_from([EXPLICIT, *sorted(DEFLATED_SYNTAXES)]),
    st.binary(min_size=10, max_size=2000).map(lambda data: data * 100),
    st.integers(0, 900),
    st.integers(1, 5000),
)
def test_D5_every_syntax_is_tagged_and_taken_back_from_a_stream(syntax: str, data: bytes, at: int, most: int) -> None:
    """What is taken back from the tagged object is what can be restored of the received one, in pieces of any size."""
    received = HEAD + (data if syntax == EXPLICIT else deflate(data))
    tagging = Tagging(syntax, len(HEAD), (Edit(len(HEAD) + at, b"ATRIUID", data[at : at + 3]),))
    tagged = b"".join(tagging.read_tagged(io.BytesIO(received)))
    assert tagged[: len(HEAD)] == HEAD
    assert tagging.keeps_original == (syntax != EXPLICIT)
    back = b"".join(tagging.read_untagged(Wire(tagged, most)))
    assert back == HEAD + data
    assert back == b"".join(tagging.read_restorable(io.BytesIO(received)))
    assert b"".join(dataset_of(iter([back[:5], back[5:]]), len(HEAD))) == data


@pytest.mark.parametrize("syntax", sorted(DEFLATED_SYNTAXES))
def test_D5_without_edits_a_deflated_object_stays_as_it_was_received(syntax: str) -> None:
    """Nothing is inflated or deflated anew where nothing is inserted, damaged or not; no original is needed."""
    received = HEAD + b"no deflated stream at all"
    tagging = Tagging(syntax, len(HEAD), ())
    assert not tagging.keeps_original
    for read in (tagging.read_tagged, tagging.read_untagged, tagging.read_restorable):
        assert b"".join(read(io.BytesIO(received))) == received


def test_D5_damage_is_told_while_taking_back() -> None:
    """A tagged object that is cut short or altered gives an error, never other bytes as if they were received."""
    data = bytes(range(256)) * 40
    tagging = Tagging(min(DEFLATED_SYNTAXES), len(HEAD), (Edit(len(HEAD) + 9, b"ATRIUID"),))
    tagged = b"".join(tagging.read_tagged(io.BytesIO(HEAD + deflate(data))))
    for damaged in (tagged[:-9], tagged + bytes(20)):
        with pytest.raises(DeflateFault):
            b"".join(tagging.read_untagged(io.BytesIO(damaged)))
    other = HEAD + deflate(data)
    with pytest.raises(ValueError, match="not in the tagged object"):
        b"".join(tagging.read_untagged(io.BytesIO(other)))
