"""Servers for the examples, on this machine: started in a directory of their own, waited for, ended in reverse.

PostgreSQL, Redis and HAProxy are those of Debian; `vestibule` is the one that `make setup` made, or any on the PATH.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 4.0
STORES = ("postgres", "redis")
PATH = os.pathsep.join(
    [
        str(Path(sys.executable).parent),
        os.environ.get("PATH", ""),
        "/usr/sbin",
        str(ROOT / ".venv" / "bin"),
        str(ROOT / "build" / "servers"),
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    ]
)


class Missing(Exception):
    """A command that is not installed, or doesn't do what it is for."""


class Stage:
    """What was started, to be stopped in reverse."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._started: list[subprocess.Popen[bytes]] = []
        self._by_name: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        user: tuple[int, int] | None = None,
        *,
        is_shown: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start a program; what it says goes to `NAME.log`, or is shown."""
        identity: dict[str, Any] = {"user": user[0], "group": user[1], "extra_groups": []} if user else {}
        with (self.directory / f"{name}.log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [needed(str(argv[0])), *map(str, argv[1:])],
                env={**os.environ, **(env or {})},
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=None if is_shown else log,
                stderr=log,
                **identity,
            )
        self._started.append(process)
        self._by_name[name] = process
        return process

    def wait(self, name: str, is_ready: Callable[[], bool]) -> None:
        """Return once what was started by this name is ready. Raises Missing when it has ended, TimeoutError."""
        process, deadline = self._by_name[name], time.monotonic() + READY_WITHIN_S
        while not is_ready():
            if process.poll() is not None:
                raise Missing(f"{name} has ended\n{self.log(name)}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is not ready\n{self.log(name)}")
            time.sleep(0.05)

    def run(
        self,
        name: str,
        argv: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        user: tuple[int, int] | None = None,
    ) -> None:
        """Return once it has done what it does. Raises Missing."""
        if self.start(name, argv, env, user).wait() != 0:
            raise Missing(f"{name} has failed\n{self.log(name)}")

    def log(self, name: str) -> str:
        """What was started by this name has written."""
        return (self.directory / f"{name}.log").read_text("utf-8", "replace")

    def stop(self) -> None:
        """End all of it, the databases last."""
        stores = [process for name, process in self._by_name.items() if name in STORES]
        _end([process for process in self._started if process not in stores], signal.SIGTERM)
        _end(stores, signal.SIGINT)


def _end(processes: Sequence[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    """Have them end, all at once; who doesn't is killed."""
    deadline = time.monotonic() + STOPPED_WITHIN_S
    for process in processes:
        process.send_signal(number)
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        if process.poll() is None:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL that runs."""

    port: int
    password: str

    def url(self, database: str = "postgres", user: str = "vestibule", password: str = "") -> str:
        """Where a database of it is."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}?sslmode=disable"


def needed(command: str) -> str:
    """Where the command is. Raises Missing."""
    found = shutil.which(command, path=PATH)
    if found is None:
        raise Missing(
            f"{command} is missing: apt-get install postgresql redis-server haproxy; vestibule: make setup"
        )
    return found


def python() -> str:
    """The Python that has what `vestibule` is made of. Raises Missing."""
    beside = Path(needed("vestibule")).parent / "python"
    return str(beside) if beside.exists() else sys.executable


def accepts(port: int) -> bool:
    """True when something listens there."""
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(port: int, path: str = "/@/healthz") -> bool:
    """True when what is there says that all of it works."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(contextlib.closing(socket.socket())) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def start_postgres(stage: Stage, port: int) -> Postgres:
    """A PostgreSQL of its own, with a user `vestibule`."""
    user = None
    home = stage.directory / "postgres"
    home.mkdir()
    if os.geteuid() == 0:  # it refuses to run as root
        entry = pwd.getpwnam("postgres")
        user = (entry.pw_uid, entry.pw_gid)
        os.chown(home, *user)
    password = secrets.token_urlsafe(24)
    password_file = home / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password, "ascii")
    if user:
        os.chown(password_file, *user)
    made = ("initdb", "-D", home / "data", "-U", "vestibule", f"--pwfile={password_file}")
    options = ("--auth=scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
    stage.run("initdb", [*made, *options], user=user)
    settings = ["listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={home}"]
    settings.append("fsync=off")  # nothing of it outlives the example
    words = [word for setting in settings for word in ("-c", setting)]
    stage.start("postgres", ["postgres", "-D", home / "data", *words], user=user)
    asked = [needed("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    stage.wait("postgres", lambda: subprocess.run(asked, check=False).returncode == 0)
    return Postgres(port, password)


def start_redis(stage: Stage, port: int) -> str:
    """A Redis that writes what it was told to disk before it answers; its URL."""
    home = stage.directory / "redis"
    home.mkdir()
    password = secrets.token_urlsafe(24)
    configuration = home / "redis.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(
        f"bind 127.0.0.1\nport {port}\ndir {home}\nrequirepass {password}\nsave ''\n"
        "appendonly yes\nappendfsync always\nmaxmemory-policy noeviction\n",
        "ascii",
    )
    stage.start("redis", ["redis-server", configuration])
    stage.wait("redis", lambda: accepts(port))
    return f"redis://:{password}@127.0.0.1:{port}/0"
