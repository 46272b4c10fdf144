"""The API as a Lambda function: API Gateway hands it one request at a time, and the same application answers.

The gateway lets everyone through: the application judges tokens itself, and its pages and ``/health`` are open.
"""

from functools import cache
from typing import Any

from mangum import Mangum

from cloud.config import load_settings
from cloud.events import configure_logging
from cloud.pipeline.api.app import build_app
from cloud.pipeline.api.opening import open_parts
from cloud.pipeline.settings import ApiSettings


@cache
def _api() -> Mangum:
    settings = load_settings(ApiSettings)
    configure_logging(settings.LOGLEVEL)
    return Mangum(build_app(open_parts(settings)), lifespan="off")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one request of the gateway."""
    return dict(_api()(event, context))
