"""What this room needs of a way to the fleet; the nucleus and an MQTT broker are twins behind it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Link(Protocol):
    """Messages up and down, at least once. Every method may be called from any thread and ends within seconds."""

    def ensure(self) -> None:
        """Be connected and listening; raises LinkAway if that is not so now."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Hand one message over; returns when the other side has taken it. Raises LinkAway."""

    def listen(self, topic: str, take: Callable[[bytes], None]) -> None:
        """Have a topic's messages given to ``take``, from the next :meth:`ensure` on; ``take`` must not block."""

    def close(self) -> None:
        """End it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferral:
    """What is answered to an update that is due: after so many milliseconds it is asked again; 0 lets it come."""

    recheck_ms: int
    text: str


class Watch(Protocol):
    """Who is told what the nucleus is about to do; called from the SDK's threads."""

    def changed(self) -> None:
        """The component's configuration changed."""

    def judge(self, configuration: dict[str, Any]) -> str | None:
        """Return why a configuration that is about to come cannot be used; None if it can."""

    def before_update(self, deployment_id: str) -> Deferral:
        """Say whether a deployment may change components now."""

    def after_update(self) -> None:
        """It did, or was given up."""
