"""``dicom-edge-install``: one script per edge, with the six commands that make a box a Greengrass core (E023).

A command of its own, because it runs on the desk of whoever installs, not on the box: it needs no settings, and nothing
but the standard library. No secret is in a script: the operator's own credentials take on the installer role while it
runs, for an hour, and stay in that shell. Line ends are LF, also for PowerShell, which takes both (fault 24).
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ConfigError, EdgeError

NUCLEUS_VERSION = "2.15.0"
_SITE = "https://d2s8p88vqu9w66.cloudfront.net/releases"
_EXAMPLES = """\
examples:
  dicom-edge-install --stack trial --region eu-west-1 --edge mri --edge ct --output install/
  dicom-edge-install --stack trial --region eu-west-1 --edge-config edges.json --output install/

edges.json is EDGE_CONFIG of the stacks: [{"Name": "mri", "device_type": "LOCAL"}, …]
"""

_INSTALLERS_ROLE = """\
echo '5. the installer role, for an hour, in this shell only'
account=$(aws sts get-caller-identity --query Account --output text)
credentials=$(aws sts assume-role --region {n.region} --duration-seconds 3600 \\
    --role-arn "arn:aws:iam::$account:role/{n.installer_role}" --role-session-name {n.thing} \\
    --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' --output text)
set -- $credentials
export AWS_ACCESS_KEY_ID="$1" AWS_SECRET_ACCESS_KEY="$2" AWS_SESSION_TOKEN="$3" AWS_REGION={n.region}
"""
_MACHINES_ROLE = """\
echo '5. its own role, which may make this core and no other'
export AWS_REGION={n.region}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What one edge's parts are called, everywhere."""

    stack: str
    edge: str
    region: str
    nucleus: str = NUCLEUS_VERSION

    @property
    def thing(self) -> str:
        """Return the thing's name, which is the EdgeId."""
        return f"{self.stack}-{self.edge}"

    @property
    def group(self) -> str:
        """Return the thing group that the component is deployed to."""
        return f"{self.stack}-IEP-devices"

    @property
    def role(self) -> str:
        """Return the role that the token exchange gives the component."""
        return f"{self.thing}-GG-Role"

    @property
    def alias(self) -> str:
        """Return the role's alias in IoT Core."""
        return f"{self.role}-Alias"

    @property
    def policy(self) -> str:
        """Return the policy that the stacks made for the certificates of edges."""
        return f"{self.stack}-IEP-device-policy"

    @property
    def component(self) -> str:
        """Return the component's name, which its log has too (E022)."""
        return f"{self.stack}-DIMSEtoS3"

    @property
    def installer_role(self) -> str:
        """Return the role that may register a core, for an hour."""
        return f"{self.stack}-GGInstallerRole"


def shell_script(n: Names, *, own_role: bool = False) -> str:
    """Return the script for Linux; ``own_role``: an EC2 machine, whose role may make this core and no other."""
    return f"""\
#!/bin/sh
# Makes this machine the Greengrass core {n.thing}: six commands. Run it with sudo -E by an administrator who may
# take on the role {n.installer_role} (aws configure, or aws sso login, comes first). No secret is in it.
set -eu
fail() {{ echo "$*" >&2; exit 1; }}
[ "$(id -u)" = 0 ] || fail 'run it with: sudo -E sh {n.thing}.sh'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

echo '1. what it needs: a JDK, the AWS CLI, Python 3.11 or newer'
for tool in java jarsigner aws curl unzip; do
    command -v "$tool" >/dev/null || fail "install $tool first;" \\
        'on Debian: sudo apt-get install default-jdk-headless awscli curl unzip python3-venv'
done
for candidate in python3 python3.14 python3.13 python3.12 python3.11 none; do
    "$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
done
[ "$candidate" != none ] || fail 'Python 3.11 or newer with venv is needed'

echo '2. the user that the edge runs as, without privilege'
getent group ggc_group >/dev/null || groupadd --system ggc_group
id ggc_user >/dev/null 2>&1 || useradd --system --create-home --gid ggc_group ggc_user

echo '3. the spool, outside of /greengrass/v2: it outlives the component'
install -d -m 700 -o ggc_user -g ggc_group /var/lib/dicom-edge

echo '4. the nucleus {n.nucleus}, signed by Amazon'
curl -fsSLO {_SITE}/greengrass-{n.nucleus}.zip
unzip -q greengrass-{n.nucleus}.zip -d nucleus
jarsigner -verify nucleus/lib/Greengrass.jar | grep -q 'jar verified' || fail 'the nucleus is not signed'

{_MACHINES_ROLE.format(n=n) if own_role else _INSTALLERS_ROLE.format(n=n)}
echo '6. the core, with its thing, group, role and alias; started with this machine from now on'
java -Droot=/greengrass/v2 -Dlog.store=FILE -jar nucleus/lib/Greengrass.jar \\
    --aws-region {n.region} --provision true --setup-system-service true \\
    --thing-name {n.thing} --thing-group-name {n.group} --thing-policy-name {n.policy} \\
    --tes-role-name {n.role} --tes-role-alias-name {n.alias} \\
    --component-default-user ggc_user:ggc_group

echo 'done: the deployment to {n.group} comes by itself. Follow it in /greengrass/v2/logs/greengrass.log,'
echo 'the edge in /greengrass/v2/logs/{n.component}.log'
"""


def powershell_script(n: Names) -> str:
    """Return the script for Windows."""
    return f"""\
# Makes this machine the Greengrass core {n.thing}: six commands. Run it in an elevated PowerShell by whoever may
# take on the role {n.installer_role} (aws configure, or aws sso login, comes first). No secret is in it.
$ErrorActionPreference = 'Stop'
$work = New-Item -ItemType Directory -Path (Join-Path $env:TEMP ([guid]::NewGuid()))
Set-Location $work

'1. what it needs: a JDK, the AWS CLI, PsExec, Python 3.11 or newer for all users'
foreach ($tool in 'java', 'jarsigner', 'aws', 'psexec', 'py') {{
    if (-not (Get-Command $tool -ErrorAction SilentlyContinue)) {{ throw "install $tool first" }}
}}
py -3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'
if ($LASTEXITCODE) {{ throw 'python is too old' }}

'2. the user that the edge runs as, without privilege; its password is drawn here and kept by Windows only'
if (-not (Get-LocalUser ggc_user -ErrorAction SilentlyContinue)) {{
    $drawn = [guid]::NewGuid().ToString() + 'aA1!' + [guid]::NewGuid().ToString()
    New-LocalUser ggc_user -Password (ConvertTo-SecureString $drawn -AsPlainText -Force) -PasswordNeverExpires
    # The nucleus runs as the system account and looks there for the user's credentials.
    psexec -accepteula -s cmd /c cmdkey /generic:ggc_user /user:ggc_user "/pass:$drawn"
    if ($LASTEXITCODE) {{ Remove-LocalUser ggc_user; throw 'the credentials of ggc_user were not stored' }}
    Remove-Variable drawn
}}

'3. the spool, outside of C:\\greengrass\\v2: it outlives the component; name it as SPOOL_DIR in the deployment'
New-Item -ItemType Directory -Force C:\\dicom-edge | Out-Null
icacls C:\\dicom-edge /inheritance:r /grant 'ggc_user:(OI)(CI)F' 'SYSTEM:(OI)(CI)F' 'Administrators:(OI)(CI)F'
if ($LASTEXITCODE) {{ throw 'the rights of C:\\dicom-edge were not set' }}

'4. the nucleus {n.nucleus}, signed by Amazon'
Invoke-WebRequest -Uri {_SITE}/greengrass-{n.nucleus}.zip -OutFile nucleus.zip
Expand-Archive nucleus.zip nucleus
if (-not (jarsigner -verify nucleus\\lib\\Greengrass.jar | Select-String 'jar verified')) {{ throw 'it is not signed' }}

'5. the installer role, for an hour, in this shell only'
$account = aws sts get-caller-identity --query Account --output text
$given = (aws sts assume-role --region {n.region} --duration-seconds 3600 --output json `
    --role-arn "arn:aws:iam::${{account}}:role/{n.installer_role}" --role-session-name {n.thing} |
    ConvertFrom-Json).Credentials
if (-not $given.AccessKeyId) {{ throw 'the role {n.installer_role} was not given (see above)' }}
$env:AWS_ACCESS_KEY_ID = $given.AccessKeyId
$env:AWS_SECRET_ACCESS_KEY = $given.SecretAccessKey
$env:AWS_SESSION_TOKEN = $given.SessionToken
$env:AWS_REGION = '{n.region}'

'6. the core, with its thing, group, role and alias; started with this machine from now on'
java '-Droot=C:\\greengrass\\v2' '-Dlog.store=FILE' -jar nucleus\\lib\\Greengrass.jar `
    --aws-region {n.region} --provision true --setup-system-service true `
    --thing-name {n.thing} --thing-group-name {n.group} --thing-policy-name {n.policy} `
    --tes-role-name {n.role} --tes-role-alias-name {n.alias} `
    --component-default-user ggc_user
$ended = $LASTEXITCODE
Remove-Item 'Env:AWS_ACCESS_KEY_ID', 'Env:AWS_SECRET_ACCESS_KEY', 'Env:AWS_SESSION_TOKEN'
if ($ended) {{ throw 'the core was not made (see above)' }}
'done: the deployment to {n.group} comes by itself. Follow it in C:\\greengrass\\v2\\logs\\greengrass.log,'
'the edge in C:\\greengrass\\v2\\logs\\{n.component}.log'
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the scripts; returns 0, or 2 where the arguments cannot be used."""
    parser = argparse.ArgumentParser(
        prog="dicom-edge-install",
        description="Write one installation script per edge, for Linux and for Windows. They hold no secret.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stack", required=True, help="CDK_APP_NAME of the stacks")
    parser.add_argument("--region", required=True, help="AWS region of the stacks")
    parser.add_argument("--edge", action="append", default=[], metavar="NAME", help="an edge's name; may be repeated")
    parser.add_argument("--edge-config", type=Path, metavar="FILE", help="EDGE_CONFIG of the stacks, as JSON")
    parser.add_argument("--nucleus", default=NUCLEUS_VERSION, help=f"nucleus version (default: {NUCLEUS_VERSION})")
    parser.add_argument("--output", type=Path, default=Path(), metavar="FOLDER", help="where to write (default: here)")
    options = parser.parse_args(arguments)
    try:
        edges = [*options.edge, *(_load_names(options.edge_config) if options.edge_config else [])]
        _check(options.stack, options.region, options.nucleus, edges)
        options.output.mkdir(parents=True, exist_ok=True)
        for edge in edges:
            names = Names(stack=options.stack, edge=edge, region=options.region, nucleus=options.nucleus)
            for suffix, text in ((".sh", shell_script(names)), (".ps1", powershell_script(names))):
                path = options.output / f"{names.thing}{suffix}"
                path.write_bytes(text.encode("ascii"))
                print(path)
    except (EdgeError, OSError) as e:
        print(f"dicom-edge-install: {e}", file=sys.stderr)
        if hint := getattr(e, "hint", ""):
            print(f"  hint: {hint}", file=sys.stderr)
        return 2
    return 0


def _load_names(path: Path) -> list[str]:
    hint = 'it is a list: [{"Name": "mri", "device_type": "LOCAL"}]'
    try:
        return [str(row["Name"]) for row in json.loads(path.read_text(encoding="utf-8"))]
    except OSError as e:
        raise ConfigError(f"{path} cannot be read ({e.strerror})", hint=hint) from e
    except (ValueError, KeyError, TypeError) as e:
        raise ConfigError(f"{path} is no EDGE_CONFIG", hint=hint) from e


def _check(stack: str, region: str, nucleus: str, edges: Sequence[str]) -> None:
    """Refuse what would be no name, or would be more than a name inside a script."""
    faults = [] if edges else ["no edge is named (--edge NAME, or --edge-config FILE)"]
    faults += [f"the edge {name!r} is named twice" for name in sorted({e for e in edges if edges.count(e) > 1})]
    for what, text, pattern in (
        ("stack", stack, r"[A-Za-z][A-Za-z0-9-]{0,31}"),
        ("region", region, r"[a-z]{2}(-[a-z]+)+-\d"),
        ("nucleus version", nucleus, r"\d+\.\d+\.\d+"),
        *(("edge", edge, r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}") for edge in edges),
    ):
        if not re.fullmatch(pattern, text):
            faults.append(f"{text!r} is no name of a {what}")
    # The role's name is the longest that is made of them, and IAM takes 64 characters.
    faults += [f"{stack}-{e}-GG-Role is longer than the 64 characters of a role" for e in edges if len(stack + e) > 55]
    if faults:
        raise ConfigError("; ".join(faults), hint="names hold letters, digits and hyphens")


if __name__ == "__main__":
    sys.exit(main())
