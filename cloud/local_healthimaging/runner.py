"""The workers that run import jobs, each job by one of them, and go on with those that a kill left behind."""

import logging
import sqlite3
import threading

from cloud.events import Event, log
from cloud.local_healthimaging.errors import ObjectsAway
from cloud.local_healthimaging.events import Outlet, announce_job, send_due
from cloud.local_healthimaging.importing import JobFailed, Stopping, run_job
from cloud.local_healthimaging.purge import purge_deleted
from cloud.local_healthimaging.service import Service
from cloud.local_healthimaging.switches import JobPlan

LONGEST_WAIT = 0.2


class Runner:
    """``workers`` threads; :meth:`wake` makes one look at once."""

    def __init__(self, service: Service, *, workers: int = 2, outlet: Outlet | None = None) -> None:
        self._service = service
        self._outlet = outlet
        self._stop = threading.Event()
        self._news = threading.Condition()
        self._taken: set[str] = set()
        self._threads = [threading.Thread(target=self._work, name=f"import-{n}", daemon=True) for n in range(workers)]

    def start(self) -> None:
        """Start the workers."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each worker end the file in hand, and wait for it; the job goes on at the next start."""
        self._stop.set()
        self.wake()
        for thread in self._threads:
            thread.join(10)

    def wake(self) -> None:
        """Tell the workers that there may be something to do."""
        with self._news:
            self._news.notify_all()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                self._end_jobs()
                purge_deleted(self._service)
                if self._outlet is not None:
                    send_due(self._service, self._outlet)
                job = self._take()
                if job is not None:
                    self._run(job)
                    continue
            except Exception as e:  # noqa: BLE001 - the worker's door: the next look may go well
                log(Event.JOB_FAILED, "an import worker met a fault of ours", level=logging.ERROR, exc=e)
            with self._news:
                self._news.wait(LONGEST_WAIT)

    def _take(self) -> sqlite3.Row | None:
        """Return the oldest job that nobody works on and that has been SUBMITTED long enough."""
        now, pace = self._service.clock(), self._service.pace
        with self._news, self._service.state.read() as db:
            job: sqlite3.Row
            for job in db.execute(
                "SELECT * FROM job WHERE status IN ('SUBMITTED', 'IN_PROGRESS') AND outcome IS NULL"
                " AND submitted_at + json_extract(plan, '$.submitted_seconds') <= ? ORDER BY n",
                (now - pace.submitted,),
            ):
                if job["id"] not in self._taken:
                    self._taken.add(job["id"])
                    return job
        return None

    def _run(self, job: sqlite3.Row) -> None:
        try:
            if job["status"] == "SUBMITTED":
                self._enter(job, "IN_PROGRESS")
            outcome, message = "COMPLETED", None
            try:
                run_job(self._service, job, self._stop.is_set)
            except Stopping:
                return
            except (JobFailed, ObjectsAway) as e:
                outcome, message = "FAILED", str(e)
            except Exception as e:  # noqa: BLE001 - whatever it is, the job must not hang
                outcome, message = "FAILED", f"An internal error occurred: {type(e).__name__}"
                log(Event.JOB_FAILED, "an import job met a fault of ours", level=logging.ERROR, exc=e, job=job["id"])
            with self._service.state.write() as db:
                db.execute("UPDATE job SET outcome = ?, message = ? WHERE id = ?", (outcome, message, job["id"]))
        finally:
            with self._news:
                self._taken.discard(job["id"])

    def _end_jobs(self) -> None:
        """Give each job that is done its last state, once it has lasted as long as the pace wants."""
        pace, now = self._service.pace, self._service.clock()
        with self._service.state.read() as db:
            done = db.execute(
                "SELECT * FROM job WHERE status = 'IN_PROGRESS' AND outcome IS NOT NULL AND submitted_at"
                " + json_extract(plan, '$.submitted_seconds') + json_extract(plan, '$.seconds') <= ?",
                (now - pace.submitted - pace.job,),
            ).fetchall()
        for job in done:
            self._enter(job, job["outcome"])

    def _enter(self, job: sqlite3.Row, status: str) -> None:
        """Give a job its next state and announce it, once: another worker may have seen the same job."""
        now = self._service.clock()
        ended_at = None if status == "IN_PROGRESS" else now
        with self._service.state.write() as db:
            entered = db.execute(
                "UPDATE job SET status = ?, ended_at = ? WHERE id = ? AND status = ?",
                (status, ended_at, job["id"], job["status"]),
            ).rowcount
            if entered and "events" not in JobPlan.model_validate_json(job["plan"]).leave_out:
                announce_job(self._service, db, job, status, at=now)
