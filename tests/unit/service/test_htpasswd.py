"""Password files in force: read, read again when they change, and kept where the new version is broken."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.protocol.test_htpasswd import HASHES
from tests.unit.service.callers import host_of
from vestibule.core.credential import Accepted, PasswordFile
from vestibule.core.route import RouteTable
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import ClientError
from vestibule.model import Identity, Secret, Tokens
from vestibule.observe.log import Log
from vestibule.protocol.htpasswd import APR1, BCRYPT, SHA1
from vestibule.providers.base import Recheck
from vestibule.service.htpasswd import MARK, PasswordFiles, files_of

NAME = "htpasswd:/users"
FILE = PasswordFile(name=NAME, path="/users")
K1, K2 = Key("k1", b"1" * 32), Key("k2", b"2" * 32)
ANN = f"ann:{HASHES[BCRYPT]}\n"
BOB = f"Bob:{HASHES[APR1]}\n"


class Disk:
    """One file, that is written by hand."""

    def __init__(self, text: str | Exception) -> None:
        self.text = text
        self.changes = 0
        self.reads = 0
        self.while_read: Any = None

    def write(self, text: str | Exception) -> None:
        self.text = text
        self.changes += 1

    def stat(self, path: str) -> tuple[int, int, int]:
        assert path == "/users"
        if isinstance(self.text, OSError):
            raise self.text
        return self.changes, 0, 1

    def read(self, path: str) -> str:
        assert path == "/users"
        self.reads += 1
        if self.while_read:
            self.while_read()
        if isinstance(self.text, Exception):
            raise self.text
        return self.text


class World:
    def __init__(self, text: str | Exception = ANN + BOB, *keys: Key) -> None:
        self.disk = Disk(text)
        self.out = io.StringIO()
        self.changed: list[str] = []
        self.files = PasswordFiles(
            [FILE],
            KeyRing(keys or (K1,)),
            Log(self.out),
            changed=self.changed.append,
            stat=self.disk.stat,
            read=self.disk.read,
        )

    async def look(self, times: int = 2) -> None:
        for _ in range(times):
            await self.files.look()

    @property
    def names(self) -> list[str]:
        return list(self.files.people(NAME).by_name)

    @property
    def logged(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.out.getvalue().splitlines()]

    def identity(self, name: str) -> Identity:
        return self.files.identity(NAME, self.files.people(NAME).by_name[name])


def test_everybody_in_the_file_is_known_from_the_start():
    world = World()
    assert world.names == ["ann", "bob"]
    assert world.files.people("htpasswd:/other").in_order == ()


def test_people_may_stand_in_the_configuration_itself():
    file = PasswordFile(name="apikey:app", text=Secret(ANN), has_form=False)
    files = PasswordFiles([file], KeyRing((K1,)), Log(io.StringIO()))
    assert list(files.people("apikey:app").by_name) == ["ann"]


def test_who_somebody_is_comes_from_the_file():
    identity = World().identity("bob")
    assert (identity.client, identity.issuer, identity.subject) == (NAME, NAME, "bob")
    assert (identity.login, identity.name) == ("bob", "Bob")
    assert identity.email == ""
    assert "groups" in identity.unknown
    assert HASHES[APR1] not in repr(identity)


async def test_a_file_that_did_not_change_is_not_read_again():
    world = World()
    await world.look(5)
    assert world.disk.reads == 1
    assert world.changed == []


async def test_a_new_version_counts_once_it_stood_still_for_a_look():
    world = World()
    world.disk.write(ANN)
    await world.look(1)
    assert world.names == ["ann", "bob"]
    await world.look(1)
    assert world.names == ["ann"]
    assert world.changed == [NAME]
    assert "htpasswd_loaded" in world.logged


async def test_a_half_written_version_does_not_count():
    world = World()
    world.disk.write("")
    await world.look(1)
    world.disk.write(ANN + BOB)
    await world.look(1)
    assert world.changed == []
    await world.look(1)
    assert world.names == ["ann", "bob"]


async def test_a_version_that_changes_while_it_is_read_does_not_count():
    world = World()
    world.disk.write(ANN)
    await world.look(1)
    world.disk.while_read = lambda: world.disk.write(BOB)
    await world.look(1)
    assert world.names == ["ann", "bob"]
    world.disk.while_read = None
    await world.look(2)
    assert world.names == ["bob"]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param("ann:hunter2\n", id="a line that can't be used"),
        pytest.param(ANN + ANN, id="a name twice"),
        pytest.param(UnicodeDecodeError("utf-8", b"hunter2", 0, 1, "x"), id="not UTF-8"),
        pytest.param(ValueError("too large"), id="too large"),
    ],
)
async def test_a_broken_new_version_leaves_the_old_in_force_and_is_told_of_once(broken: str | Exception):
    world = World()
    world.disk.write(broken)
    await world.look(5)
    assert world.names == ["ann", "bob"]
    assert world.changed == []
    assert world.logged.count("htpasswd_unusable") == 1
    assert "hunter2" not in world.out.getvalue()
    world.disk.write(ANN)
    await world.look(2)
    assert world.names == ["ann"]


async def test_a_file_that_is_gone_leaves_the_old_in_force_and_is_told_of_once():
    world = World()
    world.disk.text = FileNotFoundError(2, "No such file or directory")
    await world.look(5)
    assert world.names == ["ann", "bob"]
    assert world.logged.count("htpasswd_unusable") == 1
    world.disk.write(ANN)
    await world.look(2)
    assert world.names == ["ann"]


async def test_an_empty_file_lets_nobody_in_and_is_told_of():
    world = World()
    world.disk.write("")
    await world.look(2)
    assert world.names == []
    assert "htpasswd_empty" in world.logged


async def test_a_file_that_cannot_be_read_at_the_start_lets_nobody_in_until_it_can():
    world = World(PermissionError(13, "Permission denied"))
    assert world.names == []
    assert world.logged == ["htpasswd_unusable"]
    world.disk.write(ANN)
    await world.look(2)
    assert world.names == ["ann"]


def test_weak_hashes_are_told_of():
    assert "htpasswd_weak" in World(f"ann:{HASHES[SHA1]}").logged
    assert "htpasswd_weak" not in World(ANN).logged


# -- who is still in ------------------------------------------------------------------------------


async def test_who_is_taken_out_of_the_file_is_out():
    world = World()
    ann, bob = world.identity("ann"), world.identity("bob")
    assert world.files.has(ann)
    world.disk.write(BOB)
    await world.look(2)
    assert not world.files.has(ann)
    assert world.files.has(bob)


async def test_who_has_another_password_is_out_with_the_old_one():
    world = World()
    ann = world.identity("ann")
    world.disk.write(f"ann:{HASHES[APR1]}\n")
    await world.look(2)
    assert not world.files.has(ann)
    assert world.files.has(world.identity("ann"))


def test_an_identity_of_somebody_else_is_not_the_files_to_judge():
    world = World()
    assert world.files.has(replace(world.identity("ann"), client="google"))


@pytest.mark.parametrize("mark", ["", "x", "AAAA", None, 7])
def test_an_identity_that_does_not_say_which_password_it_was_is_out(mark: object):
    world = World()
    assert not world.files.has(replace(world.identity("ann"), claims={MARK: mark}))


def test_a_new_sealing_key_puts_nobody_out():
    ann = World(ANN, K1).identity("ann")
    assert World(ANN, K2, K1).files.has(ann)
    assert not World(ANN, K2).files.has(ann)


async def test_sessions_are_looked_at_again_by_the_version_in_force():
    world = World()
    before = world.files.providers[NAME]
    ann = world.identity("ann")
    assert isinstance(before, Recheck)
    assert (before.is_restricted, before.needs_tokens) == (True, False)
    assert rechecked(before, ann) == ann
    assert world.files.providers[NAME] is before
    world.disk.write(BOB)
    await world.look(2)
    after = world.files.providers[NAME]
    assert after is not before
    with pytest.raises(ClientError) as told:
        rechecked(after, ann)
    assert (told.value.status, told.value.code) == (403, "not_admitted")


def rechecked(provider: Any, identity: Identity) -> Identity:
    flow = provider.recheck(identity, Tokens(access_token=Secret("")), 0.0)
    try:
        next(flow)
    except StopIteration as stop:
        found: Identity = stop.value
        return found
    raise AssertionError("it asks for something")


def test_hosts_share_a_file():
    hosts = [host_of(Accepted(passwords=FILE), name) for name in (b"a.example", b"b.example")]
    assert files_of(RouteTable([*hosts, host_of(Accepted(), b"c.example")])) == (FILE,)
