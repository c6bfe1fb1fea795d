"""Every address the gateway listens on: free, its own already, or somebody else's."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from vestibule.config.compile import Compiled
from vestibule.core.listener import ListenAddress
from vestibule.doctor.finding import About, Finding
from vestibule.doctor.patient import Patient
from vestibule.proxy.binding import open_socket

_ABOUT: Final = About("ports")
State: TypeAlias = Literal["free", "taken", "denied", "absent", "missing", "other"]
_STATES: Final[dict[int, State]] = {
    errno.EADDRINUSE: "taken",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.EADDRNOTAVAIL: "absent",
    errno.ENOENT: "missing",
}
_INODE_RE: Final = re.compile(r"socket:\[([0-9]+)\]")
_LISTENS: Final = "0A"
_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What came of trying to have an address."""

    at: ListenAddress
    purpose: str
    state: State
    why: str = ""
    holder: int = 0
    """Process that listens there; 0: unknown."""
    command: str = ""
    is_ours: bool = False
    """It is the gateway that runs on this configuration."""


def addresses(compiled: Compiled) -> Iterator[tuple[ListenAddress, str]]:
    """All of them, and what each is for."""
    yield from ((at, "hosts") for at in (*compiled.listeners, *compiled.https))
    yield from ((at, "edges") for at in compiled.forward_auth)
    yield from ((at, "edges (gRPC)") for at in compiled.forward_auth_grpc)
    yield from ((call.listen, f"call {call.id}") for call in compiled.calls)
    yield from ((at, f"serving {name}") for name, at in compiled.servings.items())
    if compiled.admin_port is not None:
        yield compiled.admin_port, "admin API"


def look(patient: Patient) -> list[Finding]:
    """Try each."""
    if patient.compiled is None:
        return []
    return [
        finding_of(_tried(at, purpose, patient.running.pid)) for at, purpose in addresses(patient.compiled)
    ]


def _tried(at: ListenAddress, purpose: str, running: int) -> Tried:
    try:
        if at.path:
            _try_path(Path(at.path))
        else:
            open_socket(at).close()
    except OSError as exc:
        state = _STATES.get(exc.errno or 0, "other")
        pid = holder_of(at.port) if state == "taken" and at.port else 0
        return Tried(
            at=at,
            purpose=purpose,
            state=state,
            why=exc.strerror or str(exc),
            holder=pid,
            command=_command(pid),
            is_ours=is_family(pid, running) or (bool(at.path) and state == "taken" and running > 0),
        )
    return Tried(at=at, purpose=purpose, state="free")


def _try_path(path: Path) -> None:
    """Whether a socket can be made there; nothing is. Raises OSError."""
    if not path.parent.is_dir():
        raise OSError(errno.ENOENT, "there is no such directory")
    if path.is_socket():
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            with suppress(ConnectionRefusedError):  # nobody listens there any more
                connection.connect(str(path))
                raise OSError(errno.EADDRINUSE, "another program listens there")
    elif path.exists():
        raise OSError(errno.EADDRINUSE, "something else stands there")
    if not os.access(path.parent, os.W_OK):
        raise OSError(errno.EACCES, "this user may not write there")


def finding_of(tried: Tried) -> Finding:
    """What that means."""
    subject = f"{tried.at} ({tried.purpose})"
    match tried.state:
        case "free":
            return _ABOUT.ok(subject, "port_free", "it is free")
        case "taken" if tried.is_ours:
            return _ABOUT.ok(subject, "port_ours", "the running gateway listens there")
        case "taken":
            who = f"process {tried.holder} ({tried.command}) listens there" if tried.holder else tried.why
            return _ABOUT.fail(subject, "port_taken", who, "stop that program, or choose another port")
        case "denied":
            advice = (
                "give the service CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=), or choose a port above 1023"
                if 0 < tried.at.port < 1024
                else "run it as a user that may"
            )
            return _ABOUT.fail(subject, "port_denied", f"this user may not listen there: {tried.why}", advice)
        case "absent":
            return _ABOUT.fail(
                subject, "port_absent", "this machine has no such address", "write one of its own, or 0.0.0.0"
            )
        case "missing":
            return _ABOUT.fail(subject, "port_directory", tried.why, "make the directory")
        case _:
            return _ABOUT.fail(subject, "port_denied", tried.why, "choose another address")


def holder_of(port: int) -> int:
    """The process that listens on this TCP port; 0 where this user can't see it."""
    inodes = set(_inodes(port))
    if not inodes:
        return 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _holds(folder, inodes):
            return int(folder.name)
    return 0


def _inodes(port: int) -> Iterator[str]:
    for table in _TABLES:
        with suppress(OSError):
            for line in Path(table).read_text("ascii").splitlines()[1:]:
                parts = line.split()
                if parts[3] == _LISTENS and int(parts[1].rpartition(":")[2], 16) == port:
                    yield parts[9]


def _holds(process: Path, inodes: set[str]) -> bool:
    with suppress(OSError):
        for file in (process / "fd").iterdir():
            with suppress(OSError):
                found = _INODE_RE.fullmatch(str(file.readlink()))
                if found and found[1] in inodes:
                    return True
    return False


def is_family(pid: int, running: int) -> bool:
    """True for the running gateway's process itself, its supervisor, or another of its processes."""
    if not pid or not running:
        return False
    return pid == running or _parent(running) == pid or 1 < _parent(pid) in {running, _parent(running)}


def _parent(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
        return int(text.rpartition(")")[2].split()[1])
    return 0


def _command(pid: int) -> str:
    """Its name alone: what stands behind it on its command line may be secret."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip() if pid else ""
    return ""
