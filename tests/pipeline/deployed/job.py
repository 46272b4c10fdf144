"""A job that does what its input asks for: for trying the machine, where what is processed does not matter.

The input's first word: ``copy`` ends well, ``doubt`` ends well with an error reported, ``refuse`` fails with an error
reported, ``die`` ends without a word, ``wait`` copies once a file appears, ``once`` refuses once, then copies.
"""

import json
import os
import sys
import time
from pathlib import Path

import boto3


def main() -> int:
    """Do it."""
    s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    bucket, _, folder = os.environ["INPUT_S3_IN"].removeprefix("s3://").partition("/")
    (row,) = s3.list_objects_v2(Bucket=bucket, Prefix=folder)["Contents"]
    data = s3.get_object(Bucket=bucket, Key=row["Key"])["Body"].read()
    word, _, rest = data.decode().partition(" ")
    print(f"processing {row['Size']} bytes")
    print("a word on standard error", file=sys.stderr)
    if word == "die":
        os.abort()
    if word == "wait":
        deadline = time.monotonic() + 60
        while not Path(rest.strip()).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    if word == "once" and not Path(rest.strip()).exists():
        Path(rest.strip()).touch()
        word, rest = "refuse", "ERRS1010"
    errors = []
    if word == "doubt":
        errors = [{"error_code": "ERRS1002", "error": "Failed to read DICOM file.", "hint": "it is none"}]
    if word == "refuse":
        errors = [{"error_code": rest.strip(), "error": "as the input asked"}]
    output = os.environ["OUTPUT_S3_OUT"].removeprefix(f"s3://{bucket}/") + os.environ["OUT_NAME"]
    if word != "refuse":
        s3.put_object(Bucket=bucket, Key=output, Body=data)
    report = os.environ["REPORT_S3_OUT"].removeprefix(f"s3://{bucket}/")
    s3.put_object(Bucket=bucket, Key=report, Body=json.dumps({"errors": errors}).encode())
    return int(word == "refuse")


if __name__ == "__main__":
    sys.exit(main())
