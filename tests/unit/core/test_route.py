"""Which host, which route, which site."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import pytest
from msgspec.structs import replace

from vestibule.core.domain import Domain
from vestibule.core.policy import decide, policy_of
from vestibule.core.route import (
    Backend,
    Host,
    ReturnHosts,
    Route,
    RouteTable,
    Server,
    cookie_name,
    has_one_meaning,
    is_own,
    joined_by,
    routes_of,
    site_of,
    urls_of,
    with_callbacks,
)
from vestibule.core.rule import Rule
from vestibule.core.tls import USUAL, Demand
from vestibule.model import Allow, Asker, Deny, Identity
from vestibule.protocol import url


def route(prefix: bytes) -> Route:
    return Route(prefix=prefix, backend=Backend(internal="echo"), policy=policy_of(allow=()))


def host(*prefixes: bytes, base_url: str = "") -> Host:
    routes, depth = routes_of([route(prefix) for prefix in (b"", *prefixes)])
    return Host(name=b"app.example", title="App", clients={}, routes=routes, depth=depth, base_url=base_url)


DEEP = host(b"/admin", b"/admin/users/all", b"/a", b"/api/v1")

OWNERS = {
    b"/": b"",
    b"/x": b"",
    b"/admin": b"/admin",
    b"/admin/": b"/admin",
    b"/admin/x": b"/admin",
    b"/admin/users": b"/admin",
    b"/admin/users/": b"/admin",
    b"/admin/users/all": b"/admin/users/all",
    b"/admin/users/all/": b"/admin/users/all",
    b"/admin/users/all/1/2/3/4/5/6": b"/admin/users/all",
    b"/admin/users/allx": b"/admin",
    b"/administrator": b"",
    b"/admi": b"",
    b"/Admin": b"",
    b"/a": b"/a",
    b"/a/b": b"/a",
    b"/ab": b"",
    b"/api": b"",
    b"/api/": b"",
    b"/api/v1": b"/api/v1",
    b"/api/v1/x": b"/api/v1",
    b"/api/v12": b"",
    b"/x/admin": b"",
    b"*": b"",
    b"/admin%2Fx": b"",
    b"/" + b"a/" * 500: b"/a",
}


@pytest.mark.parametrize(("path", "prefix"), OWNERS.items(), ids=[path.decode()[:30] for path in OWNERS])
def test_the_longest_prefix_of_whole_segments_owns_a_path(path, prefix):
    assert DEEP.route(path).prefix == prefix


def steps_of(work: Callable[[], object]) -> int:
    """How many instructions of ours this takes, whatever the machine."""
    steps = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal steps
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        steps += event == "opcode"
        return trace

    before = sys.gettrace()
    gc.disable()  # what others left behind, and is cleared away just now, is no step of ours
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
        gc.enable()
    return steps


@pytest.mark.parametrize("path", [b"/", b"/r042/x", b"/r099", b"/none/of/them", b"/r007/" + b"a/" * 200])
def test_a_decision_on_a_thousand_hosts_of_a_hundred_routes_costs_what_it_costs_on_one(path):
    ada = Identity(client="google", issuer="https://g", subject="1", email="ada@app.example")
    known = Asker((ada,), "u1", "192.0.2.7")
    policy = policy_of(allow=(Rule(kind="domain", value="app.example"),), sign_in=frozenset({"google"}))
    some = [Route(prefix=b"/r%03d" % n, backend=Backend(), policy=policy) for n in range(100)]

    def table(hosts: int, routes: Sequence[Route]) -> RouteTable:
        by_prefix, depth = routes_of([Route(prefix=b"", backend=Backend(), policy=policy), *routes])
        return RouteTable(
            Host(name=b"h%04d.example" % n, title="", clients={}, routes=by_prefix, depth=depth)
            for n in range(hosts)
        )

    def steps(found: RouteTable, name: bytes) -> int:
        def decided() -> None:
            host = found.host(name)
            assert host is not None
            assert decide(host.route(path).policy, b"GET", known) == Allow("")

        decided()
        return steps_of(decided)

    owner = [one for one in some if path.startswith(one.prefix)] or some[:1]
    alone = steps(table(1, owner), b"h0000.example")
    many = table(1000, some)
    assert {steps(many, b"h%04d.example" % n) for n in (0, 500, 999)} == {alone}


@pytest.mark.parametrize("path", [b"/", b"/x", b"*", b"/a/b/c"])
def test_a_host_without_routes_owns_every_path(path):
    assert host().route(path).prefix == b""


def test_a_host_is_found_by_its_exact_name_only():
    table = RouteTable([DEEP])
    assert table.host(b"app.example") is DEEP
    for name in (b"APP.example", b"app.example.", b"app.example:80", b"x.app.example", b"", b"*"):
        assert table.host(name) is None


@pytest.mark.parametrize(
    ("base_url", "scheme", "port", "site"),
    [
        ("", "http", 80, ("http://app.example", "vestibule-80", False)),
        ("", "http", 8000, ("http://app.example:8000", "vestibule-8000", False)),
        ("", "https", 443, ("https://app.example", "__Host-vestibule", True)),
        ("", "https", 8443, ("https://app.example:8443", "__Host-vestibule", True)),
        ("https://www.example", "http", 8000, ("https://www.example", "__Host-vestibule", True)),
        ("http://www.example:81", "http", 8000, ("http://www.example:81", "vestibule-81", False)),
    ],
)
def test_a_site_is_made_of_the_configuration_and_the_listener(base_url, scheme, port, site):
    found = site_of(host(base_url=base_url), scheme, port)
    assert (found.base_url, found.cookie, found.secure) == site


BOTH = [("http", 80), ("https", 443)]


@pytest.mark.parametrize(
    ("demand", "base_url", "listeners", "urls"),
    [
        pytest.param(None, "", BOTH, ("http://app.example",), id='tls = "off"'),
        pytest.param(
            None, "https://app.example", BOTH, ("https://app.example",), id="off, and an edge has its URL"
        ),
        pytest.param(
            None, "http://app.example:81", BOTH, ("http://app.example:81",), id="off, and the URL is plain"
        ),
        pytest.param(None, "", [("https", 443)], ("https://app.example",), id="off, and no other listener"),
        pytest.param(USUAL, "", BOTH, ("http://app.example", "https://app.example"), id="TLS ends here"),
        pytest.param(
            USUAL, "https://app.example:8443", BOTH, ("https://app.example:8443",), id="its own URL"
        ),
        pytest.param(
            None,
            "",
            [("http", 80), ("http", 8080)],
            ("http://app.example", "http://app.example:8080"),
            id="two",
        ),
    ],
)
def test_urls_are_those_that_lead_there(
    demand: Demand | None, base_url: str, listeners: list[tuple[str, int]], urls: tuple[str, ...]
):
    assert urls_of(replace(host(base_url=base_url), demand=demand), listeners) == urls


def test_two_ports_of_one_name_have_cookies_of_their_own():
    assert cookie_name(8000, secure=False) != cookie_name(8001, secure=False)


@pytest.mark.parametrize(
    ("server", "text"),
    [
        (Server(host="127.0.0.1", port=80), "http://127.0.0.1:80"),
        (Server(host="::1", port=80, tls=True), "https://[::1]:80"),
        (Server(path="/run/app.sock"), "unix:/run/app.sock"),
    ],
)
def test_a_server_is_named_as_in_the_configuration(server, text):
    assert str(server) == text


# -- providers of the database ----------------------------------------------------------------


def test_a_table_is_whole_where_nobody_can_join() -> None:
    assert RouteTable([host()]).is_whole
    taking = replace(host(), takes_more=True)
    assert not RouteTable([host(), taking]).is_whole
    assert joined_by(RouteTable([taking]), {}).is_whole


def test_clients_join_behind_those_a_host_has() -> None:
    own = replace(
        host(b"/a"), clients={"corp": "app.example/corp"}, sign_in=("app.example/corp",), takes_more=True
    )
    table = joined_by(RouteTable([own]), {"okta": "", "corp": "", "google": ""})
    joined = table.hosts[b"app.example"]
    # An ID that the host has already stays its own.
    assert joined.clients == {"corp": "app.example/corp", "okta": "okta", "google": "google"}
    assert joined.sign_in == ("app.example/corp", "okta", "google")
    assert all({"okta", "google"} <= one.policy.sign_in for one in joined.routes.values())
    assert "corp" not in joined.routes[b""].policy.sign_in
    assert own.sign_in == ("app.example/corp",)


def test_a_rule_that_names_a_client_looks_at_it_once_it_has_joined() -> None:
    rule = Rule(kind="group", value="okta/admins", text="group:okta/admins")
    routes, _ = routes_of(
        [Route(prefix=b"", backend=Backend(internal="echo"), policy=policy_of(allow=(rule,), deny=(rule,)))]
    )
    own = replace(host(), routes=routes, takes_more=True)
    policy = joined_by(RouteTable([own]), {"okta": ""}).hosts[b"app.example"].routes[b""].policy
    assert [(one.provider, one.value) for one in (*policy.allow, *policy.deny)] == [("okta", "admins")] * 2


def test_a_rule_on_a_provider_that_is_switched_off_is_not_one_on_a_group_of_that_path_elsewhere() -> None:
    """At GitLab anybody may make the group `okta` with a subgroup `admins`."""
    rule = Rule(kind="group", value="okta/admins", text="group:okta/admins")
    policy = policy_of(allow=(rule,), sign_in=frozenset({"gitlab"}))
    routes, _ = routes_of([Route(prefix=b"", backend=Backend(internal="echo"), policy=policy)])
    own = replace(host(), routes=routes, clients={"gitlab": "gitlab"}, sign_in=("gitlab",), takes_more=True)
    table = joined_by(RouteTable([own]), {}, absent=["okta"])
    joined = table.hosts[b"app.example"]
    (found,) = joined.routes[b""].policy.allow
    assert (found.provider, found.value) == ("okta", "admins")
    assert joined.clients == {"gitlab": "gitlab"}
    mallory = Identity(client="gitlab", issuer="https://gitlab.com", subject="1", groups=("okta/admins",))
    assert isinstance(decide(joined.routes[b""].policy, b"GET", Asker((mallory,))), Deny)
    # What the host itself has by that ID stays what it is.
    own = replace(own, clients={"okta": "app.example/okta"})
    joined = joined_by(RouteTable([own]), {}, absent=["okta"]).hosts[b"app.example"]
    assert joined.routes[b""].policy.allow[0].provider == "app.example/okta"


@pytest.mark.parametrize(
    ("base_url", "registered", "expected"),
    [
        ("", "app.example/auth", {b"/auth": ("okta",)}),
        ("", "https://APP.example/auth", {b"/auth": ("okta",)}),
        ("", "http://app.example:8000/auth", {b"/auth": ("okta",)}),
        ("https://login.example", "login.example/auth", {b"/auth": ("okta",)}),
        ("https://login.example", "app.example/a/b", {b"/a/b": ("okta",)}),
        ("", "other.example/auth", {}),
        ("", "app.example/@okta/callback", {}),
        ("", "app.example", {}),
        ("", "", {}),
    ],
)
def test_a_registered_path_is_the_gateways_on_its_host_alone(
    base_url: str, registered: str, expected: dict[bytes, tuple[str, ...]]
) -> None:
    assert with_callbacks(host(base_url=base_url), {"okta": registered}).callbacks == expected


def test_clients_that_registered_one_path_share_it() -> None:
    shared = with_callbacks(host(), {"a": "app.example/auth", "b": "app.example/auth", "c": "app.example/c"})
    assert shared.callbacks == {b"/auth": ("a", "b"), b"/c": ("c",)}


@pytest.mark.parametrize(
    ("domain", "name", "expected"),
    [
        ("", "app.example", True),
        ("", "x.app.example", False),
        ("byoc.org.co", "app.example", True),
        ("byoc.org.co", "byoc.org.co", True),
        ("byoc.org.co", "app.byoc.org.co", True),
        ("byoc.org.co", "a.b.byoc.org.co", True),
        ("byoc.org.co", "evilbyoc.org.co", False),
        ("byoc.org.co", "byoc.org.co.evil.example", False),
        ("byoc.org.co", "org.co", False),
        ("byoc.org.co", "app.byoc.org.co:8443", False),
        ("localhost", "localhost:3000", True),
        ("localhost", "app.localhost:3000", True),
        ("localhost", "evil.example:3000", False),
        ("byoc.org.co", "[::1]", False),
        ("byoc.org.co", "", False),
    ],
)
def test_people_may_return_to_hosts_at_and_below_the_domain(domain: str, name: str, expected: bool) -> None:
    shared = Domain(name=domain, auth=b"auth", shares_cookie=True) if domain else None
    hosts = ReturnHosts.of(RouteTable([replace(host(), domain=shared)]))
    assert (name in hosts) is expected


def test_a_domain_that_hands_people_on_is_no_more_than_its_hosts() -> None:
    domain = Domain(name="app.example", auth=b"auth.app.example")
    hosts = ReturnHosts.of(RouteTable([replace(host(base_url="https://app.example:8443"), domain=domain)]))
    assert "app.example" in hosts
    assert "app.example:8443" in hosts
    assert "app.example:1" not in hosts
    assert "x.app.example" not in hosts


@pytest.mark.parametrize(
    ("path", "owns"),
    [
        ("/@/signin", True),
        ("/@/", True),
        ("/@google/callback", True),
        ("/@alice", False),
        ("/@alice/callback", False),
        ("/@google", False),
        ("/a/@/signin", False),
        ("/oauth2/callback", True),
        ("/oauth2/callback/", False),
    ],
)
def test_which_paths_are_the_gateways_own(path, owns):
    callbacks = {b"/oauth2/callback": ("google",)}
    of = replace(host(), clients={"google": "google"}, callbacks=callbacks)
    assert is_own(path.encode(), of) is owns


@pytest.mark.parametrize(
    ("target", "has_one"),
    [
        ("/admin/x", True),
        ("/x;a=b/y", True),
        ("/admin;x/y", False),
        ("/admin%3Bx/y", False),
        ("/@;x/signin", False),
        ("/a;x/admin/y", True),
    ],
)
def test_a_target_that_is_another_routes_to_some_has_two_meanings(target, has_one):
    assert has_one_meaning(host(b"/admin"), url.canonical(target.encode())) is has_one


def test_a_host_that_takes_more_knows_what_those_are_and_keep() -> None:
    own = replace(host(), takes_more=True, kinds={"google": "google"}, kept_claims=("team",))
    joined = joined_by(
        RouteTable([own]),
        {"okta": "", "google": ""},
        kinds={"okta": "oidc", "google": "oidc"},
        claims=("floor", "team"),
    ).hosts[own.name]
    assert joined.kinds == {"okta": "oidc", "google": "google"}
    assert joined.kept_claims == ("team", "floor")


@pytest.mark.parametrize(
    ("path", "is_theirs"),
    [
        (b"/.well-known/oauth-protected-resource", True),
        (b"/.well-known/oauth-protected-resource/mcp", True),
        (b"/.well-known/oauth-authorization-server/mcp", True),
        (b"/.well-known/oauth-protected-resources", False),
        (b"/.well-known/openid-configuration", False),
        (b"/mcp", False),
    ],
)
def test_a_host_of_mcp_tells_where_tokens_come_from_and_no_other_does(path, is_theirs) -> None:
    own = frozenset({b"/.well-known/oauth-protected-resource"})
    named = Host(name=b"a.example", title="", clients={}, mcp=True, own_paths=own)
    assert is_own(path, named) is is_theirs
    assert not is_own(path, Host(name=b"a.example", title="", clients={}))


@pytest.mark.parametrize(
    ("path", "is_ours"),
    [
        (b"/api/v1/orgs", True),
        (b"/api/v1/orgs/acme", True),
        (b"/api/v1/orgs/acme/members", True),
        (b"/api/v1/orgsx", False),
        (b"/api/v1/users", False),
        (b"/api/v1/openapi.json", False),
        (b"/api/v1", False),
        (b"/x/api/v1/orgs/acme", False),
        (b"/scim/v2/Users", False),
    ],
)
def test_of_the_api_a_host_has_organisations_alone_and_no_other_host_has_them(path, is_ours) -> None:
    own = frozenset({b"/api/v1/orgs"})
    assert is_own(path, Host(name=b"a.example", title="", clients={}, own_paths=own)) is is_ours
    scim = frozenset({b"/scim/v2"})
    assert is_own(path, Host(name=b"a.example", title="", clients={}, own_paths=scim)) is (
        path[:5] == b"/scim"
    )
    assert not is_own(path, Host(name=b"a.example", title="", clients={}))
