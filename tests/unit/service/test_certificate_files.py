"""Certificates from files: in force while they are good, and the last good one otherwise."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.core.issued import DAY_S, FROM_AT, Issuer
from vestibule.core.certificate import Source, Wanted
from vestibule.observe.log import Log
from vestibule.service.certificate_files import CertificateFiles
from vestibule.service.shelf import Shelf

ROOT = Issuer()
NAME = "a.example.com"
WANTED = Wanted(name=NAME, source=Source.FILE, certificate_path="/c", key_path="/k")
FIRST = ROOT.issue(NAME)
SECOND = ROOT.issue(NAME, days=180)


class Disk:
    """Two files, and how often they were written."""

    def __init__(self, certificate: bytes, key: bytes) -> None:
        self.files = {"/c": certificate, "/k": key}
        self.written = dict.fromkeys(self.files, 0)
        self.reads = 0
        self.meanwhile: Callable[[str], None] = lambda _path: None
        """What happens while a file is read."""

    def write(self, path: str, content: bytes) -> None:
        self.files[path] = content
        self.written[path] = self.written.get(path, 0) + 1

    def put(self, pair: tuple[bytes, bytes]) -> None:
        self.write("/c", pair[0])
        self.write("/k", pair[1])

    def stat(self, path: str) -> tuple[int, ...]:
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self.written[path], len(self.files[path])

    def read(self, path: str) -> bytes:
        self.reads += 1
        self.stat(path)
        content = self.files[path]
        self.meanwhile(path)
        return content


class Stand:
    """Files of one host, a shelf, a log and a clock."""

    def __init__(self, pair: tuple[bytes, bytes] = FIRST) -> None:
        self.disk, self.shelf, self.out, self.now = Disk(*pair), Shelf(), io.StringIO(), FROM_AT + DAY_S
        self.files = CertificateFiles(
            self.shelf, Log(self.out), now=lambda: self.now, stat=self.disk.stat, read=self.disk.read
        )

    async def settle(self) -> None:
        """Three looks: seen, the same, read."""
        for _ in range(3):
            await self.files.look()

    @property
    def shown(self) -> bytes | None:
        found = self.shelf.find(NAME)
        return found.chain_pem if found is not None else None

    def unusable(self) -> list[dict[str, Any]]:
        said = [json.loads(line) for line in self.out.getvalue().splitlines()]
        return [one for one in said if one["event"] == "certificate_unusable"]


@pytest.fixture
def stand() -> Stand:
    made = Stand()
    made.files.use([WANTED])
    return made


def test_what_the_files_hold_is_on_the_shelf_from_the_start(stand: Stand):
    assert stand.shown == FIRST[0]
    assert stand.files.troubles == {}


async def test_what_does_not_change_is_not_read_again(stand: Stand):
    await stand.settle()
    assert stand.disk.reads == 2


async def test_a_new_version_is_in_force_once_it_rests(stand: Stand):
    stand.disk.put(SECOND)
    await stand.files.look()
    assert stand.shown == FIRST[0]
    await stand.files.look()
    assert stand.shown == SECOND[0]


async def test_what_changes_while_it_is_read_is_not_taken():
    stand = Stand()
    stand.files.use([WANTED])
    third = ROOT.issue(NAME, days=200)
    stand.disk.put(SECOND)
    for _ in range(2):
        await stand.files.look()
        stand.disk.meanwhile = lambda path: stand.disk.put(third) if path == "/k" else None
    assert stand.shown == FIRST[0]
    stand.disk.meanwhile = lambda _path: None
    await stand.settle()
    assert stand.shown == third[0]


async def test_a_certificate_without_its_key_yet_leaves_the_last_in_force(stand: Stand):
    stand.disk.write("/c", SECOND[0])
    await stand.settle()
    assert stand.shown == FIRST[0]
    assert stand.files.troubles == {"/c": "the key doesn't match the certificate"}
    stand.disk.write("/k", SECOND[1])
    await stand.settle()
    assert stand.shown == SECOND[0]
    assert stand.files.troubles == {}


@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        pytest.param(b"", "holds no certificate", id="empty"),
        pytest.param(SECOND[0][:300], "holds no certificate", id="half written"),
        pytest.param(b"\x00\xff garbage", "holds no certificate", id="garbage"),
    ],
)
async def test_a_broken_file_leaves_the_last_in_force_and_is_told_of_once(
    stand: Stand, certificate: bytes, why: str
):
    stand.disk.write("/c", certificate)
    await stand.settle()
    await stand.settle()
    assert stand.shown == FIRST[0]
    (said,) = stand.unusable()
    assert why in said["detail"]
    assert said["in_force"] is True


async def test_a_file_that_is_away_for_long_is_told_of_once_and_forgotten_when_it_is_back(stand: Stand):
    gone = stand.disk.files.pop("/k")
    await stand.settle()
    assert stand.shown == FIRST[0]
    assert stand.files.troubles == {"/c": "/k: No such file or directory"}
    assert len(stand.unusable()) == 1
    stand.disk.files["/k"] = gone
    await stand.settle()
    assert stand.files.troubles == {}


async def test_one_for_another_host_is_not_taken(stand: Stand):
    stand.disk.put(ROOT.issue("b.example.com"))
    await stand.settle()
    assert stand.shown == FIRST[0]
    assert stand.files.troubles == {"/c": "the certificate is not for a.example.com"}


async def test_one_that_has_ended_does_not_take_the_place_of_one_that_is_good(stand: Stand):
    stand.disk.put(ROOT.issue(NAME, from_at=FROM_AT - 100 * DAY_S, days=10))
    await stand.settle()
    assert stand.shown == FIRST[0]
    assert "has ended" in stand.files.troubles["/c"]


def test_an_ended_one_is_better_than_none():
    ended = ROOT.issue(NAME, from_at=FROM_AT - 100 * DAY_S, days=10)
    stand = Stand(ended)
    stand.files.use([WANTED])
    assert stand.shown == ended[0]


async def test_what_was_broken_at_the_start_comes_when_it_is_mended():
    stand = Stand((b"", b""))
    stand.files.use([WANTED])
    assert stand.shown is None
    assert stand.unusable()[0]["in_force"] is False
    stand.disk.put(FIRST)
    await stand.settle()
    assert stand.shown == FIRST[0]


def test_a_file_for_several_hosts_is_read_once():
    pair = ROOT.issue("*.example.com")
    stand = Stand(pair)
    stand.files.use(
        [WANTED, Wanted(name="b.example.com", source=Source.FILE, certificate_path="/c", key_path="/k")]
    )
    assert stand.disk.reads == 2
    assert {name for name, _ in stand.shelf} == {NAME, "b.example.com"}


def test_a_host_that_is_gone_is_shown_no_longer(stand: Stand):
    stand.files.use([])
    assert stand.shown is None


def test_a_host_that_gets_its_certificate_otherwise_now_keeps_the_old_one_meanwhile(stand: Stand):
    stand.files.use([Wanted(name=NAME, source=Source.ACME)])
    assert stand.shown == FIRST[0]


async def test_another_configuration_reads_nothing_anew_of_what_stays(stand: Stand):
    stand.files.use([WANTED])
    assert stand.disk.reads == 2
    stand.disk.put(SECOND)
    await stand.settle()
    assert stand.shown == SECOND[0]


async def test_no_key_is_in_the_log(stand: Stand):
    stand.disk.write("/k", b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0IGtleQ==\n-----END PRIVATE KEY-----\n")
    await stand.settle()
    assert "c2VjcmV0" not in stand.out.getvalue()
