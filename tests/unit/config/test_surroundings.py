"""The whole configuration from variables: in front of one app, and as the auth service of a domain."""

from __future__ import annotations

from typing import Any

import pytest

from vestibule.config.compile import Compiled, compile_config
from vestibule.config.load import load
from vestibule.core.domain import Domain
from vestibule.core.route import ReturnHosts
from vestibule.errors import ConfigError

KEY = "0123456789abcdefghijklmnopqrstuvwxyz"
APP = {
    "VESTIBULE_BACKEND": "localhost:3000",
    "VESTIBULE_PROVIDER_TYPE": "github",
    "VESTIBULE_CLIENT_ID": "id-1",
    "VESTIBULE_CLIENT_SECRET": "hunter2",
    "VESTIBULE_ALLOWED_DOMAINS": "example.com",
}
SERVICE = {
    "VESTIBULE_ROOT_DOMAIN": "byoc.org.co",
    "VESTIBULE_SESSION_KEY": KEY,
    "VESTIBULE_ALLOWED_DOMAINS": "example.com, example.org",
    "VESTIBULE_PROVIDER_TYPE": "oidc",
    "VESTIBULE_CLIENT_ID": "id-1",
    "VESTIBULE_CLIENT_SECRET": "hunter2",
    "VESTIBULE_ISSUER_URL": "https://audience.auth0.com",
}
#: as the text on Nuon writes them
NUON = {
    "ROOT_DOMAIN": "byoc.org.co",
    "NUON_AUTH_SESSION_KEY": KEY,
    "NUON_AUTH_ALLOWED_DOMAINS": "example.com",
    "nuon_auth_provider_type": "'oidc'",
    "nuon_auth_client_id": "id-1",
    "nuon_auth_client_secret": "hunter2",
    "nuon_auth_issuer_url": "https://audience.auth0.com",
    "nuon_auth_redirect_url": "auth.byoc.org.co/auth",
}


def compiled(environ: dict[str, str], **more: str) -> Compiled:
    return compile_config(load((), {**environ, **more}))


def without(environ: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name not in names}


def faults(environ: dict[str, str], **more: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load((), {**environ, **more})
    told = "".join(caught.value.faults)
    assert "hunter2" not in told
    assert KEY not in told
    return caught.value.faults


# -- the provider, in both --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "more", "attribute", "expected"),
    [
        (APP, {"VESTIBULE_ALLOWED_ORGS": "a, b"}, "allowed_orgs", ("a", "b")),
        (APP, {"VESTIBULE_ALLOWED_TEAMS": "a/core"}, "allowed_teams", ("a/core",)),
        (APP, {"VESTIBULE_TITLE": "Work"}, "title", "Work"),
        (APP, {"VESTIBULE_ASSUME_EMAIL_VERIFIED": "false"}, "assume_email_verified", False),
        (APP, {"VESTIBULE_REDIRECT_URL": "localhost:8000/auth"}, "redirect_url", "localhost:8000/auth"),
        (SERVICE, {"VESTIBULE_ALLOWED_GROUPS": "admins"}, "allowed_groups", ("admins",)),
        (
            SERVICE,
            {"VESTIBULE_CLAIMS": "groups=realm.roles, orgs="},
            "claims",
            {"groups": "realm.roles", "orgs": ""},
        ),
        (SERVICE, {"VESTIBULE_SCOPES": "openid,email"}, "scopes", ("openid", "email")),
        (NUON, {"NUON_AUTH_ALLOWED_GROUPS": "admins"}, "allowed_groups", ("admins",)),
        (NUON, {}, "redirect_url", "auth.byoc.org.co/auth"),
        (NUON, {}, "issuer", "https://audience.auth0.com"),
    ],
)
def test_every_setting_of_the_provider_has_its_variable(
    environ: dict[str, str], more: dict[str, str], attribute: str, expected: object
) -> None:
    (config,) = compiled(environ, **more).clients.values()
    assert getattr(config, attribute) == expected


def test_a_key_of_its_own_stands_instead_of_a_secret() -> None:
    pem = "-----BEGIN EC PRIVATE KEY-----\\nnonsense\\n-----END EC PRIVATE KEY-----"
    environ = without(SERVICE, "VESTIBULE_CLIENT_SECRET")
    (fault,) = faults(environ, VESTIBULE_PRIVATE_KEY=pem)
    assert "not a private key" in fault
    assert "nonsense" not in fault


