"""A nucleus, and an edge that runs as its component."""

import tempfile
from pathlib import Path

import pytest

from tests.e2e.edge_process import EdgeProcess
from tests.fleet.nucleus_double import NucleusDouble
from tests.nursery import nursery


class Component(EdgeProcess):
    """``dicom-edge serve`` as the nucleus starts it: its settings come through the IPC socket."""

    def __init__(self, folder: Path, nucleus: NucleusDouble) -> None:
        super().__init__(folder)
        self.nucleus = nucleus
        name = self.settings["AWS_IOT_THING_NAME"]
        of_component = {k: v for k, v in self.settings.items() if k not in ("AWS_IOT_THING_NAME", "EDGE_NUMBER")}
        nucleus.configuration = {**of_component, "Edges": {name: {"EDGE_NUMBER": 7}, "another": {"EDGE_NUMBER": 8}}}

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": super().environ["PATH"],
            "AWS_IOT_THING_NAME": self.settings["AWS_IOT_THING_NAME"],
            "AWS_REGION": "eu-west-1",
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(self.nucleus.path),
            "SVCUID": self.nucleus.token,
        }

    def command(self, *arguments: str):
        """As an operator on the box: with the settings that the running edge wrote down."""
        told = {"PATH": self.environ["PATH"], "DICOM_EDGE_CONFIG": str(self.spool / "run/settings.toml")}
        return nursery().run("edge", *arguments, environ=told)


@pytest.fixture
def nucleus():
    """A double of the nucleus; its socket has a short path, for those are limited to 107 characters."""
    with tempfile.TemporaryDirectory(prefix="gg-") as folder:
        double = NucleusDouble(Path(folder) / "ipc.socket")
        yield double
        double.stop()


@pytest.fixture
def component(tmp_path, nucleus):
    """An edge under that nucleus, not started yet."""
    edge = Component(tmp_path, nucleus)
    yield edge
    if edge.process is not None:
        edge.process.kill()
        edge.process.wait(30)
