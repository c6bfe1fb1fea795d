#!/bin/sh
# Prints the path of a Python the locks are made for (3.11 to 3.13), or of a newer one when there is no other.
# Each candidate is run, not only looked for: a pyenv shim exists for versions that are not switched on.
set -u
for highest in 13 99; do
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
        "$candidate" - "$highest" 2>/dev/null <<'PYTHON' && exit 0
import ctypes, sqlite3, ssl, sys, venv
if not (3, 11) <= sys.version_info[:2] <= (3, int(sys.argv[1])):
    sys.exit(1)
print(sys.executable)
PYTHON
    done
done
echo "vestibule needs Python 3.11 or newer: install python3 (apt-get install python3), or set PYTHON=/path/to/python3" >&2
exit 1
