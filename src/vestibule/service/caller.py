"""Who shows a credential of their own with each request: in Authorization, instead of a browser's cookie.

What it looks like says who judges it: app tokens by their prefix, JWTs by the issuer they name, other tokens by asking
the one issuer that a host has for that, user and password by the host's file. What nobody here knows is the backend's,
and goes on to it. A credential that is somebody's to judge and is refused is refused: no cookie takes its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec.structs import replace

from vestibule.core.route import Host
from vestibule.errors import CredentialRefused
from vestibule.model import Caller, Identity
from vestibule.protocol.authorization import basic_of, scheme_of, token_in
from vestibule.service.machine_keys import LiveKeys


class Authenticator(Protocol):
    """Judges one sort of credentials."""

    def takes(self, host: Host, authorization: bytes) -> bool:
        """True where this value of Authorization is for it to judge."""

    def peek(self, host: Host, authorization: bytes) -> Caller | None:
        """Whose it is, where that is known already; None says nothing but: ask `load`."""

    async def load(self, host: Host, authorization: bytes, address: str, now: float) -> Caller:
        """Whose it is. Raises ClientError (401, 403, 429), StoreError, ProviderError."""


class Callers:
    """Judges what stands in Authorization."""

    def __init__(
        self,
        *,
        app_tokens: Authenticator | None = None,
        signed: Authenticator | None = None,
        opaque: Authenticator | None = None,
        passwords: Authenticator | None = None,
        is_known: Callable[[Identity], bool] = lambda _identity: True,
        keys: LiveKeys | None = None,
    ) -> None:
        """`is_known`: False for somebody of a password file who is no longer in it (`service.htpasswd`).

        `keys`: which keys of machines live; None: none does.
        """
        self._keys = keys
        self._named = tuple(one for one in (app_tokens, signed) if one is not None)
        """Those who know a token of theirs by its form."""
        self._bearer = tuple(one for one in (*self._named, opaque) if one is not None)
        self._passwords = passwords
        self._is_known = is_known
        self._last: tuple[Host, bytes, tuple[Authenticator, bytes] | None] | None = None

    def takes(self, host: Host, authorization: bytes) -> bool:
        """True where this value is for the gateway to judge; else it is the backend's."""
        return self._chosen(host, authorization) is not None

    def peek(self, host: Host, authorization: bytes) -> Caller | None:
        """Whose it is, if that is known already; None says nothing but: ask `load`."""
        chosen = self._chosen(host, authorization)
        if chosen is None:
            return None
        judge, shown = chosen
        caller = judge.peek(host, shown)
        return None if caller is None else self._still(caller)

    async def load(self, host: Host, authorization: bytes, address: str, now: float) -> Caller:
        """Whose it is.

        Raises CredentialRefused (401), TooManyTries (429), UserDisabled (403), StoreError, ProviderError.
        """
        chosen = self._chosen(host, authorization)
        if chosen is None:
            raise CredentialRefused("it is nobody's credential here")
        judge, shown = chosen
        return self._still(await judge.load(host, shown, address, now))

    def peek_key(self, key_id: str) -> bool | None:
        """Whether this key of a machine, or token, lives; None says nothing but: ask `load_key`."""
        return self._keys.peek(key_id) if self._keys is not None else False

    async def load_key(self, key_id: str, now: float) -> bool:
        """Whether it lives. Raises StoreError."""
        return self._keys is not None and await self._keys.load(key_id, now)

    def _still(self, caller: Caller) -> Caller:
        """The caller without those whom a password file no longer has.

        Threat: who was taken out of the file, and made an app token before.
        """
        for identity in caller.identities:
            if not self._is_known(identity):
                break
        else:
            return caller
        return replace(caller, identities=tuple(one for one in caller.identities if self._is_known(one)))

    def _chosen(self, host: Host, authorization: bytes) -> tuple[Authenticator, bytes] | None:
        """Who judges it, and what they are shown. Asked twice and more for each request, so the last is kept."""
        last = self._last
        if last is not None and last[0] is host and last[1] is authorization:
            return last[2]
        chosen = self._choose(host, authorization)
        self._last = (host, authorization, chosen)
        return chosen

    def _choose(self, host: Host, authorization: bytes) -> tuple[Authenticator, bytes] | None:
        scheme = scheme_of(authorization)
        if scheme == "bearer":
            return next(
                ((one, authorization) for one in self._bearer if one.takes(host, authorization)), None
            )
        if scheme != "basic":
            return None
        # A token may come as user or password, from programs that know nothing else. Only what is known for one by its
        # form is taken for one: a password must be shown to no issuer.
        basic = basic_of(authorization)
        token = token_in(basic) if basic is not None else ""
        if token:
            bearer = b"Bearer " + token.encode("ascii")
            for one in self._named:
                if one.takes(host, bearer):
                    return one, bearer
        if self._passwords is not None and self._passwords.takes(host, authorization):
            return self._passwords, authorization
        return None
