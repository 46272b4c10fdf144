#!/bin/sh
# Installs the edge from this unpacked artifact into a virtual environment of its own: no network, no privilege.
#
#   install.sh VENV SPOOL_DIR
#
# Every package is checked against the hash that the lock has of it (fault 25). Beside VENV it writes a small program
# `dicom-edge`, for people on the box, that knows the settings of the running edge.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
venv=$1
spool=$2

fail() { printf '%s\n' "$@" >&2; exit 1; }

why='Python 3.11 or newer with venv is needed (Debian: sudo apt-get install python3-venv)'
for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    "$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    if why=$("$candidate" "$here/fits_here.py" 2>&1); then
        python=$candidate
        break
    fi
done
[ -n "${python:-}" ] || fail "$why"

mkdir -p "$(dirname "$venv")"
"$python" -m venv --clear "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input install --quiet --no-index --no-deps "$@"; }
pip --find-links "$here/wheels" --only-binary :all: --require-hashes -r "$here/requirements.lock" ||
    fail "the packages of this artifact could not be installed with $("$python" --version) (see above)"
pip "$here"/dicom_edge-*.whl

quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }
program=$(dirname "$venv")/dicom-edge
cat >"$program.part" <<END
#!/bin/sh
[ -n "\${DICOM_EDGE_CONFIG:-}" ] || DICOM_EDGE_CONFIG=$(quoted "$spool/run/settings.toml")
export DICOM_EDGE_CONFIG
exec $(quoted "$venv/bin/dicom-edge") "\$@"
END
chmod 755 "$program.part"
mv "$program.part" "$program"

# The version before stays, for a deployment that is rolled back; older ones go.
ls -dt "$(dirname "$venv")"/venv-* | tail -n +3 | while read -r old; do
    [ "$old" = "$venv" ] || rm -rf "$old"
done
