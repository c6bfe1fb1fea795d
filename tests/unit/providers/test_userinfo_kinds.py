"""Kinds whose own API says who came: documented answers of each, what of them counts, and what lets nobody in."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.unit.providers.player import NOW, answered, came_back, form_of, play, reply, start, token_reply
from vestibule.errors import ClientError, ProviderInvalid, ProviderUnavailable
from vestibule.model import Identity, Secret, Tokens
from vestibule.providers import BUILTIN
from vestibule.providers.kit import Ask, Get, PostForm, Reply, Send
from vestibule.providers.oauth2 import OAuth2, Userinfo

TOKENS = Tokens(access_token=Secret("at-1"))
PROOF = hmac.new(b"s3cret", b"at-1", hashlib.sha256).hexdigest()


class Kind(NamedTuple):
    """One kind: its settings, where people go, what its API answers and who that is."""

    fields: dict[str, Any]
    authorize: str
    scopes: str
    token: str
    api: dict[str, Any]
    issuer: str
    subject: str
    login: str
    name: str
    email: str
    known: Mapping[str, tuple[str, ...]] = MappingProxyType({})


KINDS: dict[str, Kind] = {
    "sourcehut": Kind(
        {},
        "https://meta.sr.ht/oauth2/authorize",
        "meta.sr.ht/PROFILE:RO",
        "https://meta.sr.ht/oauth2/access-token",
        {
            "https://meta.sr.ht/query": {
                "data": {
                    "me": {"id": 17, "username": "ann", "canonicalName": "~ann", "email": "ann@example.com"}
                }
            }
        },
        "https://meta.sr.ht",
        "17",
        "ann",
        "~ann",
        "ann@example.com",
    ),
    "nextcloud": Kind(
        {"web_url": "https://cloud.example/nc/", "allowed_groups": ("staff",)},
        "https://cloud.example/nc/index.php/apps/oauth2/authorize",
        "",
        "https://cloud.example/nc/index.php/apps/oauth2/api/v1/token",
        {
            "https://cloud.example/nc/ocs/v2.php/cloud/user?format=json": {
                "ocs": {
                    "meta": {"status": "ok", "statuscode": 200, "message": "OK"},
                    "data": {
                        "enabled": True,
                        "id": "ann",
                        "email": "ann@example.com",
                        "display-name": "Ann",
                        "groups": ["staff", "users"],
                    },
                }
            }
        },
        "https://cloud.example/nc",
        "ann",
        "ann",
        "Ann",
        "",
        {"groups": ("staff", "users")},
    ),
    "digitalocean": Kind(
        {"allowed_teams": ("5df3",)},
        "https://cloud.digitalocean.com/v1/oauth/authorize",
        "read",
        "https://cloud.digitalocean.com/v1/oauth/token",
        {
            "https://api.digitalocean.com/v2/account": {
                "account": {
                    "uuid": "b6fr",
                    "name": "Ann",
                    "email": "ann@example.com",
                    "email_verified": True,
                    "status": "active",
                    "team": {"uuid": "5df3", "name": "My Team"},
                }
            }
        },
        "https://api.digitalocean.com",
        "b6fr",
        "",
        "Ann",
        "ann@example.com",
        {"teams": ("5df3",)},
    ),
    "discord": Kind(
        {"allowed_guilds": ("800",), "allowed_roles": ("800/41",)},
        "https://discord.com/oauth2/authorize",
        "identify email guilds guilds.members.read",
        "https://discord.com/api/oauth2/token",
        {
            "https://discord.com/api/v10/users/@me": {
                "id": "80351110224678912",
                "username": "ann",
                "discriminator": "0",
                "global_name": "Ann",
                "verified": True,
                "email": "ann@example.com",
            },
            "https://discord.com/api/v10/users/@me/guilds?limit=200": [
                {"id": "800", "name": "Acme", "owner": False, "permissions": "0"},
                {"id": "801", "name": "Other", "owner": True, "permissions": "0"},
            ],
            "https://discord.com/api/v10/users/@me/guilds/800/member": {
                "roles": ["41", "42"],
                "pending": False,
                "nick": None,
            },
        },
        "https://discord.com",
        "80351110224678912",
        "ann",
        "Ann",
        "ann@example.com",
        {"orgs": ("800", "801"), "roles": ("800/41", "800/42")},
    ),
    "facebook": Kind(
        {},
        "https://www.facebook.com/v25.0/dialog/oauth",
        "public_profile email",
        "https://graph.facebook.com/v25.0/oauth/access_token",
        {
            f"https://graph.facebook.com/v25.0/me?fields=id%2Cname%2Cemail&appsecret_proof={PROOF}": {
                "id": "10220",
                "name": "Ann",
                "email": "ann@example.com",
            }
        },
        "https://graph.facebook.com",
        "10220",
        "",
        "Ann",
        "",
    ),
    "homeassistant": Kind(
        {
            "web_url": "http://home.example:8123/",
            "client_id": "https://app.example",
            "client_secret": Secret(""),
        },
        "http://home.example:8123/auth/authorize",
        "",
        "http://home.example:8123/auth/token",
        {"http://home.example:8123/api/": {"message": "API running."}},
        "http://home.example:8123",
        "homeassistant",
        "homeassistant",
        "Home Assistant",
        "",
    ),
    "openstax": Kind(
        {},
        "https://accounts.openstax.org/oauth/authorize",
        "",
        "https://accounts.openstax.org/oauth/token",
        {
            "https://accounts.openstax.org/api/user": {
                "id": 1,
                "uuid": "6b3a",
                "username": "ann",
                "full_name": "Ann A.",
                "contact_infos": [
                    {"id": 1, "type": "EmailAddress", "value": "old@example.com", "is_verified": False},
                    {"id": 2, "type": "EmailAddress", "value": "ann@example.com", "is_verified": True},
                ],
            }
        },
        "https://accounts.openstax.org",
        "6b3a",
        "ann",
        "Ann A.",
        "ann@example.com",
    ),
    "alibaba": Kind(
        {"web_url": "https://acme.login.aliyunidaas.com", "allowed_orgs": ("ou-9",)},
        "https://acme.login.aliyunidaas.com/oauth/authorize",
        "read",
        "https://acme.login.aliyunidaas.com/oauth/token",
        {
            "https://acme.login.aliyunidaas.com/api/bff/v1.2/oauth2/userinfo": {
                "success": True,
                "code": "200",
                "requestId": "r",
                "data": {
                    "sub": "2034",
                    "ou_id": "ou-9",
                    "ou_name": "Acme",
                    "nickname": "Ann",
                    "username": "ann",
                    "email": "ann@example.com",
                },
            }
        },
        "https://acme.login.aliyunidaas.com",
        "2034",
        "ann",
        "Ann",
        "",
        {"orgs": ("ou-9",)},
    ),
}
BY_KIND = pytest.mark.parametrize("name", KINDS)


def client(name: str, **fields: Any) -> OAuth2:
    settings = {"name": name, "client_id": "cid", "client_secret": Secret("s3cret"), **KINDS[name].fields}
    op: OAuth2 = BUILTIN[name](**{**settings, **fields}).open()
    return op


class Api:
    """Answers by URL; `instead` has other answers, None a URL's usual one."""

    def __init__(self, name: str, instead: Any = None) -> None:
        self.answers = {**KINDS[name].api, **(instead or {})}

    def __call__(self, ask: Ask) -> Any:
        if isinstance(ask, PostForm):
            return token_reply()
        assert isinstance(ask, Get | Send)
        assert ask.bearer == Secret("at-1")
        answer = self.answers[ask.url]
        return answer if isinstance(answer, Reply) else reply(answer)


