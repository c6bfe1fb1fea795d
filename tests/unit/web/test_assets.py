"""Static files: named by their content."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from vestibule.providers import BUILTIN
from vestibule.web.assets import Assets, load_assets

ASSETS = load_assets()
DRAWINGS = sorted(
    entry.name for entry in (files("vestibule.web") / "static").iterdir() if entry.name.endswith(".svg")
)
#: every kind there is to be
PICTURED = {
    *("google", "github", "gitlab", "bitbucket", "entra", "adfs", "apple", "keycloak", "auth0", "okta"),
    *("cognito", "cidaas", "logingov", "facebook", "linkedin", "digitalocean", "discord", "slack", "twitch"),
    *("nextcloud", "sourcehut", "gitea", "forgejo", "homeassistant", "openstax", "alibaba", "indieauth"),
}


def test_a_name_changes_with_the_content() -> None:
    one, other = (Assets({"vestibule.css": body}).url("vestibule.css") for body in (b"a{}", b"b{}"))
    assert one != other
    assert re.fullmatch(r"/@/static/vestibule\.[0-9a-f]{12}\.css", one)


def test_only_the_hashed_name_is_found() -> None:
    name = ASSETS.url("icon.svg").removeprefix("/@/static/")
    asset = ASSETS.get(name)
    assert asset is not None
    assert asset.content_type == "image/svg+xml"
    assert ASSETS.get("icon.svg") is None
    assert ASSETS.get("../pages.py") is None


#: they are known by no mark: a button of one bears the first letter of the title it was given
GENERIC = {"oidc", "oauth2", "saml", "client_credentials", "service_account"}


@pytest.mark.parametrize("kind", sorted({*PICTURED, *BUILTIN} - GENERIC))
def test_known_providers_have_marks(kind: str) -> None:
    assert ASSETS.mark_url(kind).startswith("/@/static/")


@pytest.mark.parametrize("kind", ["", "icon", "../x", "vestibule", *sorted(GENERIC)])
def test_others_have_none(kind: str) -> None:
    assert ASSETS.mark_url(kind) == ""


@pytest.mark.parametrize("name", DRAWINGS)
def test_pictures_hold_no_script_style_or_reference(name: str) -> None:
    asset = ASSETS.get(ASSETS.url(name).removeprefix("/@/static/"))
    assert asset is not None
    assert not re.search(rb"script|style|href|url\(|\son\w+=", asset.body)
    assert len(asset.body) < 1024


def test_the_stylesheet_fetches_nothing() -> None:
    assert "url(" not in ASSETS.style
    assert "@import" not in ASSETS.style
    assert "</" not in ASSETS.style
