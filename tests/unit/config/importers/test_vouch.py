"""Vouch's configurations, of the kinds its documentation shows, as ours: what they mean, and what is told."""

from __future__ import annotations

import pytest
import yaml

from tests.unit.config.importers.desk import DATA, HIDDEN, Facts, facts
from vestibule.config.importers.note import About
from vestibule.config.importers.option import Fate, Kind
from vestibule.config.importers.vouch.options import BY_NAME, variable
from vestibule.config.importers.vouch.provider import KINDS
from vestibule.errors import ConfigError

REFERENCE = [
    line.split()
    for line in (DATA / "vouch" / "options.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
_KINDS = {"bool": Kind.SWITCH, "int": Kind.NUMBER, "list": Kind.LIST, "text": Kind.TEXT}


def _hosts(domain: str, *rules: str) -> dict[str, tuple[str, ...]]:
    return {f"vouch.{domain}": rules, f"app.{domain}": rules}


IMPORTED = {
    "google.yml": Facts(
        hosts=_hosts("yourdomain.com", "domain:yourdomain.com"),
        routes={},
        provider="google",
        domain="yourdomain.com",
    ),
    "two-domains.yml": Facts(
        hosts=dict.fromkeys(
            (
                "vouch.yourdomain.com",
                "myapp.yourdomain.com",
                "vouch.yourotherdomain.com",
                "app.yourotherdomain.com",
            ),
            ("email:bob@yourdomain.com", "email:alice@yourdomain.com"),
        ),
        routes={},
        provider="okta",
        domain="yourdomain.com yourotherdomain.com",
    ),
    "github-teams.yml": Facts(
        hosts=_hosts("acme.example", "org:acme", "team:other/core"),
        routes={},
        provider="github",
        domain="acme.example",
    ),
    "keycloak.yml": Facts(
        hosts=_hosts("acme.example", "public"), routes={}, provider="keycloak", domain="acme.example"
    ),
    "unknown-oidc.yml": Facts(
        hosts=_hosts("home.example", "anyone"), routes={}, provider="oauth2", domain="home.example"
    ),
    "adfs.yml": Facts(
        hosts=_hosts("corp.example", "domain:corp.example"), routes={}, provider="adfs", domain="corp.example"
    ),
    "azure.yml": Facts(
        hosts=_hosts("corp.example", "anyone"), routes={}, provider="entra", domain="corp.example"
    ),
    "indieauth.yml": Facts(
        hosts=_hosts("ann.example", "anyone"), routes={}, provider="indieauth", domain="ann.example"
    ),
    "vouch.env": Facts(
        hosts=_hosts("acme.example", "domain:acme.example"),
        routes={},
        provider="auth0",
        domain="acme.example",
    ),
    "discord.yml": Facts(
        hosts=_hosts("guild.example", "user:discord/someone", "user:discord/SomeoneElse"),
        routes={},
        provider="discord",
        domain="guild.example",
    ),
    "homeassistant.yml": Facts(
        hosts=_hosts("home.example", "anyone"), routes={}, provider="homeassistant", domain="home.example"
    ),
}


# -- whole configurations ---------------------------------------------------------------------


@pytest.mark.parametrize("name", IMPORTED)
def test_it_becomes_a_configuration_without_faults(desk, name: str) -> None:
    assert facts(desk.load(desk.vouch(name))) == IMPORTED[name]


@pytest.mark.parametrize("name", IMPORTED)
def test_the_same_file_gives_the_same_text(desk, name: str) -> None:
    assert desk.vouch(name) == desk.vouch(name)


@pytest.mark.parametrize("name", IMPORTED)
def test_no_secret_is_printed(desk, name: str) -> None:
    found = desk.vouch(name)
    told = found.hcl + "".join(map(str, found.notes))
    assert not [hidden for hidden in HIDDEN if hidden in told]


def test_the_hosts_it_guards_are_those_that_are_named(desk, told) -> None:
    found = desk.vouch("google.yml", hosts=("a.yourdomain.com", "b.yourdomain.com", "elsewhere.example"))
    assert list(facts(desk.load(found)).hosts) == [
        "vouch.yourdomain.com",
        "a.yourdomain.com",
        "b.yourdomain.com",
    ]
    assert told(found, "elsewhere.example") == ["DO is in none of the domains yourdomain.com: left out"]


def test_hosts_that_nothing_names_are_told_of(desk, told) -> None:
    assert told(desk.vouch("google.yml"), "app.yourdomain.com")[0].startswith("DO Vouch's file doesn't say")


def test_people_come_back_where_the_provider_knows(desk) -> None:
    clients = desk.load(desk.vouch("google.yml")).checked.clients
    assert clients["google"].config.redirect_url == "https://vouch.yourdomain.com/auth"


def test_a_host_of_this_machine_is_seen_at_the_port_of_its_edge(desk) -> None:
    text = (
        "vouch: {domains: [lab.localhost], allowAllUsers: true, port: 9090, listen: 127.0.0.1}\n"
        "oauth: {provider: github, client_id: a, client_secret: b,"
        " callback_url: 'http://vouch.lab.localhost:8080/auth'}\n"
    )
    loaded = desk.load(desk.vouch(text, hosts=["app.lab.localhost"]))
    assert [host.public_url for host in loaded.config.host] == [
        "http://vouch.lab.localhost:8080",
        "http://app.lab.localhost:8080",
    ]


def test_with_several_domains_the_redirect_urls_to_register_are_told(desk, told) -> None:
    (note,) = told(desk.vouch("two-domains.yml"), "oauth.callback_urls")
    assert note.endswith(
        "https://vouch.yourdomain.com/@okta/callback, https://vouch.yourotherdomain.com/@okta/callback"
    )


@pytest.mark.parametrize(
    ("name", "idle", "absolute"),
    [("google.yml", 7200, 14400), ("two-domains.yml", 14400, 28800), ("vouch.env", 3600, 3600)],
)
def test_a_session_lives_as_long_as_it_did(desk, name: str, idle: int, absolute: int) -> None:
    lifetimes = desk.load(desk.vouch(name)).config.lifetimes
    assert (lifetimes.session_idle, lifetimes.session_absolute) == (idle, absolute)


@pytest.mark.parametrize(
    ("name", "http"),
    [
        ("google.yml", "0.0.0.0:9090"),
        ("adfs.yml", "127.0.0.1:9191"),
        ("indieauth.yml", "127.0.0.1:9090"),
        ("vouch.env", "unix:/run/vouch.sock"),
    ],
)
def test_it_listens_where_it_listened_or_on_loopback(desk, name: str, http: str) -> None:
    gateway = desk.load(desk.vouch(name)).config.gateway
    assert [str(listen) for listen in gateway.http] == [http]


def test_claims_are_kept_under_their_own_headers(desk) -> None:
    assert "X-Vouch-IdP-Claims" not in desk.vouch("two-domains.yml").hcl
    assert 'given_name = "given_name"' in desk.vouch("two-domains.yml").hcl
    assert (
        'header "X-Acme-Department" {\n    value = "{claim.department}"\n  }' in desk.vouch("vouch.env").hcl
    )


def test_parameters_of_the_authorization_url_come_along(desk) -> None:
    assert 'name  = "hd"\n    value = "yourdomain.com"' in desk.vouch("google.yml").hcl
    assert (
        r'value = "{\"userinfo\": {\"email\": {\"essential\": true}}}"' in desk.vouch("unknown-oidc.yml").hcl
    )


# -- who gets in ------------------------------------------------------------------------------

_AROUND = {
    "oauth": {
        "provider": "google",
        "client_id": "a",
        "client_secret": "hidden-b",
        "callback_url": "https://vouch.a.example/auth",
    }
}


def _text(vouch: dict[str, object], **oauth: object) -> str:
    return str(yaml.safe_dump({"vouch": vouch, "oauth": {**_AROUND["oauth"], **oauth}}))


@pytest.mark.parametrize(
    ("vouch", "oauth", "allow"),
    [
        ({"domains": ["a.example"]}, {}, ("domain:a.example",)),
        ({"allowAllUsers": True, "cookie": {"domain": "a.example"}}, {}, ("anyone",)),
        ({"domains": ["a.example"], "publicAccess": True}, {}, ("public",)),
        ({"domains": ["a.example"], "whiteList": ["Ann@a.example"]}, {}, ("email:ann@a.example",)),
        (
            {"domains": ["a.example"], "whiteList": ["ann"], "teamWhitelist": ["acme"]},
            {"provider": "github"},
            ("user:github/ann",),
        ),
        (
            {"domains": ["a.example"], "teamWhitelist": ["acme", "acme/core"]},
            {"provider": "github"},
            ("org:acme", "team:acme/core"),
        ),
        (
            {"domains": ["a.example"], "whiteList": ["1234"]},
            {"provider": "discord", "discord_use_ids": True},
            (),
        ),
        ({"cookie": {"domain": "a.example"}}, {}, ()),
    ],
    ids=[
        "domains",
        "everybody",
        "the public",
        "people",
        "people go before teams",
        "teams",
        "IDs, of which no rule is",
        "nobody where nothing is said",
    ],
)
def test_the_first_kind_that_is_set_says_who_gets_in(desk, vouch, oauth, allow) -> None:
    assert facts(desk.load(desk.vouch(_text(vouch, **oauth)))).hosts["vouch.a.example"] == allow


@pytest.mark.parametrize(
    ("url", "kind", "place"),
    [
        ("https://accounts.google.com/o/oauth2/auth", "google", ""),
        ("https://slack.com/openid/connect/authorize", "slack", ""),
        ("https://id.twitch.tv/oauth2/authorize", "twitch", ""),
        (
            "https://k.example/auth/realms/r/protocol/openid-connect/auth",
            "keycloak",
            "https://k.example/auth/realms/r",
        ),
        ("https://o.okta.com/oauth2/default/v1/authorize", "okta", "https://o.okta.com/oauth2/default"),
        ("https://o.okta.com/oauth2/v1/authorize", "okta", "o.okta.com"),
        ("https://gitlab.a.example/oauth/authorize", "gitlab", "https://gitlab.a.example"),
        ("https://git.a.example/login/oauth/authorize", "gitea", "https://git.a.example"),
        (
            "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/oauth2/v2.0/authorize",
            "entra",
            "11111111-2222-3333-4444-555555555555",
        ),
        ("https://id.a.example/authorize", "oauth2", "https://id.a.example/authorize"),
    ],
)
def test_an_openid_provider_is_told_by_its_url(desk, url: str, kind: str, place: str) -> None:
    text = _text(
        {"domains": ["a.example"]},
        provider="oidc",
        auth_url=url,
        token_url="https://t.example/t",
        user_info_url="https://t.example/u",
    )
    found = desk.vouch(text)
    assert facts(desk.load(found)).provider == kind
    assert f'"{place}"' in found.hcl or not place


def test_every_kind_of_provider_is_imported() -> None:
    assert len(KINDS) == 11


# -- several sources, and nothing dropped in silence ------------------------------------------


def test_the_environment_goes_before_the_file(desk) -> None:
    found = desk.vouch(
        "google.yml", "VOUCH_DOMAINS=b.example\nOAUTH_CALLBACK_URLS=https://v.b.example/auth\n"
    )
    assert facts(desk.load(found)).hosts == {
        "v.b.example": ("domain:b.example",),
        "app.b.example": ("domain:b.example",),
    }


def test_keys_and_variables_are_read_in_any_spelling(desk) -> None:
    text = "vouch:\n  DOMAINS: [a.example]\n  JWT: {maxage: 30}\nOAUTH:\n  Provider: google\n"
    found = desk.vouch(text, "OAUTH_CLIENTID=x\nVOUCH_JWT_SIGNINGMETHOD=HS256\n")
    assert desk.load(found).config.lifetimes.session_absolute == 1800


def test_what_is_not_known_is_named(desk) -> None:
    found = desk.vouch("vouch:\n  domain: [a.example]\n  jwt: {frob: 1}\n", "VOUCH_FROB=1\n")
    unknown = [note.name for note in found.notes if note.about is About.UNKNOWN]
    assert unknown == ["vouch.domain", "vouch.jwt.frob", "VOUCH_FROB"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("providers: []\n", "text-0: is no configuration of Vouch: it has neither `vouch:` nor `oauth:`"),
        ("vouch:\n  port: many\n", "text-0: vouch.port is no number"),
        ("vouch: [\n", "text-0:2:1: is no YAML"),
        ("hello\n", "text-0: holds neither YAML nor environment variables of Vouch"),
    ],
)
def test_what_can_t_be_read_is_a_fault(desk, text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        desk.vouch(text)
    assert caught.value.faults[0].startswith(fault)


_SAMPLE = {Kind.TEXT: "sample", Kind.LIST: ["sample"], Kind.SWITCH: True, Kind.NUMBER: 7}
#: only for some kinds of providers, or in company
_WITH = {
    "oauth.relying_party_id": {"provider": "adfs", "auth_url": "https://x.example/adfs/oauth2/authorize"},
    "oauth.user_info_url": {"provider": "oidc", "auth_url": "https://x.example/a"},
    "oauth.token_url": {"provider": "oidc", "auth_url": "https://x.example/a"},
    "oauth.auth_url": {"provider": "oidc"},
    "oauth.client_secret": {"client_secret": None},
    "oauth.discord_use_ids": {"provider": "discord"},
}


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_option_is_carried_over_or_told_of(desk, name: str) -> None:
    """Set alone beside a bare configuration: it changes the text, or there is a note that names it."""
    option = BY_NAME[name]
    sample: object = _SAMPLE[option.kind]
    if True in option.usual:
        sample = False
    bare = yaml.safe_load(_text({"domains": ["a.example"], "whiteList": ["1"]}, **_WITH.get(name, {})))
    if name.startswith("vouch.headers.claimh"):
        bare["vouch"]["headers"] = {"claims": ["team"]}
    elif name in ("vouch.teamWhitelist", "vouch.domains"):
        del bare["vouch"]["whiteList"]
    before = desk.vouch(yaml.safe_dump(bare))
    *path, last = name.split(".")
    part = bare
    for key in path:
        part = part.setdefault(key, {})
    part[last] = sample
    after = desk.vouch(yaml.safe_dump(bare))
    is_told = any(note.name.startswith(name.removesuffix("s")) for note in {*after.notes} - {*before.notes})
    blocks = [[line for line in one.hcl.splitlines() if not line.startswith("#")] for one in (before, after)]
    is_same_here = name == "oauth.client_secret"
    assert is_told or blocks[0] != blocks[1] or option.quiet or is_same_here


def test_the_table_has_every_option_and_no_other() -> None:
    assert {name: option.kind for name, option in BY_NAME.items()} == {
        name: _KINDS[kind] for name, kind in REFERENCE
    }


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_row_says_what_becomes_of_the_option(name: str) -> None:
    option = BY_NAME[name]
    assert not option.here.endswith(".")
    assert variable(option).startswith(("VOUCH_", "OAUTH_"))
    if option.fate is Fate.CARRIED:
        assert "`" in option.here
