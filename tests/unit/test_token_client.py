"""What a gateway's address must be like."""

from __future__ import annotations

import urllib.request

import pytest

from vestibule.errors import ClientError
from vestibule.token_client import is_private, metadata_of


@pytest.mark.parametrize(
    "url",
    [
        "https://gw.example",
        "HTTPS://gw.example:8443",
        "http://127.0.0.1:8080",
        "http://[::1]",
        "http://LOCALHOST/",
    ],
)
def test_tokens_go_by_https_or_to_this_machine(url: str) -> None:
    assert is_private(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://gw.example",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://localhost@evil.example",
        "http://[::1].evil.example",
        "https://[",
        "https://",
        "ftp://127.0.0.1",
        "gw.example",
        "",
    ],
)
def test_nothing_goes_where_others_can_read_along(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(urllib.request.OpenerDirector, "open", lambda *_, **__: pytest.fail("it was called"))
    with pytest.raises(ClientError) as refused:
        metadata_of(url)
    assert refused.value.code == "bad_url"
