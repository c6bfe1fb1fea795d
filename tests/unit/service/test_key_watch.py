"""A ring whose file changes."""

from __future__ import annotations

import io
import json

from vestibule.core.seal import Key, KeyRing
from vestibule.errors import StoreError
from vestibule.observe.log import Log
from vestibule.service.key_watch import KeyWatch

NOW = 1_800_000_000.0
FIRST, SECOND = Key("first", b"1" * 32), Key("second", b"2" * 32, NOW + 60)


class File:
    """A key file that holds these keys, or a fault; and who watches it."""

    def __init__(self, *keys: Key) -> None:
        self.keys: tuple[Key, ...] | Exception = keys
        self.stamp: object = 0
        self.reads = 0
        self._out = io.StringIO()
        self.ring = KeyRing(keys)
        self.watch = KeyWatch(self.ring, Log(self._out), stamp=self._stamp, read=self._read)

    def write(self, *keys: Key) -> None:
        self.keys, self.stamp = keys, object()

    def spoil(self, fault: Exception) -> None:
        self.keys, self.stamp = fault, object()

    def said(self) -> list[tuple[str, str]]:
        lines = [json.loads(line) for line in self._out.getvalue().splitlines()]
        return [(line["event"], line.get("active", line.get("detail", ""))) for line in lines]

    def _stamp(self) -> object:
        if isinstance(self.stamp, Exception):
            raise self.stamp
        return self.stamp

    def _read(self) -> tuple[Key, ...]:
        self.reads += 1
        if isinstance(self.keys, Exception):
            raise self.keys
        return self.keys


async def test_a_file_that_stays_is_read_once_and_nothing_is_told():
    file = File(FIRST)
    for turn in range(3):
        await file.watch.look(NOW + turn)
    assert file.reads == 1
    assert file.said() == []


async def test_a_new_key_opens_at_once_and_seals_when_its_time_has_come():
    file = File(FIRST)
    await file.watch.look(NOW)
    file.write(SECOND, FIRST)
    await file.watch.look(NOW + 1)
    assert file.ring.active_id == "first"
    assert "second" in file.ring
    await file.watch.look(NOW + 59.9)
    assert file.ring.active_id == "first"
    await file.watch.look(NOW + 60)
    assert file.ring.active_id == "second"
    assert "first" in file.ring
    assert file.said() == [("keys_read", "first"), ("keys_rotated", "second")]


async def test_a_retired_key_is_gone():
    file = File(SECOND, FIRST)
    await file.watch.look(NOW + 61)
    file.write(SECOND)
    await file.watch.look(NOW + 62)
    assert "first" not in file.ring


async def test_a_broken_file_is_told_once_and_the_keys_stay():
    file = File(FIRST)
    await file.watch.look(NOW)
    file.spoil(StoreError("The key file can't be used: it holds no key ring."))
    for turn in range(3):
        await file.watch.look(NOW + turn)
    assert file.ring.keys == (FIRST,)
    file.write(SECOND, FIRST)
    await file.watch.look(NOW + 60)
    assert file.ring.active_id == "second"
    assert file.said() == [
        (
            "keys_unusable",
            "The key file can't be used: it holds no key ring. The keys that are known stay in use.",
        ),
        ("keys_rotated", "second"),
    ]


async def test_a_file_that_is_gone_is_told_once_and_a_key_that_is_known_still_gets_its_turn():
    file = File(FIRST)
    file.write(SECOND, FIRST)
    await file.watch.look(NOW)
    file.stamp = FileNotFoundError(2, "No such file or directory")
    await file.watch.look(NOW + 59)
    await file.watch.look(NOW + 60)
    assert file.ring.active_id == "second"
    assert [event for event, _ in file.said()] == ["keys_read", "keys_unusable", "keys_rotated"]
