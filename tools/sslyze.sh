#!/bin/sh
# sslyze.sh: sslyze for the tests, in a venv of its own (build/sslyze): it wants an older cryptography than the program.
# What can't be had is said in one line; the test that needs it then fails with a line of its own.
set -eu
lock=tools/sslyze.lock
home=$PWD/build/sslyze
if [ -e "$home/.lock" ] && cmp -s "$lock" "$home/.lock"; then exit 0; fi
rm -rf "$home"
why=$( ("$(tools/python.sh)" -m venv "$home" && "$home/bin/pip" --quiet --disable-pip-version-check install \
    --no-deps --require-hashes --only-binary :all: --no-binary sslyze -r "$lock") 2>&1) || {
    echo "the test by sslyze will fail: $(printf '%s' "$why" | tail -n 1)" >&2
    exit 0
}
cp "$lock" "$home/.lock"
