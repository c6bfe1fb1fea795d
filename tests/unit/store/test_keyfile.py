"""The key ring's file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from vestibule.core.seal import Key, KeyRing
from vestibule.errors import StoreError
from vestibule.store import keyfile

NONCE = bytes(12)


def fingerprint(ring: KeyRing) -> bytes:
    return ring.mac("test", b"")


def test_it_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "state" / "vestibule.key"
    ring = keyfile.read_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
    again = keyfile.read_or_create(path)
    assert fingerprint(again) == fingerprint(ring)
    assert again.active_id == ring.active_id


def test_two_installations_have_two_keys(tmp_path):
    rings = [keyfile.read_or_create(tmp_path / name) for name in ("a", "b")]
    assert fingerprint(rings[0]) != fingerprint(rings[1])


def test_of_many_that_start_at_once_all_have_the_same_key(tmp_path):
    path = tmp_path / "vestibule.key"
    with ThreadPoolExecutor(16) as pool:
        rings = list(pool.map(lambda _: keyfile.read_or_create(path), range(16)))
    assert len({fingerprint(ring) for ring in rings}) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_put_in_front_seals_and_the_older_still_opens(tmp_path):
    path = tmp_path / "vestibule.key"
    old = keyfile.read_or_create(path)
    box = old.seal("p", b"x", aad=b"", nonce=NONCE)
    text = path.read_text()
    new = keyfile.new_key()
    key = f'{{"id":"{new.id}","secret":"{"A" * 43}="}},'
    path.write_text(text.replace('{"keys":[', '{"keys":[' + key))
    ring = keyfile.read_or_create(path)
    assert ring.active_id == new.id
    assert ring.open("p", box, aad=b"") == b"x"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_file_others_may_read_is_refused_and_left(tmp_path, mode):
    path = tmp_path / "vestibule.key"
    keyfile.read_or_create(path)
    before = path.read_bytes()
    path.chmod(mode)
    with pytest.raises(StoreError, match="chmod 600"):
        keyfile.read_or_create(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{}", id="no keys"),
        pytest.param('{"keys":[]}', id="no key"),
        pytest.param('{"keys":[{"id":"a","secret":"AAAA"}]}', id="short"),
        pytest.param('{"keys":[{"id":"a","secret":"%%%%"}]}', id="not base64"),
        pytest.param('{"keys":[{"id":"a"}],"x":1}', id="odd"),
        pytest.param("\x00\xff", id="binary"),
    ],
)
def test_a_file_that_is_no_key_ring_is_refused_and_left(tmp_path, text):
    path = tmp_path / "vestibule.key"
    path.write_text(text, encoding="latin-1")
    path.chmod(0o600)
    with pytest.raises(StoreError, match="no key ring") as caught:
        keyfile.read_or_create(path)
    assert "AAAA" not in str(caught.value)
    assert path.read_text(encoding="latin-1") == text


def test_a_directory_in_its_place_is_refused(tmp_path):
    with pytest.raises(StoreError, match="can't be used"):
        keyfile.read_or_create(tmp_path)


def test_a_pipe_in_its_place_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(StoreError, match="not a file"):
        keyfile.read_or_create(tmp_path / "pipe")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't be used"):
        keyfile.read_or_create(tmp_path / "file" / "vestibule.key")


def test_a_dangling_link_is_not_followed_into_a_new_file(tmp_path):
    path = tmp_path / "vestibule.key"
    path.symlink_to(tmp_path / "elsewhere" / "key")
    with pytest.raises(StoreError):
        keyfile.read_or_create(path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_key_that_another_user_planted_is_not_used(tmp_path, monkeypatch):
    path = tmp_path / "vestibule.key"
    keyfile.read_or_create(path)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(StoreError, match="another user"):
        keyfile.read_or_create(path)


def test_a_key_that_processes_share_is_never_made(tmp_path):
    path = tmp_path / "vestibule.key"
    with pytest.raises(
        StoreError, match=r"set VESTIBULE_SESSION_KEY to what `openssl rand -base64 32` prints"
    ):
        keyfile.read_shared(path)
    assert not path.exists()


def test_a_key_that_processes_share_is_the_files(tmp_path):
    path = tmp_path / "vestibule.key"
    ring = keyfile.read_or_create(path)
    assert keyfile.read_shared(path).active_id == ring.active_id
    path.chmod(0o644)
    with pytest.raises(StoreError, match="others may read it"):
        keyfile.read_shared(path)


# -- changing it --------------------------------------------------------------------------------


def put_in_front(key: Key) -> Callable[[tuple[Key, ...]], tuple[Key, ...]]:
    return lambda keys: (key, *keys)


def test_the_file_is_replaced_whole_and_stays_its_owners_alone(tmp_path):
    path = tmp_path / "vestibule.key"
    [first] = keyfile.read_or_create(path).keys
    before, stamp = path.read_bytes(), keyfile.stamp_of(path)
    with path.open("rb") as open_before:
        new = keyfile.new_key(active_at=1_800_000_000.0)
        assert keyfile.change(path, put_in_front(new)) == (new, first)
        assert open_before.read() == before
    assert keyfile.read_keys(path) == (new, first)
    assert keyfile.stamp_of(path) != stamp
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_seals_from_its_time_on(tmp_path):
    path = tmp_path / "vestibule.key"
    [first] = keyfile.read_or_create(path).keys
    past, later = keyfile.new_key(active_at=1.0), keyfile.new_key(active_at=9e12)
    keyfile.change(path, lambda keys: (later, past, *keys))
    assert keyfile.read(path).keys == (past, later, first)


def test_of_many_who_change_it_at_once_none_is_forgotten(tmp_path):
    path = tmp_path / "vestibule.key"
    keyfile.read_or_create(path)
    new = [keyfile.new_key() for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda key: keyfile.change(path, put_in_front(key)), new))
    assert {key.id for key in new} < {key.id for key in keyfile.read_keys(path)}


def test_a_change_that_makes_no_ring_leaves_the_file(tmp_path):
    path = tmp_path / "vestibule.key"
    keyfile.read_or_create(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="at least one key"):
        keyfile.change(path, lambda _keys: ())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_not_there_can_not_be_changed(tmp_path):
    with pytest.raises(StoreError, match=r"can't be used: No such file"):
        keyfile.change(tmp_path / "vestibule.key", put_in_front(keyfile.new_key()))
    assert list(tmp_path.iterdir()) == []
