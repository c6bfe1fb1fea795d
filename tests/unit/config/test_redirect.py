"""Where a redirect URL may point, in files and in rows."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import Desk
from vestibule.config.compile import compile_config
from vestibule.config.place import Place, Report
from vestibule.config.redirect import check_redirect_url

HOSTS = frozenset({"auth.example.com", "localhost"})
PLACE = Place("redirect_url")


def said(url: str) -> str:
    report = Report()
    check_redirect_url(url, "okta", HOSTS, PLACE, report)
    return "\n".join(fault.message for fault in report.faults)


@pytest.mark.parametrize(
    "url",
    [
        "auth.example.com/auth",
        "https://auth.example.com/auth",
        "http://auth.example.com/auth",
        "HTTPS://Auth.Example.Com/auth",
        "http://localhost:8000/oauth2/callback",
        "https://auth.example.com/@okta/callback",
        "https://auth.example.com/auth/",
    ],
)
def test_a_path_of_a_host_will_do(url: str) -> None:
    assert said(url) == ""


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://evil.example/auth", "names another host; there is auth.example.com, localhost"),
        ("https://auth.exmaple.com/auth", "did you mean `auth.example.com`?"),
        ("auth.example.com", "has no path of its own: https://auth.example.com/auth"),
        ("https://auth.example.com/", "has no path of its own"),
        ("/auth", "is no redirect URL"),
        ("ftp://auth.example.com/auth", "is no redirect URL"),
        ("https://a@auth.example.com/auth", "is no redirect URL"),
        ("https://auth.example.com/a/../auth", "has more than a plain path"),
        ("https://auth.example.com//auth", "has more than a plain path"),
        ("https://auth.example.com/auth?x=1", "has more than a plain path"),
        ("https://auth.example.com/auth#x", "is no redirect URL"),
        ("https://auth.example.com/äuth", "is no redirect URL"),
        ("https://auth.example.com/@google/callback", "this client's is /@okta/callback"),
        ("https://auth.example.com/@/signin", "paths below /@ are the gateway's own"),
    ],
)
def test_what_can_not_be_a_redirect_url_is_told(url: str, message: str) -> None:
    assert message in said(url)


PROVIDERS = """
provider "google" {
  client_id     = "id"
  client_secret = "secret"
  redirect_url  = "https://a.example/auth"
}
provider "oidc" {
  client_id     = "id"
  client_secret = "secret"
  issuer        = "https://idp.example"
  redirect_url  = "a.example/auth"
}
"""


def host(name: str, more: str = "") -> str:
    return (
        f'host "{name}" {{\n backend = "localhost:1"\n sign_in = ["google", "oidc"]\n {more}\n'
        '  access { allow = ["email:a@b.example"] }\n}\n'
    )


def test_clients_of_one_path_share_it_on_the_host_it_names(desk: Desk) -> None:
    table = compile_config(desk.load(PROVIDERS + host("a.example") + host("b.example"))).table
    assert table.hosts[b"a.example"].callbacks == {b"/auth": ("google", "oidc")}
    assert table.hosts[b"b.example"].callbacks == {}


def test_a_public_url_is_a_name_of_its_host(desk: Desk) -> None:
    text = PROVIDERS + host("inside.example", 'public_url = "https://a.example"')
    assert compile_config(desk.load(text)).table.hosts[b"inside.example"].callbacks


def test_a_redirect_url_of_no_host_is_a_fault(desk: Desk) -> None:
    found = desk.faults(PROVIDERS + host("b.example"))
    assert found == [
        "v.hcl:5:19: names another host; there is b.example; did you mean `b.example`?",
        "v.hcl:11:19: names another host; there is b.example; did you mean `b.example`?",
    ]


INDIEAUTH = 'provider "indieauth" {\n  redirect_url = "https://a.example/auth"\n}\n'
PUBLIC = PROVIDERS.replace('client_secret = "secret"\n  issuer', "issuer")


@pytest.mark.parametrize(
    ("text", "places"),
    [(PUBLIC, ("v.hcl:5:", "v.hcl:10:")), (PROVIDERS + INDIEAUTH, ("v.hcl:5:", "v.hcl:11:", "v.hcl:14:"))],
)
def test_a_client_without_a_secret_shares_its_path_with_nobody(
    desk: Desk, text: str, places: tuple[str, ...]
) -> None:
    """O7: the other one's code would come back as an answer of Mallory's provider, or of any IndieAuth server."""
    sign_in = "sign_in = " + ('["google", "oidc", "indieauth"]' if text != PUBLIC else '["google", "oidc"]')
    found = desk.faults(text + host("a.example").replace('sign_in = ["google", "oidc"]', sign_in))
    assert [fault for fault in found if "has no secret" not in fault] == []
    assert len(found) == len(places)
    assert all(fault.startswith(place) for fault, place in zip(found, places, strict=True)), found
    apart = text.replace("a.example/auth", "a.example/1", 1).replace(
        INDIEAUTH, INDIEAUTH.replace("/auth", "/2")
    )
    assert desk.faults(apart + host("a.example").replace('sign_in = ["google", "oidc"]', sign_in)) == []
