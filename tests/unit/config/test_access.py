"""Who gets in, from the file to the policy: which list holds where, and lists that let nobody in."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import GOOGLE, Desk
from vestibule.config.compile import compile_config
from vestibule.core.policy import Policy, decide
from vestibule.model import Allow, Asker, Decision, Deny, Identity, SignIn

ANN = Identity(
    client="google",
    issuer="https://accounts.google.com",
    subject="1",
    email="ann@example.com",
    groups=("staff",),
)
EVE = Identity(client="google", issuer="https://accounts.google.com", subject="2", email="eve@example.com")


def policies(desk: Desk, access: str, *routes: str) -> list[Policy]:
    """The policies of a host and of its routes `/0`, `/1` …, with these insides of `access`."""
    inside = "\n".join(
        f'route "/{number}" {{\n  access {{ {route} }}\n}}' for number, route in enumerate(routes)
    )
    text = f'{GOOGLE}host "a.example" {{\nbackend = "x:1"\nsign_in = ["google"]\naccess {{ {access} }}\n{inside}\n}}'
    host = compile_config(desk.load(text)).table.hosts[b"a.example"]
    return [host.routes[b""].policy, *(host.routes[f"/{n}".encode()].policy for n in range(len(routes)))]


def texts(policy: Policy) -> tuple[list[str] | None, list[str], list[str]]:
    """The rules of `allow`, `all` and `deny`."""
    allow = None if policy.allow is None else [rule.text for rule in policy.allow]
    return allow, [rule.text for rule in policy.all], [rule.text for rule in policy.deny]


A, B, C = "email:a@example.com", "email:b@example.com", "email:c@example.com"


@pytest.mark.parametrize(
    ("host", "route", "expected"),
    [
        (f'allow = ["{A}"]', "", ([A], [], [])),
        (f'allow = ["{A}"]', f'allow = ["{B}"]', ([B], [], [])),
        (f'allow = ["{A}"]', f'all = ["{B}"]', ([A], [B], [])),
        (f'allow = ["{A}"]', f'deny = ["{B}"]', ([A], [], [B])),
        (f'all = ["{A}"]', "", (None, [A], [])),
        (f'all = ["{A}"]', f'allow = ["{B}"]', ([B], [A], [])),
        (f'all = ["{A}"]', f'all = ["{B}"]', (None, [B], [])),
        (f'all = ["{A}"]', "all = []", (None, [], [])),
        (f'all = ["{A}"]', "allow = []", ([], [A], [])),
        (f'allow = ["{A}"]\nall = ["{B}"]', f'all = ["{C}"]', ([A], [C], [])),
        (f'allow = ["{A}"]\nall = ["{B}"]', "all = []", ([A], [], [])),
        (f'allow = ["{A}"]\ndeny = ["{B}"]', f'allow = ["{C}"]\ndeny = ["{A}"]', ([C], [], [B, A])),
        (f'allow = ["{A}"]\ndeny = ["{B}"]', "deny = []", ([A], [], [B])),
    ],
)
def test_a_list_of_a_route_stands_instead_of_the_hosts_and_deny_adds(desk: Desk, host, route, expected):
    assert texts(policies(desk, host, route)[1]) == expected


def test_every_rule_knows_where_it_was_written(desk: Desk):
    _, policy = policies(desk, f'allow = ["{A}"]\nall = ["{B}"]\ndeny = ["{C}"]', f'all = [\n"{C}"]')
    places = [rule.place.rpartition("/")[2] for rule in (*(policy.allow or ()), *policy.all, *policy.deny)]
    assert places == ["v.hcl:10", "v.hcl:15", "v.hcl:12"]


def answer(policy: Policy, *identities: Identity, address: str = "10.0.0.1") -> str:
    found: Decision = decide(policy, b"GET", Asker(identities, "u1", address))
    match found:
        case Allow():
            return "in"
        case SignIn():
            return "sign-in"
        case Deny(_, code):
            return code
        case other:
            return repr(other)


def test_all_alone_is_enough_and_an_empty_list_lets_nobody_in(desk: Desk):
    whole, none, shut = policies(
        desk, 'all = ["domain:example.com", "email:ann@example.com"]', "all = []", "allow = []"
    )
    assert [answer(whole, ANN), answer(whole, EVE), answer(whole)] == ["in", "not_allowed", "sign-in"]
    assert [answer(none, ANN), answer(none)] == ["not_allowed", "sign-in"]
    assert [answer(shut, ANN), answer(shut)] == ["not_allowed", "sign-in"]


def test_a_network_of_all_holds_on_every_route_and_one_of_allow_goes_with_the_list(desk: Desk):
    host, route = policies(
        desk, 'allow = ["anyone", "network:192.0.2.0/24"]\nall = ["network:10.0.0.0/8"]', 'allow = ["public"]'
    )
    assert answer(host, ANN) == "outside_network"
    assert answer(route) == "in"
    assert answer(route, address="192.0.2.1") == "outside_network"


@pytest.mark.parametrize("name", ["allow", "all"])
def test_networks_alone_let_nobody_in_and_check_says_what_to_write(desk: Desk, name: str):
    text = f'host "a.example" {{\nbackend = "x:1"\naccess {{ {name} = ["network:10.0.0.0/8"] }}\n}}'
    (fault,) = desk.faults(text)
    assert fault.startswith(
        f"v.hcl:3:{len(name) + 13}: networks only narrow who gets in, so nobody does: add who, as in "
        f'{name} = ["anyone", "network:10.0.0.0/8"], or "public"'
    )


def test_a_route_of_networks_alone_is_a_fault_too(desk: Desk):
    text = (
        'host "a.example" {\nbackend = "x:1"\naccess { allow = ["public"] }\n'
        'route "/x" {\naccess { allow = ["network:10.0.0.0/8"] }\n}\n}'
    )
    (fault,) = desk.faults(text)
    assert fault.startswith("v.hcl:5:18: networks only narrow")


def test_without_sign_in_networks_may_narrow_public(desk: Desk):
    text = 'host "a.example" {\nbackend = "x:1"\naccess { allow = ["public", "network:10.0.0.0/8"] }\n}'
    assert desk.faults(text) == []
    policy = compile_config(desk.load(text)).table.hosts[b"a.example"].routes[b""].policy
    assert [answer(policy), answer(policy, address="203.0.113.9"), answer(policy, address="")] == [
        "in",
        "outside_network",
        "outside_network",
    ]


def test_an_id_that_looks_like_a_network_takes_no_rule_on_one(desk: Desk):
    text = (
        'provider "10.0.0.0" {\ntype = "google"\nclient_id = "i"\nclient_secret = "s"\nhosted_domain = "e.example"\n}\n'
        'host "a.example" {\nbackend = "x:1"\nsign_in = ["10.0.0.0"]\n'
        'access {\nallow = ["anyone"]\ndeny = ["network:10.0.0.0/8"]\n}\n}'
    )
    policy = compile_config(desk.load(text)).table.hosts[b"a.example"].routes[b""].policy
    ann = Identity(client="10.0.0.0", issuer="i", subject="1", email="ann@e.example")
    assert answer(policy, ann) == "denied"
    assert answer(policy, ann, address="192.0.2.1") == "in"


@pytest.mark.parametrize("name", ["allow", "all"])
def test_a_rule_on_tokens_needs_somebody_whose_tokens_are_taken(desk: Desk, name: str):
    access = f'access {{ {name} = ["token:read"] }}'
    text = f'{GOOGLE}host "a.example" {{\nbackend = "x:1"\nsign_in = ["google"]\n{access}\n'
    (fault,) = desk.faults(text + "}")
    assert fault.startswith(
        f"v.hcl:10:{len(name) + 14}: `token:read` can never hold: nobody can show a token"
    )
    assert desk.faults(text + "app_tokens = true\n}") == []


def test_what_is_public_takes_a_token_where_one_is_demanded(desk: Desk):
    access = 'all = ["public", "network:10.0.0.0/8"]'
    text = (
        f'host "a.example" {{\nbackend = "x:1"\naccess {{ {access} }}\n'
        'require_jwt {\nissuer = "https://ci.example"\naudience = ["a"]\n}\n}'
    )
    (fault, *_) = [*desk.faults(text), ""]
    assert fault == ""
    policy = compile_config(desk.load(text)).table.hosts[b"a.example"].routes[b""].policy
    assert answer(policy) == "token_required"
