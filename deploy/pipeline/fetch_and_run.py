"""The container's first step (P151): run the image's own ``process_dicom``, or the script that SCRIPT_S3_IN names.

A script is one Python file in S3; it is fetched into WORK_DIR and run with the image's packages and the same arguments.
"""

import os
import sys
import tempfile
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

IMAGE_S_OWN = ("-m", "cloud.pipeline.process.process_dicom")


def main() -> int:
    """Become the script; 1 if it cannot be fetched."""
    run = _what_runs()
    if run is None:
        return 1
    return os.execv(sys.executable, [sys.executable, *run, *sys.argv[1:]])  # noqa: S606  no shell: it takes our place


def _what_runs() -> list[str] | None:
    """Return Python's arguments; None, with the reason told, if there is nothing to run."""
    address = os.environ.get("SCRIPT_S3_IN", "")
    run = list(IMAGE_S_OWN)
    if address:
        bucket, _, key = address.removeprefix("s3://").partition("/")
        if not address.startswith("s3://") or not bucket or not key:
            print(
                "fetch_and_run: SCRIPT_S3_IN is no s3://BUCKET/KEY: set IMG_SCRIPT so, or leave it empty",
                file=sys.stderr,
            )
            return None
        script = Path(tempfile.mkdtemp(dir=os.environ.get("WORK_DIR") or None)) / "script.py"
        try:
            boto3.client("s3", endpoint_url=os.environ.get("AWS_ENDPOINT_URL") or None).download_file(
                bucket, key, str(script)
            )
        except (BotoCoreError, ClientError, OSError) as e:
            print(f"fetch_and_run: the script that SCRIPT_S3_IN names cannot be fetched: {e}", file=sys.stderr)
            return None
        run = [str(script)]
    return run


if __name__ == "__main__":
    sys.exit(main())
