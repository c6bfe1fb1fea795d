"""`vestibule demo` as a command: its exit codes, its one clear line, and what it leaves behind, which is nothing."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.real

DEMO = [sys.executable, "-m", "vestibule", "demo"]
ASK = (
    "import os, sys, urllib.request as r; "
    "page = r.urlopen(os.environ['VESTIBULE_DEMO_URL']).read().decode(); "
    "sys.exit(7 if 'Nobody is signed in' in page else 1)"
)


def run(*arguments):
    return subprocess.run([*DEMO, *arguments], capture_output=True, text=True, timeout=60, check=False)


def said_directory(text):
    [config] = re.findall(r"the configuration +(\S+)", text)
    return Path(config).parent


def test_a_command_runs_once_all_is_up_and_its_exit_code_is_the_demos():
    done = run("--port", "0", "--once-ready", f'{sys.executable} -c "{ASK}"')
    assert done.returncode == 7, done.stderr
    assert "Traceback" not in done.stderr
    assert not said_directory(done.stdout).exists()


def test_the_command_has_the_umask_of_whoever_started_the_demo(tmp_path):
    made = tmp_path / "made"
    command = f"umask 022; exec {sys.executable} -m vestibule demo --port 0 --once-ready 'touch {made}'"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert made.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=lambda ending: ending.name)
def test_told_to_stop_it_leaves_nothing_behind(process, free_port, ending):
    demo = process("demo", [*DEMO, "--port", str(free_port), "--no-browser"])
    demo.wait_log("Ctrl-C stops it")
    directory = said_directory(demo.log)
    ports = {
        int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", (directory / "demo.hcl").read_text("utf-8"))
    }
    demo.signal(ending)
    assert demo.wait() == 0
    assert "Traceback" not in demo.log
    assert not directory.exists()
    assert len(ports) == 3
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_a_taken_port_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--port", str(port), "--no-browser")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"vestibule demo: port {port} is taken on 127.0.0.1; choose another one with --port\n"
    )


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_it_refuses_any_address_but_loopback(address):
    done = run("--address", address, "--port", "0", "--no-browser")
    assert (done.returncode, done.stdout) == (2, "")
    assert "loopback only" in done.stderr


def test_variables_of_a_real_gateway_do_not_open_it_to_others(process, free_port):
    """`VESTIBULE_GATEWAY_HTTP` overrides a file; the demo's file is not to be overridden."""
    argv = [*DEMO, "--port", str(free_port), "--no-browser"]
    demo = process("demo", argv, env={"VESTIBULE_GATEWAY_HTTP": "0.0.0.0:0"})
    demo.wait_log("Ctrl-C stops it")
    assert urlsplit(re.findall(r"the app +(\S+)", demo.log)[0]).port == free_port
    with socket.create_connection(("127.0.0.1", free_port)):
        pass
