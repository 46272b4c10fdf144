"""What every test shares: no settings leak in from the shell, and nothing stays untested in silence.

The closing summary names each test that did not run and the part it misses; with CI=true that fails the run.
"""

import os
from collections import Counter

import pytest

from edge.settings import SETTINGS

_OURS = {setting.name for setting in SETTINGS}
_LEAKING = ("AWS_", "BUCKETNAME", "CLOUD_", "DATABASE_", "DB_", "DICOM_", "EDGE_", "QUEUE_", "S3_", "STORE_")


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
        if self.reasons and os.environ.get("CI") == "true" and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

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
        if self.reasons and os.environ.get("CI") == "true":
            terminalreporter.line("CI=true: a part that is missing fails the run", red=True)


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
    config.pluginmanager.register(Unrun(), "unrun")
