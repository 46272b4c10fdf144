"""Whether a run's file is in quarantine: what the bucket says, for a function may die after its copy (P045, P046)."""

from typing import Any

from cloud.pipeline.functions.clients import open_client
from cloud.pipeline.functions.copying import Copier, Place
from cloud.pipeline.functions.settings import ArrivedSettings
from cloud.pipeline.functions.telling import Run
from cloud.pipeline.names import QUARANTINE


def is_in_quarantine(settings: ArrivedSettings, run: Run, document: dict[str, Any]) -> bool:
    """Return whether it is there; raises CopyFault, or PartAway where S3 does not say."""
    if document.get("copied") is True:
        return True
    if run.where is None:
        return False
    key = settings.target_file_path.strip("/") + run.where.key.removeprefix(QUARANTINE)
    place = Place(bucket=settings.target_bucket_name, key=key)
    return Copier(open_client("s3", settings.AWS_ENDPOINT_URL)).has(place, made_for=run.name)
