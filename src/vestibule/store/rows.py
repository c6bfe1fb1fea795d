"""Sessions, grants and signing keys as rows, the same in every SQL store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from vestibule.errors import StoreError
from vestibule.model import Device, Identity, Session
from vestibule.store.base import SealedGrant, SigningKeyRow

SIGNING_KEYS: Final = "SELECT number, id, sealed, created_at, signs_at FROM signing_keys ORDER BY number"


class _Data(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a session no query asks for; JSON, so that a person can read it.

    Fields may be added, never reused.
    """

    host: str
    identities: tuple[Identity, ...] = ()
    clients: tuple[str, ...] = ()
    device: Device = Device()
    signed_in_at: float = 0.0
    check_at: float = 0.0


_decode: Final = msgspec.json.Decoder(_Data).decode


def columns(session: Session) -> tuple[str | float | bytes, ...]:
    """The columns id, user_id, parent_id, created_at, seen_at, expires_at, idle_s, version, data."""
    data = _Data(
        host=session.host,
        identities=session.identities,
        clients=session.clients,
        device=session.device,
        signed_in_at=session.signed_in_at,
        check_at=session.check_at,
    )
    return (
        session.id,
        session.user_id,
        session.parent_id,
        session.created_at,
        session.seen_at,
        session.expires_at,
        session.idle_s,
        session.version,
        msgspec.json.encode(data),
    )


def created(session: Session, handle_hash: bytes) -> tuple[str | float | bytes, ...]:
    """`columns`, ends_at, handle."""
    return (*columns(session), min(session.expires_at, session.seen_at + session.idle_s), handle_hash)


def saved(session: Session, expect_version: int) -> tuple[str | float | bytes, ...]:
    """id, the expected version, then user_id, parent_id, created_at, seen_at, expires_at, idle_s, data."""
    session_id, user_id, parent_id, created_at, seen_at, expires_at, idle_s, _, data = columns(session)
    return session_id, expect_version, user_id, parent_id, created_at, seen_at, expires_at, idle_s, data


def mention_of(client: str) -> bytes:
    """What stands in the data of every session that has to do with this client, and perhaps in others'."""
    return msgspec.json.encode(client)


def involves(raw_data: bytes, client: str) -> bool:
    """True for the data of a session with an identity or credentials of this client."""
    try:
        data = _decode(raw_data)
    except msgspec.DecodeError:
        return False
    return client in data.clients or any(identity.client == client for identity in data.identities)


def session_of(row: Sequence[Any]) -> Session:
    """The session of a row that begins as `columns` does. Raises StoreError when it can't be read."""
    session_id, user_id, parent_id, created_at, seen_at, expires_at, idle_s, version, raw_data = row[:9]
    try:
        data = _decode(raw_data)
    except msgspec.DecodeError as exc:
        raise StoreError("The store is broken.", detail=f"session {session_id}: {exc}") from exc
    return Session(
        id=session_id,
        host=data.host,
        created_at=created_at,
        seen_at=seen_at,
        expires_at=expires_at,
        idle_s=idle_s,
        user_id=user_id,
        identities=data.identities,
        clients=data.clients,
        device=data.device,
        version=version,
        parent_id=parent_id,
        signed_in_at=data.signed_in_at,
        check_at=data.check_at,
    )


def grant_of(row: Sequence[Any]) -> SealedGrant:
    """The grant of a row owner, client, version, sealed, expires_at."""
    owner, client, version, sealed, expires_at = row
    return SealedGrant(owner=owner, client=client, version=version, sealed=sealed, expires_at=expires_at)


def signing_key_of(row: Sequence[Any]) -> SigningKeyRow:
    """The key of a row of `SIGNING_KEYS`."""
    number, key_id, sealed, created_at, signs_at = row
    return SigningKeyRow(
        number=number, id=key_id, sealed=bytes(sealed), created_at=created_at, signs_at=signs_at
    )
