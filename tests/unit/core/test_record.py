"""Session records: who opens them, what comes back, and which handles count."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from vestibule.core.record import Record, Vault
from vestibule.core.seal import Key, KeyRing
from vestibule.model import Device, Identity, Session

NOW = 1_800_000_000.0
OLD, NEW = Key("k1", b"1" * 32), Key("k2", b"2" * 32)
RING = KeyRing((NEW, OLD))
NONCE = bytes(range(12))
H1, H2, H3 = (bytes([n]) * 32 for n in (1, 2, 3))
ZOE = Identity(
    client="google",
    issuer="https://accounts.google.com",
    subject="42",
    login="zoë",
    name="Zoë 🚪",
    email="zoe@example.com",
    groups=("admins", "a,b"),
    unknown=("repos",),
    claims={"level": 0, "tags": [], "big": 2**80, "none": None},
    sid="08a5019c",
)
UNKEPT = "affiliated"
"""The one field that is not stored."""
WHOLE = Session(
    id="s1",
    host="forum.example.com",
    created_at=NOW,
    seen_at=NOW + 5.5,
    expires_at=NOW + 7 * 86400,
    idle_s=86400.0,
    user_id="u1",
    identities=(ZOE, Identity(client="api", issuer="https://api", subject="7")),
    clients=("google", "forum.example.com/api"),
    device=Device(user_agent="Mozilla/5.0", address="2001:db8::1"),
    version=3,
    parent_id="s0",
    signed_in_at=NOW - 1.25,
    check_at=NOW + 3600.5,
    attributes={"theme": "dark", "seats": 0, "deep": {"a": [1, None]}},
    is_remembered=True,
    made_by="forum",
    app="ios",
    scopes=("read", "write"),
    rotation=7,
    rotated_at=NOW - 2.5,
)
RECORD = Record(WHOLE, H2, H1, NOW + 60)
BOX = Vault(RING).sealed(RECORD, nonce=NONCE)


def opened(sealed: bytes = BOX, ring: KeyRing = RING, **place) -> Record | None:
    at = {"session_id": "s1", "version": 3, "seen_at": NOW + 5.5} | place
    return Vault(ring).opened(sealed, **at)


def test_no_field_of_a_session_is_left_out_here():
    bare = Session(id="", host="", created_at=0, seen_at=0, expires_at=0, idle_s=0)
    same = [name for name in Session.__struct_fields__ if getattr(WHOLE, name) == getattr(bare, name)]
    assert same == [UNKEPT]


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(RECORD, id="all fields"),
        pytest.param(Record(replace(WHOLE, identities=(), device=Device()), H1), id="nobody signed in"),
        pytest.param(
            Record(
                Session(id="s1", host="h", created_at=1, seen_at=2, expires_at=3, idle_s=4, version=3), H1
            ),
            id="nothing but what must be",
        ),
    ],
)
def test_a_record_comes_back_as_it_was(record):
    sealed = Vault(RING).sealed(record, nonce=NONCE)
    assert opened(sealed, seen_at=record.session.seen_at) == record


def test_the_box_holds_every_field_of_a_session():
    """A field that is added to the model and forgotten here would come back empty."""
    empty = Session(id="s1", host="", created_at=0, seen_at=0, expires_at=0, idle_s=0)
    same = [
        name
        for name in Session.__struct_fields__
        if name != "id" and getattr(WHOLE, name) == getattr(empty, name)
    ]
    assert same == [UNKEPT]


def test_what_the_gateway_says_of_people_is_never_kept():
    """It is put on as a session is read: kept, it would outlive what it says."""
    said = Identity(client="@", issuer="", subject="", groups=("acme/ops",))
    sealed = Vault(RING).sealed(Record(replace(WHOLE, affiliated=said), H1), nonce=NONCE)
    assert opened(sealed) == Record(WHOLE, H1)


def test_every_empty_field_of_an_identity_and_a_device_is_its_default():
    for kind, filled in ((Identity, {"client": "", "issuer": "", "subject": ""}), (Device, {})):
        assert not any(msgspec.structs.asdict(kind(**filled)).values())


def test_last_seen_is_what_the_store_says():
    record = opened(seen_at=NOW + 99)
    assert record is not None
    assert record.session.seen_at == NOW + 99


@pytest.mark.parametrize(
    "place",
    [
        pytest.param({"session_id": "s2"}, id="in another's row"),
        pytest.param({"version": 2}, id="of another version"),
        pytest.param({"session_id": "s", "version": 13}, id="with the seam moved"),
        pytest.param(
            {"sealed": RING.seal("grant", b"[]", aad=b"s1\x003", nonce=NONCE)}, id="a box for other things"
        ),
        pytest.param(
            {"sealed": RING.seal("session", b"[]", aad=b"s1\x003", nonce=NONCE)}, id="of another shape"
        ),
        pytest.param({"sealed": b""}, id="nothing"),
        pytest.param({"ring": KeyRing((OLD,))}, id="without its key"),
        pytest.param({"ring": KeyRing((Key("k2", b"3" * 32),))}, id="with another key of its name"),
    ],
)
def test_nothing_else_opens(place):
    assert opened(**place) is None


@pytest.mark.parametrize("at", range(0, len(BOX), 7))
def test_a_changed_byte_spoils_it(at):
    assert opened(BOX[:at] + bytes([BOX[at] ^ 1]) + BOX[at + 1 :]) is None


def test_an_older_key_still_opens():
    assert opened(Vault(KeyRing((OLD,))).sealed(RECORD, nonce=NONCE)) == RECORD


@pytest.mark.parametrize(
    ("handle", "now", "until"),
    [
        pytest.param(H2, NOW, WHOLE.expires_at, id="its own"),
        pytest.param(H1, NOW, NOW + 60, id="the one before"),
        pytest.param(H1, NOW + 60, None, id="the one before, too late"),
        pytest.param(H3, NOW, None, id="another's"),
        pytest.param(b"", NOW, None, id="none"),
    ],
)
def test_a_handle_counts_only_if_the_record_says_so(handle, now, until):
    assert RECORD.good_until(handle, now) == until


def test_no_handle_is_not_the_old_one_of_a_session_that_has_none():
    assert Record(WHOLE, H1, b"", NOW + 60).good_until(b"", NOW) is None


def test_an_old_handle_outlives_no_session():
    assert Record(WHOLE, H2, H1, WHOLE.expires_at + 60).good_until(H1, NOW) == WHOLE.expires_at


def test_nobody_reads_a_sealed_record():
    assert not any(canary in BOX for canary in (b"zoe@example.com", b"Mozilla", b"u1", b"forum"))
