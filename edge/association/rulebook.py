"""The rulebook: the rules in force, read again when their file changes; a broken file leaves the old ones in force.

The last good file is kept beside the spool, so that a box that starts after a bad edit starts with the rules it had.
The file is read outside of the lock that a peer's admission takes, by one thread at a time. What is doubtful in
hundreds of rules takes seconds to find: a thread of its own looks for it, and no peer waits.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge.association.admission import Applicant, Rejection
from edge.association.rules import Rule, judge
from edge.association.rules_file import RulesFault, load_text, read_rules
from edge.association.terms import Terms, Usage
from edge.errors import ConfigError
from edge.events import Event, log

_MOST_DOUBTS = 10  # lines of the log


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Why the rules in force are not those of the file."""

    at: datetime
    text: str
    hint: str


class Rulebook:
    """An :class:`edge.association.terms.Admit`; ``refresh`` and the call may come from any thread."""

    def __init__(
        self,
        path: Path | None,
        *,
        promiscuous: bool,
        last_good: Path | None = None,
        usage: Mapping[str, Usage] | None = None,
        doubts: Callable[[Sequence[Rule]], list[str]] = lambda _: [],
    ) -> None:
        """Read the rules; raises ConfigError if the file has faults and no good one was kept.

        ``doubts`` returns what is likely a mistake in rules without faults; it is logged, by a thread that it runs in.
        """
        self._path = path
        self._promiscuous = promiscuous
        self._last_good = last_good
        self._usage = dict(usage or {})
        self._doubts = doubts
        self._reading = threading.Lock()
        self._doubting = threading.Lock()  # one thread at a time looks for doubts
        self._lock = threading.Lock()  # of the rules in force and their terms
        self._rules: tuple[Rule, ...] = ()
        self._terms: dict[str, Terms] = {}
        self._seen: object = None
        self._broken: Broken | None = None
        if path is not None:
            self._begin(path)

    @property
    def broken(self) -> Broken | None:
        """Why older rules are in force; None if those of the file are."""
        return self._broken

    @property
    def promiscuous(self) -> bool:
        """Whether titles that no rule lists are let in."""
        return self._promiscuous

    def __call__(self, applicant: Applicant) -> Rejection | Terms:
        """See :class:`edge.association.terms.Admit`; a file that changed holds from this peer on."""
        self.refresh()
        while True:
            rules = self._rules
            found = judge(rules, applicant, promiscuous=self._promiscuous)
            if isinstance(found, Rejection):
                return found
            with self._lock:
                if rules is self._rules:
                    return self._terms_of(found)

    def usage(self) -> dict[str, Usage]:
        """Return what each rule that has been used took today."""
        today = datetime.now(UTC).date()
        with self._lock:
            # What was used before a restart counts until the rule's peers come again, and after it.
            before = {name: used for name, used in self._usage.items() if used.day >= today}
            return before | {name: terms.usage() for name, terms in self._terms.items() if name}

    def refresh(self, *, force: bool = False) -> None:
        """Read the file again if it has changed (or by force); never raises, and never leaves the box without rules."""
        if self._path is None or not self._reading.acquire(blocking=force):
            return  # another thread reads it just now: until it has, the rules before hold
        try:
            self._refresh(self._path, force=force)
        finally:
            self._reading.release()

    def _refresh(self, path: Path, *, force: bool) -> None:
        seen = _mark(path)
        if seen == self._seen and not force:
            return
        try:
            text = load_text(path)
            rules = read_rules(text, path.name)
        except RulesFault as e:
            self._seen = object() if e.is_unread else seen
            self._say_broken(e, "the file of rules has faults; the rules before stay in force", again=force)
            return
        if _mark(path) == seen:  # else it is being written: what was read may be of both
            self._seen = seen
            self._take(rules, text)

    def _begin(self, path: Path) -> None:
        self._seen = _mark(path)
        try:
            text = load_text(path)
            rules = read_rules(text, path.name)
        except ConfigError as e:
            try:
                if self._last_good is None:
                    raise
                rules = read_rules(load_text(self._last_good), self._last_good.name)
            except ConfigError:
                raise e from None
            self._rules = rules
            if isinstance(e, RulesFault) and e.is_unread:
                self._seen = object()  # like no mark: it is read again although it has not changed
            self._say_broken(e, "the file of rules has faults; the rules that were good last are in force", again=True)
        else:
            self._take(rules, text)

    def _take(self, rules: tuple[Rule, ...], text: str) -> None:
        with self._lock:
            self._rules, self._broken = rules, None
            named = {rule.name: rule for rule in rules}
            for name, terms in self._terms.items():
                terms.renew(named.get(name, terms.rule))
        if self._last_good is not None:
            _keep(self._last_good, text)
        log(Event.RULES_READ, f"rules per AE: {len(rules)}", rules=len(rules), promiscuous=self._promiscuous)
        threading.Thread(target=self._tell_doubts, args=(rules,), name="rules-doubts", daemon=True).start()

    def _tell_doubts(self, rules: tuple[Rule, ...]) -> None:
        with self._doubting:
            if rules is not self._rules:
                return  # read again while this waited: the thread of the newer rules tells of those
            for doubt in self._doubts(rules)[:_MOST_DOUBTS]:
                hint = "the rules are in force; dicom-edge check-config tells of all that are doubtful"
                log(Event.RULES_READ, doubt, level=logging.WARNING, hint=hint)

    def _say_broken(self, e: ConfigError, what: str, *, again: bool) -> None:
        text = f"{what}: {e}"
        if again or self._broken is None or self._broken.text != text:
            self._broken = Broken(at=datetime.now(UTC), text=text, hint=e.hint)
            log(Event.RULES_KEPT, text, level=logging.ERROR, hint=e.hint)

    def _terms_of(self, rule: Rule) -> Terms:
        if rule.name not in self._terms:
            self._terms[rule.name] = Terms(rule, usage=self._usage.get(rule.name))
        return self._terms[rule.name]


def _mark(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file does, its rights included (ctime); None if it is away."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev


def _keep(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # a power cut must not leave an empty file under the name
        os.replace(part, path)
    except OSError as e:
        hint = "the rules are in force all the same; see the free space and the rights of SPOOL_DIR"
        log(Event.RULES_KEPT, f"no copy of the rules was kept ({e.strerror})", level=logging.WARNING, hint=hint)
