"""Backends by HTTP/2, as they are written: what each way of saying it means, and where it can't work."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import Desk
from vestibule.config.compile import compile_config
from vestibule.core.route import Host

ACCESS = 'access { allow = ["public"] }'


def host_of(desk: Desk, inside: str) -> Host:
    text = f'host "app.example.com" {{\n{inside}\n{ACCESS}\n}}\n'
    found = compile_config(desk.load(text)).table.host(b"app.example.com")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("written", "said", "tls", "http2"),
    [
        ("localhost:3000", "http://localhost:3000", False, False),
        ("https://app", "https://app:443", True, False),
        ("h2c://localhost:50051", "h2c://localhost:50051", False, True),
        ("grpc://localhost:50051", "h2c://localhost:50051", False, True),
        ("grpc://app", "h2c://app:80", False, True),
        ("grpcs://app", "grpcs://app:443", True, True),
        ("grpcs://[::1]:8443", "grpcs://[::1]:8443", True, True),
    ],
)
def test_the_scheme_says_what_is_spoken(desk: Desk, written: str, said: str, tls: bool, http2: bool):
    backend = host_of(desk, f'backend = "{written}"').routes[b""].backend
    server = backend.servers[0]
    assert (str(server), server.tls, server.http2, backend.http2) == (said, tls, http2, http2)


def test_the_protocol_is_said_of_what_has_no_scheme_and_is_not_inherited_by_another_backend(desk: Desk):
    inside = """
backend = "unix:run/app.sock"
protocol = "http2"
route "/same/" { max_body = 1 }
route "/other/" { backend = "localhost:3000" }
route "/plain/" { protocol = "http1" }
route "/both/" {
  backend = ["https://a", "https://b"]
  protocol = "http2"
}
"""
    host = host_of(desk, inside)
    assert host.route(b"/").backend.http2
    assert host.route(b"/same/").backend is host.route(b"/").backend
    assert not host.route(b"/other/").backend.http2
    assert not host.route(b"/plain/").backend.http2
    assert [(server.http2, server.tls) for server in host.route(b"/both/").backend.servers] == [
        (True, True)
    ] * 2


def test_what_a_tls_backend_is_known_by_counts_for_grpcs_too(desk: Desk):
    host = host_of(
        desk, 'backend = "grpcs://localhost:50051"\nbackend_name = "app.internal"\ninsecure = false'
    )
    assert host.routes[b""].backend.servers[0].trust.name == "app.internal"


FAULTS = {
    "a list that speaks both": (
        'backend = ["h2c://a:1", "b:2"]',
        "v.hcl:2:11: all servers of a list speak the same",
    ),
    "against the scheme": (
        'backend = "grpc://a:1"\nprotocol = "http1"',
        "v.hcl:3:12: the backend's address says HTTP/2",
    ),
    "no protocol": (
        'backend = "a:1"\nprotocol = "http3"',
        "v.hcl:3:12: `http3` is none of: http1, http2",
    ),
    "of a directory": (
        'backend = "internal:account"\nprotocol = "http2"',
        "v.hcl:3:12: has no effect: there is no server behind this",
    ),
    "a path": (
        'backend = "grpc://a:1/pkg.Service"',
        "v.hcl:2:11: `grpc://a:1/pkg.Service`: only scheme, host and port",
    ),
    "TLS where there is none": (
        'backend = "grpc://a:1"\nbackend_name = "b.example"',
        "v.hcl:3:16: has no effect: the backend is not reached by https",
    ),
}


@pytest.mark.parametrize(("inside", "said"), FAULTS.values(), ids=FAULTS)
def test_what_cannot_work_is_a_fault_at_its_place(desk: Desk, inside: str, said: str):
    faults = desk.faults(f'host "app.example.com" {{\n{inside}\n{ACCESS}\n}}\n')
    assert [fault[: len(said)] for fault in faults] == [said]


def test_pages_of_other_origins_may_open_websockets_to_a_backend_of_http_2(desk: Desk):
    host = host_of(desk, 'backend = "h2c://a:1"\norigins = ["https://b.example"]')
    passage = host.routes[b""].passage
    assert passage is not None
    assert passage.origins == {"https://b.example"}


API = """host "app.example.com" {
  backend = "a:1"
  access {
    allow = ["public"]
  }
}
call "api" {
  port = 4701
  apply_header "X-Key" {
    secret = "key"
  }
  INSIDE
}
secret "key" {
  value = "x"
}
"""


@pytest.mark.parametrize(
    ("inside", "said", "authority"),
    [
        ('endpoint = "grpcs://api.example.com"', "grpcs://api.example.com:443", "api.example.com"),
        ('endpoint = "api.example.com"\nprotocol = "http2"', "grpcs://api.example.com:443", "api.example.com"),
        ('endpoint = "https://api.example.com:8443"\nprotocol = "http2"', "grpcs://api.example.com:8443", "api.example.com:8443"),
        ('endpoint = "grpc://localhost:50051"', "h2c://localhost:50051", "localhost:50051"),
        ('endpoint = "h2c://localhost"', "h2c://localhost:80", "localhost"),
        ('endpoint = "localhost:50051"\nprotocol = "http2"', "h2c://localhost:50051", "localhost:50051"),
        ('endpoint = "unix:/run/api.sock"\nprotocol = "http2"', "unix:/run/api.sock", "localhost"),
    ],
)  # fmt: skip
def test_an_api_is_called_by_http_2_where_that_is_said(desk: Desk, inside: str, said: str, authority: str):
    (call,) = compile_config(desk.load(API.replace("INSIDE", inside))).calls
    assert (str(call.endpoint), call.endpoint.http2, call.authority) == (said, True, authority)


@pytest.mark.parametrize(
    "inside", ['endpoint = "api.example.com"', 'endpoint = "a.example"\nprotocol = "http1"']
)
def test_and_by_http_1_1_else(desk: Desk, inside: str):
    (call,) = compile_config(desk.load(API.replace("INSIDE", inside))).calls
    assert not call.endpoint.http2


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ('endpoint = "grpcs://a.example"\nprotocol = "http1"', "the endpoint's address says HTTP/2"),
        ('endpoint = "a.example"\nprotocol = "http3"', "`http3` is none of: http1, http2"),
        ('endpoint = "grpcs://a.example/pkg.Service"', "only scheme, host and port"),
        ('endpoint = "a.example:50051"\nprotocol = "http2"', "would be called by plain http"),
    ],
)
def test_what_an_api_cannot_be_called_by_is_a_fault(desk: Desk, inside: str, said: str):
    (fault,) = desk.faults(API.replace("INSIDE", inside))
    assert said in fault
