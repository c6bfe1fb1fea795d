"""Signing in with Google."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.unit.providers.player import NOW, came_back, jwks_of, play, start, token_reply
from tests.unit.providers.test_oidc import METADATA, RSA, TOKENS, id_token
from vestibule.errors import ClientError
from vestibule.model import Secret
from vestibule.providers.google import ISSUER, Google, GoogleConfig
from vestibule.providers.kit import Discovery

GOOGLE = {**METADATA, "issuer": ISSUER}


def client(**fields: Any) -> Google:
    return GoogleConfig(
        **{"name": "google", "client_id": "cid", "client_secret": Secret("s"), **fields}
    ).open()


def query_of(op: Google, **hints: str) -> dict[str, str]:
    url, asked = play(op.start(start(**hints)), GOOGLE)
    assert asked == [Discovery(ISSUER)]
    return dict(parse_qsl(urlsplit(url).query))


def test_it_asks_for_a_refresh_token_with_the_consent_google_gives_one_for() -> None:
    query = query_of(client())
    assert (query["access_type"], query["prompt"]) == ("offline", "consent")
    assert query["scope"] == "openid profile email"


def test_for_signing_in_only_nothing_is_asked_that_needs_consent() -> None:
    query = query_of(client(offline_access=False), prompt="select_account", login_hint="a@corp.example")
    assert "access_type" not in query
    assert (query["prompt"], query["login_hint"]) == ("select_account", "a@corp.example")


def test_who_wants_another_account_chooses_it_and_consents() -> None:
    assert query_of(client(), prompt="select_account")["prompt"] == "select_account consent"


def test_the_operator_has_the_last_word_on_parameters() -> None:
    assert (
        query_of(client(authorize_parameters=(("prompt", "select_account"),)))["prompt"] == "select_account"
    )


def finished(op: Google, **claims: Any) -> Any:
    raw = id_token(iss=ISSUER, **claims)
    answers = [GOOGLE, token_reply(id_token=raw), jwks_of(RSA)]
    return play(op.finish(came_back(code="c", iss=ISSUER)), *answers)[0]


def test_an_account_of_the_domain_is_let_in() -> None:
    op = client(hosted_domain="corp.example", userinfo=False)
    assert query_of(op)["hd"] == "corp.example"
    assert finished(op, hd="corp.example").identity.subject == "alice"


@pytest.mark.parametrize(
    "hd", [None, "", "evil.example", "sub.corp.example", "CORP.example", ["corp.example"], True]
)
def test_every_other_account_is_refused_whatever_its_address_says(hd: Any) -> None:
    with pytest.raises(ClientError) as caught:
        finished(client(hosted_domain="corp.example", userinfo=False), hd=hd, email="a@corp.example")
    assert (caught.value.status, caught.value.code) == (403, "not_admitted")


def test_there_may_be_several_domains() -> None:
    op = client(hosted_domains=("corp.example", "corp.test"), userinfo=False)
    assert query_of(op)["hd"] == "*"
    for domain in ("corp.example", "corp.test"):
        assert finished(op, hd=domain).identity.orgs == (domain,)
    with pytest.raises(ClientError):
        finished(op, hd="evil.example")
    assert client(hosted_domain="a.example", hosted_domains=("b.example",))._google.domains == (
        "a.example",
        "b.example",
    )


def test_a_hint_cannot_lift_the_domain() -> None:
    assert query_of(client(hosted_domain="corp.example"), hd="evil.example")["hd"] == "corp.example"
    assert query_of(client(), hd="other.example")["hd"] == "other.example"


def test_signing_out_here_does_not_take_the_apps_access_back_on_other_devices() -> None:
    assert len(play(client().revoke(TOKENS, NOW), GOOGLE)[1]) == 1


def test_the_button_says_google() -> None:
    assert client().title == "Google"
    assert client(name="app.example/google2").title == "Google"
