"""kill -9 at any moment: nothing that was acknowledged is lost, and the file is whole."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vestibule.core.session import hash_of
from vestibule.store import migrations

pytestmark = pytest.mark.real

VICTIM = Path(__file__).with_name("store_victim.py")


class Victims:
    """Programs that are started one after the other and killed."""

    def __init__(self, what: str) -> None:
        self._nursery = subprocess.Popen(
            [sys.executable, VICTIM, what],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def close(self) -> None:
        self._nursery.stdin.close()
        self._nursery.wait(30)
        self._nursery.stdout.close()

    def killed(self, path: Path, after_lines: int, then_s: float) -> list[list[str]]:
        """What it had said until it was killed, `then_s` after its `after_lines`-th line."""
        print(path, file=self._nursery.stdin)
        said: list[list[str]] = []
        child = None
        while (line := self._nursery.stdout.readline().split()) != ["dead"]:
            assert line, "the victims' nursery has died"
            if line[0] == "pid":
                child = int(line[1])
            else:
                said.append(line)
            if child is not None and len(said) >= after_lines:
                time.sleep(then_s)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                after_lines = 10**9
        return said


@pytest.fixture
def victims(request) -> Iterator[Victims]:
    victims = Victims(request.param)
    yield victims
    victims.close()


class Known:
    """What the store must hold, by what was acknowledged."""

    def __init__(self) -> None:
        self.handles: dict[str, str] = {}
        self.ended: set[str] = set()
        self.renewed: set[str] = set()
        self.rotated: set[str] = set()
        self.used: set[str] = set()

    def learn(self, said: list[list[str]]) -> set[str]:
        """Take in what was said; the ids it was about."""
        for what, name, value in said:
            if what == "in":
                self.handles[name] = value
            elif what == "renewed":
                self.handles[name] = value
                self.renewed.add(name)
            elif what == "rotated":
                self.rotated.add(name)
            elif what == "used":
                self.used.add(name)
            elif what == "out":
                self.ended.add(name)
        return {name for _, name, _ in said}

    def check(self, path: Path, names: set[str]) -> None:
        """Compare with the file, for these sessions."""
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            handles = dict(connection.execute("SELECT id, handle FROM sessions"))
            users = {user_id for (user_id,) in connection.execute("SELECT id FROM users")}
            versions = dict(connection.execute("SELECT owner, version FROM grants"))
            marks = {bytes(key).decode() for (key,) in connection.execute("SELECT key FROM marks")}
        for name in names:
            if name in self.ended:
                assert name not in handles
                assert name not in versions
                continue
            if name not in handles:  # its sign-out was done, and killed before it was said
                assert name not in versions
                assert name in self.used
                continue
            assert f"u{name}" in users
            if name in self.renewed or name in self.rotated:
                assert handles[name] == hash_of(self.handles[name])
            assert versions[name] >= (name in self.rotated)
        assert self.used <= marks


def survive(victims: Victims, path: Path, kills: int, seed: int) -> None:
    moments, known, everybody = random.Random(seed), Known(), set()
    for _ in range(kills):
        said = victims.killed(path, moments.randint(0, 120), moments.choice((0, moments.uniform(0, 0.02))))
        names = known.learn(said)
        known.check(path, names)
        everybody |= names
    assert len(known.handles) > kills
    known.check(path, everybody)


@pytest.mark.parametrize("victims", ["live"], indirect=True)
def test_no_acknowledged_session_is_lost_by_40_kills(victims, tmp_path):
    survive(victims, tmp_path / "vestibule.db", 40, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("victims", ["live"], indirect=True)
def test_no_acknowledged_session_is_lost_by_500_kills(victims, tmp_path):
    survive(victims, tmp_path / "vestibule.db", 500, seed=2)


@pytest.mark.parametrize("victims", ["migrate"], indirect=True)
def test_a_migration_that_was_killed_was_done_whole_or_not_at_all(victims, tmp_path):
    moments = random.Random(3)
    for number in range(15):
        path = tmp_path / f"{number}.db"
        victims.killed(path, 1, moments.uniform(0, 0.06))
        assert migrations.revision_of(path) in {None, migrations.HEAD}
        migrations.bring_up(path)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_log_torn_anywhere_leaves_a_whole_store(tmp_path):
    """As after a power cut: the log ends at any 512-byte sector, and each acknowledged commit before is there."""
    source, copy = tmp_path / "source.db", tmp_path / "copy.db"
    migrations.bring_up(source)
    with contextlib.closing(sqlite3.connect(source, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        ends = []
        for number in range(12):
            writer.execute("INSERT INTO marks VALUES ('flow', ?, 1.0)", (bytes([number]) * 700,))
            ends.append(source.with_name("source.db-wal").stat().st_size)
        database, log = source.read_bytes(), source.with_name("source.db-wal").read_bytes()
    for cut in range(0, len(log) + 1, 512):
        copy.write_bytes(database)
        copy.with_name("copy.db-wal").write_bytes(log[:cut])
        copy.with_name("copy.db-shm").unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            (kept,) = connection.execute("SELECT count(*) FROM marks").fetchone()
        assert kept == sum(end <= cut for end in ends)
