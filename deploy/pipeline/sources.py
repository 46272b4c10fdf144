"""Packs what the job's image is built from: ``python deploy/pipeline/sources.py build/container.zip`` (P155).

`dicom-cloud pipeline setup` puts it beside the other artifacts, so that the image can be built again, also by a build
service: unpack it and run `docker build -f deploy/pipeline/Dockerfile .` in it. The same sources give the same bytes.
"""

import argparse
import re
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = re.compile(r"^COPY (?!--from)(.+) \S+$", re.MULTILINE)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold


def contents() -> dict[str, Path]:
    """Return the Dockerfile and what it copies: name in the zip -> file on disk."""
    dockerfile = ROOT / "deploy" / "pipeline" / "Dockerfile"
    wanted = [dockerfile]
    for words in COPIED.findall(dockerfile.read_text(encoding="utf-8")):
        for word in words.split():
            path = ROOT / word
            wanted += [path] if path.is_file() else sorted(path.rglob("*"))
    files = [p for p in wanted if p.is_file() and "__pycache__" not in p.parts]
    return {path.relative_to(ROOT).as_posix(): path for path in sorted(files)}


def write_sources(path: Path) -> int:
    """Write the zip, whole or not at all; returns how many files are in it."""
    files, part = contents(), path.with_suffix(".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, source.read_bytes())
    part.replace(path)
    return len(files)


def main() -> int:
    """Write the zip named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("zip", type=Path, help="the file to write")
    path = parser.parse_args().zip
    try:
        count = write_sources(path)
    except OSError as e:
        print(f"sources: {path} cannot be written: {e.strerror}", file=sys.stderr)
        return 1
    print(f"{path}: {count} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
