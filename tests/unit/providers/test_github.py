"""Signing in with GitHub: who it is, which address counts, and restrictions that fail closed."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from tests.unit.providers.player import NOW, answered, came_back, form_of, play, reply, start, token_reply
from vestibule.core.claim import LISTS
from vestibule.errors import ClientError, ProviderInvalid, ProviderRefused, ProviderUnavailable
from vestibule.model import Identity, Secret, Tokens
from vestibule.providers.base import Recheck
from vestibule.providers.github import GitHub, GitHubConfig
from vestibule.providers.kit import Ask, Get, PostForm, Reply, Send

USER = {"id": 583231, "login": "octocat", "name": "The Octocat", "email": "public@example.com"}
EMAILS = [
    {"email": "old@example.com", "primary": False, "verified": True},
    {"email": "octocat@Example.com", "primary": True, "verified": True},
]
ACME = {"id": 999999999, "login": "Acme"}
OTHER = {"id": 7, "login": "other"}
#: an organisation that somebody called like the number of another
POSER = {"id": 8, "login": "999999999"}
CORE = {"id": 1111111, "slug": "core", "organization": ACME}
TOKENS = Tokens(access_token=Secret("at-1"))


def client(**fields: Any) -> GitHub:
    return GitHubConfig(
        **{"name": "github", "client_id": "cid", "client_secret": Secret("s3"), **fields}
    ).open()


def member(org: Any, state: str = "active") -> dict[str, Any]:
    return {"state": state, "role": "member", "organization": org}


def repo(name: str = "Acme/app", *, private: bool = True, **rights: bool) -> Reply:
    rights = {"pull": True, "push": False, "admin": False, **rights}
    return reply({"id": 3, "full_name": name, "private": private, "permissions": rights})


class Api:
    """GitHub's API from a table; lists come in pages."""

    def __init__(self, **pages: list[Any]) -> None:
        self.pages = {
            "orgs": [reply([member(ACME), member(OTHER)])],
            "emails": [reply(EMAILS)],
            "user": [reply(USER)],
            "teams": [reply([CORE])],
            **pages,
        }

    def __call__(self, ask: Ask) -> Any:
        if isinstance(ask, PostForm):
            return token_reply(scope="read:user,user:email")
        assert isinstance(ask, Get)
        assert ask.bearer == Secret("at-1")
        assert dict(ask.headers)["accept"] == "application/vnd.github+json"
        name = urlsplit(ask.url).path.rpartition("/")[2]
        return self.pages[name].pop(0)


def identified(op: GitHub, **pages: list[Reply]) -> tuple[Identity, list[Ask]]:
    signed_in, asked = answered(op.finish(came_back()), Api(**pages))
    assert signed_in.identity is not None
    return signed_in.identity, asked


def urls(asked: list[Ask]) -> list[str]:
    return [ask.url.removeprefix("https://api.github.com") for ask in asked if isinstance(ask, Get)]


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
        unknown=LISTS,
    )
    assert form_of(asked[0])["client_secret"] == "s3"
    assert urls(asked) == ["/user", "/user/emails?per_page=100"]


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


@pytest.mark.parametrize(("domain", "email"), [("example.com", "octocat@example.com"), ("old.example", "")])
def test_it_is_the_primary_address_whose_domain_must_be_allowed(domain: str, email: str) -> None:
    emails = [{"email": "o@old.example", "primary": False, "verified": True}, EMAILS[1]]
    assert identified(client(email_domains=(domain,)), emails=[reply(emails)])[0].email == email


def test_addresses_are_not_asked_for_without_the_scope() -> None:
    identity, asked = identified(client(scopes=("read:user",)))
    assert identity.email == ""
    assert len(asked) == 2


@pytest.mark.parametrize(
    "user",
    [
        {},
        {"id": None},
        {"id": "583231"},
        {"id": True},
        [],
        {"login": "octocat"},
        {"id": 5},
        {"id": 5, "login": 6},
    ],
)
def test_an_account_without_number_or_login_is_nobody(user: Any) -> None:
    with pytest.raises(ProviderInvalid):
        identified(client(), user=[reply(user)])


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("name", ["user", "emails", "orgs", "teams"])
def test_a_refused_api_call_signs_nobody_in(name: str, status: int) -> None:
    with pytest.raises(ProviderInvalid):
        identified(client(allowed_orgs=("acme",)), **{name: [reply({}, status)]})


