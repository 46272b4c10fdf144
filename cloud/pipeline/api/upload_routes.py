"""Routes of direct uploads (P169)."""

from typing import Annotated

from fastapi import APIRouter, Path, Request

from cloud.pipeline.api import bodies
from cloud.pipeline.api.files import REFUSALS, TOKEN, allowed
from cloud.pipeline.api.tokens import Caller, Group
from cloud.pipeline.api.uploads import Uploads
from cloud.pipeline.codes import Code, ErrorMessage

UploadId = Annotated[str, Path(alias="id", pattern="^[0-9a-f]{32}$")]


def upload_routes(uploads: Uploads | None) -> APIRouter:
    """Return the routes; without a bucket each says what is missing."""
    routes = APIRouter(
        prefix="/pipeline/upload",
        dependencies=[TOKEN, allowed(Group.UPLOAD)],
        responses=REFUSALS,
        include_in_schema=uploads is not None,
    )

    def there() -> Uploads:
        if uploads is None:
            raise ErrorMessage(Code.ERRA1003, "direct uploads", hint="UPLOAD_BUCKET switches them on")
        return uploads

    def who(request: Request) -> Caller:
        caller: Caller = request.state.caller
        return caller

    @routes.post("")
    def begin(request: Request, body: bodies.UploadBody) -> bodies.UploadAnswer:
        """Begin an upload: how large its parts are, and how many."""
        begun = there().begin(who(request), body.subject_event_crf_id, body.ddfile_name, body.file_name, body.size)
        return bodies.UploadAnswer(data=bodies.UploadData(**begun))

    @routes.post("/{id}/parts")
    def sign(request: Request, upload_id: UploadId, body: bodies.PartsBody) -> bodies.PartsAnswer:
        """Give the addresses that parts are PUT to, each for 300 s."""
        urls = there().sign(who(request), upload_id, body.numbers)
        return bodies.PartsAnswer(data=[bodies.PartUrl(**url) for url in urls])

    @routes.post("/{id}/complete")
    def complete(request: Request, upload_id: UploadId, body: bodies.CompleteBody) -> bodies.CompletedAnswer:
        """Make the object of its parts and record it in the EDC; asked again, the same."""
        parts = sorted((part.model_dump() for part in body.parts), key=lambda part: part["number"])
        return bodies.CompletedAnswer(data=bodies.CompletedData(**there().complete(who(request), upload_id, parts)))

    @routes.post("/{id}/resume")
    def resume(request: Request, upload_id: UploadId) -> bodies.ResumedAnswer:
        """Say which parts S3 holds of a broken upload: only the others need to be sent."""
        return bodies.ResumedAnswer(data=bodies.ResumedData(**there().resume(who(request), upload_id)))

    @routes.delete("/{id}")
    def abort(request: Request, upload_id: UploadId) -> bodies.DoneAnswer:
        """Give an upload up."""
        there().abort(who(request), upload_id)
        return bodies.DoneAnswer()

    return routes
