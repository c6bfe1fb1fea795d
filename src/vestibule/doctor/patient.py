"""What is looked at: the configuration as far as it can be read, its keys, and the gateway that runs on it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from vestibule.config.compile import Compiled, compile_config
from vestibule.config.load import Loaded, examined
from vestibule.config.path import database, key_file, state_dir
from vestibule.core.postgres import Postgres
from vestibule.core.route import Host, is_inner, site_of
from vestibule.core.seal import KeyRing, in_order
from vestibule.doctor.finding import About, Finding
from vestibule.errors import StoreError
from vestibule.observe import clock
from vestibule.opening import keys_of
from vestibule.protocol.address import is_loopback

_CONFIGURATION = About("configuration")
_GATEWAY = About("gateway")
ASK_S = 3.0


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway that runs on this state directory."""

    pid: int = 0
    """0: none runs, or it can't be asked."""
    why: str = ""
    """Why not."""


class Patient(msgspec.Struct, frozen=True, kw_only=True):
    """All there is to look at."""

    loaded: Loaded
    compiled: Compiled | None
    """None: the configuration's faults leave no tables."""
    faults: tuple[str, ...]
    state: Path
    key_file: Path
    database: Path | Postgres | None
    """None: it can't be told from what is written."""
    ring: KeyRing | None
    """None: there are no keys that this user can read."""
    running: Running
    stand_ins: tuple[str, ...] = ()
    """`host:port` where the doctor stands in for the app."""

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Those that people ask for; neither servings nor the admin pages, which have no name of their own."""
        table = self.compiled.table.hosts.values() if self.compiled is not None else ()
        return tuple(host for host in table if not is_inner(host.name))

    def base_url(self, host: Host) -> str:
        """Under which URL people reach a host."""
        assert self.compiled is not None
        at = self.compiled.reached_at(host)
        return site_of(host, at.scheme, at.port).base_url

    def is_asked(self, host: Host) -> bool:
        """True where an edge asks about this host, and sends its requests on itself."""
        asks = self.compiled is not None and bool(
            self.compiled.forward_auth or self.compiled.forward_auth_grpc
        )
        return asks and bool(host.base_url)


def patient_of(
    files: Sequence[Path], environ: Mapping[str, str], *, stand_ins: tuple[str, ...] = ()
) -> Patient:
    """Read the configuration; faults are part of what is found."""
    loaded, faults = examined(files, environ)
    compiled = None
    try:
        compiled = compile_config(loaded)
    except Exception:
        if not faults:  # else nothing is promised of it
            raise
    state = state_dir(loaded.config)
    return Patient(
        loaded=loaded,
        compiled=compiled,
        faults=faults,
        state=state,
        key_file=key_file(loaded.config),
        database=_database(loaded),
        ring=_ring(compiled),
        running=asked(state / "admin.sock"),
        stand_ins=stand_ins,
    )


def _database(loaded: Loaded) -> Path | Postgres | None:
    store = loaded.config.store
    is_unread = store is not None and store.has("url") and store.url is None
    return None if is_unread else database(loaded.config)


def _ring(compiled: Compiled | None) -> KeyRing | None:
    try:
        return KeyRing(in_order(keys_of(compiled), clock.now())) if compiled is not None else None
    except StoreError:
        return None


def asked(path: Path) -> Running:
    """Who listens on the socket of the admin API."""
    try:
        status, _ = _get(path, "/healthz")
    except FileNotFoundError:
        return Running(why=f"no gateway runs here: there is no {path}")
    except ConnectionRefusedError:
        return Running(why=f"the gateway that made {path} has ended")
    except PermissionError:
        return Running(why=f"{path} is another user's")
    except OSError as exc:
        return Running(why=f"what listens at {path} does not answer ({exc.strerror or type(exc).__name__})")
    return (
        Running(pid=_owner_of(path))
        if status == 200
        else Running(why=f"{path} is no gateway's of this version")
    )


def _get(path: Path, target: str) -> tuple[int, bytes]:
    """Status and body of what is answered on a Unix socket; 0 for what is no HTTP. Raises OSError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ASK_S)
        connection.connect(str(path))
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        raw = b""
        while chunk := connection.recv(65536):
            raw += chunk
    head, _, body = raw.partition(b"\r\n\r\n")
    parts = head.split(b" ", 2)
    return (int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0), body


def _owner_of(path: Path) -> int:
    """Who listens there (SO_PEERCRED)."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ASK_S)
        try:
            connection.connect(str(path))
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return 0
    pid: int = struct.unpack("3i", raw)[0]
    return pid


def of_configuration(patient: Patient) -> list[Finding]:
    """What `check` says."""
    found = [
        _CONFIGURATION.fail(
            *_placed(fault), advice="put it right; what follows is what could be tried without it"
        )
        for fault in patient.faults
    ]
    found += [
        _CONFIGURATION.warn(*_placed(warning, "warning"), advice="see to it, or leave it if it is meant")
        for warning in patient.loaded.warnings
    ]
    names = ", ".join(patient.loaded.files) or "the environment"
    if not patient.faults:
        found.insert(0, _CONFIGURATION.ok(names, "good", patient.loaded.summary))
    return found


def _placed(line: str, code: str = "fault") -> tuple[str, str, str]:
    place, colon, message = line.partition(": ")
    return (place, code, message) if colon else ("configuration", code, line)


def of_gateway(patient: Patient) -> list[Finding]:
    """Whether it runs, and is ready."""
    running = patient.running
    if not running.pid:
        detail = running.why or "it can't be asked"
        return [
            _GATEWAY.skip(
                str(patient.state),
                "not_running",
                detail,
                "start it, and run this again as its user: what needs a running gateway was left out",
            )
        ]
    said = ready(patient.state / "admin.sock")
    if said:
        return [
            _GATEWAY.fail(
                f"process {running.pid}", "not_ready", said, "look at its log: until then it serves nobody"
            )
        ]
    return [_GATEWAY.ok(f"process {running.pid}", "ready", "it runs, and is ready")]


def ready(path: Path) -> str:
    """Why the gateway isn't ready; empty: it is."""
    try:
        status, body = _get(path, "/readyz")
        said = msgspec.json.decode(body)
    except OSError as exc:
        return exc.strerror or "it does not answer"
    except msgspec.DecodeError:
        return "it answers with no readiness"
    return "" if status == 200 else f"{said.get('code', status)}: {said.get('detail', '')}"


def is_here(name: str) -> bool:
    """True for names that lead to this machine by definition."""
    return is_loopback(name)
