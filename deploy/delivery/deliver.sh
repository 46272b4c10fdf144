#!/usr/bin/env bash
# What a push of a version leads to (P168): each pipeline is brought to the code of this checkout.
#
#   deploy/delivery/deliver.sh [CONFIG ...]        without one: deploy/*.config, but for the example
#
# DELIVER=app: `make deploy`, where the CDK app keeps the stacks; otherwise `dicom-cloud pipeline setup`.
# PYTHON: an interpreter with the packages of requirements.lock; .venv is made if none is named.
# AWS keys come from where boto3 looks for them: a role of the build service, or AWS_PROFILE of the config.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=$(git describe --tags --always)
if [[ ! $version =~ ^[A-Za-z0-9._+/-]+$ ]]; then
    echo 'a version is made of letters, digits and . _ + / -' >&2
    exit 1
fi
echo "delivering $version"
if [[ "${DELIVER:-setup}" == app ]]; then
    exec make deploy RELEASE_NOTE="$version"
fi

configs=("$@")
if [[ $# -eq 0 ]]; then
    shopt -s nullglob
    for config in deploy/*.config; do
        [[ $config == deploy/example-* ]] || configs+=("$config")
    done
fi
if [[ ${#configs[@]} -eq 0 ]]; then
    echo 'no pipeline is named, and deploy/ has no config but the example' >&2
    exit 1
fi
if [[ -z "${PYTHON:-}" ]]; then
    make env
    PYTHON=$PWD/.venv/bin/python
fi
mkdir -p build
"$PYTHON" deploy/function_asset.py build/functions.zip
"$PYTHON" deploy/pipeline/sources.py build/container.zip
for config in "${configs[@]}"; do
    "$PYTHON" -m cloud pipeline setup "$config" --zip build/functions.zip --container build/container.zip --note "$version"
done
