"""Read the indexed attributes out of one received dataset; run in a parse worker, for the bytes may be hostile."""

import os
from pathlib import Path
from typing import Any

from edge.contract.attributes import ATTRIBUTES, BY_LEVEL, SqlType
from edge.contract.deflated import DEFLATED_SYNTAXES
from edge.errors import ParseFault
from edge.index.elements import Element, Walk
from edge.index.sources import InflatedSource, Source
from edge.index.values import Decoder

# PS3.5 A.1, A.2, A.3, A.5. Any other syntax is encapsulated or unknown to us, and PS3.5 A.4 has explicit VR little
# endian for those. The private and the retired one are those of implicit VR that senders still use.
_IMPLICIT = frozenset({"1.2.840.10008.1.2", "1.2.840.113619.5.2", "1.2.840.10008.1.20"})
_BIG_ENDIAN = "1.2.840.10008.1.2.2"

_CHARSET = 0x00080005
_WANTED = frozenset(a.tag for a in ATTRIBUTES)
_SEQUENCES = frozenset(a.tag for a in ATTRIBUTES if a.sql_type is SqlType.JSON)


def read_header(path: str, dataset_offset: int, transfer_syntax_uid: str) -> dict[str, Any]:
    """Return ``attributes`` ({level: {keyword: value}}, every one of the table), ``warnings``, ``transfer_syntax_uid``.

    The dataset is read from ``dataset_offset`` of the file to its end, in the transfer syntax named on the wire;
    its structure is followed to the end (deflated: to the pixel data), but no pixel value is read. Warnings name
    what was tolerated, by keyword. Raises ParseFault for a dataset that is empty, cut off or no such dataset.
    """
    little_endian = transfer_syntax_uid != _BIG_ENDIAN
    deflated = transfer_syntax_uid in DEFLATED_SYNTAXES
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size - dataset_offset
        if size <= 0:
            raise _empty()
        file.seek(dataset_offset)
        source = (InflatedSource if deflated else Source)(file, size)
        walk = Walk(source, implicit=transfer_syntax_uid in _IMPLICIT, little_endian=little_endian)
        found: dict[int, Element] = {}
        for element in walk.elements(_WANTED, _SEQUENCES.__contains__):
            if found.setdefault(element.tag, element) is not element:
                walk.warnings.append("an indexed element stands there twice, the first one counts")
    if not walk.count:
        raise _empty()
    return {
        "attributes": _attributes(found, little_endian, walk.warnings),
        "warnings": list(dict.fromkeys(walk.warnings)),
        "transfer_syntax_uid": transfer_syntax_uid,
    }


def _attributes(found: dict[int, Element], little_endian: bool, warnings: list[str]) -> dict[str, dict[str, Any]]:
    charset = found.get(_CHARSET)
    decoder = Decoder(charset.value if charset else None, little_endian=little_endian, warn=warnings.append)
    return {
        level.value: {a.keyword: decoder.value(a, found[a.tag]) if a.tag in found else None for a in attributes}
        for level, attributes in BY_LEVEL.items()
    }


def _empty() -> ParseFault:
    return ParseFault("the dataset is empty", hint="the sender sent no data; ask it to send the instance again")