def test_what_the_kind_can_not_do_without_is_missing_too() -> None:
    (fault,) = faults({**without(APP, "VESTIBULE_CLIENT_SECRET"), "VESTIBULE_PROVIDER_TYPE": "apple"})
    assert "VESTIBULE_TEAM_ID (the provider needs it)" in fault
    assert "VESTIBULE_PRIVATE_KEY " in fault
    assert "CLIENT_SECRET" not in fault


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            {"VESTIBULE_ALLOWED_ORG": "a"},
            "VESTIBULE_ALLOWED_ORG: there is no such variable; did you mean `VESTIBULE_ALLOWED_ORGS`?",
        ),
        (
            {"VESTIBULE_HOSTED_DOMAIN": "example.com"},
            "VESTIBULE_HOSTED_DOMAIN: providers of the type github have no such setting",
        ),
        (
            {"VESTIBULE_REDIRECT_URL": "elsewhere.example/auth"},
            "VESTIBULE_REDIRECT_URL: names another host; there is localhost",
        ),
        ({"VESTIBULE_AUTH_STYLE": "odd"}, "VESTIBULE_AUTH_STYLE: "),
    ],
)
def test_a_setting_that_would_do_nothing_is_a_fault(more: dict[str, str], expected: str) -> None:
    found = faults(APP, **more)
    assert any(fault.startswith(expected) for fault in found), found


def test_a_platforms_own_url_will_do() -> None:
    host = compiled(APP, RENDER_EXTERNAL_URL="https://x.onrender.com", PORT="10000")
    assert host.table.hosts[b"x.onrender.com"].base_url == "https://x.onrender.com"
    assert [str(one) for one in host.listeners] == ["0.0.0.0:10000"]
    own = compiled(
        APP, RENDER_EXTERNAL_URL="https://x.onrender.com", VESTIBULE_PUBLIC_URL="https://app.example.com"
    )
    assert list(own.table.hosts) == [b"app.example.com"]


# -- the auth service of a domain -------------------------------------------------------------


def test_the_service_answers_as_auth_and_the_domain() -> None:
    found = compiled(SERVICE)
    ((name, host),) = found.table.hosts.items()
    assert (name, host.base_url) == (b"auth.byoc.org.co", "https://auth.byoc.org.co")
    assert (host.sign_in, host.takes_more) == (("oidc",), True)
    route = host.routes[b""]
    assert route.backend.internal == "account"
    assert [rule.text for rule in route.policy.allow] == ["domain:example.com", "domain:example.org"]
    assert found.people.allowed_domains == ("example.com", "example.org")
    assert found.people.allow_all_users is False
    assert host.domain == Domain(
        name="byoc.org.co",
        auth=b"auth.byoc.org.co",
        auth_url="https://auth.byoc.org.co",
        shares_cookie=True,
    )
    assert "app.byoc.org.co" in ReturnHosts.of(found.table)
    assert found.session_key is not None
    assert [str(one) for one in found.listeners] == ["0.0.0.0:8000"]


def test_the_apps_of_the_domain_are_hosts_with_the_same_rules() -> None:
    found = compiled(SERVICE, VESTIBULE_APPS="app=127.0.0.1:3000, admin.app = localhost:3001")
    assert list(found.table.hosts) == [b"auth.byoc.org.co", b"app.byoc.org.co", b"admin.app.byoc.org.co"]
    auth, app, _ = found.table.hosts.values()
    assert [str(server) for server in app.routes[b""].backend.servers] == ["http://127.0.0.1:3000"]
    assert (app.base_url, app.realm) == ("https://app.byoc.org.co", ".byoc.org.co")
    assert (app.sign_in, app.takes_more) == (auth.sign_in, auth.takes_more)
    assert app.routes[b""].policy.allow == auth.routes[b""].policy.allow


