"""What every test shares: no settings leak in from the shell, and nothing stays untested in silence.

The closing summary names each test that did not run and the part it misses; with CI=true that fails the run. A run that
is bounded as a whole says when no test may begin any more (CI_DEADLINE, seconds since 1970): what is left then is named
too, and fails nothing, for a run that is broken off would say nothing at all.
Several processes begin with the files that take longest, so that none is left alone with one of them at the end.
"""

import contextlib
import gc
import os
import signal
import time
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from edge.settings import SETTINGS

_OURS = {setting.name for setting in SETTINGS}
_LEAKING = ("AWS_", "BUCKETNAME", "CLOUD_", "DATABASE_", "DB_", "DICOM_", "EDGE_", "QUEUE_", "S3_", "STORE_")

# Longest first, of both tiers. A file that is not here is among the rest, those with many tests first.
LONGEST = (
    "tests/crash/test_power_cuts.py",
    "tests/pipeline/deployed/test_machine.py",  # it waits where the others compute
    "tests/upload/test_backlog.py",
    "tests/crash/test_system_calls.py",
    "tests/crash/test_kills.py",
    "tests/attacks/test_mutants.py",
    "tests/attacks/test_flood.py",
    "tests/e2e/test_silent.py",
    "tests/e2e/test_model.py",
    "tests/e2e/test_edge.py",
    "tests/imports/test_many.py",
    "tests/pipeline/deployed/test_demo.py",
    "tests/build/test_demo_aws.py",
    "tests/build/test_demo.py",
    "tests/pipeline/deployed/test_killed.py",
    "tests/pipeline/deployed/test_real_errors.py",
    "tests/deploy/test_deployed.py",
    "tests/pipeline/deployed/test_commands.py",
    "tests/pipeline/test_api_fuzz.py",
    "tests/tag/test_real_files.py",
    "tests/pipeline/deployed/test_labs.py",
    "tests/deploy/test_stacks.py",
    "tests/e2e/test_operator.py",
    "tests/imports/test_faults.py",
    "tests/fleet/test_greengrass.py",
    "tests/cloud/test_dashboard.py",
    "tests/cloud/test_commands.py",
    "tests/imports/test_commands.py",
    "tests/imagesets/test_workflow.py",
    "tests/attacks/test_weaknesses.py",
)
NO_TIME = "no time was left"
# Files whose tests share nothing but what is made in a moment: each test may go to another process.
SPLIT = (
    "tests/crash/test_power_cuts.py",
    "tests/crash/test_system_calls.py",
    "tests/crash/test_kills.py",
    "tests/attacks/test_flood.py",
)


class LongestFirst(LoadFileScheduling):
    """A file is one process's, but each test of ``SPLIT`` is by itself; in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", 1)[0]
        return nodeid if path in SPLIT else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LongestFirst | None:
    """Schedule ``--dist loadfile``; the order is that of ``pytest_collection_modifyitems``."""
    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return LongestFirst(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the files where several processes share them; one process alone has the order of the folders."""
    if not hasattr(config, "workerinput"):
        return
    paths = [item.nodeid.split("::", 1)[0] for item in items]
    sizes = Counter(paths)
    ranks = {path: rank for rank, path in enumerate(LONGEST)}
    items.sort(key=lambda item: _place(item.nodeid.split("::", 1)[0], ranks, sizes))


def _place(path: str, ranks: dict[str, int], sizes: Counter[str]) -> tuple[int, int]:
    return ranks.get(path, len(ranks)), -sizes[path]


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Let each of several processes compile another share of the test modules first; the rest it finds compiled."""
    if worker := getattr(session.config, "workerinput", None):
        share = slice(int(worker["workerid"].removeprefix("gw")), None, worker["workercount"])
        for path in sorted(Path(__file__).parent.rglob("test_*.py"))[share]:
            with contextlib.suppress(Exception, pytest.skip.Exception):  # what is wrong is told when it is collected
                import_module(".".join(path.relative_to(session.config.rootpath).with_suffix("").parts))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave the thousands of tests and their modules out of every later collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin no test after the deadline, nor what it would share."""
    if time.time() > float(os.environ.get("CI_DEADLINE") or "inf"):
        pytest.skip(NO_TIME)


class Unrun:
    """Gathers what was skipped or expected to fail, and how many tests the chosen tier left out."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        self.left_out = 0
        self.tiers: Counter[str] = Counter()

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.left_out += len(items)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            self.tiers["full" if item.get_closest_marker("full") else "quick"] += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.reasons[report.nodeid] = _reason(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self.reasons[report.nodeid] = getattr(report, "wasxfail", "") or _reason(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._missing() and os.environ.get("CI") == "true" and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _missing(self) -> bool:
        return any(reason != NO_TIME for reason in self.reasons.values())

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("not run here")
        for nodeid, reason in sorted(self.reasons.items()):
            terminalreporter.line(f"{nodeid}: {reason}")
        line = f"{len(self.reasons)} could not run"
        if self.tiers:  # where several processes run tests, each has collected them, and this one has not
            line += (
                f"; found {self.tiers['quick']} quick and {self.tiers['full']} full, "
                f"{self.left_out} of them left out by the chosen tier or selection"
            )
        terminalreporter.line(line)
        if self._missing() and os.environ.get("CI") == "true":
            terminalreporter.line("CI=true: a part that is missing fails the run", red=True)
        if late := sum(reason == NO_TIME for reason in self.reasons.values()):
            terminalreporter.line(f"{late} of them for want of time: this run says nothing about them", red=True)


def _reason(report: pytest.CollectReport | pytest.TestReport) -> str:
    detail = report.longrepr
    return str(detail[2]).removeprefix("Skipped: ") if isinstance(detail, tuple) else str(detail)


def pytest_configure(config: pytest.Config) -> None:
    """Leaves the tests no setting of the shell, and the run its closing summary."""
    for name in [name for name in os.environ if name in _OURS or name.startswith(_LEAKING)]:
        del os.environ[name]
    # No test may find credentials in a home folder or ask a metadata service for them.
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    # Run in a shell's background, nothing that is started would hear Ctrl-C.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(Unrun(), "unrun")
