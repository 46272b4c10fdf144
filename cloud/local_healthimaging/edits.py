"""Changes to an image set's metadata, as UpdateImageSetMetadata and CopyImageSet name them: parsed, judged, applied.

The rules are those of the service's page "DICOM metadata constraints". Nothing here touches the state.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword

from cloud.local_healthimaging.constraints import violation
from cloud.local_healthimaging.errors import Invalid
from cloud.local_healthimaging.levels import level_of

#: Changed only with force, as the model's documentation has it.
FORCED = frozenset({"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "StudyID"})
GENERATED = frozenset(
    {"SchemaVersion", "DatastoreID", "ImageSetID", "PixelData", "Checksum", "Width", "Height", "MinPixelValue",
     "MaxPixelValue", "FrameSizeInBytes"}
)  # fmt: skip
Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Naming:
    """What a document of changes names at each level; an instance without attributes is named as a whole."""

    patient: Values = field(default_factory=dict)
    study: Values = field(default_factory=dict)
    series: Values = field(default_factory=dict)
    instances: dict[str, Values] = field(default_factory=dict)
    whole: bool = False  # the series itself, with all instances


def read_naming(document: str | bytes, series_uid: str) -> Naming:
    """Return what ``document`` names in an image set of that series; raises Invalid."""
    try:
        read = json.loads(document)
        patient = read.get("Patient", {}).get("DICOM", {})
        study = read.get("Study", {})
        series = study.get("Series", {})
        if set(series) - {series_uid}:
            raise Invalid("The series is not in the image set")
        one = series.get(series_uid, {})
        instances = {uid: doc.get("DICOM", {}) for uid, doc in one.get("Instances", {}).items()}
        naming = Naming(
            patient=dict(patient),
            study=dict(study.get("DICOM", {})),
            series=dict(one.get("DICOM", {})),
            instances={uid: dict(values) for uid, values in instances.items()},
            whole=series_uid in series and not one,
        )
    except (ValueError, AttributeError, TypeError):
        raise Invalid("The attributes are not a JSON document of the metadata's form") from None
    if "SchemaVersion" not in read:
        raise Invalid("SchemaVersion does not exist")
    return naming


def check_naming(naming: Naming, *, force: bool, removing: bool) -> None:
    """Raise Invalid for what must not be changed, or not without force."""
    levels = {"patient": naming.patient, "study": naming.study, "series": naming.series}
    named = [(level, key, value) for level, values in levels.items() for key, value in values.items()]
    named += [("instance", key, value) for values in naming.instances.values() for key, value in values.items()]
    for level, key, value in named:
        if key in GENERATED:
            raise Invalid(f"Attribute {key} cannot be updated")
        tag = tag_for_keyword(key)
        if tag is None:
            _check_unknown(key, force=force)
            continue
        if level_of(tag) != level:
            raise Invalid(f"Attribute {key} does not belong to the {level} level")
        if not force:
            _check_unforced(tag, key, removing=removing)
        if not removing and (fault := violation({key: value})):
            raise Invalid(fault)


def _check_unknown(key: str, *, force: bool) -> None:
    if not force:
        raise Invalid(f"Attribute {key} is not an attribute of the DICOM standard")


def _check_unforced(tag: int, key: str, *, removing: bool) -> None:
    if key in FORCED:
        raise Invalid(f"Attribute {key} can be updated with force only")
    if removing:
        return
    if dictionary_VR(tag) == "SQ" or dictionary_VM(tag) != "1":
        raise Invalid(f"Attribute {key} has more than one value or items; it can be updated with force only")


def changed(values: Values, updated: Values, removed: Values) -> Values:
    """Return ``values`` with changes, each attribute in its place."""
    kept = {key: value for key, value in values.items() if key not in removed}
    return {**kept, **updated}
