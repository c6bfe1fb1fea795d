"""Signing in with Bitbucket: who it is, which address counts, and restrictions that fail closed."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.unit.providers.player import NOW, answered, came_back, form_of, play, reply, start, token_reply
from vestibule.errors import ClientError, ProviderInvalid, ProviderUnavailable
from vestibule.model import Identity, Secret, Tokens
from vestibule.providers.bitbucket import Bitbucket, BitbucketConfig
from vestibule.providers.kit import Ask, Get, PostForm, Reply

USER = {
    "type": "user",
    "uuid": "{a1}",
    "account_id": "557058:x",
    "nickname": "ann",
    "display_name": "Ann",
}
EMAILS = [
    {"email": "old@example.com", "is_primary": False, "is_confirmed": True},
    {"email": "ann@Example.com", "is_primary": True, "is_confirmed": True},
]
TOKENS = Tokens(access_token=Secret("at-1"))
API = "https://api.bitbucket.org/2.0"


def client(**fields: Any) -> Bitbucket:
    return BitbucketConfig(
        **{"name": "bitbucket", "client_id": "cid", "client_secret": Secret("s"), **fields}
    ).open()


def page(*values: Any, following: str = "") -> Reply:
    return reply({"pagelen": 100, "values": list(values), **({"next": following} if following else {})})


def access(slug: str, uuid: str = "{w1}") -> dict[str, Any]:
    return {"type": "workspace_access", "administrator": False, "workspace": {"slug": slug, "uuid": uuid}}


def repo(name: str) -> dict[str, Any]:
    return {"type": "repository", "full_name": name, "is_private": True}


class Api:
    """Bitbucket's API from a table; lists come in pages."""

    def __init__(self, **pages: list[Reply]) -> None:
        self.pages = {
            "user": [reply(USER)],
            "workspaces": [page(access("acme"), access("other", "{w2}"))],
            "emails": [page(*EMAILS)],
            **pages,
        }

    def __call__(self, ask: Ask) -> Any:
        if isinstance(ask, PostForm):
            return token_reply(scopes="account email", refresh_token="rt-1")
        assert isinstance(ask, Get)
        assert ask.bearer == Secret("at-1")
        return self.pages[urlsplit(ask.url).path.rpartition("/")[2]].pop(0)


def identified(op: Bitbucket, **pages: list[Reply]) -> tuple[Identity, list[Ask]]:
    signed_in, asked = answered(op.finish(came_back()), Api(**pages))
    assert signed_in.identity is not None
    return signed_in.identity, asked


def test_people_are_sent_to_bitbucket() -> None:
    def query(**fields: Any) -> dict[str, str]:
        url, _ = play(client(**fields).start(start(login_hint="ann")))
        assert url.startswith("https://bitbucket.org/site/oauth2/authorize?")
        return dict(parse_qsl(urlsplit(url).query))

    assert query()["scope"] == "account email"
    assert query(allowed_repos=("acme/app",))["scope"] == "account email repository"
    assert "login_hint" not in query()


def test_the_account_is_its_uuid_and_its_workspaces_are_organisations() -> None:
    identity, asked = identified(client())
    assert identity == Identity(
        client="bitbucket",
        issuer="https://bitbucket.org",
        subject="{a1}",
        login="ann",
        name="Ann",
        email="ann@example.com",
        orgs=("acme", "other"),
        unknown=("groups", "teams", "projects", "repos", "roles"),
    )
    assert form_of(asked[0])["grant_type"] == "authorization_code"
    assert isinstance(asked[0], PostForm)
    assert asked[0].basic == ("cid", Secret("s"))
    assert [ask.url for ask in asked if isinstance(ask, Get)] == [
        f"{API}/user",
        f"{API}/user/workspaces?pagelen=100",
        f"{API}/user/emails?pagelen=100",
    ]


@pytest.mark.parametrize(
    "emails",
    [
        [],
        [{"email": "a@b.example", "is_primary": True, "is_confirmed": False}],
        [{"email": "a@b.example", "is_primary": False, "is_confirmed": True}],
        [{"email": "a@b.example", "is_primary": True, "is_confirmed": "true"}],
        [{"is_primary": True, "is_confirmed": True}],
    ],
)
def test_no_other_address_counts(emails: list[Any]) -> None:
    assert identified(client(), emails=[page(*emails)])[0].email == ""


def test_a_person_without_the_scope_for_addresses_is_still_a_person() -> None:
    identity, asked = identified(client(scopes=("account",)))
    assert identity.email == ""
    assert len(asked) == 3


