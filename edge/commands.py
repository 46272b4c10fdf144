"""The operator's commands that decide or give back: parked show, retry, accept and reject; close; fetch."""

import argparse
import ipaddress
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from edge.config import Config, load_config
from edge.errors import EdgeError
from edge.journal.journal import Journal
from edge.journal.ledger import Access
from edge.journal.rows import Decision

_TELL_SECONDS, _POLL_SECONDS = 5.0, 0.1

AddCommand = Callable[..., argparse.ArgumentParser]
Run = Callable[[argparse.Namespace], int]

_PARKED_EXAMPLES = """\
examples:
  dicom-edge parked                                   the list
  dicom-edge parked show 01JX3KZ0000000000000000000   all that is known of one: sender, UIDs, digest, ledger
  dicom-edge parked accept 01JX3KZ0000000000000000000 --because "sent again with a corrected header, ticket 812"
  dicom-edge parked reject 01JX3KZ0000000000000000000 --because "phantom of the service engineer"

accept: it goes on although it was parked. One with a UID that another has too goes on in a generation of its own, under
  a key of its own: nothing is overwritten. One whose command and dataset disagree goes on by its dataset's UIDs.
reject: it goes no further. Its copy under parked/ in the store stays; only after the store confirmed that copy may the
  local bytes go.
Each decision is an entry of the custody ledger, with the name of the user.
"""
_CLOSE_EXAMPLES = """\
examples:
  dicom-edge close 1.2.826.0.1.3680043.2.1125.7       the open generation of that study
  dicom-edge close --all                              every open generation

A generation closes by itself after quiet. Closed by hand it goes out as soon as its instances are uploaded; what comes
later, and what was received but is not indexed yet, opens the next one.
"""
_FETCH_EXAMPLES = """\
examples:
  dicom-edge fetch 1.2.826.0.1.3680043.2.1125.7.1                 the object as it was uploaded, with its ATRIUID
  dicom-edge fetch 01JX3KZ0000000000000000000 --as-received --output scan.dcm
                                                                  exactly the dataset that the sender sent

From this disk if it is still there, else from the store. The file appears only after its SHA-256 was found to be the
recorded one. It holds patient data.
"""
_RESTORE_EXAMPLES = """\
examples:
  dicom-edge restore          the journal is lost or damaged: make it again from what the store knows
  dicom-edge restore --new    a new box without a link: this edge never uploaded anything, begin at ATRIUID 1

The edge must not run. From the newest copy of the journal in the store, the manifests stored since, the ATRIUIDs of
objects in no manifest yet, and the spool's files. A damaged journal is kept in journal/aside-... A journal that is
missing is restored by dicom-edge serve itself; this command is for a damaged one, and for doing it by hand.
"""
_REINDEX_EXAMPLES = """\
examples:
  dicom-edge reindex          a lost or damaged index (move the damaged file away first)

Every row is made again from the journal, or from the spool's files where the journal has no attributes. While the edge
runs it does the work itself, before anything new is indexed; receiving goes on. Interrupted, it goes on where it was.
"""
_RULES_EXAMPLES = """\
examples:
  dicom-edge rules                                          the rules of AE_RULES, in the order in which they are asked
  dicom-edge rules test CT03 10.1.2.3                       would it be let in? If not: why, and the lines to add
  dicom-edge rules test CT03 10.1.2.3 --called EDGE_AE --tls --fingerprint 9F:86:D0:...
"""
_BECAUSE = "why, one line for the custody ledger: NO patient data, it is kept for ever"


