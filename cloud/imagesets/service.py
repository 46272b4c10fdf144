"""HealthImaging's verbs as the workflow needs them: one method, one action of the service (F022)."""

import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from cloud.errors import ServiceAway
from cloud.imagesets.aws import told_plainly
from cloud.imagesets.selections import parse_metadata
from cloud.imagesets.values import DataStore, ImageFrame, ImportJob, JobState

CHUNK = 1 << 18


class HealthImaging:
    """A typed face of botocore's ``medical-imaging`` client; every refusal is one of our errors.

    ``client`` is called once, when a client is first needed.
    """

    def __init__(self, client: Callable[[], Any]) -> None:
        self._open = client

    @cached_property
    def _client(self) -> Any:
        return self._open()

    def data_stores(self) -> Iterator[DataStore]:
        """Give every data store of the account and region, page by page."""
        with told_plainly("list the data stores"):
            for page in self._client.get_paginator("list_datastores").paginate():
                for row in page.get("datastoreSummaries", ()):
                    yield DataStore(
                        datastore_id=row["datastoreId"], name=row["datastoreName"], status=row["datastoreStatus"]
                    )

    def start_import(
        self, *, datastore_id: str, role_arn: str, input_uri: str, output_uri: str, name: str, token: str
    ) -> str:
        """Start an import job and return its id; the same token again gives the same job."""
        with told_plainly("start the DICOM import job"):
            answer = self._client.start_dicom_import_job(
                datastoreId=datastore_id,
                dataAccessRoleArn=role_arn,
                inputS3Uri=input_uri,
                outputS3Uri=output_uri,
                jobName=name,
                clientToken=token,
            )
        return str(answer["jobId"])

    def import_job(self, datastore_id: str, job_id: str) -> ImportJob:
        """Return how far a job is, and where its results lie."""
        with told_plainly(f"get import job {job_id}"):
            answer = self._client.get_dicom_import_job(datastoreId=datastore_id, jobId=job_id)["jobProperties"]
        return ImportJob(
            datastore_id=datastore_id,
            job_id=job_id,
            state=JobState(answer["jobStatus"]),
            input_uri=answer.get("inputS3Uri", ""),
            output_uri=answer.get("outputS3Uri", ""),
            message=answer.get("message", ""),
        )

    def metadata(self, datastore_id: str, image_set_id: str) -> dict[str, Any]:
        """Return the newest metadata of an image set, decompressed and parsed."""
        with told_plainly(f"get the metadata of image set {image_set_id}"):
            answer = self._client.get_image_set_metadata(datastoreId=datastore_id, imageSetId=image_set_id)
            body = answer["imageSetMetadataBlob"].read()
        return parse_metadata(body)

    def frame(self, datastore_id: str, frame: ImageFrame) -> Iterator[bytes]:
        """Give a frame's bytes in pieces, so that none is held whole."""
        with told_plainly(f"get image frame {frame.frame_id}"):
            answer = self._client.get_image_frame(
                datastoreId=datastore_id,
                imageSetId=frame.image_set_id,
                imageFrameInformation={"imageFrameId": frame.frame_id},
            )
            yield from answer["imageFrameBlob"].iter_chunks(CHUNK)

    def image_sets(self, datastore_id: str) -> Iterator[str]:
        """Give the id of every image set that the data store holds."""
        with told_plainly("search the image sets"):
            for page in self._client.get_paginator("search_image_sets").paginate(datastoreId=datastore_id):
                for row in page.get("imageSetsMetadataSummaries", ()):
                    yield row["imageSetId"]

    def delete_image_set(self, datastore_id: str, image_set_id: str) -> None:
        """Delete one image set; that it is gone already is no error to the service's DeleteImageSet's caller."""
        with told_plainly(f"delete image set {image_set_id}"):
            self._client.delete_image_set(datastoreId=datastore_id, imageSetId=image_set_id)


def wait_until(
    done: Callable[[], bool],
    what: str,
    *,
    every: float,
    most: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Ask every so many seconds until ``done``; raises ServiceAway after ``most`` seconds."""
    end = clock() + most
    while not done():
        if clock() >= end:
            raise ServiceAway(
                f"{what}: not within {most:.0f} s",
                hint="it may still come; see IMAGE_SET_WAIT_SECONDS, and run it again",
            )
        sleep(every)
