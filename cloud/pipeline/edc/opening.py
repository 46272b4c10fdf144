"""The EDC's database as the settings name it: one of its own, or the index's."""

import sqlalchemy as sa

from cloud.config import database_url
from cloud.db.engine import open_engine
from cloud.errors import ConfigError
from cloud.pipeline.settings import EdcSettings


def open_edc(settings: EdcSettings) -> sa.Engine:
    """Return the EDC's database, which outlives a rotation of its secret; the index's own where it has none."""
    return open_engine(edc_url(settings), renew=lambda: edc_url(settings))


def edc_url(settings: EdcSettings) -> str:
    """Return the address of the EDC's database; raises ConfigError."""
    if settings.EDC_DATABASE_URL is not None:
        return settings.EDC_DATABASE_URL.get_secret_value()
    if settings.EDC_SECRET_ARN is None:
        return database_url(settings)
    try:
        return database_url(
            settings.model_copy(update={"DATABASE_URL": None, "DB_SECRET_ARN": settings.EDC_SECRET_ARN})
        )
    except ConfigError as e:
        raise ConfigError(str(e).replace("DB_SECRET_ARN", "EDC_SECRET_ARN"), hint=e.hint) from e
