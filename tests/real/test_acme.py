"""Certificates by ACME, from Pebble, which refuses half of all nonces: ordered, shown, renewed, and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sqlite3
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.process import Process
from tests.real.pebble import EAB_KEY, Authorities
from vestibule.admin_client import AdminClient
from vestibule.fetch import AiohttpTransport, Fetcher
from vestibule.opening import ring_in
from vestibule.protocol import acme as wire
from vestibule.protocol.acme_certificate import key_of
from vestibule.protocol.address import Networks
from vestibule.service.acme_seal import Account, opened
from vestibule.store.records import open_records

NAME = "app.example.com"
CONFIGURATION = """
gateway {
  http  = ["127.0.0.1:{port}"]
  https = ["127.0.0.1:TLS"]
}

acme {
  email     = "ops@example.com"
  directory = "DIRECTORY"
  ca_file   = "CA"
  MORE
}

host "app.example.com" {
  backend = "127.0.0.1:BACKEND"
  tls     = "acme"
  access {
    allow = ["public"]
  }
}
"""


@pytest.fixture
async def backend(api) -> Any:
    return await api()


@pytest.fixture
def started(gateway, authorities, backend, ca_file) -> Callable[..., Any]:
    """A gateway whose authority this is."""

    def start(directory: str, more: str = "", **replaced: str) -> Any:
        text = CONFIGURATION
        for written, value in {
            "DIRECTORY": directory,
            "CA": str(ca_file),
            "BACKEND": str(backend.port),
            "TLS": str(authorities.tls_port),
            "MORE": more,
            **replaced,
        }.items():
            text = text.replace(written, value)
        return gateway(text, port=authorities.http_port)

    return start


def events(gateway: Any, name: str) -> list[dict[str, Any]]:
    """The lines of the log with this event."""
    lines = (json.loads(line) for line in gateway.log.splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == name]


def shown(authorities: Authorities, *roots_pem: str, name: str = NAME) -> str:
    """The serial number of the certificate that who trusts these roots alone is shown; fails where it isn't good."""
    return shown_at(authorities.tls_port, *roots_pem, name=name)


def shown_at(port: int, *roots_pem: str, name: str = NAME) -> str:
    """The same, at this port."""
    context = ssl.create_default_context(cadata="".join(roots_pem))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=name) as tls,
    ):
        found = tls.getpeercert()
        assert found is not None
        return str(found["serialNumber"])


@pytest.mark.parametrize("proof", ["http-01", "tls-alpn-01"])
def test_a_host_has_a_certificate_by_its_line_alone(started, authorities, proof):
    pebble = authorities.pebble()
    gateway = started(pebble.directory, f'challenges = ["{proof}"]')
    gateway.process.wait_log("certificate.issued")
    issued = events(gateway, "certificate.issued")[0]
    assert (issued["host"], issued["detail_proof"]) == (NAME, proof)
    assert shown(authorities, pebble.root_pem())


def wait_for(gateway: Any, name: str, count: int = 1, within_s: float = 60.0) -> list[dict[str, Any]]:
    """The lines of the log with this event, once there are so many."""
    gateway.process.wait_until(lambda: len(events(gateway, name)) >= count, name, within_s=within_s)
    return events(gateway, name)


def renew(gateway: Any, name: str = NAME) -> None:
    """As an operator has it renewed."""
    AdminClient(f"unix:{gateway.directory / 'state' / 'admin.sock'}").renew_certificate(name)


async def test_the_backend_answers_for_its_own_tokens_where_nothing_is_ordered(gateway, backend):
    plain = gateway(f"""
gateway {{
  http = ["127.0.0.1:{{port}}"]
}}
host "app.example.com" {{
  backend = "127.0.0.1:{backend.port}"
  tls     = "off"
  access {{
    allow = ["public"]
  }}
}}
""")
    path = "/.well-known/acme-challenge/abcdefghijklmnopqrstuvwxyz0123456789"
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{plain.url}{path}", headers={"Host": NAME}) as answer,
    ):
        assert answer.status == 200
    assert backend.seen[-1].target == path


