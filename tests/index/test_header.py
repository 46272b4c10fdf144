"""The header reader: every sample of pydicom's, every encoding, and the damage and the bombs that senders send."""

import json
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.filewriter import write_dataset
from pydicom.multival import MultiValue

from edge.contract.attributes import ATTRIBUTES, SqlType
from edge.errors import ParseFault
from edge.index.header import read_header
from edge.parse.pool import ParsePool

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, JPEG, PRIVATE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50", "1.3.6.1.4.1.99999.1"
PAPYRUS, GE = "1.2.840.10008.1.20", "1.2.840.113619.5.2"  # implicit VR under other names
READ = "edge.index.header:read_header"
SECRET = "Zzsecret"

Read = Callable[..., dict[str, Any]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read dataset bytes that lie behind some others in a file."""

    def read(data: bytes, syntax: str = EXPLICIT) -> dict[str, Any]:
        path = tmp_path / "object"
        path.write_bytes(b"before" + data)
        return read_header(str(path), 6, syntax)

    return read


def encode(dataset: Dataset, syntax: str = EXPLICIT) -> bytes:
    """The dataset's bytes in a transfer syntax, as a sender would write them."""
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = syntax in (IMPLICIT, PAPYRUS, GE), syntax != BIG
    write_dataset(out, dataset)
    raw = out.getvalue()
    if syntax != DEFLATED:
        return raw
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(raw) + packer.flush()


def full_dataset() -> Dataset:
    """An invented image that has every indexed attribute."""
    dataset = Dataset()
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "T-1", "SRT", "knee"
    for a in ATTRIBUTES:
        value: Any = {"US": 16, "IS": "7", "DS": "1.5", "SQ": [code], "UI": "1.2.3", "DA": "20200102"}.get(a.vr)
        value = value or {"TM": "0102", "DT": "20200102030405"}.get(a.vr, f"V_{a.keyword.upper()}"[:16])
        dataset.add_new(a.tag, a.vr, value)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "", "AXIAL"]
    dataset.ImagePositionPatient = ["1.0", "-2", "3e1"]
    return dataset


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    """One explicit little endian element with a 16-bit length, odd ones too."""
    return tag.to_bytes(4, "little")[2:] + tag.to_bytes(4, "little")[:2] + vr + len(value).to_bytes(2, "little") + value


def long_element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """One explicit little endian element with a 32-bit length; as an item if ``vr`` is empty."""
    length = len(value) if length is None else length
    head = tag.to_bytes(4, "little")[2:] + tag.to_bytes(4, "little")[:2]
    return head + (vr + b"\0\0" if vr else b"") + length.to_bytes(4, "little") + value


ITEM, ITEM_END, SEQUENCE_END, OPEN = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0xFFFFFFFF
SOP = element(0x00080018, b"UI", b"1.2.3\0")


