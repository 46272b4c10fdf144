"""What a sender writes where a UID belongs is told nowhere: it may be a name."""

import pytest

from edge.contract.local_queue import LocalQueue
from tests.e2e.edge_process import running
from tests.e2e.raw_sender import RawSender, image

pytestmark = pytest.mark.door("socket", "command", "file")

NAME = "DOE^JANE 19700101"


def test_fault_26_D4_a_name_in_the_place_of_a_uid_is_in_no_status_log_or_message(tmp_path):
    """The instance is kept and parked; log, status and what goes to the cloud name it by its digest at the most."""
    with running(tmp_path, STATUS_SECONDS="0.2") as edge:
        sender = RawSender(edge)
        with sender.associated() as peer:
            assert sender.store(peer, NAME, image("1.2.3")) == 0
        edge.until_states(PARKED=1)
        queue, sent = LocalQueue(tmp_path / "queue.db"), []

        def told_the_cloud() -> bool:
            sent.extend(delivery.body for delivery in queue.receive())
            return any('"ParkedTotal":1' in body.replace(" ", "") for body in sent)

        edge.until(told_the_cloud, "the cloud was told")
        queue.close()
        commands = (("status",), ("status", "--json"))
        told = [edge.command(*c).stdout for c in commands] + [edge.log.read_text(), *sent]
        assert all(told)
        assert [text for text in told if "JANE" in text] == []
