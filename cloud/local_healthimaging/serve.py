"""Wires the parts and serves until SIGTERM or SIGINT."""

import signal
import time
from collections.abc import Callable

from cloud.config import HealthImagingSettings
from cloud.local_healthimaging.app import App
from cloud.local_healthimaging.events import Outlet
from cloud.local_healthimaging.limits import RATES, Throttle
from cloud.local_healthimaging.objects import DirectoryObjects, Objects, S3Objects
from cloud.local_healthimaging.purge import sweep_frames
from cloud.local_healthimaging.runner import Runner
from cloud.local_healthimaging.service import Pace, Quotas, Service
from cloud.local_healthimaging.state import State
from cloud.queue import SqsQueue
from cloud.serving import bind, serve
from edge.contract.local_queue import LocalQueue


class Wake:
    """Tells the runner of a new job; the service is made before it."""

    runner: Runner | None = None

    def __call__(self) -> None:
        """Wake it, if it is there."""
        if self.runner is not None:
            self.runner.wake()


def open_objects(settings: HealthImagingSettings) -> Objects:
    """Return S3 or its twin on disk."""
    if settings.STORE_DIR is not None:
        return DirectoryObjects(settings.STORE_DIR)
    return S3Objects(region=settings.AWS_REGION, endpoint_url=settings.AWS_ENDPOINT_URL)


def open_outlet(settings: HealthImagingSettings) -> Outlet | None:
    """Return the queue that events go to, None if none is configured."""
    if settings.HEALTHIMAGING_EVENTS_FILE is not None:
        return LocalQueue(settings.HEALTHIMAGING_EVENTS_FILE)
    if settings.HEALTHIMAGING_EVENTS_URL is not None:
        return SqsQueue(
            settings.HEALTHIMAGING_EVENTS_URL, region=settings.AWS_REGION, endpoint_url=settings.AWS_ENDPOINT_URL
        )
    return None


def _end(*_: object) -> None:
    raise SystemExit(0)


def run_server(settings: HealthImagingSettings, ready: Callable[[str], None]) -> None:
    """Serve; ``ready`` is told the address."""
    listener = bind(
        settings.HEALTHIMAGING_HOST,
        settings.HEALTHIMAGING_PORT,
        what="the local HealthImaging",
        setting="HEALTHIMAGING_PORT",
    )
    wake, outlet = Wake(), open_outlet(settings)
    service = Service(
        state=State(settings.HEALTHIMAGING_DIR),
        objects=open_objects(settings),
        clock=time.time,
        pace=Pace(
            submitted=settings.HEALTHIMAGING_SUBMITTED_SECONDS,
            job=settings.HEALTHIMAGING_JOB_SECONDS,
            change=settings.HEALTHIMAGING_CHANGE_SECONDS,
        ),
        quotas=Quotas(
            concurrent_jobs=settings.HEALTHIMAGING_CONCURRENT_JOBS,
            files_per_job=settings.HEALTHIMAGING_FILES_PER_JOB,
            bytes_per_job=settings.HEALTHIMAGING_BYTES_PER_JOB,
        ),
        wake=wake,
        every_level=settings.HEALTHIMAGING_CHECKSUMS == "all",
        announces=outlet is not None,
    )
    runner = Runner(service, workers=settings.HEALTHIMAGING_WORKERS, outlet=outlet)
    wake.runner = runner
    # uvicorn ends its requests and raises the signal again; the workers end their file then.
    signal.signal(signal.SIGTERM, _end)
    sweep_frames(service.state)
    runner.start()
    try:
        rates = RATES if settings.HEALTHIMAGING_THROTTLE == "service" else {}
        serve(App(service, Throttle(rates, time.monotonic)), listener, ready)
    finally:
        runner.stop()
        service.state.close()
