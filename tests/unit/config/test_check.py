"""What the check finds: each fault with its place and what to do, and the warnings."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.config.conftest import GOOGLE, Desk

Faults = Callable[[str], list[str]]
ACCESS = 'access { allow = ["domain:example.com"] }'
PUBLIC = 'access { allow = ["public"] }'
FINE = f'backend = "localhost:3000"\nsign_in = ["google"]\n{ACCESS}\n'


def host_of(name: str, inside: str) -> str:
    return f'host "{name}" {{\n{inside}\n}}\n'


def open_host(name: str, inside: str = "") -> str:
    return host_of(name, f'backend = "localhost:3000"\n{PUBLIC}\n{inside}')


def client(name: str, more: str = "") -> str:
    return f'provider "{name}" {{\n  client_id = "i"\n  client_secret = "s"\n{more}\n}}\n'


OAUTH = """oauth "hub" {
  client_id        = "i"
  client_secret    = "s"
  authorize_url    = "https://hub.example/authorize"
  access_token_url = "https://hub.example/token"
"""


def only(faults: list[str], start: str) -> None:
    assert len(faults) == 1, faults
    assert faults[0].startswith(start)


# -- names, types, what is missing ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gateway { trusted_proxy = [] }", "v.hcl:1:11: there is no attribute `trusted_proxy` here; did you mean `trusted_proxies`?"),
        ("gatway { }", "v.hcl:1:1: there is no block `gatway` here; did you mean `gateway`?"),
        ("xyzzy { }", "v.hcl:1:1: there is no block `xyzzy` here"),
        ("gateway = 1", "v.hcl:1:1: `gateway` is a block: write gateway { … }"),
        ("gateway { http { } }", "v.hcl:1:11: `http` is an attribute: write http = …"),
        ('gateway "x" { }', "v.hcl:1:9: `gateway` has no label: gateway { … }"),
        ("host { }", 'v.hcl:1:1: `host` has one label, the host\'s name: host "…" { … }'),
        ('host "a" "b" { }', "v.hcl:1:1: `host` has one label"),
        ('gateway { http = "127.0.0.1:1" }', 'v.hcl:1:18: `http` is a list: http = ["127.0.0.1:1"]'),
        ("gateway { http = [80] }", "v.hcl:1:19: `http` is an address to listen on in double quotes, not a number"),
        ("gateway { workers = [1] }", "v.hcl:1:21: `workers` is one whole number, not a list"),
        ("gateway { workers = 0 }", "v.hcl:1:21: a number from 1 to 128; one a core is usual"),
        ("gateway { workers = 129 }", "v.hcl:1:21: a number from 1 to 128; one a core is usual"),
        ('gateway { https = ["0.0.0.0"] }', "v.hcl:1:20: `0.0.0.0` is no address to listen on"),
        ('gateway { http = ["localhost"] }', "v.hcl:1:19: `localhost` is no address to listen on"),
        ('gateway { trusted_proxies = ["10.0.0.1/8"] }', "v.hcl:1:30: `10.0.0.1/8` has bits behind its mask; write 10.0.0.0/8"),
        ("gateway { http = [] }", "v.hcl:1:18: the list is empty"),
        ('gateway { fetch_allow = ["10.0.0.1/8"] }', "v.hcl:1:26: `10.0.0.1/8` has bits behind its mask"),
        ('gateway { fetch_allow = ["10.0.0.0/8", "unix"] }', "v.hcl:1:40: providers are not reached by Unix sockets"),
        ("gateway { fetch_timeout = 0 }", "v.hcl:1:27: `fetch_timeout` must be longer than nothing"),
        ('acme { email = "x" }', 'v.hcl:1:16: is no address: "ops@example.com"'),
        ('admin { listen = "x" }', "v.hcl:1:18: `x` is no address to listen on"),
        ('admin { allow = ["anyone"] }', "v.hcl:1:17: people come by a port: add listen"),
        ('admin { sign_in = ["google"] }', "v.hcl:1:19: nobody may: add allow"),
        ('admin { listen = "127.0.0.1:9000"\n allow = ["email:a@b.example"] }', "v.hcl:2:10: nobody can sign in: there is no provider"),
        ('admin { listen = "0.0.0.0:9000" }', "v.hcl:1:18: 0.0.0.0:9000 is plain HTTP that other machines can reach"),
        ('admin { listen = "[2001:db8::1]:9000" }', "v.hcl:1:18: [2001:db8::1]:9000 is plain HTTP that other machines"),
        ('admin { listen = "unix:a.sock" }', "v.hcl:1:18: there is a Unix socket already, admin.sock in the state"),
        ('admin { listen = "127.0.0.1:8000" }', "v.hcl:1:18: 127.0.0.1:8000 is taken by the default address of the gateway"),
        ('gateway { state = "' + "s" * 120 + '" }', "v.hcl:1:19: the path of the admin socket, "),
        ('domain "example.com" { }', 'v.hcl:1:1: domain "example.com" has no `auth_host`: auth_host = "…"'),
        ('serve "x" { port = 4700 }', 'v.hcl:1:1: serve "x" has no `backend`: backend = "…"'),
        ('lifetimes { session_idle = "1 week" }', 'v.hcl:1:28: `session_idle` is a span of time: "30s"'),
        ("lifetimes { session_idle = 0 }", "v.hcl:1:28: `session_idle` must be longer than nothing"),
        ('store { url = "postgres://x" }', "v.hcl:1:15: `url` is not of the form postgresql://USER:PASSWORD@"),
        ('store { url = "redis://x" }', "v.hcl:1:15: `url` can't be Redis, which keeps sessions alone"),
        ('store { url = "vestibule.db" }', "v.hcl:1:15: `url` is no store: sqlite:PATH"),
        ('secret "a" { }', 'v.hcl:1:1: secret "a" has no `value`: value = "…"'),
        ('secret "a" { value = "" }', "v.hcl:1:22: `value` is empty"),
    ],
)  # fmt: skip
def test_the_gateways_own_blocks(desk: Desk, text: str, expected: str) -> None:
    only(desk.faults(text + "\n" + open_host("a.example")), expected)


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (f'bakend = "x:1"\n{PUBLIC}', 'v.hcl:7:1: host "app.example.com" has no `backend`: backend = "…"'),
        (f"backend = 3000\n{PUBLIC}", "v.hcl:8:11: `backend` is a backend in double quotes, not a number"),
        (f'backend = "localhost"\n{PUBLIC}', "v.hcl:8:11: `localhost` is no server: 'localhost' has no port"),
        (f'backend = "https://x/y"\n{PUBLIC}', "v.hcl:8:11: `https://x/y`: only scheme, host and port"),
        (f'backend = "ftp://x"\n{PUBLIC}', "v.hcl:8:11: `ftp://x` is no server"),
        (f'backend = "static:"\n{PUBLIC}', "v.hcl:8:11: `backend` names no directory"),
        (f'backend = "internal:httpbin"\n{PUBLIC}', "v.hcl:8:11: `backend` there is no internal:httpbin; there are internal:account, internal:admin, internal:echo"),
        (f'backend = "serving:x"\n{PUBLIC}', "v.hcl:8:11: there is no serving `x`; add serving"),
        (f'backend = "nomad:job"\n{PUBLIC}', "v.hcl:8:11: `nomad:` is not in this version yet"),
        (f'backend = ["x:1", "static:y"]\n{PUBLIC}', "v.hcl:8:11: only servers can stand in a list"),
        (f"backend = []\n{PUBLIC}", "v.hcl:8:11: the list is empty"),
        (f'{FINE}identity_headers = "apache"', "v.hcl:11:20: `apache` is none of: oauth2-proxy, vouch"),
        (f"{FINE}assertion = 2", "v.hcl:11:13: "),
        (f'{FINE}header "X" {{ }}', 'v.hcl:11:1: header "X" needs one of the two: value = "…" or remove = true'),
        (f"{FINE}{ACCESS}", "v.hcl:11:1: `access` stands here twice; the first is at v.hcl:10"),
        (f'{FINE}max_body = "10 apples"', 'v.hcl:11:12: `max_body` is a size: "64KiB"'),
    ],
)  # fmt: skip
def test_what_stands_in_a_host(host: Faults, inside: str, expected: str) -> None:
    faults = [fault for fault in host(inside) if "there is no attribute `bakend`" not in fault]
    only(faults, expected)


# -- hosts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", ["app.example.com", "APP.Example.com", "app.example.com."])
def test_two_hosts_of_one_name(desk: Desk, second: str) -> None:
    faults = desk.faults(open_host("app.example.com") + open_host(second))
    assert faults == ["v.hcl:6:6: there are two hosts of the name app.example.com; the first is at v.hcl:1"]


def test_an_ingress_and_a_host_of_one_name(desk: Desk) -> None:
    faults = desk.faults(open_host("a.example") + open_host("a.example").replace("host", "ingress", 1))
    assert faults == ["v.hcl:6:9: there are two hosts of the name a.example; the first is at v.hcl:1"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("https://a.example", "`https://a.example` is a name alone, without a scheme"),
        ("a.example:80", "`a.example:80` is a name alone; the port goes into gateway"),
        ("a b", "`a b` is no host name"),
        ("", "`` is no host name"),
        ("127.1", "`127.1` is no host name"),
    ],
)
def test_a_host_that_is_no_name(desk: Desk, name: str, expected: str) -> None:
    only(desk.faults(open_host(name)), f"v.hcl:1:6: {expected}")


def test_a_host_beyond_ascii_is_its_a_label(desk: Desk) -> None:
    assert list(desk.load(open_host("bücher.example")).checked.scopes) == ["xn--bcher-kva.example"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/admin", "`/admin` is the same path as `/admin/` at v.hcl:4"),
        ("/%61dmin", "`/%61dmin` is the same path as `/admin/` at v.hcl:4"),
        ("/x/../admin", "`/x/../admin` is the same path as `/admin/` at v.hcl:4"),
        ("admin", '`admin` is no path: it begins with a slash, "/admin"'),
        ("/", '"/" is the host itself'),
        ("/a*", "`/a*`: a route owns everything below its path"),
        ("/a?b", "`/a?b`: a route owns everything below its path"),
        ("/a;b", "`/a;b`: a path parameter"),
        ("/a%2fb", "`/a%2fb` is no path"),
        ("/a b", "`/a b` is no path"),
        ("/@/x", "`/@/` belongs to the gateway itself"),
    ],
)
def test_a_route_that_can_never_be_reached_or_is_none(desk: Desk, path: str, expected: str) -> None:
    only(
        desk.faults(open_host("a.example", f'route "/admin/" {{ }}\nroute "{path}" {{ }}')),
        f"v.hcl:5:7: {expected}",
    )


def test_a_route_under_a_clients_paths_is_never_reached_but_others_are(host: Faults) -> None:
    only(host(f'{FINE}route "/@google/x" {{ }}'), "v.hcl:11:7: `/@google/` belongs to the gateway itself")
    assert host(f'{FINE}route "/@alice/" {{ }}') == []


def test_a_method_that_is_none(host: Faults) -> None:
    only(
        host(f'{FINE}route "/x" {{ methods = ["get", "TRACE"] }}'),
        "v.hcl:11:32: `methods` TRACE never goes through",
    )


# -- who gets in ------------------------------------------------------------------------------


def test_a_host_with_sign_in_and_no_access_is_given_two_lines_to_choose_from(desk: Desk) -> None:
    faults = desk.faults(GOOGLE, host_of("app.example.org", 'backend = "x:1"\nsign_in = ["google"]'))
    assert faults == [
        (
            'w.hcl:1:1: host "app.example.org" signs people in but does not say who gets in; write one of these into it:\n'
            '    access { allow = ["anyone"] }\n'
            '    access { allow = ["domain:example.com"] }'
        )
    ]


@pytest.mark.parametrize(
    "inside",
    ['provider "google" {\n  client_id = "i"\n  client_secret = "s"\n}', f'{OAUTH}}}\nsign_in = ["hub"]'],
    ids=["provider inside", "sign_in of its own client"],
)
def test_inline_providers_ask_for_access_too(desk: Desk, inside: str) -> None:
    (fault,) = desk.faults(host_of("a.example", f'backend = "x:1"\n{inside}'))
    assert "does not say who gets in" in fault


def test_only_ios_own_blocks_let_everyone_through_unasked(desk: Desk) -> None:
    assert desk.faults(host_of("a.example", f'backend = "x:1"\n{OAUTH}}}')) == []
    only(
        desk.faults(host_of("a.example", 'backend = "x:1"')),
        'v.hcl:1:1: host "a.example" does not say who gets in: write access { allow = ["public"] }',
    )


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("email:bob", "`email:bob` names no e-mail address"),
        ("email:", "`email:` names no e-mail address"),
        ("email:a@b@c", "`email:a@b@c` names no e-mail address"),
        (
            "email:*@x.com",
            "`email:*@x.com`: addresses are meant as they stand; a whole domain is domain:x.com",
        ),
        ("domain:", "`domain:` names no domain"),
        ("email", "`email` names nobody: email:ann@example.com"),
        ("domain:@x.com", "`domain:@x.com`: write domain:x.com"),
        ("domain:bob@x.com", "`domain:bob@x.com`: write domain:x.com, or email:bob@x.com for one person"),
        ("domain:*.x.com", "`domain:*.x.com`: a domain is meant as it stands"),
        ("bob@x.com", "`bob@x.com` is no rule; write email:bob@x.com"),
        ("x.com", "`x.com` is no rule; write domain:x.com"),
        ("anyone:x", "`anyone:x`: `anyone` stands alone"),
        ("anybody", "`anybody` is no rule"),
        ("emial:a@b.c", "`emial:a@b.c` is no rule; write email:a@b.c"),
        ("group:", "`group:` names nobody: group:admins"),
        ("team:a*", "`team:a*`: names are meant as they stand, there are no patterns"),
        ("claim:team", "`claim:team` is no rule on a claim: claim:team=blue"),
        (
            "user:octocat",
            "`user:octocat` is no id of a person here; a login is named with its provider: user:goo",
        ),
        (
            "network:10.0.0.1/8",
            "`network:10.0.0.1/8` has bits behind its mask: write network:10.0.0.0/8, or netw",
        ),
        ("network:", "`network:` names no network: network:10.0.0.0/8"),
        ("network:internal", "`network:internal` names no network: network:10.0.0.0/8"),
        ("network:unix", "`network:unix` names no network"),
        ("network:0x7f.1", "`network:0x7f.1` names no network"),
        ("network:fe80::1%eth0", "`network:fe80::1%eth0` names no network"),
        ("token", "`token` names nobody: token:read"),
        ("token:a b", "`token:a b` names no scope of a token: token:read"),
        ("token:repo:*", "`token:repo:*` names no scope of a token"),
        ("machine:ci", "there is no machine `ci`"),
        ("email:okta/a@b.c", "`email:okta/a@b.c`: there is no provider `okta` on this host"),
        ("", "`` is no rule"),
    ],
)
@pytest.mark.parametrize("kind", ["allow", "deny"])
def test_a_rule_that_is_none_is_never_passed_over(host: Faults, kind: str, rule: str, expected: str) -> None:
    other = "" if kind == "allow" else 'allow = ["anyone"]\n'
    faults = host(f'backend = "x:1"\nsign_in = ["google"]\naccess {{\n{other}{kind} = ["{rule}"]\n}}')
    only(faults, f"v.hcl:{12 if other else 11}:{len(kind) + 5}: {expected}")


def test_rules_that_can_never_hold_are_faults(desk: Desk) -> None:
    text = host_of("a.example", f'backend = "x:1"\naccess {{ allow = ["anyone"] }}\n{OAUTH}}}')
    only(desk.faults(text), "v.hcl:3:19: `anyone` can never hold: `hub` gives credentials but not a person")
    text = host_of("a.example", 'backend = "x:1"\naccess { allow = ["email:a@b.c"] }')
    only(desk.faults(text), "v.hcl:3:19: `email:a@b.c` can never hold: nobody can sign in on this host")


@pytest.mark.parametrize(
    "more",
    ['userinfo_url = "https://hub.example/me"\n}', None],
    ids=["userinfo_url", "known type"],
)
def test_a_plain_client_that_tells_who_comes_satisfies_rules(desk: Desk, more: str | None) -> None:
    known = 'oauth "hub" {\n  type = "github"\n  client_id = "i"\n  client_secret = "s"\n}'
    block = OAUTH + more if more else known
    text = host_of("a.example", f'backend = "x:1"\naccess {{ allow = ["email:a@b.c"] }}\n{block}')
    loaded = desk.load(text)
    assert loaded.checked.scopes["a.example"].sign_in == ("a.example/hub",)


def test_a_known_type_knows_its_addresses(desk: Desk) -> None:
    text = host_of("a.example", f'backend = "x:1"\n{OAUTH}type = "github"\n}}')
    assert [fault.partition(": ")[2] for fault in desk.faults(text)] == [
        "`authorize_url` is known to the type github: leave it out",
        "`access_token_url` is known to the type github: leave it out",
    ]


def test_an_access_without_allow_says_so_but_a_route_may_only_deny(host: Faults) -> None:
    only(
        host('backend = "x:1"\nsign_in = ["google"]\naccess { deny = ["email:a@b.c"] }'),
        "v.hcl:10:1: this access says nobody gets in: add allow = ",
    )
    assert host(f'{FINE}route "/x" {{\n  access {{ deny = ["email:a@b.c"] }}\n}}') == []


# -- providers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (client("gogle"), 'v.hcl:1:10: `gogle` is no kind of provider: add type = "oidc" and an issuer; did you mean `google`?'),
        (client("ldap"), "v.hcl:1:10: providers of the kind `ldap` are not in this version yet"),
        (client("microsoft"), 'v.hcl:1:10: `microsoft` is no kind of provider: add type = "oidc" and an issuer; did you mean `entra`?'),
        (client("x", 'type = "gogle"'), "v.hcl:4:8: there is no kind of provider `gogle`; did you mean `google`?"),
        (client("x", 'type = "ldap"'), "v.hcl:4:8: providers of the kind `ldap` are not in this version yet"),
        (client("x", 'type = "oauth2"'), "v.hcl:4:8: there is no kind of provider `oauth2`"),
        (client("x", 'type = "oidc"'), 'v.hcl:1:1: provider "x" has no `issuer`: issuer = "…"'),
        (client("x", 'type = "oidc"\nissuer = "ftp://idp.example"'), 'v.hcl:5:10: provider "x": issuer'),
        (client("x", 'type = "oidc"\nissuer = "https://127.1"'), 'v.hcl:5:10: provider "x": issuer'),
        (client("a/b", 'type = "github"'), "v.hcl:1:10: `a/b` can't stand in /@ID/signin"),
        (client("google", "hosted_domian = 1"), "v.hcl:4:1: there is no attribute `hosted_domian` here; did you mean `hosted_domain`?"),
        (client("google", 'scopes = "a"'), 'v.hcl:4:10: `scopes` is a list: scopes = ["a"]'),
        (client("google", 'credentials = "user"'), "v.hcl:4:1: `credentials` is not in this version yet"),
        (client("google", 'authorize_parameter {\nname = "state"\nvalue = "x"\n}'), "v.hcl:5:8: `state` is set by the gateway"),
        (client("google", 'authorize_parameter { name = "a" }'), "v.hcl:4:1: authorize_parameter has no `value`"),
        (client("google", "extra { }"), "v.hcl:4:1: there is no block `extra` here"),
        ('provider "google" { client_secret = "s" }\n', 'v.hcl:1:1: provider "google" has no `client_id`'),
        ('provider "google" { client_id = "" }\n', "v.hcl:1:33: `client_id` is empty"),
    ],
)  # fmt: skip
def test_a_provider_that_can_not_work(desk: Desk, text: str, expected: str) -> None:
    only(desk.faults(text + open_host("a.example")), expected)


def test_two_clients_of_one_id(desk: Desk) -> None:
    faults = desk.faults(client("google") + OAUTH.replace("hub", "google") + "}\n" + open_host("a.example"))
    only(faults, "v.hcl:6:7: there are two clients of the ID `google`; the first is at v.hcl:1")


@pytest.mark.parametrize(
    ("sign_in", "expected"),
    [
        ('["gogle"]', "v.hcl:9:12: there is no provider `gogle`; did you mean `google`?"),
        ('["zzz"]', 'v.hcl:9:12: there is no provider `zzz`; add provider "zzz"'),
        ('["google", "google"]', "v.hcl:9:22: `google` stands in sign_in twice"),
        ('"google"', 'v.hcl:9:11: `sign_in` is a list: sign_in = ["google"]'),
    ],
)
def test_sign_in_refers_to_what_is_there(host: Faults, sign_in: str, expected: str) -> None:
    faults = [
        fault
        for fault in host(f'backend = "x:1"\nsign_in = {sign_in}\n{ACCESS}')
        if "never hold" not in fault
    ]
    only(faults, expected)


def test_an_id_that_is_inline_and_at_top_level_is_ambiguous(host: Faults) -> None:
    faults = host(f"{FINE}{client('google')}")
    only(faults, "v.hcl:9:12: `google` is a client of this host and one at top level")


def test_a_provider_at_fault_is_not_told_missing_as_well(desk: Desk) -> None:
    text = client("corp", 'type = "oidc"') + host_of(
        "a.example", f'backend = "x:1"\nsign_in = ["corp"]\n{ACCESS}'
    )
    only(desk.faults(text), 'v.hcl:1:1: provider "corp" has no `issuer`')


# -- listeners and addresses ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("http", "port", "expected"),
    [
        ('["127.0.0.1:4848"]', 4848, "w.hcl:1:21: 127.0.0.1:4848 is taken by v.hcl:1"),
        ('["0.0.0.0:4848"]', 4848, "w.hcl:1:21: 127.0.0.1:4848 is taken by v.hcl:1 (0.0.0.0:4848)"),
        ('["127.0.0.1:80", "0.0.0.0:80"]', 4848, "v.hcl:1:35: 0.0.0.0:80 is taken by v.hcl:1 (127.0.0.1:80)"),
    ],
)
def test_two_on_one_port(desk: Desk, http: str, port: int, expected: str) -> None:
    call = f'call "abc" {{ port = {port}\n  endpoint = "api.example"\n}}\n'
    only(desk.faults(f"gateway {{ http = {http} }}", call, open_host("a.example")), expected)


def test_the_default_port_can_be_taken_too(desk: Desk) -> None:
    call = 'call "a" {\n  port = 8000\n  endpoint = "api.example"\n}\n'
    only(
        desk.faults(open_host("a.example") + call),
        "v.hcl:7:10: 127.0.0.1:8000 is taken by the default address",
    )


def test_plain_http_for_other_machines_needs_a_public_url_where_people_sign_in(desk: Desk) -> None:
    gateway = 'gateway { http = ["0.0.0.0:8000"] }\n'
    (fault,) = desk.faults(gateway + GOOGLE + host_of("a.example", FINE))
    assert 'public_url = "https://a.example"' in fault
    assert desk.faults(gateway + open_host("a.example")) == []
    assert (
        desk.faults(gateway + GOOGLE + host_of("a.example", FINE + 'public_url = "https://a.example"')) == []
    )
    (fault,) = desk.faults(gateway + GOOGLE + host_of("a.example", FINE + 'public_url = "http://a.example"'))
    assert "plain http shows every session to the network" in fault


@pytest.mark.parametrize("url", ["a.example", "https://a.example/app", "ftp://a.example", "https://"])
def test_a_public_url_is_scheme_and_host(host: Faults, url: str) -> None:
    only(host(f'{FINE}public_url = "{url}"'), "v.hcl:11:14: `public_url` is scheme and host alone")


def test_the_key_and_the_database_are_never_served(desk: Desk) -> None:
    (desk.folder / "public").mkdir()
    text = host_of("a.example", f'backend = "static:."\n{PUBLIC}')
    only(desk.faults(text), "v.hcl:2:11: the key file would be served to everyone")
    text = host_of("a.example", f'backend = "static:public"\n{PUBLIC}')
    assert desk.warnings(text) == []


def test_a_key_file_others_can_read_is_a_fault(desk: Desk) -> None:
    key = desk.folder / "k"
    key.write_text("x")
    key.chmod(0o640)
    text = 'store { key_file = "k" }\n' + open_host("a.example")
    only(desk.faults(text), "v.hcl:1:20: other users can read the key file k: chmod 600")
    key.chmod(0o600)
    assert desk.faults(text) == []


# -- warnings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (client("google") + host_of("a.example", 'backend = "x:1"\nsign_in = ["google"]\naccess { allow = ["anyone"] }'),
         'v.hcl:9:19: `anyone` lets in whoever has a Google account; hosted_domain in provider "google" narrows it'),
        (client("github") + host_of("a.example", 'backend = "x:1"\nsign_in = ["github"]\naccess { allow = ["anyone"] }'),
         "v.hcl:9:19: `anyone` lets in whoever has a GitHub account"),
        (host_of("a.example", f'backend = "https://x"\ninsecure = true\n{PUBLIC}'),
         "v.hcl:3:12: the certificate of the backend is not checked"),
        (client("google", 'claims { groups = "groups" }') + host_of("a.example", 'backend = "x:1"\nsign_in = ["google", "*"]\naccess { allow = ["domain:a.example", "group:google/a", "group:admins"] }'),
         "v.hcl:9:57: `group:admins`: every provider that is added may say that of anybody; group:google/admins names one"),
        (client("google") + host_of("a.example", 'backend = "x:1"\nsign_in = ["google", "*"]\naccess { allow = ["claim:team=red"] }'),
         "v.hcl:9:19: `claim:team=red`: every provider that is added may say that of anybody; claim:google/team=red names one"),
        (client("google") + open_host("a.example"), "v.hcl:1:10: `google` serves no host"),
        (host_of("a.example", 'backend = "x:1"\naccess { allow = [] }'), "v.hcl:3:18: nobody gets in: the list is empty"),
        (host_of("a.example", f'backend = "static:none"\n{PUBLIC}'), "v.hcl:2:11: there is no directory none"),
        ('gateway { trusted_proxies = ["0.0.0.0/0"] }\n' + open_host("a.example"), "v.hcl:1:30: 0.0.0.0/0 believes anybody"),
        (client("x", 'type = "oidc"\nissuer = "http://idp.example"') + host_of("a.example", 'backend = "x:1"\nsign_in = ["x"]\naccess { allow = ["anyone"] }'), "v.hcl:5:10: issuer: plain http to another machine shows tokens to the network"),
        ('gateway { fetch_allow = ["::/0"] }\n' + open_host("a.example"), "v.hcl:1:26: ::/0 lets anybody who can give a URL"),
    ],
)  # fmt: skip
def test_what_is_legal_but_risky_is_a_warning(desk: Desk, text: str, expected: str) -> None:
    (warning,) = desk.warnings(text)
    assert warning.startswith(expected)


def test_a_setting_whose_variable_is_not_set_is_told_of_once(desk: Desk) -> None:
    text = 'provider "google" {\n  client_id = "${env("NOPE")}"\n}\n' + host_of("a.example", FINE)
    only(desk.faults(text), "v.hcl:2:16: the environment variable NOPE is not set")


def test_a_misspelt_provider_is_recognised_though_its_block_is_at_fault_too(desk: Desk) -> None:
    text = client("google", "scpes = []") + host_of("a.example", FINE.replace('["google"]', '["gogle"]'))
    assert any("there is no provider `gogle`; did you mean `google`?" in fault for fault in desk.faults(text))


@pytest.mark.parametrize(
    "url", ["postgresql://app:can/ary@db/v", "postgresql://app:canary@db/v?sslmode=canary"]
)
def test_a_stores_password_is_in_no_fault(desk: Desk, url: str) -> None:
    text = open_host("a.example")
    written = desk.faults(f'store {{ url = "{url}" }}\n' + text)
    from_environment = desk.faults(text, environ={"VESTIBULE_STORE_URL": url})
    assert len(written) == len(from_environment) == 1
    assert "ary" not in written[0] + from_environment[0]


@pytest.mark.parametrize(
    ("query", "warned"),
    [
        ("?sslmode=require", True),
        ("?sslmode=disable", True),
        ("?sslmode=require&sslrootcert=ca.pem", False),
        ("", False),
    ],
)
def test_a_database_that_nobody_checks_is_warned_of(desk: Desk, query: str, warned: bool) -> None:
    text = f'store {{ url = "postgresql://app:canary@db.example.com/v{query}" }}\n' + open_host("a.example")
    warnings = [warning for warning in desk.warnings(text) if "sslmode" in warning]
    assert len(warnings) == warned
    assert "canary" not in "".join(warnings)


def test_app_tokens_are_made_by_people_who_sign_in(desk: Desk) -> None:
    inside = 'backend = "localhost:3000"\napp_tokens = true\naccess { allow = ["public"] }'
    (fault,) = desk.faults(host_of("a.example", inside))
    assert "nobody signs in on this host who could make one: add sign_in" in fault


# -- providers that are written down by one name ----------------------------------------------


def saml(name: str, metadata_url: str, issuer: str) -> str:
    attributes = f'type = "saml"\nmetadata_url = "{metadata_url}"\nissuer = "{issuer}"'
    return f'provider "{name}" {{\n{attributes}\n}}\n'


@pytest.mark.parametrize(
    ("other", "issuer"),
    [
        (GOOGLE, "https://accounts.google.com"),
        (client("github"), "https://github.com/"),
        (
            saml("customer", "https://idp.customer.example/metadata", "https://idp.example/saml"),
            "https://idp.example/saml",
        ),
    ],
)
def test_a_saml_provider_is_not_written_down_by_the_issuer_of_another(
    desk: Desk, other: str, issuer: str
) -> None:
    text = other + saml("corp", "https://idp.example/metadata", issuer)
    found = [fault for fault in desk.faults(text) if "is the issuer of" in fault]
    assert found
    assert "whoever either of them vouches for would be one person" in found[0]


def test_blocks_of_one_saml_provider_write_one_issuer(desk: Desk) -> None:
    place = ("https://idp.example/metadata", "https://idp.example/saml")
    assert not [fault for fault in desk.faults(saml("a", *place) + saml("b", *place)) if "issuer" in fault]
