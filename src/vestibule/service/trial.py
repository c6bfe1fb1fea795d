"""A provider tried out without a person, and what is to be registered with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from vestibule.core.route import SIGNED_OUT_PATH
from vestibule.errors import ProviderError
from vestibule.providers import kit
from vestibule.providers.base import EndsSessions, Finding, Probe, Provider

TEST_S: Final = 30.0
"""Longest that trying a provider out may take."""


async def tried(
    provider: Provider,
    places: Sequence[tuple[str, str]],
    redirect_urls: Sequence[str],
    driver: kit.Driver,
    now: float,
) -> tuple[Finding, ...]:
    """What is found. `places`: base URLs of the hosts that offer it, each with its ID there."""
    found = [
        Finding(what="redirect URL", ok=True, detail=url, advice="register it with the provider")
        for url in redirect_urls
    ]
    if not redirect_urls:
        advice = 'add "*" to sign_in of a host'
        found.append(Finding(what="redirect URL", ok=False, detail="no host offers it", advice=advice))
    try:
        async with asyncio.timeout(TEST_S):
            if places and isinstance(provider, EndsSessions):
                found += await _logouts(provider, places[0], driver)
            if isinstance(provider, Probe):
                asked = provider.probe(
                    redirect_urls[0] if redirect_urls else "https://localhost/callback", now
                )
                found += await driver.run(asked, trusted=provider.is_trusted, about=provider.name)
    except TimeoutError:
        found.append(Finding(what="provider", ok=False, detail="it did not answer in time"))
    except ProviderError as exc:
        found.append(Finding(what="provider", ok=False, detail=exc.detail or exc.message))
    return tuple(found)


async def _logouts(provider: EndsSessions, place: tuple[str, str], driver: kit.Driver) -> tuple[Finding, ...]:
    """What to register so that a sign-out on either side is one on both; by one host, for all of them."""
    try:
        ways = await driver.run(provider.sign_out_ways(), trusted=provider.is_trusted, about=provider.name)
    except ProviderError:
        return ()  # whatever is wrong with its metadata, the probe tells
    base_url, client = place
    rows = {
        "page": ("post-logout redirect URL", SIGNED_OUT_PATH, "register it for people who sign out here"),
        "back": (
            "back-channel logout URL",
            f"/@{client}/backchannel",
            "register it: who is signed out there is signed out here",
        ),
        "front": (
            "front-channel logout URL",
            f"/@{client}/frontchannel",
            "register it where the provider's server can't reach this one",
        ),
    }
    return tuple(
        Finding(what=what, ok=True, detail=base_url + path, advice=advice)
        for way, (what, path, advice) in rows.items()
        if way in ways
    )
