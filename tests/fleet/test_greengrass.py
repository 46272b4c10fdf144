"""The real edge as a Greengrass component: the real awsiotsdk client against a double of the nucleus's IPC server."""

import io
import json
import zipfile

import pytest

from edge.contract.topics import answers_topic, commands_topic, status_topic
from edge.fleet.commands import command_text
from tests.association.wire import RELEASE_RQ, associate_rq, context
from tests.e2e.edge_process import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, raw_peer, scan, send

pytestmark = pytest.mark.door("socket", "command")

EDGE = "trial-edge"
REQUEST = associate_rq(context(1, SecondaryCaptureImageStorage, ExplicitVRLittleEndian))
STATUS, COMMANDS, ANSWERS = status_topic(EDGE), commands_topic(EDGE), answers_topic(EDGE)


def statuses(nucleus):
    return [e["Body"] for e in nucleus.envelopes(STATUS)]


def ask(nucleus, name, message_id="c-1", edge=EDGE, **body):
    """Hand down a command and wait for its answer."""
    nucleus.deliver(COMMANDS, command_text(edge, message_id, "2026-01-01T00:00:00+00:00", {"Command": name, **body}))

    def answers():
        return [e["Body"] for e in nucleus.envelopes(ANSWERS) if e["Body"]["CommandId"] == message_id]

    nucleus.until(answers, f"an answer to {name}")
    (answer,) = answers()
    return answer


def associate(component):
    """An association that stays open."""
    peer = raw_peer(component)
    peer.associate(context(1, SecondaryCaptureImageStorage, ExplicitVRLittleEndian), calling=b"CT03")
    return peer


def test_E017_E020_fault_27_the_component_is_configured_and_heard_of_through_the_nucleus(component, nucleus):
    """Settings and the edge's number come from the nucleus; it is told RUNNING, and IoT Core how the edge stands."""
    component.start()
    assert send(component, scan(1)) == [0]
    nucleus.until(lambda: any(s["Counts"]["ANNOUNCED"] == 1 for s in statuses(nucleus)), "a heartbeat that counts it")
    assert nucleus.states == ["RUNNING"]
    assert statuses(nucleus)[-1]["EdgeNumber"] == 7
    assert component.manifests()[0]["Instances"][0]["ATRIUID"] == "7000000001.1"
    assert component.stop() == 0


def test_E016_E018_the_configuration_is_followed_live(component, nucleus):
    """A changed setting is in force without a new process; one with faults changes nothing and is told; then mended."""
    component.start()
    pid = component.process.pid
    good = dict(nucleus.configuration)
    nucleus.configure({**good, "SITE": "SITE-9", "LOGLEVEL": "DEBUG"})
    nucleus.until(lambda: statuses(nucleus) and statuses(nucleus)[-1]["Site"] == "SITE-9", "the new site")
    nucleus.configure({**good, "SCP_PORT": "99999", "MAXIMUM": 1})

    def told():
        return [e["Text"] for s in statuses(nucleus)[-1:] for e in s["Errors"] if "configuration" in e["Event"]]

    nucleus.until(told, "the fault is told")
    assert "SCP_PORT must lie between 0 and 65535" in told()[0]
    assert "'MAXIMUM', which is no setting" in told()[0]
    assert statuses(nucleus)[-1]["Site"] == "SITE-9"
    component.until(component._listens, "it listens still")
    assert send(component, scan(1)) == [0]
    nucleus.configure({**good, "SITE": "SITE-10"})
    nucleus.until(lambda: statuses(nucleus)[-1]["Site"] == "SITE-10" and not told(), "the mended one")
    component.until(component._listens, "it listens again")
    assert send(component, scan(2)) == [0]
    assert component.process.pid == pid
    assert component.stop() == 0


def test_E018_a_configuration_that_cannot_be_served_leaves_the_one_before(component, nucleus):
    """Settings that read well and yet cannot be used (another edge's spool): the edge goes on with those it had."""
    component.start()
    good = dict(nucleus.configuration)
    nucleus.configure({**good, "Edges": {EDGE: {"EDGE_NUMBER": 8}}})
    component.until(lambda: component.events("config.kept"), "it is refused")
    component.until(component._listens, "it listens again")
    assert send(component, scan(1)) == [0]
    component.until_states(ANNOUNCED=1)
    (line,) = component.events("config.kept")
    assert "this spool belongs to edge 'trial-edge' number 7" in line["text"]
    assert component.stop() == 0