def samples() -> Iterator[Any]:
    """Every Part 10 file of pydicom and pydicom-data that names its transfer syntax."""
    store = find_spec("data_store")
    assert store is not None
    folders = [Path(str(pydicom.__file__)).parent / "data", *map(Path, store.submodule_search_locations or [])]
    for path in sorted(p for folder in folders for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            if path.stat().st_size < 132 or file.read(132)[128:] != b"DICM":
                continue
            file.seek(0)
            read_preamble(file, force=False)
            meta = _read_file_meta_info(file)
            if "TransferSyntaxUID" in meta:
                yield path, file.tell(), str(meta.TransferSyntaxUID)


CUT_OFF = {"MR_truncated.dcm", "rtplan_truncated.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm"}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_E033_every_sample_of_pydicoms_reads_as_pydicom_reads_it() -> None:
    """Over 200 real objects: the same values as pydicom's own reader, and only the cut off ones are refused."""
    refused, seen, syntaxes = set(), 0, set()
    for path, offset, syntax in samples():
        seen += 1
        syntaxes.add(syntax)
        try:
            found = read_header(str(path), offset, syntax)["attributes"]
        except ParseFault:
            refused.add(path.name)
            continue
        expected = pydicom.dcmread(path, stop_before_pixels=True)
        for a in ATTRIBUTES:
            value = found[a.level.value][a.keyword]
            if a.vr == "PN" and value:
                value = value.rstrip("=")  # pydicom drops empty groups at the end, the index keeps what was written
            assert value == as_indexed(a.sql_type, expected.get(a.keyword)), path.name
    assert refused == CUT_OFF
    assert seen > 200
    assert len(syntaxes) >= 11


def as_indexed(kind: SqlType, value: Any) -> Any:
    """What pydicom says, by the rules of the attribute table."""
    if value is None or value == "" or (isinstance(value, (MultiValue, list)) and not value):
        return None
    if kind is SqlType.JSON:
        return [item.to_json_dict() for item in value] or None
    if kind is SqlType.INTEGER:
        return int(value)
    if kind is SqlType.FLOAT:
        return float(value)
    if isinstance(value, MultiValue):
        return "\\".join(str(v).strip() for v in value)
    return str(value).strip() or None


@pytest.mark.parametrize("syntax", [IMPLICIT, PAPYRUS, GE, EXPLICIT, BIG, DEFLATED, JPEG, PRIVATE])
def test_E005_every_encoding_gives_the_same_attributes(read: Read, syntax: str) -> None:
    """Implicit, explicit, big endian, deflated, encapsulated and unknown syntaxes: one and the same result."""
    dataset = full_dataset()
    dataset.add_new(
        0x7FE00010, "OB" if syntax == JPEG else "OW", encapsulate([b"12" * 50]) if syntax == JPEG else b"1234"
    )
    dataset["PixelData"].is_undefined_length = syntax == JPEG
    found = read(encode(dataset, syntax), syntax)
    assert found["warnings"] == []
    assert found["transfer_syntax_uid"] == syntax
    values = {k: v for level in found["attributes"].values() for k, v in level.items()}
    assert values.keys() == {a.keyword for a in ATTRIBUTES}
    assert [k for k, v in values.items() if v is None] == []
    assert (values["ImageType"], values["ImagePositionPatient"]) == ("ORIGINAL\\\\AXIAL", "1.0\\-2\\3e1")
    assert (values["Rows"], values["SeriesNumber"], values["RescaleSlope"]) == (16, 7, 1.5)
    assert values["ProcedureCodeSequence"] == [
        {
            "00080100": {"vr": "SH", "Value": ["T-1"]},
            "00080102": {"vr": "SH", "Value": ["SRT"]},
            "00080104": {"vr": "LO", "Value": ["knee"]},
        }
    ]


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED, JPEG])
def test_D1_a_dataset_cut_within_an_element_is_a_fault(read: Read, syntax: str) -> None:
    """Of every length that a cut can leave, only those between two elements (and padding) can be read."""
    dataset = Dataset()
    dataset.SOPInstanceUID, dataset.PatientID, dataset.Rows = "1.2.3", "P", 5
    dataset.ProcedureCodeSequence = [Dataset()]
    dataset.ProcedureCodeSequence[0].CodeValue = "X"
    dataset["ProcedureCodeSequence"].is_undefined_length = True
    whole = encode(dataset, syntax)
    pixels = long_element(0x7FE00010, b"OB", long_element(ITEM, b"", b"") + long_element(ITEM, b"", b"abcd"), OPEN)
    if syntax == JPEG:
        whole += pixels + long_element(SEQUENCE_END, b"", b"")
    readable = []
    for cut in range(len(whole)):
        with suppress(ParseFault):
            read(whole[:cut], syntax)
            readable.append(cut)
    # Four elements make three places to cut between them; a deflated stream has an end of its own, and in big
    # endian the first byte of the next tag is zero, so it may be padding.
    assert len(readable) == {DEFLATED: 0, JPEG: 4, BIG: 6}.get(syntax, 3)
    read(whole, syntax)


