"""Tokens of the app's own: client credentials and service accounts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from joserfc.jwk import RSAKey

from tests.unit.providers.player import NOW, form_of, play, reply, token_reply
from vestibule.errors import ProviderInvalid, ProviderRefused
from vestibule.model import Secret
from vestibule.protocol import jose
from vestibule.providers.base import TokenSource
from vestibule.providers.client_credentials import ClientCredentialsConfig
from vestibule.providers.kit import PostForm
from vestibule.providers.service_account import ServiceAccountConfig

PEM = RSAKey.generate_key(2048, private=True).as_pem(private=True).decode()
PUBLIC = RSAKey.import_key(PEM).as_dict(private=False) | {"kid": "k1"}
KEY_FILE = {
    "type": "service_account",
    "project_id": "p",
    "private_key_id": "k1",
    "private_key": PEM,
    "client_email": "robot@p.iam.example",
    "token_uri": "https://op.example/token",
}


def credentials(**fields: Any) -> ClientCredentialsConfig:
    return ClientCredentialsConfig(
        **{
            "name": "erp",
            "client_id": "cid",
            "client_secret": Secret("canary"),
            "access_token_url": "https://op.example/token",
            **fields,
        }
    )


def account(file: Any = KEY_FILE, **fields: Any) -> ServiceAccountConfig:
    text = file if isinstance(file, str) else msgspec.json.encode(file).decode()
    return ServiceAccountConfig(**{"name": "robot", "key": Secret(text), **fields})


def test_client_credentials_are_exchanged_for_a_token() -> None:
    source = credentials(scopes=("a", "b"), audience="https://api.example").open()
    assert isinstance(source, TokenSource)
    tokens, asked = play(source.token(NOW), token_reply())
    assert isinstance(asked[0], PostForm)
    assert asked[0].basic == ("cid", Secret("canary"))
    assert form_of(asked[0]) == {
        "grant_type": "client_credentials",
        "scope": "a b",
        "audience": "https://api.example",
    }
    assert (tokens.access_token, tokens.expires_at, tokens.scopes) == (Secret("at-1"), NOW + 3600, ("a", "b"))


def test_client_credentials_may_go_into_the_form() -> None:
    form = form_of(
        play(credentials(auth_style="post", resource="https://r.example").open().token(NOW), token_reply())[
            1
        ][0]
    )
    assert (form["client_id"], form["client_secret"], form["resource"]) == (
        "cid",
        "canary",
        "https://r.example",
    )


def test_a_refusal_is_a_refusal_and_html_is_nonsense() -> None:
    with pytest.raises(ProviderRefused):
        play(credentials().open().token(NOW), reply({"error": "invalid_client"}, 401))
    with pytest.raises(ProviderInvalid):
        play(credentials().open().token(NOW), reply(b"<html>", kind="text/html"))


@pytest.mark.parametrize(
    "fields",
    [{"auth_style": "none"}, {"client_secret": Secret("")}, {"access_token_url": "ftp://op.example/"}],
)
def test_client_credentials_that_cannot_work_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        credentials(**fields)
    assert "canary" not in str(caught.value)


def test_a_service_account_signs_what_it_wants() -> None:
    source = account(scopes=("s1", "s2"), subject="boss@corp.example").open()
    assert isinstance(source, TokenSource)
    tokens, asked = play(source.token(NOW), token_reply())
    form = form_of(asked[0])
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    signed = jose.verify(form["assertion"], (PUBLIC,), algorithms=("RS256",))
    assert signed.claims == {
        "iss": "robot@p.iam.example",
        "sub": "boss@corp.example",
        "scope": "s1 s2",
        "aud": "https://op.example/token",
        "iat": int(NOW),
        "exp": int(NOW) + 3600,
    }
    assert tokens.access_token == Secret("at-1")


def test_a_service_account_acts_for_itself_by_default() -> None:
    form = form_of(play(account().open().token(NOW), token_reply())[1][0])
    claims = jose.verify(form["assertion"], (PUBLIC,), algorithms=("RS256",)).claims
    assert "sub" not in claims
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"


BAD_FILES = {
    "no JSON": "canary",
    "empty": "",
    "another type": {**KEY_FILE, "type": "authorized_user"},
    "no key": {name: value for name, value in KEY_FILE.items() if name != "private_key"},
    "no PEM": {**KEY_FILE, "private_key": "canary"},
    "public key": {**KEY_FILE, "private_key": RSAKey.import_key(PEM).as_pem(private=False).decode()},
    "token endpoint over http": {**KEY_FILE, "token_uri": "http://op.example/token"},
    "no address": {**KEY_FILE, "client_email": ""},
}


@pytest.mark.parametrize("file", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_key_file_that_is_none_is_refused_without_being_shown(file: Any) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        account(file).open()
    error: BaseException | None = caught.value
    while error is not None:
        assert "canary" not in str(error)
        assert "PRIVATE" not in str(error)
        error = error.__cause__ or error.__context__


def test_no_key_is_in_a_repr() -> None:
    source = account().open()
    assert "PRIVATE" not in repr(account()) + repr(source) + repr(play(source.token(NOW), token_reply())[0])
