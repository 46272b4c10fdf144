"""The demo's course: start, upload one of each kind, follow the runs, show where everything arrived, check or stay."""

import mailbox
import shutil
import sys
import time
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

from cloud.db.engine import open_engine
from cloud.errors import SetupFault
from cloud.pipeline.demo.place import DemoPlace
from cloud.pipeline.demo.samples import Sample, samples
from cloud.pipeline.edc.write import ensure_upload
from cloud.pipeline.machine.follow import Progress, follow
from cloud.pipeline.names import SourceKey

_STARTED_SECONDS = 120.0


def run_demo(folder: Path, *, interpreter: str, data: Path, once: bool) -> int:
    """Run it; 0, or 1 if something did not come of an upload that should have."""
    wanted = samples(data)
    place = DemoPlace(root=folder.resolve(), interpreter=interpreter)
    place.ensure_able()
    if folder.exists():
        shutil.rmtree(folder)  # the local AWS holds its part in memory: each start is a new one
    folder.mkdir(parents=True)
    try:
        _say(f"starting mailbox, local AWS and API (their logs: {place.logs}), setting the pipeline up …")
        for line in place.start():
            _say(f"  {line}")
        faults = _course(place, wanted)
        if once:
            for fault in faults:
                print(f"MISSING  {fault}", file=sys.stderr)
            _say("checked: every upload ended as it should" if not faults else "")
            return int(bool(faults))
        _stay(place)
    except KeyboardInterrupt:
        _say("stopping …")
    finally:
        place.parts.stop()
    return 0


def _course(place: DemoPlace, wanted: list[Sample]) -> list[str]:
    _say("\nuploading, as the EDC does:")
    for sample in wanted:
        upload(place, sample)
        _say(f"  {sample.key}: {sample.what}")
    runs = _started(place, wanted)
    _say("\nevery upload has started its run:")
    ended = follow(place.client("stepfunctions"), place.machine, runs.values(), lambda p: _say(f"  {p.line()}"))
    _show(place)
    return faults_of(place, wanted, dict(zip(runs, ended, strict=True)))


def upload(place: DemoPlace, sample: Sample) -> None:
    """Put the file, and the EDC's record of it; the demo's EDC writes its record first."""
    if sample.is_known:
        engine = open_engine(place.edc)
        with engine.begin() as connection:
            ensure_upload(connection, SourceKey.parse(sample.key))
        engine.dispose()
    place.client("s3").put_object(Bucket=place.bucket("source"), Key=sample.key, Body=sample.data)


def _started(place: DemoPlace, wanted: list[Sample]) -> dict[str, str]:
    """Return the newest run of each upload, once all are there: version code -> name."""
    deadline = time.monotonic() + _STARTED_SECONDS
    while True:
        place.parts.check()
        rows = place.client("stepfunctions").list_executions(stateMachineArn=place.machine)["executions"]
        names = sorted(row["name"] for row in rows)
        found = {s.version: [n for n in names if n.startswith(f"1_11_scan_{s.version}_")] for s in wanted}
        if all(found.values()):
            return {version: listed[-1] for version, listed in found.items()}
        if time.monotonic() > deadline:
            raise SetupFault("not every upload has started a run", hint=f"see {place.logs / 'aws.log'}")
        time.sleep(0.2)


def faults_of(place: DemoPlace, wanted: list[Sample], ended: dict[str, Progress]) -> list[str]:
    """Return what did not come of the uploads as it should have, in words."""
    faults = []
    subjects = mails(place)
    for sample in wanted:
        run = ended[sample.version].run
        rows = place.rows(
            f"SELECT id, status, has_error FROM edcpipelinefile WHERE execution = '{run}'"  # noqa: S608 - our own name
        )
        if not sample.is_known:
            if rows or not any("ERRL1003" in subject for subject in subjects):
                faults.append(f"{sample.what}: ERRL1003, a mail, and no record")
            continue
        if not rows or (rows[0][1], bool(rows[0][2])) != ("Completed", sample.has_error):
            faults.append(f"{sample.what}: Completed{' with an error' if sample.has_error else ''}, found {rows}")
            continue
        file_id = rows[0][0]
        if not [key for key in _keys(place) if f"_{file_id}_2" in key]:
            faults.append(f"{sample.what}: file {file_id} in quarantine")
        scans = place.rows(
            f"SELECT count(*) FROM edcpipelinefiledicom WHERE edcpipelinefileid = {file_id}"  # noqa: S608 - a number
        )[0][0]
        if scans != sample.series:
            faults.append(f"{sample.what}: {sample.series} series with an ATRIUID, found {scans}")
        if not any(f"file {file_id} " in subject for subject in subjects):
            faults.append(f"{sample.what}: a mail on file {file_id}")
    return faults


def mails(place: DemoPlace) -> list[str]:
    """Return who got what: the recipients and subjects of the mails in the mailbox, those that are on their way too."""
    box, before = mailbox.Maildir(place.mails), -1
    while len(box) != before:
        before = len(box)
        time.sleep(0.5)
    return sorted(f"{mail['To']}: {make_header(decode_header(str(mail['Subject'])))}" for mail in box)


def _show(place: DemoPlace) -> None:
    _say("\nin quarantine:")
    for key in _keys(place):
        _say(f"  s3://{place.bucket('destination')}/{key}")
    _say("\nrecords (SELECT * FROM EDCPipelineFile), and the ATRIUIDs of their series:")
    for file_id, status, has_error, atriuids in place.rows(
        "SELECT f.id, f.status, f.has_error, group_concat(d.atriuid, ' ') FROM edcpipelinefile f"
        " LEFT JOIN edcpipelinefiledicom d ON d.edcpipelinefileid = f.id GROUP BY f.id ORDER BY f.id"
    ):
        _say(f"  {file_id}  {status}  has_error={bool(has_error)}  {atriuids or ''}")
    _say("\nmails in the mailbox:")
    for subject in mails(place):
        _say(f"  {subject}")


def _stay(place: DemoPlace) -> None:
    key = f"{place.bucket('source')}/subjecteventcrffile/1/11/scan/zip1.zip"
    keys = "AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test"
    tool = f"{keys} {sys.executable} -m cloud pipeline"
    _say("\nin another terminal:")
    _say(f"  export PIPELINE_CONFIG={place.config_file}")
    _say(f"  {tool} run {key}        (once more: a second record)")
    _say(f"  upload one more in a browser: {place.api}/upload  (record 11, field scan, token {place.upload_token})")
    _say(f"  {tool} errors; {tool} costs; {tool} digest")
    _say("\nstays up until Ctrl-C")
    while True:
        place.parts.check()
        time.sleep(0.5)


def _keys(place: DemoPlace) -> list[Any]:
    found = place.client("s3").list_objects_v2(Bucket=place.bucket("destination"), Prefix="quarantine/")
    return [row["Key"] for row in found.get("Contents", ())]


def _say(text: str) -> None:
    print(text, flush=True)
