"""Archives that want to do harm, or cannot be opened: refused whole, or copied as they are; never unpacked by name."""

import gzip
import io
import os
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.errors import ArchiveClosed, ArchiveRefused
from cloud.pipeline.process.archive import Limits, Names, extract, open_archive
from tests.parts import program
from tests.pipeline.test_process import FILES, packed, tarred

SMALL = Limits(members=100, unpacked=1 << 20)


def read_through(path, folder, limits=SMALL):
    """Every member's name and bytes."""
    archive = open_archive(path, limits)
    assert archive is not None
    found = []
    for member, content in archive.members():
        extract(content, folder / "member")
        found.append((member.name, (folder / "member").read_bytes()))
    return found


def linked(kind, target):
    """A tar with a link in it."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as file:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, target
        file.addfile(info)
    return held.getvalue()


def zip_link():
    """A zip with a symbolic link in it, as Info-ZIP writes one."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(info, "/etc/passwd")
    return held.getvalue()


def overlapping():
    """Many names for the same bytes: the way of the better zip bomb."""
    content = bytearray(packed(("a", bytes(100_000)), ("b", b"x")))
    at = content.rindex(b"PK\x01\x02")
    struct.pack_into("<L", content, at + 42, 0)  # b's local header is a's
    return bytes(content)


