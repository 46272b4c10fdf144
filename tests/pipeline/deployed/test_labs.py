"""Labs that fetch from quarantine, on a local AWS that judges each request by IAM; setup's rules for direct uploads."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.ministack import LocalAws

pytestmark = [pytest.mark.full, pytest.mark.timeout(300), pytest.mark.door("command", "file")]

SOURCE, TARGET, ACCESS = ("trc-000000000000", "trc-img-amypet-000000000000", "trc-img-amypet-access-000000000000")
OWN, OTHERS = "quarantine/AmyloidPETscan/PETscan_TRC001_v1_11_1_1_20260301_021407.zip", "quarantine/MRIscan/a.zip"
CONFIG = """
EDC_PIPELINE_CODE=amypet
EDC_EB_ENV=trc
EDC_HOST=https://edc.example.org/plugin
TAG_STUDY=trc
RDS_URL=sqlite:///edc.db
EMAIL_SENDER=pipeline@example.org
EMAIL_ERROR=admin@example.org
LOG_BUCKET=logs
ARTIFACT_BUCKET=artifacts
JOB_FOLDER=jobs
JOB_COMMAND=true
AWS_ENDPOINT_URL={url}
"""
CORS = {"ID": "portal", "AllowedOrigins": ["https://portal.example.org"], "AllowedMethods": ["GET"]}
KEPT = {"ID": "portal", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}}


@dataclass(kw_only=True)
class Place:
    """An account with a pipeline's buckets; its owner is root."""

    folder: Path
    url: str

    def client(self, service="s3", key="test", secret="test", token=None):
        """A client with these keys."""
        once = Config(retries={"total_max_attempts": 1})
        return boto3.session.Session().client(
            service, region_name="us-east-1", endpoint_url=self.url, config=once,
            aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token,
        )  # fmt: skip

    def type(self, *words, status=0):
        """Type a command as the owner; what it said."""
        environment = {
            **os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "PIPELINE_CONFIG": str(self.folder / "trc-amypet.config"),
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "cloud", "pipeline", *words],
            env=environment, cwd=self.folder, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An EDC's bucket with rules of its own, a quarantine with files of two forms; then setup is typed."""
    folder = tmp_path_factory.mktemp("labs")
    aws = LocalAws(tmp_path_factory.mktemp("aws"), auth=True)
    try:
        made = Place(folder=folder, url=aws.start().url)
        s3 = made.client()
        s3.create_bucket(Bucket=SOURCE)
        s3.put_bucket_cors(Bucket=SOURCE, CORSConfiguration={"CORSRules": [CORS]})
        s3.put_bucket_lifecycle_configuration(Bucket=SOURCE, LifecycleConfiguration={"Rules": [KEPT]})
        s3.create_bucket(Bucket=TARGET)
        for key in (OWN, OTHERS, "released/a.zip"):
            s3.put_object(Bucket=TARGET, Key=key, Body=key.encode())
        (folder / "trc-amypet.config").write_text(CONFIG.format(url=aws.url))
        made.said = made.type("setup", str(folder / "trc-amypet.config"), "--without-stacks")
        yield made
    finally:
        aws.stop()


def key_of(said):
    """The key that a command showed."""
    return re.search(r"aws_access_key_id = (\S+)\naws_secret_access_key = (\S+)", said).groups()


def refused(call, **named):
    """Whether IAM refuses it."""
    try:
        call(**named)
    except ClientError as e:
        return e.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return False


