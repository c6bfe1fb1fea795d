"""Certificates by ACME where several gateways share a PostgreSQL: one orders, all serve, and one goes on for another."""

from __future__ import annotations

from typing import Any

import pytest

from tests.real.nodes import SESSION_KEY
from tests.real.test_acme import CONFIGURATION, events, is_shown_at, renew, shown, wait_for


@pytest.fixture
async def node(gateway, api, ca_file, postgres) -> Any:
    """Starts a gateway at these ports, on the one database."""
    backend = await api()

    def start(directory: str, http: int, tls: int) -> Any:
        text = CONFIGURATION + 'store {\n url = "${env("DATABASE_URL")}"\n}\n'
        for written, value in {
            "DIRECTORY": directory,
            "CA": str(ca_file),
            "BACKEND": str(backend.port),
            "TLS": str(tls),
            "MORE": 'challenges = ["http-01"]',
        }.items():
            text = text.replace(written, value)
        env = {"DATABASE_URL": str(postgres.url), "VESTIBULE_SESSION_KEY": SESSION_KEY}
        return gateway(text, port=http, env=env)

    return start


def test_one_orders_and_both_serve(node, authorities, ports):
    pebble = authorities.pebble(env={"PEBBLE_AUTHZREUSE": "0"})
    elsewhere = ports.take()
    # The authority only ever comes to the first; who orders is whoever has the lease.
    first = node(pebble.directory, authorities.http_port, authorities.tls_port)
    second = node(pebble.directory, ports.take(), elsewhere)
    first.process.wait_until(
        lambda: bool(events(first, "certificate.issued") or events(second, "certificate.issued")),
        "a certificate",
    )
    assert pebble.log.count("Added order") == 1
    root = pebble.root_pem()
    serial = shown(authorities, root)
    second.process.wait_until(lambda: is_shown_at(elsewhere, root) == serial, "shows the same")
    renew(second)  # by whichever is asked
    both = (first, second)
    first.process.wait_until(lambda: any(events(one, "certificate.renewed") for one in both), "a new one")
    for port in (authorities.tls_port, elsewhere):
        first.process.wait_until(
            lambda port=port: is_shown_at(port, root) not in ("", serial), "shows the new one"
        )


@pytest.mark.timeout(240)
def test_another_goes_on_for_one_that_was_killed_and_answers_meanwhile(node, authorities, ports, postgres):
    env = {"PEBBLE_VA_NOSLEEP": "0", "PEBBLE_VA_SLEEPTIME": "8", "PEBBLE_AUTHZREUSE": "0"}
    pebble = authorities.pebble(env=env)
    orders = node(pebble.directory, ports.take(), ports.take())
    orders.process.wait_until(lambda: "POST /authZ/" in pebble.log, "begins to prove the name")
    orders.kill()
    # What a minute does to the leases of who was killed.
    assert postgres.execute("UPDATE leases SET expires_at = 0 RETURNING name")
    serves = node(pebble.directory, authorities.http_port, authorities.tls_port)
    wait_for(serves, "certificate.issued", within_s=150)
    assert pebble.log.count("Added order") == 1
    assert shown(authorities, pebble.root_pem())
