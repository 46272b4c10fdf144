"""Other people's programs read from the twin, unchanged: the AWS CLI, and AHItoDICOMInterface of the AWS samples."""

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.healthimaging import ROLE, ROOT
from tests.local_healthimaging.conftest import instances

#: The setting of every botocore that keeps `runtime-` away from a name that is an address.
NO_PREFIX = {"AWS_DISABLE_HOST_PREFIX_INJECTION": "true"}
KEYS = {
    "AWS_ACCESS_KEY_ID": "EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "an-invented-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}

# Runs in a process of its own: it starts processes itself, and reads the environment.
TO_DICOM = """
import sys
from pathlib import Path
from AHItoDICOMInterface.AHItoDICOM import AHItoDICOM

if __name__ == "__main__":
    url, datastore, image_set, folder = sys.argv[1:]
    # Keys come from the environment: it mixes up those that it is given.
    reader = AHItoDICOM(AHI_endpoint=url, fetcher_process_count=1, dicomizer_process_count=1)
    for ds in reader.DICOMizeImageSet(datastore_id=datastore, image_set_id=image_set):
        assert reader.saveAsDICOM(ds, folder)
"""


def run(command, folder, **environment):
    """Run a foreign program with a bare environment, and return what it printed."""
    bare = {"PATH": os.environ["PATH"], "HOME": str(folder), **NO_PREFIX, **KEYS, **environment}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=bare,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it may have started processes of its own
    assert process.returncode == 0, said
    return said


@pytest.mark.full
@pytest.mark.door("command")
def test_the_aws_cli_reads_it(imported, tmp_path):
    """`aws medical-imaging` lists, describes and downloads; the frame is the same as through boto3."""

    def aws(*arguments):
        program = [str(Path(sys.prefix) / "bin" / "aws"), "medical-imaging", *arguments]
        return run([*program, "--endpoint-url", imported.server.url, "--output", "json"], tmp_path)

    one = ["--datastore-id", imported.datastore]
    listed = json.loads(aws("list-datastores", "--datastore-status", "ACTIVE"))["datastoreSummaries"]
    assert imported.datastore in [row["datastoreId"] for row in listed]
    (job,) = json.loads(aws("list-dicom-import-jobs", *one))["jobSummaries"]
    assert job["dataAccessRoleArn"] == ROLE
    criteria = json.dumps({"filters": [{"values": [{"isPrimary": True}], "operator": "EQUAL"}]})
    found = json.loads(aws("search-image-sets", *one, "--search-criteria", criteria, "--max-results", "50"))
    ct = next(
        row["imageSetId"]
        for row in found["imageSetsMetadataSummaries"]
        if row["DICOMTags"]["DICOMSeriesModality"] == "CT"
        and row["DICOMTags"]["DICOMNumberOfStudyRelatedInstances"] > 1
    )
    aws("get-image-set-metadata", *one, "--image-set-id", ct, "metadata.json.gz")
    metadata = json.loads(gzip.decompress((tmp_path / "metadata.json.gz").read_bytes()))
    frame = next(iter(instances(metadata).values()))["ImageFrames"][0]["ID"]
    aws("get-image-frame", *one, "--image-set-id", ct, "--image-frame-information", f"imageFrameId={frame}", "f.jph")
    assert (tmp_path / "f.jph").read_bytes() == imported.frame(ct, frame)


@pytest.mark.full
@pytest.mark.door("command")
@pytest.mark.parametrize("series", ["ct_bone_*.dcm", "us_loop.dcm"])
def test_the_samples_own_reader_gives_the_same_pixels(imported, tmp_path, series):
    """AHItoDICOMInterface makes DICOM files of an image set: as many instances, the same pixels, the same patient."""
    sent = {ds.SOPInstanceUID: ds for ds in map(dcmread, (ROOT / "dcmdata").glob(series))}
    by_file = {
        line["inputFile"]: line["importResponse"]["imageSetId"] for line in imported.lines("SUCCESS/success.ndjson")
    }
    image_set = by_file["in/" + next((ROOT / "dcmdata").glob(series)).name]
    script = tmp_path / "to_dicom.py"
    script.write_text(TO_DICOM)
    run(
        [sys.executable, str(script), imported.server.url, imported.datastore, image_set, str(tmp_path / "out")],
        tmp_path,
    )
    back = {ds.SOPInstanceUID: ds for ds in map(dcmread, (tmp_path / "out").glob("*.dcm"))}
    assert set(back) == set(sent)
    for uid, ds in sent.items():
        assert back[uid].PixelData == ds.PixelData
        assert (back[uid].PatientID, back[uid].SeriesInstanceUID) == (ds.PatientID, ds.SeriesInstanceUID)
