"""Every file of pydicom and pydicom-data, tagged: taken back, and read by pydicom, dcmtk and dicom3tools."""

import io
import shutil
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_files
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filereader import _read_file_meta_info, read_preamble

from edge.contract.syntaxes import DEFLATED_SYNTAXES
from edge.contract.tag.block import CREATOR
from edge.contract.tag.inputs import TagInputs
from edge.contract.tag.plan import plan
from edge.contract.tag.walk import Reason
from edge.errors import TagFault
from edge.tag import dictionary
from tests.tag import build
from tests.tag.build import INPUTS, OTHER_INPUTS, SITE_INPUTS
from tests.tag.test_matrix import tag
from tests.tag.tools import run, tool

dictionary.register()

#: Files that cannot be tagged, and why: they are uploaded as received, with has_error.
FAULTS = {
    "emri_small_jpeg_2k_lossless_too_short.dcm": Reason.TRUNCATED,
    "MR_truncated.dcm": Reason.TRUNCATED,
    "rtplan_truncated.dcm": Reason.TRUNCATED,
    "SC_rgb_jpeg.dcm": Reason.VALUE_REPRESENTATION,  # says explicit VR, is implicit
    "meta_missing_tsyntax.dcm": Reason.VALUE_REPRESENTATION,  # names no transfer syntax
    "nested_priv_SQ.dcm": Reason.EARLY_GROUP,  # a dataset of one element of group 0001
    "no_meta.dcm": Reason.VALUE_REPRESENTATION,  # begins with a stray space
    "DICOMDIR": Reason.EARLY_GROUP,  # a directory, whose offsets an insertion would break
    "DICOMDIR-bigEnd": Reason.EARLY_GROUP,
    "DICOMDIR-empty.dcm": Reason.EARLY_GROUP,
    "DICOMDIR-implicit": Reason.EARLY_GROUP,
    "DICOMDIR-nooffset": Reason.EARLY_GROUP,
    "DICOMDIR-nopatient": Reason.EARLY_GROUP,
    "DICOMDIR-reordered": Reason.EARLY_GROUP,
}
#: Datasets without preamble and File Meta, as they come over the wire: their syntax stands here.
BARE = {
    "ExplVR_BigEndNoMeta.dcm": build.BIG,
    "ExplVR_LitEndNoMeta.dcm": build.EXPLICIT,
    "OT-PAL-8-face.dcm": build.IMPLICIT,
    "no_meta.dcm": build.EXPLICIT,
    "rtstruct.dcm": build.IMPLICIT,
}
NOT_DICOM = {".dump", ".gz", ".icc", ".md", ".py", ".txt", ".json", ".zip", ".bin"}


@dataclass(frozen=True)
class Sample:
    """One file as the spool would hold it."""

    name: str
    raw: bytes
    dataset_offset: int
    syntax: str


@cache
def samples() -> tuple[Sample, ...]:
    """Return every DICOM file of the two packages."""
    found = []
    for path in sorted(Path(name) for name in get_testdata_files()):
        if path.is_dir() or path.suffix in NOT_DICOM or path.name == "README":
            continue
        raw = path.read_bytes()
        if path.name in BARE:
            meta = build.file_meta(BARE[path.name])
            found.append(Sample(path.name, meta + raw, len(meta), BARE[path.name]))
            continue
        file = io.BytesIO(raw)
        read_preamble(file, force=False)
        syntax = str(_read_file_meta_info(file).get("TransferSyntaxUID", ""))
        found.append(Sample(path.name, raw, file.tell(), syntax))
    return tuple(found)


def taggable() -> list[Sample]:
    """Return the samples that are no fault."""
    return [sample for sample in samples() if sample.name not in FAULTS]


def one_of_each() -> list[Sample]:
    """Return one sample of each transfer syntax and SOP class."""
    kinds: dict[tuple[str, bytes], Sample] = {}
    for sample in taggable():
        sop_class = sample.raw[: sample.dataset_offset].partition(b"\x02\x00\x02\x00UI")[2].partition(b"\x02\x00")[0]
        kinds.setdefault((sample.syntax, sop_class), sample)
    return list(kinds.values())


def test_D5_every_file_of_pydicom_is_tagged_or_named_with_its_fault() -> None:
    """Over 200 real objects repeat and reverse; those that cannot be tagged are listed with their reason."""
    done: Counter[str] = Counter()
    for sample in samples():
        if sample.name in FAULTS:
            with pytest.raises(TagFault, match=FAULTS[sample.name]) as caught:
                plan(io.BytesIO(sample.raw), sample.dataset_offset, len(sample.raw), sample.syntax, INPUTS)
            assert caught.value.hint
            done["fault"] += 1
            continue
        edits, tagged = tag(sample.raw, sample.dataset_offset, sample.syntax, INPUTS)
        assert edits, sample.name
        assert tagged[: sample.dataset_offset] == sample.raw[: sample.dataset_offset]
        done[sample.syntax] += 1
    assert done["fault"] == 15  # DICOMDIR comes twice
    assert done.total() > 220
    assert len(done) > 10


