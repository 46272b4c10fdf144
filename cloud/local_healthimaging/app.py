"""The HTTP server's application: a request goes to its operation, and the answer back, as the model says."""

import ipaddress
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from cloud.events import Event, log
from cloud.local_healthimaging import changes, datastores, image_sets, jobs, search
from cloud.local_healthimaging.answers import Answer, plain, shape_answer, shape_error
from cloud.local_healthimaging.errors import ServiceError
from cloud.local_healthimaging.limits import Throttle
from cloud.local_healthimaging.model import find_operation
from cloud.local_healthimaging.requests import read_request
from cloud.local_healthimaging.service import Service
from cloud.local_healthimaging.switches import Switchboard, Switches

Operation = Callable[[Service, dict[str, Any]], dict[str, Any]]

OPERATIONS: Mapping[str, Operation] = {
    "CreateDatastore": datastores.create_datastore,
    "DeleteDatastore": datastores.delete_datastore,
    "GetDatastore": datastores.get_datastore,
    "ListDatastores": datastores.list_datastores,
    "ListTagsForResource": datastores.list_tags,
    "TagResource": datastores.tag_resource,
    "UntagResource": datastores.untag_resource,
    "StartDICOMImportJob": jobs.start_job,
    "GetDICOMImportJob": jobs.get_job,
    "ListDICOMImportJobs": jobs.list_jobs,
    "SearchImageSets": search.search,
    "UpdateImageSetMetadata": changes.update_metadata,
    "CopyImageSet": changes.copy_image_set,
    "GetImageSet": image_sets.get_image_set,
    "GetImageSetMetadata": image_sets.get_metadata,
    "GetImageFrame": image_sets.get_frame,
    "ListImageSetVersions": image_sets.list_versions,
    "DeleteImageSet": image_sets.delete_image_set,
}

MOST_BODY = 1 << 20
SWITCHES = "/_local/switches"
LOST = Answer(status=0)


class App:
    """An ASGI application over one :class:`Service`."""

    def __init__(self, service: Service, throttle: Throttle) -> None:
        self._service = service
        self._throttle = throttle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        answer = await self._answer(request)
        if answer is LOST:
            _cut(send)
            return
        await _response(answer)(scope, receive, send)

    async def _answer(self, request: Request) -> Answer:
        if not is_local(request.headers.get("host", "")):
            # A name that was bound to our address from outside (DNS rebinding) gets nothing.
            return plain(421, {"message": "this server answers to loopback names only"})
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_BODY:
                return plain(413, {"message": "the request is too large"})
        raw_path = bytes(request.scope.get("raw_path") or request.url.path.encode()).decode("ascii", "replace")
        return await run_in_threadpool(
            self._serve, request.method, raw_path.partition("?")[0], request.query_params.multi_items(), body
        )

    def _serve(self, method: str, raw_path: str, query: list[tuple[str, str]], body: bytes) -> Answer:
        if raw_path == SWITCHES:
            return _switch(self._service.switchboard, method, body)
        found = find_operation(method, raw_path)
        if found is None:
            return plain(404, {"message": "UnknownOperationException"})
        operation, uri = found
        trouble = self._service.switchboard.next_trouble(operation.name)
        try:
            if trouble is not None:
                time.sleep(trouble.seconds)
                if trouble.error is not None:
                    raise ServiceError("This error was wanted by the switches of this server", code=trouble.error)
            self._throttle.take(operation.name)
            params = read_request(operation, uri, query, body)
            answer = shape_answer(operation, OPERATIONS[operation.name](self._service, params))
            return LOST if trouble is not None and trouble.lose_answer else answer
        except ServiceError as e:
            return shape_error(e)
        except Exception as e:  # noqa: BLE001 - the door: the client gets the service's own 500
            log(Event.JOB_FAILED, f"{operation.name} met a fault of ours", level=logging.ERROR, exc=e)
            return shape_error(ServiceError("An internal error occurred"))


def _switch(switchboard: Switchboard, method: str, body: bytes) -> Answer:
    """Answer a request of the tests' own, which the service does not have."""
    if method in ("PUT", "DELETE"):
        try:
            switchboard.put(Switches.model_validate_json(body) if method == "PUT" else Switches())
        except ValidationError as e:
            faults = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in e.errors()]
            return plain(400, {"message": "; ".join(faults)})
    elif method != "GET":
        return plain(405, {"message": "GET, PUT or DELETE"})
    return plain(200, switchboard.show().model_dump())


def _cut(send: Send) -> None:
    """Close the connection without a word; the server hands its own ``send``, which knows the connection."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("this server does not show its connection")
    transport.abort()


def is_local(host: str) -> bool:
    """Whether a Host header names this machine, with or without the prefix that SDKs put before it."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.removeprefix("runtime-").strip("[]")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _response(answer: Answer) -> Response:
    if isinstance(answer.body, Path):
        return FileResponse(answer.body, answer.status, answer.headers, answer.headers.get("Content-Type"))
    if isinstance(answer.body, Iterator):
        return StreamingResponse(answer.body, answer.status, answer.headers)
    return Response(answer.body, answer.status, answer.headers)
