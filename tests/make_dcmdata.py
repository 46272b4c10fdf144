"""Draws the sample scans of dcmdata/: phantoms with invented names, the same bytes on every run.

``python tests/make_dcmdata.py [FOLDER]``. Three patients, four studies. Two patients share a patient ID under different
issuers. Only uncompressed syntaxes: Debian's ``storescu`` with default options proposes nothing else, and these files
must go through as typed; compressed objects are drawn by make_compressed.py into tests/data/.
"""

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, FileDataset, FileMetaDataset, dcmwrite
from pydicom.uid import (
    BasicTextSRStorage,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    UltrasoundMultiFrameImageStorage,
)

HERE = Path(__file__).parent
SIZE = 128  # pixels of a slice's side
Drawn = Iterator[tuple[str, FileDataset]]


def uid(*name: object) -> str:
    """A UID that is the same on every run: 2.25 and a name-based UUID (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, 'dicom-edge sample ' + '/'.join(map(str, name))).int}"


def patient(number: int) -> dict[str, str]:
    """Three invented people; the second and the third share an ID, not an issuer."""
    return [
        {"PatientName": "Phantom^One", "PatientID": "PH-0001", "PatientSex": "O", "PatientBirthDate": "19500101",
         "IssuerOfPatientID": "EXAMPLE-LAB-A"},
        {"PatientName": "Phantom^Two", "PatientID": "PH-0002", "PatientSex": "F", "PatientBirthDate": "19610203",
         "IssuerOfPatientID": "EXAMPLE-LAB-A"},
        {"PatientName": "Phantom^Three^Zoë", "PatientID": "PH-0002", "PatientSex": "", "PatientBirthDate": "",
         "IssuerOfPatientID": "EXAMPLE-LAB-B"},
    ][number - 1]  # fmt: skip


def study(who: int, name: str, date: str, description: str, accession: str) -> dict[str, str]:
    """What every object of one study says alike."""
    return {
        "SpecificCharacterSet": "ISO_IR 100",
        "StudyInstanceUID": uid(name),
        "StudyDate": date,
        "StudyTime": "101500",
        "StudyID": name[:16],
        "AccessionNumber": accession,
        "ReferringPhysicianName": "Phantom^Referrer",
        "StudyDescription": description,
        **patient(who),
    }


def draw(sop_class: str, syntax: str, sop: str, common: dict[str, str], **elements: Any) -> FileDataset:
    """One object: file meta, the study's elements, its own."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = sop
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = uid("implementation")
    meta.ImplementationVersionName = "DICOM_EDGE_DATA"
    ds = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = sop
    ds.Manufacturer = "Phantom Works"
    for keyword, value in {**common, **elements}.items():
        setattr(ds, keyword, value)
    return ds


def image(pixels: np.ndarray[Any, Any], *, stored: int, signed: bool = False) -> dict[str, Any]:
    """The Image Pixel module of grey (rows, columns) or of colour (frames, rows, columns, 3) samples."""
    colour = pixels.ndim == 4
    rows, columns = pixels.shape[1:3] if colour else pixels.shape
    allocated = pixels.dtype.itemsize * 8
    module: dict[str, Any] = {
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": allocated,
        "BitsStored": stored,
        "HighBit": stored - 1,
        "PixelRepresentation": int(signed),
        "PixelData": pixels.tobytes(),
    }
    if colour:
        module["PlanarConfiguration"] = 0
    return module


