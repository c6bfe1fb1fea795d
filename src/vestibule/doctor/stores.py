"""The store: reached, ours, up to date, fast enough, and not made to forget."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import statistics
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from vestibule.core.postgres import Postgres
from vestibule.core.redis import Redis
from vestibule.doctor.clocks import Heard, of_store
from vestibule.doctor.finding import About, Finding
from vestibule.doctor.patient import Patient
from vestibule.errors import StoreError
from vestibule.observe import clock
from vestibule.store import redis_server, server
from vestibule.store.migrations import HEAD, REVISIONS, remote

_ABOUT: Final = About("store")
FREE_BYTES: Final = 200 * 1024 * 1024
POSTGRES_MIN: Final = 130000
REDIS_MIN: Final = (6, 2)
CONNECTIONS: Final = 15
"""Of one process, at most."""
_ASKED: Final = 5
_NETWORKED: Final = frozenset(
    (
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "ceph",
        "glusterfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "afs",
        "lustre",
    )
)
_FACTS: Final = """
    SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),
           current_setting('default_transaction_read_only') = 'on',
           has_schema_privilege(current_schema(), 'CREATE'),
           current_setting('max_connections')::int,
           coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
           extract(epoch FROM clock_timestamp())::float8,
           coalesce(current_setting('idle_session_timeout', true), '0')
"""


class File(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a SQLite file."""

    path: str
    is_there: bool = True
    can_write: bool = True
    """The file, or where there is none, the directory it is made in."""
    kind: str = ""
    """Of the file system."""
    free_bytes: int = 1 << 40
    revision: str | None = HEAD
    why: str = ""
    """Why it can't be read."""


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """What a PostgreSQL said."""

    where: str
    why: str = ""
    version: int = 150000
    is_standby: bool = False
    is_read_only: bool = False
    may_create: bool = True
    connections: int = 100
    processes: int = 1
    is_encrypted: bool = True
    is_loopback: bool = True
    took_s: float = 0.0
    budget_s: float = 0.25
    revision: str | None = HEAD
    revision_why: str = ""
    idle_timeout: str = "0"


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """What a Redis said."""

    where: str
    why: str = ""
    version: str = "7.0.0"
    doubts: tuple[str, ...] = ()
    took_s: float = 0.0
    budget_s: float = 0.25


async def look(patient: Patient, heard: list[Heard]) -> list[Finding]:
    """Ask all there are; what their clocks say goes to *heard*."""
    found: list[Finding] = []
    if isinstance(patient.database, Postgres):
        processes = patient.compiled.workers + 1 if patient.compiled and patient.compiled.workers > 1 else 1
        found += of_postgres(await _postgres(patient.database, processes, heard))
    elif patient.database is not None:
        found += of_file(await asyncio.to_thread(_file, patient.database))
    redis = patient.compiled.sessions if patient.compiled is not None else None
    if redis is not None:
        found += of_redis(await _redis(redis, heard))
    return found


# -- SQLite -----------------------------------------------------------------------------------


def _file(path: Path) -> File:
    folder = next(parent for parent in path.parents if parent.is_dir())
    facts: dict[str, Any] = {
        "path": str(path),
        "kind": kind_of(folder, _mounts()),
        "free_bytes": shutil.disk_usage(folder).free,
        "is_there": path.exists(),
        "can_write": os.access(path if path.exists() else folder, os.W_OK),
    }
    if path.exists():
        try:
            facts["revision"] = _revision(path)
        except sqlite3.Error as exc:
            facts["why"] = str(exc)
    return File(**facts)


def _revision(path: Path) -> str | None:
    """The revision of its schema, asked in a way that writes nothing. Raises sqlite3.Error."""
    # Without a log beside it nobody writes to it, and SQLite is not to make one.
    way = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
    with contextlib.closing(
        sqlite3.connect(f"{path.absolute().as_uri()}?{way}", uri=True, timeout=2.0)
    ) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
        if not names:
            return None
        if "alembic_version" not in names:
            raise sqlite3.DatabaseError("it is a database, but not one of this program's")
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def _mounts() -> str:
    try:
        return Path("/proc/self/mounts").read_text("utf-8", "replace")
    except OSError:
        return ""


