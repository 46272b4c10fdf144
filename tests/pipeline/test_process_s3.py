"""The processing container between real buckets: its input, its result, its report and its two logs."""

import io

import pydicom
import pytest

from tests.pipeline.processing import OUT_NAME
from tests.pipeline.test_process import FILES

pytestmark = pytest.mark.door("command", "file")


def test_P064_P074_P123_from_bucket_to_bucket(container, s3_endpoint, s3_bucket):
    """The file of the folder is processed, its source untouched; without rights the run ends with ERRS1010."""
    client = s3_endpoint.client()
    content = FILES[1].read_bytes()
    client.put_object(Bucket=s3_bucket, Key="ws/run 1/in/a1.dcm", Body=content)
    container.environment |= {
        "INPUT_S3_IN": f"s3://{s3_bucket}/ws/run 1/in/",
        "OUTPUT_S3_OUT": f"s3://{s3_bucket}/ws/run 1/out/",
        "REPORT_S3_OUT": f"s3://{s3_bucket}/ws/run 1/report.json",
        "LOG_S3_OUT": f"s3://{s3_bucket}/logs/",
        "AWS_ENDPOINT_URL": s3_endpoint.url,
        "AWS_ACCESS_KEY_ID": s3_endpoint.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_endpoint.secret_key,
        "AWS_REGION": "us-east-1",
    }
    done = container.process(extension=".dcm")
    assert (done.status, done.err) == (0, [])
    keys = [row["Key"] for row in client.list_objects_v2(Bucket=s3_bucket)["Contents"]]
    assert keys == [
        "logs/stderr.txt", "logs/stdout.txt", "ws/run 1/in/a1.dcm", f"ws/run 1/out/{OUT_NAME}.dcm",
        "ws/run 1/report.json",
    ]  # fmt: skip
    result = client.get_object(Bucket=s3_bucket, Key=f"ws/run 1/out/{OUT_NAME}.dcm")["Body"].read()
    tag = pydicom.dcmread(io.BytesIO(result)).private_block(0x0013, "ATRI EDGE 1.0")[0x01].value
    assert tag == f"{done.run}.1"
    assert client.get_object(Bucket=s3_bucket, Key="ws/run 1/in/a1.dcm")["Body"].read() == content
    container.environment["AWS_SECRET_ACCESS_KEY"] = "wrong"
    refused = container.process(extension=".dcm")
    assert refused.status == 1
    assert refused.err[0]["error_code"] == "ERRS1010"