def test_D1_an_empty_dataset_is_a_fault(read: Read) -> None:
    """No bytes, and zero bytes only, are told as such."""
    for data in (b"", b"\0\0\0"):
        with pytest.raises(ParseFault, match="empty"):
            read(data)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n" * 10, b"\xff" * 100, bytes(range(256)), b"%PDF-1.4" * 9])
def test_D1_what_is_no_dataset_is_a_fault_without_its_bytes(read: Read, data: bytes) -> None:
    """Anything can be sent as a dataset; the fault names the cause and none of the content."""
    with pytest.raises(ParseFault) as caught:
        read(data)
    assert not re.search("GET|HTTP|PDF", str(caught.value) + caught.value.hint)


@pytest.mark.parametrize(
    ("charset", "raw", "text", "warned"),
    [
        ("ISO_IR 100", "Müller".encode("latin-1"), "Müller", False),
        ("ISO_IR 192", "山田^太郎".encode(), "山田^太郎", False),
        ("GB18030", "王^小东".encode("gb18030"), "王^小东", False),
        ("\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎", False),
        ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ".encode("shift_jis"), "ﾔﾏﾀﾞ^ﾀﾛｳ", False),
        ("ISO_IR 192", b"M\xfcller", "M\ufffdller", True),
        ("ISO_IR 999", "Müller".encode(), "Müller", True),
        ("zlib", "Müller".encode(), "Müller", True),
        ("ISO_IR\0 1", b"M\xfcller", "Müller", True),
        ("", "Müller".encode(), "Müller", True),
        ("", b"M\xfcller", "Müller", True),
        ("ISO_IR 192", b"\xed\xa0\x80", "\ufffd\ufffd\ufffd", True),
        ("ISO_IR 192", b"A\0B\0", "AB", False),
    ],
)
def test_names_in_every_character_set_and_in_damaged_ones(
    read: Read, charset: str, raw: bytes, text: str, warned: bool
) -> None:
    """A right character set is decoded; a wrong, unknown or missing one warns and keeps what can be read."""
    found = read(element(0x00080005, b"CS", charset.encode()) + SOP + element(0x00100010, b"PN", raw))
    assert found["attributes"]["Patient"]["PatientName"] == text
    assert bool(found["warnings"]) is warned
    assert all("ller" not in w for w in found["warnings"])


@pytest.mark.parametrize(
    ("vr", "raw", "value"),
    [
        (b"IS", b"12 ", 12), (b"IS", b"-3", -3), (b"IS", b"1.0", 1), (b"IS", b"1.5", None), (b"IS", b"abc", None),
        (b"IS", b"", None), (b"IS", b"1_000", None), (b"IS", b"1e400", None), (b"IS", b"9" * 400, None),
        (b"IS", "\u0661".encode(), None), (b"IS", b"4\\5", 4), (b"UN", b"6 ", 6),
    ],
)  # fmt: skip
def test_fault_20_integers_that_are_none_are_null(read: Read, vr: bytes, raw: bytes, value: int | None) -> None:
    """An IS becomes an integer that any database takes, or NULL."""
    data = element(0x00200011, vr, raw) if vr == b"IS" else long_element(0x00200011, vr, raw)
    assert read(SOP + data)["attributes"]["Series"]["SeriesNumber"] == value


@pytest.mark.parametrize("raw", [b"nan", b"inf", b"-Infinity", b"1e999", b"x", b" "])
def test_fault_20_numbers_that_json_does_not_know_are_null(read: Read, raw: bytes) -> None:
    """A DS that is no finite number is NULL."""
    assert read(SOP + element(0x00281053, b"DS", raw))["attributes"]["Instance"]["RescaleSlope"] is None


