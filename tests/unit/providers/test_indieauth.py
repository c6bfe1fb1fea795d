"""Signing in with one's own web address."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from tests.unit.providers.player import CHALLENGE, NOW, REDIRECT, VERIFIER, form_of, play, reply, start
from vestibule.errors import (
    ClientError,
    ProviderInvalid,
    ProviderRefused,
    ProviderUnavailable,
    VestibuleError,
)
from vestibule.model import Identity, Secret
from vestibule.providers.base import Answer, RedirectLogin
from vestibule.providers.indieauth import IndieAuth, IndieAuthConfig
from vestibule.providers.kit import OUTSIDE, Get, PostForm, Reply

ME = "https://ann.example/"
META_URL = "https://auth.example/.well-known/oauth-authorization-server"
METADATA = {
    "issuer": "https://auth.example/",
    "authorization_endpoint": "https://auth.example/auth",
    "code_challenge_methods_supported": ["S256"],
    "authorization_response_iss_parameter_supported": True,
}
META = reply(METADATA)


def page(body: str, url: str = ME, status: int = 200) -> Reply:
    return Reply(status, {"content-type": "text/html"}, body.encode(), url)


HOME = page(f'<html><link rel="indieauth-metadata" href="{META_URL}"><p>Ann</p>')
OLD_HOME = page('<link rel="authorization_endpoint" href="https://auth.example/auth">')


def client(**fields: Any) -> IndieAuth:
    return IndieAuthConfig(name="indieauth", **fields).open()


def test_it_signs_people_in_by_redirect() -> None:
    op = client()
    assert isinstance(op, RedirectLogin)
    assert (op.kind, op.keeps, op.identifies) == ("indieauth", "me", True)


def test_people_are_sent_to_the_server_their_address_names() -> None:
    url, asked = play(client().start(start(me="Ann.example")), HOME, META)
    query = dict(parse_qsl(urlsplit(url).query))
    assert url.startswith("https://auth.example/auth?")
    assert query == {
        "response_type": "code",
        "client_id": "https://app.example/",
        "redirect_uri": REDIRECT,
        "state": "st",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "scope": "profile email",
        "me": ME,
    }
    assert [ask.url for ask in asked] == [ME, META_URL]


def test_everything_fetched_counts_as_from_outside() -> None:
    _, asked = play(client().start(start(me=ME)), HOME, META)
    _, more = finished()
    assert all(ask.via == OUTSIDE for ask in [*asked, *more])


def test_a_server_of_before_2022_does_too() -> None:
    url, asked = play(client().start(start(me=ME)), OLD_HOME)
    assert url.startswith("https://auth.example/auth?")
    assert len(asked) == 1


def test_links_are_relative_to_where_the_address_led() -> None:
    moved = page('<link rel="authorization_endpoint" href="auth">', "https://ann.example/blog/")
    url, _ = play(client().start(start(me=ME)), moved)
    assert url.startswith("https://ann.example/blog/auth?")


@pytest.mark.parametrize(
    ("me", "answers", "code"),
    [
        ("", [], "address_needed"),
        ("  ", [], "address_needed"),
        ("ann", [], "address_invalid"),
        ("https://10.0.0.1/", [], "address_invalid"),
        (ME, [ProviderUnavailable("down")], "address_unreachable"),
        (ME, [ProviderInvalid("private", code="address_refused")], "address_unreachable"),
        (ME, [page("", status=404)], "address_unreachable"),
        (ME, [page("<p>nothing")], "address_unsupported"),
        (ME, [HOME, page("", status=500)], "address_unreachable"),
        (ME, [HOME, reply(b"<html>")], "address_unsupported"),
        (ME, [HOME, reply({**METADATA, "issuer": "https://evil.example/"})], "address_unsupported"),
    ],
)
def test_the_person_is_told_what_is_wrong_with_the_address(me: str, answers: Any, code: str) -> None:
    with pytest.raises(ClientError) as caught:
        play(client().start(start(**({"me": me} if me else {}))), *answers)
    assert caught.value.code == code


def answer(me: str = ME, **params: str) -> Answer:
    given = params or {"code": "c0de", "iss": "https://auth.example/"}
    return Answer(params=given, redirect_uri=REDIRECT, verifier=VERIFIER, now=NOW, kept=me)


def finished(told: Any = None, *more: Any, home: Reply = HOME, **fields: Any) -> Any:
    told = {"me": ME} if told is None else told
    profile = told if isinstance(told, Reply) else reply(told)
    before = [home, META] if home is HOME else [home]
    signed_in, asked = play(client(**fields).finish(answer()), *before, profile, *more)
    return signed_in, asked


def test_the_code_is_redeemed_for_the_profile_at_the_authorization_endpoint() -> None:
    signed_in, asked = finished(
        {"me": "https://ann.example", "profile": {"name": "Ann", "email": "a@ann.example"}}
    )
    post = asked[2]
    assert isinstance(post, PostForm)
    assert post.url == "https://auth.example/auth"
    assert form_of(post) == {
        "grant_type": "authorization_code",
        "code": "c0de",
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER.reveal(),
        "client_id": "https://app.example/",
    }
    assert signed_in.tokens is None
    assert msgspec.structs.replace(signed_in.identity, unknown=()) == Identity(
        client="indieauth", issuer="indieauth", subject=ME, login=ME, name="Ann"
    )


@pytest.mark.parametrize(
    ("fields", "email"),
    [
        ({}, ""),
        ({"assume_email_verified": True}, ""),
        ({"email_domains": ("ann.example",)}, ""),
        ({"email_domains": ("ann.example",), "assume_email_verified": True}, "a@ann.example"),
        ({"email_domains": ("other.example",), "assume_email_verified": True}, ""),
    ],
)
def test_the_address_of_mail_is_the_persons_own_word(fields: Any, email: str) -> None:
    signed_in, _ = finished({"me": ME, "profile": {"email": "a@ann.example"}}, **fields)
    assert signed_in.identity.email == email


def test_another_address_is_believed_when_it_names_the_same_server() -> None:
    more = "https://ann.example/me"
    signed_in, asked = finished({"me": more}, HOME, META)
    assert signed_in.identity.subject == more
    assert asked[3] == Get(url=more, headers=asked[0].headers, via=OUTSIDE)


def test_the_address_that_redirects_led_to_needs_no_second_look() -> None:
    home = page(
        '<link rel="authorization_endpoint" href="https://auth.example/auth">', "https://ann.example/home"
    )
    signed_in, asked = finished({"me": "https://ann.example/home"}, home=home)
    assert signed_in.identity.subject == "https://ann.example/home"
    assert len(asked) == 2


OTHER = reply({**METADATA, "authorization_endpoint": "https://auth.example/other"})
LIES = {
    "an address that names another server": (
        [{"me": "https://victim.example/"}, HOME, OTHER],
        ProviderInvalid,
    ),
    "an address that names none": ([{"me": "https://victim.example/"}, page("<p>")], ClientError),
    "an address that is none": ([{"me": "javascript:alert(1)"}], ProviderInvalid),
    "no address": ([{"profile": {}}], ProviderInvalid),
    "a number": ([{"me": 5}], ProviderInvalid),
    "a list": ([[ME]], ProviderInvalid),
    "a page": ([reply(b"<html>")], ProviderInvalid),
    "a refusal": ([reply({"error": "invalid_grant"}, 400)], ProviderRefused),
}


@pytest.mark.parametrize(("answers", "error"), LIES.values(), ids=LIES.keys())
def test_a_server_is_believed_about_addresses_that_name_it_only(
    answers: Any, error: type[VestibuleError]
) -> None:
    with pytest.raises(error):
        finished(*answers)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"code": "c"}, "answer_iss"),
        ({"code": "c", "iss": "https://evil.example/"}, "answer_iss"),
        ({"iss": "https://auth.example/"}, "answer_code"),
    ],
)
def test_an_answer_of_another_server_is_exchanged_nowhere(params: Any, code: str) -> None:
    with pytest.raises(ProviderInvalid) as caught:
        play(client().finish(answer(**params)), HOME, META)
    assert caught.value.code == code


def test_the_persons_no_is_a_refusal() -> None:
    params = {"error": "access_denied", "iss": "https://auth.example/"}
    with pytest.raises(ProviderRefused) as caught:
        play(client().finish(answer(**params)), HOME, META)
    assert caught.value.error == "access_denied"


@pytest.mark.parametrize(
    ("fields", "about"),
    [({"client_secret": Secret("s")}, "client_secret"), ({"client_id": "app"}, "client_id")],
)
def test_what_can_not_work_is_told_when_the_configuration_loads(fields: Any, about: str) -> None:
    with pytest.raises(ValueError, match=about):
        client(**fields)