def test_an_app_may_be_called_by_its_whole_name_and_follows_the_services_port() -> None:
    found = compiled(
        SERVICE,
        VESTIBULE_APPS="app.byoc.org.co=127.0.0.1:3000",
        VESTIBULE_PUBLIC_URL="https://auth.byoc.org.co:8443",
    )
    assert found.table.hosts[b"app.byoc.org.co"].base_url == "https://app.byoc.org.co:8443"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param(SERVICE, (True, "", False), id="ours"),
        pytest.param(NUON, (True, "X-Nuon-Auth", False), id="nuon's"),
        pytest.param({**SERVICE, "VESTIBULE_COOKIE": "X-Hall"}, (True, "X-Hall", False), id="named"),
        pytest.param({**NUON, "VESTIBULE_COOKIE": "X-Hall"}, (True, "X-Hall", False), id="nuon's, named"),
        pytest.param({**SERVICE, "VESTIBULE_SESSION_TOKEN": "jwt"}, (True, "", True), id="token"),
        pytest.param({**SERVICE, "VESTIBULE_SSO": "handoff"}, (False, "", False), id="handed on"),
        pytest.param({**NUON, "VESTIBULE_SSO": "handoff"}, (False, "", False), id="nuon's, handed on"),
        pytest.param({**SERVICE, "VESTIBULE_ROOT_DOMAIN": "localhost"}, (True, "", False), id="localhost"),
        pytest.param(
            {**SERVICE, "VESTIBULE_ROOT_DOMAIN": "localhost", "VESTIBULE_APPS": "app=127.0.0.1:1"},
            (False, "", False),
            id="localhost with apps",
        ),
    ],
)
def test_one_cookie_is_for_the_domain_unless_it_is_said_otherwise(
    environ: dict[str, str], expected: tuple[bool, str, bool]
) -> None:
    domain = next(iter(compiled(environ).table.hosts.values())).domain
    assert domain is not None
    assert (domain.shares_cookie, domain.cookie, domain.is_token) == expected


@pytest.mark.parametrize("name", ["APPS", "COOKIE", "SESSION_TOKEN", "SSO"])
def test_what_is_for_a_domain_is_a_fault_for_one_app(name: str) -> None:
    (fault,) = faults(APP, **{f"VESTIBULE_{name}": "x"})
    assert (
        fault
        == f"VESTIBULE_{name}: belongs to the auth service of a domain, which VESTIBULE_ROOT_DOMAIN makes this"
    )


def test_the_names_of_the_text_on_nuon_say_the_same() -> None:
    found = compiled(NUON)
    assert list(found.table.hosts) == [b"auth.byoc.org.co"]
    assert found.table.hosts[b"auth.byoc.org.co"].callbacks == {b"/auth": ("oidc",)}
    assert found.session_key is not None
    assert found.session_key.reveal() == KEY


def test_one_name_may_be_written_in_both_ways_if_both_say_the_same() -> None:
    assert compiled({**SERVICE, **without(NUON, "NUON_AUTH_ALLOWED_DOMAINS", "nuon_auth_provider_type")})


@pytest.mark.parametrize(
    ("variable", "value", "first"),
    [
        ("ROOT_DOMAIN", "other.example", "VESTIBULE_ROOT_DOMAIN"),
        ("NUON_AUTH_SESSION_KEY", "other", "VESTIBULE_SESSION_KEY"),
        ("nuon_auth_client_secret", "other", "VESTIBULE_CLIENT_SECRET"),
        ("Nuon_Auth_Client_Id", "other", "VESTIBULE_CLIENT_ID"),
    ],
)
def test_two_names_that_say_different_things_are_a_fault(variable: str, value: str, first: str) -> None:
    assert faults(SERVICE, **{variable: value}) == (
        f"{variable}: says something else than {first}: write one of them",
    )


@pytest.mark.parametrize(
    ("written", "expected"), [("true", True), ("True", True), ("false", False), ("", False)]
)
def test_all_users_are_let_in_only_where_it_is_written(written: str, expected: bool) -> None:
    assert compiled(SERVICE, VESTIBULE_ALLOW_ALL_USERS=written).people.allow_all_users is expected


@pytest.mark.parametrize("domain", ["localhost", "dev.localhost"])
def test_this_machine_stays_itself(domain: str) -> None:
    found = compiled(SERVICE, VESTIBULE_ROOT_DOMAIN=domain, PORT="8123")
    ((name, host),) = found.table.hosts.items()
    assert (name, host.base_url) == (domain.encode(), "")
    assert [str(one) for one in found.listeners] == ["127.0.0.1:8123"]


def test_the_services_url_may_be_written_for_its_own_name() -> None:
    found = compiled(SERVICE, VESTIBULE_PUBLIC_URL="https://auth.byoc.org.co:8443")
    assert found.table.hosts[b"auth.byoc.org.co"].base_url == "https://auth.byoc.org.co:8443"
    (fault,) = faults(SERVICE, VESTIBULE_PUBLIC_URL="https://byoc.org.co")
    assert fault.startswith("VESTIBULE_PUBLIC_URL: names another host than auth.byoc.org.co")


