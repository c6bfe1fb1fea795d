"""Git, kubectl and curl themselves, as users of the tokens that `vestibule login` left on this machine."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
import ssl
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.house.source import ROOT
from tests.process import needed
from tests.real.forge_http import Forge
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
}

host "127.0.0.1" {
  tls_certificate = "DIR/here.pem"
  tls_key         = "DIR/here.key"
  backend         = "127.0.0.1:BACKEND"
  sign_in         = ["op"]
  access {
    allow = ["anyone"]
  }
}
"""


class Desk:
    """A signed-in shell, and what stands behind the gateway."""

    def __init__(self, port: int, paper: Paper, forge: Forge, home: Path) -> None:
        self.origin = f"https://127.0.0.1:{port}"
        self.root = paper.root
        self.forge = forge
        trusts = {name: str(paper.root) for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO")}
        quiet = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_TRACE": "1"}
        self.terminal = Terminal(self.origin, home, {**trusts, **quiet})

    async def git(self, *argv: str, at: Path | None = None) -> tuple[int, str, str]:
        """Git, with the helper and nothing else."""
        helper = f"!{sys.executable} -m vestibule token --format git"
        own = ("-c", "credential.helper=", "-c", f"credential.{self.origin}.helper={helper}")
        who = ("-c", "user.name=Alice", "-c", "user.email=alice@example.com")
        place = ("-C", str(at)) if at is not None else ()
        return await self.terminal.program(needed("git"), *own, *who, *place, *argv)


@pytest.fixture
def forge(ports, tmp_path) -> Iterator[Forge]:
    forge = Forge(ports.take(), tmp_path)
    yield forge
    forge.close()


@pytest.fixture
async def desk(gateway, openid, ports, tmp_path, forge) -> Desk:
    port, paper = ports.take(), Paper(tmp_path)
    paper.write("here", "127.0.0.1")
    provider = openid(client("app", f"https://127.0.0.1:{port}/@op/callback"))
    text = CONFIGURATION.replace("ISSUER", provider.issuer).replace("TLS", str(port))
    text = text.replace("DIR", str(tmp_path)).replace("BACKEND", str(forge.port))
    await asyncio.to_thread(gateway, text)
    desk = Desk(port, paper, forge, tmp_path / "home")
    connector = aiohttp.TCPConnector(
        resolver=Loopback(), ssl=ssl.create_default_context(cafile=str(paper.root))
    )
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as browser:
        await by_code(desk.terminal, browser)
    forge.seen.clear()
    return desk


@pytest.mark.timeout(180)
async def test_git_clones_and_pushes_by_the_helper(desk: Desk, tmp_path: Path):
    url, copy = f"{desk.origin}/notes.git", tmp_path / "copy"
    said = ""
    for argv, at in (
        (("clone", "-q", url, str(copy)), None),
        (("commit", "-q", "--allow-empty", "-m", "A note"), copy),
        (("push", "-q", "origin", "HEAD:main"), copy),
        (("ls-remote", url), None),
    ):
        status, out, err = await desk.git(*argv, at=at)
        assert status == 0, err
        said += out + err
    assert "refs/heads/main" in said
    assert "vst_" not in said  # what git ran is traced there, arguments and all
    assert {one.get("user-email") for one in desk.forge.seen} == {"alice@example.com"}
    assert not any("authorization" in one for one in desk.forge.seen)

    # Where the helper isn't configured for one host alone, Git asks it for whichever wants a password.
    helper = f"!{sys.executable} -m vestibule token --format git"
    argv = ("-c", "credential.helper=", "-c", f"credential.helper={helper}", "credential", "fill")
    status, out, err = await desk.terminal.program(
        needed("git"), *argv, given="protocol=https\nhost=evil.example\n\n"
    )
    assert status != 0
    assert "nobody is signed in at https://evil.example" in err
    assert "vst_" not in out + err
    status, out, _ = await desk.terminal.program(
        needed("git"), *argv, given=f"protocol=https\nhost={desk.origin.removeprefix('https://')}\n\n"
    )
    assert (status, "password=vst_at_" in out) == (0, True)


async def test_curls_token_is_no_argument_and_in_no_environment(desk: Desk):
    running = await desk.terminal.begin("curl", "-sS", f"{desk.origin}/held")
    assert await asyncio.to_thread(desk.forge.came.wait, 60)
    # The command has become curl, which waits for its answer.
    told = [Path(f"/proc/{running.pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
    desk.forge.let_go.set()
    out, err = await asyncio.wait_for(running.communicate(), 60)
    assert running.returncode == 0, err
    assert json.loads(out)["user-email"] == "alice@example.com"
    assert b"/held" in told[0]
    assert not any(b"vst_" in one for one in told)


def kubeconfig(desk: Desk, version: str) -> dict[str, Any]:
    """The one of docs/command-line.md, for this gateway."""
    page = (ROOT / "docs" / "command-line.md").read_text("utf-8")
    [written] = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    config: dict[str, Any] = yaml.safe_load(written)
    config["clusters"][0]["cluster"] = {"server": desk.origin, "certificate-authority": str(desk.root)}
    plugin = config["users"][0]["user"]["exec"]
    plugin["apiVersion"] = f"{plugin['apiVersion'].partition('/')[0]}/{version}"
    plugin["args"] = ["-m", plugin["command"], *plugin["args"]]
    plugin["command"] = sys.executable
    return config


async def by_kubectl(desk: Desk, config: dict[str, Any]) -> dict[str, str]:
    """What the API behind sees of `kubectl get --raw`."""
    file = desk.terminal.home / "kubeconfig"
    file.write_text(json.dumps(config))
    argv = (needed("kubectl"), f"--kubeconfig={file}", "get", "--raw", "/api/v1/notes")
    status, out, err = await desk.terminal.program(*argv)
    assert status == 0, err
    assert "vst_" not in out + err
    return dict(json.loads(out))


async def as_client_go(desk: Desk, config: dict[str, Any]) -> dict[str, str]:
    """The same as client-go does it, whose plugins' contract this is (client.authentication.k8s.io)."""
    plugin, cluster = config["users"][0]["user"]["exec"], config["clusters"][0]["cluster"]
    spec = {"cluster": {"server": cluster["server"]}, "interactive": False}
    info = {"kind": "ExecCredential", "apiVersion": plugin["apiVersion"], "spec": spec}
    status, out, err = await desk.terminal.program(
        plugin["command"], *plugin["args"], env={"KUBERNETES_EXEC_INFO": json.dumps(info)}
    )
    assert status == 0, err
    told = json.loads(out)
    assert (told["kind"], told["apiVersion"]) == ("ExecCredential", plugin["apiVersion"])
    assert datetime.fromisoformat(told["status"]["expirationTimestamp"]) > datetime.now(UTC)
    request = urllib.request.Request(
        f"{cluster['server']}/api/v1/notes",
        headers={"Authorization": f"Bearer {told['status']['token']}"},
    )
    context = ssl.create_default_context(cafile=cluster["certificate-authority"])

    def asked() -> dict[str, str]:
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            return dict(json.load(answer))

    return await asyncio.to_thread(asked)


#: kubectl is in no package of every system's: what its library does is done in any case
CLIENTS = [as_client_go, *([by_kubectl] if shutil.which("kubectl") else [])]


async def test_kubectl_has_its_token_of_the_plugin(desk: Desk):
    for asks, version in itertools.product(CLIENTS, ("v1", "v1beta1")):
        told = await asks(desk, kubeconfig(desk, version))
        assert told["user-email"] == "alice@example.com"
        assert "authorization" not in told
