"""Kinds that are OpenID Connect with something of their own: Gitea, Forgejo, Slack, Twitch, LinkedIn."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from tests.unit.providers.player import NOW, answered, came_back, form_of, jwks_of, reply, start, token_reply
from tests.unit.providers.test_oidc import METADATA, RSA, id_token
from vestibule.core.policy import decide, policy_of
from vestibule.core.rule import rule
from vestibule.errors import ClientError, ProviderInvalid, ProviderUnavailable
from vestibule.model import Allow, Asker, Deny, Identity, Secret, Tokens
from vestibule.providers import BUILTIN
from vestibule.providers.kit import Ask, Discovery, Get, Keys, PostForm, Reply
from vestibule.providers.oidc import Oidc

GITEA = "https://git.example"
SLACK = "https://slack.com"
TWITCH = "https://id.twitch.tv/oauth2"
LINKEDIN = "https://www.linkedin.com/oauth"
ISSUERS = {"gitea": GITEA, "forgejo": GITEA, "slack": SLACK, "twitch": TWITCH, "linkedin": LINKEDIN}
SETTINGS: dict[str, dict[str, Any]] = {
    "gitea": {"web_url": f"{GITEA}/"},
    "forgejo": {"web_url": GITEA},
}
FORGES = pytest.mark.parametrize("name", ["gitea", "forgejo"])
SLACK_CLAIMS = {
    "https://slack.com/team_id": "T0ACME",
    "https://slack.com/team_domain": "acme",
    "https://slack.com/team_name": "Acme",
    "https://slack.com/user_id": "alice",
}
API: dict[str, Any] = {
    f"{GITEA}/api/v1/user/emails": [
        {"email": "old@example.com", "verified": True, "primary": False},
        {"email": "ann@example.com", "verified": True, "primary": True},
    ],
    f"{GITEA}/api/v1/user/orgs?limit=50": [
        {"id": 3, "name": "acme", "full_name": "Acme"},
        {"id": 4, "username": "old"},
    ],
    f"{GITEA}/api/v1/user/teams?limit=50": [
        {"id": 9, "name": "core", "organization": {"id": 3, "name": "acme"}},
    ],
}


def client(name: str, **fields: Any) -> Oidc:
    settings = {"name": name, "client_id": "cid", "client_secret": Secret("s3"), **SETTINGS.get(name, {})}
    op: Oidc = BUILTIN[name](**{**settings, **fields}).open()
    return op


class Server:
    """A provider with these claims in its ID token and in userinfo, and these answers of its API."""

    def __init__(self, name: str, claims: Any = None, instead: Any = None, userinfo: Any = None) -> None:
        self.issuer = ISSUERS[name]
        self.claims = {"groups": None, "preferred_username": "ann", **(claims or {})}
        self.api = {**API, **(instead or {})}
        self.userinfo = userinfo

    def __call__(self, ask: Ask) -> Any:
        match ask:
            case Discovery():
                return {**METADATA, "issuer": self.issuer, "revocation_endpoint": ""}
            case Keys():
                return jwks_of(RSA)
            case PostForm():
                return token_reply(id_token=id_token(iss=self.issuer, **self.claims))
        assert isinstance(ask, Get)
        assert ask.bearer == Secret("at-1")
        if ask.url == METADATA["userinfo_endpoint"]:
            return reply(self.userinfo or {"sub": "alice"})
        answer = self.api[ask.url]
        return answer if isinstance(answer, Reply) else reply(answer)


def identified(name: str, server: Server, **fields: Any) -> tuple[Identity, list[Ask]]:
    op = client(name, **fields)
    signed_in, asked = answered(op.finish(came_back(code="c", iss=server.issuer)), server)
    assert signed_in.identity is not None
    return signed_in.identity, asked


def query_of(name: str, **fields: Any) -> dict[str, str]:
    url, _ = answered(client(name, **fields).start(start(login_hint="ann")), Server(name))
    return dict(parse_qsl(urlsplit(url).query))


# Gitea and Forgejo


@FORGES
def test_a_forge_says_who_came_and_what_of(name: str) -> None:
    identity, asked = identified(name, Server(name))
    assert (identity.client, identity.issuer, identity.subject) == (name, GITEA, "alice")
    assert (identity.login, identity.email) == ("ann", "ann@example.com")
    assert (identity.orgs, identity.teams) == (("acme", "old"), ("acme/core",))
    assert set(identity.unknown) == {"groups", "projects", "repos", "roles"}
    assert [ask.url for ask in asked if isinstance(ask, Get)] == list(API)
    assert query_of(name)["scope"] == "openid profile email read:user read:organization"


def test_each_forge_has_its_name() -> None:
    assert (client("gitea").title, client("forgejo").title) == ("Gitea", "Forgejo")
    assert (client("gitea").kind, client("forgejo").kind) == ("gitea", "forgejo")


EMAILS: dict[str, list[Any]] = {
    "none": [],
    "not verified": [{"email": "a@b.example", "primary": True, "verified": False}],
    "not primary": [{"email": "a@b.example", "primary": False, "verified": True}],
    "verified by text": [{"email": "a@b.example", "primary": True, "verified": "true"}],
}


@pytest.mark.parametrize("emails", EMAILS.values(), ids=EMAILS.keys())
def test_no_other_address_counts_least_of_all_the_tokens(emails: list[Any]) -> None:
    server = Server("gitea", {"email": "m@evil.example", "email_verified": True}, {next(iter(API)): emails})
    assert identified("gitea", server)[0].email == ""


FORGE_RESTRICTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "organisation": (
        {"allowed_orgs": ("Acme",)},
        {list(API)[1]: [{"id": 3, "name": "acme-evil"}]},
    ),
    "no organisation": ({"allowed_orgs": ("acme",)}, {list(API)[1]: []}),
    "team": (
        {"allowed_teams": ("acme/Core",)},
        {list(API)[2]: [{"id": 9, "name": "core", "organization": {"name": "evil"}}]},
    ),
    "organisation and team": (
        {"allowed_orgs": ("acme",), "allowed_teams": ("acme/core",)},
        {list(API)[2]: []},
    ),
}


@pytest.mark.parametrize(("fields", "denies"), FORGE_RESTRICTED.values(), ids=FORGE_RESTRICTED.keys())
@FORGES
def test_a_forges_restriction_admits_and_denies(name: str, fields: Any, denies: Any) -> None:
    assert client(name, **fields).is_restricted
    identity, _ = identified(name, Server(name), **fields)
    tokens = Tokens(access_token=Secret("at-1"))
    assert (
        answered(client(name, **fields).recheck(identity, tokens, NOW), Server(name))[0].orgs == identity.orgs
    )
    with pytest.raises(ClientError) as caught:
        identified(name, Server(name, instead=denies), **fields)
    assert (caught.value.status, caught.value.code) == (403, "not_admitted")
    with pytest.raises(ClientError):
        answered(client(name, **fields).recheck(identity, tokens, NOW), Server(name, instead=denies))


BAD_LISTS: dict[str, tuple[Any, type[Exception]]] = {
    "refused": (reply({}, 403), ProviderInvalid),
    "too many questions": (reply({}, 429), ProviderUnavailable),
    "an object": (reply({}), ProviderInvalid),
    "texts": (reply(["acme"]), ProviderInvalid),
    "no name": (reply([{"id": 3}]), ProviderInvalid),
    "name of digits alone is no text": (reply([{"name": 3}]), ProviderInvalid),
    "HTML": (reply(b"<html>", kind="text/html"), ProviderInvalid),
}


@pytest.mark.parametrize(("bad", "error"), BAD_LISTS.values(), ids=BAD_LISTS.keys())
@pytest.mark.parametrize("url", list(API)[1:], ids=["orgs", "teams"])
def test_a_list_that_cannot_be_read_lets_nobody_in(url: str, bad: Reply, error: type[Exception]) -> None:
    with pytest.raises(error):
        identified("gitea", Server("gitea", instead={url: bad}))


def test_organisations_are_read_to_the_last_page() -> None:
    url = list(API)[1]
    first = reply([{"name": "a"}], link=f'<{url}&page=2>; rel="next"')
    server = Server("gitea", instead={url: first, f"{url}&page=2": [{"name": "b"}]})
    assert identified("gitea", server, allowed_orgs=("b",))[0].orgs == ("a", "b")
    broken = Server("gitea", instead={url: first, f"{url}&page=2": reply({}, 404)})
    with pytest.raises(ProviderInvalid):
        identified("gitea", broken, allowed_orgs=("a",))


def test_without_the_scope_nothing_is_known_of_organisations() -> None:
    identity, asked = identified("gitea", Server("gitea"), scopes=("openid", "read:user"))
    assert (identity.email, identity.orgs) == ("", ())
    assert {"orgs", "teams"} <= set(identity.unknown)
    assert not any(isinstance(ask, Get) for ask in asked)


@pytest.mark.parametrize(
    ("fields", "attribute"),
    [
        ({"web_url": ""}, "web_url"),
        ({"allowed_teams": ("core",)}, "allowed_teams"),
        ({"allowed_orgs": ("acme",), "scopes": ("openid", "read:user")}, "allowed_orgs"),
        ({"allowed_teams": ("a/b",), "scopes": ("openid", "read:user")}, "allowed_teams"),
    ],
)
@FORGES
def test_a_forge_that_cannot_work_is_refused(name: str, fields: Any, attribute: str) -> None:
    with pytest.raises(ValueError, match=f"^{attribute} "):
        client(name, **fields)


@pytest.mark.parametrize("name", ["gitea", "forgejo", "gitlab"])
def test_in_a_database_one_server_says_who_came_and_what_of(name: str) -> None:
    assert not client(name, web_url=GITEA, is_trusted=False).is_trusted
    assert client(name, web_url=GITEA, issuer="https://other.example").is_trusted
    with pytest.raises(ValueError, match=r"^issuer "):
        client(name, web_url=GITEA, issuer="https://other.example", is_trusted=False)


# Slack


def test_a_person_at_slack_is_one_of_a_workspace() -> None:
    identity, _ = identified("slack", Server("slack", SLACK_CLAIMS))
    assert (identity.issuer, identity.subject) == ("https://slack.com/T0ACME", "alice")
    assert (identity.name, identity.email) == ("Alice", "alice@example.com")
    assert identity.orgs == ("T0ACME", "acme")
    elsewhere = {**SLACK_CLAIMS, "https://slack.com/team_id": "T0EVIL"}
    assert identified("slack", Server("slack", elsewhere))[0].issuer != identity.issuer


@pytest.mark.parametrize("workspace", ["T0ACME", "acme"])
def test_a_workspace_admits_and_another_does_not(workspace: str) -> None:
    op = client("slack", allowed_workspaces=(workspace,))
    assert op.is_restricted
    identity, _ = identified("slack", Server("slack", SLACK_CLAIMS), allowed_workspaces=(workspace,))
    tokens = Tokens(access_token=Secret("at-1"))
    told = {"ok": True, "sub": "alice", **SLACK_CLAIMS}
    assert (
        answered(op.recheck(identity, tokens, NOW), Server("slack", userinfo=told))[0].orgs == identity.orgs
    )
    others = {
        **SLACK_CLAIMS,
        "https://slack.com/team_id": "T0EVIL",
        "https://slack.com/team_domain": "t0acme",
    }
    with pytest.raises(ClientError) as caught:
        identified("slack", Server("slack", others), allowed_workspaces=(workspace,))
    assert caught.value.code == "not_admitted"
    for answer in ({**told, **others}, {"ok": False, "error": "account_inactive"}):
        with pytest.raises((ClientError, ProviderInvalid)):
            answered(op.recheck(identity, tokens, NOW), Server("slack", userinfo=answer))


@pytest.mark.parametrize("team", ["T0ACME", "T024BE7LD", "TABCDEFGH", "T01ABCDEFGH"])
def test_a_workspace_whose_domain_is_the_id_of_another_is_not_that_one(team: str) -> None:
    """A rule `org:T024BE7LD` holds in any case; whoever makes a workspace chooses its domain."""
    others = {"https://slack.com/team_id": "T0EVIL", "https://slack.com/team_domain": team.lower()}
    identity, _ = identified("slack", Server("slack", {**SLACK_CLAIMS, **others}))
    policy = policy_of(allow=(rule("org", team),), sign_in=frozenset({identity.client}))
    assert isinstance(decide(policy, b"GET", Asker((identity,))), Deny)
    good, _ = identified("slack", Server("slack", {**SLACK_CLAIMS, "https://slack.com/team_id": team}))
    assert isinstance(decide(policy, b"GET", Asker((good,))), Allow)
    with pytest.raises(ValueError, match=r"^allowed_workspaces"):
        client("slack", allowed_workspaces=(team.lower(),))


@pytest.mark.parametrize("team", [None, "", 5, ["T0ACME"]])
def test_without_a_workspace_nobody_came(team: Any) -> None:
    with pytest.raises(ProviderInvalid):
        identified("slack", Server("slack", {**SLACK_CLAIMS, "https://slack.com/team_id": team}))


def test_the_one_workspace_is_named_to_slack() -> None:
    assert query_of("slack", allowed_workspaces=("T0ACME",))["team"] == "T0ACME"
    assert "team" not in query_of("slack", allowed_workspaces=("T0ACME", "T0OTHER"))
    assert "team" not in query_of("slack", allowed_workspaces=("acme",))


# Twitch


def test_twitch_is_asked_for_each_claim() -> None:
    query = query_of("twitch")
    wanted = {"email": None, "email_verified": None, "preferred_username": None}
    assert msgspec.json.decode(query["claims"]) == {"id_token": wanted, "userinfo": wanted}
    assert query["scope"] == "openid user:read:email"


@pytest.mark.parametrize(("verified", "email"), [(True, "alice@example.com"), (False, ""), ("true", "")])
def test_an_address_at_twitch_counts_only_when_it_is_verified(verified: Any, email: str) -> None:
    identity, _ = identified("twitch", Server("twitch", {"email_verified": verified}))
    assert (identity.issuer, identity.login, identity.email) == (TWITCH, "ann", email)


def test_twitch_revokes_where_its_metadata_does_not_say() -> None:
    tokens = Tokens(access_token=Secret("at-1"))
    (_, ask) = answered(client("twitch").revoke(tokens, NOW), Server("twitch"))[1]
    assert isinstance(ask, PostForm)
    assert ask.url == f"{TWITCH}/revoke"
    assert (form_of(ask)["client_id"], form_of(ask)["token"]) == ("cid", "at-1")


# LinkedIn


def test_linkedin_gets_neither_nonce_nor_challenge_nor_verifier() -> None:
    query = query_of("linkedin")
    assert not {"nonce", "code_challenge", "code_challenge_method"} & set(query)
    assert (query["state"], query["scope"]) == ("st", "openid profile email")
    identity, asked = identified("linkedin", Server("linkedin", {"nonce": None}))
    assert identity.email == "alice@example.com"
    (form,) = [form_of(ask) for ask in asked if isinstance(ask, PostForm)]
    assert "code_verifier" not in form
    assert (form["code"], form["client_secret"]) == ("c", "s3")


@pytest.mark.parametrize(("verified", "email"), [("true", "alice@example.com"), ("false", ""), (False, "")])
def test_linkedins_text_that_says_true_is_true(verified: Any, email: str) -> None:
    server = Server("linkedin", {"nonce": None, "email_verified": verified})
    assert identified("linkedin", server)[0].email == email


@pytest.mark.parametrize(
    "claims", [{"aud": "other"}, {"iss": "https://www.linkedin.com"}, {"exp": int(NOW) - 900}]
)
def test_all_else_in_linkedins_token_is_checked(claims: dict[str, Any]) -> None:
    server = Server("linkedin", {"nonce": None})
    server.claims |= claims
    op = client("linkedin")
    flow = op.finish(came_back(code="c", iss=LINKEDIN))

    def by(ask: Ask) -> Any:
        if isinstance(ask, PostForm):
            return token_reply(id_token=id_token(**{"iss": LINKEDIN, **server.claims}))
        return server(ask)

    with pytest.raises(ProviderInvalid):
        answered(flow, by)


def test_without_a_secret_nothing_would_protect_linkedins_code() -> None:
    with pytest.raises(ValueError, match=r"^client_secret "):
        client("linkedin", client_secret=Secret(""))
