"""Opaque tokens: their issuer is asked about each (RFC 7662), and what it said of one holds for a minute.

The token is shown to that issuer and nobody else. Who sends token after token that is none waits: each costs the issuer
a request in this gateway's name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from vestibule.core.credential import Issuer
from vestibule.core.limit import Limit
from vestibule.core.lockout import network_of
from vestibule.core.recent import Recent
from vestibule.core.route import Host
from vestibule.errors import CredentialRefused, ProviderInvalid, TooManyTries
from vestibule.model import Caller, Secret
from vestibule.observe import clock
from vestibule.protocol import oauth2 as wire
from vestibule.protocol.access_token import Expected, check_introspected, issuer_of
from vestibule.protocol.authorization import bearer_of
from vestibule.protocol.jose import TokenError
from vestibule.providers.kit import Driver, Flow, PostForm, Reply
from vestibule.service.bearer import caller_of, refused
from vestibule.service.proof import Proofs

NONE_S: Final = 10.0
"""How long a token that was none is taken for none unasked."""
NONES_MAX: Final = 60
"""Tokens that are none which one address may send in a window."""
WINDOW_S: Final = 60.0
_OUR_PREFIX: Final = "vst_"
"""Of this gateway's own tokens, which are nobody else's to see."""
_KEYS_MAX: Final = 10_000


class Opaque:
    """Judges tokens by what their issuer says of them."""

    def __init__(self, proofs: Proofs, driver: Driver, *, now: Callable[[], float] = clock.now) -> None:
        self._proofs = proofs
        self._driver = driver
        self._now = now
        self._nones: Recent[bytes, float] = Recent(_KEYS_MAX)
        self._tries = Limit(NONES_MAX, WINDOW_S, keys=_KEYS_MAX)

    def takes(self, host: Host, authorization: bytes) -> bool:
        """True for a Bearer token that says nothing of itself, where the host has somebody to ask; else another's."""
        issuer = host.accepts.introspecting
        token = bearer_of(authorization) if issuer is not None else ""
        if issuer is None or not token or token.startswith(_OUR_PREFIX):
            return False
        url = issuer_of(token)
        return url is None or (url == issuer.url and not issuer.verifies)

    def peek(self, host: Host, authorization: bytes) -> Caller | None:
        """Whose it is, where that is known already."""
        return self._proofs.peek(host, authorization)

    async def load(self, host: Host, authorization: bytes, address: str, now: float) -> Caller:
        """Whose it is. Raises CredentialRefused, TooManyTries, UserDisabled, StoreError, ProviderError."""
        issuer = host.accepts.introspecting
        if issuer is None:
            raise refused("it is nobody's token here")
        key = self._proofs.key(host, authorization)
        if now < self._nones.get(key, 0.0):
            raise refused("it is not active", issuer=issuer.name)
        place = network_of(address)
        if self._proofs.peek(host, authorization) is None and (wait_s := self._tries.wait_s(place, now)):
            raise TooManyTries(wait_s=wait_s, detail="tokens that are none")
        self._tries.add(place, now)  # at once: many at a time are many tries
        prove = partial(self._prove, issuer, bearer_of(authorization))
        is_none = False
        try:
            return await self._proofs.load(host, authorization, prove)
        except CredentialRefused:
            is_none = True
            self._note(key, now)
            raise
        finally:
            if not is_none:
                self._tries.take_back(place)

    async def _prove(self, issuer: Issuer, raw: str) -> Caller:
        now = self._now()
        document = await self._driver.run(introspected(issuer, Secret(raw)))
        expected = Expected(issuer=issuer.url, audience=issuer.audience, now=now)
        try:
            claims = check_introspected(document, expected)
        except TokenError as error:
            raise refused(str(error), code=error.code, issuer=issuer.name) from None
        if claims is None:
            raise refused("it is not active", issuer=issuer.name)
        return caller_of(issuer, raw, claims, kind="introspection")

    def _note(self, key: bytes, now: float) -> None:
        self._nones.put(key, now + NONE_S)


def introspected(issuer: Issuer, token: Secret) -> Flow[dict[str, Any]]:
    """What the issuer says of the token. Raises ProviderError. Spec: RFC 7662 section 2."""
    form, basic = wire.authenticated(
        (("token", token.reveal()), ("token_type_hint", "access_token")),
        method=issuer.client_auth,
        client_id=issuer.client_id,
        client_secret=issuer.client_secret,
    )
    reply: Reply = yield PostForm(url=issuer.introspection_url, form=form, basic=basic)
    if reply.status == 400:
        return {"active": False}  # what it asks nobody about, as oidc-provider does with JWTs
    if reply.status != 200:
        # A 401 is about this gateway's own credentials (section 2.3), and says nothing of the token.
        raise ProviderInvalid(
            "the issuer doesn't say whether the token is good",
            detail=f"{issuer.name}: {reply.status} from {issuer.introspection_url}",
            code="introspection_refused",
        )
    document = reply.json
    if not isinstance(document, dict):
        raise ProviderInvalid(
            "the issuer doesn't say whether the token is good",
            detail=f"{issuer.name}: no object from {issuer.introspection_url}",
            code="answer_shape",
        )
    return document
