"""`vestibule serve` as a process: what it says at start, what stops it and what doesn't."""

from __future__ import annotations

import signal
import sys

import pytest

pytestmark = pytest.mark.real

SERVE = [sys.executable, "-m", "vestibule", "serve"]
HCL = """
gateway {{
  http  = ["127.0.0.1:{port}"]
  state = "state"
}}

host "localhost" {{
  backend = "internal:echo"
  access {{ allow = ["public"] }}
}}
"""


@pytest.fixture
def served(process, tmp_path, free_port):
    """Starts it; the state directory is `tmp_path / "state"`."""

    def start():
        file = tmp_path / "app.hcl"
        file.write_text(HCL.format(port=free_port))
        return process("serve", [*SERVE, str(file)])

    return start


def test_a_state_directory_that_others_can_write_to_is_warned_of(served, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    gateway = served()
    gateway.wait_log('"ready"')
    assert '"state_open"' in gateway.log


def test_a_state_directory_of_its_own_is_closed_to_others(served, tmp_path):
    gateway = served()
    gateway.wait_log('"ready"')
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert '"state_open"' not in gateway.log


def test_a_state_directory_that_can_not_be_made_is_one_line_and_exit_code_1(served, tmp_path):
    (tmp_path / "state").write_text("a file")
    gateway = served()
    assert gateway.wait() == 1
    assert "state directory" in gateway.log
    assert "Traceback" not in gateway.log


def test_sighup_has_the_files_read_anew_and_ends_nothing(served, tmp_path):
    gateway = served()
    gateway.wait_log('"ready"')
    gateway.signal(signal.SIGHUP)
    gateway.wait_log('"configuration.reloaded"')
    (tmp_path / "app.hcl").write_text("host {")
    gateway.signal(signal.SIGHUP)
    gateway.wait_log('"configuration.refused"')
    gateway.signal(signal.SIGTERM)
    assert gateway.wait() == 0
    assert '"stopped"' in gateway.log