def kind_of(folder: Path, mounts: str) -> str:
    """The kind of the file system that this directory is on; empty where that isn't known."""
    best, kind = "", ""
    for line in mounts.splitlines():
        parts = line.split(" ")
        point = parts[1].replace("\\040", " ") if len(parts) > 2 else ""
        if point and folder.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, parts[2]
    return kind


def of_file(file: File) -> list[Finding]:
    """What that means."""
    subject = f"sqlite:{file.path}"
    if file.why:
        return [
            _ABOUT.fail(
                subject,
                "sqlite_unread",
                f"it can't be read: {file.why}",
                "name another file, or restore a backup",
            )
        ]
    if not file.can_write:
        what = "the file" if file.is_there else "its directory"
        return [
            _ABOUT.fail(
                subject,
                "sqlite_closed",
                f"this user may not write to {what}",
                "give it to the user that the gateway runs as, and run this as that user",
            )
        ]
    found = [_of_revision(subject, file.revision if file.is_there else None)]
    if file.kind in _NETWORKED:
        found.append(
            _ABOUT.fail(
                subject,
                "sqlite_network",
                f"it is on a network file system ({file.kind}), where locks don't hold: the file gets corrupted",
                "keep it on a local disk; for several machines use PostgreSQL",
            )
        )
    if file.kind in ("tmpfs", "ramfs"):
        found.append(
            _ABOUT.warn(
                subject,
                "sqlite_memory",
                f"it is in memory ({file.kind}): gone when the machine restarts",
                "keep it on a disk",
            )
        )
    if file.free_bytes < FREE_BYTES:
        found.append(
            _ABOUT.warn(
                subject,
                "disk_full",
                f"{file.free_bytes >> 20} MiB are free on its disk",
                "make room: on a full disk nobody signs in",
            )
        )
    return found


def _of_revision(subject: str, revision: str | None) -> Finding:
    if revision is None:
        return _ABOUT.ok(subject, "store_empty", "it is empty: its tables are made at the first start")
    if revision == HEAD:
        return _ABOUT.ok(subject, "store_good", f"it answers, and its tables are up to date ({revision})")
    if revision in REVISIONS:
        return _ABOUT.ok(
            subject,
            "store_behind",
            f"its tables are of an older version ({revision})",
            f"the next start brings them up to {HEAD}: back it up before",
        )
    return _ABOUT.fail(
        subject,
        "store_newer",
        f"its tables are of a newer version of this program ({revision}; this one's {HEAD})",
        "run that version, or give this one another store",
    )


# -- PostgreSQL -------------------------------------------------------------------------------


async def _postgres(place: Postgres, processes: int, heard: list[Heard]) -> Database:
    where = str(place)
    try:
        connection = await server.connected(place)
    except StoreError as exc:
        return Database(where=where, why=exc.message)
    except server.FAULTS as exc:
        return Database(where=where, why=_said(exc))
    try:
        took_s = await _median(lambda: connection.fetchval("SELECT 1"))
        row = await connection.fetchrow(_FACTS)
    except server.FAULTS as exc:
        return Database(where=where, why=_said(exc))
    finally:
        connection.terminate()
    heard.append(of_store(where, float(row[6]), clock.now()))
    revision, why = None, ""
    try:
        revision = await remote.revision_of(place)
    except StoreError as exc:
        why = exc.message
    return Database(
        where=where,
        version=row[0],
        is_standby=row[1],
        is_read_only=row[2],
        may_create=bool(row[3]),
        connections=row[4],
        processes=processes,
        is_encrypted=row[5],
        is_loopback=place.is_loopback,
        took_s=took_s,
        budget_s=place.timeout_s,
        revision=revision,
        revision_why=why,
        idle_timeout=str(row[7]),
    )


async def _median(ask: Any) -> float:
    """How long a question takes, of a few."""
    took = []
    for _ in range(_ASKED):
        began = time.perf_counter()
        await ask()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def _said(exc: BaseException) -> str:
    return str(exc) or ("it does not answer" if isinstance(exc, TimeoutError) else type(exc).__name__)


