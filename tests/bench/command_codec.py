"""What one C-STORE costs in command sets: read the request and write the response, with ours and with pynetdicom's.

python -m tests.bench.command_codec
"""

import time
from collections.abc import Callable

from pynetdicom.dimse_messages import C_STORE_RSP, DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA

from edge.association.command import decode_command, encode_response
from tests.association.wire import store_rq

REQUEST = store_rq(b"1.2.3.4.5")
ROUNDS = 1000


def with_ours() -> None:
    """Decode and answer with the listener's codec."""
    encode_response(decode_command(REQUEST), 0)


def with_pynetdicom() -> None:
    """Decode and answer with pynetdicom's."""
    data = P_DATA()
    data.presentation_data_value_list = [[1, b"\x03" + REQUEST]]
    message = DIMSEMessage()
    message.decode_msg(data)
    request = message.message_to_primitive()
    answer = C_STORE()
    answer.MessageIDBeingRespondedTo = request.MessageID
    answer.AffectedSOPClassUID = request.AffectedSOPClassUID
    answer.AffectedSOPInstanceUID = request.AffectedSOPInstanceUID
    answer.Status = 0
    response = C_STORE_RSP()
    response.primitive_to_message(answer)
    list(response.encode_msg(1, 16382))


def microseconds(work: Callable[[], None]) -> float:
    """Return the mean time of one call."""
    began = time.perf_counter()
    for _ in range(ROUNDS):
        work()
    return (time.perf_counter() - began) / ROUNDS * 1e6


if __name__ == "__main__":
    theirs, ours = microseconds(with_pynetdicom), microseconds(with_ours)
    print(f"pynetdicom {theirs:.0f} us, ours {ours:.0f} us: {theirs / ours:.0f} times, in one run")
