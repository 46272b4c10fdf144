"""What an operator decides: a parked instance accepted or rejected, a generation closed."""

import getpass
import os
import uuid
from collections.abc import Callable
from contextlib import suppress

from edge.contract.states import State
from edge.contract.uids import is_valid_uid
from edge.errors import EdgeError, JournalError
from edge.index.judgement import Acceptable, acceptable
from edge.journal.journal import Journal
from edge.journal.rows import Decision, Generation, Instance

_MOST_TEXT = 500
_MEANS = {
    Acceptable.CONFLICT: "goes on in a generation of its own; the one that came first stays what it is",
    Acceptable.MISMATCH: "goes on by the UIDs of its dataset",
}


def decision_by_user(because: str) -> Decision:
    """Return the decision of who runs this command; raises EdgeError for a reason that the ledger should not keep."""
    if len(because) > _MOST_TEXT or not (because.isprintable() or not because):
        raise EdgeError(f"--because takes one line of at most {_MOST_TEXT} characters", hint="no patient data")
    return Decision(by=os_user(), because=because)


def os_user() -> str:
    """Return the user of this process, and who logged in at this terminal where that is another (sudo)."""
    try:
        import pwd  # noqa: PLC0415  POSIX only; unlike getpass it does not believe the environment

        user = pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        user = getpass.getuser()
    with suppress(OSError):
        if (login := os.getlogin()) != user:
            return f"{user} (logged in as {login})"
    return user


def accept(
    journal: Journal, ulid: str, decision: Decision, *, ensure_here: Callable[[str], object] = lambda _: None
) -> str:
    """Send a parked instance through the line again although it was parked; returns what that means, in words.

    Raises JournalError, with the way out, where it cannot go on as it is, and what ``ensure_here`` raises where its
    bytes cannot be had.
    """
    instance = _parked(journal, ulid)
    what = acceptable(instance.reason)
    if what is None:
        raise JournalError(f"{ulid} cannot be accepted: {instance.reason}", hint=_way_out(instance))
    ensure_here(ulid)
    journal.record_accepted(ulid, what, decision)
    return _MEANS[what]


def reject(journal: Journal, ulid: str, decision: Decision) -> str:
    """Decide that a parked instance goes no further; returns what becomes of its bytes, in words."""
    instance = _parked(journal, ulid)
    journal.record_rejected(ulid, decision)
    if instance.parked_stored:
        return "goes no further; its copy under parked/ in the store stays"
    return "goes no further; it is copied to parked/ in the store before its local bytes may go"


def close(journal: Journal, name: str, decision: Decision) -> Generation:
    """Close the open generation of a study, or the one of that job id; raises JournalError if there is none."""
    by_job = journal.generations("job_id = ?", name)
    if by_job:
        found = by_job[0]
    elif _is_job_id(name):
        raise JournalError(f"no generation {name} in this journal", hint="dicom-edge status lists the open ones")
    elif not is_valid_uid(name):
        raise JournalError(
            f"{name!r} is neither a Study Instance UID nor a job id", hint="dicom-edge status lists them"
        )
    else:
        of_study = journal.generations("study_instance_uid = ? AND closed_at IS NULL", name)
        if not of_study:
            raise _nothing_open(journal, name)
        found = of_study[0]
    if not journal.close_generation(found.job_id, "operator", decision=decision):
        raise JournalError(f"generation {found.job_id} is closed already", hint="late instances open the next one")
    return found


def close_all(journal: Journal, decision: Decision) -> list[Generation]:
    """Close every open generation and return those that were closed by us."""
    found = journal.generations("closed_at IS NULL", most=1_000_000)
    return [g for g in found if journal.close_generation(g.job_id, "operator", decision=decision)]


def _parked(journal: Journal, ulid: str) -> Instance:
    instance = journal.instance(ulid)
    if instance is None:
        raise JournalError(f"no instance {ulid[:64]!r} in the journal", hint="list them with: dicom-edge parked")
    if instance.state is not State.PARKED:
        raise JournalError(f"{ulid} is {instance.state}, not PARKED", hint="list them with: dicom-edge parked")
    return instance


def _way_out(instance: Instance) -> str:
    if instance.reason and ("malformed UID" in instance.reason or "has no" in instance.reason):
        return (
            "without valid UIDs it has no key and no ATRIUID: have the sender mended and let it send again,"
            " then reject this one"
        )
    return (
        f"{instance.hint or 'mend the cause'}; then dicom-edge retry it, or reject it once the sender has sent it again"
    )


def _nothing_open(journal: Journal, study: str) -> JournalError:
    if journal.generations("study_instance_uid = ?", study, most=1):
        return JournalError(
            f"nothing of study {study} is open", hint="its generations are closed; see dicom-edge status"
        )
    return JournalError(
        f"no study {study} in this journal",
        hint="what was only just received is not indexed yet: try again in a moment",
    )


def _is_job_id(name: str) -> bool:
    try:
        uuid.UUID(name)
    except ValueError:
        return False
    return True
