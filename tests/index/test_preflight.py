"""What an import into HealthImaging would refuse, found with the header: by keyword and length, never by value."""

import pytest
from pydicom.dataset import Dataset

from edge.contract.healthimaging import LARGEST, LONGEST, MOST_BYTES, TRANSFER_SYNTAXES, import_problems
from edge.contract.syntaxes import DEFLATED_SYNTAXES
from edge.index.header import read_header
from tests.index.test_header import DEFLATED, EXPLICIT, IMPLICIT, encode

SECRET = "Zz"


def warnings_of(tmp_path, syntax: str = EXPLICIT, **values: object) -> list[str]:
    """What the header reader warns of in a dataset of these values."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3.1.1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    dataset.PatientID, dataset.PatientName = "PH-4711", "Phantom^Zebedee"
    for name, value in values.items():
        setattr(dataset, name, value)
    path = tmp_path / "object"
    path.write_bytes(encode(dataset, syntax))
    return read_header(str(path), 0, syntax)["import_warnings"]


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED])
def test_D7_a_dataset_within_the_limits_gives_no_warning(tmp_path, syntax):
    """Values as long as allowed are no fault."""
    longest = {name: (SECRET * 128)[:most] for name, most in LONGEST.items() if name != "StudyInstanceUID"}
    longest |= {"StudyDate": "20260301", "StudyTime": "120000", "PatientBirthDate": "19700101", "PatientSex": "F"}
    with pytest.warns(UserWarning, match="exceeds"):
        assert warnings_of(tmp_path, syntax, **longest, NumberOfStudyRelatedInstances=10_000) == []


@pytest.mark.filterwarnings("ignore:.*exceeds the maximum length:UserWarning")
@pytest.mark.parametrize(("keyword", "most"), [("PatientID", 256), ("StudyDescription", 64), ("StudyID", 16)])
def test_D7_a_value_that_is_too_long_is_named_without_being_shown(tmp_path, keyword, most):
    """One character more than HealthImaging takes: the keyword and both lengths are told."""
    (said,) = warnings_of(tmp_path, **{keyword: (SECRET * 200)[: most + 1]})
    assert said == f"{keyword} has {most + 1} characters, HealthImaging takes {most}"
    assert SECRET not in said


@pytest.mark.parametrize("keyword", sorted(LARGEST))
def test_D7_a_count_out_of_range_is_told(tmp_path, keyword):
    """More instances or series than HealthImaging counts."""
    (said,) = warnings_of(tmp_path, **{keyword: LARGEST[keyword] + 1})
    assert said.startswith(f"{keyword} is not between 0 and")


def test_D7_syntax_and_size_are_judged_too():
    """A transfer syntax that it does not know, an object larger than a job; those of its documentation are fine."""
    fine = {syntax for syntax in TRANSFER_SYNTAXES if not list(import_problems({}, transfer_syntax_uid=syntax, size=1))}
    assert fine == TRANSFER_SYNTAXES
    for syntax in (*(DEFLATED_SYNTAXES - {DEFLATED}), "1.2.840.113619.5.2", "1.2.3"):
        (said,) = import_problems({}, transfer_syntax_uid=syntax, size=1)
        assert syntax in said
    (said,) = import_problems({}, transfer_syntax_uid=EXPLICIT, size=MOST_BYTES + 1)
    assert "10 GB" in said