def test_D5_pydicom_reads_the_tag_and_everything_else_as_before() -> None:
    """The ATRIUID stands in our block for pydicom, and all else, pixel data too, is byte for byte as received."""
    for sample in taggable():
        _, tagged = tag(sample.raw, sample.dataset_offset, sample.syntax, INPUTS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the faults that these files are kept for
            before, after = (pydicom.dcmread(io.BytesIO(raw), force=True) for raw in (sample.raw, tagged))
            block = after.private_block(0x0013, CREATOR)
            assert [str(block[n].value) for n in (1, 2, 3)] == [INPUTS.atriuid, INPUTS.file_id, INPUTS.scan_id]
            number = block.block_start >> 8
        ours = {0x00080015, 0x0018A001, 0x00130000 | number, *(0x00130000 | number << 8 | n for n in (1, 2, 3))}
        ours |= {0x00080000, 0x00180000}  # group lengths, where there were any
        left = raw_elements(before, ours)
        kept = raw_elements(after, ours)
        assert list(left) == list(kept), sample.name
        for number, element in left.items():
            assert (element.VR, element.value) == (kept[number].VR, kept[number].value), (sample.name, hex(number))


def raw_elements(ds: pydicom.Dataset, but: set[int]) -> dict[int, DataElement | RawDataElement]:
    """Return the elements of ``ds`` as they were read, without those of ``but``."""
    tags = [int(t) for t in ds.keys()]  # noqa: SIM118 - a Dataset iterates over elements, not tags
    return {t: ds.get_item(t) for t in tags if t not in but}


@pytest.mark.parametrize(
    "every", [False, pytest.param(True, marks=[pytest.mark.full, pytest.mark.timeout(600)])], ids=["each kind", "all"]
)
def test_D5_dcmtk_reads_the_tag_and_the_same_pixels(tmp_path: Path, every: bool) -> None:
    """Dcmdump reads whatever it read before, shows the ATRIUID, and writes the same pixel data to its files."""
    dcmdump = tool("dcmdump")
    read = 0
    chosen = taggable() if every else one_of_each()
    for sample in chosen:
        _, tagged = tag(sample.raw, sample.dataset_offset, sample.syntax, INPUTS)
        seen = []
        for raw in (sample.raw, tagged):
            folder = tmp_path / str(read) / str(len(seen))
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "o.dcm").write_bytes(raw)
            code, text = run(dcmdump, "-M", "-Un", "+W", folder, folder / "o.dcm")
            pixels = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "o.dcm"}
            seen.append((code, text, pixels))
            shutil.rmtree(folder)
        (code, _, pixels), (tagged_code, text, tagged_pixels) = seen
        assert tagged_code == code, sample.name
        assert tagged_pixels == pixels, sample.name
        if code == 0:
            assert INPUTS.atriuid in text or INPUTS.atriuid.encode().hex("\\") in text, sample.name
            read += 1
    assert read > 0.9 * len(chosen)


@pytest.mark.full
def test_D5_dciodvfy_finds_no_new_error_in_any_kind_of_object(tmp_path: Path) -> None:
    """The validator's errors on the tagged object are among those on the received one; one of each kind."""
    assert len(one_of_each()) > 30
    _validate(one_of_each(), tmp_path, INPUTS)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_D5_dciodvfy_finds_no_new_error_in_any_object(tmp_path: Path) -> None:
    """The same, for every file there is."""
    _validate(taggable(), tmp_path, INPUTS)


@pytest.mark.full
def test_D5_dciodvfy_finds_no_new_error_with_the_site_settings_on(tmp_path: Path) -> None:
    """Neither the SAFE declaration nor the Clinical Trial Series ID makes an object invalid."""
    _validate(list({sample.syntax: sample for sample in one_of_each()}.values()), tmp_path, SITE_INPUTS)


@pytest.mark.full
def test_D5_dciodvfy_finds_no_new_error_when_another_atriuid_is_replaced(tmp_path: Path) -> None:
    """Original Attributes, with the old ATRIUID in it, is as the standard wants it."""
    chosen = []
    for sample in {sample.syntax: sample for sample in one_of_each()}.values():
        _, tagged = tag(sample.raw, sample.dataset_offset, sample.syntax, OTHER_INPUTS)
        chosen.append(Sample(sample.name, tagged, sample.dataset_offset, sample.syntax))
    _validate(chosen, tmp_path, INPUTS)


def _validate(chosen: list[Sample], tmp_path: Path, inputs: TagInputs) -> None:
    dciodvfy = tool("dciodvfy")
    for sample in chosen:
        _, tagged = tag(sample.raw, sample.dataset_offset, sample.syntax, inputs)
        errors = []
        for raw in (sample.raw, tagged):
            (tmp_path / "o.dcm").write_bytes(raw)
            if sample.syntax in DEFLATED_SYNTAXES:  # which dciodvfy does not read
                code, _ = run(tool("dcmconv"), "+te", tmp_path / "o.dcm", tmp_path / "o.dcm")
                assert code == 0, sample.name
            _, text = run(dciodvfy, tmp_path / "o.dcm")
            errors.append(Counter(line for line in text.splitlines() if "Error" in line))
        assert errors[1] <= errors[0], sample.name
