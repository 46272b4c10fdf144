"""Fuzzes the header walk and the values of the index, on a file as a parse worker is given it.

Holds: ParseFault and nothing else; what is returned is JSON that any database takes (no NaN, no lone surrogate, no
NUL), of the type that the table of attributes names; warnings name keywords and quote no value; read twice alike.
"""

import json
import os
from typing import Any

from edge.contract.attributes import BY_LEVEL, SqlType
from edge.errors import ParseFault
from edge.index.header import read_header
from tests.fuzz import datasets, engine

WORDS = datasets.WORDS
seeds = datasets.seeds
_FILE = os.memfd_create("dataset")
_PATH = f"/proc/self/fd/{_FILE}"
_KINDS: dict[SqlType, tuple[type, ...]] = {
    SqlType.TEXT: (str,), SqlType.INTEGER: (int,), SqlType.FLOAT: (float,), SqlType.JSON: (list,),
}  # fmt: skip


def target(data: bytes) -> None:
    """The first byte chooses the syntax, the third and all after it are the dataset."""
    if len(data) < 2:
        return
    syntax = datasets.SYNTAXES[data[0] % len(datasets.SYNTAXES)]
    os.ftruncate(_FILE, 0)
    os.pwrite(_FILE, data[2:], 0)
    found = _read(syntax)
    if found is None:
        return
    text = json.dumps(found, allow_nan=False, ensure_ascii=False)
    text.encode("utf-8")
    assert "\\u0000" not in text
    assert "\0" not in text
    assert set(found) == {"attributes", "warnings", "import_warnings", "transfer_syntax_uid"}
    for level, attributes in BY_LEVEL.items():
        values = found["attributes"][level.value]
        assert set(values) == {a.keyword for a in attributes}
        for attribute in attributes:
            value = values[attribute.keyword]
            assert value is None or type(value) in _KINDS[attribute.sql_type], (attribute.keyword, type(value))
            assert value != ""
            if attribute.sql_type is SqlType.INTEGER and value is not None:
                assert abs(value) < 2**63
    assert all(w.isascii() and len(w) < 200 for w in found["warnings"])
    assert len(found["warnings"]) < 1000
    assert all(w.isascii() and len(w) < 300 for w in found["import_warnings"])
    assert len(found["import_warnings"]) < 100
    if data[1] % 8 == 0:  # the same again, in one input of eight
        assert _read(syntax) == found


def _read(syntax: str) -> dict[str, Any] | None:
    try:
        return read_header(_PATH, 0, syntax)
    except ParseFault as e:
        fault = e
    assert fault.hint
    assert str(fault).isascii()
    return None


if __name__ == "__main__":
    engine.main("tests.fuzz.header")