def identified(name: str, instead: Any = None, **fields: Any) -> tuple[Identity, list[Ask]]:
    op = client(name, **fields)
    signed_in, asked = answered(op.finish(came_back()), Api(name, instead))
    assert signed_in.identity is not None
    return signed_in.identity, asked


def changed(name: str, number: int = 0, *path: str, **members: Any) -> dict[str, Any]:
    """The answer of that number, with other members in the object at this path; `...` leaves one out."""
    url = list(KINDS[name].api)[number]

    def at(value: Any, path: tuple[str, ...]) -> Any:
        if path:
            return {**value, path[0]: at(value[path[0]], path[1:])}
        return {key: item for key, item in {**value, **members}.items() if item is not ...}

    return {url: at(KINDS[name].api[url], path)}


@BY_KIND
def test_people_are_sent_to_it(name: str) -> None:
    url, _ = play(client(name).start(start(login_hint="ann", prompt="select_account")))
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == KINDS[name].authorize
    assert query.get("scope", "") == KINDS[name].scopes
    assert "code_challenge" in query
    assert "login_hint" not in query


@BY_KIND
def test_it_says_who_came(name: str) -> None:
    kind = KINDS[name]
    identity, asked = identified(name)
    assert isinstance(asked[0], PostForm)
    assert asked[0].url == kind.token
    assert (identity.client, identity.issuer, identity.subject) == (name, kind.issuer, kind.subject)
    assert (identity.login, identity.name, identity.email) == (kind.login, kind.name, kind.email)
    lists = ("groups", "orgs", "teams", "projects", "repos", "roles")
    assert {n: getattr(identity, n) for n in lists if n not in identity.unknown} == kind.known
    assert len(asked) == 1 + len(kind.api)


