# Installs the edge from this unpacked artifact into a virtual environment of its own: no network, no privilege.
#
#   install.ps1 VENV SPOOL_DIR
#
# Every package is checked against the hash that the lock has of it (fault 25).
param([Parameter(Mandatory)][string]$Venv, [Parameter(Mandatory)][string]$Spool)
$ErrorActionPreference = 'Stop'
$here = Split-Path -Parent $MyInvocation.MyCommand.Path

py -3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'
if ($LASTEXITCODE) { throw 'Python 3.11 or newer is needed, installed for all users' }
py -3 "$here\fits_here.py"
if ($LASTEXITCODE) { throw 'this artifact does not fit this machine (see above)' }
py -3 -m venv --clear $Venv
if ($LASTEXITCODE) { throw "could not make $Venv" }

$pip = @('-m', 'pip', '--disable-pip-version-check', '--no-input', 'install', '--quiet', '--no-index', '--no-deps')
& "$Venv\Scripts\python.exe" @pip --find-links "$here\wheels" --only-binary ':all:' --require-hashes `
    -r "$here\requirements.lock"
if ($LASTEXITCODE) { throw 'the packages of this artifact could not be installed (see above)' }
& "$Venv\Scripts\python.exe" @pip (Get-ChildItem "$here\dicom_edge-*.whl").FullName
if ($LASTEXITCODE) { throw 'the edge itself could not be installed' }

# For people on the box: it knows the settings of the running edge. A percent sign in a batch file is written twice.
$shownSpool, $shownVenv = $Spool.Replace('%', '%%'), $Venv.Replace('%', '%%')
@"
@echo off
if not defined DICOM_EDGE_CONFIG set "DICOM_EDGE_CONFIG=$shownSpool\run\settings.toml"
"$shownVenv\Scripts\dicom-edge.exe" %*
"@ | Set-Content -Encoding Ascii (Join-Path (Split-Path -Parent $Venv) 'dicom-edge.cmd')