def test_fault_20_long_values_are_not_cut_and_empty_dates_are_null(read: Read) -> None:
    """300 characters come out as 300; an empty or blank date is None, never ''."""
    found = read(
        SOP
        + element(0x00080020, b"DA", b"")
        + element(0x00080030, b"TM", b"  ")
        + element(0x00081030, b"LO", b"x" * 300)
        + element(0x00204000, b"LT", b"  leading, kept \\ one value  ")
    )["attributes"]
    assert found["Study"]["StudyDescription"] == "x" * 300
    assert (found["Study"]["StudyDate"], found["Study"]["StudyTime"]) == (None, None)
    assert found["Instance"]["ImageComments"] == "  leading, kept \\ one value"


def test_quirks_that_senders_have_are_tolerated(read: Read) -> None:
    """Group lengths, odd lengths, private and UN sequences, missing VRs and padding do not hide an attribute."""
    inner = element(0x00080100, b"SH", b"X ")
    implicit_inner = bytes.fromhex("08000001") + (2).to_bytes(4, "little") + b"X "
    item = long_element(ITEM, b"", inner, OPEN) + long_element(ITEM_END, b"", b"")
    un_item = long_element(ITEM, b"", implicit_inner, OPEN) + long_element(ITEM_END, b"", b"")
    end = long_element(SEQUENCE_END, b"", b"")
    found = read(
        element(0x00080000, b"UL", b"\x10\0\0\0")
        + SOP
        + element(0x00080060, b"CS", b"CT\0")  # odd
        + long_element(0x00081032, b"UN", un_item + end, OPEN)
        + long_element(0x00091010, b"SQ", item + end, OPEN)
        + long_element(0x00091011, b"UN", un_item + end, OPEN)
        + long_element(0x00091012, b"ZZ", b"a VR of the future")
        + bytes.fromhex("10001000") + (4).to_bytes(4, "little") + b"Doe "  # implicit VR in between
        + element(0x00100020, b"LO", b"P1")
        + element(0x00100020, b"LO", b"P2")
        + b"\0\0\0"
    )  # fmt: skip
    assert found["attributes"]["Patient"]["PatientID"] == "P1"
    assert found["attributes"]["Patient"]["PatientName"] == "Doe"
    assert found["attributes"]["Series"]["Modality"] == "CT"
    assert found["attributes"]["Study"]["ProcedureCodeSequence"] == [{"00080100": {"vr": "SH", "Value": ["X"]}}]
    assert len(found["warnings"]) == 3


@pytest.mark.parametrize(("written", "named"), [(IMPLICIT, EXPLICIT), (EXPLICIT, IMPLICIT)])
def test_the_wrong_vr_encoding_is_found_out(read: Read, written: str, named: str) -> None:
    """A sender that names explicit and writes implicit VR, or the other way round, is read with a warning."""
    found = read(encode(full_dataset(), written), named)
    assert found["attributes"]["Study"]["StudyDate"] == "20200102"
    assert len(found["warnings"]) == 1


def test_missing_uids_are_left_to_the_caller(read: Read) -> None:
    """A readable dataset without UIDs is no parse fault; every attribute is there, as None."""
    found = read(element(0x00100020, b"LO", b"P1"))["attributes"]
    assert found["Instance"]["SOPInstanceUID"] is None
    assert found["Study"]["StudyInstanceUID"] is None


def nested(depth: int, tag: int) -> bytes:
    """Sequences in sequences, all of undefined length, properly closed."""
    opening = long_element(tag, b"SQ", b"", OPEN) + long_element(ITEM, b"", b"", OPEN)
    closing = long_element(ITEM_END, b"", b"") + long_element(SEQUENCE_END, b"", b"")
    return opening * depth + closing * depth


