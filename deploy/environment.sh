#!/bin/sh
# Makes or completes a virtual environment from a lock file, from nothing but python3 >= 3.11.
#
#   deploy/environment.sh VENV LOCK [COVERED_LOCK]
#
# LOCK is installed once per content: its digest is the stamp. COVERED_LOCK is a lock that LOCK contains, so that it
# need not be installed after it. PROJECT=no leaves our own package out (for environments of other people's tools).
set -eu

venv=$1
lock=$2
covered=${3:-}
here=$(dirname "$0")

say() { printf '%s\n' "$*"; }
fail() { printf '%s\n' "$@" >&2; exit 1; }

may_install() { [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; }; }

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    found=$(python3 --version 2>/dev/null || echo 'no python3')
    fail "Python 3.11 or newer is needed, and found was: $found." \
        "On Debian 12 or newer: apt-get install python3. Another interpreter is named with PYTHON=/path/to/python3.12"
}

make_venv() {
    python=$(find_python)
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    # Debian ships Python without ensurepip; `import ensurepip` alone may find an empty folder.
    if ! "$python" -c 'import venv, ensurepip; ensurepip.version()' 2>/dev/null; then
        say "python$version has no ensurepip; trying to install python$version-venv"
        "$here/tools.sh" --apt "python$version-venv" ||
            fail "python$version cannot make virtual environments here. Type this, then try again:" \
                "    sudo apt-get install python$version-venv"
    fi
    say "making $venv with Python $version"
    "$python" -m venv --clear "$venv" || fail "could not make $venv; is the disk full, or the folder not writable?"
}

digest() { sha256sum "$1" | cut -c1-16; }

# A venv that was copied or whose Python is gone cannot run; one made by another tool may only want its pip.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    "$venv/bin/python" -m ensurepip >/dev/null 2>&1 || make_venv
fi

stamp="$venv/.installed-$(digest "$lock")"
if [ ! -e "$stamp" ]; then
    say "installing $(grep -c '==' "$lock") locked packages into $venv (once, about half a minute)"
    # The lock is complete, so nothing is left to resolve; every file is checked against its hash. What is never imported
    # need not be compiled, which takes half of the time.
    "$venv/bin/python" -m pip --disable-pip-version-check --no-input install -qq --no-compile --require-hashes --no-deps \
        -r "$lock" ||
        fail "The packages of $lock could not be installed (see above). If the network is the reason, try again;" \
            "a mirror is named with PIP_INDEX_URL."
    : >"$stamp"
    [ -z "$covered" ] || : >"$venv/.installed-$(digest "$covered")"
fi

if [ "${PROJECT:-yes}" = yes ]; then
    stamp="$venv/.project-$(digest pyproject.toml)"
    if [ ! -e "$stamp" ]; then
        # The build backend is in the lock: nothing is fetched.
        "$venv/bin/python" -m pip --disable-pip-version-check --no-input install -qq --no-deps \
            --no-build-isolation --editable . || fail "the project itself could not be installed into $venv"
        : >"$stamp"
    fi
fi
