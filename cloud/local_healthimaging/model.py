"""The service's own description (botocore's ``medical-imaging`` model): which request is which operation."""

import functools
import re
from dataclasses import dataclass
from urllib.parse import unquote

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel

SERVICE = "medical-imaging"


@dataclass(frozen=True, kw_only=True)
class Route:
    """One operation, and the form of its path."""

    operation: OperationModel
    method: str
    pattern: re.Pattern[str]


@functools.cache
def service_model() -> ServiceModel:
    """Return the model of the botocore that is installed, so that the twin grows with it."""
    return ServiceModel(Loader().load_service_model(SERVICE, "service-2"), service_name=SERVICE)


@functools.cache
def routes() -> tuple[Route, ...]:
    """Return one route an operation."""
    model = service_model()
    return tuple(_route(model.operation_model(name)) for name in model.operation_names)


def _route(operation: OperationModel) -> Route:
    parts = re.split(r"\{(\w+)\+?\}", operation.http["requestUri"].partition("?")[0])
    # An ARN holds slashes, and not every client escapes them.
    pattern = "".join(
        (f"(?P<{part}>.+)" if part.endswith("Arn") else f"(?P<{part}>[^/]+)") if n % 2 else re.escape(part)
        for n, part in enumerate(parts)
    )
    return Route(operation=operation, method=operation.http["method"], pattern=re.compile(pattern))


def find_operation(method: str, raw_path: str) -> tuple[OperationModel, dict[str, str]] | None:
    """Return the operation that a request names, and the values in its path; None if there is none."""
    for route in routes():
        if route.method == method and (match := route.pattern.fullmatch(raw_path)):
            return route.operation, {name: unquote(value) for name, value in match.groupdict().items()}
    return None


def error_status(code: str) -> int:
    """Return the HTTP status of one of the service's errors."""
    shape = service_model().shape_for(code)
    return int(shape.metadata["error"]["httpStatusCode"])