def test_E020_a_deployment_with_faults_is_rejected_before_it_comes(component, nucleus):
    """Asked to judge a configuration, the component names every fault at once, and no secret may be in one."""
    component.start()
    good = dict(nucleus.configuration)
    assert nucleus.validate(good)[0] == "ACCEPTED"
    status, text = nucleus.validate({**good, "THREADCOUNT": "many", "AWS_SECRET_KEY": "abc123", "Edges": {}})
    assert status == "REJECTED"
    assert "THREADCOUNT is not a whole number" in text
    assert "AWS_SECRET_KEY is secret" in text
    assert "EDGE_NUMBER is required" in text
    assert "abc123" not in text
    assert nucleus.validate({**good, "SCP_PORT": 11112.0, "TLS_ONLY": False, "SITE": ""})[0] == "ACCEPTED"
    assert component.stop() == 0


def test_E020_fault_27_an_update_waits_for_the_association_and_drains(component, nucleus):
    """While one is active the update is put off and nobody else is let in; it ends, and the update may come."""
    component.start()
    peer = associate(component)
    answer = nucleus.before_update("d-7")
    assert answer["recheckAfterMs"] > 0
    assert "1 association under way" in answer["message"]
    with raw_peer(component) as other:
        other.send(REQUEST)
        assert other.read() == (3, bytes([0, 2, 3, 1]))  # transient, provider, congestion
    nucleus.until(
        lambda: any("update is due" in e["Text"] for s in statuses(nucleus) for e in s["Errors"]), "people are told why"
    )
    peer.send(RELEASE_RQ)
    assert peer.read()[0] == 6
    peer.sock.close()
    component.until(lambda: component.events("association.ended"), "it ended")
    nucleus.until(lambda: nucleus.before_update("d-7")["recheckAfterMs"] == 0, "the update may come")
    nucleus.after_update("d-7")  # given up, say: the edge receives again
    component.until(lambda: _is_let_in(component), "associations are let in again")
    assert send(component, scan(1)) == [0]
    assert component.stop() == 0


def _is_let_in(component):
    with raw_peer(component) as peer:
        peer.send(REQUEST)
        return peer.read()[0] == 2


def test_fault_27_commands_come_down_and_their_answers_go_up(component, nucleus):
    """Status, and retry of what is parked; what is unknown, unclear or for another edge changes nothing."""
    component.start()
    assert send(component, scan(1), scan(2, StudyInstanceUID=None)) == [0, 0]
    component.until_states(ANNOUNCED=1, PARKED=1)
    answer = ask(nucleus, "status", "c-1")
    assert answer["Done"]
    assert answer["Result"]["Counts"]["PARKED"] == 1
    ulid = answer["Result"]["Parked"][0]["Ulid"]
    answer = ask(nucleus, "retry", "c-2", Ulids=[ulid])
    assert (answer["Done"], answer["Result"]["Retried"]) == (True, [ulid])
    component.until(lambda: len(component.events("instance.parked")) == 2, "it was tried, and parked again")
    answer = ask(nucleus, "retry", "c-3", Ulids=["01JX3KZ0000000000000000000"])
    assert not answer["Done"]
    assert "no instance" in answer["Result"]["Refused"][0]
    assert "which instances" in ask(nucleus, "retry", "c-4")["Text"]
    assert ask(nucleus, "retry", "c-5", All=True)["Done"]
    answer = ask(nucleus, "erase", "c-6")
    assert (answer["Done"], answer["Hint"]) == (False, "one of: status, retry, diagnostics")
    nucleus.deliver(COMMANDS, "neither JSON nor a command")
    other = command_text("another", "c-7", "2026-01-01T00:00:00+00:00", {"Command": "status"})
    nucleus.deliver(COMMANDS, other)
    nucleus.deliver(COMMANDS, command_text(EDGE, "c-1", "2026-01-01T00:00:00+00:00", {"Command": "status"}))
    assert ask(nucleus, "status", "c-8")["Done"]
    ids = [e["Body"]["CommandId"] for e in nucleus.envelopes(ANSWERS)]
    assert ids == [f"c-{n}" for n in (1, 2, 3, 4, 5, 6, 8)]
    assert len(component.events("command.refused")) == 5
    assert component.stop() == 0


