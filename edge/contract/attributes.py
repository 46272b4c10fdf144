"""The indexed attributes (spec E033): one table for the edge's index, the cloud's index and the manifest.

Values travel as JSON: text as the sender wrote it (decoded, padding removed), ``int`` for US and IS, ``float``
for single-valued DS, multi-valued text joined by a backslash, sequences as DICOM JSON (PS3.18 F). An empty or
absent value is ``None`` (never ''); an IS or DS that is no number is ``None`` too: the bytes keep what was sent.
DA, TM and DT stay text in DICOM form, so that damaged dates are neither lost nor refused, and sort as they are.
"""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The four levels of the information model (PS3.4 C.6.1.1)."""

    PATIENT = "Patient"
    STUDY = "Study"
    SERIES = "Series"
    INSTANCE = "Instance"


class SqlType(StrEnum):
    """How an attribute is kept in a column; TEXT has no length limit (fault 20)."""

    TEXT = "TEXT"
    INTEGER = "BIGINT"
    FLOAT = "DOUBLE PRECISION"
    JSON = "JSON"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One indexed attribute; ``column`` is the keyword in lower case, so that SQL works as typed."""

    level: Level
    keyword: str
    tag: int
    vr: str
    sql_type: SqlType

    @property
    def column(self) -> str:
        """Return the column that holds it, in either index."""
        return self.keyword.lower()


def _rows(level: Level, text: str) -> tuple[Attribute, ...]:
    rows = []
    for line in text.strip().splitlines():
        tag, vr, keyword, *sql = line.split()
        kind = SqlType[sql[0]] if sql else SqlType.JSON if vr == "SQ" else SqlType.TEXT
        rows.append(Attribute(level, keyword, int(tag, 16), vr, kind))
    return tuple(rows)


ATTRIBUTES: tuple[Attribute, ...] = (
    *_rows(
        Level.PATIENT,
        """
        00100010 PN PatientName
        00100020 LO PatientID
        00100021 LO IssuerOfPatientID
        00100030 DA PatientBirthDate
        00100040 CS PatientSex
        """,
    ),
    *_rows(
        Level.STUDY,
        """
        0020000D UI StudyInstanceUID
        00080061 CS ModalitiesInStudy
        00080050 SH AccessionNumber
        00081060 PN NameOfPhysiciansReadingStudy
        00080020 DA StudyDate
        00080030 TM StudyTime
        00080090 PN ReferringPhysicianName
        0008009C PN ConsultingPhysicianName
        00081030 LO StudyDescription
        00080005 CS SpecificCharacterSet
        00080051 SQ IssuerOfAccessionNumberSequence
        00081032 SQ ProcedureCodeSequence
        00321033 LO RequestingService
        """,
    ),
    *_rows(
        Level.SERIES,
        """
        0020000E UI SeriesInstanceUID
        00080021 DA SeriesDate
        00080031 TM SeriesTime
        0008103E LO SeriesDescription
        0008103F SQ SeriesDescriptionCodeSequence
        00200011 IS SeriesNumber INTEGER
        00080015 DT InstanceCoercionDateTime
        00080060 CS Modality
        00081050 PN PerformingPhysicianName
        00081052 SQ PerformingPhysicianIdentificationSequence
        00102210 CS AnatomicalOrientationType
        00180015 CS BodyPartExamined
        00181030 LO ProtocolName
        00185100 CS PatientPosition
        """,
    ),
    *_rows(
        Level.INSTANCE,
        """
        00080018 UI SOPInstanceUID
        00080016 UI SOPClassUID
        00080012 DA InstanceCreationDate
        00080013 TM InstanceCreationTime
        00080008 CS ImageType
        00200013 IS InstanceNumber INTEGER
        00200037 DS ImageOrientationPatient
        00200032 DS ImagePositionPatient
        00080022 DA AcquisitionDate
        00080032 TM AcquisitionTime
        00080023 DA ContentDate
        00082218 SQ AnatomicRegionSequence
        00200012 IS AcquisitionNumber INTEGER
        00200020 CS PatientOrientation
        00204000 LT ImageComments
        20500020 CS PresentationLUTShape
        00280002 US SamplesPerPixel INTEGER
        00280004 CS PhotometricInterpretation
        00280010 US Rows INTEGER
        00280011 US Columns INTEGER
        00280100 US BitsAllocated INTEGER
        00280102 US HighBit INTEGER
        00280103 US PixelRepresentation INTEGER
        00281052 DS RescaleIntercept FLOAT
        00281053 DS RescaleSlope FLOAT
        """,
    ),
)

BY_LEVEL: dict[Level, tuple[Attribute, ...]] = {
    level: tuple(a for a in ATTRIBUTES if a.level is level) for level in Level
}
