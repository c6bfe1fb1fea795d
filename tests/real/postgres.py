"""PostgreSQL for tests: a cluster in a directory of its own, a database a test."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme
from msgspec.structs import replace

from tests.process import Process
from vestibule.core.postgres import Postgres, parse

PATIENT_S = 5.0
"""How long a test waits for a store that is not what it is about: a busy machine may stand still for a second or two."""
USER, PASSWORD = "vestibule", "p@ss/word"
_QUOTED = "p%40ss%2Fword"
# What makes it light; a test of durability switches it off.
_LIGHT = ("fsync=off", "full_page_writes=off", "autovacuum=off")
_SETTINGS = (
    *("listen_addresses=127.0.0.1", "max_connections=60", "shared_buffers=32MB", "jit=off"),
    *(
        "wal_level=minimal",
        "max_wal_senders=0",
        "log_min_messages=fatal",
        "password_encryption=scram-sha-256",
    ),
)

_ALONE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class Database:
    """One database of a cluster."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self.name = name

    @property
    def url(self) -> str:
        """As it is written in a configuration."""
        return f"postgresql://{USER}:{_QUOTED}@127.0.0.1:{self._cluster.port}/{self.name}"

    @property
    def place(self) -> Postgres:
        """As the program sees it, given time."""
        return replace(parse(self.url), timeout_s=PATIENT_S)

    def execute(self, sql: str) -> list[tuple[str, ...]]:
        """What psql prints, row by row."""
        return self._cluster.execute(sql, self.name)

    def empty(self) -> None:
        """Deletes every row, and whoever is still connected; making a database anew takes ten times as long."""
        # Slow to import, and few tests want it. The module that is above all others of its kind: with it every table is.
        from vestibule.store.tables_directory import DIRECTORY_RULES  # noqa: PLC0415

        deletes = "; ".join(f"DELETE FROM {name}" for name in DIRECTORY_RULES.metadata.tables)
        self.execute(f"{_ALONE}; SET session_replication_role = replica; {deletes}")


class Cluster:
    """A running server, with TLS, that wants a password by TCP."""

    def __init__(self, port: int, ca: trustme.CA, *, is_durable: bool = False) -> None:
        self.port = port
        self._directory = Path(tempfile.mkdtemp(prefix="vst-pg-"))
        self._is_durable = is_durable
        self._numbers = itertools.count(1)
        self._template = ""
        self._shared: Database | None = None
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(self._directory / "pem"))
        (self._directory / "password").write_text(PASSWORD)
        for path in (self._directory, *self._directory.iterdir()):
            os.chown(path, *_owner())
            path.chmod(0o755 if path.is_dir() else 0o600)
        self._initialise()
        self._process = self._started()
        self.wait()

    def wait(self) -> None:
        """Returns once it takes connections."""
        self._process.wait_until(lambda: self._psql("SELECT 1", "postgres").returncode == 0, "answers")

    def kill(self) -> None:
        """kill -9 to the whole of it; returns when nothing of it is left."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        self._process.kill()

    def start_again(self) -> None:
        """The same directory and port, after `kill`."""
        self._process = self._started()
        self.wait()

    def pause(self) -> None:
        """Its processes stay and say nothing, as a machine that hangs does."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """After `pause`."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends it and removes all of it."""
        if self._process.returncode is None:
            self._process.signal(signal.SIGINT)  # without waiting for those who are connected
        self._process.stop()
        shutil.rmtree(self._directory)

    def database(self, *, empty: bool = False) -> Database:
        """A new database with all tables of the program; `empty`: without any."""
        if not empty and not self._template:
            from vestibule.store.migrations import run  # noqa: PLC0415  # as above

            self._template = "template_vestibule"
            self.execute(f"CREATE DATABASE {self._template}")
            with ThreadPoolExecutor(1) as thread:  # it runs a loop of its own, and may be asked for in one
                thread.submit(run.upgrade_server, Database(self, self._template).place).result()
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {'template0' if empty else self._template}")
        return Database(self, name)

    def shared(self) -> Database:
        """The same one each time, with all tables of the program."""
        if self._shared is None:
            self._shared = self.database()
        return self._shared

    def drop(self, database: Database) -> None:
        """Removes it, whoever is connected."""
        self.execute(f"DROP DATABASE {database.name} WITH (FORCE)")

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[str, ...]]:
        """What psql prints, row by row."""
        done = self._psql(sql, database)
        assert done.returncode == 0, done.stderr
        return [tuple(line.split("|")) for line in done.stdout.splitlines()]

    def _psql(self, sql: str, database: str) -> subprocess.CompletedProcess[str]:
        place = ("-h", self._directory, "-p", str(self.port), "-U", USER, "-d", database)
        argv = (_binary("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", *place, "-c", sql)
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    def _initialise(self) -> None:
        auth = (
            "-U",
            USER,
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            f"--pwfile={self._directory}/password",
        )
        argv = (
            _binary("initdb"),
            "-D",
            self._directory / "data",
            *auth,
            "--no-sync",
            "--locale=C.UTF-8",
            "-E",
            "UTF8",
        )
        done = subprocess.run(
            _as_owner(argv), capture_output=True, text=True, check=False, cwd=self._directory
        )
        assert done.returncode == 0, done.stderr

    def _started(self) -> Process:
        pem = self._directory / "pem"
        settings = (
            *_SETTINGS,
            *(() if self._is_durable else _LIGHT),
            *(f"port={self.port}", f"unix_socket_directories={self._directory}"),
            *("ssl=on", f"ssl_cert_file={pem}", f"ssl_key_file={pem}"),
        )
        options = [word for setting in settings for word in ("-c", setting)]
        argv = (_binary("postgres"), "-D", self._directory / "data", *options)
        return Process("postgres", _as_owner(argv), cwd=self._directory)

    def _signal(self, number: signal.Signals) -> None:
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        for each in (pid, *map(int, children.read_text().split())) if children.exists() else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, number)


def _owner() -> tuple[int, int]:
    """Who runs the server, which refuses to run as root."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    entry = pwd.getpwnam("postgres")
    return entry.pw_uid, entry.pw_gid


def _as_owner(argv: Sequence[str | Path]) -> list[str | Path]:
    if os.geteuid() != 0:
        return list(argv)
    uid, gid = _owner()
    # who changes the user loses the death signal, so it is asked for again
    setpriv = ("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--pdeathsig", "KILL", "--")
    return [*setpriv, *argv]


def _binary(name: str) -> str:
    """Where this program of PostgreSQL is, or a failed test that says how to get it."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    found = shutil.which(
        name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, reversed(debian))])
    )
    return found or pytest.fail(
        "postgresql is missing: apt-get install postgresql (make test does it when it may)"
    )
