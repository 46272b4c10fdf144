"""The API's parts from its settings: opened once, for the command that serves it and for the function alike."""

from datetime import UTC, datetime

import sqlalchemy as sa

from cloud.compose import open_index
from cloud.pipeline.api.app import Parts
from cloud.pipeline.api.uploads import Uploads, open_uploads
from cloud.pipeline.edc.opening import open_edc
from cloud.pipeline.settings import ApiSettings


def open_parts(settings: ApiSettings) -> Parts:
    """Return the parts; raises ConfigError."""
    names = settings.edc_names()
    engine, edc = open_index(settings), open_edc(settings)
    return Parts(
        engine=engine,
        edc=edc,
        names=names,
        on=settings.EDC_IMAGE_PIPELINE_PLUGIN,
        uploads=_uploads(settings, engine, edc),
    )


def _uploads(settings: ApiSettings, engine: sa.Engine, edc: sa.Engine) -> Uploads | None:
    if settings.UPLOAD_BUCKET is None:
        return None
    return open_uploads(
        engine,
        edc,
        settings.edc_names(),
        bucket=settings.UPLOAD_BUCKET,
        region=settings.AWS_REGION,
        endpoint_url=settings.AWS_ENDPOINT_URL,
        browser_url=settings.UPLOAD_ENDPOINT_URL,
        clock=lambda: datetime.now(UTC),
    )
