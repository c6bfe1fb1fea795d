"""`vestibule login`, `token`, `whoami`, `curl` and `logout`, as somebody runs them."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from tests.real.gateway import Gateway
from tests.real.house import NAVIGATION
from tests.real.node_home import node_binary
from tests.real.openid import client
from tests.real.terminal import Terminal, by_code, key_in, press, sign_in
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {
  http = ["127.0.0.1:{port}"]
}

provider "op" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "app-secret"
  scopes        = ["openid", "email", "profile"]
}

app "cli" {
  name      = "A terminal"
  hosts     = ["127.0.0.1"]
  grants    = ["code", "device", "refresh"]
  redirects = ["http://127.0.0.1/callback"]
  access    = "5m"
}

host "127.0.0.1" {
  backend = "internal:echo"
  sign_in = ["op"]
  access {
    allow = ["anyone"]
  }
}
"""


@pytest.fixture
def served(gateway, openid, ports) -> Gateway:
    port = ports.take()
    provider = openid(client("app", f"http://127.0.0.1:{port}/@op/callback"))
    started: Gateway = gateway(CONFIGURATION.replace("ISSUER", provider.issuer), port=port)
    return started


@pytest.fixture
def terminal(served, tmp_path) -> Terminal:
    return Terminal(f"http://127.0.0.1:{served.port}", tmp_path / "home")


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    async with new_visitor(user_agent="Mozilla/5.0 Firefox/140.0") as session:
        yield session


async def test_a_command_line_signs_in_by_a_code_and_out_again(terminal, browser):
    assert await by_code(terminal, browser) == f"Signed in at {terminal.origin}.\n"
    assert stat.S_IMODE(terminal.wallet.stat().st_mode) == 0o600
    assert await terminal.run("whoami") == (0, f"alice@example.com at {terminal.origin}\n", "")
    status, out, _ = await terminal.run("curl", "-sS", f"{terminal.origin}/hello")
    assert status == 0
    told = {name.lower(): value for name, value in json.loads(out)["headers"]}
    assert told["user-email"] == "alice@example.com"
    assert "authorization" not in told

    status, token, _ = await terminal.run("token")
    assert (status, token.startswith("vst_at_")) == (0, True)
    _, out, _ = await terminal.run("token", "--format", "kubectl")
    assert json.loads(out)["status"]["token"].startswith("vst_at_")
    asked = f"protocol=http\nhost={terminal.origin.removeprefix('http://')}\n\n"
    _, out, _ = await terminal.run("token", "--format", "git", "get", given=asked)
    assert out.startswith("username=token\npassword=vst_at_")

    assert (await terminal.run("logout"))[0] == 0
    status, _, said = await terminal.run("token")
    assert (status, "vestibule login" in said) == (1, True)
    bearer = {"Authorization": f"Bearer {token.strip()}"}
    async with new_visitor() as program, program.get(terminal.origin, headers=bearer) as answer:
        assert answer.status == 401


async def test_in_a_terminal_the_code_is_drawn_for_a_phone(terminal, browser):
    login, screen = await terminal.begin_on_screen("login", terminal.origin)
    [code] = re.findall(r"type ([A-Z]{4}-[A-Z]{4})", await screen.line())
    drawing: list[str] = []
    while len(drawing) < 3 or drawing[-1]:
        line = await screen.line()
        # Light on dark, whatever the terminal's own colours are.
        drawing.append(line.removeprefix("\x1b[97;40m").removesuffix("\x1b[0m"))
        assert len(drawing) < 60, drawing
    assert drawing[:2] == ["or point a phone at this:", ""]
    # Another program than the one that drew it reads the address: of the page, with the code filled in.
    qr = Path(__file__).with_name("node") / "qr.mjs"
    read = await terminal.program(str(node_binary()), str(qr), given="\n".join(drawing[2:]))
    assert read == (0, f"{terminal.origin}/@/device?user_code={code}", "")

    await sign_in(browser, terminal)
    _, text = await press(browser, terminal, "/@/device", user_code=code)
    await press(browser, terminal, "/@/device", key=key_in(text), answer="allow")
    out, _ = await asyncio.wait_for(login.communicate(), 60)
    assert (login.returncode, out.decode()) == (0, f"Signed in at {terminal.origin}.\n")
    screen.close()


async def test_a_browser_of_the_machine_comes_back_to_the_command(terminal, browser):
    await sign_in(browser, terminal)
    login = await terminal.begin("login", terminal.origin, "--browser")
    assert login.stderr is not None
    address = ""
    while not address.startswith("http"):
        address = (await asyncio.wait_for(login.stderr.readline(), 60)).decode().strip()
    async with browser.get(URL(address, encoded=True), headers=NAVIGATION) as answer:
        text = await answer.text()
    headers, _ = await press(browser, terminal, "/@/authorize", key=key_in(text), answer="allow")
    back = headers["Refresh"].partition("url=")[2]
    async with browser.get(URL(back.partition("?")[0] + "?state=wrong&code=x", encoded=True)) as answer:
        assert answer.status == 200
    async with browser.get(URL(back, encoded=True)) as answer:
        assert "closed" in await answer.text()
    out, err = await asyncio.wait_for(login.communicate(), 60)
    assert (login.returncode, out.decode()) == (0, f"Signed in at {terminal.origin}.\n"), err
    assert (await terminal.run("whoami"))[0] == 0


async def test_scripts_at_once_renew_it_once(terminal, browser):
    await by_code(terminal, browser)
    kept = json.loads(terminal.wallet.read_text())
    for one in kept["gateways"].values():
        one["expires_at"] = 0.0
    terminal.wallet.write_text(json.dumps(kept))
    tokens = await asyncio.gather(*(terminal.run("token") for _ in range(5)))
    assert {status for status, _, _ in tokens} == {0}
    assert len({out for _, out, _ in tokens}) == 1


async def test_who_signs_out_is_signed_out_at_the_gateway_or_told_that_they_are_not(
    served, terminal, browser
):
    await by_code(terminal, browser)
    kept = terminal.wallet.read_text()
    _, token, _ = await terminal.run("token")
    await asyncio.to_thread(served.stop)
    status, out, said = await terminal.run("logout")
    assert (status, out, "you are still signed in (--here" in said) == (1, "", True)
    assert terminal.wallet.read_text() == kept
    status, out, _ = await terminal.run("logout", "--here")
    assert (status, out) == (0, f"Forgotten here: {terminal.origin}.\n")
    assert "vst_" not in terminal.wallet.read_text()

    terminal.wallet.write_text(kept)
    await asyncio.to_thread(served.start_again)
    bearer = {"Authorization": f"Bearer {token.strip()}"}
    for ended in (False, True):
        async with new_visitor() as program, program.get(f"{terminal.origin}/", headers=bearer) as answer:
            assert answer.status == (401 if ended else 200)
        if not ended:
            assert await terminal.run("logout") == (0, f"Signed out at {terminal.origin}.\n", "")


async def test_what_others_could_read_is_not_used(terminal, browser):
    await by_code(terminal, browser)
    terminal.wallet.chmod(0o644)
    status, out, said = await terminal.run("token")
    assert (status, out) == (1, "")
    assert "chmod 600" in said
    assert "vst_" not in said


@pytest.mark.parametrize("url", ["ftp://x", "http://example.com", "nonsense", "http://127.0.0.1:1"])
async def test_an_address_that_is_no_gateway_is_told(terminal, url):
    status, out, said = await terminal.run("login", url)
    assert (status, out) == (1, "")
    assert said.startswith("vestibule: ")
    assert said.count("\n") == 1
