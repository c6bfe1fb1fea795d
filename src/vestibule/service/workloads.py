"""Machines with a token of their platform's: whose workload one is, by a signature and claims (RFC 7523)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from vestibule.core.claim import at, entries_of
from vestibule.core.machine import Machine, Proven
from vestibule.errors import ProviderError
from vestibule.protocol.authorization_server import OAuthError
from vestibule.protocol.jose import TokenError, Verified, key_id_of, unverified, verify
from vestibule.protocol.oidc import keys_url
from vestibule.protocol.workload_token import SKEW_S, Expected, check, expiry_of
from vestibule.providers.kit import Discovery, Driver, Flow, Keys
from vestibule.service.key_files import KeyFiles
from vestibule.store import base

KINDS: Final = frozenset({"azure", "github", "gitlab", "google", "jwt", "kubernetes", "spiffe"})
_MARK: Final = "machine token"
_KEPT_S: Final = 60.0
"""How much longer what was shown is known, for nodes whose clocks differ."""
_SVID: Final = "jwt-svid"
#: what a token that names no key may be refused by while the keys known here are old ones
_OF_OLD_KEYS: Final = frozenset({"key", "kid", "signature"})
_NO_MACHINE: Final = "it is none of the machines here"


class Workloads:
    """Proves machines of `KINDS`."""

    def __init__(self, driver_by: Callable[[str], Driver], marks: base.Marks) -> None:
        """`driver_by`: what fetches keys where these authorities (PEM) alone are trusted; empty: the system's."""
        self._driver_by = driver_by
        self._marks = marks
        self._files = KeyFiles()

    async def prove(
        self,
        text: str,
        machines: Iterable[Machine],
        now: float,
        *,
        here: str,  # noqa: ARG002 - for those whose proof names the gateway in another way
    ) -> Proven:
        """Which of the machines it is: the first by name of those that match; each says its own audience.

        Raises OAuthError `invalid_grant`, `temporarily_unavailable` (503) while the keys can't be had; StoreError.
        """
        # 1. whose it says it is, unverified: that chooses who verifies it, and nothing else
        may = [one for one in machines if one.kind in KINDS and _may_be(one, _claims(text))]
        if not may:
            raise OAuthError("invalid_grant", _NO_MACHINE)
        # 2. signature, then all that it says, by each in turn
        verified: dict[tuple[Any, ...], Verified | TokenError] = {}
        faults: list[TokenError] = []
        for machine in may:
            found = await self._verified(text, machine, verified)
            try:
                claims = _checked(found, machine, now)
            except TokenError as error:
                faults.append(error)
                continue
            if all(rule.holds(claims) for rule in machine.claims):
                await self._once(machine, claims, now)
                return _proven(machine, claims)
        # 3. why not, where it would have been one for all that its claims say
        raise OAuthError("invalid_grant", str(faults[0]) if len(faults) == len(may) else _NO_MACHINE)

    async def _verified(
        self, text: str, machine: Machine, known: dict[tuple[Any, ...], Verified | TokenError]
    ) -> Verified | TokenError:
        """The token by these keys; whether its signature holds is worked out once for all who have the same."""
        issuer = str(_claims(text).get("iss", "")) if machine.issuers else ""
        place = issuer, machine.keys_url, machine.keys_file, machine.authorities, machine.algorithms
        if place not in known:
            try:
                known[place] = await self._by_its_keys(text, issuer, machine)
            except TokenError as error:
                known[place] = error
            except ProviderError as error:
                raise OAuthError(
                    "temporarily_unavailable", f"its issuer's keys can't be had: {error.code}", status=503
                ) from None
        return known[place]

    async def _by_its_keys(self, text: str, issuer: str, machine: Machine) -> Verified:
        """The token, its signature verified. Raises TokenError, ProviderError."""
        if machine.keys_file:
            keys = await self._files.keys(machine.keys_file)
            return verify(text, _of_workloads(keys), algorithms=machine.algorithms)
        driver = self._driver_by(machine.authorities)
        return await driver.run(_by_keys(text, issuer, machine.keys_url, machine.algorithms))

    async def _once(self, machine: Machine, claims: Mapping[str, Any], now: float) -> None:
        """Threat: a token from a log or another step of the build, shown a second time."""
        if not machine.once:
            return
        key = hashlib.sha256(f"{claims.get('iss', '')}\n{claims['jti']}".encode()).digest()
        if not await self._marks.consume(_MARK, key, now, expiry_of(claims) + SKEW_S + _KEPT_S):
            raise OAuthError("invalid_grant", "it was shown before: ask for a new one")


def _claims(text: str) -> dict[str, Any]:
    try:
        return unverified(text)
    except TokenError as error:
        raise OAuthError("invalid_grant", str(error)) from None


def _may_be(machine: Machine, claims: Mapping[str, Any]) -> bool:
    issuer, subject = claims.get("iss"), claims.get("sub")
    if machine.issuers and issuer not in machine.issuers:
        return False
    if not machine.trust_domain:
        return bool(machine.issuers)
    return isinstance(subject, str) and subject.startswith(_start_of(machine))


def _start_of(machine: Machine) -> str:
    return f"spiffe://{machine.trust_domain}/" if machine.trust_domain else ""


def _by_keys(text: str, issuer: str, url: str, algorithms: Sequence[str]) -> Flow[Verified]:
    """The token, its signature verified. One that names no key gets one more try with keys fetched anew.

    Raises TokenError, ProviderError.
    """
    kid, via = key_id_of(text), ""
    if not url:
        metadata = yield Discovery(issuer)
        url, via = keys_url(metadata, issuer), issuer
    keys = yield Keys(url, kid, via)
    try:
        return verify(text, _of_workloads(keys), algorithms=algorithms)
    except TokenError as error:
        if kid is not None or error.code not in _OF_OLD_KEYS:
            raise
    keys = yield Keys(url, "", via)
    return verify(text, _of_workloads(keys), algorithms=algorithms)


def _of_workloads(keys: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The keys, with those of a SPIFFE bundle as others write them (SPIFFE Trust Domain and Bundle section 4.2.2)."""
    return [{**key, "use": "sig"} if key.get("use") == _SVID else key for key in keys]


def _checked(found: Verified | TokenError, machine: Machine, now: float) -> dict[str, Any]:
    """Its claims. Raises TokenError."""
    if isinstance(found, TokenError):
        raise found
    expected = Expected(
        issuers=machine.issuers,
        audience=machine.audience,
        age_s=machine.age_s,
        now=now,
        subject_start=_start_of(machine),
        once=machine.once,
        no_person=machine.kind == "azure",
    )
    check(found.header, found.claims, expected)
    return found.claims


def _proven(machine: Machine, claims: Mapping[str, Any]) -> Proven:
    """What goes on of it: what the machine's own rules look at, as text."""
    told = {rule.claim: value for rule in machine.claims if (value := _text(claims, rule.claim))}
    return Proven(machine=machine.name, subject=claims["sub"], claims=told, expires_at=expiry_of(claims))


def _text(claims: Mapping[str, Any], name: str) -> str:
    return " ".join(entries_of(at(claims, name)))
