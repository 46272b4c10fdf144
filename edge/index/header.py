"""Read the indexed attributes out of one received dataset; run in a parse worker, for the bytes may be hostile."""

import json
import os
from pathlib import Path
from typing import Any

from edge.contract.attributes import ATTRIBUTES, BY_LEVEL, Attribute, Level, SqlType
from edge.contract.healthimaging import import_problems
from edge.contract.syntaxes import BIG_ENDIAN_SYNTAXES, DEFLATED_SYNTAXES, IMPLICIT_SYNTAXES
from edge.errors import ParseFault
from edge.index.elements import Element, Walk
from edge.index.sources import InflatedSource, Source
from edge.index.values import Decoder

_CHARSET = 0x00080005
_MOST_CHARACTERS = 64 << 10  # of all indexed values of one instance; what they hold in images is a hundredth of that
#: Not indexed, but an import looks at them (edge.contract.healthimaging).
_ALSO_READ = (
    Attribute(Level.STUDY, "StudyID", 0x00200010, "SH", SqlType.TEXT),
    Attribute(Level.STUDY, "NumberOfStudyRelatedSeries", 0x00201206, "IS", SqlType.INTEGER),
    Attribute(Level.STUDY, "NumberOfStudyRelatedInstances", 0x00201208, "IS", SqlType.INTEGER),
)
_WANTED = frozenset(a.tag for a in (*ATTRIBUTES, *_ALSO_READ))
_SEQUENCES = frozenset(a.tag for a in ATTRIBUTES if a.sql_type is SqlType.JSON)


def read_header(path: str, dataset_offset: int, transfer_syntax_uid: str) -> dict[str, Any]:
    """Return ``attributes`` ({level: {keyword: value}}, every one of the table), ``warnings``, ``import_warnings``
    (what an import into HealthImaging would refuse, by keyword), ``transfer_syntax_uid``.

    The dataset is read from ``dataset_offset`` of the file to its end, in the transfer syntax named on the wire;
    its structure is followed to the end (deflated: to the pixel data), but no pixel value is read. Warnings name
    what was tolerated, by keyword. Raises ParseFault for a dataset that is empty, cut off or no such dataset.
    """
    little_endian = transfer_syntax_uid not in BIG_ENDIAN_SYNTAXES
    deflated = transfer_syntax_uid in DEFLATED_SYNTAXES
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size - dataset_offset
        if size <= 0:
            raise _empty()
        file.seek(dataset_offset)
        source = (InflatedSource if deflated else Source)(file, size)
        walk = Walk(source, implicit=transfer_syntax_uid in IMPLICIT_SYNTAXES, little_endian=little_endian)
        found: dict[int, Element] = {}
        for element in walk.elements(_WANTED, _SEQUENCES.__contains__):
            if found.setdefault(element.tag, element) is not element:
                walk.warnings.append("an indexed element stands there twice, the first one counts")
    if not walk.count:
        raise _empty()
    charset = found.get(_CHARSET)
    decoder = Decoder(charset.value if charset else None, little_endian=little_endian, warn=walk.warnings.append)
    attributes = _attributes(found, decoder)
    values = {keyword: value for row in attributes.values() for keyword, value in row.items()}
    values |= {a.keyword: decoder.value(a, found[a.tag]) for a in _ALSO_READ if a.tag in found}
    import_warnings = list(import_problems(values, transfer_syntax_uid=transfer_syntax_uid, size=size))
    _leave_out_the_longest(attributes, walk.warnings)
    return {
        "attributes": attributes,
        "warnings": list(dict.fromkeys(walk.warnings)),
        "import_warnings": import_warnings,
        "transfer_syntax_uid": transfer_syntax_uid,
    }


def _attributes(found: dict[int, Element], decoder: Decoder) -> dict[str, dict[str, Any]]:
    return {
        level.value: {a.keyword: decoder.value(a, found[a.tag]) if a.tag in found else None for a in attributes}
        for level, attributes in BY_LEVEL.items()
    }


def _leave_out_the_longest(values: dict[str, dict[str, Any]], warnings: list[str]) -> None:
    """Keep an instance's attributes to a size of which journal, manifest and memory can hold thousands."""
    sizes = [(len(json.dumps(v)), level, k) for level, row in values.items() for k, v in row.items() if v is not None]
    total = sum(size for size, _, _ in sizes)
    for size, level, keyword in sorted(sizes, reverse=True):
        if total <= _MOST_CHARACTERS:
            return
        values[level][keyword] = None
        total -= size
        warnings.append(f"{keyword} is left out: all indexed values together are too long")


def _empty() -> ParseFault:
    return ParseFault("the dataset is empty", hint="the sender sent no data; ask it to send the instance again")
