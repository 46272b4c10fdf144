#!/bin/sh
# Installs missing Debian tools where it may, and names what stays missing. Never asks, never waits long.
#
#   deploy/tools.sh              everything the tests use
#   deploy/tools.sh COMMAND...   only these
#   deploy/tools.sh --apt PACKAGE...   packages by name; fails when they could not be installed
#
# The exit status is 0 whatever is missing (the test run's closing summary names the tests that could not run), except
# with --apt. SECONDS_AT_MOST bounds each call of apt-get, 600 by default.
set -eu

limit=${SECONDS_AT_MOST:-600}

# command  Debian package
table='storescu dcmtk
chromium chromium
psql postgresql-client
sqlite3 sqlite3
linux.uml user-mode-linux
strace strace
faketime faketime
mkfs.ext4 e2fsprogs
openssl openssl
mosquitto mosquitto
systemd-analyze systemd
ip iproute2'
# Only when they are named: what `make bench` compares with.
others='Orthanc orthanc'

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

apt_works() {
    command -v apt-get >/dev/null 2>&1 || return 1
    [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; }
}

apt_install() {
    # The lists of a fresh machine are empty or old: a second try after an update.
    as_root env DEBIAN_FRONTEND=noninteractive timeout "$limit" apt-get -qq -y -o Dpkg::Use-Pty=0 \
        -o DPkg::Lock::Timeout=60 install --no-install-recommends "$@" </dev/null >/dev/null 2>&1 && return 0
    as_root timeout "$limit" apt-get -qq -o Acquire::Retries=1 update </dev/null >/dev/null 2>&1 || return 1
    as_root env DEBIAN_FRONTEND=noninteractive timeout "$limit" apt-get -qq -y -o Dpkg::Use-Pty=0 \
        -o DPkg::Lock::Timeout=60 install --no-install-recommends "$@" </dev/null >/dev/null 2>&1
}

here() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }

if [ "${1:-}" = --apt ]; then
    shift
    apt_works && apt_install "$@"
    exit
fi

wanted=" $* "
missing=
while read -r command package; do
    case $wanted in
        '  ') case $others in *"$command $package"*) continue ;; esac ;;
        *" $command "*) ;;
        *) continue ;;
    esac
    here "$command" || missing="$missing $command:$package"
done <<END
$table
$others
END

[ -n "$missing" ] || exit 0
if apt_works; then
    printf 'installing from apt:%s\n' "$(printf '%s' "$missing" | sed 's/ [^ ]*:/ /g')"
    for pair in $missing; do
        # One by one: a package that this release does not have must not keep out the others.
        apt_install "${pair#*:}" || true
    done
fi
for pair in $missing; do
    here "${pair%:*}" || printf 'not here: %s (sudo apt-get install %s)\n' "${pair%:*}" "${pair#*:}"
done
