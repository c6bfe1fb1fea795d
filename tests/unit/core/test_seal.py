"""Sealed values: who opens them, and who does not."""

from __future__ import annotations

import pytest

from vestibule.core.seal import Key, KeyRing, in_order, key_id_of

OLD = Key("k1", b"1" * 32)
NEW = Key("k2", b"2" * 32)
RING = KeyRing((NEW, OLD))
NONCE = bytes(range(12))
BOX = RING.seal("grant", b"the token", aad=b"row 1", nonce=NONCE)


def test_opens_what_it_sealed():
    assert RING.open("grant", BOX, aad=b"row 1") == b"the token"


def test_an_older_key_still_opens_and_the_first_one_seals():
    before = KeyRing((OLD,)).seal("grant", b"the token", aad=b"row 1", nonce=NONCE)
    assert RING.open("grant", before, aad=b"row 1") == b"the token"
    assert RING.active_id == "k2"
    assert KeyRing((NEW,)).open("grant", BOX, aad=b"row 1") == b"the token"
    assert KeyRing((OLD,)).open("grant", BOX, aad=b"row 1") is None


def test_the_empty_value_can_be_sealed():
    assert RING.open("p", RING.seal("p", b"", aad=b"", nonce=NONCE), aad=b"") == b""


@pytest.mark.parametrize(
    ("purpose", "aad", "ring"),
    [
        pytest.param("cookie", b"row 1", RING, id="other purpose"),
        pytest.param("grant", b"row 2", RING, id="other row"),
        pytest.param("grant", b"", RING, id="no row"),
        pytest.param("grant", b"row 1", KeyRing((Key("k2", b"3" * 32),)), id="same id, other secret"),
        pytest.param("grant", b"row 1", KeyRing((Key("k3", NEW.secret),)), id="same secret, other id"),
    ],
)
def test_nothing_else_opens_it(purpose, aad, ring):
    assert ring.open(purpose, BOX, aad=aad) is None


@pytest.mark.parametrize("place", range(len(BOX)))
def test_a_changed_byte_spoils_it(place):
    changed = BOX[:place] + bytes([BOX[place] ^ 1]) + BOX[place + 1 :]
    assert RING.open("grant", changed, aad=b"row 1") is None


@pytest.mark.parametrize("length", range(len(BOX)))
def test_a_shortened_one_is_none(length):
    assert RING.open("grant", BOX[:length], aad=b"row 1") is None


@pytest.mark.parametrize(
    "junk", [b"", b"\x01", b"\x01\xff", b"\x02" + BOX[1:], BOX + b"\0", b"\x01\x00" + b"x" * 40]
)
def test_junk_is_none(junk):
    assert RING.open("grant", junk, aad=b"row 1") is None


def test_a_nonce_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="12 bytes"):
        RING.seal("grant", b"x", aad=b"", nonce=b"short")


def test_a_mac_is_checked_by_any_key_of_the_ring():
    mac = KeyRing((OLD,)).mac("flow", b"data")
    assert RING.check_mac("flow", b"data", mac)
    assert RING.check_mac("flow", b"data", RING.mac("flow", b"data"))
    assert not KeyRing((NEW,)).check_mac("flow", b"data", mac)


@pytest.mark.parametrize(
    ("purpose", "data", "mac"),
    [
        pytest.param("other", b"data", RING.mac("flow", b"data"), id="purpose"),
        pytest.param("flow", b"Data", RING.mac("flow", b"data"), id="data"),
        pytest.param("flow", b"data", RING.mac("flow", b"data")[:31], id="shortened"),
        pytest.param("flow", b"data", b"", id="empty"),
    ],
)
def test_a_mac_of_something_else_is_refused(purpose, data, mac):
    assert not RING.check_mac(purpose, data, mac)


