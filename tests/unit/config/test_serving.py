"""Serving blocks: what they may say, which hosts lead to them, and what they become."""

from __future__ import annotations

import pytest

from vestibule.config.compile import compile_config
from vestibule.core.listener import ListenAddress
from vestibule.core.route import ReturnHosts, serving_name

_PROVIDER = 'provider "google" {\n  client_id = "a"\n  client_secret = "b"\n}\n'
_HOST = (
    'host "app.example.com" {\n  backend = "serving:api"\n  sign_in = ["google"]\n'
    '  access {\n    allow = ["domain:example.com"]\n  }\n}\n'
)
_KEYS = "apikey_auth {\n  users = <<END\nann:$2y$05$abcdefghijklmnopqrstuu5s1sTh0bGPSkLZ8bTfoHQ8xUhn7Jw7a\nEND\n}\n"


def serving(inside: str = "", head: str = 'serving "api"') -> str:
    return f'{head} {{\n  port = 4700\n  backend = "localhost:4701"\n{inside}}}\n'


@pytest.mark.parametrize("head", ['serving "api"', 'serve "api"'])
def test_either_name_is_read(desk, head: str) -> None:
    compiled = compile_config(desk.load(serving(head=head)))
    assert compiled.servings == {"api": ListenAddress(host="127.0.0.1", port=4700)}
    host = compiled.table.hosts[serving_name("api")]
    assert str(host.routes[b""].backend.servers[0]) == "http://localhost:4701"


@pytest.mark.parametrize(
    ("inside", "is_public", "needs_caller", "takes_callers"),
    [
        ("", True, False, False),
        (_KEYS, False, False, True),
        (
            'require_jwt {\n  jwks_url = "https://a.example/keys"\n  issuer = "https://a.example"\n}\n',
            False,
            True,
            True,
        ),
        ('access {\n  allow = ["email:ann@example.com"]\n}\n', False, False, False),
    ],
    ids=["anybody on this machine", "keys", "tokens", "rules"],
)
def test_it_asks_for_what_it_says(desk, inside, is_public, needs_caller, takes_callers) -> None:
    compiled = compile_config(desk.load(_PROVIDER + _HOST + serving(inside)))
    host = compiled.table.hosts[serving_name("api")]
    route = host.routes[b""]
    assert (route.policy.public, route.needs_caller, host.takes_callers) == (
        is_public,
        needs_caller,
        takes_callers,
    )


def test_its_rules_see_who_is_signed_in_at_hosts_that_lead_to_it(desk) -> None:
    inside = 'access {\n  allow = ["email:google/ann@example.com"]\n}\n'
    host = compile_config(desk.load(_PROVIDER + _HOST + serving(inside))).table.hosts[serving_name("api")]
    assert host.believed == ("google",)
    assert host.routes[b""].policy.sign_in == {"google"}
    assert (host.clients, host.sign_in) == ({}, ())


def test_nobody_is_sent_there_after_signing_in(desk) -> None:
    table = compile_config(desk.load(_PROVIDER + _HOST + serving())).table
    assert ReturnHosts.of(table).names == {"app.example.com", "localhost:4700"}


def test_a_configuration_may_have_nothing_else(desk) -> None:
    assert desk.faults(serving()) == []


def test_a_route_leads_there_too(desk) -> None:
    host = (
        'host "a.example" {\n  backend = "localhost:1"\n  access {\n    allow = ["public"]\n  }\n'
        '  route "/api/" {\n    backend = "serving:api"\n  }\n}\n'
    )
    compiled = compile_config(desk.load(host + serving()))
    assert compiled.table.hosts[b"a.example"].routes[b"/api"].backend.serving == "api"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('serving "api" {\n  port = 1\n}\n', 'v.hcl:1:1: serving "api" has no `backend`: backend = "…"'),
        ('serving "api" {\n  backend = "a:1"\n}\n', 'v.hcl:1:1: serving "api" has no `port`: port = …'),
        (serving().replace("4700", "70000"), "v.hcl:2:10: `70000` is no port: 0 to 65535"),
        (serving() + serving(), "v.hcl:5:9: there are two servings `api`; the first is at v.hcl:1"),
        (
            serving(head='serving "a b"'),
            "v.hcl:1:9: `a b` can't be an ID: letters, digits, `.`, `_`, `-`, at most 64",
        ),
        (serving().replace("4700", "8000"), "v.hcl:2:10: 127.0.0.1:8000 is taken by the default address"),
        (
            serving().replace('"localhost:4701"', '"serving:other"')
            + serving(head='serving "other"').replace("4700", "4702"),
            "v.hcl:3:13: a serving leads to a server, and not to another: name that one's backend",
        ),
        (serving('public_url = "https://a.example"\n'), "v.hcl:4:1: there is no attribute `public_url` here"),
        (serving("atproto_auth { }\n"), "v.hcl:4:1: `atproto_auth` is not in this version yet: write access"),
        (
            _PROVIDER + _HOST + serving(head='serving "apo"'),
            "v.hcl:6:13: there is no serving `api`; did you mean `apo`?",
        ),
        (_PROVIDER + _HOST, 'v.hcl:6:13: there is no serving `api`; add serving "api" { port = 4700'),
        (
            _PROVIDER
            + _HOST.replace("  sign_in", '  strip_prefix = true\n  rewrite = "/v1"\n  sign_in')
            + serving(),
            "v.hcl:6:13: what is said here of paths, headers and times has no effect in front of a serving",
        ),
        (
            _PROVIDER + _HOST.replace('"serving:api"', '["serving:api", "localhost:1"]') + serving(),
            "v.hcl:6:13: only servers can stand in a list; static:, internal: and serving: stand alone",
        ),
        (
            _PROVIDER + _HOST.replace("serving:api", "serving:"),
            "v.hcl:6:13: `backend` names no serving: serving:ID",
        ),
        (serving('access {\n  allow = ["email:google/a@b.example"]\n}\n'), "v.hcl:5:12: "),
    ],
    ids=[
        "no backend",
        "no port",
        "a port that is none",
        "two of an ID",
        "an ID that is none",
        "a port that is taken",
        "one behind another",
        "what only hosts have",
        "what is not there yet",
        "a slip",
        "no such serving",
        "what would have no effect",
        "one of several",
        "no ID",
        "a rule on nobody",
    ],
)
def test_what_can_t_work_is_a_fault_with_its_place(desk, text: str, fault: str) -> None:
    faults = desk.faults(text)
    assert [one for one in faults if one.startswith(fault)], faults
