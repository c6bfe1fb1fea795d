"""Where the admin API and its pages listen, and who may use the pages by signing in."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import GOOGLE, Desk
from vestibule.config.admin import SOCKET_PATH_LIMIT_BYTES
from vestibule.config.compile import compile_config
from vestibule.core.route import Host, ReturnHosts, admin_name, site_of

HOST = 'host "a.example" {\n  backend = "localhost:1"\n  access { allow = ["public"] }\n}\n'


def test_it_listens_on_a_socket_beside_the_state_and_on_no_port(desk: Desk):
    found = compile_config(desk.load('gateway { state = "s" }\n' + HOST))
    assert found.admin_socket.path == str(desk.folder / "s" / "admin.sock")
    assert found.admin_port is None


def test_it_listens_on_the_port_that_is_written(desk: Desk):
    found = compile_config(desk.load('admin { listen = "[::1]:9000" }\n' + HOST))
    assert str(found.admin_port) == "[::1]:9000"
    assert found.admin_socket.path


def test_the_environment_says_the_port_before_the_file(desk: Desk):
    text = 'admin { listen = "127.0.0.1:9000" }\n' + HOST
    found = compile_config(desk.load(text, environ={"VESTIBULE_ADMIN_LISTEN": "127.0.0.2:9001"}))
    assert str(found.admin_port) == "127.0.0.2:9001"


def test_the_longest_path_of_a_socket_is_taken_and_one_byte_more_is_a_fault(desk: Desk):
    room = SOCKET_PATH_LIMIT_BYTES - len(f"{desk.folder}//admin.sock")
    longest = "s" * room
    found = compile_config(desk.load(f'gateway {{ state = "{longest}" }}\n' + HOST))
    assert len(found.admin_socket.path) == SOCKET_PATH_LIMIT_BYTES
    (fault,) = desk.faults(f'gateway {{ state = "{longest}s" }}\n' + HOST)
    assert fault.startswith("v.hcl:1:19: the path of the admin socket, ")
    assert fault.endswith(f"may have {SOCKET_PATH_LIMIT_BYTES}: choose a shorter state directory")


# -- signing in to the pages --------------------------------------------------------------------

GITHUB = 'provider "github" { client_id = "id" client_secret = "s" }\n'
LISTEN = 'listen = "127.0.0.1:9000"\n'


def pages(desk: Desk, inside: str, more: str = "") -> Host | None:
    text = f"admin {{\n{LISTEN}{inside}\n}}\n{GOOGLE}{GITHUB}{HOST}{more}"
    return compile_config(desk.load(text)).table.hosts.get(admin_name(9000))


def test_nobody_signs_in_unless_it_is_written(desk: Desk):
    assert pages(desk, "") is None


def test_people_sign_in_as_on_a_host_by_all_providers_at_top_level(desk: Desk):
    host = pages(desk, 'allow = ["email:ops@example.com"]')
    assert host is not None
    assert host.sign_in == ("google", "github")
    assert host.base_url == "http://localhost:9000"
    assert site_of(host, "http", 9000).cookie == "vestibule-9000"
    assert not host.routes[b""].policy.public


def test_or_by_those_that_are_written(desk: Desk):
    host = pages(desk, 'allow = ["email:ops@example.com"]\nsign_in = ["github", "*"]')
    assert host is not None
    assert (host.sign_in, host.takes_more) == (("github",), True)


@pytest.mark.parametrize(
    ("listen", "url"),
    [("127.0.0.1:9000", "http://localhost:9000"), ("[::1]:9000", "http://localhost:9000"), ("127.0.0.2:9000", "http://127.0.0.2:9000")],
)  # fmt: skip
def test_by_the_name_that_providers_take(desk: Desk, listen: str, url: str):
    text = f'admin {{\nlisten = "{listen}"\nallow = ["anyone"]\n}}\n{GOOGLE}{HOST}'
    assert compile_config(desk.load(text)).table.hosts[admin_name(9000)].base_url == url


def test_no_client_can_name_that_host_and_nobody_is_sent_to_it(desk: Desk):
    pages(desk, 'allow = ["email:ops@example.com"]')
    table = compile_config(
        desk.load(f'admin {{\n{LISTEN}allow = ["email:o@example.com"]\n}}\n{GOOGLE}{GITHUB}{HOST}')
    ).table
    assert b":" in admin_name(9000)
    assert ReturnHosts.of(table).names == {"a.example"}


@pytest.mark.parametrize(
    ("inside", "fault"),
    [
        ('allow = ["public"]', "v.hcl:3:10: `public` would let everybody do everything here"),
        ('allow = ["token:x"]', "v.hcl:3:10: `token:x` can never hold"),
        ('allow = ["network:10.0.0.0/8"]', "v.hcl:3:9: networks only narrow who gets in"),
        ('allow = ["user:bob"]', "v.hcl:3:10: `user:bob` is no id of a person here"),
        ('allow = ["grup:x"]', "v.hcl:3:10: `grup:x` is no rule"),
        ('allow = ["anyone"]\nsign_in = ["gogle"]', "v.hcl:4:12: there is no provider `gogle`"),
        ('sign_in = ["google"]', "v.hcl:3:11: nobody may: add allow"),
    ],
)
def test_what_can_not_work_is_a_fault(desk: Desk, inside: str, fault: str):
    [told] = desk.faults(f"admin {{\n{LISTEN}{inside}\n}}\n{GOOGLE}{GITHUB}{HOST}")
    assert told.startswith(fault)


@pytest.mark.parametrize(
    ("inside", "warning"),
    [
        ('allow = ["anyone"]', "v.hcl:3:10: anyone who can sign in may do everything here"),
        ("allow = []", "v.hcl:3:9: nobody gets in: the list is empty"),
    ],
)
def test_what_is_risky_is_warned_of(desk: Desk, inside: str, warning: str):
    told = desk.warnings(f"admin {{\n{LISTEN}{inside}\n}}\n{GOOGLE}{GITHUB}{HOST}")
    assert any(one.startswith(warning) for one in told)


OPS = 'host "ops.example.com" {\n  backend = "internal:admin"\n  sign_in = ["google"]\n'


@pytest.mark.parametrize(
    ("inside", "fault"),
    [
        ('access { allow = ["public"] }', "`public` would let everybody do everything here"),
        ('access { all = ["public"] }', "`public` would let everybody do everything here"),
        (
            'access { allow = ["anyone"] }\nroute "/x/" { access { allow = ["public"] } }',
            "has no routes: all of it is",
        ),
    ],
)
def test_the_pages_on_a_host_of_the_gateways_are_never_public(desk: Desk, inside: str, fault: str):
    [told] = desk.faults(f"{GOOGLE}{OPS}{inside}\n}}\n")
    assert fault in told


def test_the_pages_are_no_route_of_another_host(desk: Desk):
    inside = (
        'backend = "localhost:1"\naccess { allow = ["public"] }\nroute "/ops/" { backend = "internal:admin" }'
    )
    [told] = desk.faults(f'host "b.example" {{\n{inside}\n}}\n')
    assert "need a host of their own" in told


def test_the_pages_on_a_host_need_somebody_to_sign_in(desk: Desk):
    told = desk.faults('host "b.example" {\nbackend = "internal:admin"\naccess { allow = ["anyone"] }\n}\n')
    assert any("nobody can use the pages" in one for one in told)
