"""`domain` blocks: what they make of hosts, and what is wrong with them."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import Desk
from vestibule.config.compile import Compiled, compile_config
from vestibule.core.domain import Domain
from vestibule.core.route import site_of

OP = """provider "op" {
  type          = "oidc"
  issuer        = "https://op.example"
  client_id     = "i"
  client_secret = "s"
}
provider "club" {
  type          = "oidc"
  issuer        = "https://club.example"
  client_id     = "i"
  client_secret = "s"
}
"""


def host(name: str, *sign_in: str, more: str = "", url: str = "https") -> str:
    shown = f'public_url = "{url}://{name}"' if url else ""
    listed = ", ".join(f'"{one}"' for one in sign_in)
    return (
        f'host "{name}" {{\n  backend = "localhost:3000"\n  sign_in = [{listed}]\n  {shown}\n'
        f'  access {{ allow = ["anyone"] }}\n{more}\n}}\n'
    )


def domain(*lines: str, name: str = "example.com", auth: str = "auth.example.com") -> str:
    inside = "\n".join((f'auth_host = "{auth}"', *lines))
    return f'domain "{name}" {{\n{inside}\n}}\n'


APP, WIKI = host("app.example.com", "op"), host("wiki.example.com", "club", "op")
COOKIE = 'sso = "cookie"'


def compiled(desk: Desk, *texts: str) -> Compiled:
    return compile_config(desk.load("".join((OP, *texts))))


def faults(desk: Desk, *texts: str) -> list[str]:
    return [fault.split(": ", 1)[1] for fault in desk.faults("".join((OP, *texts)))]


# -- the auth host ----------------------------------------------------------------------------


def test_an_auth_host_without_a_block_has_all_that_its_hosts_need(desk: Desk) -> None:
    found = compiled(desk, domain(), APP, WIKI)
    auth = found.table.hosts[b"auth.example.com"]
    assert auth.sign_in == ("op", "club")
    assert auth.base_url == "https://auth.example.com"
    assert auth.routes[b""].backend.internal == "account"
    assert list(auth.routes) == [b""]
    assert not auth.takes_more


def test_all_hosts_of_the_domain_share_its_sign_in(desk: Desk) -> None:
    found = compiled(desk, domain(), APP, WIKI, host("app.example.org", "op"))
    expected = Domain(name="example.com", auth=b"auth.example.com", auth_url="https://auth.example.com")
    domains = {name: one.domain for name, one in found.table.hosts.items()}
    assert domains == {
        b"app.example.com": expected,
        b"wiki.example.com": expected,
        b"app.example.org": None,
        b"auth.example.com": expected,
    }
    assert {one.realm for one in found.table.hosts.values()} == {""}


def test_its_block_says_what_it_says_and_gets_the_rest(desk: Desk) -> None:
    text = 'host "auth.example.com" {\n  name = "Hall"\n  sign_in = ["club", "op"]\n}\n'
    auth = compiled(desk, domain(), APP, WIKI, text).table.hosts[b"auth.example.com"]
    assert (auth.title, auth.sign_in, auth.base_url) == ("Hall", ("club", "op"), "https://auth.example.com")


def test_providers_of_the_database_are_taken_where_one_host_takes_them(desk: Desk) -> None:
    auth = compiled(desk, domain(), APP, host("more.example.com", "*")).table.hosts[b"auth.example.com"]
    assert (auth.sign_in, auth.takes_more) == (("op",), True)


def test_a_hosts_own_clients_are_none_of_the_auth_hosts(desk: Desk) -> None:
    inline = 'provider "mine" {\n type = "oidc"\n issuer = "https://x.example"\n client_id = "i"\n client_secret = "s"\n}'
    found = compiled(desk, domain(), host("app.example.com", "mine", "op", more=inline))
    assert found.table.hosts[b"auth.example.com"].clients == {"op": "op"}


def test_a_host_that_has_only_its_own_clients_has_no_part_in_it(desk: Desk) -> None:
    inline = 'provider "mine" {\n type = "oidc"\n issuer = "https://x.example"\n client_id = "i"\n client_secret = "s"\n}'
    own = host("own.example.com", "mine", more=inline)
    assert compiled(desk, domain(), APP, own).table.hosts[b"own.example.com"].domain is None
    shared = compiled(desk, domain(COOKIE), APP, own).table.hosts[b"own.example.com"]
    assert shared.realm == ".example.com"


def test_of_two_domains_a_host_is_in_the_longer(desk: Desk) -> None:
    inner = domain(name="in.example.com", auth="login.in.example.com")
    found = compiled(desk, domain(), inner, APP, host("a.in.example.com", "club"))
    names = {name: one.domain.name for name, one in found.table.hosts.items() if one.domain}
    assert names == {
        b"app.example.com": "example.com",
        b"a.in.example.com": "in.example.com",
        b"auth.example.com": "example.com",
        b"login.in.example.com": "in.example.com",
    }
    assert found.table.hosts[b"login.in.example.com"].sign_in == ("club",)


def test_names_are_compared_as_names_are(desk: Desk) -> None:
    found = compiled(desk, domain(name="Example.COM.", auth="AUTH.example.com"), APP)
    assert b"auth.example.com" in found.table.hosts
    assert found.table.hosts[b"app.example.com"].domain is not None


def test_people_are_not_warned_of_who_gets_into_no_app(desk: Desk) -> None:
    github = 'provider "github" {\n  client_id = "i"\n  client_secret = "s"\n}\n'
    app = host("app.example.com", "github").replace('["anyone"]', '["email:a@example.com"]')
    assert not desk.warnings(github + domain() + app)


# -- one cookie -------------------------------------------------------------------------------


def test_with_one_cookie_all_hosts_are_one_realm(desk: Desk) -> None:
    found = compiled(desk, domain(COOKIE, 'cookie = "X-Hall"', 'session_token = "jwt"'), APP)
    app = found.table.hosts[b"app.example.com"]
    assert app.domain is not None
    assert (app.realm, app.domain.is_token, app.shared_cookies) == (".example.com", True, {b"x-hall"})
    site = site_of(app, "http", 8000)
    assert (site.cookie, site.cookie_domain, site.prefix) == ("X-Hall", "example.com", "__Host-vestibule")
    assert (site.base_url, site.auth_url) == ("https://app.example.com", "https://auth.example.com")


def test_no_host_of_the_gateway_lets_its_backend_see_that_cookie(desk: Desk) -> None:
    found = compiled(desk, domain(COOKIE, 'cookie = "X-Hall"'), APP, host("app.example.org", "op"))
    assert found.table.hosts[b"app.example.org"].shared_cookies == {b"x-hall"}


def test_a_call_takes_handles_of_sessions_of_the_whole_domain(desk: Desk) -> None:
    call = 'call "api" {\n port = 4848\n endpoint = "api.example"\n apply_header "Authorization" { secret = "session:op" }\n}'
    found = compiled(desk, domain(COOKIE), APP, call)
    assert found.calls[0].realms["app.example.com"] == ".example.com"
    assert not compiled(desk, domain(), APP, call).calls[0].realms


def test_what_one_cookie_shows_is_told(desk: Desk) -> None:
    text = "".join((OP, domain(COOKIE, 'session_token = "jwt"'), APP))
    first, second = [one for one in desk.warnings(text) if "session cookie" in one or "token" in one]
    assert "every host below example.com gets the session cookie" in first
    assert "read the session's handle in it" in second
    assert not [one for one in desk.warnings(f"{OP}{domain()}{APP}") if "cookie" in one]


# -- faults -----------------------------------------------------------------------------------

INLINE = 'oauth "x" {\n client_id = "i"\n client_secret = "s"\n authorize_url = "https://x.example/a"\n access_token_url = "https://x.example/t"\n}'
FAULTS = {
    "no name": ('domain "a b" { auth_host = "auth.example.com" }', "`a b` is no host name"),
    "twice": (domain() + domain(), "there are two domains of the name example.com; the first is at v.hcl"),
    "an address": (
        domain(name="10.0.0.1", auth="10.0.0.1"),
        "10.0.0.1 is an address, and has no hosts below it",
    ),
    "a suffix": (domain(name="co.uk", auth="auth.co.uk"), "under co.uk anybody has a domain"),
    "a private suffix": (
        domain(name="github.io", auth="auth.github.io"),
        "under github.io anybody has a domain",
    ),
    "no auth host": ('domain "example.com" { }', 'domain "example.com" has no `auth_host`'),
    "auth host elsewhere": (domain(auth="auth.example.org"), "is no host of example.com"),
    "auth host in another": (
        domain(auth="auth.in.example.com") + domain(name="in.example.com", auth="login.in.example.com"),
        "is a host of the domain in.example.com, which has a block of its own",
    ),
    "an app there": (
        domain() + host("auth.example.com", "op", "club"),
        "auth.example.com is an auth_host, which has no app: leave it out",
    ),
    "a route there": (
        domain() + 'host "auth.example.com" { route "/x" { } }',
        "auth.example.com is an auth_host, which has no app: there is nothing to route",
    ),
    "a client there": (
        domain() + f'host "auth.example.com" {{ {INLINE} }}',
        "people of the whole domain sign in here: `x` goes to top level, out of this host",
    ),
    "a provider it lacks": (
        domain() + 'host "auth.example.com" { sign_in = ["op"] }',
        "`club` is not in sign_in of auth.example.com, where people of this host sign in",
    ),
    "the database's, which it lacks": (
        domain() + host("more.example.com", "*") + 'host "auth.example.com" { sign_in = ["op", "club"] }',
        "`*` is not in sign_in of auth.example.com",
    ),
    "one without a public URL": (
        domain() + host("b.example.com", "op", url=""),
        'host "b.example.com" has no public_url, and others of its domain have',
    ),
    "two schemes": (
        domain() + host("b.example.com", "op", url="http"),
        "has no public_url, and others of its domain have",
    ),
    "two schemes, all written": (
        domain()
        + 'host "auth.example.com" { public_url = "https://auth.example.com" }'
        + host("b.example.com", "op", url="http"),
        "is not https, as that of auth.example.com is; all hosts of a domain have one scheme",
    ),
    "an unknown sso": (domain('sso = "both"'), "is handoff or cookie"),
    "an unknown token": (domain(COOKIE, 'session_token = "paseto"'), "is opaque or jwt"),
    "a cookie without need": (domain('cookie = "X"'), 'has no effect here: it belongs to sso = "cookie"'),
    "a token without need": (
        domain('session_token = "jwt"'),
        'has no effect here: it belongs to sso = "cookie"',
    ),
    "a bad cookie": (domain(COOKIE, 'cookie = "a b"'), "is no name of a cookie"),
    "a cookie of one host": (
        domain(COOKIE, 'cookie = "__Host-x"'),
        "browsers keep `__Host-` for cookies of one host",
    ),
    "a cookie of ours": (
        domain(COOKIE, 'cookie = "vestibule-8000"'),
        "is what cookies of single hosts are called; choose another name",
    ),
    "a cookie twice": (
        domain(COOKIE)
        + domain(COOKIE, name="in.example.com", auth="login.in.example.com")
        + host("a.in.example.com", "op"),
        "browsers send hosts of in.example.com the cookie of example.com, too",
    ),
    "shown elsewhere": (
        domain(COOKIE)
        + host("b.example.com", "op").replace("https://b.example.com", "https://b.example.org"),
        "b.example.org is not in example.com: it never gets the cookie of that",
    ),
}


@pytest.mark.parametrize(("text", "expected"), FAULTS.values(), ids=FAULTS.keys())
def test_what_cannot_work_is_a_fault(desk: Desk, text: str, expected: str) -> None:
    found = faults(desk, APP, WIKI, text)
    assert any(expected in fault for fault in found), found


def test_a_secure_cookie_needs_https(desk: Desk) -> None:
    local = domain(COOKIE, 'cookie = "__Secure-x"', name="a.localhost", auth="auth.a.localhost")
    found = faults(desk, local, host("app.a.localhost", "op", url=""))
    assert found == ["browsers take `__Secure-` over https alone; auth.a.localhost has plain http"]


def test_browsers_share_no_cookie_of_localhost(desk: Desk) -> None:
    local = domain(COOKIE, name="localhost", auth="auth.localhost")
    found = faults(desk, local, host("app.localhost", "op", url=""))
    assert found == [
        'browsers share no cookie of localhost, a name without a dot: domain "vestibule.localhost", or sso = "handoff"'
    ]
    assert not faults(
        desk, domain(name="localhost", auth="auth.localhost"), host("app.localhost", "op", url="")
    )


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("https://auth.example.com/cb", True),
        ("https://other.example/cb", False),
        ("https://app.example.com/cb", False),
    ],
)
def test_a_provider_sends_people_back_to_the_auth_host(desk: Desk, url: str, is_good: bool) -> None:
    text = OP.replace(
        'issuer        = "https://op.example"', f'issuer = "https://op.example"\nredirect_url = "{url}"'
    )
    found = desk.faults(text + domain() + APP)
    assert (not found) is is_good
    if url.startswith("https://app"):
        assert "people of example.com come back to auth.example.com, not to app.example.com" in found[0]


def test_what_is_at_fault_elsewhere_is_told_there_alone(desk: Desk) -> None:
    """A block that can't be read gives nobody a second fault about what follows from it."""
    broken = 'host "auth.example.com" {\n  sign_in = "op"\n}\n'
    found = faults(desk, domain(), APP, broken)
    assert found == ['`sign_in` is a list: sign_in = ["op"]']
