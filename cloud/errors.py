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


class IndexTooNew(EdgeError):
    """The database was brought to a step that this software does not know; nothing was changed."""


class RegistrationRefused(EdgeError):
    """The edge cannot be given a number as asked."""


class RebuildRefused(EdgeError):
    """The index cannot be rebuilt here as asked."""


class RedriveRefused(EdgeError):
    """The queue's dead messages cannot be moved back from here."""


class ImportingAway(EdgeError):
    """HealthImaging cannot be asked now; it is asked again."""

    transient = True


class OutputFault(EdgeError):
    """What an import job left in its output folder is missing, or cannot be read."""


class DatastoreRefused(EdgeError):
    """HealthImaging does not make, list or delete the data store as asked."""


class ImageSetsFault(EdgeError):
    """The image set workflow cannot go on; the root of its errors."""


class AddressFault(ImageSetsFault):
    """A place in S3, an application entity or an id was written in a way that cannot be understood."""


class ServiceRefused(ImageSetsFault):
    """AWS refused a call for a reason that waiting does not mend (rights, no such thing, bad value)."""


class NotFound(ServiceRefused):
    """AWS has no such data store, job, image set, frame, bucket, object or stack."""


class NoCredentials(ServiceRefused):
    """There are no AWS credentials, or AWS does not know them."""


class ServiceAway(ImageSetsFault):
    """AWS cannot be reached or asks to slow down, and went on doing so."""

    transient = True


class MetadataFault(ImageSetsFault):
    """A manifest or an image set's metadata cannot be read."""


class FrameFault(ImageSetsFault):
    """A frame cannot be decoded, or is not the one that its metadata describes."""


class FramesWrong(ImageSetsFault):
    """Frames are missing or their pixels are not those of the metadata; the text names them."""


class ImportFailed(ImageSetsFault):
    """The import job ended as FAILED, or imported nothing."""


class FolderFault(ImageSetsFault):
    """A local folder is missing, cannot be read or written, or holds no DICOM."""


class StackFault(ImageSetsFault):
    """The stack could not be made, read or deleted."""


class ImageSetsRemain(ImageSetsFault):
    """The data store still holds image sets, so the stack that owns it is not deleted."""


class ExportFault(ImageSetsFault):
    """An instance cannot be written back as a DICOM file from its metadata and frames."""


class SendFault(ImageSetsFault):
    """The receiver of a C-STORE refused, or does not answer."""


class PartAway(EdgeError):
    """A part of the account does not answer, or asks to slow down; what was asked may be asked again."""

    transient = True


class JobRefused(EdgeError):
    """A job cannot be started as asked."""


class JobUnknown(EdgeError):
    """Nobody knows a job of this id."""


class CopyFault(EdgeError):
    """An object cannot be copied, or the copy is not what was copied."""


class NoticeFault(EdgeError):
    """A notice cannot be sent as configured."""


class SetupFault(EdgeError):
    """The pipeline cannot be set up, run or looked at as asked."""


class LabFault(EdgeError):
    """A lab's access to quarantine cannot be given, changed or looked at as asked."""


class SeedFault(EdgeError):
    """The rows that the EDC's tables are to begin with cannot be used; the text lists every fault, one a line."""


class TokenFault(EdgeError):
    """A token or user cannot be made or changed as asked."""


class ArchiveRefused(EdgeError):
    """An archive could harm whoever unpacks it: nothing of it goes on."""


class ArchiveClosed(EdgeError):
    """An archive cannot be opened (encrypted, damaged, of an unknown kind); it goes on as it is, with has_error."""


class PlaceFault(EdgeError):
    """A folder that a job reads from or writes to is not there, or cannot be used."""
