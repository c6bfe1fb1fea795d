"""Who is signed in to the admin pages: the owner of the socket, whoever typed an admin token, whom the gateway let in.

An admin token is sealed into a cookie that is good for twelve hours at this listener alone; it is looked up at each
request, so that one that was revoked is out at once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec.structs import replace
from starlette.types import ASGIApp

from vestibule.core.seal import NONCE_BYTES, KeyRing
from vestibule.errors import ClientError
from vestibule.protocol import base64url, cookie
from vestibule.service.admin import AdminTokens
from vestibule.web.admin.api import Api
from vestibule.web.admin.asking import Ask, Guest, encoded
from vestibule.web.api.office import SOCKET, Actor
from vestibule.web.pages import person_of

LIFE_S: Final = 12 * 3600
ENDED_MAX: Final = 1000
"""Cookies that are known to be ended; of more the latest."""
_COOKIE: Final = "admin cookie"
_FORM: Final = "admin form"
_FLASH: Final = "admin flash"
FLASH_S: Final = 60
FLASH_MAX_CHARS: Final = 600


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed into the cookie."""

    bearer: str
    signed_in_at: float


class Door:
    """Lets people in, and knows what they may be shown and sent."""

    def __init__(
        self,
        api: ASGIApp,
        tokens: AdminTokens,
        ring: KeyRing,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._api = api
        self._tokens = tokens
        self._ring = ring
        self._random = random
        self._ended: dict[bytes, float] = {}

    async def entered(self, ask: Ask) -> Ask:
        """The request with who is signed in, if anybody is. Raises ClientError 429, StoreError."""
        guest = await self.guest(ask)
        binding = guest.binding if guest is not None else b"nobody"
        token = encoded(self._ring.mac(_FORM, binding))
        calls = Api(self._api, guest.actor, ask.asker) if guest is not None else None
        return replace(ask, guest=guest, calls=calls, form_token=token)

    async def guest(self, ask: Ask) -> Guest | None:
        """Who is signed in now; None: nobody."""
        if ask.visit is not None:
            return _person(ask)
        if ask.asker.is_owner:
            return Guest(actor=SOCKET, way="socket", name="the owner of admin.sock", binding=b"socket")
        kept = self._opened(ask)
        if kept is None:
            return None
        try:
            token = await self._tokens.check(kept.bearer, ask.asker.address, ask.now)
        except ClientError as error:
            if error.status == 401:
                return None
            raise
        value = ask.cookies[self._name(ask)]
        binding = b"token " + hashlib.sha256(value.encode("latin-1")).digest()
        return Guest(
            actor=Actor(f"token {token.name}", token),
            way="token",
            name=f"token {token.name}",
            binding=binding,
        )

    def check_form(self, ask: Ask) -> None:
        """Raise ClientError unless a form that this very person was shown was sent.

        Threat: a page of another site that has got past the check of Origin, and a form kept from another sign-in.
        """
        sent = base64url.decode(ask.form.get("form_token", ""))
        binding = ask.guest.binding if ask.guest is not None else b"nobody"
        if sent is None or not self._ring.check_mac(_FORM, binding, sent):
            raise ClientError(
                "this form is no longer good: load the page again", code="form_expired", status=403
            )

    # -- signing in by a token -------------------------------------------------------------------

    async def sign_in(self, ask: Ask, bearer: str) -> str:
        """Set-Cookie for who has this token. Raises ClientError 401, 429, StoreError."""
        await self._tokens.check(bearer, ask.asker.address, ask.now)
        plain = msgspec.msgpack.encode(_Kept(bearer, ask.now))
        sealed = self._ring.seal(_COOKIE, plain, aad=_aad(ask), nonce=self._random(NONCE_BYTES))
        return cookie.build(
            self._name(ask),
            base64url.encode(sealed),
            secure=ask.secure,
            max_age_s=LIFE_S,
            same_site="Strict",
        )

    def signed_out(self, ask: Ask) -> str:
        """Set-Cookie that takes the token back; what was in the cookie is no longer good in this process.

        Threat: browsers send it to every port of this name, so others may have kept it.
        """
        kept = self._opened(ask)
        if kept is not None:
            left = [(one, until) for one, until in self._ended.items() if until > ask.now]
            self._ended = {**dict(left[-ENDED_MAX:]), self._mark(ask): kept.signed_in_at + LIFE_S}
        return cookie.clear(self._name(ask), secure=ask.secure)

    def has_cookie(self, ask: Ask) -> bool:
        """True where a token's cookie came, good or not."""
        return self._name(ask) in ask.cookies

    def _opened(self, ask: Ask) -> _Kept | None:
        sealed = base64url.decode(ask.cookies.get(self._name(ask), ""))
        plain = self._ring.open(_COOKIE, sealed, aad=_aad(ask)) if sealed else None
        if plain is None or self._mark(ask) in self._ended:
            return None
        kept = msgspec.msgpack.decode(plain, type=_Kept)
        return kept if kept.signed_in_at <= ask.now < kept.signed_in_at + LIFE_S else None

    def _mark(self, ask: Ask) -> bytes:
        """Of what is sealed, however it is written."""
        return hashlib.sha256(base64url.decode(ask.cookies.get(self._name(ask), "")) or b"").digest()

    @staticmethod
    def _name(ask: Ask) -> str:
        """Ports of one host share their cookies, so the port stands in the name."""
        return f"{COOKIE_PREFIX}{ask.port}"

    # -- what is said once -----------------------------------------------------------------------

    def flash(self, ask: Ask, text: str) -> str:
        """Set-Cookie by which the next page says this; nobody else can have it say something."""
        plain = text[:FLASH_MAX_CHARS].encode("utf-8")
        sealed = self._ring.seal(_FLASH, plain, aad=_aad(ask), nonce=self._random(NONCE_BYTES))
        return cookie.build(
            _flash_name(ask),
            base64url.encode(sealed),
            secure=ask.secure,
            max_age_s=FLASH_S,
            same_site="Strict",
        )

    def flashed(self, ask: Ask) -> tuple[str, str]:
        """What the page before wanted to be said, and Set-Cookie that forgets it; empty both for nothing."""
        value = ask.cookies.get(_flash_name(ask), "")
        if not value:
            return "", ""
        sealed = base64url.decode(value)
        plain = self._ring.open(_FLASH, sealed, aad=_aad(ask)) if sealed else None
        said = plain.decode("utf-8") if plain is not None else ""
        return said, cookie.clear(_flash_name(ask), secure=ask.secure)


COOKIE_PREFIX: Final = "vestibule-admin-"


def _flash_name(ask: Ask) -> str:
    return f"vestibule-said-{ask.port}"


def _aad(ask: Ask) -> bytes:
    return b"%d" % ask.port


def _person(ask: Ask) -> Guest | None:
    """Whom the gateway's rules let in. Somebody without an account is nobody here, whatever the rules say."""
    session = ask.visit.session if ask.visit is not None else None
    if session is None or not session.user_id:
        return None
    return Guest(
        actor=Actor(f"user {session.user_id}"),
        way="person",
        name=person_of(session),
        binding=b"session " + session.id.encode("ascii"),
    )