# Restrictions: each row admits the one, and denies its twin.

RESTRICTED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "organisation by name": (
        {"allowed_orgs": ("acme",)},
        {},
        {"orgs": [reply([member({"id": 5, "login": "acme-evil"}), member({"id": 6, "login": "evil-acme"})])]},
    ),
    "organisation by number": (
        {"allowed_orgs": ("999999999",)},
        {},
        {"orgs": [reply([member(POSER), member(OTHER)])]},
    ),
    "active member": (
        {"allowed_orgs": ("acme",)},
        {"orgs": [reply([member(ACME)])]},
        {"orgs": [reply([member(ACME, "pending")])]},
    ),
    "any of the organisations": (
        {"allowed_orgs": ("nobody", "OTHER")},
        {},
        {"orgs": [reply([])]},
    ),
    "team by name": (
        {"allowed_teams": ("acme/Core",)},
        {},
        {"teams": [reply([{"id": 2, "slug": "core", "organization": OTHER}])]},
    ),
    "team by number": (
        {"allowed_teams": ("1111111",)},
        {},
        {"teams": [reply([{"id": 2, "slug": "1111111", "organization": ACME}])]},
    ),
    "team of the one organisation": (
        {"allowed_orgs": ("acme",), "allowed_teams": ("core",)},
        {},
        {"teams": [reply([{"id": 2, "slug": "core", "organization": OTHER}])]},
    ),
    "team of the one organisation by number": (
        {"allowed_orgs": ("999999999",), "allowed_teams": ("core",)},
        {},
        {
            "orgs": [reply([member(ACME), member(POSER)])],
            "teams": [reply([{"id": 2, "slug": "core", "organization": POSER}])],
        },
    ),
    "organisation and team": (
        {"allowed_orgs": ("999999999",), "allowed_teams": ("1111111",)},
        {},
        {"orgs": [reply([member(OTHER)])]},
    ),
    "team of an organisation that is only pending": (
        {"allowed_teams": ("acme/core",)},
        {},
        {"orgs": [reply([member(ACME, "pending")])]},
    ),
    "private repository": (
        {"allowed_repos": ("acme/app",)},
        {"app": [repo()]},
        {"app": [reply({"message": "Not Found"}, 404)]},
    ),
    "private repository, not a public one": (
        {"allowed_repos": ("acme/app",)},
        {"app": [repo()]},
        {"app": [repo(private=False)]},
    ),
    "public repository": (
        {"allowed_repos": ("acme/app",)},
        {"app": [repo(private=False, push=True)]},
        {"app": [repo(private=False)]},
    ),
    "repository to push to": (
        {"allowed_repos": ("acme/app=push",)},
        {"app": [repo(push=True)]},
        {"app": [repo()]},
    ),
    "repository to administer": (
        {"allowed_repos": ("acme/app=admin",)},
        {"app": [repo(push=True, admin=True)]},
        {"app": [repo(push=True)]},
    ),
    "repository that moved away": (
        {"allowed_repos": ("acme/app",)},
        {"app": [repo("ACME/app")]},
        {"app": [repo("mallory/app", admin=True)]},
    ),
    "any of the repositories": (
        {"allowed_repos": ("acme/app", "acme/lib")},
        {"app": [reply({}, 404)], "lib": [repo("acme/lib")]},
        {"app": [reply({}, 404)], "lib": [reply({}, 404)]},
    ),
    "login": (
        {"allowed_users": ("Octocat",)},
        {},
        {"user": [reply({**USER, "login": "octodog"})]},
    ),
    "account by number": (
        {"allowed_users": ("583231",)},
        {},
        {"user": [reply({"id": 9, "login": "583231"})]},
    ),
    "login, and organisation as well": (
        {"allowed_users": ("octocat",), "allowed_orgs": ("acme",)},
        {},
        {"orgs": [reply([member(OTHER)])]},
    ),
}