@BY_KIND
def test_it_says_the_same_when_asked_again(name: str) -> None:
    identity, _ = identified(name)
    assert answered(client(name).recheck(identity, TOKENS, NOW), Api(name))[0] == identity


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
@BY_KIND
def test_an_answer_that_is_none_lets_nobody_in(name: str, status: int) -> None:
    for url in KINDS[name].api:
        if status == 404 and url.endswith("/member"):
            continue  # there it says: not a member
        error = ProviderUnavailable if status in {429, 500} else ProviderInvalid
        with pytest.raises(error):
            identified(name, {url: reply({}, status)})


@pytest.mark.parametrize("body", [None, "x", 5, b"<html>", {}, [{}]], ids=repr)
@BY_KIND
def test_an_answer_of_another_shape_lets_nobody_in(name: str, body: Any) -> None:
    for url in KINDS[name].api:
        with pytest.raises(ProviderInvalid):
            identified(name, {url: reply(body)})


@BY_KIND
def test_another_content_type_lets_nobody_in(name: str) -> None:
    for url, body in KINDS[name].api.items():
        with pytest.raises(ProviderInvalid):
            identified(name, {url: reply(body, kind="text/html")})


# Each row: what admits, and its twin that is denied.

DENIED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "nextcloud group": (
        "nextcloud",
        changed("nextcloud", 0, "ocs", "data", groups=["staff"]),
        changed("nextcloud", 0, "ocs", "data", groups=["staffers", "Staff"]),
    ),
    "nextcloud without groups": (
        "nextcloud",
        {},
        changed("nextcloud", 0, "ocs", "data", groups=...),
    ),
    "digitalocean team": (
        "digitalocean",
        {},
        changed("digitalocean", 0, "account", team={"uuid": "666", "name": "5df3"}),
    ),
    "digitalocean without team": ("digitalocean", {}, changed("digitalocean", 0, "account", team=None)),
    "digitalocean locked": (
        "digitalocean",
        changed("digitalocean", 0, "account", status="warning"),
        changed("digitalocean", 0, "account", status="locked"),
    ),
    "discord server": (
        "discord",
        {},
        {list(KINDS["discord"].api)[1]: [{"id": "9", "name": "800"}]},
    ),
    "discord role": ("discord", {}, changed("discord", 2, roles=["42"])),
    "discord rules not agreed to": ("discord", {}, changed("discord", 2, pending=True)),
    "discord not a member": ("discord", {}, {list(KINDS["discord"].api)[2]: reply({"code": 10004}, 404)}),
    "alibaba unit": ("alibaba", {}, changed("alibaba", 0, "data", ou_id="ou-8", ou_name="ou-9")),
}


@pytest.mark.parametrize(("name", "admits", "denies"), DENIED.values(), ids=DENIED.keys())
def test_a_restriction_admits_and_denies(name: str, admits: Any, denies: Any) -> None:
    assert client(name).is_restricted
    identity, _ = identified(name, admits)
    with pytest.raises(ClientError) as caught:
        identified(name, denies)
    assert (caught.value.status, caught.value.code) == (403, "not_admitted")
    with pytest.raises(ClientError):
        answered(client(name).recheck(identity, TOKENS, NOW), Api(name, denies))


BROKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "sourcehut errors": ("sourcehut", changed("sourcehut", errors=[{"message": "no"}])),
    "sourcehut null": ("sourcehut", changed("sourcehut", data=None)),
    "nextcloud no data": ("nextcloud", changed("nextcloud", 0, "ocs", data=[])),
    "nextcloud disabled": ("nextcloud", changed("nextcloud", 0, "ocs", "data", enabled=False)),
    "nextcloud groups as text": ("nextcloud", changed("nextcloud", 0, "ocs", "data", groups="staff")),
    "nextcloud groups as object": (
        "nextcloud",
        changed("nextcloud", 0, "ocs", "data", groups={"1": "staff"}),
    ),
    "digitalocean odd team": ("digitalocean", changed("digitalocean", 0, "account", team="5df3")),
    "digitalocean no uuid": ("digitalocean", changed("digitalocean", 0, "account", uuid=...)),
    "discord no id": ("discord", changed("discord", id=...)),
    "discord server without id": ("discord", {list(KINDS["discord"].api)[1]: [{"name": "800"}]}),
    "discord roles as text": ("discord", changed("discord", 2, roles="41")),
    "discord roles missing": ("discord", changed("discord", 2, roles=...)),
    "facebook no id": ("facebook", changed("facebook", id=...)),
    "openstax odd contacts": ("openstax", changed("openstax", contact_infos={"1": {}})),
    "openstax no uuid": ("openstax", changed("openstax", uuid=...)),
    "alibaba failed": ("alibaba", changed("alibaba", success=False)),
    "alibaba no sub": ("alibaba", changed("alibaba", 0, "data", sub=...)),
}


@pytest.mark.parametrize(("name", "instead"), BROKEN.values(), ids=BROKEN.keys())
def test_what_cannot_be_read_lets_nobody_in(name: str, instead: Any) -> None:
    with pytest.raises(ProviderInvalid):
        identified(name, instead)


EMAILS: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "sourcehut none": ("sourcehut", {}, changed("sourcehut", 0, "data", "me", email=None), ""),
    "nextcloud assumed": ("nextcloud", {"assume_email_verified": True}, {}, "ann@example.com"),
    "nextcloud says so itself": (
        "nextcloud",
        {},
        changed("nextcloud", 0, "ocs", "data", email_verified=True),
        "",
    ),
    "digitalocean unverified": (
        "digitalocean",
        {},
        changed("digitalocean", 0, "account", email_verified=False),
        "",
    ),
    "discord unverified": ("discord", {}, changed("discord", verified=False), ""),
    "discord without": ("discord", {}, changed("discord", email=None), ""),
    "facebook assumed": ("facebook", {"assume_email_verified": True}, {}, "ann@example.com"),
    "facebook assumed, elsewhere": (
        "facebook",
        {"assume_email_verified": True, "email_domains": ("corp.example",)},
        {},
        "",
    ),
    "facebook verified by nobody": ("facebook", {}, changed("facebook", email_verified=True), ""),
    "openstax nothing verified": (
        "openstax",
        {},
        changed(
            "openstax",
            contact_infos=[{"type": "EmailAddress", "value": "a@b.example", "is_verified": "true"}],
            email="a@b.example",
            email_verified=True,
        ),
        "",
    ),
    "openstax a telephone": (
        "openstax",
        {},
        changed("openstax", contact_infos=[{"type": "Phone", "value": "a@b.example", "is_verified": True}]),
        "",
    ),
    "openstax without contacts": ("openstax", {}, changed("openstax", contact_infos=...), ""),
    "alibaba assumed": ("alibaba", {"assume_email_verified": True}, {}, "ann@example.com"),
}


@pytest.mark.parametrize(("name", "fields", "instead", "email"), EMAILS.values(), ids=EMAILS.keys())
def test_an_address_counts_only_when_it_is_verified(name: str, fields: Any, instead: Any, email: str) -> None:
    assert identified(name, instead, **fields)[0].email == email


def test_what_it_asks_for_follows_from_the_restrictions() -> None:
    bare = client("discord", allowed_guilds=(), allowed_roles=())
    assert bare.scopes == ("identify", "email")
    assert not bare.is_restricted
    assert client("discord", allowed_roles=()).scopes == ("identify", "email", "guilds")


def test_without_the_scope_servers_are_unknown_and_not_none() -> None:
    identity, asked = identified("discord", allowed_guilds=(), allowed_roles=())
    assert {"orgs", "roles"} <= set(identity.unknown)
    assert len(asked) == 2


