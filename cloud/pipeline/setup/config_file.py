"""The config file ``[study portal instance]-[pipeline code].config`` (P140-P147): text, one ``NAME = value`` a line.

A value is made of quoted texts, ``$NAME`` or ``${NAME}``, and bare names beside quotes, as in
``EDC_EB_ENV"-img-pipe-"IMG_TYPE`` (P143). Names are used after the line that gives them. ``#`` begins a comment.
"""

import re
from pathlib import Path

from pydantic import ValidationError

from cloud.errors import ConfigError
from cloud.pipeline.setup.config import PipelineConfig

_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Z][A-Z0-9_]*)\s*=\s*(?P<value>.*)")
_PIECE = re.compile(
    r"""(?P<comment>\s+\#.*|^\#.*)|"(?P<double>[^"]*)"|'(?P<single>[^']*)'|\$\{(?P<braced>[A-Z][A-Z0-9_]*)\}"""
    r"""|\$(?P<dollar>[A-Z][A-Z0-9_]*)|(?P<bare>[^\s"'$\#]+)|(?P<space>\s+)|(?P<other>.)"""
)


def load_config_file(path: Path) -> PipelineConfig:
    """Return the pipeline that the file describes; raises ConfigError naming every fault at once."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"cannot read {path}: {e.strerror}", hint="name the pipeline's config file") from e
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text in UTF-8") from None
    values, faults = read_lines(text)
    script = values.get("IMG_SCRIPT", "")
    if script and not script.startswith("s3://"):
        values["IMG_SCRIPT"] = str(path.parent / script)
    unknown = sorted(set(values) - set(PipelineConfig.model_fields))
    faults += [f"unknown name {name}" for name in unknown]
    try:
        config = PipelineConfig.model_validate({name: v for name, v in values.items() if name not in unknown})
    except ValidationError as e:
        for error in e.errors(include_url=False, include_input=False):
            where = ".".join(map(str, error["loc"]))
            said = error["msg"].removeprefix("Value error, ")
            faults += [f"{where}: {said}"] if where else said.splitlines()
        raise _refused(path, faults) from None
    if faults:
        raise _refused(path, faults)
    return config


def read_lines(text: str) -> tuple[dict[str, str], list[str]]:
    """Return the names and their values, and the faults found."""
    values: dict[str, str] = {}
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.strip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            faults.append(f"line {number}: not NAME = value")
            continue
        try:
            values[found["name"]] = _value(found["value"], values)
        except ValueError as e:
            faults.append(f"line {number}: {e}")
    return values, faults


def _value(text: str, known: dict[str, str]) -> str:
    pieces = [piece for piece in _PIECE.finditer(text) if piece.lastgroup != "comment"]
    beside_quotes = any(piece.lastgroup in ("double", "single") for piece in pieces)
    made = ""
    for piece in pieces:
        kind, said = str(piece.lastgroup), piece[piece.lastgroup or 0]
        if kind == "other":
            raise ValueError("a quote is not closed" if said in "\"'" else f"{said!r} belongs in quotes")
        if kind in ("braced", "dollar"):
            if said not in known:
                raise ValueError(f"{said} is used before it is given")
            made += known[said]
        elif kind == "double":
            made += re.sub(r"\$\{([A-Z][A-Z0-9_]*)\}", lambda found: _known(found[1], known), said)
        elif kind == "bare" and beside_quotes and said in known:
            made += known[said]
        else:
            made += said
    return made.strip()


def _known(name: str, known: dict[str, str]) -> str:
    if name not in known:
        raise ValueError(f"{name} is used before it is given")
    return known[name]


def _refused(path: Path, faults: list[str]) -> ConfigError:
    lines = "\n".join(f"  {fault}" for fault in faults)
    return ConfigError(f"{path} cannot be used:\n{lines}", hint="correct every line above and start again")
