"""What the pipeline's commands say when they cannot work: the cause and the way out, and no trace of Python."""

import argparse

import pytest

from cloud.__main__ import _parser, main
from tests.pipeline.deployed.test_labs import CONFIG

AWAY = "AWS cannot be reached"
GEHEIM = "geheim"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A pipeline in an account that does not answer."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trc.config").write_text(CONFIG.format(url="http://127.0.0.1:9"))
    monkeypatch.setenv("PIPELINE_CONFIG", "trc.config")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return tmp_path


def typed(capsys, *words):
    """Type a command; its status and both lines that it said."""
    status = main(["pipeline", *words])
    out, err = capsys.readouterr()
    return status, out + err


def words_of(parser, above=()):
    """Every command below a parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from words_of(below, (*above, name))
            return
    yield above


def test_every_command_of_the_pipeline_explains_itself(capsys):
    """Each has a help with what it does and an example; typed without what it needs it says what is missing."""
    found = [words for words in words_of(_parser()) if words[0] == "pipeline"]
    assert {("pipeline", "lab", "add"), ("pipeline", "setup"), ("pipeline", "api")} <= set(found)
    for words in found:
        with pytest.raises(SystemExit) as e:
            main([*words, "--help"])
        said = capsys.readouterr().out
        assert e.value.code == 0
        assert f"example: dicom-cloud {' '.join(words)}" in said, words


@pytest.mark.parametrize(
    "words",
    [
        ["setup", "trc.config", "--without-stacks"],
        ["run", "trc-000000000000/subjecteventcrffile/1/11/scan/a.zip"],
        ["redrive", "x"],
        ["unquarantine", "7", "--to", "released", "--reason", "x"],
        ["errors"],
        ["costs"],
        ["digest"],
        ["lab", "add", "core", "--folder", "x"],
        ["lab", "list"],
        ["lab", "key", "core"],
        ["lab", "revoke", "core"],
        ["lab", "log"],
    ],
    ids=" ".join,
)
def test_an_account_that_cannot_be_asked_is_said_with_the_way_out(place, monkeypatch, capsys, words):
    """Without keys, with a network that is away, without the config file: a line with the cause, one with the way."""
    status, said = typed(capsys, *words)
    assert (status, "there are no AWS keys" in said) == (1, True), said
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", GEHEIM)
    status, said = typed(capsys, *words)
    assert (status, AWAY in said, GEHEIM in said) == (1, True, False), said
    assert len(said.splitlines()) == 2
    (place / "trc.config").unlink()
    status, said = typed(capsys, *words)
    assert (status, "cannot read trc.config" in said) == (1, True), said


@pytest.mark.parametrize(
    "words",
    [["list"], ["token"], ["tokens"], ["revoke", "3"], ["register", "a", "A"], ["file-ids", "--from", "7"]],
    ids=" ".join,
)
def test_a_database_that_is_away_or_empty_is_told_apart(place, monkeypatch, capsys, words):
    """Away: see the address, whose password is not shown. Without tables: the command that makes them."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://user:{GEHEIM}@127.0.0.1:9/x")
    status, said = typed(capsys, *words)
    assert (status, "does not answer" in said, GEHEIM in said) == (1, True, False), said
    (place / "empty.db").touch()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{place / 'empty.db'}")
    status, said = typed(capsys, *words)
    assert (status, "dicom-cloud migrate" in said, "has not the tables" in said) == (1, True, True), said
