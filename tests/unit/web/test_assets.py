"""Static files: named by their content."""

from __future__ import annotations

import re

import pytest

from vestibule.web.assets import Assets, load_assets

ASSETS = load_assets()


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


@pytest.mark.parametrize("kind", ["google", "github"])
def test_known_providers_have_marks(kind: str) -> None:
    assert ASSETS.mark_url(kind).startswith("/@/static/")


@pytest.mark.parametrize("kind", ["", "okta", "icon", "../x", "vestibule"])
def test_others_have_none(kind: str) -> None:
    assert ASSETS.mark_url(kind) == ""


@pytest.mark.parametrize("name", ["icon.svg", "google.svg", "github.svg"])
def test_pictures_hold_no_script_style_or_reference(name: str) -> None:
    asset = ASSETS.get(ASSETS.url(name).removeprefix("/@/static/"))
    assert asset is not None
    assert not re.search(rb"script|style|href|url\(|\son\w+=", asset.body)


def test_the_stylesheet_fetches_nothing() -> None:
    assert "url(" not in ASSETS.style
    assert "@import" not in ASSETS.style
    assert "</" not in ASSETS.style
