"""``dicom-cloud pipeline …`` and ``dicom-cloud edc …``: what a person types to run the pipeline's own parts."""

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from cloud.config import load_settings
from cloud.console import open_index, printable
from cloud.errors import ConfigError, SeedFault, TokenFault
from cloud.events import configure_logging
from cloud.pipeline.api.tokens import BOT, Group
from cloud.pipeline.labs.commands import add_lab_commands
from cloud.pipeline.run_commands import add_run_commands, of_pipeline
from cloud.pipeline.settings import ApiSettings, EdcSettings

SEED = """The file is JSON: {"subject": [{"id": 1, "code": "TRC001"}], "event": [...], "ddcrf": [...], "ddfile": [...],
"subjecteventcrf": [...], "subjecteventcrffile": [...]}. Rows that are there stay as they are. Only for an EDC of our
own: never point it at a study portal's database.
"""
API = """Behind TLS wherever it is not on this machine: tokens travel in a header. /health says whether it is ready,
/openapi.json describes every call, /pipelines is the page where pipelines are registered, /upload the one where files
are uploaded.
"""


def add_commands(commands: Any) -> None:
    """Add both words to the tool."""
    _pipeline(_group(commands, "pipeline", "the image pipeline: its API, pipelines and tokens"))
    _edc(_group(commands, "edc", "an EDC of our own, where there is no study portal"))


def _group(commands: Any, name: str, words: str) -> Any:
    group = commands.add_parser(name, help=words, description=f"{words}.")
    return group.add_subparsers(required=True, metavar="COMMAND")


