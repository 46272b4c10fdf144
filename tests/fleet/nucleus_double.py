"""A double of the Greengrass nucleus's IPC server: event stream messages over a Unix socket, as the real client speaks.

It answers the operations that the component uses, keeps what it was told, and can be told to refuse, to change the
configuration, to ask before an update, to hand down a message of IoT Core, and to hang up.
"""

import base64
import contextlib
import json
import socket
import struct
import threading
import time
import zlib
from pathlib import Path

APPLICATION_MESSAGE, APPLICATION_ERROR, CONNECT, CONNECT_ACK = 0, 1, 4, 5
CONNECTION_ACCEPTED, TERMINATE_STREAM = 1, 2
INT32, BYTES, STRING = 4, 6, 7
SECONDS = 30.0


def encode(headers, payload):
    """One event stream message: prelude, its CRC, headers, payload, CRC of all."""
    raw = b""
    for name, value in headers.items():
        raw += bytes([len(name)]) + name.encode()
        if isinstance(value, int):
            raw += bytes([INT32]) + struct.pack(">i", value)
        else:
            raw += bytes([STRING]) + struct.pack(">H", len(value)) + value.encode()
    prelude = struct.pack(">II", 16 + len(raw) + len(payload), len(raw))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + raw + payload
    return whole + struct.pack(">I", zlib.crc32(whole))


def decode(raw):
    """Headers and payload of one message; both checksums are judged."""
    total, length = struct.unpack_from(">II", raw)
    assert struct.unpack_from(">I", raw, 8)[0] == zlib.crc32(raw[:8])
    assert struct.unpack_from(">I", raw, total - 4)[0] == zlib.crc32(raw[: total - 4])
    headers, at = {}, 12
    while at < 12 + length:
        name = raw[at + 1 : at + 1 + raw[at]].decode()
        at += 1 + raw[at]
        kind, at = raw[at], at + 1
        if kind == INT32:
            headers[name], at = struct.unpack_from(">i", raw, at)[0], at + 4
        else:
            assert kind in (BYTES, STRING), f"header type {kind}"
            size = struct.unpack_from(">H", raw, at)[0]
            headers[name], at = raw[at + 2 : at + 2 + size].decode(), at + 2 + size
    return headers, raw[12 + length : total - 4]


