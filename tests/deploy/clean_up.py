"""The clean-up of deploy/README.md, read out of it and executed as printed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pexpect

from tests.deploy.conftest import ROOT
from tests.deploy.deployment import REGION
from tests.parts import cdk_command, cdk_python

README = ROOT / "deploy" / "README.md"
#: What the local AWS does not have: these calls are looked at by the AWS CLI, and not made.
NOT_HERE = ("greengrassv2", "rds", "elbv2", "medical-imaging")
CALL = re.compile(r"\baws ([a-z0-9-]+) [a-z0-9-]+(?: +(?:--?[a-z-]+|'[^']*'|\"[^\"]*\"|\$\([^)]*\)|[^\s;)'\"]+))*")


def steps(stack: str) -> list[str]:
    """The commands of each step, for ``stack``."""
    section = README.read_text(encoding="utf-8").partition("### Clean-up (E054)\n")[2].partition("\n### ")[0]
    found = re.split(r"^\d\. ", section, flags=re.MULTILINE)[1:]
    blocks = ["\n".join(line[7:] for line in step.splitlines() if line.startswith(" " * 7)) for step in found]
    return [block.replace("STACK=dicom-edge\n", f"STACK={stack}\n") for block in blocks]


def commands(block: str) -> list[str]:
    """The commands of a step, one each: a line that is gone on with belongs to the one before, and so does a loop."""
    found: list[str] = []
    for line in block.replace("\\\n", " ").splitlines():
        if line.startswith(" ") and found:
            found[-1] += "\n" + line
        else:
            found.append(line)
    return found


def calls_elsewhere(block: str) -> list[str]:
    """Each call of a service that the local AWS does not have."""
    joined = block.replace("\\\n", " ")
    return [found.group(0) for found in CALL.finditer(joined) if found.group(1) in NOT_HERE]


def runs_here(block: str) -> str:
    """A step without the commands that ask what is not here."""
    asked = [*(f"aws {service} " for service in NOT_HERE), "AWS::HealthImaging", "$UNLOCK $STACK-database"]
    return "\n".join(command for command in commands(block) if not any(words in command for words in asked))


def environment(folder: Path, endpoint: str, config: Path, assets: Path) -> dict[str, str]:
    """The environment of a person at the local AWS; ``make`` takes environments and functions' zips that are there.

    It writes the templates anew, into ``fresh`` below the folder: what is destroyed follows from the parameters alone.
    """
    programs, fresh, venv = folder / "programs", folder / "fresh", Path(cdk_python()).parents[1]
    programs.mkdir(exist_ok=True)
    there = " ".join(f"-o {target}" for target in ("env-cdk", "assets", "pipelines", "cdk"))
    words = f'CDK_VENV={venv} ASSETS={assets} TEMPLATES={fresh} CDK="{cdk_command()} --app {fresh} --no-notices"'
    make = programs / "make"
    make.write_text(f'#!/bin/sh\nexec /usr/bin/make {there} {words} "$@"\n', encoding="utf-8")
    make.chmod(0o755)
    path = [programs, Path(sys.executable).parent, Path(cdk_python()).parent, os.environ["PATH"]]
    return {
        "PATH": ":".join(map(str, path)),
        "HOME": str(folder),
        "DEPLOY_CONFIG": str(config),
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(venv / "jsii-cache"),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_PAGER": "",
    }


def type_in(block: str, env: dict[str, str]) -> str:
    """Run commands in a terminal, say yes where it is asked; what was printed. The first failure ends it."""
    shell = pexpect.spawn(
        "/bin/bash", ["-euc", block], env=env, cwd=str(ROOT), timeout=300, encoding="utf-8", dimensions=(50, 400)
    )
    printed = ""
    while shell.expect([r"\(y/n\)|\[y/N\]|\(Y/n\)", pexpect.EOF]) == 0:
        printed += shell.before + shell.after
        shell.sendline("y")
    printed += shell.before
    shell.close()
    assert shell.exitstatus == 0, printed[-4000:]
    return printed


def judge(call: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Let the AWS CLI itself look at a call, without making it."""
    words = shlex.split(re.sub(r"\$\([^)]*\)|\$[A-Z]+", "a123", call))
    ids = {"--datastore-id": "0" * 32, "--image-set-id": "0" * 32}
    words = [ids.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    return subprocess.run(
        [*words, "--generate-cli-skeleton", "output"], env=env, capture_output=True, text=True, timeout=60, check=False
    )
