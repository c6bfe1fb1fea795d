"""IO's `serve`, imported and running: a port of its own with keys, and hosts in front of it."""

from __future__ import annotations

import base64
from pathlib import Path

import aiohttp
import bcrypt
import pytest
from click.testing import CliRunner

from tests.real.visitor import new_visitor
from vestibule.cli.import_ import import_

pytestmark = pytest.mark.real

IO = """
ingress "app.example.com" {
  backend = "serving:api"
  access {
    allow = ["public"]
  }
}

ingress "open.example.com" {
  backend = "serving:open"
  access {
    allow = ["public"]
  }
}

serve "api" {
  name    = "API"
  port    = KEYS
  backend = "127.0.0.1:BACKEND"
  apikey_auth {
    users = <<END
robot:HASH
END
  }
}

serve "open" {
  port    = OPEN
  backend = "127.0.0.1:BACKEND"
}
"""
KEY = "correct horse"


def basic(user: str, key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{key}".encode()).decode()}


@pytest.fixture
async def site(ports, api, gateway, tmp_path: Path):
    """Ports of the gateway and of the two servings, the app behind, and a program that asks."""
    port, keys, open_ = ports.take(), ports.take(), ports.take()
    app = await api()
    text = IO.replace("KEYS", str(keys)).replace("OPEN", str(open_)).replace("BACKEND", str(app.port))
    text = text.replace("HASH", bcrypt.hashpw(KEY.encode(), bcrypt.gensalt(4)).decode())
    imported = CliRunner().invoke(import_, ["io", "-"], input=text)
    assert imported.exit_code == 0, imported.output
    gateway(f'gateway {{\n  http = ["127.0.0.1:{port}"]\n}}\n{imported.stdout}', port=port)
    async with new_visitor(user_agent="script/1") as program:
        yield port, keys, open_, app, program


async def ask(program: aiohttp.ClientSession, url: str, headers: dict[str, str] | None = None) -> int:
    sent = {"Accept": "application/json", **(headers or {})}
    async with program.get(url, headers=sent, allow_redirects=False) as answer:
        await answer.read()
        return answer.status


async def test_a_key_opens_the_port_and_the_app_is_told_whose_it_is(site):
    _, keys, _, app, program = site
    assert await ask(program, f"http://127.0.0.1:{keys}/v1") == 401
    assert await ask(program, f"http://127.0.0.1:{keys}/v1", basic("robot", "wrong")) == 401
    assert app.seen == []
    assert await ask(program, f"http://127.0.0.1:{keys}/v1", basic("robot", KEY)) == 200
    assert app.seen[-1].one("User-Name") == "robot"
    assert app.seen[-1].all("Authorization") == []


async def test_the_same_key_opens_it_behind_a_host(site):
    port, _, _, app, program = site
    url = f"http://app.example.com:{port}/v1"
    assert await ask(program, url) == 401
    assert app.seen == []
    assert await ask(program, url, basic("robot", KEY)) == 200
    seen = app.seen[-1]
    assert (seen.one("User-Name"), seen.one("Host")) == ("robot", f"app.example.com:{port}")


async def test_one_that_asks_for_nothing_is_for_programs_of_this_machine_alone(site):
    port, _, open_, app, program = site
    assert await ask(program, f"http://127.0.0.1:{open_}/") == 200
    assert await ask(program, f"http://open.example.com:{port}/") == 200
    count = len(app.seen)
    assert await ask(program, f"http://open.example.com:{open_}/") == 403
    assert await ask(program, f"http://127.0.0.1:{open_}/", {"Origin": "https://evil.example"}) == 403
    assert await ask(program, f"http://127.0.0.1:{port}/", {"Host": f"127.0.0.1:{open_}"}) == 421
    assert len(app.seen) == count
