"""What functions and jobs are made of, in the artifact bucket (P155): the zip, the script, the container's sources.

Each lies under a name that tells its content: the same again changes nothing (P148), and another one leaves it (P168).
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloud.errors import SetupFault
from cloud.pipeline.setup.config import PipelineConfig

ROOM = "edc-plugin-image-pipeline"
_DIGITS = 32


def put_zip(config: PipelineConfig, asset: Path, s3: Any, say: Callable[[str], None]) -> str:
    """Put the functions' zip and return its key; raises SetupFault."""
    data = _read(asset, "the functions' zip", "build it: deploy/function_asset.py FILE")
    return _put(config, f"lambda/{_digest(data)}.zip", data, "functions' zip", s3, say)


def put_container(config: PipelineConfig, sources: Path, s3: Any, say: Callable[[str], None]) -> str:
    """Put what the job's container is built from and return its key; raises SetupFault."""
    data = _read(sources, "the container's sources", "build them: deploy/pipeline/sources.py FILE")
    return _put(config, f"docker/{_digest(data)}.zip", data, "container's sources", s3, say)


def with_script(config: PipelineConfig) -> tuple[PipelineConfig, bytes]:
    """Return the config with IMG_SCRIPT's address in the bucket, and the script; raises SetupFault.

    Empty bytes where there is nothing to put: no script, or one that lies in a bucket already.
    """
    if not config.IMG_SCRIPT or config.IMG_SCRIPT.startswith("s3://"):
        return config, b""
    script = Path(config.IMG_SCRIPT)
    data = _read(script, "IMG_SCRIPT", "a file beside the config file, s3://BUCKET/KEY, or nothing: process_dicom")
    address = f"s3://{config.ARTIFACT_BUCKET}/{ROOM}/{_script_name(script, data)}"
    return config.model_copy(update={"IMG_SCRIPT": address}), data


def put_script(config: PipelineConfig, data: bytes, s3: Any, say: Callable[[str], None]) -> None:
    """Put the script where the config that :func:`with_script` gave says."""
    if data:
        name = config.IMG_SCRIPT.removeprefix(f"s3://{config.ARTIFACT_BUCKET}/{ROOM}/")
        _put(config, name, data, "job's script", s3, say)


def _script_name(script: Path, data: bytes) -> str:
    return f"batch/job_def_scripts/{_digest(data)}-{script.name}"


def _read(path: Path, what: str, hint: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise SetupFault(f"{what} {path} cannot be read: {e.strerror}", hint=hint) from e


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def _put(config: PipelineConfig, name: str, data: bytes, what: str, s3: Any, say: Callable[[str], None]) -> str:
    key = f"{ROOM}/{name}"
    if s3.list_objects_v2(Bucket=config.ARTIFACT_BUCKET, Prefix=key).get("KeyCount", 0):
        say(f"{what} {key}: is there: skipped")
    else:
        s3.put_object(Bucket=config.ARTIFACT_BUCKET, Key=key, Body=data)
        say(f"{what} {key}: put")
    return key
