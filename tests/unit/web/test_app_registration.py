"""What an app may say of itself when it registers, and where it may at all."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.web.asgi import Desk
from vestibule.protocol.authorization_server import OAuthError
from vestibule.web.app_registration import BODY_MAX_BYTES, NAME_MAX_CHARS, registered_in

BACK = "http://127.0.0.1:1/callback"
JSON = {"content-type": "application/json"}
NOW = 1_700_000_000.0


def ask(said: Any, content_type: str = "application/json; charset=utf-8") -> Any:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return SimpleNamespace(body=body, content_type=content_type)


@pytest.mark.parametrize(
    "uri", [BACK, "http://localhost:6274/oauth/callback", "https://claude.example/cb", "com.example.app:/cb"]
)
def test_where_answers_may_go(uri: str) -> None:
    assert registered_in(ask({"redirect_uris": [uri]}), NOW).redirects == (uri,)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"redirect_uris": ["http://evil.example/back"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [BACK, "javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://a.example/#x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://u@a.example/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({}, "invalid_redirect_uri"),
        ({"redirect_uris": [f"{BACK}/{number}" for number in range(11)]}, "invalid_redirect_uri"),
        ({"redirect_uris": [BACK], "grant_types": ["client_credentials"]}, "invalid_client_metadata"),
        ({"redirect_uris": [BACK], "response_types": ["token"]}, "invalid_client_metadata"),
        ({"redirect_uris": BACK}, "invalid_client_metadata"),
        ({"redirect_uris": [BACK], "client_name": 1}, "invalid_client_metadata"),
        ([], "invalid_client_metadata"),
        (b"{", "invalid_client_metadata"),
        (b"\xff", "invalid_client_metadata"),
        (b"", "invalid_client_metadata"),
        ({"redirect_uris": [BACK], "x": "x" * BODY_MAX_BYTES}, "invalid_client_metadata"),
    ],
)
def test_what_no_app_is(said: Any, code: str) -> None:
    with pytest.raises(OAuthError) as caught:
        registered_in(ask(said), NOW)
    assert caught.value.code == code


def test_only_json_is_read() -> None:
    with pytest.raises(OAuthError):
        registered_in(ask({"redirect_uris": [BACK]}, "text/plain"), NOW)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Agent", "Agent"),
        ("", "?"),
        ("\u202eknaB", "knaB"),
        ("a\r\nb\u200b", "ab"),
        ("x" * 100, "x" * NAME_MAX_CHARS),
        ("   ", "?"),
    ],
    ids=["plain", "none", "backwards", "lines", "long", "blank"],
)
def test_a_name_is_what_can_stand_on_a_page(name: str, shown: str) -> None:
    said = {"redirect_uris": [BACK], "client_name": name, "logo_uri": "https://evil.example/"}
    assert registered_in(ask(said), NOW).name == shown


def test_where_no_host_has_it_nothing_is_there() -> None:
    reply = Desk().call("/@/register", "POST", JSON, body=json.dumps({"redirect_uris": [BACK]}).encode())
    assert reply.status == 404