def add_commands(command: AddCommand, configured: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the commands to the parser of ``dicom-edge``."""
    _add_parked(command, configured)
    sub = command("close", _close, "close open generations now, without waiting for quiet", _CLOSE_EXAMPLES)
    configured(sub)
    sub.add_argument("name", nargs="*", metavar="STUDY_INSTANCE_UID|JOB_ID", help="as listed by dicom-edge status")
    sub.add_argument("--all", action="store_true", help="every open generation")
    sub.add_argument("--because", default="", metavar="TEXT", help=_BECAUSE)
    sub = command("fetch", _fetch, "give one instance back, as uploaded or as its sender sent it", _FETCH_EXAMPLES)
    configured(sub)
    sub.add_argument("name", metavar="SOP_INSTANCE_UID|ULID")
    sub.add_argument("--as-received", action="store_true", help="the sender's exact dataset, without our tag")
    sub.add_argument("--output", type=Path, metavar="FILE", help="where to write it (default: its UID in this folder)")

    sub = command("restore", _restore, "make a lost or damaged journal again from the store", _RESTORE_EXAMPLES)
    configured(sub)
    sub.add_argument("--new", action="store_true", help="do not ask the store: nothing was ever uploaded by this edge")
    sub = command("reindex", _reindex, "make the SQL index again from journal and spool", _REINDEX_EXAMPLES)
    configured(sub)
    _add_rules(command, configured)


def _add_rules(command: AddCommand, configured: Callable[[argparse.ArgumentParser], None]) -> None:
    rules = command(
        "rules", _rules, "who may send what: the rules per AE, and what they say of one peer", _RULES_EXAMPLES
    )
    configured(rules)
    actions = rules.add_subparsers(metavar="ACTION")
    text = "say whether a peer would be let in; the exit status is 1 if not"
    sub = actions.add_parser("test", help=text, description=text)
    sub.set_defaults(run=_rules_test)
    sub.add_argument("--config", type=Path, metavar="FILE", default=argparse.SUPPRESS)
    sub.add_argument("title", metavar="CALLING_TITLE")
    sub.add_argument("address", metavar="ADDRESS", type=ipaddress.ip_address)
    sub.add_argument("--called", default="", metavar="TITLE", help="called title (default: AE_TITLE)")
    sub.add_argument("--tls", action="store_true", help="as if it came through TLS")
    sub.add_argument("--fingerprint", default="", help="SHA-256 of its certificate; as if it had shown that one")
    sub.add_argument("--san", default=[], action="append", metavar="NAME", help="a DNS name of its certificate")
    sub.add_argument("--cn", default="", metavar="NAME", help="the common name of its certificate")


def _rules(options: argparse.Namespace) -> int:
    from edge.association.rules_file import load_rules
    from edge.services.rules_report import rules_text

    config = _config(options)
    rules = load_rules(config.ae_rules) if config.ae_rules else ()
    print(rules_text(rules, promiscuous=config.promiscuous))
    _tell_doubts(config)
    return 0


def _tell_doubts(config: Config) -> None:
    from edge.opening import rules_doubts

    for doubt in rules_doubts(config):
        print(f"warning: {doubt}")


def _rules_test(options: argparse.Namespace) -> int:
    from edge.association.admission import Applicant, PeerCertificate
    from edge.association.rules_file import load_rules
    from edge.services.rules_report import verdict_text

    config = _config(options)
    rules = load_rules(config.ae_rules) if config.ae_rules else ()
    certificate = None
    if options.fingerprint or options.san or options.cn:
        digest = options.fingerprint.lower().replace(":", "")
        names = tuple(name.lower() for name in options.san)
        certificate = PeerCertificate(sha256=digest, common_name=options.cn, dns_names=names)
    applicant = Applicant(
        calling=options.title.strip(),
        called=(options.called or config.ae_title).strip(),
        address=str(options.address),
        certificate=certificate,
        tls=options.tls or certificate is not None,
    )
    allowed, text = verdict_text(rules, applicant, promiscuous=config.promiscuous)
    print(text)
    _tell_doubts(config)
    return 0 if allowed else 1


def _add_parked(command: AddCommand, configured: Callable[[argparse.ArgumentParser], None]) -> None:
    parked = command(
        "parked", parked_list, "list what could not go on, why, and what to do; decide on it", _PARKED_EXAMPLES
    )
    configured(parked)
    parked.add_argument("--json", action="store_true", help="for programs")
    actions = parked.add_subparsers(metavar="ACTION")

    def action(name: str, run: Run, text: str, *, ulids: str, decides: bool = False) -> None:
        sub = actions.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        # SUPPRESS: what was said before the action's name must not be undone by a default of the action.
        sub.add_argument("--config", type=Path, metavar="FILE", default=argparse.SUPPRESS)
        if ulids:
            sub.add_argument("ulid", nargs=ulids, metavar="ULID")
        if name in ("list", "show"):
            sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="for programs")
        if name == "retry":
            sub.add_argument("--all", action="store_true", help="everything that is parked")
        if decides:
            sub.add_argument("--because", default="", metavar="TEXT", help=_BECAUSE)

    action("list", parked_list, "the list, newest first", ulids="")
    action("show", _show, "all that is known of one instance, without patient data", ulids="?")
    action("retry", retry, "send through the line again", ulids="*")
    action("accept", _accept, "let it go on although it was parked", ulids="+", decides=True)
    action("reject", _reject, "it goes no further; its copy in the store stays", ulids="+", decides=True)


def parked_list(options: argparse.Namespace) -> int:
    """List what is parked."""
    from edge.opening import open_existing
    from edge.services.report import parked_text

    _, journal = open_existing(_config(options))
    parked = journal.parked()
    if options.json:
        rows = [{"Ulid": i.ulid, "At": i.moved_at.isoformat(), "Reason": i.reason, "Hint": i.hint} for i in parked]
        print(json.dumps(rows, indent=2))
    else:
        print(parked_text(parked))
    return 0


def retry(options: argparse.Namespace) -> int:
    """Send parked instances through the line again."""
    from edge.opening import build_store, open_existing
    from edge.services.bring_back import ensure_here
    from edge.services.report import retry as retry_parked

    if bool(options.ulid) == options.all:
        print("dicom-edge: name the instances to retry (see: dicom-edge parked), or say --all", file=sys.stderr)
        return 2
    config = _config(options)
    spool, journal = open_existing(config, Access.DECIDE)
    here = partial(ensure_here, journal, spool, lambda: build_store(config))
    done, refused = retry_parked(journal, options.ulid, every=options.all, ensure_here=here)
    for ulid in done:
        print(f"{ulid} goes through the line again")
    for why in refused:
        print(f"dicom-edge: {why}", file=sys.stderr)
    if not done and not refused:
        print("nothing is parked")
    return 1 if refused else 0


def _show(options: argparse.Namespace) -> int:
    from edge.opening import open_existing
    from edge.services.account import account, account_text

    if not options.ulid:
        print("dicom-edge: name the instance to show (see: dicom-edge parked)", file=sys.stderr)
        return 2
    spool, journal = open_existing(_config(options))
    found = account(journal, spool, options.ulid)
    print(json.dumps(found, indent=2) if options.json else account_text(found))
    return 0


def _accept(options: argparse.Namespace) -> int:
    from edge.opening import build_store, open_spool
    from edge.services.bring_back import ensure_here
    from edge.services.decisions import accept

    config = _config(options)
    spool = open_spool(config)

    def accept_here(journal: Journal, ulid: str, decision: Decision) -> str:
        here = partial(ensure_here, journal, spool, lambda: build_store(config))
        return accept(journal, ulid, decision, ensure_here=here)

    return _decide(options, accept_here)


def _reject(options: argparse.Namespace) -> int:
    from edge.services.decisions import reject

    return _decide(options, reject)


def _decide(options: argparse.Namespace, verb: Callable[[Journal, str, Decision], str]) -> int:
    """Take one decision on each instance; one that cannot be taken does not hinder the others."""
    from edge.opening import open_existing
    from edge.services.decisions import decision_by_user

    decision = decision_by_user(options.because)
    _, journal = open_existing(_config(options), Access.DECIDE)
    status = 0
    for ulid in options.ulid:
        try:
            print(f"{ulid} {verb(journal, ulid, decision)}")
        except EdgeError as e:
            status = 1
            print(f"dicom-edge: {e}" + (f"\n  hint: {e.hint}" if e.hint else ""), file=sys.stderr)
    return status


def _close(options: argparse.Namespace) -> int:
    from edge.opening import open_existing
    from edge.services.decisions import close, close_all, decision_by_user

    if bool(options.name) == options.all:
        print("dicom-edge: name the studies or jobs to close (see: dicom-edge status), or say --all", file=sys.stderr)
        return 2
    decision = decision_by_user(options.because)
    _, journal = open_existing(_config(options), Access.DECIDE)
    closed, status = [], 0
    if options.all:
        closed = close_all(journal, decision)
    for name in options.name:
        try:
            closed.append(close(journal, name, decision))
        except EdgeError as e:
            status = 1
            print(f"dicom-edge: {e}" + (f"\n  hint: {e.hint}" if e.hint else ""), file=sys.stderr)
    for g in closed:
        print(f"closed: study {g.study_instance_uid}, generation {g.job_id}, {g.instances} instances")
    if not closed and not status:
        print("nothing is open")
    return status


def _fetch(options: argparse.Namespace) -> int:
    from edge.contract.uids import key_part
    from edge.opening import build_store, open_existing
    from edge.services.fetch import fetch, find

    config = _config(options)
    spool, journal = open_existing(config)
    instance = find(journal, options.name)
    output = options.output or Path(f"{key_part(instance.sop_instance_uid)}.dcm")
    done = fetch(
        instance, output.absolute(), as_received=options.as_received, journal=journal, spool=spool,
        store=lambda: build_store(config),
    )  # fmt: skip
    what = "the dataset exactly as received" if options.as_received else "the object as uploaded"
    print(f"{output}: {what}, {done.size} bytes")
    print(f"  instance  {instance.ulid}, SOP Instance UID {instance.sop_instance_uid!r}")
    print(f"  from      {done.source}")
    print(
        f"  SHA-256   {done.sha256} {'of the dataset' if options.as_received else 'of the file'}: is what was recorded"
    )
    print(f"  recorded  entry {done.entry} of the custody ledger; dicom-edge status --verify checks the ledger itself")
    return 0


def _restore(options: argparse.Namespace) -> int:
    from edge.opening import build_store, open_spool, prepare_spool, restore_settings
    from edge.services.decisions import os_user
    from edge.services.restore import begin_journal, is_damaged, restore_journal

    config = _config(options)
    settings = restore_settings(config)
    os.umask(0o077)
    with prepare_spool(config):  # no edge runs on it meanwhile
        if options.new:
            begin_journal(settings, os_user())
            print(f"a new journal begins at {settings.path}: the first ATRIUID will be that of study 1")
            return 0
        if settings.path.exists():
            why = is_damaged(settings.path)
            if why is None:
                print("the journal is whole: there is nothing to restore")
                return 0
            print(f"the journal is damaged: {why}")
        found = restore_journal(settings, open_spool(config), build_store(config))
    print(f"copy of the journal: {found.copy or 'none in the store'}, {found.entries} entries")
    print(f"manifests stored since: {found.manifests}, with {found.instances} instances")
    print(f"series whose ATRIUID only an object told: {found.series}")
    print(f"instances that go through the line again: {found.again}")
    print("the journal is restored; start the edge: it enters the spool's files and makes the index anew")
    return 0


def _reindex(options: argparse.Namespace) -> int:
    from edge.index.reindex import Progress, progress, request
    from edge.indexing import reindex
    from edge.opening import reindex_file, running

    config = _config(options)
    os.umask(0o077)
    told = [time.monotonic()]

    def tell(now: Progress) -> None:
        if time.monotonic() - told[0] > _TELL_SECONDS:
            told[0] = time.monotonic()
            print(f"{'rows made' if now.emptied else 'old rows leave'}: {now.rows} (entry {now.after} of the ledger)")

    last = Progress()
    if running(config) is None:
        last = reindex(config, tell)
    else:
        path = reindex_file(config.spool_dir)
        request(path)
        print("the running edge makes its index anew; it does so also if this command is ended")
        while (now := progress(path)) is not None:
            if running(config) is None:
                print("dicom-edge: the edge was stopped; it goes on at its next start", file=sys.stderr)
                return 1
            last = now
            tell(now)
            time.sleep(_POLL_SECONDS)
    print(f"the index is made anew: {last.rows} instances")
    if last.left_out:
        print(f"dicom-edge: {last.left_out} could not be read from journal or spool, see the log", file=sys.stderr)
    return 1 if last.left_out else 0


def _config(options: argparse.Namespace) -> Config:
    return load_config(os.environ, options.config)
