"""The edge of a box without Greengrass, at a real broker: mosquitto, MQTT 5, mutual TLS."""

import json
import queue
import subprocess
import time
from pathlib import Path

import pytest
from awscrt import mqtt5
from awsiot import mqtt5_client_builder

from edge.contract.topics import answers_topic, commands_topic, status_topic
from edge.fleet.commands import command_text
from tests.certificates import SERVER, authority
from tests.e2e.edge_process import EdgeProcess, scan, send
from tests.parts import program
from tests.ports import free_port

pytestmark = pytest.mark.door("socket", "command")

EDGE = "trial-edge"
SECONDS = 30.0


class Mosquitto:
    """A broker that knows clients by their certificates, and lets each use its own topics only."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.port = free_port()
        self.ca = authority(folder / "ca")
        self.own = self.ca.issue("broker", dns=("localhost",), usage=SERVER)
        self.process = None

    def start(self):
        (self.folder / "acl").write_text(
            "pattern write dicom-edge/%u/status\npattern write dicom-edge/%u/answers\n"
            "pattern read dicom-edge/%u/commands\nuser cloud\ntopic readwrite dicom-edge/#\n"
        )
        (self.folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\ncafile {self.ca.path}\ncertfile {self.own.certificate}\n"
            f"keyfile {self.own.key}\nrequire_certificate true\nuse_identity_as_username true\n"
            f"acl_file {self.folder}/acl\nuser root\npersistence false\n"
        )
        with (self.folder / "mosquitto.log").open("ab") as log:
            command = [program("mosquitto"), "-c", str(self.folder / "mosquitto.conf")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None


class Cloud:
    """Whoever sits at the other end: hears what edges say, and sends commands."""

    def __init__(self, broker: Mosquitto):
        files = broker.ca.issue("cloud")
        self.heard: queue.Queue = queue.Queue()
        self.client = mqtt5_client_builder.mtls_from_path(
            str(files.certificate), str(files.key), endpoint="localhost", port=broker.port, client_id="cloud",
            ca_filepath=str(broker.ca.path), min_reconnect_delay_ms=100, max_reconnect_delay_ms=500,
            enable_metrics_collection=False,
            on_publish_received=lambda d: self._hear(d.publish_packet),
            on_lifecycle_connection_success=lambda _: self._subscribe(),
        )  # fmt: skip
        self.client.start()

    def _hear(self, packet):
        self.heard.put((packet.topic, json.loads(packet.payload)))

    def _subscribe(self):
        both = [
            mqtt5.Subscription(topic_filter=t(EDGE), qos=mqtt5.QoS.AT_LEAST_ONCE) for t in (status_topic, answers_topic)
        ]
        self.client.subscribe(mqtt5.SubscribePacket(both))

    def next(self, topic, wanted=bool):
        """The next envelope's body of a topic that is wanted."""
        end = time.monotonic() + SECONDS
        while True:
            at, envelope = self.heard.get(timeout=max(0.01, end - time.monotonic()))
            if at == topic and wanted(envelope["Body"]):
                assert envelope["EdgeId"] == EDGE
                return envelope["Body"]

    def send(self, text):
        packet = mqtt5.PublishPacket(topic=commands_topic(EDGE), payload=text, qos=mqtt5.QoS.AT_LEAST_ONCE)
        self.client.publish(packet).result(SECONDS)


@pytest.fixture
def broker(tmp_path):
    found = Mosquitto(tmp_path / "broker")
    yield found.start()
    found.stop()


@pytest.fixture
def edge(tmp_path, broker):
    """An edge whose certificate carries its name."""
    files = broker.ca.issue(EDGE)
    made = EdgeProcess(
        tmp_path / "edge", MQTT_ENDPOINT="localhost", MQTT_PORT=str(broker.port),
        MQTT_CERTIFICATE=str(files.certificate), MQTT_KEY=str(files.key), MQTT_CA=str(broker.ca.path),
    )  # fmt: skip
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait(30)


def ask(cloud, name, number, **body):
    cloud.send(command_text(EDGE, f"c-{number}", "2026-01-01T00:00:00+00:00", {"Command": name, **body}))
    return cloud.next(answers_topic(EDGE), lambda b: b["CommandId"] == f"c-{number}")


@pytest.mark.full
def test_E017_D7_heartbeats_go_up_and_commands_come_down_through_a_broker(edge, broker):
    """Mutual TLS, MQTT 5: the edge is heard, asked and answers; the broker goes, scans go on, and it finds back."""
    cloud = Cloud(broker)
    try:
        edge.start()
        assert send(edge, scan(1)) == [0]
        cloud.next(status_topic(EDGE), lambda b: b["Counts"]["ANNOUNCED"] == 1)
        assert ask(cloud, "status", 1)["Result"]["EdgeNumber"] == 7
        key = ask(cloud, "diagnostics", 2)["Result"]["Key"]
        assert (edge.folder / "store" / key).exists()
        broker.stop()
        assert send(edge, scan(2)) == [0]
        edge.until_states(ANNOUNCED=2)
        edge.until(lambda: any(e["Event"] == "stage fleet" for e in edge.status()["Errors"]), "people are told")
        broker.start()
        cloud.next(status_topic(EDGE), lambda b: b["Counts"]["ANNOUNCED"] == 2)
        assert ask(cloud, "status", 3)["Done"]
        assert edge.stop() == 0
    finally:
        cloud.client.stop()


@pytest.mark.full
def test_D7_a_broker_that_is_another_is_refused_and_holds_up_nothing(edge, broker, tmp_path):
    """A broker whose certificate our CA did not issue is told of; scans are received and announced all the same."""
    edge.settings["MQTT_CA"] = str(authority(tmp_path / "other").path)
    edge.start()
    assert send(edge, scan(1)) == [0]
    edge.until_states(ANNOUNCED=1)
    edge.until(lambda: any("MQTT_CA" in e["Hint"] for e in edge.status()["Errors"]), "people are told")
    done = edge.command("doctor", "--json")
    assert any(f["name"] == "fleet" and "cannot be reached" in f["text"] for f in json.loads(done.stdout))
    assert edge.stop() == 0


def test_E018_a_broker_needs_a_certificate(tmp_path):
    """Half a setting is a fault that names the other half."""
    done = EdgeProcess(tmp_path, MQTT_ENDPOINT="localhost").command("check-config")
    assert done.returncode == 2
    assert "MQTT_ENDPOINT needs MQTT_CERTIFICATE and MQTT_KEY" in done.stderr