@pytest.mark.parametrize(("fields", "admits", "denies"), RESTRICTED.values(), ids=RESTRICTED.keys())
def test_a_restriction_admits_and_denies(fields: Any, admits: Any, denies: Any) -> None:
    op = client(**fields)
    assert op.is_restricted
    assert identified(op, **dict(admits))[0].subject == "583231"
    with pytest.raises(ClientError) as caught:
        identified(op, **dict(denies))
    assert (caught.value.status, caught.value.code) == (403, "not_admitted")


def test_without_restrictions_any_account_will_do() -> None:
    assert not client().is_restricted


def test_what_it_asks_for_follows_from_the_restrictions() -> None:
    base = ("read:user", "user:email")
    assert client(allowed_orgs=("acme",)).scopes == (*base, "read:org")
    assert client(allowed_teams=("acme/core",)).scopes == (*base, "read:org")
    assert client(allowed_repos=("acme/app",)).scopes == (*base, "repo")
    assert client(allowed_users=("octocat",)).scopes == base
    assert client(allowed_repos=("a/b",), scopes=base).scopes == base


def test_organisations_teams_and_repositories_are_known_by_their_names() -> None:
    op = client(allowed_orgs=("acme",), allowed_repos=("acme/app", "acme/lib=push"))
    orgs = [reply([member(ACME), member(OTHER), member(POSER)])]
    teams = [reply([CORE, {"id": 4, "slug": "x", "organization": POSER}])]
    pages: Any = {"orgs": orgs, "teams": teams, "app": [repo()], "lib": [repo("acme/lib")]}
    identity, asked = identified(op, **pages)
    assert (identity.orgs, identity.teams, identity.repos) == (
        ("Acme", "other"),
        ("Acme/core",),
        ("acme/app",),
    )
    assert identity.unknown == ("groups", "projects", "repos", "roles")
    assert urls(asked) == [
        "/user",
        "/user/memberships/orgs?state=active&per_page=100",
        "/user/teams?per_page=100",
        "/repos/acme/app",
        "/repos/acme/lib",
        "/user/emails?per_page=100",
    ]


def test_who_was_put_out_is_found_out_without_signing_in_again() -> None:
    op = client(allowed_orgs=("acme",))
    assert isinstance(op, Recheck)
    identity, _ = identified(op)
    assert answered(op.recheck(identity, TOKENS, NOW), Api())[0] == identity
    with pytest.raises(ClientError):
        answered(op.recheck(identity, TOKENS, NOW), Api(orgs=[reply([member(OTHER)])]))
    with pytest.raises(ProviderInvalid):
        answered(op.recheck(identity, TOKENS, NOW), Api(user=[reply({**USER, "id": 6})]))


@pytest.mark.parametrize("name", ["user", "orgs", "teams", "emails"])
def test_a_token_that_github_takes_no_more_ends_the_session_and_an_outage_does_not(name: str) -> None:
    op = client(allowed_orgs=("acme",))
    identity, _ = identified(op)
    answers = ((401, ProviderRefused), (403, ProviderInvalid), (429, ProviderUnavailable))
    for status, error in answers:
        with pytest.raises(error):
            answered(op.recheck(identity, TOKENS, NOW), Api(**{name: [reply({}, status)]}))


def page(number: int, *, more: bool = True, where: str = "https://api.github.com/user/orgs") -> Reply:
    links = f'<{where}?page={number + 1}>; rel="next", <{where}?page=9>; rel="last"' if more else ""
    return reply([member({"id": number, "login": f"org{number}"})], link=links)


def test_organisations_are_read_to_the_last_page() -> None:
    orgs = [page(1), page(2), page(3, more=False)]
    identity, asked = identified(client(allowed_orgs=("Org3",)), orgs=orgs)
    assert identity.orgs == ("org1", "org2", "org3")
    assert urls(asked)[2:4] == ["/user/orgs?page=2", "/user/orgs?page=3"]


