"""The processing container: one upload in, the same upload with its ATRIUIDs out."""

import gzip
import hashlib
import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path

import pydicom
import pytest

from tests.pipeline.api import FILE
from tests.pipeline.processing import DCMDATA, Container

pytestmark = pytest.mark.door("command", "file")
FILES = sorted(DCMDATA.glob("*.dcm"))[:6]


def packed(*members, compression=zipfile.ZIP_DEFLATED):
    """A zip of (name, bytes)."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", compression) as file:
        for name, content in members:
            file.writestr(name, content)
    return held.getvalue()


def tarred(*members, mode="w:gz"):
    """A tar.gz of (name, bytes)."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode=mode) as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return held.getvalue()


def ecat(patient=b"Phantom^Ada"):
    """An ECAT 7 file: main header and some planes."""
    head = bytearray(512)
    head[:14] = b"MATRIX72v\0\0\0\0\0"
    struct.pack_into(">3h", head, 46, 72, 962, 7)
    struct.pack_into(">I", head, 62, 1_700_000_000)
    head[66:70] = b"F-18"
    head[182 : 182 + len(patient)] = patient
    struct.pack_into(">4h", head, 352, 63, 4, 1, 0)
    return bytes(head) + bytes(4096)


def atriuid(dataset):
    """The ATRIUID in a dataset's private block."""
    return str(dataset.private_block(0x0013, "ATRI EDGE 1.0")[0x01].value)


def of_series(paths):
    """(study, series) of each file."""
    read = (pydicom.dcmread(path, stop_before_pixels=True) for path in paths)
    return [(ds.StudyInstanceUID, ds.SeriesInstanceUID) for ds in read]


def test_P028_P072_P161_insert_atriuid_into_every_file_of_a_zip(container: Container, api, sqlite):
    """Each file of a series carries the series' one ATRIUID and is otherwise as it was; the rows say the same."""
    members = [(f"scan/{n}/{path.name}", path.read_bytes()) for n, path in enumerate(FILES)]
    source = container.put("a1.zip", packed(*members))
    before = hashlib.sha256(source.read_bytes()).hexdigest()
    done = container.process()
    assert (done.status, done.err, done.codes) == (0, [], [])
    with zipfile.ZipFile(done.result) as result:
        assert result.namelist() == [name for name, _ in members]
        written = [pydicom.dcmread(io.BytesIO(result.read(name))) for name, _ in members]
    recorded = {
        (study, series): (tag, count)
        for study, series, tag, count in sqlite.rows(
            "SELECT studyuid, serieuid, atriuid, number_of_instances FROM edcpipelinefiledicom"
        )
    }
    pairs = of_series(FILES)
    assert set(recorded) == set(pairs)
    for pair, dataset, (_, content) in zip(pairs, written, members, strict=True):
        tag, count = recorded[pair]
        assert atriuid(dataset) == tag
        assert tag.startswith(f"{done.run}.")
        assert count == pairs.count(pair)
        original = pydicom.dcmread(io.BytesIO(content))
        assert dataset.PixelData == original.PixelData
        assert dataset.SOPInstanceUID == original.SOPInstanceUID
    assert hashlib.sha256(source.read_bytes()).hexdigest() == before
    assert list((container.folder / "work").iterdir()) == []  # P163


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_P072_a_tar_is_written_like_the_zip(container, mode):
    """The members of a tar, compressed or not, are tagged in place, and the result is a tar again."""
    members = [(f"scan/{path.name}", path.read_bytes()) for path in FILES[:2]]
    container.put("a1.tar.gz", tarred(*members, mode=mode))
    done = container.process(extension=".tar.gz")
    assert (done.status, done.codes) == (0, [])
    with tarfile.open(done.result, mode.replace("w", "r")) as result:
        assert result.getnames() == [name for name, _ in members]
        for name, _ in members:
            assert atriuid(pydicom.dcmread(result.extractfile(name))).startswith(f"{done.run}.")


def test_P072_P161_dcm_check_success_a_single_file(container):
    """A file that is DICOM, whatever its name, gets its ATRIUID."""
    container.put("a1", FILES[0])
    done = container.process(extension="")
    assert (done.status, done.codes) == (0, [])
    assert atriuid(pydicom.dcmread(done.result)) == f"{done.run}.1"


def test_P015_P045_P097_P161_dcm_check_failure_non_dicom_files(container, api):
    """A text is copied as it is; the run ends well, with ERRS1002 in report, log and standard error."""
    content = b"minutes of the meeting\n"
    container.put("a1.txt", content)
    done = container.process(extension=".txt", apiurllogerror=f"{api.url}{FILE}/log_error")
    assert (done.status, done.codes) == (0, ["ERRS1002"])
    assert done.result.read_bytes() == content
    assert done.err[0]["error_code"] == "ERRS1002"
    assert done.err[0]["error"].startswith("Failed to read DICOM file.")
    row = api.get(f"{FILE}/{done.run}").json()["data"]
    assert (row["has_error"], [e["error_code"] for e in row["errors"]]) == (True, ["ERRS1002"])


