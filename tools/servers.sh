#!/bin/sh
# servers.sh [COMMAND…]: the servers and the browser the tests run against, by apt where they are missing.
# What can't be installed is said in one line; the tests that need it then fail with a line of their own.
set -eu
PATH=$PATH:/usr/sbin
[ $# -gt 0 ] || set -- nginx chromium
missing=
for command in "$@"; do # each is named as its Debian package
    command -v "$command" >/dev/null || missing="$missing $command"
done
# shellcheck disable=SC2086  # several packages
[ -z "$missing" ] || tools/apt.sh $missing || echo "the tests that need$missing will fail" >&2
