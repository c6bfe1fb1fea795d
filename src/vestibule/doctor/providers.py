"""Identity providers and token sources: tried out as far as that goes without a person."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final, cast

import msgspec

from vestibule.admin_link import Link, segment
from vestibule.config.admin import SOCKET
from vestibule.core import flow as flows
from vestibule.doctor.clocks import Noting
from vestibule.doctor.finding import About, Finding
from vestibule.doctor.patient import Patient
from vestibule.errors import ProviderError, VestibuleError
from vestibule.fetch import AiohttpTransport, Fetcher
from vestibule.observe import clock
from vestibule.providers.base import Finding as Tried
from vestibule.providers.base import Provider, TokenSource
from vestibule.service.flow import Driver
from vestibule.service.keys import KeySets
from vestibule.service.offer import places_of, redirect_url_of
from vestibule.service.trial import tried

_ABOUT: Final = About("providers")
FETCH_S: Final = 5.0
TRY_S: Final = 12.0
"""How long one provider may take: two of its documents that don't come."""
DATABASE_S: Final = 6.0
"""How long those of the database are tried, one after the other: with the last one's time, less than a part has."""
_AGAIN: Final = "see what the others say, and try it with `vestibule providers test`"
_REACH: Final = "see that it runs, and that this machine reaches it"
#: what is found of a provider → code, and whether people get in without it
_CODES: Final = {
    "redirect URL": ("redirect_url", False),
    "post-logout redirect URL": ("logout_url", False),
    "back-channel logout URL": ("logout_url", False),
    "front-channel logout URL": ("logout_url", False),
    "discovery": ("provider_discovery", True),
    "endpoints": ("provider_endpoints", True),
    "PKCE": ("provider_pkce", False),
    "keys": ("provider_keys", True),
    "authorization page": ("provider_page", True),
    "client credentials": ("provider_credentials", True),
    "provider": ("provider", True),
}


async def look(patient: Patient) -> tuple[list[Finding], Noting]:
    """Try all at once; and what their clocks said."""
    noting = Noting(AiohttpTransport())
    compiled = patient.compiled
    if compiled is None:
        return [], noting
    fetcher = Fetcher(transport=noting, allow=compiled.fetch_allow, deadline_s=FETCH_S)
    driver = Driver(fetcher, KeySets(fetcher.get, documents=fetcher.get_document))
    try:
        logins = (_login(patient, name, config.open(), driver) for name, config in compiled.clients.items())
        sources = (
            _source(name, cast("TokenSource", config.open()), driver)
            for name, config in compiled.token_sources.items()
        )
        found = await asyncio.gather(*logins, *sources, asyncio.to_thread(of_database, patient))
    finally:
        await fetcher.close()
    return [finding for one in found for finding in one], noting


class _Row(msgspec.Struct, frozen=True):
    id: str
    source: str = ""
    enabled: bool = True


class _Rows(msgspec.Struct, frozen=True):
    items: tuple[_Row, ...]


class _Outcome(msgspec.Struct, frozen=True):
    findings: tuple[Tried, ...]


def of_database(patient: Patient) -> list[Finding]:
    """Those that are not in the files, tried by the gateway that runs; nothing where none does.

    They are in the database sealed, and the gateway tries them as it does for whoever presses the button.
    """
    if not patient.running.pid:
        return []
    link = Link(f"unix:{patient.state / SOCKET}", timeout_s=FETCH_S)
    found: list[Finding] = []
    try:
        rows = link.decoded(link.call("GET", "/identity-providers"), _Rows)
        until_mono = time.monotonic() + DATABASE_S
        for row in (one for one in rows.items if one.source == "database" and one.enabled):
            if time.monotonic() > until_mono:
                late = Tried(
                    what="provider", ok=False, detail="there was no time left to try it", advice=_AGAIN
                )
                found += findings_of(row.id, [late])
                continue
            try:
                told = link.call("POST", f"/identity-providers/{segment(row.id)}/test", repeatable=True)
                found += findings_of(row.id, link.decoded(told, _Outcome).findings)
            except VestibuleError as exc:
                found.append(_ABOUT.fail(row.id, "provider", f"provider: {exc.message}", _REACH))
    except VestibuleError as exc:
        advice = "see that the gateway on this state directory answers"
        found.append(_ABOUT.warn("database", "providers_unread", exc.message, advice))
    finally:
        link.close()
    return found


async def _login(patient: Patient, name: str, provider: Provider, driver: Driver) -> list[Finding]:
    assert patient.compiled is not None
    places = places_of(patient.compiled.table, name, lambda host: (patient.base_url(host),))
    registered = redirect_url_of(provider)
    urls = tuple(
        dict.fromkeys(flows.redirect_uri(base_url, client, registered) for base_url, client in places)
    )
    try:
        async with asyncio.timeout(TRY_S):
            return findings_of(name, await tried(provider, places, urls, driver, clock.now()))
    except TimeoutError:
        late = Tried(what="discovery", ok=False, detail="it did not answer in time", advice=_REACH)
        known = [Tried(what="redirect URL", ok=True, detail=url, advice="register it") for url in urls]
        return findings_of(name, [*known, late])


def findings_of(name: str, found: Iterable[Tried]) -> list[Finding]:
    """What was found, each with how bad it is."""
    return [_finding_of(name, one) for one in found]


def _finding_of(name: str, one: Tried) -> Finding:
    code, is_needed = _CODES.get(one.what, ("provider", True))
    detail = f"{one.what}: {one.detail}"
    if one.ok:
        return _ABOUT.ok(name, code, detail, one.advice)
    advice = one.advice or "look at the client's registration with the provider"
    return _ABOUT.fail(name, code, detail, advice) if is_needed else _ABOUT.warn(name, code, detail, advice)


async def _source(name: str, source: TokenSource, driver: Driver) -> list[Finding]:
    try:
        async with asyncio.timeout(FETCH_S):
            await driver.run(source.token(clock.now()))
    except ProviderError as exc:
        return [_refused(name, exc)]
    except TimeoutError:
        return [_ABOUT.fail(name, "source_token", "no token in time", "see that this machine reaches it")]
    return [_ABOUT.ok(name, "source_token", "it gives a token")]


def _refused(name: str, exc: VestibuleError) -> Finding:
    why = f"{exc.message} ({exc.detail})" if exc.detail else exc.message
    return _ABOUT.fail(name, "source_token", f"no token: {why}", "check its ID, secret, key and scopes")
