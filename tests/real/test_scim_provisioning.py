"""What `python -m bench.scim` does, in short: a directory provisions people and groups, looks at them and changes them."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from bench.scim import CONFIGURATION, HOST, provision
from vestibule.admin_link import TIMEOUT_S, Link

pytestmark = pytest.mark.real

STEPS = {
    "people": 20,
    "groups of 15": 2,
    "a person by name": 20,
    "switched off": 20,
    "a member added": 20,
    "a member taken away": 20,
    "a page of 100": 20,
    "a filter that looks at all": 5,
}


async def test_a_directory_provisions_people_and_groups(gateway, ports, capsys) -> None:
    """In full (10,000 people, 1,000 groups of 1,000) by hand."""
    port = ports.take()
    started = gateway(CONFIGURATION.format(port=port, host=HOST), port=port)
    admin = Link(f"unix:{started.directory / 'state' / 'admin.sock'}", timeout_s=TIMEOUT_S)

    def asked(method: str, path: str, body: object = None) -> dict[str, object]:
        return dict(msgspec.json.decode(admin.call(method, path, body)))

    await asyncio.to_thread(asked, "POST", "/orgs", {"slug": "acme", "name": "Acme"})
    token = (await asyncio.to_thread(asked, "POST", "/orgs/acme/directory/tokens", {}))["token"]
    await provision(port, str(token), people=20, groups=2, members=15)
    told = [line.rpartition(" in ")[0] for line in capsys.readouterr().out.splitlines() if "a second" in line]
    assert {line[:28].strip(): int(line[28:]) for line in told} == STEPS
    assert str(token) not in started.log
    admin.close()
