"""Where edges ask, who may, and the hosts that are only asked about."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import GOOGLE, Desk
from vestibule.config.compile import compile_config
from vestibule.core.listener import ListenAddress
from vestibule.core.route import Backend

PUBLIC = 'access { allow = ["public"] }\n'
HOST = f'host "a.example" {{\n  backend = "localhost:1"\n  {PUBLIC}}}\n'
ASKED = f'host "a.example" {{\n  {PUBLIC}}}\n'
OWN = 'gateway { forward_auth = "127.0.0.1:4181" }\n'


@pytest.mark.parametrize(
    ("written", "addresses"),
    [
        ('"127.0.0.1:4181"', ["127.0.0.1:4181"]),
        ('["127.0.0.1:4181", "[::1]:4181"]', ["127.0.0.1:4181", "[::1]:4181"]),
    ],
)
@pytest.mark.parametrize("name", ["forward_auth", "forward_auth_grpc"])
def test_edges_ask_at_one_address_or_at_several(desk: Desk, name: str, written: str, addresses: list[str]):
    found = compile_config(desk.load(f"gateway {{ {name} = {written} }}\n{HOST}"))
    assert [str(one) for one in getattr(found, name)] == addresses
    assert desk.warnings(f"gateway {{ {name} = {written} }}\n{HOST}") == []


def test_without_a_word_of_it_edges_ask_nowhere(desk: Desk):
    found = compile_config(desk.load(HOST))
    assert (found.forward_auth, found.forward_auth_grpc) == ((), ())


def test_the_group_of_a_socket_may_open_it(desk: Desk):
    found = compile_config(desk.load(f'gateway {{ forward_auth = "unix:edge.sock" }}\n{HOST}'))
    assert found.forward_auth == (ListenAddress(path=str(desk.folder / "edge.sock"), group=True),)
    assert not found.admin_socket.group


def test_what_other_machines_reach_is_for_edges_that_are_listed(desk: Desk):
    (fault,) = desk.faults(f'gateway {{ forward_auth = "0.0.0.0:4181" }}\n{HOST}')
    assert fault.startswith("v.hcl:1:26: other machines reach 0.0.0.0:4181: list the edges")
    listed = (
        'gateway {\n  forward_auth = ["127.0.0.1:1", "10.0.0.1:4181"]\n  trusted_proxies = ["10.0.0.2"]\n}\n'
    )
    (warning,) = desk.warnings(listed + HOST)
    assert warning.startswith("v.hcl:2:34: ")
    assert "10.0.0.1:4181 is plain HTTP that other machines can reach" in warning


def test_an_empty_list_is_a_fault(desk: Desk):
    (fault,) = desk.faults(f"gateway {{ forward_auth = [] }}\n{HOST}")
    assert fault == 'v.hcl:1:26: the list is empty: forward_auth = "127.0.0.1:4181"'


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ('http = ["127.0.0.1:1"] \n forward_auth = "127.0.0.1:1"', "127.0.0.1:1 is taken by"),
        ('forward_auth = "127.0.0.1:2"\nforward_auth_grpc = "127.0.0.1:2"', "127.0.0.1:2 is taken by"),
        (
            'forward_auth_grpc = "127.0.0.1:8000"',
            "127.0.0.1:8000 is taken by the default address of the gateway",
        ),
        ('forward_auth = ["unix:a", "unix:a"]', "unix:a is taken by"),
    ],
)
def test_two_on_one_address_is_a_fault(desk: Desk, written: str, fault: str):
    (found,) = desk.faults(f"gateway {{\n{written}\n}}\n{HOST}")
    assert fault in found


def test_a_host_that_edges_ask_about_needs_no_backend(desk: Desk):
    found = compile_config(desk.load(OWN + ASKED)).table.host(b"a.example")
    assert found is not None
    assert found.route(b"/").backend == Backend()


def test_a_route_of_it_may_have_one(desk: Desk):
    route = f'  route "/api" {{\n    backend = "localhost:2"\n  }}\n  route "/x" {{\n    {PUBLIC}  }}\n'
    found = compile_config(desk.load(f'{OWN}host "a.example" {{\n  {PUBLIC}{route}}}\n')).table.host(
        b"a.example"
    )
    assert found is not None
    assert str(found.route(b"/api").backend.servers[0]) == "http://localhost:2"
    assert found.route(b"/x").backend == Backend()


def test_a_host_that_nobody_asks_about_needs_one(desk: Desk):
    (fault,) = desk.faults(ASKED)
    assert fault == 'v.hcl:1:1: host "a.example" has no `backend`: backend = "…"'


def test_without_a_backend_people_sign_in_by_the_edge_so_its_address_is_written(desk: Desk):
    signs_in = 'sign_in = ["google"]\n  access { allow = ["anyone"] }\n'
    (fault,) = desk.faults(f'{OWN}host "a.example" {{\n  {signs_in}}}\n', GOOGLE)
    assert fault.startswith('v.hcl:2:1: host "a.example" has no backend, so people reach it by an edge')
    assert 'public_url = "https://a.example"' in fault
    assert not desk.faults(
        f'{OWN}host "a.example" {{\n  public_url = "https://a.example"\n  {signs_in}}}\n', GOOGLE
    )
