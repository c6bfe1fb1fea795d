"""Signed assertions of who asks, and the keys they are signed with: kept sealed in the store, read by every process.

`core.assertion` says what stands in a token and which key signs when. Where no host wants assertions, no key is made.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from vestibule.core import assertion
from vestibule.core.assertion import Said, said_in
from vestibule.core.known import Known, known_of
from vestibule.core.recent import Recent
from vestibule.core.route import Host
from vestibule.core.seal import NONCE_BYTES, KeyRing
from vestibule.errors import StoreError
from vestibule.model import Caller, Secret, Session
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.protocol import base64url, jose
from vestibule.protocol.jose import SigningKey
from vestibule.store import base

LOOK_EVERY_S: Final = 10.0
"""How often a process reads the keys anew. They are published long before they are used."""
ROTATE_EVERY_S: Final = 600.0
"""How often it is seen to that there is a key, and a new one in time."""
KEPT_MAX: Final = 10_000
_PURPOSE: Final = "signing-key"
_SESSION: Final = "assertion-session"


def is_wanted(host: Host) -> bool:
    """True where some route of the host tells its backend what is signed."""
    return any(
        route.telling.assertion or "pomerium" in route.telling.families for route in host.routes.values()
    )


class _Opened(msgspec.Struct, frozen=True):
    """A key that can be used."""

    number: int
    signs_at: float
    key: SigningKey


class Assertions:
    """Signs who asks, by the keys of the store."""

    def __init__(
        self,
        keys: base.SigningKeys,
        ring: KeyRing,
        log: Log,
        *,
        are_wanted: bool,
        now: Callable[[], float] = clock.now,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`are_wanted`: some host signs, so there must be a key."""
        self._keys = keys
        self._ring = ring
        self._log = log.of("credentials")
        self._are_wanted = are_wanted
        self._now = now
        self._random = random
        self._opened: tuple[_Opened, ...] = ()
        self._unopened: frozenset[str] = frozenset()
        self._last = 0
        self._kept: Recent[tuple[str, ...], tuple[Known, float, str]] = Recent(KEPT_MAX)
        self._turn = asyncio.Lock()
        self.key_set = _key_set(())
        """The public keys, as `/@/jwks.json` has them."""

    # -- to sign ------------------------------------------------------------------------------

    def own(
        self,
        who: Session | Caller,
        host: Host,
        issuer: str,
        now: float,
        *,
        scopes: frozenset[str] | None = None,
    ) -> tuple[str, float]:
        """A `Proxy-Assertion` for the backend of *host*, and until when it may be sent; `issuer` is a base URL.

        `scopes`: of the access token by which a session came. The same one for a minute, while the same is known of
        who asks: a signature costs 45 µs. Raises StoreError while there is no key.
        """
        of = None if scopes is None else sorted(scopes)

        def claims(known: Known, session: str) -> dict[str, Any]:
            name = host.name.decode("ascii")
            return assertion.claims_of(known, issuer=issuer, host=name, session=session, now=now, scopes=of)

        return self._signed(("own", issuer, *([] if of is None else ["scopes", *of])), who, host, now, claims)

    def pomerium(self, who: Session | Caller, host: Host, now: float) -> tuple[str, float]:
        """An `X-Pomerium-Jwt-Assertion`, likewise."""

        def claims(known: Known, session: str) -> dict[str, Any]:
            name, token_id = host.name.decode("ascii"), self._random(16).hex()
            return assertion.pomerium_claims_of(known, host=name, session=session, now=now, token_id=token_id)

        return self._signed(("pomerium", ""), who, host, now, claims)

    def _signed(
        self,
        shape: tuple[str, ...],
        who: Session | Caller,
        host: Host,
        now: float,
        claims: Callable[[Known, str], dict[str, Any]],
    ) -> tuple[str, float]:
        name = host.name.decode("ascii")
        known = known_of(who, host)
        if not known:
            return "", now + assertion.REUSE_S
        current = assertion.signing(self._opened, now)
        if current is None:
            raise StoreError("There is no key to sign with yet.", detail="no signing key")
        place = (*shape, type(who).__name__, who.id, name, current.key.kid)
        kept = self._kept.get(place)
        if kept is not None and kept[0] == known and now < kept[1]:
            return kept[2], kept[1]
        # A session's own id never leaves.
        session = self.session_name(who.id, name) if isinstance(who, Session) else ""
        token = current.key.sign(claims(known, session), kind=assertion.TYPE).reveal()
        until = now + assertion.REUSE_S
        self._kept.put(place, (known, until, token))
        return token, until

    # -- to read ------------------------------------------------------------------------------

    def read(self, text: str, issuer: str, now: float) -> Said | None:
        """What a `Proxy-Assertion` of this issuer's says of a session; None for anything else.

        Does NOT look at the session. Threat: a token of another kind that the same keys have signed (`typ`, RFC 8725
        section 3.11), and one by a key that isn't published any more.
        """
        try:
            found = jose.verify(text, [one.key.public_jwk() for one in self._opened], algorithms=("ES256",))
        except jose.TokenError:
            return None
        return (
            said_in(found.claims, issuer=issuer, now=now)
            if found.header.get("typ") == assertion.TYPE
            else None
        )

    def session_name(self, session_id: str, host: str) -> str:
        """What the backend of this host knows the session by (`sid`): no key to it, and another at each host."""
        return base64url.encode(self._ring.mac(_SESSION, f"{host}\0{session_id}".encode())[:16])

    # -- the keys -----------------------------------------------------------------------------

    async def begin(self) -> None:
        """Read the keys, and make the first if one is wanted. Raises StoreError."""
        if self._are_wanted:
            await self.rotate()
        else:
            await self.look()

    async def look(self, _now: float = 0.0, _fence: int = 0) -> None:
        """Read the keys anew: a job of each process. Raises StoreError."""
        async with self._turn:
            rows = await self._keys.all()
            self._last = max((row.number for row in rows), default=0)
            known = {one.key.kid: one for one in self._opened}
            opened = tuple(
                found for row in rows if (found := known.get(row.id) or self._open(row)) is not None
            )
            unopened = frozenset(row.id for row in rows) - {one.key.kid for one in opened}
            for key_id in sorted(unopened - self._unopened):
                self._log.warning(
                    "signing_key_unreadable", key=key_id, detail="it was sealed with another key"
                )
            self._unopened = unopened
            if opened != self._opened:
                self._opened = opened
                self.key_set = _key_set(opened)

    async def rotate(self, _now: float = 0.0, _fence: int = 0) -> None:
        """Make a new key when one is due, and drop those that nothing is signed with any more. Raises StoreError.

        Of several processes that find one due at once, one makes it: its number is free only once.
        """
        if not self._are_wanted:
            return
        await self.look()
        now = self._now()
        signs_at = assertion.next_signs_at(self._opened, now)
        if signs_at is not None:
            await self._add(self._last + 1, now, signs_at)
            await self.look()
        for gone in assertion.outlived(self._opened, now):
            await self._keys.delete(gone.number)
            await self.look()

    async def _add(self, number: int, now: float, signs_at: float) -> None:
        key_id, nonce = self._random(8).hex(), self._random(NONCE_BYTES)
        sealed = self._ring.seal(_PURPOSE, _new_key(), aad=_bound(number, key_id), nonce=nonce)
        row = base.SigningKeyRow(number=number, id=key_id, sealed=sealed, created_at=now, signs_at=signs_at)
        if await self._keys.add(row):
            self._log.info("signing_key_made", key=key_id)

    def _open(self, row: base.SigningKeyRow) -> _Opened | None:
        plain = self._ring.open(_PURPOSE, row.sealed, aad=_bound(row.number, row.id))
        if plain is None:
            return None
        key = SigningKey.load(Secret(plain.decode("ascii")), algorithm="ES256", kid=row.id)
        return _Opened(row.number, row.signs_at, key)


def _bound(number: int, key_id: str) -> bytes:
    return f"{number}/{key_id}".encode()


def _new_key() -> bytes:
    private = ec.generate_private_key(ec.SECP256R1())
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _key_set(opened: tuple[_Opened, ...]) -> bytes:
    return msgspec.json.encode({"keys": [one.key.public_jwk() for one in opened]})
