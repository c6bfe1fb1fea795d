"""A first configuration: what is written for whom, and that it has no faults."""

from __future__ import annotations

import pytest

from vestibule.config.client import provider_kinds
from vestibule.config.first import First, Sign, first
from vestibule.config.place import Unfit

_GOOGLE = Sign(kind="google", allow=("email:you@gmail.com",))
#: kinds that take nothing but a real key
_OF_A_KEY = frozenset({"apple", "logingov"})
#: kinds of which more must be known than names and secrets
_SETTINGS = {
    "saml": {"metadata_url": "https://idp.example.com/metadata"},
    "alibaba": {"web_url": "https://a.login.aliyunidaas.com"},
    "adfs": {"issuer": "https://fs.example.com/adfs"},
    "apple": {"private_key_id": "0123456789", "team_id": "0123456789"},
    "auth0": {"domain": "example.eu.auth0.com"},
    "cidaas": {"issuer": "https://example.cidaas.de"},
    "cognito": {"user_pool": "eu-central-1_AbCdEfGhI"},
    "entra": {"tenant": "example.com"},
    "forgejo": {"web_url": "https://git.example.com"},
    "gitea": {"web_url": "https://git.example.com"},
    "homeassistant": {"web_url": "https://home.example.com", "client_id": "https://app.example.com"},
    "keycloak": {"issuer": "https://sso.example.com/realms/r"},
    "nextcloud": {"web_url": "https://cloud.example.com"},
    "oidc": {"issuer": "https://id.example.com"},
    "okta": {"domain": "example.okta.com"},
}


def load(desk, found: First):
    return desk.load(found.text, environ=dict.fromkeys(found.variables, "placeholder"))


def test_in_front_of_one_app_behind_google_it_is_a_few_lines() -> None:
    found = first("app.example.com", "3000", [_GOOGLE], email="ops@example.com")
    assert found.text == (
        "gateway {\n"
        '  http  = ["0.0.0.0:80"]\n'
        '  https = ["0.0.0.0:443"]\n'
        "}\n"
        "\n"
        "acme {\n"
        '  email = "ops@example.com"\n'
        "}\n"
        "\n"
        'provider "google" {\n'
        '  client_id     = "${env("GOOGLE_CLIENT_ID")}"\n'
        '  client_secret = "${env("GOOGLE_CLIENT_SECRET")}"\n'
        "}\n"
        "\n"
        'host "app.example.com" {\n'
        '  backend = "localhost:3000"\n'
        '  sign_in = ["google"]\n'
        "\n"
        "  access {\n"
        '    allow = ["email:you@gmail.com"]\n'
        "  }\n"
        "}\n"
    )
    assert found.redirect_urls == (("google", "https://app.example.com/@google/callback"),)
    assert (found.listen, found.edge, found.ordered) == (("0.0.0.0:80", "0.0.0.0:443"), "", "app.example.com")


def test_behind_an_edge_it_listens_for_this_machine_alone() -> None:
    found = first("app.example.com", "3000", [_GOOGLE], has_edge=True)
    assert found.text == (
        "gateway {\n"
        '  http            = ["127.0.0.1:8000"]\n'
        '  trusted_proxies = ["127.0.0.1", "::1"]\n'
        "}\n"
        "\n"
        'provider "google" {\n'
        '  client_id     = "${env("GOOGLE_CLIENT_ID")}"\n'
        '  client_secret = "${env("GOOGLE_CLIENT_SECRET")}"\n'
        "}\n"
        "\n"
        'host "app.example.com" {\n'
        '  backend    = "localhost:3000"\n'
        '  public_url = "https://app.example.com"\n'
        '  sign_in    = ["google"]\n'
        "\n"
        "  access {\n"
        '    allow = ["email:you@gmail.com"]\n'
        "  }\n"
        "}\n"
    )
    assert found.redirect_urls == (("google", "https://app.example.com/@google/callback"),)
    assert found.variables == ("GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET")
    assert (found.listen, found.edge, found.ordered) == (("127.0.0.1:8000",), "app.example.com", "")