def test_P169_setup_lets_the_page_upload_and_drops_what_was_never_ended(place):
    """The EDC's own bucket gets our CORS and lifecycle rule beside those that it has; typed again, both are skipped."""
    s3 = place.client()
    ours, others = s3.get_bucket_cors(Bucket=SOURCE)["CORSRules"]
    assert others == CORS
    assert (ours["AllowedOrigins"], ours["AllowedMethods"], ours["ExposeHeaders"]) == (
        ["https://edc.example.org"], ["PUT"], ["ETag"],
    )  # fmt: skip
    kept, broken = s3.get_bucket_lifecycle_configuration(Bucket=SOURCE)["Rules"]
    assert kept == KEPT
    assert broken["Filter"] == {"Prefix": "subjecteventcrffile/"}
    assert broken["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    again = place.type("setup", str(place.folder / "trc-amypet.config"), "--without-stacks")
    for line in ("direct upload into trc-0", "broken uploads dropped", "access log of", "quarantine read-only"):
        (said,) = [row for row in again.splitlines() if row.startswith(line)]
        assert said.endswith("is set: skipped")
    assert place.client().get_bucket_logging(Bucket=TARGET)["LoggingEnabled"]["TargetBucket"] == ACCESS
    rules = s3.get_bucket_encryption(Bucket=ACCESS)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def test_P014_P170_a_lab_fetches_its_own_folder_and_nothing_else(place, tmp_path):
    """With the key and the line that were printed the AWS CLI fetches the folder; no other key, listing, write or
    service is open; another key ends the first; revoked, nothing is.
    """
    said = place.type(
        "lab", "add", "core", "--folder", "AmyloidPETscan", "--until", "2099-01-01", "--by", "coordinator"
    )
    assert "until 2099-01-01 23:59 UTC" in said
    key, secret = key_of(said)
    command = re.search(r"aws (s3 sync .*) --profile core$", said, re.MULTILINE)[1].split()
    client = [Path(sys.executable).with_name("aws"), "--endpoint-url", place.url, "--region", "us-east-1"]
    environment = {"PATH": os.environ["PATH"], "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    done = subprocess.run(
        [*client, *command], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [path.read_bytes() for path in (tmp_path / "AmyloidPETscan").iterdir()] == [OWN.encode()]
    lab = place.client(key=key, secret=secret)
    assert refused(lab.get_object, Bucket=TARGET, Key=OTHERS)
    assert refused(lab.get_object, Bucket=TARGET, Key="released/a.zip")
    assert refused(lab.list_objects_v2, Bucket=TARGET)
    assert refused(lab.list_objects_v2, Bucket=TARGET, Prefix="quarantine/")
    assert refused(lab.list_objects_v2, Bucket=SOURCE)
    assert refused(lab.put_object, Bucket=TARGET, Key=f"{OWN}.more", Body=b"x")
    assert refused(lab.delete_object, Bucket=TARGET, Key=OWN)
    assert refused(place.client("iam", key, secret).list_users)
    again = place.type("lab", "add", "core", "--folder", "quarantine/MRIscan/", "--until", "2099-01-01")
    assert "its key stays" in again
    assert lab.get_object(Bucket=TARGET, Key=OTHERS)["Body"].read() == OTHERS.encode()
    assert refused(lab.get_object, Bucket=TARGET, Key=OWN)
    assert re.search(r"^core +a key +2099-01-01 23:59 +- +MRIscan$", place.type("lab", "list"), re.MULTILINE)
    other = place.client(key=key_of(shown := place.type("lab", "key", "core"))[0], secret=key_of(shown)[1])
    assert refused(lab.get_object, Bucket=TARGET, Key=OTHERS)
    assert other.get_object(Bucket=TARGET, Key=OTHERS)["Body"].read()
    place.type("lab", "revoke", "core")
    assert refused(other.get_object, Bucket=TARGET, Key=OTHERS)
    assert "core" not in place.type("lab", "list")
    records = place.client().list_objects_v2(Bucket=TARGET, Prefix="image_pipelines/lab_logs/")["Contents"]
    told = [json.loads(place.client().get_object(Bucket=TARGET, Key=row["Key"])["Body"].read()) for row in records]
    assert sorted(row["action"] for row in told) == ["add", "add", "key", "revoke"]
    assert next(row for row in told if row["folders"] == ["AmyloidPETscan"])["by"] == "coordinator"


def test_P014_P170_time_and_address_narrow_the_access(place):
    """From another network the lab is refused; a time that has passed is refused before anything is given."""
    said = place.type("lab", "add", "far", "--folder", "MRIscan", "--from", "192.0.2.0/24")
    key, secret = key_of(said)
    assert refused(place.client(key=key, secret=secret).get_object, Bucket=TARGET, Key=OTHERS)
    place.type("lab", "add", "far", "--folder", "MRIscan", "--from", "127.0.0.0/8")
    assert place.client(key=key, secret=secret).get_object(Bucket=TARGET, Key=OTHERS)["Body"].read()
    assert "has passed" in place.type("lab", "add", "far", "--folder", "MRIscan", "--until", "2020-01-01", status=1)


def test_P170_a_lab_with_an_account_takes_its_role(place):
    """Without the external id nobody takes it; with it the lab reads its folder, until it is revoked."""
    said = place.type("lab", "add", "partner", "--folder", "MRIscan", "--account", "000000000000")
    arn = re.search(r"its role: (\S+)", said)[1]
    external = re.search(r"to take it: (\S+)", said)[1]
    sts = place.client("sts")
    assert refused(sts.assume_role, RoleArn=arn, RoleSessionName="lab")
    taken = sts.assume_role(RoleArn=arn, RoleSessionName="lab", ExternalId=external)["Credentials"]
    lab = place.client("s3", taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"])
    assert lab.get_object(Bucket=TARGET, Key=OTHERS)["Body"].read() == OTHERS.encode()
    assert refused(lab.get_object, Bucket=TARGET, Key=OWN)
    again = place.type("lab", "add", "partner", "--folder", "MRIscan", "--account", "000000000000")
    assert external in again
    assert "account 000000000000" in place.type("lab", "list")
    assert "has a role" in place.type("lab", "add", "partner", "--folder", "MRIscan", status=1)
    assert "no lab partner has a key" in place.type("lab", "key", "partner", status=1)
    place.type("lab", "revoke", "partner")
    assert refused(lab.get_object, Bucket=TARGET, Key=OTHERS)


def test_P170_the_log_tells_who_took_what(place):
    """Lines as S3 delivers them: what each lab took and was refused, how much; a broken line is counted, not hidden."""
    now = datetime.now(UTC) - timedelta(minutes=1)

    def line(who, operation, key, status=200, size=512, at=now):
        request = f'"GET /{TARGET}/{key} HTTP/1.1"'
        return (
            f"79a5 {TARGET} [{at:%d/%b/%Y:%H:%M:%S +0000}] 192.0.2.3 {who} 3E57 {operation} {key} {request} {status} -"
            f' {size} {size} 7 7 "-" "aws-cli/2 \\"x\\" md/y" - s9lz= SigV4 ECDHE AuthHeader h TLSV1.2 - -\n'
        )

    start, user = "trc-img-pipe-amypet-lab-", "arn:aws:iam::000000000000:user/image-pipeline-labs/trc-img-pipe-amypet/"
    text = "".join(
        [
            line(f"{user}{start}core", "REST.GET.OBJECT", "quarantine/AmyloidPETscan/a%2Bb.zip"),
            line(f"{user}{start}core", "REST.GET.OBJECT", "quarantine/AmyloidPETscan/c.zip", 206, 100),
            line(f"{user}{start}core", "REST.GET.OBJECT", OTHERS, 403, 243),
            line(f"{user}{start}core", "REST.GET.BUCKET", "-"),
            line(f"arn:aws:sts::000000000000:assumed-role/{start}partner/x", "REST.GET.OBJECT", OTHERS),
            line("arn:aws:sts::000000000000:assumed-role/trc-img-pipe-amypet-copy-role/x", "REST.COPY.OBJECT", OWN),
            line(f"{user}{start}core", "REST.GET.OBJECT", OWN, at=now.replace(year=2020)),
            "no line at all\n",
        ]
    )
    key = f"{TARGET}/{now:%Y-%m-%d-%H-%M-%S}-79A5"
    place.client().put_object(Bucket=ACCESS, Key=key, Body=text.encode())
    said = place.type("lab", "log")
    assert re.search(r"core +took +512 +192\.0\.2\.3 +quarantine/AmyloidPETscan/a\+b\.zip$", said, re.MULTILINE)
    assert re.search(r"core +REFUSED .*quarantine/MRIscan/a\.zip$", said, re.MULTILINE)
    assert re.search(r"partner +took .*quarantine/MRIscan/a\.zip$", said, re.MULTILINE)
    assert "core: 2 files, 612 bytes" in said
    assert "3 files taken" in said
    assert "1 lines could not be read" in said
    assert "copy-role" not in said
    assert "copy-role" in place.type("lab", "log", "--all")
    assert "partner" not in place.type("lab", "log", "core")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["add", "Core!", "--folder", "x"], "is no name for a lab"),
        (["add", "core", "--folder", "a/b"], "is no folder of quarantine"),
        (["add", "core", "--folder", "x", "--until", "soon"], "is no time of ISO 8601"),
        (["add", "core", "--folder", "x", "--from", "here"], "no network"),
        (["add", "core", "--folder", "x", "--account", "7"], "is no AWS account"),
        (["key", "nobody"], "no lab nobody has a key"),
        (["revoke", "nobody"], "no lab nobody has access"),
        (["log", "--last", "for ever"], "is no duration"),
    ],
)
def test_P170_what_cannot_be_done_is_said(place, words, why):
    """One line that names the cause, one with the way out."""
    said = place.type("lab", *words, status=1)
    assert why in said
    assert len(said.splitlines()) == 2, said
