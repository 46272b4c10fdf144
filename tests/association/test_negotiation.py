"""What is accepted of what is proposed; pynetdicom reads our answer, so that it is right in another's eyes too."""

import logging
import struct

import pytest
from pydicom import config
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.pdu import A_ASSOCIATE_AC
from pynetdicom.presentation import StoragePresentationContexts, build_role
from pynetdicom.sop_class import _STORAGE_CLASSES, Verification

from edge.association.admission import Rejection
from edge.association.negotiation import is_storage
from edge.association.terms import Terms
from edge.contract.loglines import JsonFormatter
from edge.spool import part10
from tests.association.memory_sink import MemorySink
from tests.association.wire import (
    CT,
    EXPLICIT,
    IMPLICIT,
    VERIFICATION,
    Peer,
    associate_rq,
    context,
    item,
    listening,
    p_data,
    pdv,
    store_rq,
    user_information,
)

pytestmark = pytest.mark.door("socket")

PRIVATE = "1.2.826.0.1.3680043.9.7433.1.99"
NOT_STORAGE = {
    "Study Root Find": "1.2.840.10008.5.1.4.1.2.2.1",
    "Study Root Move": "1.2.840.10008.5.1.4.1.2.2.2",
    "Study Root Get": "1.2.840.10008.5.1.4.1.2.2.3",
    "Patient/Study Only Find (retired)": "1.2.840.10008.5.1.4.1.2.3.1",
    "Modality Worklist": "1.2.840.10008.5.1.4.31",
    "MPPS": "1.2.840.10008.3.1.2.3.3",
    "Print meta": "1.2.840.10008.5.1.1.9",
    "Film session": "1.2.840.10008.5.1.1.1",
    "Storage Commitment": "1.2.840.10008.1.20.1",
    "Storage Commitment Pull (retired)": "1.2.840.10008.1.20.2",
    "Storage Management": "1.2.840.10008.5.1.4.1.1.201.5",
    "UPS Push": "1.2.840.10008.5.1.4.34.6.1",
    "DICOMDIR": "1.2.840.10008.1.3.10",
    "Hanging Protocol Find": "1.2.840.10008.5.1.4.38.2",
    "a transfer syntax": "1.2.840.10008.1.2",
}


def results(body: bytes) -> dict[int, tuple[int, str]]:
    """{context id: (result, transfer syntax)} of an A-ASSOCIATE-AC's body, read by pynetdicom."""
    ac = A_ASSOCIATE_AC()
    ac.decode(struct.pack(">BxI", 2, len(body)) + body)
    return {c.context_id: (c.result, str(c.transfer_syntax)) for c in ac.presentation_context}


def negotiated(contexts: bytes, **kwargs) -> tuple[dict[int, tuple[int, str]], bytes]:
    """The results of a negotiation, and the answer's body."""
    with listening(MemorySink()) as listener, Peer(listener) as peer:
        body = peer.associate(contexts, **kwargs)
    return results(body), body


def test_E005_every_storage_class_is_accepted():
    """All storage classes of pynetdicom, 120 a time, retired and non-patient ones, the private and the unknown."""
    known = sorted(
        {str(c.abstract_syntax) for c in StoragePresentationContexts} | {str(u) for u in _STORAGE_CLASSES.values()}
    )
    retired = ["1.2.840.10008.5.1.4.1.1.5", "1.2.840.10008.5.1.4.1.1.77.1", "1.2.840.10008.5.1.4.38.1"]
    every = [*known, *retired, PRIVATE, "1.2.840.10008.5.1.4.1.1.9999", "1.2.0840.113.05"]
    for start in range(0, len(every), 120):
        some = every[start : start + 120]
        got, _ = negotiated(b"".join(context(2 * n + 1, uid, EXPLICIT) for n, uid in enumerate(some)))
        assert got == {2 * n + 1: (0, EXPLICIT) for n in range(len(some))}


@pytest.mark.parametrize("uid", NOT_STORAGE.values(), ids=NOT_STORAGE)
def test_D10_services_that_are_not_granted_are_refused(uid):
    """Known non-storage services: abstract syntax not supported; Verification and storage beside them accepted."""
    got, _ = negotiated(context(1, uid, IMPLICIT) + context(3, VERIFICATION, IMPLICIT) + context(5, CT, IMPLICIT))
    assert {k: r for k, (r, _) in got.items()} == {1: 3, 3: 0, 5: 0}