CADDY = """
{
  admin off
  storage file_system STORAGE
  skip_install_trust
  default_bind 127.0.0.1
  http_port HTTP
  https_port TLS
}
app.example.com {
  tls {
    issuer acme {
      dir DIRECTORY
      trusted_roots CA
      disable_tlsalpn_challenge
    }
  }
  respond "the backend"
}
"""
PUBLIC_PROOF = """
  route "/.well-known/acme-challenge/" {
    access {
      allow = ["public"]
    }
  }
"""


class CaddyBackend:
    """A backend that has its own certificate by HTTP-01: Caddy, once it is started."""

    def __init__(self, servers: Any, ports: Any, folder: Path) -> None:
        self._servers, self._folder = servers, folder
        self.http, self.tls = ports.take(), ports.take()

    def start(self, directory: str, ca_file: Path) -> Process:
        """Begin to order at once."""
        self._folder.mkdir()
        text = CADDY
        for written, value in {
            "STORAGE": str(self._folder / "data"),
            "HTTP": str(self.http),
            "TLS": str(self.tls),
            "DIRECTORY": directory,
            "CA": str(ca_file),
        }.items():
            text = text.replace(written, value)
        (self._folder / "Caddyfile").write_text(text)
        argv = ["caddy", "run", "--config", self._folder / "Caddyfile", "--adapter", "caddyfile"]
        process = Process("caddy", argv, env={"HOME": str(self._folder), "XDG_DATA_HOME": str(self._folder)})
        self._servers.callback(process.stop)
        self._servers.callback(lambda: print(f"--- caddy\n{process.shown}"))
        return process


@pytest.fixture
def caddy(servers, ports, tmp_path) -> CaddyBackend:
    return CaddyBackend(servers, ports, tmp_path / "caddy")


def test_a_backend_whose_pages_are_closed_gets_a_certificate_of_its_own(started, authorities, caddy, ca_file):
    pebble = authorities.pebble(env={"PEBBLE_AUTHZREUSE": "0"})
    closed = {
        'allow = ["public"]': 'allow = ["public", "network:203.0.113.0/24"]',
        "  access {": f"{PUBLIC_PROOF}  access {{",
    }
    gateway = started(pebble.directory, BACKEND=str(caddy.http), **closed)
    wait_for(gateway, "certificate.issued")
    process, root = caddy.start(pebble.directory, ca_file), pebble.root_pem()
    process.wait_log("certificate obtained successfully")
    process.wait_until(lambda: is_shown_at(caddy.tls, root), "shows it")
    assert shown_at(caddy.tls, root) != shown(authorities, root)


def is_shown_at(port: int, *roots_pem: str) -> str:
    """The serial number that is shown at this port; empty while none is."""
    try:
        return shown_at(port, *roots_pem)
    except OSError:
        return ""


def test_a_slow_authority_is_waited_for(started, authorities):
    pebble = authorities.pebble(env={"PEBBLE_VA_NOSLEEP": "0", "PEBBLE_VA_SLEEPTIME": "12"})
    gateway = started(pebble.directory)
    wait_for(gateway, "certificate.issued", within_s=120)
    assert shown(authorities, pebble.root_pem())
    assert not events(gateway, "certificate.failed")


def test_a_name_that_is_not_found_is_told_in_plain_words_and_tried_again(started, authorities):
    pebble = authorities.pebble()
    authorities.names.fail(NAME)
    gateway = started(pebble.directory)
    failed = wait_for(gateway, "certificate.failed")[0]
    assert failed["outcome"] == "refused"
    assert "A or AAAA record" in failed["detail_advice"], failed["detail_said"]
    assert failed["detail_failures"] == 1
    orders = pebble.log.count("POST /order-plz -> ")
    authorities.names.mend(NAME)
    renew(gateway)
    wait_for(gateway, "certificate.issued")
    assert orders <= 30  # nonces are refused, but nothing was ordered again meanwhile
    assert shown(authorities, pebble.root_pem())


