"""The shipped rights on a store that judges each request: names under the edge's own prefixes, nobody else's.

S3 answers a head or read of a missing key with 403 there, for a condition on s3:prefix never holds for a head. The
local AWS judges policies and then says 404; what stands before it says 403 in its place, as AWS does.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pynetdicom
import pytest

from cloud.store import S3Reader
from edge.contract.keys import edge_prefixes
from edge.errors import StoreDenied
from edge.upload.s3 import S3Settings, S3Store
from tests.e2e.edge_process import running, scan, send
from tests.e2e.test_deflated import FILES
from tests.e2e.test_deflated import store as store_file
from tests.ministack import LocalAws
from tests.store.conftest import put
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.full, pytest.mark.door("socket", "file")]

EDGE, BUCKET, REGION = "trial-edge", "own-names", "us-east-1"
KEY = f"{EDGE}/9b2f/1.2.3/1.2.3.4/1.2.3.4.5.dcm"


def policy(prefixes: tuple[str, ...]) -> str:
    """The rights of an edge in the bucket, as deploy/parts/edge.py has them."""
    objects = [
        "s3:PutObject", "s3:GetObject", "s3:GetObjectVersion", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts",
    ]  # fmt: skip
    own = [f"{prefix}*" for prefix in prefixes]
    statements = [
        {"Effect": "Allow", "Action": objects, "Resource": [f"arn:aws:s3:::{BUCKET}/{p}" for p in own]},
        {
            "Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}",
            "Condition": {"StringLike": {"s3:prefix": own}},
        },
    ]  # fmt: skip
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@dataclass(kw_only=True)
class Account:
    """The bucket as its owner sees it, and the keys of a user with the edge's rights."""

    url: str
    direct: str
    access_key: str
    secret_key: str

    @property
    def owner(self):
        return boto3.session.Session().client(
            "s3", region_name=REGION, endpoint_url=self.direct, aws_access_key_id="test", aws_secret_access_key="test"
        )

    @property
    def store(self) -> S3Store:
        return S3Store(
            S3Settings(
                bucket=BUCKET, region=REGION, endpoint_url=self.url, access_key=self.access_key,
                secret_key=self.secret_key, attempts=1,
            )
        )  # fmt: skip


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """A local AWS that asks for rights, behind what makes its 404 the 403 of AWS."""
    aws = LocalAws(tmp_path_factory.mktemp("aws"), auth=True)
    try:
        aws.start()
        with TcpProxy(aws.url) as proxy:
            proxy.down = as_aws_says_it
            made = Account(url=proxy.url, direct=aws.url, access_key="", secret_key="")
            made.owner.create_bucket(Bucket=BUCKET)
            made.owner.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
            iam = boto3.session.Session().client(
                "iam", region_name=REGION, endpoint_url=aws.url, aws_access_key_id="test", aws_secret_access_key="test"
            )
            iam.create_user(UserName=EDGE)
            iam.put_user_policy(UserName=EDGE, PolicyName="own", PolicyDocument=policy(edge_prefixes(EDGE)))
            keys = iam.create_access_key(UserName=EDGE)["AccessKey"]
            made.access_key, made.secret_key = keys["AccessKeyId"], keys["SecretAccessKey"]
            yield made
    finally:
        aws.stop()


def as_aws_says_it(data: bytes) -> bytes:
    """Give what S3 gives to who may list his own names only, where a key is not there; head and body come apart."""
    words = b"does not exist"
    for code in (b"NoSuchKey", b"NoSuchVersion"):
        if code in data:
            data = data.replace(code, b"AccessDenied")
            data = data.replace(words, words.ljust(len(words) + 1)[: len(words) + len(code) - len(b"AccessDenied")])
    return data.replace(b"HTTP/1.1 404", b"HTTP/1.1 403", 1) if data.startswith(b"HTTP/1.1 404") else data


def test_fault_23_D6_what_is_missing_is_told_from_what_is_forbidden(account, monkeypatch):
    """Missing under an own prefix: nothing, at the edge and in the cloud. Another edge's: denied, there or not."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", account.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", account.secret_key)
    reader = S3Reader(BUCKET, region=REGION, endpoint_url=account.url, attempts=1)
    store, theirs = account.store, "another/9b2f/1.2.3/1.2.3.4/1.2.3.4.5.dcm"
    account.owner.put_object(Bucket=BUCKET, Key=theirs, Body=b"theirs")
    for one in (store, reader):
        assert one.head(f"{EDGE}/missing") is None
        with pytest.raises(KeyError):
            next(one.read(f"{EDGE}/missing"))
        for key in (theirs, "another/missing"):
            with pytest.raises(StoreDenied) as denied:
                one.head(key)
            assert "s3:ListBucket" in denied.value.hint
            with pytest.raises(StoreDenied):
                next(one.read(key))
    with pytest.raises(KeyError):
        reader.read_start(f"{EDGE}/missing", 10)


def test_I3_D6_what_was_deleted_counts_as_gone_and_what_is_held_back_as_denied(account):
    """A version that an owner deleted is not there any more; one that lies there, but is kept from us, is."""
    store = account.store
    held = put(store, KEY, b"bytes" * 100)
    assert store.head(KEY, held.version_id) == held
    beside = f"{KEY}.beside"  # its name begins with the key's: listed first or not, it is another one
    put(store, beside, b"more")
    account.owner.delete_object(Bucket=BUCKET, Key=KEY, VersionId=held.version_id)
    assert store.head(KEY, held.version_id) is None
    assert store.head(KEY) is None
    statement = {
        "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/{beside}",
    }  # fmt: skip
    account.owner.put_bucket_policy(
        Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    try:
        with pytest.raises(StoreDenied):
            store.head(beside)
    finally:
        account.owner.delete_bucket_policy(Bucket=BUCKET)


def test_fault_23_D5_D6_under_these_rights_a_deflated_object_holds_up_no_line(account, tmp_path: Path, monkeypatch):
    """Before a deflated object is put the edge looks whether it is there: that it is not stops nothing."""
    monkeypatch.setattr(pynetdicom._config, "STORE_SEND_CHUNKED_DATASET", True)  # bytes as they lie in the file
    settings = {
        "AWS_IOT_THING_NAME": EDGE, "STORE_DIR": "", "BUCKETNAME": BUCKET, "AWS_ENDPOINT_URL": account.url,
        "REGION_NAME": REGION, "AWS_ACCESS_KEY": account.access_key, "AWS_SECRET_KEY": account.secret_key,
    }  # fmt: skip
    with running(tmp_path, **settings) as edge:
        assert store_file(edge.port, FILES["ours"]) == 0
        assert send(edge, scan(2)) == [0]
        edge.until_states(ANNOUNCED=2)
        assert not edge.events("stage.waiting")
