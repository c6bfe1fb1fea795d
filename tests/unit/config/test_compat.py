"""`compat` in the configuration: what is claimed twice, what can't work, and what an edge doesn't tell."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import Desk
from vestibule.config.compile import compile_config
from vestibule.core.compat import Claim

GATEWAY = 'gateway { trusted_proxies = ["127.0.0.1"] }\n'
OP = """provider "op" {
  type          = "oidc"
  issuer        = "https://op.example"
  client_id     = "i"
  client_secret = "s"
  redirect_url  = "URL"
}
"""


def text(compat: str, *, url: str = "", more: str = "", route: str = "", gateway: str = GATEWAY) -> str:
    provider = OP.replace('  redirect_url  = "URL"\n', f'  redirect_url  = "{url}"\n' if url else "")
    return f"""{gateway}{provider}{more}host "a.example" {{
  public_url = "https://a.example"
  sign_in    = ["op"]
  compat     = {compat}
  access {{
    allow = ["domain:example.com"]
  }}
  {route}
}}
"""


@pytest.mark.parametrize(
    ("compat", "path", "products"),
    [
        ('"oauth2-proxy"', "/oauth2/callback", ("oauth2-proxy",)),
        ('["vouch"]', "/auth", ("vouch",)),
        ('["nuon"]', "/auth", ("nuon",)),
        ("[]", "", ()),
    ],
)
def test_a_host_has_the_paths_and_names_of_a_product(
    desk: Desk, compat: str, path: str, products: tuple[str, ...]
) -> None:
    written = text(compat, url=f"https://a.example{path}" if path else "", route='backend = "localhost:1"')
    host = compile_config(desk.load(written)).table.hosts[b"a.example"]
    assert host.compat == products
    assert host.families == products
    assert host.routes[b""].telling.families == products
    assert host.claim(path.encode()) == (Claim(products[0], "callback") if products else None)
    assert desk.warnings(written) == []


def test_a_host_that_edges_of_a_product_ask_about_needs_no_backend(desk: Desk) -> None:
    written = text('"vouch"', url="https://a.example/auth")
    assert desk.faults(written) == []
    [fault, *_] = desk.faults(text('"vouch"', gateway=""))
    assert "has no `backend`" in fault


@pytest.mark.parametrize(
    ("compat", "expected"),
    [
        ('["vuoch"]', "`vuoch` is none of: oauth2-proxy, vouch, nuon; did you mean `vouch`?"),
        ('["vouch", "oauth2-proxy", "vouch"]', "`vouch` stands in compat twice; the first is at v.hcl:11"),
        (
            '["oauth2-proxy", "vouch", "nuon"]',
            "`nuon` claims /auth, /auth/STATE, /login, /logout, /validate of this host, and so does `vouch` at v.hcl:11",
        ),
    ],
)
def test_what_is_not_known_or_claimed_twice_is_a_fault_with_both_places(
    desk: Desk, compat: str, expected: str
) -> None:
    [fault] = desk.faults(text(compat))
    assert fault.startswith("v.hcl:11:")
    assert expected in fault


def test_people_do_not_come_back_to_where_something_else_is_done(desk: Desk) -> None:
    [fault] = desk.faults(text('"vouch"', url="https://a.example/login"))
    assert fault.startswith("v.hcl:7:")
    assert "/login is another path of `vouch`, at v.hcl:12; people come back to /auth there" in fault


@pytest.mark.parametrize("url", ["", "https://a.example/other", "https://b.example/auth"])
def test_a_provider_that_leads_people_where_no_such_edge_hands_them_on_is_told_of(
    desk: Desk, url: str
) -> None:
    other = 'host "b.example" {\n backend = "localhost:1"\n access { allow = ["public"] }\n}\n'
    warnings = desk.warnings(text('"vouch"', url=url, more=other))
    [warning] = [one for one in warnings if "sends people back" in one]
    assert 'redirect_url = "https://a.example/auth" in its block' in warning


def test_a_route_that_is_shadowed_is_told_of(desk: Desk) -> None:
    route = 'route "/login" { backend = "localhost:2" }\n route "/logins" { backend = "localhost:2" }'
    [warning] = desk.warnings(
        text('"vouch"', url="https://a.example/auth", route=f'backend = "localhost:1"\n{route}')
    )
    assert "`/login` itself belongs to `vouch`, at v.hcl:12; what is below goes by this route" in warning


@pytest.mark.parametrize(
    ("product", "path", "route", "missing"),
    [
        (
            "vouch",
            "/auth",
            'access { allow = ["public"] }',
            "X-Original-URL $scheme://$host$request_uri;",
        ),
        ("vouch", "/auth", 'methods = ["GET"]', "proxy_set_header X-Original-Method $request_method;"),
        ("oauth2-proxy", "/oauth2/callback", 'methods = ["GET"]', "X-Forwarded-Method $request_method;"),
        ("oauth2-proxy", "/oauth2/callback", 'access { allow = ["public"] }', ""),
        ("vouch", "/auth", "max_body = 10", ""),
    ],
)
def test_rules_that_need_what_such_an_edge_does_not_tell_are_told_of(
    desk: Desk, product: str, path: str, route: str, missing: str
) -> None:
    written = text(f'"{product}"', url=f"https://a.example{path}", route=f'route "/x/" {{\n {route}\n}}')
    warnings = [one for one in desk.warnings(written) if "own nginx configuration" in one]
    assert len(warnings) == bool(missing)
    assert all(missing in one for one in warnings)


def test_nobody_may_ask_where_no_edge_is_listed(desk: Desk) -> None:
    written = text('"vouch"', url="https://a.example/auth", route='backend = "localhost:1"', gateway="")
    [warning] = desk.warnings(written)
    assert 'list the edges that do in gateway: trusted_proxies = ["127.0.0.1"]' in warning


def test_vouchs_edges_need_one_cookie_for_the_domain(desk: Desk) -> None:
    def domain(sso: str) -> list[str]:
        more = f'domain "a.example" {{\n auth_host = "auth.a.example"\n sso = "{sso}"\n}}\n'
        written = text('"vouch"', url="https://auth.a.example/auth", more=more)
        return [one for one in desk.warnings(written) if "take people over" in one]

    assert (len(domain("handoff")), len(domain("cookie"))) == (1, 0)


def test_an_auth_host_that_is_not_written_has_its_hosts_paths(desk: Desk) -> None:
    more = 'domain "a.example" {\n auth_host = "auth.a.example"\n sso = "cookie"\n}\n'
    written = text('"vouch"', url="https://auth.a.example/auth", more=more)
    table = compile_config(desk.load(written)).table
    app, auth = table.hosts[b"a.example"], table.hosts[b"auth.a.example"]
    assert (app.claim(b"/validate"), app.claim(b"/login")) == (Claim("vouch", "ask"), None)
    assert (auth.claim(b"/login"), auth.compat) == (Claim("vouch", "login"), ("vouch",))


@pytest.mark.parametrize(
    ("product", "allow", "is_told"),
    [
        ("vouch", "domain:other.example", True),
        ("vouch", "domain:example.com", False),
        ("nuon", "anyone", True),
    ],
)
def test_p3_hosts_that_nginx_can_be_made_to_take_for_each_other_are_told_of(
    desk: Desk, product: str, allow: str, is_told: bool
) -> None:
    """`GET http://b.example/` with `Host: a.example`, behind the nginx that Vouch documents."""
    other = f"""host "b.example" {{
  public_url = "https://b.example"
  sign_in    = ["op"]
  compat     = "{product}"
  access {{
    allow = ["{allow}"]
  }}
}}
"""
    warnings = desk.warnings(text(f'"{product}"', more=other))
    assert any("proxy_set_header Host $host;" in warning for warning in warnings) == is_told