def test_fault_27_the_diagnostics_bundle_holds_no_patient_data(component, nucleus):
    """It lies in the store under its own prefix, and no value of the scans that the edge holds is in it."""
    component.start()
    named = {"PatientName": "Phantom^Quagga", "PatientID": "PH-90210", "AccessionNumber": "ACC-31337"}
    hidden = scan(2, StudyInstanceUID=None, StudyDescription="Knee of Quagga", **named)
    assert send(component, scan(1, **named), hidden, calling="CT03") == [0, 0]
    component.until_states(ANNOUNCED=1, PARKED=1)
    answer = ask(nucleus, "diagnostics")
    assert answer["Done"], answer
    key = answer["Result"]["Key"]
    assert key.startswith("diagnostics/trial-edge/")
    raw = (component.folder / "store" / key).read_bytes()
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        parts = {name: archive.read(name).decode() for name in archive.namelist()}
    whole = "\n".join(parts.values())
    for word in ("Quagga", "PH-90210", "31337", "Knee"):
        assert word not in whole
    assert json.loads(parts["status.json"])["Counts"]["PARKED"] == 1
    assert "instance.parked" in parts["log.jsonl"]
    assert "SPOOL_DIR" in parts["configuration.txt"]
    assert any(row["kind"] == "ANNOUNCED" for row in json.loads(parts["ledger.json"]))
    assert "dicom-edge==" in parts["about.json"]
    assert component.stop() == 0


@pytest.mark.full
def test_D7_a_lost_nucleus_holds_up_neither_receiving_nor_uploading(component, nucleus):
    """Without it scans are received, uploaded and announced; back again, heartbeats and commands pass anew."""
    component.start()
    nucleus.until(lambda: statuses(nucleus), "a heartbeat")
    nucleus.stop()
    assert send(component, scan(1)) == [0]
    component.until_states(ANNOUNCED=1)
    errors = component.status()["Errors"]
    component.until(lambda: any(e["Event"] == "stage fleet" for e in component.status()["Errors"]), f"told: {errors}")
    nucleus.published.clear()
    nucleus.listen()
    nucleus.until(lambda: statuses(nucleus), "a heartbeat again")
    assert ask(nucleus, "status")["Done"]
    assert component.stop() == 0


def test_D7_a_right_that_is_missing_is_named(component, nucleus):
    """Where the recipe's accessControl forgets a topic, the edge works and says what is missing."""
    nucleus.refuse.add("PublishToIoTCore")
    component.start()
    assert send(component, scan(1)) == [0]
    component.until_states(ANNOUNCED=1)
    component.until(lambda: any("accessControl" in e["Hint"] for e in component.status()["Errors"]), "it is named")
    nucleus.refuse.clear()
    nucleus.until(lambda: statuses(nucleus), "a heartbeat")
    assert component.stop() == 0


def test_E017_a_component_that_the_nucleus_does_not_know_ends_with_the_reason(component, nucleus):
    """A wrong token is a failed start with a hint, not an edge without settings."""
    nucleus.token, known = "another", component.environ
    component.__class__ = type("Started", (type(component),), {"environ": known})
    with pytest.raises(AssertionError, match="does not let this component connect"):
        component.start()


def test_fault_27_stop_ends_a_component_without_a_signal(component, nucleus):
    """`dicom-edge stop` drains it and returns when it has ended, as the recipe's shutdown script needs."""
    component.start()
    assert send(component, scan(1)) == [0]
    done = component.command("stop", "--seconds", "30")
    assert done.returncode == 0, done.stderr
    assert "stopped" in done.stdout
    assert component.process.wait(30) == 0
    done = component.command("stop", "--spool", str(component.spool))
    assert (done.returncode, done.stdout) == (0, "no edge runs here\n")