def of_postgres(found: Database) -> list[Finding]:
    """What that means."""
    where = found.where
    if found.why:
        return [_ABOUT.fail(where, "postgres_unreached", found.why, _postgres_advice(found.why))]
    if found.revision_why:
        return [_ABOUT.fail(where, "postgres_foreign", found.revision_why, "give it a database of its own")]
    findings = [_of_revision(where, found.revision)]
    if found.version < POSTGRES_MIN:
        findings.append(
            _ABOUT.fail(
                where, "postgres_old", f"it is PostgreSQL {found.version // 10000}", "13 and later will do"
            )
        )
    if found.is_standby or found.is_read_only:
        findings.append(
            _ABOUT.fail(
                where,
                "postgres_read_only",
                "it is a standby"
                if found.is_standby
                else "it takes no writes (default_transaction_read_only)",
                "name the primary",
            )
        )
    if not found.may_create and found.revision != HEAD:
        findings.append(
            _ABOUT.fail(
                where,
                "postgres_rights",
                "this user may not make tables there",
                "GRANT CREATE ON SCHEMA public TO its user, or make it the owner of the database",
            )
        )
    if found.connections < CONNECTIONS * found.processes:
        findings.append(
            _ABOUT.warn(
                where,
                "postgres_connections",
                f"max_connections is {found.connections}, and {found.processes} processes hold up to "
                f"{CONNECTIONS * found.processes}",
                "raise max_connections, or run fewer workers",
            )
        )
    if not found.is_encrypted and not found.is_loopback:
        findings.append(
            _ABOUT.warn(
                where,
                "postgres_plain",
                "the way to it is not encrypted",
                "switch on ssl there, and write ?sslmode=verify-full",
            )
        )
    return [*findings, *_of_latency(where, found.took_s, found.budget_s)]


def _postgres_advice(why: str) -> str:
    """What to do about what it said."""
    for word, advice in (
        ("password authentication", "look at user and password, and at what is percent-encoded in them"),
        ("does not exist", "make it: CREATE DATABASE vestibule OWNER vestibule"),
        ("pg_hba.conf", "add a line for this machine, user and database to pg_hba.conf"),
        ("too many", "it has no connection left: raise max_connections"),
        ("certificate", "name the authority: ?sslrootcert=FILE"),
        ("refused", "start it, and see that it listens at this address (listen_addresses)"),
    ):
        if word in why:
            return advice
    return "see that it runs, and that this machine reaches it"


def _of_latency(where: str, took_s: float, budget_s: float) -> list[Finding]:
    """Whether it answers well within the time that a request waits for it."""
    if took_s * 4 > budget_s:
        return [
            _ABOUT.warn(
                where,
                "store_slow",
                f"a question takes {took_s * 1000:.0f} ms, and requests wait {budget_s * 1000:.0f} ms at most",
                "bring it nearer, or write store { timeout }",
            )
        ]
    return [_ABOUT.ok(where, "store_fast", f"a question takes {took_s * 1000:.1f} ms")]


# -- Redis ------------------------------------------------------------------------------------


async def _redis(place: Redis, heard: list[Heard]) -> Cache:
    where, doubts = str(place), list[str]()
    try:
        server = await redis_server.Server.open(place, warn=doubts.append)
    except StoreError as exc:
        return Cache(where=where, why=exc.message)
    try:
        took_s = await _median(lambda: server.read(b"doctor", "PING"))
        told = await server.about()
    except StoreError as exc:
        return Cache(where=where, why=exc.detail or exc.message)
    finally:
        await server.close()
    if (at := told.get("server_time_usec", "")).isdigit():
        heard.append(of_store(where, int(at) / 1e6, clock.now()))
    return Cache(
        where=where,
        version=told.get("redis_version", ""),
        doubts=tuple(said.removeprefix(f"{place}: ") for said in doubts),
        took_s=took_s,
        budget_s=place.timeout_s,
    )


def of_redis(found: Cache) -> list[Finding]:
    """What that means."""
    where = found.where
    if found.why:
        return [
            _ABOUT.fail(
                where,
                "redis_unreached",
                found.why,
                "see that it runs and that its user may all that docs/stores.md lists",
            )
        ]
    findings = [
        _ABOUT.ok(where, "redis_good", f"it answers, and its user may all that is asked ({found.version})")
    ]
    if found.version and _numbers(found.version) < REDIS_MIN:
        findings.append(
            _ABOUT.fail(where, "redis_old", f"it is Redis {found.version}", "6.2 and later will do")
        )
    for doubt in found.doubts:
        what, _, advice = doubt.partition("; ")
        findings.append(_ABOUT.warn(where, "redis_forgets", what, advice))
    return [*findings, *_of_latency(where, found.took_s, found.budget_s)]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
