"""Which host, which route, which site."""

from __future__ import annotations

import pytest

from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, RouteTable, Server, cookie_name, routes_of, site_of


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
        ("http://www.example:81", "http", 8000, ("http://www.example:81", "vestibule-8000", False)),
    ],
)
def test_a_site_is_made_of_the_configuration_and_the_listener(base_url, scheme, port, site):
    found = site_of(host(base_url=base_url), scheme, port)
    assert (found.base_url, found.cookie, found.secure) == site


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
