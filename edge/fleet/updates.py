"""When an update of the component may come: not while an association is active, and never put off for ever.

Asked, the edge stops accepting at once and lets what is under way finish; the spool stays, for the next version goes on
with it. An association that does not end is cut by the update after all, which loses nothing acknowledged (I1).
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from edge.events import Event, log
from edge.fleet.link import Deferral
from edge.flow import Trouble

RECHECK_MS = 5_000
MOST_SECONDS = 600.0  # as long as a silent association may last as shipped (IDLE_SECONDS)
RESUME_SECONDS = 120.0  # without an update or another question: receive again


class Updates:
    """Holds new associations back while an update is due; a stage, so that it never holds them for ever."""

    name = "updates"

    def __init__(
        self,
        *,
        active: Callable[[], int],
        hold: Callable[[bool], None],
        most_seconds: float = MOST_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``active`` counts the associations; ``hold(True)`` lets no new ones in, ``hold(False)`` does again."""
        self._active = active
        self._hold = hold
        self._most = most_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._deployment: str | None = None
        self._first = self._last = 0.0
        self._since = datetime.now(UTC)

    def before(self, deployment_id: str) -> Deferral:
        """Answer an update that is due."""
        with self._lock:
            now = self._monotonic()
            if self._deployment != deployment_id:
                self._deployment, self._first, self._since = deployment_id, now, datetime.now(UTC)
                log(Event.UPDATE_DUE, "an update is due: no new associations", deployment_id=deployment_id)
            self._last = now
            self._hold(True)
            active = self._active()
            if active and now - self._first < self._most:
                text = f"{active} association{'s' * (active > 1)} under way"
                log(Event.UPDATE_DEFERRED, f"the update is put off: {text}", deployment_id=deployment_id)
                return Deferral(recheck_ms=RECHECK_MS, text=text)
            log(Event.UPDATE_ACCEPTED, "the update may come", deployment_id=deployment_id, cut=active)
            return Deferral(recheck_ms=0, text="nothing is under way" if not active else "waited long enough")

    def after(self) -> None:
        """The update came, or was given up: receive again."""
        with self._lock:
            self._resume()

    def step(self) -> bool:
        """Receive again if neither an update nor another question came; see :class:`edge.flow.Stage`."""
        with self._lock:
            if self._deployment is not None and self._monotonic() - self._last > RESUME_SECONDS:
                log(Event.UPDATE_GONE, "the update did not come: associations are let in again", level=logging.WARNING)
                self._resume()
        return False

    def troubles(self) -> list[Trouble]:
        """Tell people why senders are turned away."""
        with self._lock:
            if self._deployment is None:
                return []
            text = "an update is due: no new associations until it has come"
            hint = f"nothing: senders try again; without an update they are let in after {RESUME_SECONDS:.0f} seconds"
            return [Trouble(stage=self.name, at=self._since, text=text, hint=hint)]

    def _resume(self) -> None:
        self._deployment = None
        self._hold(False)