def test_what_a_platform_calls_it_is_not_what_it_is() -> None:
    found = compiled(SERVICE, RENDER_EXTERNAL_URL="https://x.onrender.com")
    assert list(found.table.hosts) == [b"auth.byoc.org.co"]


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        (
            {"VESTIBULE_ROOT_DOMAIN": "byoc.org.co"},
            ["SESSION_KEY", "ALLOWED_DOMAINS", "PROVIDER_TYPE", "CLIENT_ID", "CLIENT_SECRET"],
        ),
        (without(SERVICE, "VESTIBULE_SESSION_KEY", "VESTIBULE_ISSUER_URL"), ["SESSION_KEY", "ISSUER_URL"]),
        ({**SERVICE, "VESTIBULE_ALLOWED_DOMAINS": " "}, ["ALLOWED_DOMAINS"]),
        ({"VESTIBULE_ALLOW_ALL_USERS": "true", **without(SERVICE, "VESTIBULE_ROOT_DOMAIN")}, ["ROOT_DOMAIN"]),
    ],
)
def test_all_that_is_missing_is_named_in_one_message(environ: dict[str, str], names: list[str]) -> None:
    (fault,) = faults(environ)
    found = [part.split(" ")[0] for part in fault.removeprefix("environment: ").split(", VESTIBULE_")]
    assert [name.removeprefix("VESTIBULE_") for name in found] == names
    assert fault.endswith(" is not set" if len(names) == 1 else " are not set")


def test_who_writes_nuons_names_is_told_nuons_names() -> None:
    (fault,) = faults({"nuon_auth_client_id": "a"})
    assert "VESTIBULE_ROOT_DOMAIN (" in fault
    assert "NUON_AUTH_CLIENT_SECRET (" in fault
    assert "NUON_AUTH_CLIENT_ID" not in fault


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"VESTIBULE_ALLOWED_DOMAINS": ","}, "VESTIBULE_ALLOWED_DOMAINS: names no domain"),
        ({"VESTIBULE_ALLOWED_DOMAINS": "*"}, "VESTIBULE_ALLOWED_DOMAINS: `*` is no domain"),
        ({"VESTIBULE_ALLOWED_DOMAINS": "a@b.example"}, "VESTIBULE_ALLOWED_DOMAINS: "),
        (
            {"VESTIBULE_ALLOW_ALL_USERS": "yes"},
            "VESTIBULE_ALLOW_ALL_USERS: `allow_all_users` is true or false",
        ),
        ({"VESTIBULE_ROOT_DOMAIN": "https://byoc.org.co"}, "VESTIBULE_ROOT_DOMAIN: is a name alone"),
        ({"VESTIBULE_ROOT_DOMAIN": "co"}, "VESTIBULE_ROOT_DOMAIN: is a domain, as in example.com"),
        ({"VESTIBULE_ROOT_DOMAIN": "10.0.0.1"}, "VESTIBULE_ROOT_DOMAIN: is a domain"),
        ({"VESTIBULE_SESSION_KEY": "short"}, "VESTIBULE_SESSION_KEY: is too easy to guess"),
        ({"VESTIBULE_ISSUER_URL": "idp.example"}, "VESTIBULE_ISSUER_URL: "),
        ({"VESTIBULE_BACKEND": "localhost:1"}, "VESTIBULE_ROOT_DOMAIN: makes this the auth service"),
    ],
)
def test_a_variable_at_fault_is_named(more: dict[str, str], expected: str) -> None:
    found = faults(SERVICE, **more)
    assert any(fault.startswith(expected) for fault in found), found


def test_names_of_nuons_that_do_nothing_are_told() -> None:
    (warning, *_) = load((), {**NUON, "NUON_AUTH_TOKEN_TTL": "60"}).warnings
    assert warning == "NUON_AUTH_TOKEN_TTL: has no effect here"


def test_beside_a_file_only_the_key_is_read(tmp_path: Any) -> None:
    file = tmp_path / "v.hcl"
    file.write_text('host "a.example" {\n  backend = "localhost:1"\n  access { allow = ["public"] }\n}\n')
    loaded = load([file], {**NUON, "VESTIBULE_SESSION_KEY": KEY, "VESTIBULE_CLIENT_ID": "x"})
    assert loaded.session_key is not None
    assert [warning.partition(":")[0] for warning in loaded.warnings if "_" in warning] == [
        "VESTIBULE_CLIENT_ID"
    ]
