"""The link through AWS IoT Greengrass's nucleus: awsiotsdk's IPC client, connected again whenever it was lost.

Beside messages to and from IoT Core it reads the component's configuration, is told of changes and asked whether they
are good, defers updates, and reports the component's state. The SDK's exceptions end here, as LinkAway.
"""

import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from awscrt.exceptions import AwsCrtError
from awsiot.eventstreamrpc import AccessDeniedError, LifecycleHandler
from awsiot.greengrasscoreipc import connect, model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from edge.errors import LinkAway
from edge.fleet.link import Watch

_SECONDS = 10.0  # for one call
_RIGHTS = "the component's accessControl must name this operation and topic: see deploy/greengrass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where the nucleus listens, and the token that it gave this component."""

    socket: str
    token: str


class Nucleus:
    """The component's connection to its nucleus, as a :class:`edge.fleet.link.Link` and more."""

    def __init__(self, door: Door, *, seconds: float = _SECONDS) -> None:
        self._door = door
        self._seconds = seconds
        self._lock = threading.RLock()
        self._client: Any = None
        self._lost = threading.Event()
        self._topics: dict[str, Callable[[bytes], None]] = {}
        self._listening: set[str] = set()  # on this connection
        self._watched = False  # on this connection
        self._watch: Watch | None = None

    def ensure(self) -> None:
        """See :meth:`edge.fleet.link.Link.ensure`."""
        with self._lock:
            if self._client is None or self._lost.is_set():
                self._connect()
            try:
                for topic in self._topics.keys() - self._listening:
                    self._listen(topic)
                if self._watch is not None and not self._watched:
                    self._follow(self._watch)
            except LinkAway:
                self._drop()
                raise

    def publish(self, topic: str, payload: bytes) -> None:
        """See :meth:`edge.fleet.link.Link.publish`; the nucleus keeps it while IoT Core is away."""
        self._call("publish to IoT Core", "publish_to_iot_core", topic_name=topic, qos=model.QOS.AT_LEAST_ONCE,
                   payload=payload)  # fmt: skip

    def listen(self, topic: str, take: Callable[[bytes], None]) -> None:
        """See :meth:`edge.fleet.link.Link.listen`."""
        with self._lock:
            self._topics[topic] = take

    def watch(self, watch: Watch) -> None:
        """Have ``watch`` told from the next :meth:`ensure` on."""
        with self._lock:
            self._watch, self._watched = watch, False

    def configuration(self) -> dict[str, Any]:
        """Return the component's whole configuration as it is now; raises LinkAway."""
        answer = self._call("read the configuration", "get_configuration", key_path=[])
        return dict(answer.value or {})

    def report(self, state: str) -> None:
        """Tell the nucleus that the component is RUNNING or ERRORED; raises LinkAway."""
        self._call("report the state", "update_state", state=state)

    def close(self) -> None:
        """See :meth:`edge.fleet.link.Link.close`."""
        with self._lock:
            self._drop()

    def _connect(self) -> None:
        self._drop()
        lost = self._lost = threading.Event()
        with _told_plainly("connect"):
            client = connect(
                ipc_socket=self._door.socket,
                authtoken=self._door.token,
                lifecycle_handler=_Lifecycle(lost),
                timeout=self._seconds,
            )
        self._client = GreengrassCoreIPCClientV2(client=client)
        self._listening, self._watched = set(), False

    def _call(self, what: str, operation: str, **arguments: Any) -> Any:
        self.ensure()
        with self._lock:
            client = self._client
        with _told_plainly(what):
            return getattr(client, f"{operation}_async")(**arguments).result(self._seconds)

    def _listen(self, topic: str) -> None:
        def event(message: Any) -> None:
            if message.message is not None:
                self._topics[topic](message.message.payload or b"")

        self._subscribe("listen to IoT Core", "subscribe_to_iot_core", event, topic_name=topic,
                        qos=model.QOS.AT_LEAST_ONCE)  # fmt: skip
        self._listening.add(topic)

    def _follow(self, watch: Watch) -> None:
        def changed(_: Any) -> None:
            watch.changed()

        def judge(event: Any) -> None:
            asked = event.validate_configuration_update_event
            fault = watch.judge(dict(asked.configuration or {}))
            status = model.ConfigurationValidityStatus.REJECTED if fault else model.ConfigurationValidityStatus.ACCEPTED
            report = model.ConfigurationValidityReport(
                status=status, deployment_id=asked.deployment_id, message=fault or "the configuration is good"
            )
            self._answer("judge a configuration", "send_configuration_validity_report",
                         configuration_validity_report=report)  # fmt: skip

        def update(event: Any) -> None:
            if event.pre_update_event is None:
                watch.after_update()
                return
            deployment = event.pre_update_event.deployment_id or ""
            said = watch.before_update(deployment)
            self._answer("answer an update", "defer_component_update", deployment_id=deployment,
                         recheck_after_ms=said.recheck_ms, message=said.text)  # fmt: skip

        self._subscribe("follow the configuration", "subscribe_to_configuration_update", changed, key_path=[])
        self._subscribe("judge configurations", "subscribe_to_validate_configuration_updates", judge)
        self._subscribe("hear of updates", "subscribe_to_component_updates", update)
        self._watched = True
        watch.changed()  # perhaps it did while nobody listened

    def _answer(self, what: str, operation: str, **arguments: Any) -> None:
        # The nucleus asks again, or goes on at its time-out, where the answer did not get there.
        with contextlib.suppress(LinkAway):
            self._call(what, operation, **arguments)

    def _subscribe(self, what: str, operation: str, event: Callable[[Any], None], **arguments: Any) -> None:
        lost = self._lost
        with _told_plainly(what):
            future, _ = getattr(self._client, f"{operation}_async")(
                on_stream_event=event,
                on_stream_error=lambda _: True,
                on_stream_closed=lost.set,  # without it nobody would hear any more: connect anew
                **arguments,
            )
            future.result(self._seconds)

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.ignore_executor_exceptions = True  # set by its close() only after streams have begun to end
            client.close(executor_wait=False)


class _Lifecycle(LifecycleHandler):  # type: ignore[misc]  # the SDK ships no types
    def __init__(self, lost: threading.Event) -> None:
        self._lost = lost

    def on_disconnect(self, reason: Exception | None) -> None:
        """See the SDK."""
        del reason
        self._lost.set()

    def on_error(self, error: Exception) -> bool:
        """End the connection, which is then made anew."""
        del error
        return True


@contextlib.contextmanager
def _told_plainly(what: str) -> Iterator[None]:
    """Turn what the SDK raises into LinkAway; its texts are not taken over, for they quote payloads."""
    try:
        yield
    except (AccessDeniedError, model.UnauthorizedError) as e:
        raise LinkAway(f"the nucleus does not let this component {what}", hint=_RIGHTS) from e
    except concurrent.futures.TimeoutError as e:
        hint = "look at /greengrass/v2/logs/greengrass.log; it is tried again"
        raise LinkAway(f"the nucleus did not answer in time ({what})", hint=hint) from e
    except (AwsCrtError, RuntimeError, OSError) as e:
        hint = "is the nucleus running? look at /greengrass/v2/logs/greengrass.log; it is tried again"
        raise LinkAway(f"the nucleus could not be asked to {what} ({type(e).__name__})", hint=hint) from e
