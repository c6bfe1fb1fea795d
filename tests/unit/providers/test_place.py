"""Where a provider is."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from vestibule.model import Secret
from vestibule.providers import BUILTIN
from vestibule.providers.oauth2 import OAuth2Config
from vestibule.providers.oidc import OidcConfig
from vestibule.providers.place import place_of

OIDC = OidcConfig(name="okta", client_id="a", issuer="https://a.example", is_trusted=False)
PLAIN = OAuth2Config(
    name="p",
    client_id="a",
    authorize_url="https://a.example/authorize",
    access_token_url="https://a.example/token",
    userinfo_url="https://a.example/me",
    is_trusted=False,
)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (OIDC, "issuer"),
        *((PLAIN, name) for name in ("authorize_url", "access_token_url", "userinfo_url", "revoke_url")),
        (BUILTIN["gitlab"](name="g", client_id="a"), "web_url"),
    ],
)
def test_another_url_is_another_place(config: Any, name: str) -> None:
    moved = replace(config, **{name: "https://evil.example", **({"issuer": ""} if name == "web_url" else {})})
    assert place_of(moved) != place_of(config)


@pytest.mark.parametrize(
    "more",
    [
        {"client_secret": Secret("s")},
        {"title": "T"},
        {"scopes": ("a",)},
        {"redirect_url": "https://app.example/auth"},
        {"email_domains": ("a.example",)},
    ],
)
def test_what_is_no_url_of_the_provider_moves_nothing(more: dict[str, Any]) -> None:
    assert place_of(replace(OIDC, **more)) == place_of(OIDC)


def test_only_what_the_operator_did_not_write_has_a_place_that_is_held_against_tokens() -> None:
    assert OIDC.open().place == place_of(OIDC)
    assert replace(OIDC, is_trusted=True).open().place == ""