class NucleusDouble:
    """Listens at ``path``; ``token`` lets a component in."""

    def __init__(self, path: Path, token: str = "token-of-the-component", configuration=None):
        self.path, self.token = path, token
        self.configuration = configuration or {}
        self.published, self.states, self.deferrals, self.verdicts = [], [], [], []
        self.refuse: set[str] = set()  # operations
        self.connections = 0
        self._changed = threading.Condition()
        self._streams = {}  # (operation, topic): (connection, stream id)
        self._open = []
        self._socket = None
        self.listen()

    def listen(self):
        """Accept connections at the path (again)."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.path))
        self._socket.listen()
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def stop(self):
        """Take no connection any more, and end those there are."""
        self._socket.close()
        self.path.unlink(missing_ok=True)
        self.hang_up()

    def hang_up(self):
        with self._changed:
            gone, self._open = self._open, []
            self._streams.clear()
        for connection in gone:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    # -- what the nucleus does of itself ---------------------------------------------------------------------

    def configure(self, configuration):
        """A deployment changed the configuration: say so."""
        self.configuration = configuration
        event = {"configurationUpdateEvent": {"componentName": "trial-DIMSEtoS3", "keyPath": []}}
        self._tell("SubscribeToConfigurationUpdate", "ConfigurationUpdateEvents", event)

    def validate(self, configuration, deployment="d-1"):
        """Ask whether a configuration is good; the report's status and message."""
        asked = {"configuration": configuration, "deploymentId": deployment}
        event = {"validateConfigurationUpdateEvent": asked}
        before = len(self.verdicts)
        self._tell("SubscribeToValidateConfigurationUpdates", "ValidateConfigurationUpdateEvents", event)
        self.until(lambda: len(self.verdicts) > before, "a report")
        report = self.verdicts[-1]
        assert report["deploymentId"] == deployment
        return report["status"], report.get("message", "")

    def before_update(self, deployment):
        """A component update is due: what the component answers."""
        before = len(self.deferrals)
        event = {"preUpdateEvent": {"deploymentId": deployment, "isGgcRestarting": False}}
        self._tell("SubscribeToComponentUpdates", "ComponentUpdatePolicyEvents", event)
        self.until(lambda: len(self.deferrals) > before, "an answer")
        answer = self.deferrals[-1]
        assert answer["deploymentId"] == deployment
        return answer

    def after_update(self, deployment):
        event = {"postUpdateEvent": {"deploymentId": deployment}}
        self._tell("SubscribeToComponentUpdates", "ComponentUpdatePolicyEvents", event)

    def deliver(self, topic, text):
        """A message of IoT Core for whoever subscribed to its topic."""
        message = {"topicName": topic, "payload": base64.b64encode(text.encode()).decode()}
        self._tell("SubscribeToIoTCore", "IoTCoreMessage", {"message": message}, topic)

    def envelopes(self, topic):
        """What was published to a topic."""
        return [json.loads(payload) for at, payload in list(self.published) if at == topic]

    def until(self, condition, what, seconds=SECONDS):
        end = time.monotonic() + seconds
        with self._changed:
            while not condition():
                if not self._changed.wait(min(0.1, max(0.0, end - time.monotonic()))) and time.monotonic() > end:
                    raise AssertionError(f"not within {seconds:.0f} s: {what}")

    # -- the protocol --------------------------------------------------------------------------------------------

    def _tell(self, operation, shape, event, topic=""):
        self.until(lambda: (operation, topic) in self._streams, f"somebody subscribes: {operation} {topic}")
        connection, stream = self._streams[operation, topic]
        self._send(connection, stream, shape, event)

    def _accept(self, listening):
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as file:
            while len(prelude := file.read(8)) == 8:
                headers, payload = decode(prelude + file.read(struct.unpack(">I", prelude[:4])[0] - 8))
                if headers[":message-type"] == CONNECT:
                    accepted = json.loads(payload)["authToken"] == self.token
                    flags = CONNECTION_ACCEPTED if accepted else 0
                    answer = {":message-type": CONNECT_ACK, ":message-flags": flags, ":stream-id": 0}
                    connection.sendall(encode(answer, b""))
                    with self._changed:
                        self.connections += accepted
                        self._open.append(connection)
                        self._changed.notify_all()
                elif "operation" in headers:
                    self._operate(connection, headers, json.loads(payload))
        with self._changed:
            self._streams = {asked: at for asked, at in self._streams.items() if at[0] is not connection}

    def _operate(self, connection, headers, request):
        operation = headers["operation"].removeprefix("aws.greengrass#")
        stream = headers[":stream-id"]
        if operation in self.refuse:
            self._send(connection, stream, "UnauthorizedError", {"message": "no"}, APPLICATION_ERROR, TERMINATE_STREAM)
            return
        answer, flags = {}, TERMINATE_STREAM
        with self._changed:
            match operation:
                case "GetConfiguration":
                    answer = {"componentName": "trial-DIMSEtoS3", "value": self.configuration}
                case "PublishToIoTCore":
                    self.published.append((request["topicName"], base64.b64decode(request["payload"]).decode()))
                case "UpdateState":
                    self.states.append(request["state"])
                case "DeferComponentUpdate":
                    self.deferrals.append(request)
                case "SendConfigurationValidityReport":
                    self.verdicts.append(request["configurationValidityReport"])
                case _:
                    assert operation.startswith("SubscribeTo"), operation
                    flags = 0
            self._changed.notify_all()
        self._send(connection, stream, f"{operation}Response", answer, flags=flags)
        if not flags:
            with self._changed:
                self._streams[operation, request.get("topicName", "")] = (connection, stream)
                self._changed.notify_all()

    def _send(self, connection, stream, shape, value, kind=APPLICATION_MESSAGE, flags=0):
        headers = {
            ":message-type": kind,
            ":message-flags": flags,
            ":stream-id": stream,
            ":content-type": "application/json",
            "service-model-type": f"aws.greengrass#{shape}",
        }
        connection.sendall(encode(headers, json.dumps(value).encode()))
