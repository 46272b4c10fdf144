"""What the doctor found: values, and the text for people."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """How bad it is."""

    GOOD = "good"
    WARNING = "warning"  # scans are safe; somebody should look
    BAD = "bad"  # the box cannot do its work, or will not for long


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line: what was looked at, what was seen, and what to do."""

    name: str
    verdict: Verdict
    text: str
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


def good(name: str, text: str) -> Finding:
    """Return that nothing has to be done."""
    return Finding(name=name, verdict=Verdict.GOOD, text=text)


def warning(name: str, text: str, hint: str) -> Finding:
    """Return that somebody should look."""
    return Finding(name=name, verdict=Verdict.WARNING, text=text, hint=hint)


def bad(name: str, text: str, hint: str) -> Finding:
    """Return that something has to be done."""
    return Finding(name=name, verdict=Verdict.BAD, text=text, hint=hint)


def findings_text(findings: Iterable[Finding]) -> str:
    """Return all of them for people, the way out under each that needs one, and what it comes to."""
    lines, worst = [], Verdict.GOOD
    for f in findings:
        lines.append(f"{f.verdict.upper():<8} {f.name}: {f.text}")
        lines += [f"         do: {line}" for line in f.hint.splitlines()]
        worst = max(worst, f.verdict, key=list(Verdict).index)
    ends = {
        Verdict.GOOD: "this box is fit to receive",
        Verdict.WARNING: "this box can receive; see the warnings",
        Verdict.BAD: "this box is not fit: see what is bad",
    }
    return "\n".join([*lines, ends[worst]])