@pytest.mark.parametrize(
    ("host", "redirect_url", "listen"),
    [
        ("localhost", "http://localhost:8000/@google/callback", ("127.0.0.1:8000",)),
        ("localhost:9000", "http://localhost:9000/@google/callback", ("127.0.0.1:9000",)),
        ("127.0.0.1", "http://127.0.0.1:8000/@google/callback", ("127.0.0.1:8000",)),
        ("http://localhost:9000/", "http://localhost:9000/@google/callback", ("127.0.0.1:9000",)),
        ("App.Example.com", "https://app.example.com/@google/callback", ("0.0.0.0:80", "0.0.0.0:443")),
        (
            "https://app.example.com",
            "https://app.example.com/@google/callback",
            ("0.0.0.0:80", "0.0.0.0:443"),
        ),
        (
            "app.example.com:8443",
            "https://app.example.com:8443/@google/callback",
            ("0.0.0.0:80", "0.0.0.0:8443"),
        ),
    ],
)
def test_people_come_back_to_the_name_they_see(desk, host, redirect_url, listen) -> None:
    found = first(host, "localhost:3000", [_GOOGLE])
    assert found.redirect_urls == (("google", redirect_url),)
    assert found.listen == listen
    loaded = load(desk, found)
    (name, known) = next(iter(loaded.checked.scopes.items()))
    assert not known.url or f"{known.url}/@google/callback" == redirect_url, name


def test_for_a_name_that_nobody_can_own_the_local_authority_vouches(desk) -> None:
    found = first("app.test", "3000", [_GOOGLE])
    assert (found.listen, found.ordered, found.own) == (("0.0.0.0:80", "0.0.0.0:443"), "", "app.test")
    assert "acme" not in found.text
    load(desk, found)


def test_for_a_name_for_which_nobody_vouches_there_is_advice() -> None:
    with pytest.raises(Unfit, match=r"name it box\.test or box\.internal"):
        first("box", "3000", [_GOOGLE])


@pytest.mark.parametrize("host", ["app.example.com", "app.example.com:8443"])
def test_behind_an_edge_people_come_back_to_the_name_they_see(desk, host) -> None:
    found = first(host, "localhost:3000", [_GOOGLE], has_edge=True)
    assert found.redirect_urls == (("google", f"https://{host}/@google/callback"),)
    assert (found.listen, found.edge) == (("127.0.0.1:8000",), "app.example.com")
    load(desk, found)


def test_members_of_an_organisation_are_let_in_and_nobody_else(desk) -> None:
    loaded = load(desk, first("localhost", "3000", [Sign(kind="github", orgs=("acme",))]))
    (host,) = loaded.config.host
    assert [rule.text for rule in host.access.allow] == ["org:acme"]
    assert loaded.checked.clients["github"].config.allowed_orgs == ("acme",)


def test_of_several_ways_to_sign_in_each_rule_names_its_own(desk) -> None:
    signs = [_GOOGLE, Sign(kind="github", orgs=("acme",)), Sign(kind="gitlab", allow=("domain:example.com",))]
    loaded = load(desk, first("localhost", "3000", signs))
    assert [rule.text for rule in loaded.config.host[0].access.allow] == [
        "email:google/you@gmail.com",
        "org:github/acme",
        "domain:gitlab/example.com",
    ]


@pytest.mark.parametrize("kind", [kind for kind in provider_kinds() if kind not in _OF_A_KEY])
def test_every_kind_of_provider_can_be_the_first(desk, kind: str) -> None:
    load(
        desk,
        first("localhost", "3000", [Sign(kind=kind, settings=_SETTINGS.get(kind, {}), allow=("anyone",))]),
    )


def test_what_a_kind_needs_besides_is_a_variable_to_set() -> None:
    found = first("localhost", "3000", [Sign(kind="entra", allow=("anyone",))])
    assert found.variables == ("ENTRA_CLIENT_ID", "ENTRA_TENANT", "ENTRA_CLIENT_SECRET")


@pytest.mark.parametrize(
    ("host", "backend", "sign", "fault"),
    [
        ("10.0.0.4", "3000", _GOOGLE, "`10.0.0.4` is an address, for which nobody gives a certificate"),
        ("a b", "3000", _GOOGLE, "is no host name"),
        ("localhost:999999", "3000", _GOOGLE, "is no port"),
        ("localhost", "serving:", _GOOGLE, "serving:"),
        ("localhost", "http://a/b", _GOOGLE, "only scheme, host and port"),
        ("localhost", "3000", Sign(kind="gogle", allow=("anyone",)), "did you mean `google`?"),
        (
            "localhost",
            "3000",
            Sign(kind="oauth2", allow=("anyone",)),
            "there is no kind of provider `oauth2`",
        ),
        (
            "localhost",
            "3000",
            Sign(kind="nonsense", allow=("anyone",)),
            "there is no kind of provider `nonsense`; there are adfs, ",
        ),
        ("localhost", "3000", Sign(kind="oidc", settings={"isuer": "x"}, allow=("anyone",)), "`issuer`?"),
        ("localhost", "3000", Sign(kind="google", allow=("you@gmail.com",)), "write email:you@gmail.com"),
    ],
)
def test_what_can_t_work_is_told_before_anything_is_written(host, backend, sign, fault) -> None:
    with pytest.raises(Unfit) as caught:
        first(host, backend, [sign])
    assert fault in str(caught.value)