def test_E005_the_first_proposed_transfer_syntax_wins_known_or_not():
    """Compressed, big endian, deflated, private and unknown ones; none is preferred over the sender's first."""
    syntaxes = [
        "1.2.840.10008.1.2.2",
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.4.50",
        "1.2.840.10008.1.2.4.201",
        "1.2.840.10008.1.20",
        PRIVATE,
        "1.2.840.113619.5.2",
    ]
    proposed = b"".join(context(2 * n + 1, CT, s, IMPLICIT, EXPLICIT) for n, s in enumerate(syntaxes))
    got, _ = negotiated(proposed)
    assert got == {2 * n + 1: (0, s) for n, s in enumerate(syntaxes)}


def test_E005_padding_and_rubbish_in_one_context_do_not_cost_the_others():
    """UIDs with trailing NUL or space are read without; a UID that is none refuses its own context only."""
    proposed = (
        context(1, CT + "\0", EXPLICIT + " ")
        + context(3, "not a uid", EXPLICIT)
        + context(5, CT, "rubbish")
        + context(7, "1" * 65, EXPLICIT)
        + context(9, CT)
        + context(11, CT, "rubbish", IMPLICIT)
    )
    got, _ = negotiated(proposed)
    assert {k: r for k, (r, _) in got.items()} == {1: 0, 3: 3, 5: 4, 7: 3, 9: 4, 11: 0}
    assert got[1][1] == EXPLICIT
    assert got[11][1] == IMPLICIT


def test_E001_the_answer_repeats_the_reserved_fields_and_names_the_limits():
    """The 64 bytes of both titles and the reserved field come back; maximum length, implementation, async (1,1)."""
    extra = item(0x53, b"\0\5\0\5") + item(0x58, b"\x01\x01\x00\x04user\0\0") + item(0x5F, b"future")
    got, body = negotiated(context(1, CT, EXPLICIT) + item(0x99, b"??"), user=user_information(extra=extra))
    assert got == {1: (0, EXPLICIT)}
    assert body[:4] == b"\0\1\0\0"
    assert item(0x21, b"\1\0\0\0" + item(0x40, EXPLICIT.encode())) in body
    assert body[4:68] == b"EDGE_AE".ljust(16) + b"CLIENT_AE".ljust(16) + bytes(32)
    ac = A_ASSOCIATE_AC()
    ac.decode(struct.pack(">BxI", 2, len(body)) + body)
    user = ac.user_information
    assert user.maximum_length == 131072
    assert user.implementation_class_uid == part10.IMPLEMENTATION_CLASS_UID, "one identity, on the wire and in files"
    assert user.implementation_class_uid.is_valid
    assert user.implementation_version_name.startswith("DICOM-EDGE ")
    assert (user.async_ops_window.max_operations_invoked, user.async_ops_window.max_operations_performed) == (1, 1)
    assert user.user_identity is None


@pytest.mark.parametrize(
    ("proposed", "result", "answered"),
    [((1, 0), 0, (1, 0)), ((1, 1), 0, (1, 0)), ((0, 1), 1, None), ((0, 0), 1, None)],
)
def test_D10_we_are_scp_and_never_scu(proposed, result, answered):
    """Role selection: the requestor may be SCU; one that will only be SCP of storage has nothing to do with us."""
    role = item(0x54, struct.pack(">H", len(CT)) + CT.encode() + bytes(proposed))
    got, body = negotiated(
        context(1, CT, EXPLICIT) + context(3, VERIFICATION, IMPLICIT), user=user_information(extra=role)
    )
    assert {k: r for k, (r, _) in got.items()} == {1: result, 3: 0}
    ac = A_ASSOCIATE_AC()
    ac.decode(struct.pack(">BxI", 2, len(body)) + body)
    roles = {str(u): (r.scu, r.scp) for u, r in ac.user_information.role_selection.items()}
    assert roles == ({CT: answered} if answered else {})


@pytest.mark.parametrize("information", [b"\2\0\0\0\0\0", b""])
def test_D10_extended_negotiation_says_level_2(information):
    """Storage extended negotiation is answered: full storage, elements may be coerced (PS3.4 B.3.1.2)."""
    proposal = item(0x56, struct.pack(">H", len(CT)) + CT.encode() + information)
    _, body = negotiated(context(1, CT, EXPLICIT), user=user_information(extra=proposal))
    ac = A_ASSOCIATE_AC()
    ac.decode(struct.pack(">BxI", 2, len(body)) + body)
    assert [(str(e.uid), e.app_info) for e in ac.user_information.ext_neg] == [(CT, b"\2\0\0\0\1\0")]


