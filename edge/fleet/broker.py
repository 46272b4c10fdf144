"""The link of a box without Greengrass: MQTT 5 with mutual TLS to IoT Core, or to any other broker.

awsiotsdk's client connects again by itself. Nothing is queued in it: what it could not hand over stays in the outbox.
"""

import concurrent.futures
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from awscrt import mqtt5
from awscrt.exceptions import AwsCrtError
from awsiot import mqtt5_client_builder

from edge.errors import LinkAway

_SECONDS = 10.0  # for one call
_FIRST_MS, _MOST_MS = 500, 60_000  # between two tries to connect


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Where the broker is, and who we are to it."""

    endpoint: str
    port: int
    client_id: str
    certificate: Path
    key: Path
    ca: Path | None  # None: the CAs of this machine


class Broker:
    """A :class:`edge.fleet.link.Link` to one broker."""

    def __init__(self, settings: BrokerSettings, *, seconds: float = _SECONDS, first_ms: int = _FIRST_MS) -> None:
        self._settings = settings
        self._seconds = seconds
        self._first_ms = first_ms
        self._lock = threading.RLock()
        self._client: Any = None
        self._topics: dict[str, Callable[[bytes], None]] = {}
        self._connected = threading.Event()
        self._tried = threading.Event()  # the first try to connect has come to its end, either way
        self._listening: set[str] = set()  # on this connection
        self._why = "no connection yet"

    def ensure(self) -> None:
        """See :meth:`edge.fleet.link.Link.ensure`."""
        with self._lock:
            if self._client is None:
                self._client = self._start()
            self._tried.wait(self._seconds)
            if not self._connected.is_set():
                where = f"{self._settings.endpoint}:{self._settings.port}"
                hint = "see MQTT_ENDPOINT, MQTT_CERTIFICATE, MQTT_KEY and MQTT_CA, and the broker's log; tried again"
                raise LinkAway(f"the broker {where} cannot be reached ({self._why})", hint=hint)
            for topic in self._topics.keys() - self._listening:
                self._subscribe(topic)

    def publish(self, topic: str, payload: bytes) -> None:
        """See :meth:`edge.fleet.link.Link.publish`."""
        self.ensure()
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)
        done = self._wait("publish", self._client.publish(packet))
        code = done.puback.reason_code if done.puback is not None else 0
        if code >= mqtt5.PubackReasonCode.UNSPECIFIED_ERROR:
            raise _refused("publish", topic, mqtt5.PubackReasonCode(code).name)

    def listen(self, topic: str, take: Callable[[bytes], None]) -> None:
        """See :meth:`edge.fleet.link.Link.listen`."""
        with self._lock:
            self._topics[topic] = take

    def close(self) -> None:
        """See :meth:`edge.fleet.link.Link.close`."""
        with self._lock:
            if self._client is not None:
                self._client.stop()
                self._client = None
                self._tried.clear()
                self._connected.clear()

    def _start(self) -> Any:
        s = self._settings
        ca = {} if s.ca is None else {"ca_filepath": str(s.ca)}
        try:
            client = mqtt5_client_builder.mtls_from_path(
                str(s.certificate),
                str(s.key),
                endpoint=s.endpoint,
                port=s.port,
                client_id=s.client_id,
                session_behavior=mqtt5.ClientSessionBehaviorType.CLEAN,
                offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
                min_reconnect_delay_ms=self._first_ms,
                max_reconnect_delay_ms=_MOST_MS,
                ack_timeout_sec=int(self._seconds),
                enable_metrics_collection=False,
                on_publish_received=self._received,
                on_lifecycle_connection_success=self._up,
                on_lifecycle_connection_failure=lambda data: self._down(data.exception),
                on_lifecycle_disconnection=lambda data: self._down(data.exception),
                **ca,
            )
        except (AwsCrtError, OSError, RuntimeError) as e:
            hint = "see MQTT_CERTIFICATE, MQTT_KEY and MQTT_CA: PEM files that this user may read"
            raise LinkAway(f"the certificate for the broker cannot be used ({_name(e)})", hint=hint) from e
        client.start()
        return client

    def _subscribe(self, topic: str) -> None:
        packet = mqtt5.SubscribePacket([mqtt5.Subscription(topic_filter=topic, qos=mqtt5.QoS.AT_LEAST_ONCE)])
        answer = self._wait("subscribe", self._client.subscribe(packet))
        code = answer.reason_codes[0]
        if code >= mqtt5.SubackReasonCode.UNSPECIFIED_ERROR:
            raise _refused("listen", topic, mqtt5.SubackReasonCode(code).name)
        self._listening.add(topic)

    def _wait(self, what: str, future: "concurrent.futures.Future[Any]") -> Any:
        try:
            return future.result(self._seconds)
        except (AwsCrtError, RuntimeError, concurrent.futures.TimeoutError) as e:
            raise LinkAway(f"the broker did not take a message ({what}: {_name(e)})", hint="it is tried again") from e

    def _up(self, _: Any) -> None:
        self._listening = set()  # a clean session: the broker knows of none
        self._connected.set()
        self._tried.set()

    def _down(self, why: Exception | None) -> None:
        self._why = _name(why) if why is not None else "ended by the broker"
        self._connected.clear()
        self._tried.set()

    def _received(self, data: Any) -> None:
        packet = data.publish_packet
        take = self._topics.get(packet.topic)
        if take is not None:
            take(bytes(packet.payload or b""))


def _refused(verb: str, topic: str, reason: str) -> LinkAway:
    hint = "the policy of this edge's certificate must let it publish its own topics and subscribe to its commands"
    return LinkAway(f"the broker does not let this edge {verb} at {topic} ({reason})", hint=hint)


def _name(e: Exception) -> str:
    return str(getattr(e, "name", "") or type(e).__name__)
