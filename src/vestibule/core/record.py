"""A session as a store keeps it: one sealed box, bound to the session's permanent id and its version.

The box holds everything but when the session was last seen, which is written too often to seal it anew each time.
Stores may write some of it beside the box, for their queries; what counts is what the box says.
"""

from __future__ import annotations

import hmac
from typing import Any, Final

import msgspec

from vestibule.core.seal import KeyRing
from vestibule.model import Device, Identity, Session

_PURPOSE: Final = "session"
_NO_HANDLE: Final = b""


class Record(msgspec.Struct, frozen=True):
    """A session with the SHA-256 of its handles."""

    session: Session
    handle: bytes
    old_handle: bytes = _NO_HANDLE
    """The handle before the last renewal; empty when there was none."""
    old_until: float = 0.0
    """Until when that one is honoured."""

    def good_until(self, handle: bytes, now: float) -> float | None:
        """Until when this handle is honoured: the session's absolute end, or earlier for the old one; None: it isn't.

        Threat: a handle's hash put into the row of somebody else's session.
        """
        if hmac.compare_digest(handle, self.handle):
            return self.session.expires_at
        if self.old_handle and now < self.old_until and hmac.compare_digest(handle, self.old_handle):
            return min(self.old_until, self.session.expires_at)
        return None


class Vault:
    """Seals records with a key ring, and opens them."""

    __slots__ = ("_ring",)

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def sealed(self, record: Record, *, nonce: bytes) -> bytes:
        """The record as it is stored; `nonce`: 12 fresh random bytes. Not in it: id, version, `seen_at`."""
        session = record.session
        box = _Box(
            host=session.host,
            user_id=session.user_id,
            parent_id=session.parent_id,
            created_at=session.created_at,
            expires_at=session.expires_at,
            idle_s=session.idle_s,
            handle=record.handle,
            old_handle=record.old_handle,
            old_until=record.old_until,
            identities=session.identities,
            clients=session.clients,
            device=session.device,
            signed_in_at=session.signed_in_at,
            check_at=session.check_at,
            attributes=session.attributes,
            is_remembered=session.is_remembered,
            made_by=session.made_by,
            app=session.app,
            scopes=session.scopes,
            rotation=session.rotation,
            rotated_at=session.rotated_at,
        )
        plain = msgspec.json.encode(_without_defaults(box))
        return self._ring.seal(_PURPOSE, plain, aad=_place(session.id, session.version), nonce=nonce)

    def opened(self, sealed: bytes, *, session_id: str, version: int, seen_at: float) -> Record | None:
        """The record that was sealed for this id and version; None for anything else.

        `seen_at` is what the store says: nobody vouches for it, so give the earlier of it and now.
        Threat: rows altered, moved, mixed or made by who can write to the store; a store copied without its keys.
        Does not notice a whole row put back as it was earlier, with the version it had then: who brings back a
        session that way brings back one that was good once.
        """
        plain = self._ring.open(_PURPOSE, sealed, aad=_place(session_id, version))
        if plain is None:
            return None
        try:
            box = _decode(plain)
        except msgspec.DecodeError:  # of another version of this program
            return None
        session = Session(
            id=session_id,
            version=version,
            seen_at=seen_at,
            host=box.host,
            user_id=box.user_id,
            parent_id=box.parent_id,
            created_at=box.created_at,
            expires_at=box.expires_at,
            idle_s=box.idle_s,
            identities=box.identities,
            clients=box.clients,
            device=box.device,
            signed_in_at=box.signed_in_at,
            check_at=box.check_at,
            attributes=box.attributes,
            is_remembered=box.is_remembered,
            made_by=box.made_by,
            app=box.app,
            scopes=box.scopes,
            rotation=box.rotation,
            rotated_at=box.rotated_at,
        )
        return Record(session, box.handle, box.old_handle, box.old_until)


class _Box(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What is sealed: JSON, since claims hold numbers of any size. Fields are added at the end, and never reused."""

    host: str
    user_id: str
    parent_id: str
    created_at: float
    expires_at: float
    idle_s: float
    handle: bytes
    old_handle: bytes
    old_until: float
    identities: tuple[Identity, ...] = ()
    clients: tuple[str, ...] = ()
    device: Device = Device()
    signed_in_at: float = 0.0
    check_at: float = 0.0
    attributes: dict[str, Any] = {}
    is_remembered: bool = False
    made_by: str = ""
    app: str = ""
    scopes: tuple[str, ...] = ()
    rotation: int = 0
    rotated_at: float = 0.0


_decode: Final = msgspec.json.Decoder(_Box).decode


def _without_defaults(box: _Box) -> list[Any]:
    """The box as a list, in which people and device are maps of what is known of them: most fields are empty."""
    values: list[Any] = list(msgspec.structs.astuple(box))
    values[_IDENTITIES] = [_known(identity) for identity in box.identities]
    values[_DEVICE] = _known(box.device)
    return values


def _known(value: msgspec.Struct) -> dict[str, Any]:
    """Its fields that are not empty; every default of theirs is."""
    return {name: kept for name, kept in msgspec.structs.asdict(value).items() if kept}


_IDENTITIES: Final = _Box.__struct_fields__.index("identities")
_DEVICE: Final = _Box.__struct_fields__.index("device")


def _place(session_id: str, version: int) -> bytes:
    """What the box is bound to; an id holds no NUL."""
    return f"{session_id}\0{version}".encode()