def test_E005_pynetdicom_proposes_128_contexts_with_roles():
    """The standard's maximum from a real client: all accepted, the store goes through the last one."""
    ae = AE("MANY")
    for n in range(127):
        ae.add_requested_context(f"1.2.826.0.1.3680043.9.7433.1.{n}", EXPLICIT)
    ae.add_requested_context(Verification)
    role = build_role("1.2.826.0.1.3680043.9.7433.1.5", scu_role=True)
    with listening(MemorySink()) as listener:
        association = ae.associate(*listener.address, ext_neg=[role])
        assert association.is_established
        assert len(association.accepted_contexts) == 128
        assert association.send_c_echo().Status == 0
        association.release()


REJECTIONS = {
    "protocol version": (associate_rq(version=2), (1, 2, 2)),
    "another application context": (associate_rq(application=item(0x10, b"1.2.3")), (1, 1, 2)),
    "no application context": (associate_rq(application=b""), (1, 1, 2)),
    "no presentation context": (associate_rq(b""), (1, 1, 1)),
}


@pytest.mark.parametrize(("request_", "reason"), REJECTIONS.values(), ids=REJECTIONS)
def test_D10_a_request_we_cannot_serve_is_rejected_with_its_reason(request_, reason):
    """Result, source and reason of PS3.8 Table 9-21."""
    with listening(MemorySink()) as listener, Peer(listener) as peer:
        peer.send(request_)
        assert peer.read() == (3, bytes((0, *reason)))
        assert peer.read() == (0, b"")
    assert sum(listener.counters().rejected.values()) == 1


def test_D10_the_hook_for_rules_decides_on_titles_and_address():
    """An admit rule sees calling, called and address, and its rejection is what the peer gets."""
    seen = []

    def admit(applicant):
        seen.append((applicant.calling, applicant.called, applicant.address, applicant.certificate, applicant.tls))
        if applicant.calling != "FRIEND":
            return Rejection(result=1, source=1, reason=3, text="calling AE title not recognised")
        return Terms()

    with listening(MemorySink(), admit) as listener:
        with Peer(listener) as peer:
            peer.send(associate_rq(calling=b"STRANGER"))
            assert peer.read() == (3, bytes((0, 1, 1, 3)))
        with Peer(listener) as peer:
            peer.associate(calling=b"FRIEND")
    assert seen == [(name, "EDGE_AE", "127.0.0.1", None, False) for name in ("STRANGER", "FRIEND")]
    assert listener.counters().rejected == {"calling AE title not recognised": 1}


def test_D10_an_association_that_fails_inside_takes_nobody_along(caplog):
    """A bug in a rule ends that connection with an abort and one line at the door; the next is served."""
    calls = []

    def admit(applicant):
        calls.append(applicant.calling)
        if len(calls) == 1:
            raise RuntimeError("a bug, near Doe^Jane")
        return Terms()

    sink = MemorySink()
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(sink, admit) as listener:
        with Peer(listener) as peer:
            peer.send(associate_rq())
            assert peer.aborted() == (2, 0)
        with Peer(listener) as peer:
            peer.associate()
            assert peer.store(b"1.2.3", b"x") == 0
    failed = [r for r in caplog.records if getattr(r, "event", "") == "association.handler-failed"]
    assert len(failed) == 1
    assert "Doe" not in JsonFormatter().format(failed[0])


@pytest.mark.parametrize("title", [b"", b"\xe9\xe8", b"a\\b\n", b"SIXTEEN_CHARS_16", b"NUL\0\0\0"])
def test_E001_E008_any_title_is_accepted_and_recorded(title):
    """Blank, non-ASCII and ill-formed titles as well; padding is no part of it."""
    sink = MemorySink()
    with listening(sink) as listener, Peer(listener) as peer:
        peer.associate(calling=title, called=title)
        peer.send(p_data(pdv(1, 3, store_rq()), pdv(1, 2, b"x")))
        assert peer.status() == 0
    assert sink.kept[0].request.calling_ae_title == title.rstrip(b"\0 ").decode("latin-1")
    assert sink.kept[0].request.called_ae_title == title.rstrip(b"\0 ").decode("latin-1")


def test_E005_all_classes_the_dictionary_calls_storage_are_storage():
    """Nothing named Storage is left out but commitment, management and the DICOMDIR; nothing else known gets in."""
    from pydicom._uid_dict import UID_dictionary

    refused = {u for u, (name, *_) in UID_dictionary.items() if "Storage" in name and not is_storage(u)}
    names = {UID(u, validation_mode=config.IGNORE).name for u in refused}
    assert all(
        "Commitment" in n or "Management" in n or "Directory" in n or n == "Storage Service Class" for n in names
    ), names
    assert all("Storage" in name for u, (name, *_) in UID_dictionary.items() if is_storage(u))
