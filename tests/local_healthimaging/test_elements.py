"""Elements as the metadata has them: every VR, every syntax, private blocks, character sets."""

import base64

import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from cloud.local_healthimaging.instance import open_instance


def sample(syntax):
    """Give an object with one element of each kind."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.4", "1.2.5"
    ds.PatientName = "Müller^Zoë"
    ds.PatientID = ""
    ds.KVP, ds.WindowCenter = "120", ["1", "2.5"]
    ds.SoftwareVersions = "one"
    ds.ImageComments = "a\\b is no list"
    ds.Rows, ds.PixelAspectRatio = 7, ["1", "1"]
    ds.FrameIncrementPointer = 0x00181063
    ds.RecommendedDisplayFrameRateInFloat = 1.5
    ds.PixelRepresentation = 1
    ds.SmallestImagePixelValue = -5
    ds["SmallestImagePixelValue"].VR = "SS"
    item = Dataset()
    item.CodeValue, item.CodeMeaning = "1", "Größe"
    ds.ProcedureCodeSequence = [item]
    ds.ReferencedStudySequence = []
    block = ds.private_block(0x0013, "ATRI EDGE 1.0", create=True)
    block.add_new(0x01, "LO", "1.2")
    ds.EncapsulatedDocument = b"%PDF"
    return ds


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_each_kind_of_element_has_its_form(tmp_path, syntax):
    """The same JSON from implicit, explicit and big-endian files, but for what an implicit file does not say."""
    path = tmp_path / "object.dcm"
    dcmwrite(path, sample(syntax), enforce_file_format=True)
    with open_instance(path) as instance:
        own, vrs = instance.own, instance.vrs
        levels = (instance.patient, instance.study, instance.series)
    assert levels[0] == {"PatientName": "Müller^Zoë", "PatientID": None}
    assert levels[1]["ProcedureCodeSequence"] == [{"CodeValue": "1", "CodeMeaning": "Größe"}]
    assert levels[1]["ReferencedStudySequence"] == []
    assert levels[2] == {"SeriesInstanceUID": "1.2.5", "SoftwareVersions": ["one"]}
    assert (own["KVP"], own["WindowCenter"]) == ("120 ", ["1", "2.5 "])
    assert own["ImageComments"] == "a\\b is no list"
    assert (own["Rows"], own["SmallestImagePixelValue"]) == (7, -5)
    assert own["FrameIncrementPointer"] == ["00181063"]
    assert own["RecommendedDisplayFrameRateInFloat"] == 1.5
    assert base64.b64decode(own["EncapsulatedDocument"]) == b"%PDF"
    assert own["00130010"] == "ATRI EDGE 1.0"
    private = own["00131001"]
    if syntax == ImplicitVRLittleEndian:
        assert (base64.b64decode(private), vrs) == (b"1.2 ", {"00130010": "LO", "00131001": "UN"})
    else:
        assert (private, vrs) == ("1.2", {"00130010": "LO", "00131001": "LO"})