def test_the_servers_after_a_full_page_are_read() -> None:
    first = [{"id": str(number)} for number in range(1, 201)]
    url = list(KINDS["discord"].api)[1]
    pages = {url: reply(first), f"{url}&after=200": reply([{"id": "800"}])}
    identity, _ = identified("discord", pages)
    assert len(identity.orgs) == 201
    with pytest.raises(ProviderInvalid):
        identified("discord", {**pages, f"{url}&after=200": reply({}, 403)})


def test_facebook_is_shown_the_secret_only_as_a_proof() -> None:
    _, asked = identified("facebook")
    assert form_of(asked[0])["client_secret"] == "s3cret"
    assert "s3cret" not in repr(asked[1])
    assert "at-1" not in repr(asked[1])
    (ask,) = play(client("facebook").revoke(TOKENS, NOW, for_good=True), reply({"success": True}))[1]
    assert isinstance(ask, Send)
    assert (ask.method, ask.bearer) == ("DELETE", Secret("at-1"))
    assert ask.url == f"https://graph.facebook.com/v25.0/me/permissions?appsecret_proof={PROOF}"
    assert play(client("facebook").revoke(TOKENS, NOW)) == (None, [])


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("digitalocean", "https://cloud.digitalocean.com/v1/oauth/revoke"),
        ("discord", "https://discord.com/api/oauth2/token/revoke"),
        ("homeassistant", "http://home.example:8123/auth/revoke"),
    ],
)
def test_tokens_are_revoked_where_that_can_be_done(name: str, url: str) -> None:
    (ask,) = play(client(name).revoke(TOKENS, NOW), reply({}))[1]
    assert isinstance(ask, PostForm)
    assert (ask.url, form_of(ask)["token"]) == (url, "at-1")


def test_home_assistant_knows_a_client_by_its_url_alone() -> None:
    _, asked = identified("homeassistant")
    assert form_of(asked[0])["client_id"] == "https://app.example"
    assert "client_secret" not in form_of(asked[0])


@pytest.mark.parametrize("name", ["digitalocean", "facebook"])
@pytest.mark.parametrize("attribute", ["web_url", "api_url"])
def test_a_row_of_the_database_leads_to_the_sites_own_servers(name: str, attribute: str) -> None:
    assert client(name, is_trusted=False).is_trusted is False
    with pytest.raises(ValueError, match=f"^{attribute} "):
        client(name, is_trusted=False, **{attribute: "https://evil.example"})


@pytest.mark.parametrize(
    "name", ["sourcehut", "discord", "openstax", "alibaba", "nextcloud", "homeassistant"]
)
def test_a_server_at_a_path_of_anothers_host_has_accounts_of_its_own(name: str) -> None:
    usual, _ = play(client(name).endpoints())
    other = client(name, web_url=f"{KINDS[name].issuer}/~mallory")
    at, _ = play(other.endpoints())
    assert at.userinfo_url != usual.userinfo_url
    assert isinstance(other, Userinfo)
    assert other.issuer_of(at) == f"{KINDS[name].issuer}/~mallory"


BAD_CONFIG: dict[str, tuple[str, dict[str, Any], str]] = {
    "sourcehut": ("sourcehut", {"web_url": "meta.sr.ht"}, "web_url"),
    "nextcloud": ("nextcloud", {"web_url": ""}, "web_url"),
    "digitalocean": ("digitalocean", {"api_url": ""}, "api_url"),
    "discord names": ("discord", {"allowed_guilds": ("Acme",)}, "allowed_guilds"),
    "discord role without server": ("discord", {"allowed_roles": ("41",)}, "allowed_roles"),
    "discord scope": ("discord", {"scopes": ("identify",)}, "allowed_guilds"),
    "discord role scope": ("discord", {"scopes": ("identify", "guilds")}, "allowed_roles"),
    "facebook version": ("facebook", {"graph_version": "25"}, "graph_version"),
    "homeassistant client": ("homeassistant", {"client_id": "app"}, "client_id"),
    "homeassistant secret": ("homeassistant", {"client_secret": Secret("s")}, "client_secret"),
    "openstax": ("openstax", {"web_url": ""}, "web_url"),
    "alibaba": ("alibaba", {"web_url": ""}, "web_url"),
}


@pytest.mark.parametrize(("name", "fields", "attribute"), BAD_CONFIG.values(), ids=BAD_CONFIG.keys())
def test_a_configuration_that_cannot_work_is_refused(name: str, fields: Any, attribute: str) -> None:
    with pytest.raises(ValueError, match=f"^{attribute} "):
        client(name, **fields)
