"""Reads one file with GDCM and prints what it saw; a process of its own, for GDCM may crash on odd files.

python gdcm_reader.py FILE prints JSON: ``tags`` (values of every (0013,xx01); None if the file is not read), ``pixels``
(size and shape as GDCM decodes them, with their SHA-256; None if it does not).
"""

import hashlib
import json
import sys

import gdcm


def tags(path: str) -> list[str] | None:
    """Return the values of every (0013,xx01) that has one."""
    reader = gdcm.Reader()
    reader.SetFileName(path)
    if not reader.Read():
        return None
    dataset = reader.GetFile().GetDataSet()
    numbers = [gdcm.Tag(0x0013, block << 8 | 1) for block in range(0x10, 0x100)]
    found = [dataset.GetDataElement(tag) for tag in numbers if dataset.FindDataElement(tag)]
    return [str(element.GetByteValue()) for element in found if element.GetByteValue()]


def pixels(path: str) -> list[object] | None:
    """Return shape, format and digest of the decoded pixels."""
    reader = gdcm.ImageReader()
    reader.SetFileName(path)
    if not reader.Read():
        return None
    image = reader.GetImage()
    buffer = image.GetBuffer()
    raw = buffer if isinstance(buffer, bytes) else buffer.encode("utf-8", "surrogateescape")
    return [image.GetDimensions(), str(image.GetPixelFormat()), len(raw), hashlib.sha256(raw).hexdigest()]


if __name__ == "__main__":
    print(json.dumps({"tags": tags(sys.argv[1]), "pixels": pixels(sys.argv[1])}))