def test_a_closed_port_is_proven_by_the_other_proof(started, authorities, ports):
    pebble = authorities.pebble(config={"httpPort": ports.take()})
    gateway = started(pebble.directory)
    failed = wait_for(gateway, "certificate.failed")[0]
    assert failed["detail_proof"] == "http-01"
    assert "port 80" in failed["detail_advice"]
    renew(gateway)
    assert wait_for(gateway, "certificate.issued")[0]["detail_proof"] == "tls-alpn-01"


def test_an_authority_that_forgot_the_account_is_given_another(started, authorities):
    pebble = authorities.pebble()
    gateway = started(pebble.directory)
    wait_for(gateway, "certificate.issued")
    before = shown(authorities, pebble.root_pem())
    old_root = pebble.root_pem()
    pebble.process.stop()
    pebble.start()
    renew(gateway)
    wait_for(gateway, "certificate.renewed")
    assert events(gateway, "acme_account_lost")
    assert shown(authorities, pebble.root_pem(), old_root) != before


async def test_an_account_that_was_deactivated_is_replaced(started, authorities, ca_file):
    pebble = authorities.pebble(env={"PEBBLE_AUTHZREUSE": "0"})
    gateway = started(pebble.directory)
    wait_for(gateway, "certificate.issued")
    before = shown(authorities, pebble.root_pem())
    url = await deactivated(gateway.directory / "state", ssl.create_default_context(cafile=ca_file))
    renew(gateway)
    await asyncio.to_thread(wait_for, gateway, "certificate.renewed")
    lost = events(gateway, "acme_account_lost")
    assert len(lost) == 1
    assert "deactivated" in lost[0]["detail"]
    assert not events(gateway, "certificate.failed")
    assert shown(authorities, pebble.root_pem()) != before
    assert (await account_of(gateway.directory / "state")).url != url


async def account_of(state: Path) -> Account:
    """The account that the gateway has, as it is kept."""
    records = open_records(state / "vestibule.db")
    try:
        (row,) = await records.acme_accounts.all()
    finally:
        await records.close()
    found = opened(row.directory, row.sealed, Account, ring_in(state / "vestibule.key"))
    assert found is not None
    return found


async def deactivated(state: Path, tls: ssl.SSLContext) -> str:
    """The URL of the account, which is as its owner wants it from now on: deactivated (RFC 8555 section 7.3.6)."""
    account = await account_of(state)
    key = key_of(account.key_pem.reveal().encode("ascii"))
    fetcher = Fetcher(transport=AiohttpTransport(tls=tls), allow=Networks.parse(("127.0.0.0/8",)))
    origin = account.url.partition("/my-account/")[0]
    try:
        while True:  # half of all nonces are refused
            nonce = (await fetcher.get(f"{origin}/nonce-plz", via=origin)).headers["replay-nonce"]
            body = wire.signed(key, account.url, {"status": "deactivated"}, nonce=nonce, account=account.url)
            headers = {"content-type": wire.CONTENT_TYPE}
            answer = await fetcher.send("POST", account.url, body, headers=headers, via=origin)
            if wire.read_problem(answer.body).kind != "badNonce":
                assert json.loads(answer.body)["status"] == "deactivated"
                return account.url
    finally:
        await fetcher.close()


def test_the_old_certificate_serves_on_while_a_renewal_fails(started, authorities):
    pebble = authorities.pebble(env={"PEBBLE_AUTHZREUSE": "0"})
    gateway = started(pebble.directory)
    wait_for(gateway, "certificate.issued")
    before = shown(authorities, pebble.root_pem())
    authorities.names.fail(NAME)
    renew(gateway)
    wait_for(gateway, "certificate.failed")
    assert shown(authorities, pebble.root_pem()) == before
    authorities.names.mend(NAME)
    renew(gateway)
    wait_for(gateway, "certificate.renewed")
    assert shown(authorities, pebble.root_pem()) != before


