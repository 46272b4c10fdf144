"""How many calls a second each operation takes: the service's page "Throttling limits", as token buckets."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cloud.local_healthimaging.errors import Throttled


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Calls a second, and how many at once."""

    per_second: float
    burst: float


RATES: Mapping[str, Rate] = {
    name: Rate(per_second=rate, burst=burst)
    for name, rate, burst in (
        ("CreateDatastore", 0.085, 1),
        ("GetDatastore", 10, 20),
        ("ListDatastores", 5, 10),
        ("DeleteDatastore", 0.085, 1),
        ("StartDICOMImportJob", 1, 2),
        ("GetDICOMImportJob", 25, 50),
        ("ListDICOMImportJobs", 10, 20),
        ("SearchImageSets", 25, 50),
        ("GetImageSet", 25, 50),
        ("GetImageSetMetadata", 50, 100),
        ("GetImageFrame", 1000, 2000),
        ("ListImageSetVersions", 25, 50),
        ("UpdateImageSetMetadata", 0.25, 1),
        ("CopyImageSet", 0.25, 1),
        ("DeleteImageSet", 0.25, 1),
        ("TagResource", 10, 20),
        ("ListTagsForResource", 10, 20),
        ("UntagResource", 10, 20),
    )
}


class Throttle:
    """One bucket an operation; an operation without a rate is free. ``clock`` never goes back."""

    def __init__(self, rates: Mapping[str, Rate], clock: Callable[[], float]) -> None:
        self._rates = rates
        self._clock = clock
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, operation: str) -> None:
        """Count one call; raises Throttled when the bucket is empty."""
        rate = self._rates.get(operation)
        if rate is None:
            return
        with self._lock:
            now = self._clock()
            left, since = self._left.get(operation, (rate.burst, now))
            left = min(rate.burst, left + (now - since) * rate.per_second)
            allowed = left >= 1
            self._left[operation] = (left - 1 if allowed else left, now)
        if not allowed:
            raise Throttled("Rate exceeded")
