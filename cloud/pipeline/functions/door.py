"""The door of every function: what goes wrong leaves as one coded error, its class telling the machine what to do."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from cloud.config import load_settings
from cloud.errors import ConfigError
from cloud.events import Event, configure_logging, log
from cloud.pipeline.codes import Code, ErrorMessage, Part
from cloud.pipeline.functions.settings import TraceSettings
from edge.contract.errors import EdgeError


class Transient(ErrorMessage):
    """What may mend itself: the state machine tries the task again."""

    transient = True


@contextmanager
def door(part: Part, event: object, *, missing: Code, failed: Code) -> Iterator[None]:
    """Log the step, or its one error; raises ErrorMessage with ``missing`` for bad input, ``failed`` for the rest."""
    fields = trace(event) | {"part": part.value}
    try:
        yield
        log(Event.RUN_STEP, "the step was taken", **fields)
    except EdgeError as e:
        coded = _coded(e, missing, failed)
        log(Event.RUN_STEP_FAILED, str(coded), level=logging.ERROR, hint=coded.hint, **fields)
        raise _with_hint(coded) from e
    except ValidationError as e:
        names = sorted({".".join(map(str, error["loc"])) for error in e.errors(include_input=False)})
        coded = ErrorMessage(missing, f"not there, or not as expected: {', '.join(names)}")
        log(Event.RUN_STEP_FAILED, str(coded), level=logging.ERROR, **fields)
        raise _with_hint(coded) from None
    except Exception as e:  # noqa: BLE001 - the door: one of the three
        # Its text may hold anything; where it came from is in the log.
        log(Event.RUN_STEP_FAILED, f"{failed}: {type(e).__name__}", level=logging.ERROR, exc=e, **fields)
        raise ErrorMessage(failed, f"unexpected {type(e).__name__}", hint="see the function's log") from None


def trace(event: object) -> dict[str, Any]:
    """Return what ties a line of a log to its run (P122); the time is on every line."""
    try:
        settings = load_settings(TraceSettings)
        configure_logging(settings.LOGLEVEL)
        fields: dict[str, Any] = {
            "study": settings.study,
            "pipeline": settings.edc_pipeline_code,
            "image_type": settings.img_type or settings.edc_pipeline_code,
        }
    except ConfigError:
        configure_logging("INFO")
        fields = {}
    if isinstance(event, Mapping):
        document = event.get("document", event)
        for name, part, key in (("run", "record", "run"), ("file_id", "file", "id")):
            found = document.get(part) if isinstance(document, Mapping) else None
            if isinstance(found, Mapping) and key in found:
                fields[name] = found[key]
    return fields


def _with_hint(e: ErrorMessage) -> ErrorMessage:
    """Step Functions keeps an error's text alone, so the hint becomes its second line (see ``machine.failure``)."""
    if e.hint:
        e.args = (f"{e}\n{e.hint}",)
    return e


def _coded(e: EdgeError, missing: Code, failed: Code) -> ErrorMessage:
    if isinstance(e, ErrorMessage):
        return e
    if isinstance(e, ConfigError):
        return ErrorMessage(missing, str(e).replace("\n", "; "), hint=e.hint)
    return (Transient if e.transient else ErrorMessage)(failed, str(e), hint=e.hint)
