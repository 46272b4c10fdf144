"""``dicom-edge serve``: one edge from start to stop, and a new one in its place when its configuration changed.

Under Greengrass the component's configuration is read and followed through the nucleus; any setting may change. One
that cannot be used leaves the one before in force. Without Greengrass environment and file are read once.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import __version__
from edge.compose import Around, Edge
from edge.config import Config, load_config, nucleus_door
from edge.doctor.asking import DoctorStage
from edge.errors import ConfigError, EdgeError, LinkAway
from edge.events import Event, configure_logging, log
from edge.fleet.link import Deferral, Link
from edge.fleet.updates import Updates
from edge.flow import Stage, Trouble
from edge.opening import build_broker, settings_file, stop_file, write_settings
from edge.services.stop_request import StopStage
from edge.stopping import StopSignal

if TYPE_CHECKING:
    from edge.fleet.nucleus import Nucleus

_QUIET_MOST = 300.0  # seconds that a new configuration waits for a moment without an association


def serve(environ: Mapping[str, str], file: Path | None, stop: StopSignal) -> None:
    """Run until told to stop; raises EdgeError where it cannot start."""
    door = nucleus_door(environ)
    if door is None:
        config = load_config(environ, file)
        _begin(config)
        with contextlib.closing(_Closed(build_broker(config))) as link:
            edge = Edge(config, Around(link=link.link, stages=_asked(config, stop, file)))
            edge.start()
            stop.wait(edge.reload)
            edge.stop()
        return
    from edge.fleet.nucleus import Door, Nucleus  # noqa: PLC0415  the SDK takes a moment to load

    nucleus = Nucleus(Door(socket=door[0], token=door[1]))
    with contextlib.closing(nucleus):
        _Component(environ, file, nucleus, stop).run()


def _begin(config: Config) -> None:
    configure_logging(config.loglevel)
    text = f"dicom-edge {__version__} starts"
    log(Event.START, text, edge_id=config.edge_id, spool_dir=str(config.spool_dir))


def _asked(config: Config, stop: StopSignal, settings: Path | None) -> tuple[Stage, ...]:
    """Return what other commands on this box may ask of the edge by a file."""
    return StopStage(stop_file(config.spool_dir), stop.stop), DoctorStage(config.spool_dir, settings)


class _Closed:
    """A link, or none, that can be closed."""

    def __init__(self, link: Link | None) -> None:
        self.link = link

    def close(self) -> None:
        if self.link is not None:
            self.link.close()


class _Component:
    """The edge as a Greengrass component; an :class:`edge.fleet.nucleus.Watch`."""

    name = "configuration"  # as a stage

    def __init__(self, environ: Mapping[str, str], file: Path | None, nucleus: "Nucleus", stop: StopSignal) -> None:
        self._environ = environ
        self._file = file
        self._nucleus = nucleus
        self._stop = stop
        self._changed = threading.Event()
        self._wanted: Config | None = None
        self._wanted_at = 0.0
        self._trouble: Trouble | None = None
        self._config = self._read()
        _begin(self._config)
        self._edge: Edge | None = None
        self._updates = Updates(active=self._active, hold=self._hold)
        nucleus.watch(self)

    def run(self) -> None:
        """Serve until told to stop."""
        with self._told_to_nucleus():
            self._start(self._config)
        self._stop.wait(self._reload, self._replace)
        if self._edge is not None:
            self._edge.stop()

    # -- what the nucleus asks (its threads) ------------------------------------------------------------------------

    def changed(self) -> None:
        """See :class:`edge.fleet.nucleus.Watch`."""
        self._changed.set()

    def judge(self, configuration: dict[str, Any]) -> str | None:
        """See :class:`edge.fleet.nucleus.Watch`."""
        try:
            load_config(self._environ, self._file, configuration)
        except ConfigError as e:
            return str(e)
        return None

    def before_update(self, deployment_id: str) -> Deferral:
        """See :class:`edge.fleet.nucleus.Watch`."""
        return self._updates.before(deployment_id)

    def after_update(self) -> None:
        """See :class:`edge.fleet.nucleus.Watch`."""
        self._updates.after()

    # -- the stage that follows the configuration ---------------------------------------------------------------------

    def step(self) -> bool:
        """Read what changed, and have it taken at a moment without an association."""
        if self._changed.is_set():
            self._changed.clear()
            try:
                self._take(self._read())
            except ConfigError as e:
                self._keep(e)
            except LinkAway:
                self._changed.set()
                raise
        if self._wanted is not None and self._is_time():
            self._stop.tell()
        return False

    def _take(self, config: Config) -> None:
        self._trouble = None
        self._wanted = None
        if config == self._config:
            return
        configure_logging(config.loglevel)
        log(Event.CONFIG_CHANGED, "the configuration changed", settings=_differences(self._config, config))
        if replace(config, loglevel=self._config.loglevel) == self._config:
            self._config = config
            return
        self._wanted_at, self._wanted = time.monotonic(), config

    def _is_time(self) -> bool:
        return not self._active() or time.monotonic() - self._wanted_at > _QUIET_MOST

    def _keep(self, e: EdgeError) -> None:
        hint = e.hint or "mend it in the deployment; the configuration before stays in force"
        log(Event.CONFIG_KEPT, f"the configuration before stays in force: {e}", level=logging.ERROR, hint=hint)
        text = f"the new configuration cannot be used: {e}"
        self._trouble = Trouble(stage=self.name, at=datetime.now(UTC), text=text, hint=hint)

    # -- the edge that runs (the main thread) -------------------------------------------------------------------------

    def _replace(self) -> None:
        config, self._wanted = self._wanted, None
        if config is None or self._edge is None:
            return
        self._edge.stop()
        self._edge = None
        with contextlib.suppress(_Kept):
            self._start_or_keep(config)
            self._config = config
            return
        configure_logging(self._config.loglevel)
        with self._told_to_nucleus():
            self._start(self._config)

    def _start_or_keep(self, config: Config) -> None:
        try:
            self._start(config)
        except EdgeError as e:
            self._keep(e)
            raise _Kept from e

    def _start(self, config: Config) -> None:
        stages: tuple[Stage, ...] = (self, self._updates, *_asked(config, self._stop, settings_file(config.spool_dir)))
        edge = Edge(config, Around(link=self._nucleus, stages=stages, troubles=self._troubles))
        self._edge = edge  # before it receives: an update that is due asks it for its associations
        try:
            edge.start()
        except EdgeError:
            self._edge = None
            edge.stop()
            raise
        with contextlib.suppress(OSError):  # a convenience of the commands: a full disk must not end the edge
            write_settings(config)
        with contextlib.suppress(LinkAway):
            self._nucleus.report("RUNNING")

    @contextlib.contextmanager
    def _told_to_nucleus(self) -> Iterator[None]:
        try:
            yield
        except EdgeError:
            with contextlib.suppress(LinkAway):
                self._nucleus.report("ERRORED")
            raise

    def _read(self) -> Config:
        return load_config(self._environ, self._file, self._nucleus.configuration())

    def _reload(self) -> None:
        if self._edge is not None:
            self._edge.reload()

    def _active(self) -> int:
        edge = self._edge
        return len(edge.listener.associations()) if edge is not None else 0

    def _hold(self, paused: bool) -> None:
        edge = self._edge
        if edge is not None:
            edge.listener.pause(paused)

    def _troubles(self) -> list[Trouble]:
        return [*self._updates.troubles(), *([self._trouble] if self._trouble is not None else [])]


class _Kept(Exception):
    """A configuration could not be used after all: the one before stays in force."""


def _differences(before: Config, after: Config) -> list[str]:
    names = (name for name in Config.__slots__ if getattr(before, name) != getattr(after, name))
    return [name.upper() for name in names]
