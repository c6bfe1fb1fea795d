"""Certificates as clients see them: own files that change while it runs, and those of the local authority."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.real.paper import Paper

pytestmark = pytest.mark.real

NAME = "app.example.com"
CONFIGURATION = """
gateway {{
  http    = ["127.0.0.1:{port}"]
  https   = ["127.0.0.1:{tls}"]
  workers = {workers}
}}

host "app.example.com" {{
  tls_certificate = "own.pem"
  tls_key         = "own.key"
  backend         = "internal:echo"
  access {{ allow = ["public"] }}
}}

host "app.localhost" {{
  backend = "internal:echo"
  access {{ allow = ["public"] }}
}}

host "127.0.0.1" {{
  backend = "internal:echo"
  access {{ allow = ["public"] }}
}}
"""
SOON_S = 60.0


class House:
    """A gateway with a certificate of files and two of the local authority."""

    def __init__(self, gateway: Callable[..., Any], ports: Any, folder: Path, workers: int) -> None:
        self.folder, self.paper, self.workers = folder, Paper(folder), workers
        self.paper.write("own", NAME)
        self.port, self.tls = ports.take(), ports.take()
        text = CONFIGURATION.format(port=self.port, tls=self.tls, workers=workers)
        for name in ("own.pem", "own.key"):
            text = text.replace(f'"{name}"', f'"{folder / name}"')
        self.gateway = gateway(text, port=self.port)
        self.authority = self.gateway.directory / "state" / "local-authority"

    def shown(self, name: str = NAME, root: Path | None = None) -> str:
        """The fingerprint of what is shown for this name to who trusts this root. Raises OSError."""
        context = ssl.create_default_context(cafile=root or self.paper.root)
        plain = socket.create_connection(("127.0.0.1", self.tls), timeout=30)
        with context.wrap_socket(plain, server_hostname=name) as secure:
            return hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()

    def on_disk(self) -> str:
        first = (self.folder / "own.pem").read_text("ascii").partition("-----END CERTIFICATE-----")[0]
        return hashlib.sha256(
            ssl.PEM_cert_to_DER_cert(f"{first.strip()}\n-----END CERTIFICATE-----\n")
        ).hexdigest()

    def wait_for(self, what: Callable[[], bool]) -> None:
        until = time.monotonic() + SOON_S
        while not what():
            assert time.monotonic() < until, self.gateway.log[-2000:]
            time.sleep(0.1)

    def is_everywhere(self, fingerprint: str) -> bool:
        """True when all that answer have said that they show it."""
        told = [one for one in self.said("certificate_loaded") if one["fingerprint"] == fingerprint]
        return len({one.get("process") for one in told} - {"control"}) == self.workers

    def said(self, event: str) -> list[dict[str, Any]]:
        lines = [line for line in self.gateway.log.splitlines() if line.startswith("{")]
        return [one for line in lines if (one := json.loads(line)).get("event") == event]


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def house(request: pytest.FixtureRequest, gateway: Any, ports: Any, tmp_path: Path) -> House:
    return House(gateway, ports, tmp_path, request.param)


def test_files_that_change_are_shown_without_a_word_and_broken_ones_leave_the_last(house: House):
    first = house.on_disk()
    assert {house.shown() for _ in range(6)} == {first}

    house.paper.write("own", NAME)
    second = house.on_disk()
    assert second != first
    house.wait_for(lambda: house.is_everywhere(second))
    assert {house.shown() for _ in range(6)} == {second}

    good_key = (house.folder / "own.key").read_bytes()
    (house.folder / "own.key").write_bytes(good_key[:60])
    house.wait_for(lambda: len(house.said("certificate_unusable")) >= house.workers)
    assert {house.shown() for _ in range(6)} == {second}
    assert good_key.decode().splitlines()[1] not in house.gateway.log

    house.paper.write("own", NAME)
    third = house.on_disk()
    house.wait_for(lambda: house.is_everywhere(third))
    assert {house.shown() for _ in range(6)} == {third}


def test_names_of_this_machine_have_certificates_of_an_authority_that_is_made_once(house: House):
    root = house.authority / "root.pem"
    found = {house.shown("app.localhost", root) for _ in range(6)}
    assert len(found) == 1
    assert len({house.shown("127.0.0.1", root) for _ in range(6)}) == 1
    assert stat.S_IMODE((house.authority / "root.key").stat().st_mode) == 0o600
    with pytest.raises(ssl.SSLCertVerificationError):
        house.shown("app.localhost", house.paper.root)

    house.gateway.stop()
    house.gateway.start_again()
    assert house.shown("app.localhost", root) == found.pop()


def test_trust_prints_what_clients_need(house: House, tmp_path: Path):
    argv = [sys.executable, "-m", "vestibule", "trust", "--print", house.gateway.file]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    path, _, pem = done.stdout.partition("\n")
    assert Path(path) == house.authority / "root.pem"
    copy = tmp_path / "copy.pem"
    copy.write_text(pem)
    with contextlib.suppress(ssl.SSLCertVerificationError):
        assert house.shown("app.localhost", copy)
        return
    pytest.fail("who trusts what is printed doesn't believe the gateway")
