"""The Lambda function: an SQS batch in, the messages that must come again out (partial failures)."""

from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from cloud.compose import open_ingester
from cloud.config import IngestSettings, load_settings
from cloud.events import configure_logging
from cloud.ingest.ingest import Ingester
from edge.contract.queue_answers import queued_at

# One batch that fails whole is answered like any other: its messages come again one by one, not as an error of ours.
_processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@cache
def _ingester() -> Ingester:
    settings = load_settings(IngestSettings)
    configure_logging(settings.LOGLEVEL)  # Lambda's own handler would swallow everything below WARNING
    return open_ingester(settings)


def _record(record: SQSRecord) -> None:
    _ingester().handle(record.body, queued_at(record.raw_event.get("attributes", {})))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Deal with each record; return ``{"batchItemFailures": [...]}`` naming those to redeliver (E030)."""
    return dict(process_partial_response(event=event, record_handler=_record, processor=_processor, context=context))
