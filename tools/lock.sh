#!/bin/sh
# Writes requirements.lock (what runs, and what builds the editable install) and requirements-dev.lock (the tests too).
set -eu
if ! uv=$(command -v "${UV:-uv}"); then
    uv=build/uv/bin/uv
    [ -x "$uv" ] || { "$(tools/python.sh)" -m venv build/uv && build/uv/bin/pip --quiet --disable-pip-version-check install uv; }
fi
compile() { "$uv" pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 pyproject.toml "$@"; }
compile --group build --output-file requirements.lock
compile --extra otel --extra keyring --group build --group dev --output-file requirements-dev.lock
"$uv" pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 tools/sslyze.txt --output-file tools/sslyze.lock
