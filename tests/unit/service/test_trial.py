"""What trying a provider out tells an operator to register."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.providers.player import answered
from tests.unit.providers.test_oidc import METADATA, client
from vestibule.errors import ProviderUnavailable
from vestibule.providers.base import Finding, Provider
from vestibule.providers.kit import Ask, Discovery, Flow, Keys
from vestibule.providers.oauth2 import OAuth2Config
from vestibule.service.trial import tried

PLACES = (("https://auth.example", "op"), ("https://app.example", "corp"))
URLS = ("https://auth.example/@op/callback",)


class Driver:
    """Gives metadata, and nothing else."""

    def __init__(self, metadata: Any) -> None:
        self.metadata = metadata

    async def run(self, flow: Flow[Any], *, trusted: bool = True, about: str = "") -> Any:
        return answered(flow, self._answer)[0]

    def _answer(self, ask: Ask) -> Any:
        if isinstance(ask, Keys):
            return ()
        if not isinstance(ask, Discovery) or self.metadata is None:
            raise ProviderUnavailable("away")
        return self.metadata


async def to_register(provider: Provider, metadata: Any, places: Any = PLACES) -> dict[str, str]:
    """Each URL that is named, by what it is."""
    try:
        found: tuple[Finding, ...] = await tried(provider, places, URLS, Driver(metadata), 0.0)
    except ProviderUnavailable:
        raise AssertionError("it is a finding") from None
    return {one.what: one.detail for one in found if "URL" in one.what and one.ok}


REDIRECT = {"redirect URL": URLS[0]}
PAGE = {"post-logout redirect URL": "https://auth.example/@/signedout"}
BACK = {"back-channel logout URL": "https://auth.example/@op/backchannel"}
FRONT = {"front-channel logout URL": "https://auth.example/@op/frontchannel"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, REDIRECT | PAGE),
        ({"end_session_endpoint": None}, REDIRECT),
        ({"backchannel_logout_supported": True}, REDIRECT | PAGE | BACK),
        (
            {"backchannel_logout_supported": True, "frontchannel_logout_supported": True},
            REDIRECT | PAGE | BACK | FRONT,
        ),
    ],
)
async def test_the_urls_of_sign_out_are_named_where_the_provider_has_it(more: Any, expected: Any) -> None:
    assert await to_register(client(), {**METADATA, **more}) == expected


async def test_where_it_cannot_be_asked_or_nobody_offers_it_only_what_is_known_is_named() -> None:
    assert await to_register(client(), None) == REDIRECT
    assert await to_register(client(), METADATA, places=()) == REDIRECT


async def test_oauth_alone_knows_no_sign_out() -> None:
    config = OAuth2Config(
        name="op",
        client_id="x",
        authorize_url="https://op.example/auth",
        access_token_url="https://op.example/token",
    )
    assert await to_register(config.open(), None) == REDIRECT
