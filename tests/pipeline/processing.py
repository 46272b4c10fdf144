"""The processing container's entry point as a process, over folders, and the API that it asks."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.nursery import nursery
from tests.pipeline.api import SCANS, Api

DCMDATA = Path(__file__).parents[2] / "dcmdata"
OUT_NAME = "amypet_scan_TRC001_bl_11_1_1_20261127_090507"


@dataclass(kw_only=True)
class Processed:
    """What one run of process_dicom left."""

    status: int
    out: list[dict[str, Any]]
    err: list[dict[str, Any]]
    result: Path
    report: dict[str, Any]
    run: int
    folder: Path

    @property
    def codes(self) -> list[str]:
        """The codes in the report."""
        return [row["error_code"] for row in self.report["errors"]]


@dataclass(kw_only=True)
class Container:
    """Runs process_dicom in a folder; ``environment`` adds to what it is told."""

    folder: Path
    api: Api
    environment: dict[str, str] = field(default_factory=dict)
    upload: int = 101

    def put(self, name: str, content: bytes | Path) -> Path:
        """Put the input into the workspace."""
        path = self.folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.read_bytes() if isinstance(content, Path) else content)
        return path

    def process(self, *, extension: str = ".zip", url: str = "", run: int | None = None, **arguments: str) -> Processed:
        """Run it to its end."""
        run = run or self.api.run(self.upload)
        given = {
            "pipelinecode": "amypet",
            "subjecteventcrffileid": str(self.upload),
            "edcpipelinefileid": str(run),
            "apitoken": self.api.token,
            "apiurldicom": (url or self.api.url) + SCANS,
            "apiurllogerror": "-",
            **arguments,
        }
        told = {
            "PATH": os.environ["PATH"],
            "INPUT_S3_IN": str(self.folder / "in"),
            "OUTPUT_S3_OUT": str(self.folder / "out"),
            "OUT_NAME": OUT_NAME + extension,
            "REPORT_S3_OUT": str(self.folder / "report.json"),
            "LOG_S3_OUT": str(self.folder / "logs"),
            "WORK_DIR": str(self.folder / "work"),
            "API_WAIT_SECONDS": "0",
            **self.environment,
        }
        told |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        (self.folder / "work").mkdir(exist_ok=True)
        done = nursery("cloud").run(
            "cloud.pipeline.process.process_dicom",
            *(word for name, value in given.items() for word in (f"--{name}", value)),
            environ={name: value for name, value in told.items() if value},
            timeout=100,
        )
        assert "Traceback" not in done.stderr, done.stderr
        report = self.folder / "report.json"
        return Processed(
            status=done.returncode,
            out=[json.loads(line) for line in done.stdout.splitlines()],
            err=[json.loads(line) for line in done.stderr.splitlines()],
            result=self.folder / "out" / (OUT_NAME + extension),
            report=json.loads(report.read_text()) if report.exists() else {},
            run=run,
            folder=self.folder,
        )