RESTRICTED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "workspace": (
        {"allowed_workspaces": ("Acme",)},
        {},
        {"workspaces": [page(access("acme-evil"), access("evil-acme"))]},
    ),
    "workspace by uuid": ({"allowed_workspaces": ("{w2}",)}, {}, {"workspaces": [page(access("w2"))]}),
    "no workspace": ({"allowed_workspaces": ("acme",)}, {}, {"workspaces": [page()]}),
    "repository": (
        {"allowed_repos": ("acme/app",)},
        {"acme": [page(repo("acme/app"))]},
        {"acme": [page(repo("acme/app2"), repo("evil/app"))]},
    ),
    "repository of a workspace that is hidden": (
        {"allowed_repos": ("acme/app=write",)},
        {"acme": [page(repo("Acme/App"))]},
        {"acme": [reply({"type": "error"}, 404)]},
    ),
    "any of the repositories": (
        {"allowed_repos": ("other/lib", "acme/app")},
        {"other": [page()], "acme": [page(repo("acme/app"))]},
        {"other": [page()], "acme": [page()]},
    ),
    "workspace and repository": (
        {"allowed_workspaces": ("acme",), "allowed_repos": ("acme/app",)},
        {"acme": [page(repo("acme/app"))]},
        {"workspaces": [page()], "acme": [page(repo("acme/app"))]},
    ),
}


@pytest.mark.parametrize(("fields", "admits", "denies"), RESTRICTED.values(), ids=RESTRICTED.keys())
def test_a_restriction_admits_and_denies(fields: Any, admits: Any, denies: Any) -> None:
    op = client(**fields)
    assert op.is_restricted
    assert identified(op, **dict(admits))[0].subject == "{a1}"
    with pytest.raises(ClientError) as caught:
        identified(op, **dict(denies))
    assert (caught.value.status, caught.value.code) == (403, "not_admitted")


@pytest.mark.parametrize(
    ("right", "role"), [("", "member"), ("=read", "member"), ("=write", "contributor"), ("=admin", "admin")]
)
def test_a_right_in_a_repository_is_asked_for_by_its_role(right: str, role: str) -> None:
    identity, asked = identified(client(allowed_repos=(f"acme/app{right}",)), acme=[page(repo("acme/app"))])
    assert identity.repos == ("acme/app",)
    (url,) = [ask.url for ask in asked if isinstance(ask, Get) and "/repositories/" in ask.url]
    assert url.startswith(f"{API}/repositories/acme?")
    assert dict(parse_qsl(urlsplit(url).query)) == {"role": role, "q": 'slug="app"', "pagelen": "100"}


def test_workspaces_are_read_to_the_last_page() -> None:
    pages = [page(access("a"), following=f"{API}/user/workspaces?page=2"), page(access("b"))]
    assert identified(client(allowed_workspaces=("b",)), workspaces=pages)[0].orgs == ("a", "b")


BAD_PAGES: dict[str, tuple[Reply, type[Exception]]] = {
    "an error": (reply({"type": "error"}, 404), ProviderInvalid),
    "removed": (reply({"type": "error"}, 410), ProviderInvalid),
    "too many questions": (reply({}, 429), ProviderUnavailable),
    "no list": (reply({"values": {}}), ProviderInvalid),
    "a bare list": (reply([]), ProviderInvalid),
    "no workspace": (page({"administrator": True}), ProviderInvalid),
    "a workspace without slug": (page({"workspace": {"uuid": "{w3}"}}), ProviderInvalid),
    "a workspace without uuid": (page({"workspace": {"slug": "b"}}), ProviderInvalid),
    "HTML": (reply(b"<html>", kind="text/html"), ProviderInvalid),
}


@pytest.mark.parametrize(("bad", "error"), BAD_PAGES.values(), ids=BAD_PAGES.keys())
def test_a_page_that_fails_lets_nobody_in_even_who_is_on_page_one(bad: Reply, error: type[Exception]) -> None:
    pages = [page(access("a"), following=f"{API}/user/workspaces?page=2"), bad]
    with pytest.raises(error):
        identified(client(allowed_workspaces=("a",)), workspaces=pages)


def test_a_next_page_elsewhere_does_not_get_the_token() -> None:
    pages = [page(access("a"), following="https://api.bitbucket.org.evil.example/2.0/user/workspaces")]
    with pytest.raises(ProviderInvalid):
        identified(client(allowed_workspaces=("a",)), workspaces=pages)


@pytest.mark.parametrize("user", [{}, {"uuid": None}, {"uuid": ["{a1}"]}, {"nickname": "ann"}, []])
def test_an_account_without_uuid_is_nobody(user: Any) -> None:
    with pytest.raises(ProviderInvalid):
        identified(client(), user=[reply(user)])


def test_who_was_put_out_is_found_out_without_signing_in_again() -> None:
    op = client(allowed_workspaces=("acme",))
    identity, _ = identified(op)
    assert answered(op.recheck(identity, TOKENS, NOW), Api())[0] == identity
    with pytest.raises(ClientError):
        answered(op.recheck(identity, TOKENS, NOW), Api(workspaces=[page()]))


@pytest.mark.parametrize("repo_name", ["app", "a/b/c", "acme/app=push", 'acme/a"b'])
def test_a_repository_is_written_with_its_workspace(repo_name: str) -> None:
    with pytest.raises(ValueError, match=r"^allowed_repos "):
        client(allowed_repos=(repo_name,))
