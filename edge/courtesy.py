"""Courtesy: stages give way while receiving is hurried, and never stand still (the answer to a sender comes first)."""

import threading
import time
from collections.abc import Callable

BURST = 2.0  # seconds that a hurry has to itself
PATIENCE = 60.0  # seconds after which stages take half of the time
REST = 10.0  # times as long as a stage worked
REST_LATER = 1.0
REST_MOST = 3.0  # seconds
_LOOK_AGAIN = 0.05


class Courtesy:
    """When the stages of one flow may work; ``hurried`` tells whether senders are waiting for us just now.

    A short burst is taken at full speed and worked off afterwards. In a longer one a stage rests ten times as long as
    it worked, and after PATIENCE seconds as long as it worked, so that a backlog drains whatever the senders do.
    """

    def __init__(self, hurried: Callable[[], bool], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._hurried = hurried
        self._monotonic = monotonic
        self._since: float | None = None  # when this hurry began

    def let_pass(self, stopping: threading.Event) -> None:
        """Wait before a step as long as a burst is young."""
        while (hurry := self._hurry()) is not None and hurry < BURST:
            if stopping.wait(_LOOK_AGAIN):
                return

    def rest(self, worked: float, stopping: threading.Event) -> None:
        """Wait after ``worked`` seconds of work, for as long as the hurry lasts."""
        began = self._monotonic()
        while (hurry := self._hurry()) is not None:
            share = REST if hurry < PATIENCE else REST_LATER
            left = began + min(worked * share, REST_MOST) - self._monotonic()
            if left <= 0 or stopping.wait(min(left, _LOOK_AGAIN)):
                return

    def _hurry(self) -> float | None:
        """Return for how long there has been a hurry, None if there is none."""
        now = self._monotonic()
        if not self._hurried():
            self._since = None
            return None
        since = self._since  # other stages look too
        if since is None:
            since = self._since = now
        return now - since
