"""Our codecs against pynetdicom's, and against chance: right bytes are read alike, wrong ones end in one exception."""

import contextlib
import re
from io import BytesIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom.uid import UID
from pynetdicom.dimse_messages import C_ECHO_RQ, C_STORE_RQ
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.dsutils import decode, encode
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ, A_RELEASE_RP

from edge.association.command import decode_command, encode_response
from edge.association.faults import ProtocolFault
from edge.association.guard import fragments, judge, limits_of
from edge.association.negotiation import negotiate
from edge.association.pdu import (
    RELEASE_RP,
    AbortReason,
    AbortSource,
    PduType,
    State,
    abort_pdu,
    command_pdus,
    reject_pdu,
)
from edge.association.request import decode_associate_rq
from edge.association.settings import ListenerSettings
from tests.association.wire import CT, EXPLICIT, associate_rq, context, element, us, user_information

UIDS = st.from_regex(r"\A[1-9](\.(0|[1-9][0-9]{0,5})){1,8}\Z")


@settings(deadline=None)
@given(uid=UIDS, sop_class=UIDS, message_id=st.integers(0, 0xFFFF))
def test_D10_command_sets_of_pynetdicom_are_read(uid, sop_class, message_id):
    """A C-STORE-RQ as pynetdicom encodes it says the same to us."""
    primitive = C_STORE()
    primitive.MessageID, primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = message_id, sop_class, uid
    primitive.Priority, primitive.DataSet = 2, BytesIO(b"data")
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    command = decode_command(encode(message.command_set, True, True))
    assert (command.field, command.message_id, command.has_dataset) == (1, message_id, True)
    assert (command.sop_class_uid, command.sop_instance_uid) == (sop_class, uid)


@settings(deadline=None)
@example(uid="1.0", status=0, comment="\x1b[2J a\\\\b \u202e")
@given(uid=UIDS, status=st.integers(0, 0xFFFF), comment=st.text(max_size=100))
def test_D10_responses_are_read_by_pynetdicom(uid, status, comment):
    """Whatever we answer is a command set to pydicom, group length and comment's length right."""
    request = element(2, CT.encode()) + element(0x100, us(1)) + element(0x110, us(3)) + element(0x1000, uid.encode())
    raw = encode_response(decode_command(request), status, comment)
    ds = decode(BytesIO(raw), True, True)
    assert (ds.CommandField, ds.MessageIDBeingRespondedTo, ds.Status) == (0x8001, 3, status)
    assert ds.AffectedSOPInstanceUID == UID(uid)
    assert ds.CommandGroupLength == len(raw) - 12
    assert (ds.get("ErrorComment") or "") == re.sub(r"[^ -~]|\\", "?", comment[:64]).rstrip(" ")


def test_D10_an_echo_of_pynetdicom_is_read():
    """C-ECHO-RQ has no dataset."""
    primitive = C_ECHO()
    primitive.MessageID, primitive.AffectedSOPClassUID = 4, "1.2.840.10008.1.1"
    message = C_ECHO_RQ()
    message.primitive_to_message(primitive)
    command = decode_command(encode(message.command_set, True, True))
    assert (command.field, command.has_dataset) == (0x30, False)


def test_D10_short_pdus_are_those_of_pynetdicom():
    """Abort, reject and release response, byte for byte."""
    abort, reject = A_ABORT_RQ(), A_ASSOCIATE_RJ()
    abort.source, abort.reason_diagnostic = 2, 6
    reject.result, reject.source, reject.reason_diagnostic = 2, 3, 2
    assert abort_pdu(AbortSource.PROVIDER, AbortReason.INVALID_PARAMETER_VALUE) == abort.encode()
    assert reject_pdu(2, 3, 2) == reject.encode()
    assert A_RELEASE_RP().encode() == RELEASE_RP


