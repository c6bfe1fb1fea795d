"""Where the admin API listens."""

from __future__ import annotations

from tests.unit.config.conftest import Desk
from vestibule.config.admin import SOCKET_PATH_LIMIT_BYTES
from vestibule.config.compile import compile_config

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
