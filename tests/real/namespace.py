"""`python -m tests.real.namespace COMMAND…`: runs it in a network of its own, where ports 80 and 443 are anybody's.

The network is Linux' (a namespace of network and users), has a loopback and nothing else, and is gone with the command.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence

INSIDE = "TEST_NAMESPACE"
"""Set for the command."""
_UNSHARE = ("unshare", "--map-root-user", "--net", "--")
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def is_allowed() -> bool:
    """True where this machine lets us have one."""
    try:
        return subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def run(command: Sequence[str], *, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run it there, or here where that is not allowed."""
    if is_allowed():
        command = [*_UNSHARE, sys.executable, "-m", "tests.real.namespace", *command]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)


def _begin(command: Sequence[str]) -> None:
    """Bring loopback up, and become the command."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        asked = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(control, _SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | _IFF_UP))
    os.execvpe(command[0], list(command), {**os.environ, INSIDE: "1"})


if __name__ == "__main__":
    _begin(sys.argv[1:])
