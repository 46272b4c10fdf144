"""The sample scans: drawn, valid, small, and sendable by Debian's storescu as typed."""

import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from tests import make_dcmdata
from tests.parts import program

DCMDATA = Path(make_dcmdata.__file__).parents[1] / "dcmdata"
COMPRESSED = Path(make_dcmdata.__file__).parent / "data"


def _errors(path):
    judge = str(Path(sys.executable).with_name("dciodvfy"))
    done = subprocess.run([judge, str(path)], capture_output=True, text=True, check=False, timeout=60)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


def test_drawing_again_gives_the_same_bytes(tmp_path):
    """The files that are shipped are the ones that the script draws."""
    make_dcmdata.main(tmp_path)
    drawn = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert drawn == {path.name: path.read_bytes() for path in DCMDATA.glob("*.dcm")}


def test_three_patients_four_studies_and_no_uid_twice():
    """Two people share a patient ID under different issuers, and every object has UIDs of its own."""
    read = [pydicom.dcmread(path) for path in [*DCMDATA.glob("*.dcm"), *COMPRESSED.glob("*.dcm")]]
    shipped = read[: len(list(DCMDATA.glob("*.dcm")))]
    assert len({(ds.IssuerOfPatientID, ds.PatientID) for ds in shipped}) == 3
    assert len({ds.PatientID for ds in shipped}) == 2
    assert len({ds.StudyInstanceUID for ds in shipped}) == 4
    assert len({ds.SeriesInstanceUID for ds in shipped}) == 9
    assert len({ds.SOPInstanceUID for ds in read}) == len(read)
    assert all(str(ds.PatientName).startswith("Phantom^") for ds in read)


def test_the_files_are_small():
    """A clone stays light: under 3 MB for what is sent, under 1 MB for the compressed shapes."""
    assert sum(path.stat().st_size for path in DCMDATA.glob("*.dcm")) < 3_000_000
    assert sum(path.stat().st_size for path in COMPRESSED.glob("*.dcm")) < 1_000_000


def test_every_object_is_valid_by_dciodvfy(tmp_path):
    """The validator finds no error; the deflated object is judged after dcmtk inflated it, for dciodvfy reads none."""
    faults = {}
    for path in [*DCMDATA.glob("*.dcm"), *COMPRESSED.glob("*.dcm")]:
        judged = path
        if path.name.startswith("deflated"):
            judged = tmp_path / path.name
            subprocess.run([program("dcmconv"), "+te", str(path), str(judged)], check=True, timeout=60)
        if errors := _errors(judged):
            faults[path.name] = errors
    assert not faults


def test_each_compressed_object_has_a_syntax_of_its_own():
    """Ten compressed syntaxes are there, RLE also with an extended offset table."""
    syntaxes = [pydicom.dcmread(path).file_meta.TransferSyntaxUID for path in COMPRESSED.glob("*.dcm")]
    assert len(syntaxes) == 11
    assert len(set(syntaxes)) == 10
    assert "ExtendedOffsetTable" in pydicom.dcmread(COMPRESSED / "rle_extended_us.dcm")


@pytest.mark.parametrize("name", ["rle_ct", "rle_extended_us"])
def test_lossless_objects_hold_the_pixels_of_the_phantom(name):
    """Decoding gives what was drawn."""
    original = "us_loop" if name.endswith("us") else "ct_soft_01"
    coded, plain = pydicom.dcmread(COMPRESSED / f"{name}.dcm"), pydicom.dcmread(DCMDATA / f"{original}.dcm")
    assert (coded.pixel_array == plain.pixel_array).all()
