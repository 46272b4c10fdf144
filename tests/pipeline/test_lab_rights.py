"""The policy of one lab as a value: what it names, nothing wider, and read again as it was written."""

import json
from datetime import UTC, datetime

import pytest

from cloud.errors import LabFault
from cloud.pipeline.labs.rights import LabRights, lab_folders

KEY = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"


def test_P014_a_policy_reads_its_folders_only_and_is_read_again():
    """A star in a folder's name stays a letter; no right but reading; the key through S3 alone."""
    rights = LabRights(
        bucket="target", folders=("AmyloidPET*scan", "MRI$scan"), until=datetime(2027, 3, 31, tzinfo=UTC),
        addresses=("192.0.2.0/24",), kms_key_arn=KEY,
    )  # fmt: skip
    policy = json.loads(json.dumps(rights.policy()))
    rows = {s["Sid"]: s for s in policy["Statement"]}
    assert rows["ReadFiles"]["Resource"] == [
        "arn:aws:s3:::target/quarantine/AmyloidPET${*}scan/*", "arn:aws:s3:::target/quarantine/MRI${$}scan/*",
    ]  # fmt: skip
    assert {s["Action"] for s in policy["Statement"]} == {
        "s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation", "kms:Decrypt",
    }  # fmt: skip
    assert rows["OpenFiles"]["Resource"] == [KEY]
    assert "kms:ViaService" in json.dumps(rows["OpenFiles"]["Condition"])
    again = LabRights.from_policy(policy)
    assert (again.bucket, again.folders, again.until, again.addresses) == (
        rights.bucket, rights.folders, rights.until, rights.addresses,
    )  # fmt: skip


@pytest.mark.parametrize("folder", ["", "/", "quarantine/", "a/b", "..//x", "a b", "a\nb"])
def test_P014_what_is_no_folder_of_quarantine_is_refused(folder):
    """Nothing that would open more than one folder, or none."""
    with pytest.raises(LabFault):
        lab_folders([folder])


@pytest.mark.parametrize("policy", [{}, {"Statement": []}, {"Statement": [{"Sid": "ReadFiles", "Resource": "x"}]}])
def test_P170_a_policy_of_somebody_else_is_said_to_be_one(policy):
    """It is never shown as if its rights were known."""
    with pytest.raises(LabFault):
        LabRights.from_policy(policy)
