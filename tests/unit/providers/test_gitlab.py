"""Signing in with GitLab: groups by full path, and access levels in projects that fail closed."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from tests.unit.providers.player import NOW, answered, came_back, jwks_of, play, reply, start, token_reply
from tests.unit.providers.test_oidc import METADATA, RSA, id_token
from vestibule.errors import ClientError, ProviderInvalid, ProviderRefused, ProviderUnavailable
from vestibule.model import Identity, Secret, Tokens
from vestibule.providers.gitlab import GitLab, GitLabConfig
from vestibule.providers.kit import Ask, Discovery, Get, Keys, PostForm, Reply

ISSUER = "https://gitlab.com"
USERINFO = {
    "sub": "17",
    "name": "Ann",
    "nickname": "ann",
    "preferred_username": "ann",
    "email": "ann@example.com",
    "email_verified": True,
    "groups": ["acme", "acme/platform", "other"],
}
TOKENS = Tokens(access_token=Secret("at-1"), id_token=Secret(id_token(sub="17", iat=int(NOW) - 3600)))


def client(**fields: Any) -> GitLab:
    return GitLabConfig(
        **{"name": "gitlab", "client_id": "cid", "client_secret": Secret("s"), **fields}
    ).open()


def project(path: str = "acme/app", **members: Any) -> Reply:
    return reply({"id": 5, "path_with_namespace": path, "archived": False, **members})


def member(level: Any, **members: Any) -> Reply:
    return reply({"id": 17, "username": "ann", "state": "active", "access_level": level, **members})


class Server:
    """GitLab from a table: what its API has at a path."""

    def __init__(self, issuer: str = ISSUER, userinfo: Any = USERINFO, **paths: Reply) -> None:
        self.issuer = issuer
        self.userinfo = userinfo
        self.paths = {unquote(path): answer for path, answer in paths.items()}

    def __call__(self, ask: Ask) -> Any:
        match ask:
            case Discovery():
                names = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
                return {**METADATA, "issuer": self.issuer, **{n: f"{self.issuer}/{n}" for n in names}}
            case Keys():
                return jwks_of(RSA)
            case PostForm():
                return token_reply(
                    id_token=id_token(iss=self.issuer, sub="17", groups=None, groups_direct=["acme"])
                )
        assert isinstance(ask, Get)
        assert ask.bearer == Secret("at-1")
        path = ask.url.removeprefix(self.issuer)
        if path == "/userinfo_endpoint":
            return reply(self.userinfo)
        return self.paths.get(unquote(path.removeprefix("/api/v4/projects/")), reply({"message": "404"}, 404))


def identified(op: GitLab, *, userinfo: Any = USERINFO, **paths: Reply) -> tuple[Identity, list[Ask]]:
    server = Server(userinfo=userinfo, **paths)
    signed_in, asked = answered(op.finish(came_back(code="c", iss=ISSUER)), server)
    assert signed_in.identity is not None
    return signed_in.identity, asked


def test_userinfo_has_groups_and_names() -> None:
    identity, _ = identified(client())
    assert (identity.issuer, identity.subject, identity.login) == (ISSUER, "17", "al")
    assert identity.groups == ("acme", "acme/platform", "other")
    assert "groups" not in identity.unknown
    assert {"projects", "repos", "orgs"} <= set(identity.unknown)


def test_what_it_asks_for_follows_from_the_restrictions() -> None:
    def scopes(**fields: Any) -> str:
        url, _ = answered(client(**fields).start(start()), Server())
        return dict(parse_qsl(urlsplit(url).query))["scope"]

    assert scopes(allowed_groups=("acme",)) == "openid profile email"
    assert scopes(allowed_projects=("acme/app",)) == "openid profile email read_api"
    assert scopes(allowed_projects=("acme/app",), scopes=("openid", "api")) == "openid api"


HELD = {"acme%2Fapp": project(), "acme%2Fapp/members/all/17": member(20)}
RESTRICTED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "group": (
        {"allowed_groups": ("Acme",)},
        {},
        {"userinfo": {**USERINFO, "groups": ["acme/platform", "acme-evil", "evil/acme"]}},
    ),
    "subgroup": (
        {"allowed_groups": ("acme/platform",)},
        {},
        {"userinfo": {**USERINFO, "groups": ["acme", "platform"]}},
    ),
    "groups nobody speaks of": (
        {"allowed_groups": ("acme",)},
        {},
        {"userinfo": {"sub": "17"}},
    ),
    "project": ({"allowed_projects": ("acme/app",)}, HELD, {}),
    "project not a member of": (
        {"allowed_projects": ("acme/app",)},
        HELD,
        {"acme%2Fapp": project(visibility="public")},
    ),
    "project by default as reporter": (
        {"allowed_projects": ("acme/app",)},
        HELD,
        {**HELD, "acme%2Fapp/members/all/17": member(10)},
    ),
    "project as guest": (
        {"allowed_projects": ("acme/app=guest",)},
        {**HELD, "acme%2Fapp/members/all/17": member(10)},
        {**HELD, "acme%2Fapp/members/all/17": member(5)},
    ),
    "project as developer": (
        {"allowed_projects": ("acme/app=developer",)},
        {**HELD, "acme%2Fapp/members/all/17": member(50)},
        {**HELD, "acme%2Fapp/members/all/17": member(20)},
    ),
    "project that is not archived": (
        {"allowed_projects": ("acme/app",)},
        HELD,
        {**HELD, "acme%2Fapp": project(archived=True)},
    ),
    "project that did not move": (
        {"allowed_projects": ("Acme/App",)},
        {"Acme%2FApp": project(), "Acme%2FApp/members/all/17": member(30)},
        {"Acme%2FApp": project("mallory/app"), "Acme%2FApp/members/all/17": member(50)},
    ),
    "project, active": (
        {"allowed_projects": ("acme/app",)},
        HELD,
        {**HELD, "acme%2Fapp/members/all/17": member(50, state="blocked")},
    ),
    "any of the projects": (
        {"allowed_projects": ("acme/lib", "acme/app")},
        HELD,
        {"acme%2Flib": project("acme/lib")},
    ),
    "group and project": (
        {"allowed_groups": ("acme",), "allowed_projects": ("acme/app",)},
        HELD,
        {**HELD, "userinfo": {**USERINFO, "groups": []}},
    ),
}


@pytest.mark.parametrize(("fields", "admits", "denies"), RESTRICTED.values(), ids=RESTRICTED.keys())
def test_a_restriction_admits_and_denies(fields: Any, admits: Any, denies: Any) -> None:
    op = client(**fields)
    assert op.is_restricted
    assert identified(op, **admits)[0].subject == "17"
    with pytest.raises(ClientError) as caught:
        identified(op, **denies)
    assert (caught.value.status, caught.value.code) == (403, "not_admitted")


def test_projects_are_known_by_path() -> None:
    op = client(allowed_projects=("acme/app=guest", "acme/lib=owner"))
    paths = {**HELD, "acme%2Flib": project("acme/lib"), "acme%2Flib/members/all/17": member(40)}
    identity, asked = identified(op, **paths)
    assert identity.projects == ("acme/app",)
    assert [ask.url for ask in asked if isinstance(ask, Get)][1:] == [
        "https://gitlab.com/api/v4/projects/acme%2Fapp",
        "https://gitlab.com/api/v4/projects/acme%2Fapp/members/all/17",
        "https://gitlab.com/api/v4/projects/acme%2Flib",
        "https://gitlab.com/api/v4/projects/acme%2Flib/members/all/17",
    ]


BAD: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "groups as text": ({"userinfo": {**USERINFO, "groups": "acme"}}, ProviderInvalid),
    "groups as objects": ({"userinfo": {**USERINFO, "groups": [{"path": "acme"}]}}, ProviderInvalid),
    "another account's userinfo": ({"userinfo": {**USERINFO, "sub": "18"}}, ProviderInvalid),
    "project refused": ({"acme%2Fapp": reply({}, 403)}, ProviderInvalid),
    "project is a list": ({"acme%2Fapp": reply([])}, ProviderInvalid),
    "too many questions": ({"acme%2Fapp": reply({}, 429)}, ProviderUnavailable),
    "members refused": ({**HELD, "acme%2Fapp/members/all/17": reply({}, 403)}, ProviderInvalid),
    "level as text": ({**HELD, "acme%2Fapp/members/all/17": member("50")}, ProviderInvalid),
    "level is true": ({**HELD, "acme%2Fapp/members/all/17": member(True)}, ProviderInvalid),
    "another member": ({**HELD, "acme%2Fapp/members/all/17": member(50, id=18)}, ProviderInvalid),
    "members as HTML": (
        {**HELD, "acme%2Fapp/members/all/17": reply(b"<html>", kind="text/html")},
        ProviderInvalid,
    ),
}


@pytest.mark.parametrize(("paths", "error"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_read_lets_nobody_in(paths: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        identified(client(allowed_groups=("acme",), allowed_projects=("acme/app",)), **paths)


def test_who_was_put_out_is_found_out_without_signing_in_again() -> None:
    op = client(allowed_groups=("acme",), allowed_projects=("acme/app",))
    identity, _ = identified(op, **HELD)
    again, _ = answered(op.recheck(identity, TOKENS, NOW), Server(**HELD))
    assert (again.groups, again.projects) == (identity.groups, identity.projects)
    outside: tuple[Server, ...] = (
        Server(userinfo={**USERINFO, "groups": []}, **HELD),
        Server(**{**HELD, "acme%2Fapp/members/all/17": reply({}, 404)}),
    )
    for server in outside:
        with pytest.raises(ClientError):
            answered(op.recheck(identity, TOKENS, NOW), server)
    with pytest.raises(ProviderRefused):
        answered(op.recheck(identity, TOKENS, NOW), Server(userinfo={"sub": "17"}, **HELD))


def test_an_instance_of_ones_own_is_its_own_issuer() -> None:
    op = client(web_url="https://git.example/lab/", allowed_projects=("acme/app",))
    server = Server("https://git.example/lab", **HELD)
    signed_in, asked = answered(op.finish(came_back(code="c", iss=server.issuer)), server)
    assert signed_in.identity is not None
    assert signed_in.identity.issuer == "https://git.example/lab"
    assert asked[0] == Discovery("https://git.example/lab")


def test_a_project_path_cannot_name_another_endpoint() -> None:
    _, asked = identified(client(allowed_projects=("acme/app",)), **HELD)
    assert all("/../" not in ask.url for ask in asked if isinstance(ask, Get))
    assert play(client().revoke(TOKENS, NOW), {**METADATA, "issuer": ISSUER}, reply({}))[0] is None


@pytest.mark.parametrize(
    ("fields", "attribute"),
    [
        ({"allowed_projects": ("app",)}, "allowed_projects"),
        ({"allowed_projects": ("acme/app=boss",)}, "allowed_projects"),
        ({"allowed_projects": ("acme/app?x=1",)}, "allowed_projects"),
        ({"allowed_projects": ("acme/app",), "scopes": ("openid",)}, "allowed_projects"),
        ({"web_url": "git.example"}, "web_url"),
        ({"web_url": ""}, "web_url"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(fields: Any, attribute: str) -> None:
    with pytest.raises(ValueError, match=f"^{attribute} "):
        client(**fields)
