"""The stack's function that empties a bucket before CloudFormation deletes it (F021); boto3 is all that it has.

Its source goes into the template as it stands. CloudFormation waits for an answer at ResponseURL; without one a stack
hangs for an hour, so a fault is answered too.
"""

import json
import urllib.request

import boto3


def handler(event, context):
    """Answer a custom resource's event; on Delete every version of every object goes first."""
    status, reason = "SUCCESS", "done"
    try:
        if event["RequestType"] == "Delete":
            reason = f"{empty(event['ResourceProperties']['BucketName'])} objects deleted"
    except Exception as e:
        status, reason = "FAILED", f"{type(e).__name__}: {e}"
    answer = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"Status": status, "Reason": reason}
    answer["PhysicalResourceId"] = event.get("PhysicalResourceId") or event["LogicalResourceId"]
    body = json.dumps(answer).encode()
    request = urllib.request.Request(event["ResponseURL"], body, {"Content-Type": ""}, method="PUT")
    urllib.request.urlopen(request, timeout=30).close()


def empty(name):
    """Delete all versions and delete markers of a bucket, and what is left of unfinished uploads."""
    s3 = boto3.client("s3")
    count = 0
    try:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
            found = [
                {"Key": row["Key"], "VersionId": row["VersionId"]}
                for kind in ("Versions", "DeleteMarkers")
                for row in page.get(kind, ())
            ]
            if found:
                answer = s3.delete_objects(Bucket=name, Delete={"Objects": found, "Quiet": True})
                if answer.get("Errors"):
                    raise RuntimeError(answer["Errors"][0]["Code"])
                count += len(found)
    except s3.exceptions.NoSuchBucket:
        return 0
    return count