def test_P015_others_in_an_archive_are_copied_and_named_by_number(container):
    """Texts and a damaged DICOM file go on beside the scans; the error says which, without their names."""
    damaged = FILES[1].read_bytes()[:400]
    members = [
        ("Ada Phantom.txt", b"x"), ("1.dcm", FILES[0].read_bytes()), ("2.dcm", damaged),
        ("__MACOSX/._1.dcm", b"x"), (".DS_Store", b"x"), ("empty", b""),
    ]  # fmt: skip
    container.put("a1.zip", packed(*members))
    done = container.process()
    assert done.status == 0
    with zipfile.ZipFile(done.result) as result:
        assert result.namelist() == [name for name, _ in members]
        assert result.read("2.dcm") == damaged
        assert atriuid(pydicom.dcmread(io.BytesIO(result.read("1.dcm")))) == f"{done.run}.1"
    assert set(done.codes) == {"ERRS1002"}
    said = json.dumps(done.report)
    assert "2 of the archive's files, by number 1, 6" in said
    assert "1 of the archive's files, by number 3" in said
    assert "Phantom" not in said + json.dumps(done.out) + json.dumps(done.err)


def test_P164_an_ecat_file_is_recognised_and_copied_on(container, sqlite):
    """Its main header is tracked, without the patient; the bytes are as they were; it is no error."""
    container.put("a1.v", ecat())
    done = container.process(extension=".v")
    assert (done.status, done.codes) == (0, [])
    assert done.result.read_bytes() == ecat()
    rows = sqlite.rows("SELECT magic, isotope_name, num_planes, num_frames, number_of_files FROM edcpipelinefileecat")
    assert rows == [("MATRIX72v", "F-18", 63, 4, 1)]
    assert "Phantom" not in json.dumps(done.out)


def test_P072_scans_are_asked_for_once_and_a_second_run_has_its_own(container, sqlite):
    """A repeated job of one run gives the same bytes; another run of the same file other ATRIUIDs."""
    container.put("a1.zip", packed(*((path.name, path.read_bytes()) for path in FILES[:3])))
    first = container.process()
    bytes_first = first.result.read_bytes()
    again = container.process(run=first.run)
    assert again.result.read_bytes() == bytes_first
    series = len(set(of_series(FILES[:3])))
    assert sqlite.one("SELECT count(*) FROM edcpipelinefiledicom") == series
    other = container.process()
    assert other.result.read_bytes() != bytes_first
    assert sqlite.one("SELECT count(*) FROM edcpipelinefiledicom") == 2 * series


def test_P122_P123_the_two_logs_are_kept_apart_with_what_ties_them_to_the_run(container):
    """Each line carries study, pipeline, image type, FileID and time; errors are in one, the course in the other."""
    container.environment |= {"STUDY": "trc", "IMG_TYPE": "pet"}
    container.put("a1.txt", b"x")
    done = container.process(extension=".txt")
    out, err = (
        [json.loads(line) for line in (done.folder / "logs" / name).read_text().splitlines()]
        for name in ("stdout.txt", "stderr.txt")
    )
    assert (out, err) == (done.out, done.err)
    assert len(out) >= 4
    assert len(err) == 1
    for line in out + err:
        assert (line["study"], line["pipeline"], line["image_type"]) == ("trc", "amypet", "pet")
        assert (line["file_id"], bool(line["time"])) == (str(done.run), True)
    assert container.api.token not in json.dumps(out + err)


def test_P075_an_additional_process_may_change_the_result(container, tmp_path):
    """It gets the result and a place for another; what fails or takes too long changes nothing, and is said."""
    script = tmp_path / "additional.sh"
    script.write_text('#!/bin/sh\nenv >"$1"; tr a-z A-Z <"$3" >"$4"; exit "$2"\n')
    script.chmod(0o755)
    container.put("a1.txt", b"words\n")
    container.environment["ADDITIONAL_PROCESS"] = f"{script} {tmp_path / 'env'} 0"
    done = container.process(extension=".txt")
    assert done.result.read_bytes() == b"WORDS\n"
    assert done.codes == ["ERRS1002"]
    assert container.api.token not in (tmp_path / "env").read_text()
    container.environment["ADDITIONAL_PROCESS"] = f"{script} {tmp_path / 'env'} 3"
    failed = container.process(extension=".txt")
    assert (failed.status, failed.codes) == (0, ["ERRS1002", "ERRS2001"])
    assert failed.result.read_bytes() == b"words\n"
    container.environment |= {"ADDITIONAL_PROCESS": "sleep 60", "ADDITIONAL_PROCESS_SECONDS": "0.2"}
    assert container.process(extension=".txt").codes == ["ERRS1002", "ERRS2001"]
    container.environment["ADDITIONAL_PROCESS"] = "/no/such/program"
    assert container.process(extension=".txt").codes == ["ERRS1002", "ERRS2001"]


def test_P015_a_gzip_that_is_no_tar_is_copied(container):
    """A compressed volume is not an archive here."""
    content = gzip.compress(b"volume" * 100)
    container.put("a1.nii.gz", content)
    done = container.process(extension=".nii.gz")
    assert (done.status, done.codes, done.result.read_bytes()) == (0, ["ERRS1002"], content)


def test_a_dicomdir_is_copied_without_an_error(container):
    """A directory of a CD has no series, and is no mistake."""
    from pydicom.data import get_testdata_file

    directory = Path(get_testdata_file("DICOMDIR"))
    container.put("a1.zip", packed(("DICOMDIR", directory.read_bytes()), ("1.dcm", FILES[0].read_bytes())))
    done = container.process()
    assert (done.status, done.codes) == (0, [])
    with zipfile.ZipFile(done.result) as result:
        assert result.read("DICOMDIR") == directory.read_bytes()
