"""Signed tokens of the issuers a host names (RFC 9068, RFC 6750): verified here, with the issuer's keys."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace

from vestibule.core import claim
from vestibule.core.credential import Issuer
from vestibule.core.person import verified_email
from vestibule.core.route import Host
from vestibule.errors import CredentialRefused, ProviderError, ProviderInvalid
from vestibule.model import Caller, Identity
from vestibule.observe import clock
from vestibule.protocol.access_token import Expected, auth_time_of, expiry_of, issuer_of, scopes_of, verify
from vestibule.protocol.authorization import bearer_of
from vestibule.protocol.jose import TokenError, key_id_of
from vestibule.protocol.oidc import keys_url
from vestibule.providers.kit import Discovery, Driver, Flow, Keys
from vestibule.service.proof import Proofs

#: what a token that names no key may be refused by while the keys known here are old ones
_OF_OLD_KEYS = frozenset({"key", "kid", "signature"})


class Signed:
    """Judges JWTs by the issuer they name, which is read unverified to choose who verifies."""

    def __init__(self, proofs: Proofs, driver: Driver, *, now: Callable[[], float] = clock.now) -> None:
        self._proofs = proofs
        self._driver = driver
        self._now = now

    def takes(self, host: Host, authorization: bytes) -> bool:
        """True for a JWT of an issuer of this host; another's is the backend's."""
        if not host.accepts.issuers:
            return False
        return self._proofs.peek(host, authorization) is not None or bool(_verifiers(host, authorization))

    def peek(self, host: Host, authorization: bytes) -> Caller | None:
        """Whose it is, where that is known already."""
        return self._proofs.peek(host, authorization)

    async def load(self, host: Host, authorization: bytes, _address: str, _now: float) -> Caller:
        """Whose it is. Raises CredentialRefused, UserDisabled, StoreError, ProviderError."""
        verifiers = _verifiers(host, authorization)
        if not verifiers:
            raise refused("it is nobody's token here")
        prove = partial(self._prove, verifiers, bearer_of(authorization))
        return await self._proofs.load(host, authorization, prove)

    async def _prove(self, verifiers: tuple[Issuer, ...], raw: str) -> Caller:
        """Who comes with it, by each that takes it; where none does, the first one's reason."""
        found: list[Caller] = []
        errors: list[CredentialRefused | ProviderError] = []
        for issuer in verifiers:
            try:
                found.append(await self._proven(issuer, raw))
            except (CredentialRefused, ProviderError) as error:
                errors.append(error)
        if not found:
            raise errors[0]
        identities = tuple(identity for caller in found for identity in caller.identities)
        return replace(found[0], identities=identities)

    async def _proven(self, issuer: Issuer, raw: str) -> Caller:
        try:
            claims = await self._driver.run(verified(issuer, raw, self._now()))
        except TokenError as error:
            raise refused(str(error), code=error.code, issuer=issuer.name) from None
        return caller_of(issuer, raw, claims, kind="jwt")


def _verifiers(host: Host, authorization: bytes) -> tuple[Issuer, ...]:
    token = bearer_of(authorization)
    url = issuer_of(token) if token else None
    return host.accepts.verifiers(url) if url is not None else ()


def verified(issuer: Issuer, raw: str, now: float) -> Flow[dict[str, Any]]:
    """The claims of the token, all checked. A token that names no key gets one more try with keys fetched anew.

    Raises TokenError, ProviderError.
    """
    expected = Expected(issuer=issuer.url, audience=issuer.audience, now=now)
    url, via = issuer.jwks_url, ""
    if not url:
        metadata = yield Discovery(issuer.url)
        url, via = keys_url(metadata, issuer.url), issuer.url
    kid = key_id_of(raw)
    keys = yield Keys(url, kid, via)
    try:
        return verify(raw, keys, expected, algorithms=issuer.algorithms)
    except TokenError as error:
        if kid is not None or error.code not in _OF_OLD_KEYS:
            raise
    keys = yield Keys(url, "", via)
    return verify(raw, keys, expected, algorithms=issuer.algorithms)


def caller_of(issuer: Issuer, raw: str, claims: Mapping[str, Any], *, kind: str) -> Caller:
    """Who comes with this token, by its checked claims. Raises CredentialRefused for groups that can't be read."""
    return Caller(
        id=hashlib.sha256(raw.encode("ascii")).hexdigest()[:16],
        kind=kind,
        identities=(_identity(issuer, claims),),
        scopes=scopes_of(claims),
        expires_at=expiry_of(claims),
        signed_in_at=auth_time_of(claims),
    )


def _identity(issuer: Issuer, claims: Mapping[str, Any]) -> Identity:
    mapping = issuer.claims
    email = verified_email(
        claim.at(claims, mapping.get("email", "")),
        claim.at(claims, mapping.get("email_verified", "")),
        email_domains=issuer.email_domains,
    )
    try:
        return claim.identity_of(
            claims,
            mapping,
            client=issuer.name,
            # Whoever signs for anybody is believed about their own people only.
            issuer=issuer.url or issuer.jwks_url,
            subject=_subject(claims, mapping),
            email=email,
        )
    except ProviderInvalid as error:
        raise refused(error.detail, code=error.code, issuer=issuer.name) from None


def _subject(claims: Mapping[str, Any], mapping: Mapping[str, str]) -> str:
    """Whose it is; of a token that is no person's, the client's.

    Threat: a client that registers under the name of somebody's account (RFC 9068 section 5).
    """
    if path := mapping.get("subject", ""):
        return claim.subject_of(claims, path)
    return str(claims["sub"]) if "sub" in claims else f"client:{claims['client_id']}"


def refused(why: str, *, code: str = "", issuer: str = "") -> CredentialRefused:
    """The refusal of a token. What is told is whether it has expired; the log gets the rest."""
    told = why if code == "expired" else "it is not good here"
    detail = " ".join(part for part in (issuer and f"{issuer}:", code and f"{code}:", why) if part)
    return CredentialRefused(told, detail=detail)
