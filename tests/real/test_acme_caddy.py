"""Another make of authority, and of client: Caddy, in a network of its own, where ports 80 and 443 are the real ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process import Process
from tests.real.caddy_ca import CaddyCa

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="a network of its own needs root")

NAME = "app.example.com"
CONFIGURATION = """
gateway {
  http  = ["127.0.0.1:80"]
  https = ["127.0.0.1:443"]
}

acme {
  directory  = "DIRECTORY"
  ca_file    = "CA"
  challenges = ["PROOF"]
}

host "app.example.com" {
  backend = "internal:echo"
  access {
    allow = ["public"]
  }
}
"""
CLIENT = """
{
  admin off
  auto_https off
}
http://127.0.0.1:8081 {
  reverse_proxy https://app.example.com:443 {
    header_up Host app.example.com
    transport http {
      tls_trusted_ca_certs ROOT
      tls_server_name app.example.com
    }
  }
}
"""


class Network:
    """A network namespace in which a name is at loopback."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._hosts = Path("/etc/netns") / name
        self._hosts.mkdir(parents=True, exist_ok=True)
        (self._hosts / "hosts").write_text(f"127.0.0.1 localhost {NAME}\n")
        (self._hosts / "nsswitch.conf").write_text("hosts: files\n")
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.run("ip", "link", "set", "lo", "up")

    def within(self, *argv: str | Path) -> list[str]:
        """The command that runs this one there."""
        return ["ip", "netns", "exec", self.name, *map(str, argv)]

    def run(self, *argv: str | Path) -> str:
        """What it wrote."""
        done = subprocess.run(self.within(*argv), capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=True)
        shutil.rmtree(self._hosts)


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network(f"vestibule-{os.getpid()}")
    yield network
    network.close()


@pytest.mark.parametrize("proof", ["http-01", "tls-alpn-01"])
def test_caddy_issues_and_caddy_and_curl_are_content(network, servers, tmp_path, proof):
    ca = CaddyCa(tmp_path / "ca", within=network.within)
    servers.callback(ca.process.stop)
    servers.callback(lambda: print(f"--- ca\n{ca.process.shown}"))
    folder = tmp_path / "gateway"
    folder.mkdir(mode=0o700)
    text = CONFIGURATION
    for written, value in {"DIRECTORY": ca.directory, "CA": str(ca.root), "PROOF": proof}.items():
        text = text.replace(written, value)
    (folder / "vestibule.hcl").write_text(text)
    gateway = started(
        network, "gateway", [sys.executable, "-m", "vestibule", "serve", "vestibule.hcl"], folder
    )
    servers.callback(lambda: (print(f"--- gateway\n{gateway.shown}"), gateway.stop()))
    gateway.wait_log("certificate.issued")

    roots = ["--cacert", str(ca.root)]
    assert NAME in network.run("curl", "-sS", "--max-time", "30", *roots, f"https://{NAME}/hello")

    (tmp_path / "Caddyfile").write_text(CLIENT.replace("ROOT", str(ca.root)))
    argv = ["caddy", "run", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile"]
    client = started(network, "caddy", argv, tmp_path)
    servers.callback(lambda: (print(f"--- client\n{client.shown}"), client.stop()))
    client.wait_log("serving initial configuration")
    assert NAME in network.run("curl", "-sS", "--max-time", "30", "http://127.0.0.1:8081/hello")


def started(network: Network, name: str, argv: list[str], folder: Path) -> Any:
    return Process(
        name, network.within(*argv), cwd=folder, env={"HOME": str(folder)}, log=folder / f"{name}.log"
    )
