"""The Lambda function of imports: each minute by a schedule, and at once when the service says that a job ended."""

import time
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from cloud.compose import open_processor
from cloud.config import ImportSettings, load_settings
from cloud.events import configure_logging
from cloud.imports.notices import jobs_in
from cloud.imports.run import Processor

_LEAVE_MS = 40_000  # longer than one request and its notes can take: nothing is begun after that


@cache
def _processor() -> Processor:
    settings = load_settings(ImportSettings)
    configure_logging(settings.LOGLEVEL)
    return open_processor(settings)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Run the processor, and again while jobs wait for the pace and there is time; a failure is raised, and retried."""

    def has_time() -> bool:
        return context.get_remaining_time_in_millis() > _LEAVE_MS

    wait = _processor().run_once(jobs_in(event), may_go_on=has_time)
    passes = 1
    while wait is not None and has_time():
        time.sleep(wait.total_seconds())
        wait = _processor().run_once(may_go_on=has_time)
        passes += 1
    return {"passes": passes}
