"""render.yaml does what it says: its build makes a wheel, and its environment is enough for that to serve."""

from __future__ import annotations

import base64
import http.client
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tests.ports import Ports
from tests.process import Process

ROOT = Path(__file__).parents[2]
BLUEPRINT = yaml.safe_load((ROOT / "render.yaml").read_text("utf-8"))
(SERVICE,) = BLUEPRINT["services"]
#: what the person who deploys is asked for
ANSWERS = {
    "VESTIBULE_PROVIDER_TYPE": "github",
    "VESTIBULE_CLIENT_ID": "id-1",
    "VESTIBULE_CLIENT_SECRET": "hunter2",
    "VESTIBULE_ALLOWED_DOMAINS": "example.com",
}
URL = "https://vestibule-1.onrender.com"


def environment(answers: dict[str, str]) -> dict[str, str]:
    """What Render sets, by the blueprint."""
    found = {}
    for entry in SERVICE["envVars"]:
        if entry.get("generateValue"):
            found[entry["key"]] = base64.b64encode(os.urandom(32)).decode()
        else:
            found[entry["key"]] = answers[entry["key"]] if entry.get("sync") is False else str(entry["value"])
    return found


def ask(port: int, path: str, host: str) -> http.client.HTTPResponse:
    """The answer, as the platform's edge would ask."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(
        "GET", path, headers={"Host": host, "Accept": "text/html", "X-Forwarded-For": "192.0.2.1"}
    )
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_it_asks_for_provider_client_and_secret_and_makes_the_key_itself() -> None:
    asked = {entry["key"] for entry in SERVICE["envVars"] if entry.get("sync") is False}
    assert asked == set(ANSWERS)
    made = [entry["key"] for entry in SERVICE["envVars"] if entry.get("generateValue")]
    assert made == ["VESTIBULE_SESSION_KEY"]
    assert SERVICE["startCommand"] == "vestibule serve"
    state = environment(ANSWERS)["VESTIBULE_GATEWAY_STATE"]
    assert Path(state).is_relative_to(SERVICE["disk"]["mountPath"])


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh machine on which the blueprint's build has been run; its programs stand in `venv/bin`."""
    machine = tmp_path_factory.mktemp("render")
    for name in ("src", "pyproject.toml", "README.md", "LICENSE", "requirements.lock"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, machine / name)
    # Without ensurepip, which Debian keeps in a package of its own: the pip that installed us serves.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", machine / "venv"], check=True)
    pip = machine / "venv" / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pip --quiet --python "{machine / "venv"}" "$@"\n')
    pip.chmod(pip.stat().st_mode | stat.S_IXUSR)
    environ = {**os.environ, "PATH": f"{pip.parent}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", SERVICE["buildCommand"]], cwd=machine, env=environ, check=True)
    return machine


def serve(machine: Path, state: Path, port: int, **more: str) -> Process:
    """The blueprint's start command in the blueprint's environment, with the disk at another place."""
    environ: dict[str, Any] = {
        **environment(ANSWERS),
        "PORT": str(port),
        "RENDER_EXTERNAL_URL": URL,
        "VESTIBULE_GATEWAY_STATE": str(state),
        "PYTHONPATH": "",
        **more,
    }
    program, *arguments = SERVICE["startCommand"].split()
    return Process("render", [machine / "venv" / "bin" / program, *arguments], cwd=state.parent, env=environ)


@pytest.mark.real
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("render")
def test_the_wheel_serves_in_the_blueprints_environment(machine: Path, ports: Ports, state_dir: Path) -> None:
    port = ports.take()
    process = serve(machine, state_dir / "state", port)
    try:
        process.wait_log('"ready"')
        # The platform's own check, under whatever name it has for the machine.
        for host in ("10.20.30.40:10000", urlsplit(URL).netloc):
            assert ask(port, SERVICE["healthCheckPath"], host).status == 200
        # The sign-in leads to the provider, and back to the address that Render gave.
        answer = ask(port, "/@/signin", urlsplit(URL).netloc)
        to = urlsplit(answer.headers["Location"])
        assert (answer.status, to.netloc) == (303, "github.com")
        assert parse_qs(to.query)["redirect_uri"] == [f"{URL}/@github/callback"]
        assert answer.headers["Set-Cookie"].startswith("__Host-vestibule-flow-")
        # Templates, styles and languages are in the wheel, too.
        assert ask(port, "/@/signedout", urlsplit(URL).netloc).status == 200
        assert "hunter2" not in process.log
    finally:
        process.stop()


@pytest.mark.real
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("render")
def test_an_answer_that_was_left_empty_stops_the_start_and_is_named(
    machine: Path, ports: Ports, state_dir: Path
) -> None:
    process = serve(machine, state_dir / "state", ports.take(), VESTIBULE_CLIENT_SECRET="")
    assert process.wait() == 1
    assert process.log.startswith("environment: VESTIBULE_CLIENT_SECRET ")
    process.stop()