BAD_PAGES: dict[str, tuple[Reply, type[Exception]]] = {
    "an error on page two": (reply({}, 502), ProviderUnavailable),
    "forbidden on page two": (reply({"message": "no"}, 403), ProviderInvalid),
    "rate limit on page two": (reply({}, 403, **{"x-ratelimit-remaining": "0"}), ProviderUnavailable),
    "no list on page two": (reply({"message": "no"}), ProviderInvalid),
    "HTML on page two": (reply(b"<html></html>", kind="text/html"), ProviderInvalid),
    "texts in the list": (reply(["org"]), ProviderInvalid),
    "no organisation in it": (reply([{"state": "active"}]), ProviderInvalid),
    "an organisation without a number": (reply([member({"login": "acme"})]), ProviderInvalid),
    "an organisation without a name": (reply([member({"id": 5})]), ProviderInvalid),
}


@pytest.mark.parametrize(("bad", "error"), BAD_PAGES.values(), ids=BAD_PAGES.keys())
def test_a_page_that_fails_lets_nobody_in_even_who_is_on_page_one(bad: Reply, error: type[Exception]) -> None:
    with pytest.raises(error):
        identified(client(allowed_orgs=("org1",)), orgs=[page(1), bad])


BAD_TEAMS: tuple[Any, ...] = (
    {"message": "no"},
    [{"id": 1111111, "slug": "core"}],
    [{"id": 1111111, "organization": ACME}],
    [{"id": "1111111", "slug": "core", "organization": ACME}],
    [{"id": 1111111, "slug": "core", "organization": {"login": "Acme"}}],
)


@pytest.mark.parametrize("teams", BAD_TEAMS)
def test_teams_that_cannot_be_read_let_nobody_in(teams: Any) -> None:
    with pytest.raises(ProviderInvalid):
        identified(client(allowed_teams=("1111111",)), teams=[reply(teams)])


BAD_REPOS: tuple[Reply, ...] = (
    reply({}),
    reply([]),
    reply({"full_name": "acme/app", "private": True}),
    reply({"full_name": "acme/app", "private": True, "permissions": ["pull"]}),
    reply({"message": "no"}, 403),
    reply({"message": "gone"}, 451),
)


@pytest.mark.parametrize("bad", BAD_REPOS)
def test_a_repository_that_cannot_be_read_lets_nobody_in(bad: Reply) -> None:
    with pytest.raises(ProviderInvalid):
        identified(client(allowed_repos=("acme/app",)), app=[bad])


def test_rights_count_only_when_they_are_true() -> None:
    rights: Any = {"full_name": "acme/app", "private": True, "permissions": {"pull": "true"}}
    with pytest.raises(ClientError):
        identified(client(allowed_repos=("acme/app",)), app=[reply(rights)])


def test_a_next_page_elsewhere_does_not_get_the_token() -> None:
    with pytest.raises(ProviderInvalid):
        identified(client(allowed_orgs=("org1",)), orgs=[page(1, where="https://evil.example/user/orgs")])


REQUIRED = {"x-github-sso": "required; url=https://github.com/orgs/acme/sso?authorization_request=AbC"}
PARTIAL = {"x-github-sso": "partial-results; organizations=999999999"}
SIGN_ON: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "organisations refused": ({"allowed_orgs": ("acme",)}, {"orgs": [reply({}, 403, **REQUIRED)]}),
    "organisations left out": ({"allowed_orgs": ("acme",)}, {"orgs": [reply([], **PARTIAL)]}),
    "teams left out": ({"allowed_teams": ("acme/core",)}, {"teams": [reply([], **PARTIAL)]}),
    "repository refused": ({"allowed_repos": ("acme/app",)}, {"app": [reply({}, 403, **REQUIRED)]}),
}


@pytest.mark.parametrize(("fields", "pages"), SIGN_ON.values(), ids=SIGN_ON.keys())
def test_an_organisation_behind_single_sign_on_says_so(fields: Any, pages: Any) -> None:
    with pytest.raises(ClientError) as caught:
        identified(client(**fields), **dict(pages))
    assert (caught.value.status, caught.value.code) == (403, "single_sign_on")
    assert "x-github-sso" in caught.value.detail
    assert "AbC" not in caught.value.detail


