"""`vestibule login` where a domain signs people in at one host: a sign-in for each site, all of them at the auth host."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.real.openid import client
from tests.real.paper import Paper
from tests.real.terminal import Terminal, by_code
from tests.real.visitor import Loopback

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {
  http  = ["127.0.0.1:{port}"]
  https = ["127.0.0.1:TLS"]
}

domain "hall.localhost" {
  auth_host = "auth.hall.localhost"
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
  hosts     = ["app.hall.localhost", "wiki.hall.localhost"]
  grants    = ["code", "device", "refresh"]
  redirects = ["http://127.0.0.1/callback"]
}

machine "backup" {
  kind  = "key"
  hosts = ["app.hall.localhost", "wiki.hall.localhost"]
}

host "auth.hall.localhost" {
  tls_certificate = "DIR/hall.pem"
  tls_key         = "DIR/hall.key"
}
"""
SITE = """
host "NAME.hall.localhost" {
  tls_certificate = "DIR/hall.pem"
  tls_key         = "DIR/hall.key"
  backend         = "internal:echo"
  sign_in         = ["op"]
  access {
    allow = ["anyone", "machine:backup"]
  }
}
"""
NAMES = '''
"""Names below localhost are this machine (RFC 6761), which not every resolver knows."""
import socket

_found = socket.getaddrinfo


def getaddrinfo(host, *more, **options):
    return _found("127.0.0.1" if str(host).endswith(".localhost") else host, *more, **options)


socket.getaddrinfo = getaddrinfo
'''


class Hall:
    """A gateway with a domain, by TLS, and a shell that trusts its authority."""

    def __init__(self, port: int, paper: Paper, home: Path, state: Path) -> None:
        self.port = port
        self.state = state
        self.context = ssl.create_default_context(cafile=str(paper.root))
        names = home / "names"
        names.mkdir(parents=True)
        (names / "sitecustomize.py").write_text(NAMES)
        self.terminal = Terminal(self.at("auth"), home)
        path = f"{names}:{self.terminal.env.get('PYTHONPATH', '')}"
        self.terminal = Terminal(
            self.at("auth"),
            home,
            {"PYTHONPATH": path, "SSL_CERT_FILE": str(paper.root), "CURL_CA_BUNDLE": str(paper.root)},
        )

    def at(self, name: str) -> str:
        """The base URL of a host of the domain."""
        return f"https://{name}.hall.localhost:{self.port}"

    def session(self) -> aiohttp.ClientSession:
        """A browser, or a program."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=Loopback(), ssl=self.context),
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            headers={"User-Agent": "Mozilla/5.0 Firefox/140.0"},
            timeout=aiohttp.ClientTimeout(total=60),
        )

    async def status(self, name: str, token: str) -> int:
        """What a host says to this token."""
        bearer = {"Authorization": f"Bearer {token.strip()}"}
        async with self.session() as program, program.get(f"{self.at(name)}/", headers=bearer) as answer:
            return answer.status


@pytest.fixture
async def hall(gateway, openid, ports, tmp_path) -> Hall:
    port, paper = ports.take(), Paper(tmp_path)
    paper.write("hall", *(f"{name}.hall.localhost" for name in ("auth", "app", "wiki")))
    provider = openid(client("app", f"https://auth.hall.localhost:{port}/@op/callback"))
    text = CONFIGURATION + "".join(SITE.replace("NAME", name) for name in ("app", "wiki"))
    text = text.replace("ISSUER", provider.issuer).replace("TLS", str(port)).replace("DIR", str(tmp_path))
    served = await asyncio.to_thread(gateway, text)
    return Hall(port, paper, tmp_path / "home", served.directory / "state")


@pytest.fixture
async def browser(hall: Hall) -> AsyncIterator[aiohttp.ClientSession]:
    async with hall.session() as session:
        yield session


@pytest.mark.timeout(300)
async def test_each_site_of_a_domain_is_signed_in_to_by_its_auth_host(hall: Hall, browser):
    terminal, app, wiki, auth = hall.terminal, hall.at("app"), hall.at("wiki"), hall.at("auth")
    # Who names the auth host alone gets what the app is for first.
    assert await by_code(terminal, browser, auth) == f"Signed in at {app}, by {auth}.\n"
    assert await terminal.run("whoami") == (0, f"alice@example.com at {app}\n", "")
    _, first, _ = await terminal.run("token", auth)
    assert [await hall.status(name, first) for name in ("app", "wiki")] == [200, 401]

    # Who names the site ends at the same host; the sign-in before is over, here and there.
    said = await by_code(terminal, browser, app, is_new=False)
    assert said == f"Signed in at {app}, by {auth}.\n"
    assert await hall.status("app", first) == 401

    await by_code(terminal, browser, wiki, is_new=False)
    assert await terminal.run("whoami") == (0, f"alice@example.com at {wiki}\n", "")
    assert await terminal.run("whoami", app) == (0, f"alice@example.com at {app}\n", "")
    status, out, err = await terminal.run("curl", "-sS", f"{app}/hello")
    assert status == 0, err
    told = {name.lower(): value for name, value in json.loads(out)["headers"]}
    assert told["user-email"] == "alice@example.com"
    assert "authorization" not in told
    status, _, err = await terminal.run("token", auth)
    assert (status, "signed in there for several" in err) == (1, True)
    asked = f"protocol=https\nhost={wiki.removeprefix('https://')}\n\n"
    _, answered, _ = await terminal.run("token", "--format", "git", "get", given=asked)
    password = dict(line.split("=", 1) for line in answered.splitlines())["password"]
    assert [await hall.status(name, password) for name in ("app", "wiki")] == [401, 200]

    assert (await terminal.run("logout", wiki))[:2] == (0, f"Signed out at {wiki}.\n")
    assert await hall.status("wiki", password) == 401
    assert await terminal.run("whoami") == (0, f"alice@example.com at {app}\n", "")


async def test_a_machine_names_the_site_and_is_known_at_its_auth_host(hall: Hall):
    _, key, err = await hall.terminal.run("tokens", "key", "backup", "--state", str(hall.state))
    assert key.startswith("vst_mk_"), err
    argv = ("machine", "key", "--machine", "backup", "--key-file", "-")
    status, token, err = await hall.terminal.run(*argv, hall.at("wiki"), given=key)
    assert status == 0, err
    assert [await hall.status(name, token) for name in ("app", "wiki")] == [401, 200]
    _, token, _ = await hall.terminal.run(*argv, hall.at("auth"), given=key)
    assert [await hall.status(name, token) for name in ("app", "wiki")] == [200, 401]


async def test_a_site_says_who_gives_tokens_for_it_where_no_backend_can(hall: Hall):
    async with hall.session() as program:
        async with program.get(f"{hall.at('app')}/@/protected-resource") as answer:
            told = await answer.json()
        assert (told["resource"], told["authorization_servers"]) == (hall.at("app"), [hall.at("auth")])
        # The standard's own path is the backend's, until `mcp` says otherwise.
        bearer = {"Authorization": "Bearer vst_at_x"}
        async with program.get(
            f"{hall.at('app')}/.well-known/oauth-protected-resource", headers=bearer
        ) as answer:
            assert answer.status == 401
        async with program.get(f"{hall.at('auth')}/@/protected-resource") as answer:
            assert answer.status == 404
        async with program.get(f"{hall.at('auth')}/.well-known/oauth-authorization-server") as answer:
            assert (await answer.json())["vestibule_resource"] == hall.at("app")