def test_D5_an_element_that_cannot_be_read_costs_itself_not_the_object(read: Read) -> None:
    """A US of one byte in an item of an indexed sequence (found by fuzzing) is left out; what is beside it stays."""
    odd = long_element(ITEM, b"", element(0x00080100, b"SH", b"CODE") + element(0x00280010, b"US", b"\0"))
    found = read(SOP + long_element(0x00081032, b"SQ", odd) + element(0x00100020, b"LO", b"P1"))
    assert found["attributes"]["Study"]["ProcedureCodeSequence"] == [{"00080100": {"vr": "SH", "Value": ["CODE"]}}]
    assert found["attributes"]["Patient"]["PatientID"] == "P1"
    assert found["warnings"] == ["ProcedureCodeSequence: an element in it cannot be read, left out"]


def test_D5_deep_nesting_costs_an_attribute_or_the_object_never_the_reader(read: Read) -> None:
    """400 levels in an indexed sequence leave that one out; in another they cost nothing; 100,000 are refused."""
    after = element(0x00100020, b"LO", b"P1")
    found = read(SOP + nested(400, 0x00081032) + after)
    assert found["attributes"]["Study"]["ProcedureCodeSequence"] is None
    assert found["attributes"]["Patient"]["PatientID"] == "P1"
    assert found["warnings"] == ["ProcedureCodeSequence: damaged or nested too deep, left out"]
    assert read(SOP + nested(400, 0x00081111) + after)["warnings"] == []
    with pytest.raises(ParseFault, match="nest"):
        read(SOP + nested(100_000, 0x00081032))


@pytest.fixture
def small_pool() -> Iterator[ParsePool]:
    """Give a worker with 96 MiB of address space, interpreter and pydicom included."""
    pool = ParsePool(memory_mb=96, timeout_seconds=60)
    yield pool
    pool.close()


def test_D5_a_deflate_bomb_is_refused_within_small_memory(tmp_path: Path, small_pool: ParsePool) -> None:
    """About 1 MiB that inflates to 256 MiB of header is refused; of pixel data it is not even inflated."""
    packer = zlib.compressobj(1, wbits=-15)
    zeros = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    for tag, outcome in ((0x00091010, "inflates to more than 64 MiB"), (0x7FE00010, None)):
        head = zlib.compressobj(wbits=-15)
        start = head.compress(SOP + long_element(tag, b"OB", b"", 256 << 20)) + head.flush(zlib.Z_FULL_FLUSH)
        (tmp_path / "bomb").write_bytes(start + zeros)
        arguments = {"path": str(tmp_path / "bomb"), "dataset_offset": 0, "transfer_syntax_uid": DEFLATED}
        if outcome:
            with pytest.raises(ParseFault, match=outcome):
                small_pool.call(READ, **arguments)
        else:
            assert small_pool.call(READ, **arguments)["attributes"]["Instance"]["SOPInstanceUID"] == "1.2.3"


@pytest.mark.parametrize("encapsulated", [False, True])
def test_fault_21_an_object_of_2_gb_is_read_within_small_memory(
    tmp_path: Path, small_pool: ParsePool, encapsulated: bool
) -> None:
    """Only the header is read of 2 GB with 96 MiB of memory; its end is looked at all the same."""
    size = (1 << 31) - 2
    if encapsulated:
        head = SOP + long_element(
            0x7FE00010, b"OB", long_element(ITEM, b"", b"") + long_element(ITEM, b"", b"", size), OPEN
        )
        tail = long_element(SEQUENCE_END, b"", b"")
    else:
        head, tail = SOP + long_element(0x7FE00010, b"OW", b"", size), element(0xFFFCFFFC, b"LO", b"")
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.write(head)
        file.seek(len(head) + size)  # a hole: the file takes no room on the disk
        file.write(tail)
    arguments = {"path": str(path), "dataset_offset": 0, "transfer_syntax_uid": JPEG if encapsulated else EXPLICIT}
    assert small_pool.call(READ, **arguments)["attributes"]["Instance"]["SOPInstanceUID"] == "1.2.3"
    with path.open("r+b") as file:
        file.truncate(len(head) + size - 1)
    with pytest.raises(ParseFault, match="ends within an element"):
        small_pool.call(READ, **arguments)