def test_an_external_account_is_bound_and_its_lack_is_told(started, authorities):
    config = {"externalAccountBindingRequired": True, "externalAccountMACKeys": {"kid-1": EAB_KEY}}
    pebble = authorities.pebble(config=config)
    bound = f'external_account {{\n key_id = "kid-1"\n hmac_key = "{EAB_KEY}"\n }}'
    gateway = started(pebble.directory)
    failed = wait_for(gateway, "certificate.failed")[0]
    assert failed["detail_code"] == "externalAccountRequired"
    assert "external_account" in failed["detail_advice"]
    gateway.stop()
    text = gateway.file.read_text()
    gateway.file.write_text(text.replace("email     =", f"{bound}\n  email     ="))
    gateway.start_again()
    wait_for(gateway, "certificate.issued")  # at once: what failed by another configuration waits for nothing
    assert EAB_KEY not in gateway.log


def test_the_next_authority_is_asked_where_the_first_is_down(started, authorities, ports):
    pebble = authorities.pebble()
    gateway = started(f"https://127.0.0.1:{ports.take()}/dir", f'fallback = ["{pebble.directory}"]')
    issued = wait_for(gateway, "certificate.issued")[0]
    assert issued["detail_directory"] == pebble.directory
    assert events(gateway, "acme_authority_rests")[0]["code"] == "unreachable"
    assert not events(gateway, "certificate.failed")


def end_leases(gateway: Any) -> int:
    """What a minute does to the leases of who was killed; how many there were."""
    file = gateway.directory / "state" / "vestibule.db"
    with contextlib.closing(sqlite3.connect(file, timeout=60)) as connection, connection:
        return connection.execute("UPDATE leases SET expires_at = 0").rowcount


@pytest.mark.timeout(240)
def test_killed_in_the_middle_of_an_order_it_goes_on(started, authorities):
    pebble = authorities.pebble(env={"PEBBLE_AUTHZREUSE": "0"})
    gateway = started(pebble.directory)
    gateway.process.wait_until(lambda: "POST /authZ/" in pebble.log, "begins to prove the name")
    gateway.kill()
    assert end_leases(gateway)
    gateway.start_again()
    wait_for(gateway, "certificate.issued", within_s=150)
    assert pebble.log.count("Added order") == 1
    assert shown(authorities, pebble.root_pem())


@pytest.mark.parametrize("proof", ["http-01", "tls-alpn-01"])
def test_workers_show_what_the_control_process_orders(started, authorities, proof):
    pebble = authorities.pebble(env={"PEBBLE_AUTHZREUSE": "0"})
    workers = {"gateway {": "gateway {\n  workers = 2"}
    gateway = started(pebble.directory, f'challenges = ["{proof}"]', **workers)
    wait_for(gateway, "certificate.issued")
    root = pebble.root_pem()
    first = {shown(authorities, root) for _ in range(8)}
    assert len(first) == 1
    renew(gateway)
    wait_for(gateway, "certificate.renewed")
    gateway.process.wait_until(
        lambda: first.isdisjoint({shown(authorities, root) for _ in range(8)}),
        "shows the new one",
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_after_a_start_nobody_comes_before_the_certificates(started, authorities, workers):
    pebble = authorities.pebble()
    gateway = started(pebble.directory, **{"gateway {": f"gateway {{\n  workers = {workers}"})
    wait_for(gateway, "certificate.issued")
    root = pebble.root_pem()
    gateway.stop()
    accepted: list[str] = []
    failed: list[OSError] = []
    is_over = threading.Event()

    def connect() -> None:
        while not is_over.is_set():
            try:
                accepted.append(shown(authorities, root))
            except ConnectionRefusedError:
                is_over.wait(0.01)  # nobody listens yet
            except OSError as error:
                failed.append(error)

    clients = [threading.Thread(target=connect) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        gateway.start_again()
        gateway.process.wait_until(lambda: len(accepted) >= 40, "shows its certificate")
    finally:
        is_over.set()
        for client in clients:
            client.join()
    assert failed == []
    assert len(set(accepted)) == 1


def test_what_is_kept_in_the_file_holds_no_key(started, authorities):
    gateway = started(authorities.pebble().directory)
    wait_for(gateway, "certificate.issued")
    gateway.stop()
    kept = b"".join(path.read_bytes() for path in (gateway.directory / "state").glob("vestibule.db*"))
    assert b"certificates" in kept
    assert b"PRIVATE KEY" not in kept
    assert "PRIVATE KEY" not in gateway.log
