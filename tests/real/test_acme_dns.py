"""Wildcards by DNS-01: records put into BIND 9 by RFC 2136, or by a program of the operator's."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.real.bind import KEY_NAME, KEY_SECRET, Bind
from tests.real.test_acme import CONFIGURATION, end_leases, events, renew, shown, wait_for

RECORD = "_acme-challenge.example.com"


@pytest.fixture
def bind(servers, ports, tmp_path) -> Bind:
    found = Bind(tmp_path / "bind", ports)
    servers.callback(found.process.stop)
    servers.callback(lambda: print(f"--- named\n{found.process.shown}"))
    return found


@pytest.fixture
async def started(gateway, authorities, api, ca_file) -> Callable[..., Any]:
    backend = await api()

    def start(directory: str, dns: str) -> Any:
        text = CONFIGURATION
        for written, value in {
            "DIRECTORY": directory,
            "CA": str(ca_file),
            "BACKEND": str(backend.port),
            "TLS": str(authorities.tls_port),
            "MORE": f'wildcards = ["*.example.com"]\n dns {{\n {dns}\n }}',
        }.items():
            text = text.replace(written, value)
        return gateway(text, port=authorities.http_port)

    return start


def by_update(bind: Bind, secret: str = KEY_SECRET) -> str:
    return f'server = "{bind.address}"\n key_name = "{KEY_NAME}"\n key_secret = "{secret}"'


def test_a_wildcard_is_had_by_a_record_that_is_taken_out_again(started, authorities, bind):
    pebble = authorities.pebble(dns=bind.address)
    gateway = started(pebble.directory, by_update(bind))
    issued = wait_for(gateway, "certificate.issued")[0]
    assert (issued["host"], issued["detail_proof"]) == ("*.example.com", "dns-01")
    assert shown(authorities, pebble.root_pem(), name="app.example.com")
    assert bind.texts(RECORD) == []
    assert KEY_SECRET not in gateway.log


def test_a_server_that_knows_another_key_is_told_in_plain_words(started, authorities, bind):
    pebble = authorities.pebble(dns=bind.address)
    gateway = started(pebble.directory, by_update(bind, "d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmc="))
    failed = wait_for(gateway, "certificate.failed")[0]
    assert failed["detail_code"] == "dnsUpdate"
    assert bind.address in failed["detail_advice"]
    assert bind.texts(RECORD) == []


def test_what_is_left_of_an_order_that_was_killed_is_taken_out(started, authorities, bind):
    env = {"PEBBLE_VA_NOSLEEP": "0", "PEBBLE_VA_SLEEPTIME": "8", "PEBBLE_AUTHZREUSE": "0"}
    pebble = authorities.pebble(dns=bind.address, env=env)
    gateway = started(pebble.directory, by_update(bind))
    gateway.process.wait_until(lambda: bool(bind.texts(RECORD)), "a record")
    gateway.kill()
    assert bind.texts(RECORD)
    assert end_leases(gateway)
    gateway.start_again()
    wait_for(gateway, "certificate.issued", within_s=150)
    assert bind.texts(RECORD) == []


HOOK = """#!{python}
import sys
import dns.query, dns.tsig, dns.update
verb, name, value = sys.argv[1:]
with open("{folder}/calls", "a") as calls:
    print(verb, name, value, file=calls)
change = dns.update.UpdateMessage("example.com", keyring=dns.tsig.Key("{key}", "{secret}", "hmac-sha256"))
if verb == "present":
    change.add(name + ".", 60, "TXT", value)
else:
    change.delete(name + ".", "TXT", value)
answer = dns.query.tcp(change, "127.0.0.1", port={port}, timeout=30)
sys.exit(answer.rcode())
"""


def hook(bind: Bind, folder: Any, text: str = HOOK) -> str:
    path = folder / "hook"
    told = {
        "folder": str(folder),
        "python": sys.executable,
        "key": KEY_NAME,
        "secret": KEY_SECRET,
        "port": str(bind.port),
    }
    for name, value in told.items():
        text = text.replace(f"{{{name}}}", value)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return f'command = "{path}"\n check = ["{bind.address}"]'


def test_a_program_of_the_operators_sets_the_record(started, authorities, bind, tmp_path):
    pebble = authorities.pebble(dns=bind.address)
    gateway = started(pebble.directory, hook(bind, tmp_path))
    wait_for(gateway, "certificate.issued")
    calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    (present, name, value), (cleanup, *same) = calls
    assert (present, name, cleanup, same) == ("present", RECORD, "cleanup", [RECORD, value])
    assert bind.texts(RECORD) == []


def test_a_program_that_fails_is_told_with_what_it_said(started, authorities, bind, tmp_path):
    pebble = authorities.pebble(dns=bind.address)
    config = hook(bind, tmp_path, "#!/bin/sh\necho 'no token for the zone' >&2\nexit 3\n")
    gateway = started(pebble.directory, config)
    failed = wait_for(gateway, "certificate.failed")[0]
    assert failed["detail_code"] == "dnsHook"
    assert "no token for the zone" in failed["detail_said"]
    hook(bind, tmp_path)
    renew(gateway, "*.example.com")
    wait_for(gateway, "certificate.issued")
    # The program that failed was asked to take the record out, too; the one that works leaves nothing.
    assert len(events(gateway, "acme_record_left")) == 1
    assert bind.texts(RECORD) == []