def huge_pax_header():
    """A tar whose extended header says that it has a gigabyte."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    raw = packer.compress(info.tobuf(tarfile.USTAR_FORMAT))
    for _ in range(64):
        raw += packer.compress(bytes(1 << 20))
    return raw + packer.flush()


HOSTILE = {
    "zip ../": packed(("../evil.dcm", b"x")),
    "zip a/../../b": packed(("a/../../b", b"x")),
    "zip ..\\": packed(("..\\evil.dcm", b"x")),
    "zip absolute": packed(("/etc/cron.d/evil", b"x")),
    "zip drive": packed(("C:\\evil.dcm", b"x")),
    "zip control": packed(("a\x1b[2Jb", b"x")),
    "zip link": zip_link(),
    "zip overlap": overlapping(),
    "zip bomb": packed(("zeros", bytes(3 << 20))),
    "zip many": packed(*((str(n), b"") for n in range(101))),
    "tar ../": tarred(("../evil.dcm", b"x")),
    "tar absolute": tarred(("/etc/cron.d/evil", b"x")),
    "tar symlink": linked(tarfile.SYMTYPE, "/etc"),
    "tar hard link": linked(tarfile.LNKTYPE, "a"),
    "tar device": linked(tarfile.CHRTYPE, ""),
    "tar fifo": linked(tarfile.FIFOTYPE, ""),
    "tar many": tarred(*((str(n), b"") for n in range(101))),
    "tar pax": huge_pax_header(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_P072_a_hostile_archive_is_refused_whole(name, tmp_path):
    """Names that leave their folder, links, devices, shared bytes, too much: refused with a hint, without the name."""
    path = tmp_path / "input"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(ArchiveRefused) as caught:
        read_through(path, tmp_path)
    assert caught.value.hint
    assert "evil" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) in (["input"], ["input", "member"])


def test_P072_a_tar_bomb_is_refused_before_it_fills_the_disk(tmp_path):
    """A member that says it has three gigabytes, and one whose neighbours have them, are refused without unpacking."""
    info = tarfile.TarInfo("zeros")
    info.size = 3 << 30
    (tmp_path / "input").write_bytes(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1 << 20)))
    with pytest.raises(ArchiveRefused, match="more than is unpacked"):
        read_through(tmp_path / "input", tmp_path)
    (tmp_path / "input").write_bytes(tarred(*((str(n), bytes(300_000)) for n in range(5))))
    with pytest.raises(ArchiveRefused, match="more than is unpacked"):
        read_through(tmp_path / "input", tmp_path)
    assert (tmp_path / "member").stat().st_size == 300_000


@pytest.mark.parametrize("name", ["zip ../", "zip link", "tar absolute", "zip overlap"])
@pytest.mark.door("command", "file")
def test_P046_P072_a_hostile_upload_ends_its_run(container, name):
    """The run fails with ERRS1002, nothing goes to quarantine, the upload stays where it was."""
    source = container.put("a1.zip", HOSTILE[name])
    done = container.process()
    assert (done.status, done.codes) == (1, ["ERRS1002"])
    assert not done.result.exists()
    assert source.read_bytes() == HOSTILE[name]
    assert "evil" not in str(done.report)


@pytest.mark.door("command", "file")
def test_P015_P045_an_encrypted_or_damaged_archive_is_copied_as_it_is(container, tmp_path):
    """What cannot be opened goes on, with ERRS1002 and what is the matter with it."""
    whole = packed(*((path.name, path.read_bytes()) for path in FILES[:2]))
    (tmp_path / "1.dcm").write_bytes(FILES[0].read_bytes())
    subprocess.run([program("zip"), "-q", "-P", "secret", "locked.zip", "1.dcm"], cwd=tmp_path, check=True, timeout=30)
    spoilt = bytearray(whole)
    spoilt[2000:2100] = bytes(100)
    tar = tarred(("1.dcm", FILES[0].read_bytes()))
    for content, words in [
        ((tmp_path / "locked.zip").read_bytes(), "encrypted"),
        (whole[:-1000], "damaged"),
        (bytes(spoilt), "damaged"),
        (tar[:-2000], "damaged"),
    ]:
        container.put("a1.zip", content)
        done = container.process()
        assert (done.status, done.codes) == (0, ["ERRS1002"])
        assert words in done.err[0]["error"]
        assert done.result.read_bytes() == content


@pytest.mark.parametrize("make", [packed, tarred])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_P072_two_members_of_one_name_are_both_kept(make, tmp_path):
    """Names that one disk takes for one file get numbers, so that unpacking loses neither."""
    (tmp_path / "input").write_bytes(make(("a/1.dcm", b"1"), ("a/1.dcm", b"2"), ("A/1.DCM", b"3"), ("b", b"4")))
    assert read_through(tmp_path / "input", tmp_path) == [
        ("a/1.dcm", b"1"), ("a/1.2.dcm", b"2"), ("A/1.3.DCM", b"3"), ("b", b"4")
    ]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(alphabet=st.sampled_from("ab./\\: \0é"), max_size=12), max_size=6))
def test_P072_no_name_that_passes_leaves_its_folder(raw):
    """Whatever names an archive has, those that pass are relative, have no dots to go up by, and differ."""
    names, passed = Names(), []
    for number, name in enumerate(raw, start=1):
        try:
            passed.append(names.judge(name, number, is_folder=False)[0])
        except ArchiveRefused:
            continue
    for name in passed:
        path = os.path.normpath(f"/folder/{name}")
        assert path.startswith("/folder/")
        assert "\\" not in name
    assert len({name.casefold() for name in passed}) == len(passed)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_P072_a_spoilt_archive_is_refused_closed_or_read(data, tmp_path_factory):
    """Bytes changed anywhere: an error of ours or the members, never another exception."""
    folder = tmp_path_factory.mktemp("spoilt")
    content = bytearray(data.draw(st.sampled_from([packed, tarred]))(("a", b"1" * 300), ("b/c", b"2" * 300)))
    for at in data.draw(st.lists(st.integers(4, len(content) - 1), max_size=8)):
        content[at] = data.draw(st.integers(0, 255))
    (folder / "input").write_bytes(content)
    try:
        if open_archive(folder / "input", SMALL) is not None:
            read_through(folder / "input", folder)
    except (ArchiveRefused, ArchiveClosed):
        pass


@pytest.mark.full
@pytest.mark.timeout(400)
@pytest.mark.door("command", "file")
def test_P072_large_files_are_processed_with_flat_memory(container, tmp_path):
    """A zip with a DICOM file of 1 GiB, in a process that may have 600 MiB of address space."""
    small = pydicom.dcmread(FILES[1])
    del small.PixelData
    head = io.BytesIO()
    small.save_as(head)
    size = 1 << 30
    pixels = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, size)
    source = container.put("a1.zip", b"")
    with (
        zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("1.dcm", "w", force_zip64=True) as member,
    ):
        member.write(head.getvalue() + pixels)
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))
    limited = tmp_path / "limited"
    limited.write_text(f'#!/bin/sh\nulimit -v 614400\nexec {sys.executable} "$@"\n')
    limited.chmod(0o755)
    before, sys.executable = sys.executable, str(limited)
    try:
        done = container.process()
    finally:
        sys.executable = before
    assert (done.status, done.codes) == (0, [])
    with zipfile.ZipFile(done.result) as result:
        assert result.getinfo("1.dcm").file_size > size
