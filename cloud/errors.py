"""What can go wrong in the cloud, one class each, with a hint for the operator; no text carries patient data."""

from edge.contract.errors import EdgeError


class ConfigError(EdgeError):
    """The configuration cannot be used; the text lists every fault, one a line."""


class MessageFault(EdgeError):
    """A message cannot be acted on however often it comes: it is parked with its reason."""


class ManifestFault(EdgeError):
    """The manifest object is not there, or is not the one that was announced."""


class ObjectFault(EdgeError):
    """An announced object is missing, or is not the one that was announced."""


class RegistrationRefused(EdgeError):
    """The edge cannot be given a number as asked."""


class RebuildRefused(EdgeError):
    """The index cannot be rebuilt here as asked."""


class RedriveRefused(EdgeError):
    """The queue's dead messages cannot be moved back from here."""