def test_derived_secrets_follow_from_purpose_data_and_key():
    assert RING.derive("verifier", b"flow 1", "k1") == KeyRing((OLD,)).derive("verifier", b"flow 1", "k1")
    made = {
        RING.derive(purpose, data, key_id)
        for purpose in ("verifier", "nonce")
        for data in (b"flow 1", b"flow 2")
        for key_id in ("k1", "k2")
    }
    assert {len(secret) for secret in made} == {32}
    assert len(made) == 8
    assert RING.mac("verifier", b"flow 1") not in made


def test_a_key_that_is_not_in_the_ring_derives_nothing():
    assert "k1" in RING
    assert "k9" not in RING
    assert "kö" not in RING
    with pytest.raises(KeyError):
        RING.derive("verifier", b"", "k9")


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param((), id="none"),
        pytest.param((OLD, Key("k1", b"4" * 32)), id="one id twice"),
        pytest.param((Key("k", b"short"),), id="short secret"),
        pytest.param((Key("", b"1" * 32),), id="no id"),
        pytest.param((Key("x" * 33, b"1" * 32),), id="long id"),
        pytest.param((Key("ö", b"1" * 32),), id="odd id"),
    ],
)
def test_an_unusable_ring_is_refused(keys):
    with pytest.raises(ValueError, match="key"):
        KeyRing(keys)


def test_secrets_are_not_shown():
    assert "1111" not in repr(OLD) + str(OLD) + repr(RING) + repr(list(OLD.__rich_repr__()))


# -- other keys ---------------------------------------------------------------------------------


def test_a_ring_goes_on_with_other_keys_and_forgets_what_it_derived():
    ring = KeyRing((OLD,))
    sealed, mac = ring.seal("p", b"x", aad=b"", nonce=NONCE), ring.mac("p", b"x")
    ring.use((NEW, OLD))
    assert ring.active_id == "k2"
    assert ring.keys == (NEW, OLD)
    assert ring.open("p", sealed, aad=b"") == b"x"
    assert ring.check_mac("p", b"x", mac)
    assert key_id_of(ring.seal("p", b"x", aad=b"", nonce=NONCE)) == "k2"
    assert ring.mac("p", b"x") == KeyRing((NEW,)).mac("p", b"x")
    ring.use((NEW,))
    assert ring.open("p", sealed, aad=b"") is None
    assert not ring.check_mac("p", b"x", mac)
    assert "k1" not in ring


def test_another_secret_under_the_same_id_is_another_key():
    ring = KeyRing((OLD,))
    sealed = ring.seal("p", b"x", aad=b"", nonce=NONCE)
    ring.use((Key(OLD.id, b"x" * 32),))
    assert ring.open("p", sealed, aad=b"") is None


def test_a_ring_keeps_its_keys_when_the_others_are_no_ring():
    ring = KeyRing((OLD,))
    with pytest.raises(ValueError, match="at least one"):
        ring.use(())
    assert ring.keys == (OLD,)


A, B, C = Key("a", b"a" * 32), Key("b", b"b" * 32, 100.0), Key("c", b"c" * 32, 200.0)


@pytest.mark.parametrize(
    ("keys", "now", "ids"),
    [
        pytest.param((A,), 0.0, "a", id="one"),
        pytest.param((C, B, A), 99.0, "acb", id="the next two are not yet in force"),
        pytest.param((C, B, A), 100.0, "bca", id="in force from its time on"),
        pytest.param((A, B, C), 500.0, "cab", id="the last that began"),
        pytest.param((Key("x", b"x" * 32), A), 500.0, "xa", id="of two that began together the first"),
        pytest.param((C, B), 50.0, "bc", id="where none has begun the one that will be first"),
        pytest.param((), 50.0, "", id="none"),
    ],
)
def test_the_key_that_began_last_seals(keys, now, ids):
    assert "".join(key.id for key in in_order(keys, now)) == ids


@pytest.mark.parametrize("raw", [b"", b"\x01", b"\x02\x02k2"])
def test_what_is_no_box_was_sealed_by_no_key(raw):
    assert key_id_of(raw) == ""