def _command(
    group: Any, name: str, command: Callable[[argparse.Namespace], int], words: str, *, more: str = "", example: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = group.add_parser(
        name,
        help=words,
        description=f"{words}.\n\n{more}".rstrip(),
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=command)
    return parser


def _pipeline(group: Any) -> None:
    _command(group, "api", _api, "serve the pipeline's API until stopped", more=API, example="dicom-cloud pipeline api")
    register = _command(
        group,
        "register",
        _register,
        "register a pipeline; the same again changes nothing",
        example='dicom-cloud pipeline register amypet "Amyloid PET" --ddfiles scan',
    )
    register.add_argument("code")
    register.add_argument("label")
    register.add_argument("--ddfiles", help="upload fields that it takes, comma separated")
    _command(group, "list", _list, "print every pipeline", example="dicom-cloud pipeline list")
    numbers = _command(
        group,
        "file-ids",
        _file_ids,
        "after a rebuild of the index: give no FileID below this one again",
        more="The highest ever given stands in quarantine's file names, before date and time. Never lowered.",
        example="dicom-cloud pipeline file-ids --from 4712",
    )
    numbers.add_argument("--from", dest="first", type=int, required=True, metavar="N", help="the next FileID, or above")
    token = _command(
        group,
        "token",
        _token,
        "give a user another token; it is printed once, and only its digest is kept",
        example="dicom-cloud pipeline token",
    )
    token.add_argument("--user", default=BOT, help=f"made if it is new (default: {BOT})")
    token.add_argument(
        "--group", action="append", choices=list(Group), help=f"what it may do, several times (default: {Group.RUNS})"
    )
    token.add_argument("--days", type=int, help="how long it holds (default: until revoked)")
    _command(group, "tokens", _tokens, "list tokens, never their values", example="dicom-cloud pipeline tokens")
    revoke = _command(group, "revoke", _revoke, "end a token now", example="dicom-cloud pipeline revoke 3")
    revoke.add_argument("id", type=int, help="as `tokens` shows it")
    add_run_commands(partial(_command, group))
    labs = _group(group, "lab", "labs that fetch their files from quarantine: who may, and who took what")
    add_lab_commands(partial(_command, labs), of_pipeline)


def _edc(group: Any) -> None:
    seeding = _command(
        group,
        "seed",
        _seed,
        "make the EDC's tables where they are missing, and give them first rows",
        more=SEED,
        example="dicom-cloud edc seed --demo",
    )
    which = seeding.add_mutually_exclusive_group(required=True)
    which.add_argument("file", nargs="?", type=Path, help="JSON")
    which.add_argument("--demo", action="store_true", help="invented rows: two participants, three records")


def _api(arguments: argparse.Namespace) -> int:
    from cloud.pipeline.api.app import build_app
    from cloud.pipeline.api.opening import open_parts
    from cloud.serving import bind, serve

    settings = load_settings(ApiSettings, arguments.config)
    configure_logging(settings.LOGLEVEL)
    parts = open_parts(settings)
    listener = bind(settings.PIPELINE_API_HOST, settings.PIPELINE_API_PORT, what="the API", setting="PIPELINE_API_PORT")
    serve(build_app(parts), listener, lambda address: print(f"pipeline API: {address}", flush=True))
    parts.engine.dispose()
    if parts.edc is not None:
        parts.edc.dispose()
    return 0


def _register(arguments: argparse.Namespace) -> int:
    from pydantic import ValidationError

    from cloud.pipeline.api.bodies import PipelineBody
    from cloud.pipeline.api.runs import register_pipeline

    try:
        body = PipelineBody(code=arguments.code, label=arguments.label, ddfiles=arguments.ddfiles)
    except ValidationError as e:
        names = ", ".join(str(error["loc"][0]) for error in e.errors())
        raise ConfigError(
            f"not usable: {names}", hint="a code has 1 to 64 letters, digits, - or _; a label 1 to 200 characters"
        ) from None
    engine = open_index(arguments.config)
    with engine.begin() as connection:
        row = register_pipeline(connection, body)
    engine.dispose()
    print(f"pipeline {row['code']} is registered")
    return 0


def _file_ids(arguments: argparse.Namespace) -> int:
    from cloud.pipeline.api.runs import ensure_file_ids_from

    engine = open_index(arguments.config)
    try:
        with engine.begin() as connection:
            following = ensure_file_ids_from(connection, arguments.first)
    except ValueError:
        raise ConfigError(
            f"{arguments.first} is no FileID of the cloud's own", hint="they are 1 to 999,999,999"
        ) from None
    finally:
        engine.dispose()
    print(f"the next FileID is {following}")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from cloud.pipeline.api.runs import list_pipelines

    engine = open_index(arguments.config, read_only=True)
    with engine.connect() as connection:
        rows = list_pipelines(connection)
    engine.dispose()
    print(f"{'CODE':<24}  {'LABEL':<32}  UPLOAD FIELDS")
    for row in rows:
        print(f"{row['code']:<24}  {printable(row['label']):<32}  {printable(row['ddfiles'] or '-')}")
    return 0


def _token(arguments: argparse.Namespace) -> int:
    from cloud.pipeline.api.tokens import issue_token

    if arguments.days is not None and not 1 <= arguments.days <= 3650:
        raise TokenFault("a token holds 1 to 3650 days")
    now = datetime.now(UTC)
    groups = [Group(g) for g in arguments.group] if arguments.group else [Group.RUNS]
    expires = now + timedelta(days=arguments.days) if arguments.days else None
    engine = open_index(arguments.config)
    with engine.begin() as connection:
        token = issue_token(connection, arguments.user, groups, now, expires)
    engine.dispose()
    print(token)
    return 0


def _tokens(arguments: argparse.Namespace) -> int:
    from cloud.pipeline.api.tokens import list_tokens

    engine = open_index(arguments.config, read_only=True)
    with engine.connect() as connection:
        rows = list_tokens(connection)
    engine.dispose()
    now = datetime.now(UTC)
    print(f"{'ID':>5}  {'USER':<36}  {'MADE':<20}  {'STATE':<28}  GROUPS")
    for row in rows:
        state = f"until {row.expires_at:%Y-%m-%d %H:%M} UTC" if row.expires_at else "until revoked"
        if row.expires_at and row.expires_at <= now:
            state = "expired"
        state = "revoked" if row.revoked_at else state
        made = f"{row.created_at:%Y-%m-%d %H:%M} UTC"
        print(f"{row.id:>5}  {row.user:<36}  {made:<20}  {state:<28}  {', '.join(row.groups)}")
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    from cloud.pipeline.api.tokens import revoke_token

    engine = open_index(arguments.config)
    with engine.begin() as connection:
        ended = revoke_token(connection, arguments.id, datetime.now(UTC))
    engine.dispose()
    if not ended:
        raise TokenFault(f"no token {arguments.id} that still holds", hint="dicom-cloud pipeline tokens")
    print(f"token {arguments.id} is revoked")
    return 0


def _seed(arguments: argparse.Namespace) -> int:
    from cloud.pipeline.edc.opening import open_edc
    from cloud.pipeline.edc.schema import DEMO, seed

    settings = load_settings(EdcSettings, arguments.config)
    configure_logging(settings.LOGLEVEL)
    rows: object = DEMO
    if not arguments.demo:
        try:
            rows = json.loads(arguments.file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as e:
            raise SeedFault(f"{arguments.file} cannot be read as JSON ({type(e).__name__})") from e
    engine = open_edc(settings)
    counts = seed(engine, rows)
    engine.dispose()
    for name, count in counts.items():
        print(f"{name:<22}{count:>8}")
    return 0
