"""What SearchImageSets tells of an image set (DICOMTags), and what it is searched by."""

from typing import Any

_TAGS = {
    "DICOMPatientId": "PatientID",
    "DICOMPatientName": "PatientName",
    "DICOMPatientBirthDate": "PatientBirthDate",
    "DICOMPatientSex": "PatientSex",
    "DICOMStudyInstanceUID": "StudyInstanceUID",
    "DICOMStudyId": "StudyID",
    "DICOMStudyDescription": "StudyDescription",
    "DICOMAccessionNumber": "AccessionNumber",
    "DICOMSeriesInstanceUID": "SeriesInstanceUID",
    "DICOMSeriesModality": "Modality",
    "DICOMSeriesBodyPart": "BodyPartExamined",
    "DICOMStudyDate": "StudyDate",
    "DICOMStudyTime": "StudyTime",
}


def summary_of(levels: list[dict[str, Any]], instances: int) -> dict[str, Any]:
    """Return the members of DICOMTags that the patient, study and series levels give."""
    values = {**levels[0], **levels[1], **levels[2]}
    found: dict[str, Any] = {
        name: str(values[keyword]) for name, keyword in _TAGS.items() if values.get(keyword) is not None
    }
    number = str(values.get("SeriesNumber") or "").strip()
    if number.lstrip("+-").isdigit():
        found["DICOMSeriesNumber"] = int(number)
    return found | {"DICOMNumberOfStudyRelatedSeries": 1, "DICOMNumberOfStudyRelatedInstances": instances}
