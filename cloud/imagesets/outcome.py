"""What an import job did, from everything that it wrote: the manifest, and one line for each file.

A job that is COMPLETED may have refused every file of it; only these files say so. They are read as the import reads
them; here are the counts and words for whoever runs the workflow by hand.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from cloud.errors import MetadataFault, NotFound, OutputFault
from cloud.imagesets.bucket import Buckets
from cloud.imagesets.selections import image_set_ids
from cloud.imagesets.values import ImportJob, S3Address
from cloud.imports.manifests import read_output


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedFile:
    """A file that was not imported, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutcome:
    """The counts and results of one job; ``failed`` counts files, however often they are listed."""

    job_id: str
    image_set_ids: tuple[str, ...]
    scanned: int
    imported: int
    warned: int
    refused: tuple[RefusedFile, ...]

    @property
    def failed(self) -> int:
        """Return how many files were not imported."""
        return max(len(self.refused), self.scanned - self.imported)


class _Objects:
    """The bucket, as far as what a job left is read from it."""

    def __init__(self, buckets: Buckets, bucket: str) -> None:
        self._buckets, self._bucket = buckets, bucket

    def read(self, key: str) -> Iterator[bytes]:
        """Yield an object's bytes; raises KeyError if there is none."""
        try:
            yield self._buckets.read(S3Address(bucket=self._bucket, key=key))
        except NotFound as e:
            raise KeyError(key) from e


def load_outcome(buckets: Buckets, job: ImportJob) -> JobOutcome:
    """Read the job's manifest (F007) and the files beside it; raises MetadataFault, also when there is none."""
    place = S3Address.parse(job.output_uri).folder()
    try:
        output = read_output(_Objects(buckets, place.bucket), [place.key])
    except OutputFault as e:
        raise MetadataFault(
            f"import job {job.job_id}: {e} (in {place.uri})",
            hint=f"{e.hint}; image sets are also listed by: dicom-cloud image-sets list --datastore-id …",
        ) from e
    refused = (RefusedFile(key=key, reason=r.words or "no reason given") for key, r in sorted(output.failed.items()))
    return JobOutcome(
        job_id=job.job_id,
        image_set_ids=image_set_ids({"jobSummary": output.summary}),
        scanned=output.scanned or len(output.imported) + len(output.failed),
        imported=len(output.imported),
        warned=len(output.warned),
        refused=tuple(refused),
    )