@settings(deadline=None)
@given(command=st.binary(min_size=1, max_size=300), most=st.integers(0, 200))
def test_D10_a_command_cut_for_a_small_peer_is_whole_again(command, most):
    """No PDU is longer than the peer takes (7 at the least), only the last fragment is marked, all bytes are there."""
    raw, at, joined, lasts = command_pdus(9, command, most), 0, b"", []
    while at < len(raw):
        length = int.from_bytes(raw[at + 2 : at + 6], "big")
        assert not most or length <= max(most, 8)
        for context_id, control, data in fragments(memoryview(raw)[at + 6 : at + 6 + length]):
            assert context_id == 9
            joined += data
            lasts.append(control)
        at += 6 + length
    assert joined == command
    assert lasts == [1] * (len(lasts) - 1) + [3]


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400))
def test_D10_any_bytes_as_a_request_end_in_a_fault_or_a_readable_answer(data):
    """The decoder raises ProtocolFault or returns; it does nothing else."""
    body = memoryview(associate_rq()[6:74] + data)
    try:
        request = decode_associate_rq(body, 128)
    except ProtocolFault:
        return
    assert negotiate(request, 131072).pdu[0] == 2


@settings(max_examples=300, deadline=None)
@given(at=st.integers(68, 190), value=st.binary(min_size=1, max_size=4))
def test_D10_a_damaged_request_ends_in_a_fault_or_an_answer(at, value):
    """A good request with some bytes changed is refused by the one exception or read."""
    body = bytearray(associate_rq()[6:])
    body[at : at + len(value)] = value
    try:
        negotiate(decode_associate_rq(memoryview(body), 128), 131072)
    except ProtocolFault:
        return


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200))
def test_D10_any_bytes_as_command_or_pdvs_end_in_a_fault_or_are_read(data):
    """Nothing but ProtocolFault leaves the command and PDV decoders; PDVs never reach over the PDU's end."""
    with contextlib.suppress(ProtocolFault):
        decode_command(data)
    try:
        assert sum(6 + len(part) for _, _, part in fragments(memoryview(data))) == len(data)
    except ProtocolFault:
        return


@settings(deadline=None)
@given(state=st.sampled_from(State), kind=st.integers(0, 255), length=st.integers(0, 0xFFFFFFFF))
def test_D10_no_pdu_longer_than_the_limits_is_ever_let_through(state, kind, length):
    """Whatever type and length a header claims, what passes is within the settings."""
    limits = ListenerSettings()
    try:
        passed = judge(state, kind, length, limits_of(limits))
    except ProtocolFault:
        return
    assert passed is PduType(kind)
    assert length <= max(limits.max_pdu, limits.max_associate_rq)


def test_D10_a_request_is_read_as_pynetdicom_reads_it():
    """Titles, contexts and maximum length of a good request, in both decoders' eyes."""
    raw = associate_rq(context(1, CT, EXPLICIT) + context(77, "1.2.3", "1.2.4"), user=user_information(5000))
    theirs = A_ASSOCIATE_RQ()
    theirs.decode(raw)
    ours = decode_associate_rq(memoryview(raw)[6:], 128)
    assert (ours.calling_ae_title, ours.called_ae_title) == (theirs.calling_ae_title, theirs.called_ae_title)
    assert ours.max_pdu == theirs.user_information.maximum_length
    assert [(c.context_id, c.abstract_syntax, list(c.transfer_syntaxes)) for c in ours.contexts] == [
        (c.context_id, c.abstract_syntax, c.transfer_syntax) for c in theirs.presentation_context
    ]


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_D10_a_request_cut_anywhere_is_a_fault(cut):
    """Every cut inside the items is noticed, unless it falls between two of them."""
    body = associate_rq()[6:]
    cut = min(68 + cut, len(body) - 1)
    try:
        request = decode_associate_rq(memoryview(body[:cut]), 128)
    except ProtocolFault:
        return
    assert len(request.contexts) < 3