def test_D5_values_too_long_for_an_index_are_left_out(read: Read) -> None:
    """A PatientName of 5 MiB (possible in implicit VR) and a sequence of 5 MiB are passed over, not held."""
    long = (5 << 20).to_bytes(4, "little") + b"x" * (5 << 20)
    data = bytes.fromhex("08001800") + b"\x06\0\0\0" + b"1.2.3\0" + bytes.fromhex("08003210") + long
    found = read(data + bytes.fromhex("10001000") + long, IMPLICIT)
    assert found["attributes"]["Patient"]["PatientName"] is None
    assert found["attributes"]["Instance"]["SOPInstanceUID"] == "1.2.3"
    assert found["warnings"] == ["PatientName: too long for the index", "ProcedureCodeSequence: too long for the index"]


def test_D5_all_values_together_are_bounded_and_identity_stays(read: Read) -> None:
    """Fifty texts that each would pass: the longest are left out until the rest fits a manifest of thousands."""
    data = b"".join(
        element(a.tag, b"UT" if a.vr not in ("UI", "SQ") else b"UI", b"1.2.3\0")
        if a.vr in ("UI", "SQ")
        else long_element(a.tag, b"UT", b"x" * (60_000 if a.keyword != "PatientID" else 8))
        for a in sorted(ATTRIBUTES, key=lambda a: a.tag)
        if a.vr != "SQ" and a.sql_type is SqlType.TEXT
    )
    found = read(data, EXPLICIT)
    kept = [value for row in found["attributes"].values() for value in row.values() if value is not None]
    assert sum(len(json.dumps(value)) for value in kept) <= 64 << 10
    assert found["attributes"]["Instance"]["SOPInstanceUID"] == "1.2.3"
    assert found["attributes"]["Patient"]["PatientID"] == "x" * 8
    assert any("left out" in warning for warning in found["warnings"])


def test_nothing_of_a_patient_is_told_in_warnings_faults_or_on_stderr(tmp_path: Path) -> None:
    """Values that break their VR make pydicom talk; nothing of it reaches the standard streams or our texts."""
    secret = SECRET.encode()
    item = long_element(ITEM, b"", element(0x00280010, b"US", secret) + element(0x00080020, b"DA", secret + b"\xff"))
    data = (
        element(0x00080005, b"CS", secret)
        + SOP
        + long_element(0x00081032, b"SQ", item)
        + b"".join(
            element(a.tag, a.vr.encode(), secret + b"\xff\x1b") for a in ATTRIBUTES if len(a.vr) == 2 and a.vr != "SQ"
        )
    )
    path = tmp_path / "object"
    code = f"from edge.index.header import read_header as r; print(r({str(path)!r}, 0, {EXPLICIT!r})['warnings'])"
    path.write_bytes(data)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "PatientName" in done.stdout
    assert SECRET not in done.stdout
    path.write_bytes(data + b"\x10\0\x10\0PN\xff\xff" + secret)
    with pytest.raises(ParseFault) as caught:
        read_header(str(path), 0, EXPLICIT)
    assert SECRET not in str(caught.value) + caught.value.hint


@pytest.mark.full
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), syntax=st.sampled_from([IMPLICIT, EXPLICIT, BIG, DEFLATED]))
def test_D5_damaged_bytes_give_json_or_a_parse_fault_and_nothing_else(
    tmp_path: Path, data: st.DataObject, syntax: str
) -> None:
    """Whatever is changed in a good dataset, the answer is one that the journal, SQL and the manifest can keep."""
    raw = bytearray(encode(full_dataset(), syntax))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
        raw = raw or bytearray(b"\0")
    path = tmp_path / "object"
    path.write_bytes(raw)
    try:
        found = read_header(str(path), 0, syntax)
    except ParseFault:
        return
    text = json.dumps(found, allow_nan=False, ensure_ascii=False)
    assert "\\u0000" not in text
    text.encode()
