"""Fuzzing as part of the tests: what was once found stays mended, and each harness runs for a moment."""

import importlib
import importlib.util

import pytest

from tests.fuzz import engine

# The least number of edges of our code that a run covers: less means that the harness no longer reaches it.
HARNESSES = {"session": 300, "dimse": 150, "header": 180, "tagging": 300}
needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this machine"
)


@pytest.mark.parametrize("name", HARNESSES)
def test_D10_D5_E033_the_seeds_and_what_fuzzing_once_found_pass(name):
    """Every kept input goes through its harness without a word."""
    harness = importlib.import_module(f"tests.fuzz.{name}")
    try:
        for seed in harness.seeds():
            harness.target(seed)
        for path in engine.regressions(f"tests.fuzz.{name}"):
            harness.target(path.read_bytes())
    finally:
        getattr(harness, "close", bool)()


SECONDS = 15  # a harness


def _fuzzed(name, seconds):
    result = engine.run(f"tests.fuzz.{name}", seconds)
    print(f"{name}: {result.executions} executions, {result.covered} edges")
    return result


@needs_atheris
@pytest.mark.full
@pytest.mark.parametrize("name", HARNESSES)
def test_D10_D5_E033_fuzzing_finds_nothing(name):
    """No exception but ours, no input over its time or memory, and all that the harness says must hold."""
    result = _fuzzed(name, SECONDS)
    assert result.status == 0, result.output[-3000:]
    assert result.executions > 100 * SECONDS
    assert result.covered >= HARNESSES[name]


@pytest.mark.full
@needs_atheris
def test_control_fuzzing_finds_a_planted_fault():
    """From one PDV it comes to three by itself, and hands over the input."""
    result = _fuzzed("planted", 20)
    assert result.status != 0
    assert "planted" in result.output
    assert result.artifact is not None
    planted = importlib.import_module("tests.fuzz.planted")
    with pytest.raises(RuntimeError, match="planted"):
        planted.target(result.artifact)
