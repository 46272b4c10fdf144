"""A local AWS in which the whole stack can be made: ministack, and the one resource type that it lacks.

``AWS::HealthImaging::Datastore`` is no type of ministack's. What stands between the command and its CloudFormation
makes that resource a custom one, whose function makes and deletes data stores in the local HealthImaging. All else of
the template goes through as it is.
"""

import io
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3

FUNCTION = "datastore-type"
SOURCE = """
import json, os, time, urllib.request
import boto3
from botocore.config import Config

def handler(event, context):
    client = boto3.client(
        "medical-imaging", endpoint_url=os.environ["HEALTHIMAGING_URL"], region_name="us-east-1",
        aws_access_key_id="test", aws_secret_access_key="test", config=Config(inject_host_prefix=False),
    )
    answer = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")} | {"Status": "SUCCESS"}
    store, data = event.get("PhysicalResourceId", "none"), {}
    try:
        if event["RequestType"] == "Create":
            store = client.create_datastore(datastoreName=event["ResourceProperties"]["DatastoreName"])["datastoreId"]
            while True:
                found = client.get_datastore(datastoreId=store)["datastoreProperties"]
                if found["datastoreStatus"] == "ACTIVE":
                    break
                time.sleep(0.02)
            data = {"DatastoreId": store, "DatastoreArn": found["datastoreArn"]}
        elif event["RequestType"] == "Delete":
            client.delete_datastore(datastoreId=store)
    except Exception as e:
        answer |= {"Status": "FAILED", "Reason": str(e)}
    answer |= {"PhysicalResourceId": store, "Data": data}
    request = urllib.request.Request(event["ResponseURL"], json.dumps(answer).encode(), method="PUT")
    urllib.request.urlopen(request, timeout=20).close()
"""


def aws_client(url: str, service: str) -> Any:
    """Give a plain boto3 client of the local AWS."""
    return boto3.client(
        service, endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )


@contextmanager
def whole_cloudformation(url: str, healthimaging_url: str) -> Iterator[str]:
    """Give the address of a CloudFormation that knows data stores of the local HealthImaging."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.py", SOURCE)
    token = aws_client(url, "lambda").create_function(
        FunctionName=FUNCTION, Runtime="python3.12", Handler="index.handler", Timeout=60,
        Role="arn:aws:iam::000000000000:role/datastore-type", Code={"ZipFile": archive.getvalue()},
        Environment={"Variables": {"HEALTHIMAGING_URL": healthimaging_url}},
    )["FunctionArn"]  # fmt: skip

    class Between(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "content-length"}
            request = urllib.request.Request(url + self.path, _with_type(body, token), headers, method="POST")
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    status, said = answer.status, answer.read()
            except urllib.error.HTTPError as e:
                status, said = e.code, e.read()
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Between)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _with_type(body: bytes, token: str) -> bytes:
    form = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
    if "TemplateBody" not in form:
        return body
    template = json.loads(form["TemplateBody"])
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::HealthImaging::Datastore":
            resource["Type"] = "Custom::HealthImagingDatastore"
            resource["Properties"]["ServiceToken"] = token
    form["TemplateBody"] = json.dumps(template)
    return urllib.parse.urlencode(form).encode()
