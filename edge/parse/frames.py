"""Length-prefixed JSON over a pipe: what the pool and its workers speak."""

import json
import struct
from typing import IO, Any

_LENGTH = struct.Struct(">I")
MAX_FRAME = 1 << 28  # bytes; a worker gone wrong must not make the edge allocate what it claims


def write_frame(sink: IO[bytes], value: Any) -> None:
    """Write one JSON value; raises OSError if the other side is gone."""
    raw = json.dumps(value).encode("ascii")
    sink.write(_LENGTH.pack(len(raw)))
    sink.write(raw)
    sink.flush()


def read_frame(source: IO[bytes]) -> Any:
    """Read one JSON value; raises EOFError at the end of the stream, ValueError for what is no frame."""
    prefix = source.read(_LENGTH.size)
    if len(prefix) < _LENGTH.size:
        raise EOFError("the other side closed the pipe")
    (length,) = _LENGTH.unpack(prefix)
    if length > MAX_FRAME:
        raise ValueError("frame too long")
    raw = source.read(length)
    if len(raw) < length:
        raise EOFError("the other side closed the pipe within a frame")
    return json.loads(raw)
