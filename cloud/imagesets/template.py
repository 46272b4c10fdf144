"""The CloudFormation template: data store, two buckets, the import role, and the function that empties the buckets.

``dicom-cloud image-sets stack template`` prints it; deploy/image_sets_template.json is what it printed.
"""

import json
from importlib.resources import files
from typing import Any

_OWN_STORE = "MakesDataStore"
_HAS_KEY = "HasKmsKey"


def template_text() -> str:
    """Return the template as it stands in deploy/, with a line break at its end."""
    return json.dumps(build_template(), indent=2) + "\n"


def build_template() -> dict[str, Any]:
    """Return the template."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "dicom-edge: what the image sets and frames workflow runs on",
        "Parameters": {
            "DatastoreName": {
                "Type": "String",
                "Default": "image-sets",
                "AllowedPattern": "[A-Za-z0-9._/#-]{1,256}",
                "Description": "Name of the data store that is made",
            },
            "DatastoreId": {
                "Type": "String",
                "Default": "",
                "AllowedPattern": "([0-9a-z]{32})?",
                "Description": "A data store that is there already; empty: one is made, and deleted with the stack",
            },
            "KmsKeyArn": {
                "Type": "String",
                "Default": "",
                "AllowedPattern": "(arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+)?",
                "Description": "Key that encrypts buckets and data store; empty: S3's and HealthImaging's own keys."
                " Its policy must let the import role use it",
            },
        },
        "Conditions": {
            _OWN_STORE: {"Fn::Equals": [{"Ref": "DatastoreId"}, ""]},
            _HAS_KEY: {"Fn::Not": [{"Fn::Equals": [{"Ref": "KmsKeyArn"}, ""]}]},
        },
        "Resources": {
            "DataStore": {
                "Type": "AWS::HealthImaging::Datastore",
                "Condition": _OWN_STORE,
                "Properties": {"DatastoreName": {"Ref": "DatastoreName"}, "KmsKeyArn": _key_or_nothing()},
            },
            "InputBucket": _bucket(),
            "OutputBucket": _bucket(),
            "InputBucketPolicy": _bucket_policy("InputBucket"),
            "OutputBucketPolicy": _bucket_policy("OutputBucket"),
            "ImportRole": _import_role(),
            "EmptyBucketRole": _empty_bucket_role(),
            "EmptyBucketFunction": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Description": "Empties a bucket of the image sets workflow before its stack is deleted",
                    "Runtime": "python3.13",
                    "Handler": "index.handler",
                    "Timeout": 900,
                    "MemorySize": 256,
                    "Role": {"Fn::GetAtt": ["EmptyBucketRole", "Arn"]},
                    "Code": {"ZipFile": {"Fn::Join": ["\n", _function_source().split("\n")]}},
                },
            },
            "EmptyInputBucket": _emptied("InputBucket"),
            "EmptyOutputBucket": _emptied("OutputBucket"),
        },
        "Outputs": {
            "DatastoreId": {"Value": {"Fn::If": [_OWN_STORE, _store_attribute("DatastoreId"), {"Ref": "DatastoreId"}]}},
            "OwnsDatastore": {"Value": {"Fn::If": [_OWN_STORE, "true", "false"]}},
            "InputBucket": {"Value": {"Ref": "InputBucket"}},
            "OutputBucket": {"Value": {"Ref": "OutputBucket"}},
            "RoleArn": {"Value": {"Fn::GetAtt": ["ImportRole", "Arn"]}},
        },
    }


def _function_source() -> str:
    return files("cloud.imagesets").joinpath("empty_bucket.py").read_text(encoding="utf-8")


def _store_attribute(name: str) -> dict[str, Any]:
    return {"Fn::GetAtt": ["DataStore", name]}


def _key_or_nothing() -> dict[str, Any]:
    return {"Fn::If": [_HAS_KEY, {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]}


def _arn(bucket: str, rest: str = "") -> dict[str, Any]:
    return {"Fn::Sub": f"${{{bucket}.Arn}}{rest}"}


def _bucket() -> dict[str, Any]:
    by_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Ref": "KmsKeyArn"}}
    encryption = {"Fn::If": [_HAS_KEY, by_key, {"SSEAlgorithm": "AES256"}]}
    return {
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {"ServerSideEncryptionByDefault": encryption, "BucketKeyEnabled": True}
                ]
            },
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        },
    }


def _bucket_policy(bucket: str) -> dict[str, Any]:
    return {
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {
            "Bucket": {"Ref": bucket},
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": "EncryptedTransportOnly",
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "s3:*",
                        "Resource": [_arn(bucket), _arn(bucket, "/*")],
                        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                    }
                ],
            },
        },
    }


def _import_role() -> dict[str, Any]:
    any_store = "arn:${AWS::Partition}:medical-imaging:${AWS::Region}:${AWS::AccountId}:datastore/${DatastoreId}"
    source = {"Fn::If": [_OWN_STORE, _store_attribute("DatastoreArn"), {"Fn::Sub": any_store}]}
    statements: list[Any] = [
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": [_arn("InputBucket"), _arn("OutputBucket")]},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": _arn("InputBucket", "/*")},
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": _arn("OutputBucket", "/*")},
        {
            "Fn::If": [
                _HAS_KEY,
                {
                    "Effect": "Allow",
                    "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
                    "Resource": {"Ref": "KmsKeyArn"},
                },
                {"Ref": "AWS::NoValue"},
            ]
        },
    ]
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "Description": "HealthImaging reads the input bucket and writes the output bucket",
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "medical-imaging.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                        # No other account's data store can have the service use this role (F024).
                        "Condition": {
                            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
                            "ArnEquals": {"aws:SourceArn": source},
                        },
                    }
                ],
            },
            "Policies": [
                {"PolicyName": "import", "PolicyDocument": {"Version": "2012-10-17", "Statement": statements}}
            ],
        },
    }


def _empty_bucket_role() -> dict[str, Any]:
    statements = [
        {
            "Effect": "Allow",
            "Action": "s3:ListBucketVersions",
            "Resource": [_arn("InputBucket"), _arn("OutputBucket")],
        },
        {
            "Effect": "Allow",
            "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
            "Resource": [_arn("InputBucket", "/*"), _arn("OutputBucket", "/*")],
        },
    ]
    logs = "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "Description": "The function that empties the buckets of the image sets workflow",
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "lambda.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    }
                ],
            },
            "ManagedPolicyArns": [{"Fn::Sub": logs}],
            "Policies": [{"PolicyName": "empty", "PolicyDocument": {"Version": "2012-10-17", "Statement": statements}}],
        },
    }


def _emptied(bucket: str) -> dict[str, Any]:
    return {
        "Type": "Custom::EmptyBucket",
        # Deleted before the bucket and the function, since it names both; and while the import role cannot write more.
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "ServiceToken": {"Fn::GetAtt": ["EmptyBucketFunction", "Arn"]},
            "BucketName": {"Ref": bucket},
        },
    }
