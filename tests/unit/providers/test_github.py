"""Signing in with GitHub: who it is, which address counts, and organisations that fail closed."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.unit.providers.player import answered, came_back, form_of, play, reply, start, token_reply
from vestibule.errors import ClientError, ProviderInvalid, ProviderRefused, ProviderUnavailable
from vestibule.model import Identity, Secret
from vestibule.providers.github import PAGES_MAX, GitHub, GitHubConfig
from vestibule.providers.kit import Ask, Get, PostForm, Reply

USER = {"id": 583231, "login": "octocat", "name": "The Octocat", "email": "public@example.com"}
EMAILS = [
    {"email": "old@example.com", "primary": False, "verified": True},
    {"email": "octocat@Example.com", "primary": True, "verified": True},
]


def client(**fields: Any) -> GitHub:
    return GitHubConfig(
        **{"name": "github", "client_id": "cid", "client_secret": Secret("s3"), **fields}
    ).open()


class Api:
    """GitHub's API from a table; lists come in pages."""

    def __init__(self, **pages: list[Reply]) -> None:
        self.pages = {"orgs": [reply([])], "emails": [reply(EMAILS)], "user": [reply(USER)], **pages}

    def __call__(self, ask: Ask) -> Any:
        if isinstance(ask, PostForm):
            return token_reply(scope="read:user,user:email")
        assert isinstance(ask, Get)
        assert ask.bearer == Secret("at-1")
        name = urlsplit(ask.url).path.rpartition("/")[2]
        return self.pages[name].pop(0)


def identified(op: GitHub, **pages: list[Reply]) -> tuple[Identity, list[Ask]]:
    signed_in, asked = answered(op.finish(came_back()), Api(**pages))
    assert signed_in.identity is not None
    return signed_in.identity, asked


def test_people_are_sent_to_github_with_pkce() -> None:
    url, _ = play(client().start(start(login_hint="octo")))
    query = dict(parse_qsl(urlsplit(url).query))
    assert url.startswith("https://github.com/login/oauth/authorize?")
    assert (query["scope"], query["login"]) == ("read:user user:email", "octo")
    assert "code_challenge" in query
    assert "nonce" not in query


def test_the_account_is_its_number_and_the_address_the_verified_primary_one() -> None:
    identity, asked = identified(client())
    assert identity == Identity(
        client="github",
        issuer="https://github.com",
        subject="583231",
        login="octocat",
        name="The Octocat",
        email="octocat@example.com",
    )
    assert form_of(asked[0])["client_secret"] == "s3"


@pytest.mark.parametrize(
    "emails",
    [
        [],
        [{"email": "a@b.example", "primary": True, "verified": False}],
        [{"email": "a@b.example", "primary": False, "verified": True}],
        [{"email": "a@b.example", "primary": "true", "verified": True}],
        [{"email": "a@evil.example@b.example", "primary": True, "verified": True}],
        [{"primary": True, "verified": True}],
    ],
)
def test_no_other_address_counts_least_of_all_the_public_one(emails: list[Any]) -> None:
    assert identified(client(), emails=[reply(emails)])[0].email == ""


def test_addresses_are_not_asked_for_without_the_scope() -> None:
    identity, asked = identified(client(scopes=("read:user",)))
    assert identity.email == ""
    assert len(asked) == 2


@pytest.mark.parametrize("user", [{}, {"id": None}, {"id": "583231"}, {"id": True}, [], {"login": "octocat"}])
def test_an_account_without_a_number_is_nobody(user: Any) -> None:
    with pytest.raises(ProviderInvalid):
        identified(client(), user=[reply(user)])


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_api_call_signs_nobody_in(status: int) -> None:
    for name in ("user", "emails"):
        with pytest.raises(ProviderInvalid):
            identified(client(), **{name: [reply({}, status)]})


def page(number: int, *, more: bool = True, where: str = "https://api.github.com/user/orgs") -> Reply:
    links = f'<{where}?page={number + 1}>; rel="next", <{where}?page=9>; rel="last"' if more else ""
    return reply([{"login": f"org{number}"}], link=links)


def test_organisations_are_read_to_the_last_page() -> None:
    op = client(allowed_orgs=("Org3",))
    identity, asked = identified(op, orgs=[page(1), page(2), page(3, more=False)])
    assert op.scopes == ("read:user", "user:email", "read:org")
    assert identity.orgs == ("org1", "org2", "org3")
    assert [ask.url for ask in asked if isinstance(ask, Get)][1:4] == [
        "https://api.github.com/user/orgs?per_page=100",
        "https://api.github.com/user/orgs?page=2",
        "https://api.github.com/user/orgs?page=3",
    ]


def test_an_account_outside_the_organisations_is_refused() -> None:
    for orgs in (
        reply([]),
        reply([{"login": "example-evil"}, {"login": "evil-example"}]),
        reply([{"id": 5}]),
    ):
        with pytest.raises(ClientError) as caught:
            identified(client(allowed_orgs=("example",)), orgs=[orgs])
        assert (caught.value.status, caught.value.code) == (403, "not_admitted")


BAD_PAGES = {
    "an error on page two": reply({}, 502),
    "forbidden on page two": reply({"message": "no"}, 403),
    "no list on page two": reply({"message": "no"}),
    "HTML on page two": reply(b"<html></html>", kind="text/html"),
    "texts in the list": reply(["org"]),
}


@pytest.mark.parametrize("bad", BAD_PAGES.values(), ids=BAD_PAGES.keys())
def test_a_page_that_fails_lets_nobody_in_even_who_is_on_page_one(bad: Reply) -> None:
    with pytest.raises(ProviderInvalid):
        identified(client(allowed_orgs=("org1",)), orgs=[page(1), bad])


def test_a_next_page_elsewhere_does_not_get_the_token() -> None:
    for where in (
        "https://evil.example/user/orgs",
        "https://api.github.com.evil.example/orgs",
        "//evil.example/orgs",
    ):
        with pytest.raises(ProviderInvalid):
            identified(client(allowed_orgs=("org1",)), orgs=[page(1, where=where)])


def test_a_list_without_end_is_given_up_on() -> None:
    with pytest.raises(ProviderInvalid):
        identified(client(allowed_orgs=("org1",)), orgs=[page(1) for _ in range(PAGES_MAX + 1)])


def test_that_github_is_down_is_no_refusal() -> None:
    with pytest.raises(ProviderUnavailable):
        play(client().finish(came_back()), token_reply(), ProviderUnavailable("down"))


def test_githubs_errors_come_with_200() -> None:
    with pytest.raises(ProviderRefused):
        play(client().finish(came_back()), reply({"error": "bad_verification_code"}))


def test_an_enterprise_server_is_an_issuer_of_its_own() -> None:
    op = client(web_url="https://ghe.example/", api_url="https://ghe.example/api/v3")
    identity, asked = identified(op)
    assert identity.issuer == "https://ghe.example"
    assert isinstance(asked[1], Get)
    assert asked[1].url == "https://ghe.example/api/v3/user"


def test_organisations_cannot_be_checked_without_the_scope() -> None:
    with pytest.raises(ValueError, match="read:org"):
        client(allowed_orgs=("example",), scopes=("read:user",))