def phantom(slice_number: int, slices: int, size: int = SIZE) -> np.ndarray[Any, Any]:
    """A head of sorts: an ellipse that swells and shrinks, two eyes, a little noise; values 0 to 1,000."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    width = 0.5 + 0.4 * np.sin(np.pi * (slice_number + 0.5) / slices)
    values = np.where((x / width) ** 2 + (y / 0.9) ** 2 < 1, 400.0, 0.0)
    values += np.where((x / width) ** 2 + (y / 0.9) ** 2 < 0.8, 300.0, 0.0)
    for centre in (-0.3, 0.3):
        values += np.where((x - centre * width) ** 2 + (y + 0.3) ** 2 < 0.02, 250.0, 0.0)
    noise = np.random.default_rng(slice_number).integers(0, 20, size=values.shape)
    return np.asarray(values + noise, dtype=np.float64)


def ct() -> Drawn:
    """Patient one: two CT series of ten slices, explicit little endian."""
    common = study(1, "ct-head", "20240105", "CT head, phantom", "A-1001")
    for series, kernel in ((1, "soft"), (2, "bone")):
        for number in range(10):
            yield f"ct_{kernel}_{number + 1:02d}", draw(
                CTImageStorage, ExplicitVRLittleEndian, uid("ct", series, number), common,
                Modality="CT", SeriesInstanceUID=uid("ct", series), SeriesNumber=series,
                SeriesDescription=f"Head {kernel}", SeriesDate="20240105", SeriesTime=f"10{series}000",
                FrameOfReferenceUID=uid("ct-frame"), PositionReferenceIndicator="", BodyPartExamined="HEAD",
                PatientPosition="HFS", ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], InstanceNumber=number + 1,
                AcquisitionNumber=1, AcquisitionDate="20240105", AcquisitionTime=f"10{series}0{number:02d}",
                ContentDate="20240105", ContentTime=f"10{series}0{number:02d}", KVP="120", ConvolutionKernel=kernel,
                ImageOrientationPatient=[1, 0, 0, 0, 1, 0], ImagePositionPatient=[-64, -64, 5 * number],
                PixelSpacing=[1, 1], SliceThickness="5", SliceLocation=str(5 * number), ProtocolName="HEAD",
                RescaleIntercept="-1024", RescaleSlope="1", RescaleType="HU", WindowCenter="40", WindowWidth="400",
                **image((phantom(number, 10) + 1024 + 100 * series).astype("<i2"), stored=12, signed=False),
            )  # fmt: skip


def mr() -> Drawn:
    """Patient two: two MR series of eight slices, implicit little endian."""
    common = study(2, "mr-head", "20240212", "MR head, phantom", "A-1002")
    for series, name, echo, repetition in ((1, "t1", "15", "500"), (2, "t2", "90", "4000")):
        for number in range(8):
            yield f"mr_{name}_{number + 1:02d}", draw(
                MRImageStorage, ImplicitVRLittleEndian, uid("mr", series, number), common,
                Modality="MR", SeriesInstanceUID=uid("mr", series), SeriesNumber=series,
                SeriesDescription=f"{name} tra", SeriesDate="20240212", SeriesTime=f"11{series}000",
                FrameOfReferenceUID=uid("mr-frame"), PositionReferenceIndicator="", BodyPartExamined="HEAD",
                PatientPosition="HFS", ImageType=["ORIGINAL", "PRIMARY", "OTHER"], InstanceNumber=number + 1,
                AcquisitionNumber=1, AcquisitionDate="20240212", AcquisitionTime=f"11{series}0{number:02d}",
                ContentDate="20240212", ContentTime=f"11{series}0{number:02d}", ScanningSequence="SE",
                SequenceVariant="NONE", ScanOptions="", MRAcquisitionType="2D", RepetitionTime=repetition,
                EchoTime=echo, EchoTrainLength="1",
                MagneticFieldStrength="3", ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                ImagePositionPatient=[-64, -64, 4 * number], PixelSpacing=[1, 1], SliceThickness="4",
                SpacingBetweenSlices="4", ProtocolName=name, WindowCenter="500", WindowWidth="1000",
                **image((phantom(number, 8) * series).astype("<u2"), stored=12),
            )  # fmt: skip


def us() -> Drawn:
    """Patient one again, another study: a colour ultrasound loop, a report and a PDF."""
    common = study(1, "us-abdomen", "20240306", "US abdomen, phantom", "A-1003")
    grey = np.stack([phantom(frame, 8, 96) for frame in range(8)]) / 4
    loop = np.stack([grey, grey * 0.9, np.roll(grey, 5, axis=2)], axis=-1).astype("u1")
    yield "us_loop", draw(
        UltrasoundMultiFrameImageStorage, ExplicitVRLittleEndian, uid("us", 1, 0), common,
        Modality="US", SeriesInstanceUID=uid("us", 1), SeriesNumber=1, SeriesDescription="Liver loop",
        BodyPartExamined="ABDOMEN",
        ImageType=["ORIGINAL", "PRIMARY", "ABDOMINAL"], InstanceNumber=1, NumberOfFrames=8, FrameTime="40",
        FrameIncrementPointer=0x00181063, PatientOrientation="", LossyImageCompression="00",
        ContentDate="20240306", ContentTime="120000", UltrasoundColorDataPresent=0, **image(loop, stored=8),
    )  # fmt: skip
    yield "us_report", report(common)
    yield "us_letter", draw(
        EncapsulatedPDFStorage, ExplicitVRLittleEndian, uid("us", 3, 0), common,
        Modality="DOC", SeriesInstanceUID=uid("us", 3), SeriesNumber=3, ConversionType="WSD", InstanceNumber=1,
        ContentDate="20240306", ContentTime="123000", AcquisitionDateTime="", BurnedInAnnotation="YES",
        DocumentTitle="Letter", ConceptNameCodeSequence=[], MIMETypeOfEncapsulatedDocument="application/pdf",
        EncapsulatedDocument=pdf(), EncapsulatedDocumentLength=len(pdf()),
    )  # fmt: skip


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """One item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def report(common: dict[str, str]) -> FileDataset:
    """A Basic Text SR with one finding."""
    finding = Dataset()
    finding.RelationshipType = "CONTAINS"
    finding.ValueType = "TEXT"
    finding.ConceptNameCodeSequence = [code("121071", "DCM", "Finding")]
    finding.TextValue = "A phantom has no liver; the loop shows an ellipse."
    return draw(
        BasicTextSRStorage, ExplicitVRLittleEndian, uid("us", 2, 0), common,
        Modality="SR", SeriesInstanceUID=uid("us", 2), SeriesNumber=2, InstanceNumber=1, ContentDate="20240306",
        ContentTime="121500", CompletionFlag="COMPLETE", VerificationFlag="UNVERIFIED",
        ReferencedPerformedProcedureStepSequence=[], PerformedProcedureCodeSequence=[], ValueType="CONTAINER",
        ContinuityOfContent="SEPARATE", ConceptNameCodeSequence=[code("18748-4", "LN", "Diagnostic imaging report")],
        ContentSequence=[finding],
    )  # fmt: skip


