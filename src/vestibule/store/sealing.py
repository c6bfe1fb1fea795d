"""Session records of a store: sealed with fresh nonces, opened, and told of, once each, where they can't be."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Final

from vestibule.core.record import Record, Vault
from vestibule.core.seal import NONCE_BYTES
from vestibule.model import Session

_TOLD_MAX: Final = 10_000
_DIGEST_BYTES: Final = 16


def untold(_session_id: str) -> None:
    """Tell nobody."""


class Sealing:
    """A vault, with what it needs from outside."""

    __slots__ = ("_random", "_told", "_unreadable", "_vault")

    def __init__(
        self,
        vault: Vault,
        *,
        unreadable: Callable[[str], None] = untold,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`unreadable` is called with the id of a session whose record can't be opened or was altered."""
        self._vault = vault
        self._unreadable = unreadable
        self._random = random
        self._told: set[str] = set()

    def sealed(self, record: Record) -> bytes:
        """The record as it is stored."""
        return self._vault.sealed(record, nonce=self._random(NONCE_BYTES))

    def opened(self, sealed: bytes, *, session_id: str, version: int, seen_at: float) -> Record | None:
        """The record that was sealed for this id and version; None, and told, for anything else."""
        record = self._vault.opened(sealed, session_id=session_id, version=version, seen_at=seen_at)
        if record is None:
            self.tell(session_id)
        return record

    def tell(self, session_id: str) -> None:
        """Tell of a record that is not what it should be; once, as long as there are not thousands."""
        if session_id in self._told:
            return
        if len(self._told) >= _TOLD_MAX:
            self._told.clear()
        self._told.add(session_id)
        self._unreadable(session_id)


def digests_of(session: Session) -> frozenset[bytes]:
    """What a session is found by, beside its handle and user: `client_digest` and `sid_digest` of all it has."""
    clients = {*session.clients, *(identity.client for identity in session.identities)}
    by_client = map(client_digest, clients)
    by_sid = (sid_digest(identity.issuer, identity.sid) for identity in session.identities if identity.sid)
    return frozenset((*by_client, *by_sid))


def client_digest(client: str) -> bytes:
    """What all sessions with an identity or credentials of this client have in common."""
    return _digest("client", client)


def sid_digest(issuer: str, sid: str) -> bytes:
    """What all sessions of this session at the provider have in common."""
    return _digest("sid", issuer, sid)


def host_digest(host: str) -> bytes:
    """What all sessions that are good for this host have in common."""
    return _digest("host", host)


def is_of(session: Session, issuer: str, sid: str) -> bool:
    """True when one of its identities is of this session at the provider."""
    return any(identity.issuer == issuer and identity.sid == sid for identity in session.identities)


def _digest(*words: str) -> bytes:
    """A short name for these words; that it is a digest keeps issuers' names out of a copied database."""
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).digest()[:_DIGEST_BYTES]
