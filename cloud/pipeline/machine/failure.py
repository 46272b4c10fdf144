"""Which error a run met, from what Step Functions keeps of it: code, words, and what to do."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloud.pipeline.codes import TABLE, Code

_CODES = frozenset(code.value for code in Code)
_CODED = re.compile(r"(ERR[A-Z][0-9]{4}): (.*)")

#: What the document holds once a state was passed, and the code of a fault that came after it without one of its own.
_PASSED = (
    ("copied", Code.ERRL4003),
    ("status", Code.ERRL4002),
    ("job", Code.ERRL3001),
    ("file", Code.ERRL2001),
    ("record", Code.ERRL8001),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetError:
    """One error as it is logged and mailed."""

    code: str
    error: str
    raised_by: str
    hint: str = ""


def met_error(document: Mapping[str, Any]) -> MetError:
    """Return the error that the machine caught; one that no function of ours raised gets the code of its state."""
    failure = document.get("error") or {}
    if (said := _said(failure)) is not None:
        return said
    if "digest" in document:
        return _unsaid(Code.ERRL7002, failure)
    if "unstarted" in document:
        return _unsaid(Code.ERRL9001, failure)
    if "ended" in document:
        return coded(
            Code.ERRL9002, f"{TABLE[Code.ERRL9002].text} ({document['ended']})", "dicom-cloud pipeline redrive"
        )
    return _unsaid(next((code for name, code in _PASSED if name in document), Code.ERRL1004), failure)


def untold(document: Mapping[str, Any]) -> MetError | None:
    """Return why the state that tells people of errors did not, None if it did."""
    if "told" in document:
        return None
    failure = document.get("not_told") or {}
    return _said(failure) or _unsaid(Code.ERRL6001, failure)


def coded(code: Code, error: str, hint: str = "") -> MetError:
    """Return an error whose code tells who raised it."""
    return MetError(code=code.value, error=error, raised_by=TABLE[code].part.value, hint=hint)


def _said(failure: Mapping[str, Any]) -> MetError | None:
    """What a function of ours said."""
    cause = str(failure.get("Cause", ""))
    try:
        said = str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        said = cause
    first, _, hint = said.partition("\n")
    if (found := _CODED.fullmatch(first)) is None or found[1] not in _CODES:
        return None
    return coded(Code(found[1]), found[2], hint)


def _unsaid(code: Code, failure: Mapping[str, Any]) -> MetError:
    return coded(code, f"{TABLE[code].text} ({failure.get('Error') or 'unknown error'})", "see the function's log")
