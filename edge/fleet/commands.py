"""Commands from the cloud, one envelope each, and what is answered. Nothing that a command can do loses a scan.

``status``; ``retry`` with ``All: true`` or ``Ulids``; ``diagnostics``. Doing one twice does no harm, for both ways down
deliver at least once (I4).
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge.contract.envelope import Envelope, Kind, load_envelope
from edge.contract.manifest import Malformed, UnknownVersion
from edge.errors import EdgeError
from edge.events import Event, log

_MOST_REMEMBERED = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a command, in words for people, and in figures."""

    done: bool
    text: str
    hint: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)


Action = Callable[[Mapping[str, Any]], Outcome]


class Commands:
    """Carries out what it is given actions for; what it cannot read is logged and forgotten."""

    def __init__(self, edge_id: str, actions: Mapping[str, Action]) -> None:
        self._edge_id = edge_id
        self._actions = actions
        self._done: dict[str, None] = {}  # message ids, oldest first

    def take(self, payload: bytes) -> dict[str, Any] | None:
        """Carry out one command and return the body of its answer; None if nobody waits for one."""
        envelope = self._read(payload)
        if envelope is None or envelope.message_id in self._done:
            return None
        self._done[envelope.message_id] = None
        if len(self._done) > _MOST_REMEMBERED:
            del self._done[next(iter(self._done))]
        name = str(envelope.body.get("Command", ""))[:64]
        outcome = self._carry_out(name, envelope.body)
        log(
            Event.COMMAND_DONE if outcome.done else Event.COMMAND_REFUSED,
            f"command: {outcome.text}",
            level=logging.INFO if outcome.done else logging.WARNING,
            command=name if name in self._actions else "",
            message_id=envelope.message_id[:64],
        )
        return {
            "CommandId": envelope.message_id[:64],
            "Command": name,
            "Done": outcome.done,
            "Text": outcome.text,
            "Hint": outcome.hint,
            "Result": dict(outcome.result),
        }

    def _carry_out(self, name: str, body: Mapping[str, Any]) -> Outcome:
        action = self._actions.get(name)
        if action is None:
            return Outcome(done=False, text="there is no such command", hint=f"one of: {', '.join(self._actions)}")
        try:
            return action(body)
        except EdgeError as e:
            return Outcome(done=False, text=str(e), hint=e.hint)

    def _read(self, payload: bytes) -> Envelope | None:
        envelope: Envelope | None
        try:
            envelope = load_envelope(payload.decode("utf-8"))
        except (Malformed, UnknownVersion, UnicodeDecodeError):
            envelope = None
        if envelope is not None and envelope.kind is Kind.COMMAND and envelope.edge_id == self._edge_id:
            return envelope
        text = "a message that is no command for this edge was passed over"
        log(Event.COMMAND_REFUSED, text, level=logging.WARNING, hint="look at who may publish to this edge's topic")
        return None


def command_text(edge_id: str, message_id: str, sent_at: str, body: Mapping[str, Any]) -> str:
    """Return a command's message, for whoever sends one (``deploy/`` and the tests)."""
    envelope = Envelope(
        kind=Kind.COMMAND, edge_id=edge_id, message_id=message_id, sent_at=sent_at, body=json.loads(json.dumps(body))
    )
    return envelope.to_json()
