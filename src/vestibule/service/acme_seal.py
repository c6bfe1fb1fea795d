"""What is kept of ACME beside its rows' plain columns: sealed by the key ring, each bound to the key of its row."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from vestibule.core.certificate import Certificate, Source
from vestibule.core.seal import NONCE_BYTES, KeyRing, key_id_of
from vestibule.model import Secret
from vestibule.store import base_acme

_PURPOSE: Final = "acme"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account at an authority."""

    url: str
    """Empty: it was never made."""
    key_pem: Secret
    external: str = ""
    """The key ID of the account there that it is bound to."""


class Under(msgspec.Struct, frozen=True, kw_only=True):
    """An order under way."""

    directory: str
    proof: str
    key_pem: Secret
    """Of the certificate."""
    began_at: float
    url: str = ""
    """Empty: the authority was not told yet, or its answer was lost."""
    renews: bool = False


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one."""

    directory: str
    chain_pem: str
    key_pem: Secret
    names: tuple[str, ...]
    not_before_at: float
    not_after_at: float
    fingerprint: str
    issuer: str
    renewal_id: str = ""

    def certificate(self) -> Certificate:
        """As it is shown."""
        return Certificate(
            names=self.names,
            chain_pem=self.chain_pem.encode("ascii"),
            key_pem=self.key_pem,
            not_before_at=self.not_before_at,
            not_after_at=self.not_after_at,
            source=Source.ACME,
            fingerprint=self.fingerprint,
        )


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What an authority is shown."""

    text: str = ""
    """By HTTP-01; the contents of a TXT record by DNS-01."""
    chain_pem: str = ""
    key_pem: Secret = Secret("")
    """By TLS-ALPN-01."""


T = TypeVar("T", Account, Under, Issued, Shown)


def sealed(
    key: str, value: Account | Under | Issued | Shown, ring: KeyRing, random: Callable[[int], bytes]
) -> bytes:
    """The value as it is stored in the row of this key."""
    plain = msgspec.json.encode(value, enc_hook=_plain)
    return ring.seal(_PURPOSE, plain, aad=_place(key, type(value)), nonce=random(NONCE_BYTES))


def opened(key: str, box: bytes, kind: type[T], ring: KeyRing) -> T | None:
    """The value in the row of this key; None where no key of the ring opens it, or it is of another row.

    Threat: who writes the database, and would have another's certificate shown, or an account of their own used.
    """
    plain = ring.open(_PURPOSE, box, aad=_place(key, kind))
    if plain is None:
        return None
    try:
        return msgspec.json.decode(plain, type=kind, dec_hook=_hidden)
    except msgspec.DecodeError:  # a version to come has written it
        return None


async def reseal(
    accounts: base_acme.Accounts,
    certificates: base_acme.Certificates,
    ring: KeyRing,
    *,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> None:
    """Have the active key seal what an older one did, so that nothing needs that: a job. Raises StoreError.

    What is being replaced at this moment is sealed by the active key anyway. Its fence stays.
    """
    for account in await accounts.all():
        box = _resealed(account.directory, account.sealed, Account, ring, random)
        if box:
            await accounts.put(msgspec.structs.replace(account, sealed=box))
    for issued in await certificates.all():
        box = _resealed(issued.name, issued.sealed, Issued, ring, random)
        if box:
            await certificates.put(msgspec.structs.replace(issued, sealed=box))


def _resealed(key: str, box: bytes, kind: type[T], ring: KeyRing, random: Callable[[int], bytes]) -> bytes:
    """The box anew; empty where that isn't needed, or can't be done."""
    if key_id_of(box) == ring.active_id:
        return b""
    value = opened(key, box, kind, ring)
    return b"" if value is None else sealed(key, value, ring, random)


def _place(key: str, kind: type[object]) -> bytes:
    return f"{kind.__name__}\0{key}".encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError


def _hidden(kind: type[Any], value: Any) -> Any:
    if kind is Secret:
        return Secret(value)
    raise NotImplementedError
