"""Where the input comes from and the output goes: a folder of S3, or of this machine (P074)."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cloud.errors import PlaceFault


class Place(Protocol):
    """A folder; names are relative to it and hold no slash."""

    def names(self) -> list[str]:
        """Return the names of the files in it, at most three; raises PlaceFault if there is no such folder."""

    def fetch(self, name: str, path: Path) -> None:
        """Write a file's bytes to ``path``; raises PlaceFault."""

    def put(self, name: str, path: Path) -> None:
        """Put the file at ``path`` under ``name``, over what is there; raises PlaceFault."""


def open_place(url: str, endpoint_url: str | None) -> Place:
    """Return the place that ``s3://bucket/folder/``, ``file:///folder`` or ``/folder`` names; raises PlaceFault."""
    if url.startswith("s3://"):
        bucket, _, folder = url.removeprefix("s3://").partition("/")
        if not bucket or "//" in folder or ".." in folder.split("/"):
            raise PlaceFault("no s3://bucket/folder/")
        return S3Folder(bucket, folder.rstrip("/"), endpoint_url)
    path = Path(url.removeprefix("file://"))
    if not path.is_absolute():
        raise PlaceFault("neither s3://bucket/folder/ nor an absolute path")
    return LocalFolder(path)


class LocalFolder:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        """See :meth:`Place.names`."""
        with _told_plainly():
            return sorted(p.name for p in self._path.iterdir() if p.is_file())[:3]

    def fetch(self, name: str, path: Path) -> None:
        """See :meth:`Place.fetch`."""
        with _told_plainly():
            shutil.copyfile(self._path / name, path)

    def put(self, name: str, path: Path) -> None:
        """See :meth:`Place.put`."""
        with _told_plainly():
            self._path.mkdir(parents=True, exist_ok=True)
            part = self._path / f".{name}.part"
            shutil.copyfile(path, part)
            part.replace(self._path / name)


class S3Folder:
    """A folder of a bucket; bytes stream between it and the disk in parts, checked on the way by S3's checksums."""

    def __init__(self, bucket: str, folder: str, endpoint_url: str | None) -> None:
        self._bucket = bucket
        self._folder = f"{folder}/" if folder else ""
        with _told_plainly():
            self._client: Any = boto3.session.Session().client(
                "s3",
                endpoint_url=endpoint_url,
                config=Config(
                    connect_timeout=10,
                    read_timeout=60,
                    retries={"mode": "standard", "total_max_attempts": 5},
                    s3={"addressing_style": "path" if endpoint_url else "auto"},
                ),
            )

    def names(self) -> list[str]:
        """See :meth:`Place.names`."""
        with _told_plainly():
            found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._folder, MaxKeys=10)
        keys = (row["Key"].removeprefix(self._folder) for row in found.get("Contents", ()))
        return [key for key in keys if key and "/" not in key][:3]

    def fetch(self, name: str, path: Path) -> None:
        """See :meth:`Place.fetch`."""
        with _told_plainly():
            self._client.download_file(self._bucket, self._folder + name, str(path))

    def put(self, name: str, path: Path) -> None:
        """See :meth:`Place.put`."""
        with _told_plainly():
            self._client.upload_file(str(path), self._bucket, self._folder + name)


@contextlib.contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except ClientError as e:
        code = str(e.response.get("Error", {}).get("Code", ""))
        raise PlaceFault(f"S3 answered {code}", hint="see the bucket's name and the rights of the job's role") from e
    except (BotoCoreError, boto3.exceptions.Boto3Error) as e:
        raise PlaceFault(f"S3 cannot be used ({type(e).__name__})", hint="see network, region and credentials") from e
    except OSError as e:
        raise PlaceFault(f"{e.strerror or type(e).__name__}", hint="see the folder and the disk's space") from e
