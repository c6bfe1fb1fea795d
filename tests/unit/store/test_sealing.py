"""Who is told of records that can't be read, and by what sessions are found."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.helpers.vault import VAULT
from vestibule.core.record import Record
from vestibule.model import Identity, Session
from vestibule.store import sealing
from vestibule.store.sealing import Sealing, client_digest, digests_of, sid_digest

SESSION = Session(id="s1", host="h", created_at=1.0, seen_at=2.0, expires_at=9.0, idle_s=9.0)
RECORD = Record(SESSION, b"h" * 32)


def test_each_record_is_sealed_with_a_nonce_of_its_own():
    seals = Sealing(VAULT)
    assert len({seals.sealed(RECORD) for _ in range(20)}) == 20


def test_an_unreadable_record_is_told_of_once():
    told: list[str] = []
    seals = Sealing(VAULT, unreadable=told.append)
    for name in ("s2", "s2", "s3", "s2"):
        assert seals.opened(seals.sealed(RECORD), session_id=name, version=0, seen_at=2.0) is None
    assert seals.opened(seals.sealed(RECORD), session_id="s1", version=0, seen_at=2.0) == RECORD
    assert told == ["s2", "s3"]


def test_of_very_many_unreadable_records_not_all_are_remembered(monkeypatch):
    monkeypatch.setattr(sealing, "_TOLD_MAX", 2)
    told: list[str] = []
    seals = Sealing(VAULT, unreadable=told.append)
    for name in ("a", "b", "c", "c", "a"):
        seals.tell(name)
    assert told == ["a", "b", "c", "a"]


def identity(client: str, sid: str = "") -> Identity:
    return Identity(client=client, issuer="https://i", subject="1", sid=sid)


@pytest.mark.parametrize(
    ("identities", "clients", "digests"),
    [
        pytest.param((), (), set(), id="nothing"),
        pytest.param(
            (identity("a"),), ("a", "b"), {client_digest("a"), client_digest("b")}, id="clients, once each"
        ),
        pytest.param(
            (identity("a", "s"),), (), {client_digest("a"), sid_digest("https://i", "s")}, id="and sessions"
        ),
    ],
)
def test_a_session_is_found_by_its_clients_and_their_sessions(identities, clients, digests):
    assert digests_of(replace(SESSION, identities=identities, clients=clients)) == digests


def test_no_two_kinds_of_words_have_one_digest():
    assert len({client_digest("sid"), client_digest("sid\0a"), sid_digest("", "a"), sid_digest("a", "")}) == 4
