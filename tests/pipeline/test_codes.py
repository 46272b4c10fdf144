"""The catalogue of error codes is whole, and its error says the same everywhere."""

import json
import re
from pathlib import Path

import pytest

from cloud.pipeline.codes import TABLE, Code, ErrorMessage, Part

#: The dictionary itself, from the lines of the specification: code and words.
LINES = (Path(__file__).parents[1] / "spec_lines.txt").read_text(encoding="utf-8").splitlines()
DICTIONARY = dict(line.split(" ", 2)[1:] for line in LINES if re.match(r"P\d{3} ERR", line))
#: Where the dictionary mistypes, or leaves unnamed which value stands where.
MENDED = {Code.ERRS1003, Code.ERRS1008}


def test_P112_every_code_has_a_text_and_a_part_by_its_number():
    """The dictionary's codes are there with its words; each one's prefix is the number of the part that raises it."""
    assert len(DICTIONARY) == 22
    for code, words in DICTIONARY.items():
        said = re.sub(r"\{.*?\}", "{}", TABLE[Code(code)].text)
        assert code in MENDED or re.sub(r"\{.*?\}", "{}", words).startswith(said)
    assert set(TABLE) == set(Code)
    for code, meaning in TABLE.items():
        assert meaning.text
        assert meaning.part is Part[code[3:5]]


@pytest.mark.parametrize("code", Code)
def test_P076_the_error_is_the_same_wherever_it_is_told(code):
    """Raised, printed and returned forms hold the same code and words."""
    values = dict.fromkeys(TABLE[code].names, "1.2.3")
    error = ErrorMessage(code, "at byte 7", hint="send it again", **values)
    assert str(error) == f"{code}: {error.error}"
    assert "{" not in error.error
    assert json.loads(error.to_line()) == {
        "error_code": code,
        "error": error.error,
        "raised_by": TABLE[code].part,
        "hint": "send it again",
    }


def test_P102_a_missing_value_is_a_fault_of_the_program():
    """A text with places is never told half filled."""
    with pytest.raises(KeyError):
        ErrorMessage(Code.ERRS1007, study_uid="1.2")
