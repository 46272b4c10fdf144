"""process_dicom itself, as the container runs it, after the fault that its input's name asks for.

The file's version code is an error code: what causes it for real is done here, or by the test's API and files.
"""

import os
import sys
from pathlib import Path

import boto3


def main() -> None:
    """Cause the fault, then become the program."""
    bucket, _, folder = os.environ["INPUT_S3_IN"].removeprefix("s3://").partition("/")
    s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    (row,) = s3.list_objects_v2(Bucket=bucket, Prefix=folder)["Contents"]
    code = row["Key"].rpartition("/")[2].partition(".")[0]
    os.environ |= {"WORK_DIR": str(Path.cwd()), "API_WAIT_SECONDS": "0"}
    if code == "ERRS1001":
        del os.environ["OUT_NAME"]
    elif code == "ERRS1010":  # a second file lies where one belongs
        s3.put_object(Bucket=bucket, Key=f"{folder}another.dcm", Body=b"x")
    elif code == "ERRS1011":  # somebody cleared the workspace
        s3.delete_object(Bucket=bucket, Key=row["Key"])
    elif code == "ERRS2001":
        os.environ["ADDITIONAL_PROCESS"] = "/bin/false"
    program = [sys.executable, "-m", "cloud.pipeline.process.process_dicom", *sys.argv[1:]]
    os.execv(program[0], program)  # noqa: S606 - the program of the container


if __name__ == "__main__":
    main()
