"""The synthesised rights, read as IAM reads them (fault 23): what an edge, an installer and each function may do."""

import json

import pytest

from edge.contract.keys import edge_prefixes
from tests.deploy.conftest import statements, text

pytestmark = [pytest.mark.full, pytest.mark.door("file")]

NEVER = {"s3:DeleteObject", "s3:*", "*", "kms:*", "iam:*", "sqs:*", "s3:DeleteObjectVersion", "s3:PutBucketPolicy"}


def actions(statement):
    """The actions of a statement, as a list."""
    found = statement["Action"]
    return [found] if isinstance(found, str) else found


def resources(statement):
    """The resources of a statement, each as one line of text."""
    found = statement["Resource"]
    return [text(r) for r in (found if isinstance(found, list) else [found])]


def test_fault_23_an_edge_may_write_and_read_under_its_own_prefixes_and_nothing_else(templates):
    """Each action of each edge's policy is one that it needs, on its own prefixes, queue and component; no wildcard
    stands alone, nothing can be deleted, and the key is open through S3 only.
    """
    for name in ("lab1", "lab2"):
        thing = f"dicom-edge-{name}"
        policy = templates.one(f"dicom-edge-edge-{name}", "AWS::IAM::ManagedPolicy")
        rows = {s["Sid"]: s for s in policy["PolicyDocument"]["Statement"]}
        assert set(actions(rows["OwnObjects"])) == {
            "s3:PutObject", "s3:GetObject", "s3:GetObjectVersion", "s3:AbortMultipartUpload",
            "s3:ListMultipartUploadParts",
        }  # fmt: skip
        own = {f"{prefix}*" for prefix in edge_prefixes(thing)}
        assert {r.partition("}/")[2] for r in resources(rows["OwnObjects"])} == own
        assert list(rows["OwnNames"]["Condition"]) == ["StringLike"]
        assert set(rows["OwnNames"]["Condition"]["StringLike"]["s3:prefix"]) == own
        assert set(actions(rows["KeyThroughS3"])) == {"kms:GenerateDataKey", "kms:Decrypt"}
        assert "s3." in text(rows["KeyThroughS3"]["Condition"]["StringEquals"]["kms:ViaService"])
        assert resources(rows["Component"])[0].endswith("/components/*")
        assert {a for s in rows.values() for a in actions(s)} == {
            *actions(rows["OwnObjects"]), "s3:ListBucket", "s3:GetBucketLocation", "kms:GenerateDataKey", "kms:Decrypt",
            "sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility",
            "sqs:GetQueueAttributes",
        }  # fmt: skip
        assert "*" not in [r for s in rows.values() for r in resources(s)]
        role = templates.one(f"dicom-edge-edge-{name}", "AWS::IAM::Role")
        assert role["RoleName"] == f"{thing}-GG-Role"
        assert "Policies" not in role
        assert "ManagedPolicyArns" not in role
        other = "dicom-edge-lab2" if name == "lab1" else "dicom-edge-lab1"
        assert other not in json.dumps(templates.stacks[f"dicom-edge-edge-{name}"])


def test_fault_23_nobody_has_a_wildcard_of_rights(templates):
    """In all stacks: no managed policy of AWS's, no PassRole but of one role to one service, no key but by name and
    through a service, no right to delete objects or to change who may.
    """
    for stack, name, row in templates.resources():
        for statement in statements(row):
            where = f"{stack} {name}: {statement}"
            if statement["Effect"] == "Deny" or row["Type"] == "AWS::KMS::Key":
                continue
            assert not NEVER & set(actions(statement)), where
            if "iam:PassRole" in actions(statement):
                assert statement["Condition"]["StringEquals"]["iam:PassedToService"], where
                assert "*" not in "".join(resources(statement)), where
            if any(a.startswith("kms:") for a in actions(statement)):
                assert "kms:ViaService" in json.dumps(statement["Condition"]), where
                assert "*" not in "".join(resources(statement)), where
        if row["Type"] == "AWS::IAM::Role":
            assert "arn:aws:iam::aws:policy" not in json.dumps(row), f"{stack} {name}"


def test_fault_23_functions_write_nothing_into_the_bucket(templates):
    """No role of a function may put or delete an object; the database's secret is the only one that they read."""
    for stack in ("dicom-edge-ingestion", "dicom-edge-import", "dicom-edge-alarms"):
        for row in templates.stacks[stack]["Resources"].values():
            if row["Type"] == "AWS::IAM::Policy":
                text_ = json.dumps(row)
                if "medical-imaging" not in text_ and "results/*" not in text_:
                    assert "s3:PutObject" not in text_
                assert "s3:Delete" not in text_
                assert text_.count("secretsmanager:GetSecretValue") <= 1


def test_E023_the_installer_finds_everything_made(templates):
    """The installer's role makes a certificate and joins it to what is there; it passes, makes and widens no role."""
    roles = templates.of("dicom-edge-fleet", "AWS::IAM::Role")
    assert [r["RoleName"] for r in roles.values()] == ["dicom-edge-GGInstallerRole"]
    rows = templates.one("dicom-edge-fleet", "AWS::IAM::Policy")["PolicyDocument"]["Statement"]
    allowed = {a for s in rows for a in actions(s)}
    assert not allowed & {"iam:PassRole", "iam:CreateRole", "iam:CreatePolicy", "iam:PutRolePolicy", "iot:CreatePolicy"}
    attach = next(s for s in rows if "iam:AttachRolePolicy" in actions(s))
    assert text(attach["Condition"]["ArnLike"]["iam:PolicyARN"]).endswith("policy/dicom-edge-*-GG-RoleAccess")
    assert templates.one("dicom-edge-fleet", "AWS::IoT::ThingGroup")["ThingGroupName"] == "dicom-edge-IEP-devices"


def test_fault_23_a_device_speaks_as_itself_only(templates):
    """The certificate's IoT policy names the connected thing in each client and topic, and never a bare wildcard."""
    policy = templates.one("dicom-edge-fleet", "AWS::IoT::Policy")["PolicyDocument"]
    for statement in policy["Statement"]:
        for resource in resources(statement):
            if "greengrass:ResolveComponentCandidates" not in actions(statement):
                assert "${iot:Connection.Thing.ThingName}" in resource


def test_fault_24_no_secret_is_in_a_template(templates):
    """No function's environment, output or parameter holds a password: they hold the secret's ARN, made by AWS."""
    for stack, name, row in templates.resources():
        if row["Type"] == "AWS::Lambda::Function":
            names = row["Properties"].get("Environment", {}).get("Variables", {})
            assert "DATABASE_URL" not in names, f"{stack} {name}"
            assert not [n for n in names if "PASSWORD" in n or "SECRET_KEY" in n]
        if row["Type"] == "AWS::SecretsManager::Secret":
            assert "SecretString" not in row["Properties"]
            assert row["Properties"]["GenerateSecretString"]["PasswordLength"] >= 30
    assert not [t for t in templates.stacks.values() if "password" in json.dumps(t.get("Outputs", {})).lower()]


def test_fault_25_what_runs_in_the_cloud_is_pinned(templates):
    """Functions run what lies in their zips, built from the locks; no template installs anything at deployment."""
    for stack, name, row in templates.resources():
        if row["Type"] == "AWS::Lambda::Function":
            code = row["Properties"]["Code"]
            assert set(code) == {"S3Bucket", "S3Key"}, f"{stack} {name}"
            assert row["Properties"]["Handler"].startswith("cloud.")
        assert "pip install" not in json.dumps(row)
        assert "apt-get" not in json.dumps(row)