def pdf() -> bytes:
    """The smallest one-page PDF that readers open; even in length, as OB asks."""
    text = b"BT /F1 12 Tf 20 50 Td (A phantom) Tj ET"
    font = b"<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]/Contents 4 0 R/Resources" + font + b">>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(text), text),
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj" % number + content + b"endobj\n"
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"xref\n0 5\n0000000000 65535 f \n" + table
    end += b"trailer<</Size 5/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % len(body)
    return body + end + b"\n" * ((len(body) + len(end)) % 2)


def cr() -> Drawn:
    """Patient three: a radiograph in (retired) explicit big endian and a screenshot of it."""
    common = study(3, "cr-hand", "20240417", "CR hand, phantom", "B-2001")
    radiograph = draw(
        ComputedRadiographyImageStorage, ExplicitVRBigEndian, uid("cr", 1, 0), common,
        Modality="CR", SeriesInstanceUID=uid("cr", 1), SeriesNumber=1, BodyPartExamined="HAND", ViewPosition="AP",
        Laterality="L", ImageType=["ORIGINAL", "PRIMARY"], InstanceNumber=1, PatientOrientation=["L", "F"],
        ContentDate="20240417", ContentTime="090000", **image(phantom(4, 8, 256).astype(">u2"), stored=12),
    )  # fmt: skip
    radiograph["PixelData"].VR = "OW"
    yield "cr_hand", radiograph
    grey = phantom(4, 8) / 4
    shot = np.stack([grey, grey, grey * 0.5], axis=-1).astype("u1")[np.newaxis]
    yield "sc_hand", draw(
        SecondaryCaptureImageStorage, ExplicitVRLittleEndian, uid("cr", 2, 0), common,
        Modality="OT", SeriesInstanceUID=uid("cr", 2), SeriesNumber=2, ConversionType="WSD",
        BodyPartExamined="HAND", Laterality="L", ImageType=["DERIVED", "SECONDARY"], InstanceNumber=1,
        PatientOrientation="", **image(shot, stored=8),
    )  # fmt: skip


def main(folder: Path) -> int:
    """Writes every object; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    sources: tuple[Callable[[], Drawn], ...] = (ct, mr, us, cr)
    count = 0
    for source in sources:
        for name, ds in source():
            dcmwrite(folder / f"{name}.dcm", ds, enforce_file_format=True)
            count += 1
    return count


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "dcmdata"
    print(f"{main(target)} files in {target}")
