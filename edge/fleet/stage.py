"""The fleet stage: the newest heartbeat and the answers go up over the link, commands come down (D7).

The heartbeat is the very envelope that goes to the queue. An answer waits in the outbox until the link has taken it.
"""

import queue
from collections.abc import Callable

from edge.announce.outbox import envelope_text
from edge.contract.envelope import Kind
from edge.contract.topics import answers_topic, commands_topic, status_topic
from edge.errors import QueueFault
from edge.fleet.actions import Parts, actions
from edge.fleet.commands import Commands
from edge.fleet.link import Link
from edge.journal.journal import Journal
from edge.journal.rows import Message

_MOST_WAITING = 100  # commands; more are dropped, and whoever waits for an answer asks again
_BATCH = 20


class FleetStage:
    """One edge's part in its fleet."""

    name = "fleet"

    def __init__(
        self,
        *,
        link: Link,
        journal: Journal,
        edge_id: str,
        commands: Commands,
        newest_status: Callable[[], Message | None],
    ) -> None:
        """``newest_status`` gives the last heartbeat that was posted."""
        self._link = link
        self._journal = journal
        self._edge_id = edge_id
        self._commands = commands
        self._newest_status = newest_status
        self._told: str | None = None  # message id of the heartbeat that was published last
        self._inbox: queue.Queue[bytes] = queue.Queue(_MOST_WAITING)
        link.listen(commands_topic(edge_id), self._take)

    def step(self) -> bool:
        """Do what waits; raises LinkAway, and then everything waits where it is."""
        self._link.ensure()
        return any([self._carry_out(), self._tell_status(), self._answer()])

    def _take(self, payload: bytes) -> None:
        try:
            self._inbox.put_nowait(payload)
        except queue.Full:
            return

    def _carry_out(self) -> bool:
        try:
            payload = self._inbox.get_nowait()
        except queue.Empty:
            return False
        answer = self._commands.take(payload)
        if answer is not None:
            self._journal.post(Kind.ANSWER, answer)
        return True

    def _tell_status(self) -> bool:
        message = self._newest_status()
        if message is None or message.message_id == self._told:
            return False
        self._link.publish(status_topic(self._edge_id), envelope_text(message, self._edge_id).encode())
        self._told = message.message_id
        return True

    def _answer(self) -> bool:
        waiting = self._journal.unsent_messages(_BATCH, answers=True)
        for message in waiting:
            try:
                text = envelope_text(message, self._edge_id)
            except QueueFault as e:  # longer than a message may be: say that instead
                self._journal.post(Kind.ANSWER, {**_head(message), "Done": False, "Text": str(e), "Hint": e.hint})
            else:
                self._link.publish(answers_topic(self._edge_id), text.encode())
            self._journal.record_sent(message, "")
        return bool(waiting)


def fleet_stages(link: Link | None, parts: Parts, *, newest_status: Callable[[], Message | None]) -> list[FleetStage]:
    """Return the stage of an edge that has a link; nothing for one that has none."""
    if link is None:
        return []
    commands = Commands(parts.edge_id, actions(parts))
    return [
        FleetStage(
            link=link, journal=parts.journal, edge_id=parts.edge_id, commands=commands, newest_status=newest_status
        )
    ]


def _head(message: Message) -> dict[str, object]:
    return {name: message.body.get(name, "") for name in ("CommandId", "Command")}
