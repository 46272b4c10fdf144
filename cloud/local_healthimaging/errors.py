"""What the local HealthImaging answers when it refuses: the service's own error codes."""

from edge.contract.errors import EdgeError


class ServiceError(EdgeError):
    """A request is answered with one of the service's errors; ``code`` is its name in the model."""

    code = "InternalServerException"

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code or type(self).code


class Invalid(ServiceError):
    """The input breaks a rule of the model or of the operation."""

    code = "ValidationException"


class NotFound(ServiceError):
    """The data store, job, image set, version or frame is not there."""

    code = "ResourceNotFoundException"


class Conflict(ServiceError):
    """The resource is in a state in which this cannot be done."""

    code = "ConflictException"


class Throttled(ServiceError):
    """More calls a second than the operation allows."""

    code = "ThrottlingException"


class QuotaExceeded(ServiceError):
    """More of something than an account or a data store may have."""

    code = "ServiceQuotaExceededException"


class Unimportable(EdgeError):
    """A file cannot become an instance; goes to failure.ndjson with the service's exception type."""

    exception_type = "ValidationException"


class PixelFault(EdgeError):
    """The pixel data cannot be cut into frames or decoded; the instance is imported with a warning."""

    def __init__(self, message: str, *, reason: int, kind: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.kind = kind


class ObjectsAway(EdgeError):
    """The bucket cannot be listed, read or written; the job fails."""

    transient = True