def test_another_organisation_behind_single_sign_on_keeps_nobody_out() -> None:
    orgs = [reply([member(OTHER)], **PARTIAL)]
    assert identified(client(allowed_orgs=("other",)), orgs=orgs)[0].orgs == ("other",)


def test_that_github_is_down_is_no_refusal() -> None:
    with pytest.raises(ProviderUnavailable):
        play(client().finish(came_back()), token_reply(), ProviderUnavailable("down"))


def test_githubs_errors_come_with_200() -> None:
    with pytest.raises(ProviderRefused):
        play(client().finish(came_back()), reply({"error": "bad_verification_code"}))


@pytest.mark.parametrize(
    ("fields", "issuer", "api"),
    [
        ({"web_url": "https://ghe.example/"}, "https://ghe.example", "https://ghe.example/api/v3"),
        ({"web_url": "https://acme.ghe.com"}, "https://acme.ghe.com", "https://api.acme.ghe.com"),
        (
            {"web_url": "https://ghe.example", "api_url": "https://api.ghe.example/"},
            "https://ghe.example",
            "https://api.ghe.example",
        ),
    ],
)
def test_an_enterprise_server_is_an_issuer_of_its_own(fields: Any, issuer: str, api: str) -> None:
    identity, asked = identified(client(**fields))
    assert identity.issuer == issuer
    assert isinstance(asked[0], PostForm)
    assert asked[0].url == f"{issuer}/login/oauth/access_token"
    assert isinstance(asked[1], Get)
    assert asked[1].url == f"{api}/user"


def test_the_token_is_deleted_at_sign_out() -> None:
    _, asked = play(client(client_id="Iv1/x").revoke(TOKENS, NOW), reply(b"", 204))
    (ask,) = asked
    assert isinstance(ask, Send)
    assert (ask.method, ask.url) == ("DELETE", "https://api.github.com/applications/Iv1%2Fx/token")
    assert ask.basic == ("Iv1/x", Secret("s3"))
    assert msgspec.json.decode(ask.body) == {"access_token": "at-1"}


def test_for_good_all_that_the_account_gave_is_taken_back() -> None:
    op = client(revoke_at_sign_out=False)
    (ask,) = play(op.revoke(TOKENS, NOW, for_good=True), reply(b"", 204))[1]
    assert isinstance(ask, Send)
    assert (ask.method, ask.url) == ("DELETE", "https://api.github.com/applications/cid/grant")


@pytest.mark.parametrize("fields", [{"revoke_at_sign_out": False}, {"client_secret": Secret("")}])
def test_the_token_may_be_left_at_sign_out(fields: Any) -> None:
    assert play(client(**fields).revoke(TOKENS, NOW)) == (None, [])


BAD_CONFIG: dict[str, tuple[dict[str, Any], str]] = {
    "organisations without the scope": (
        {"allowed_orgs": ("acme",), "scopes": ("read:user",)},
        "allowed_orgs",
    ),
    "teams without the scope": ({"allowed_teams": ("a/b",), "scopes": ("read:user",)}, "allowed_teams"),
    "a team of no organisation": ({"allowed_teams": ("core",)}, "allowed_teams"),
    "a team of one of two": ({"allowed_teams": ("core",), "allowed_orgs": ("a", "b")}, "allowed_teams"),
    "a repository without owner": ({"allowed_repos": ("app",)}, "allowed_repos"),
    "a path": ({"allowed_repos": ("acme/app/../../user",)}, "allowed_repos"),
    "a strange permission": ({"allowed_repos": ("acme/app=write",)}, "allowed_repos"),
    "another scheme": ({"web_url": "ftp://ghe.example"}, "web_url"),
    "another scheme for the API": ({"api_url": "ftp://ghe.example"}, "api_url"),
}


@pytest.mark.parametrize(("fields", "attribute"), BAD_CONFIG.values(), ids=BAD_CONFIG.keys())
def test_a_configuration_that_cannot_work_is_refused(fields: Any, attribute: str) -> None:
    with pytest.raises(ValueError, match=f"^{attribute} "):
        client(**fields)
