"""`vestibule explain` against the running product: what it says is what happens, and what the log says is the same."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.real.club import NAVIGATION, Club, Person
from tests.real.openid import client

pytestmark = pytest.mark.real

HCL = """
gateway {
  http            = ["127.0.0.1:{port}"]
  trusted_proxies = ["127.0.0.1"]
}
provider "op" {
  type          = "oidc"
  issuer        = "OFFICE"
  client_id     = "app"
  client_secret = "app-secret"
  scopes        = ["openid", "profile", "email", "groups"]
}
host "app.localhost" {
  backend = "internal:echo"
  sign_in = ["op"]
  access {
    allow = ["anyone"]
  }
  route "/staff/" {
    access {
      allow = ["group:admins", "email:root@example.com"]
    }
  }
  route "/not/" {
    access {
      deny = ["email:alice@example.com"]
    }
  }
  route "/home/" {
    access {
      allow = ["public", "network:10.0.0.0/8"]
    }
  }
  route "/both/" {
    access {
      all = ["group:admins", "network:10.0.0.0/8"]
    }
  }
  route "/read/" {
    methods = ["GET", "HEAD"]
    access {
      allow = ["public"]
    }
  }
}
"""
HOME, AWAY = "10.0.0.7", "203.0.113.9"


@pytest.fixture
async def house(openid, gateway, ports) -> AsyncIterator[Club]:
    port = ports.take()
    office = openid(client("app", f"http://app.localhost:{port}/@op/callback"))
    text = HCL.replace("OFFICE", office.issuer).replace("{port}", str(port))
    opened = Club(gateway(text, port=port), office, office)
    yield opened
    for visitor in opened.visitors:
        await visitor.close()


async def explained(house: Club, path: str, **asked: str) -> Any:
    query = urlencode({"url": f"{house.base}{path}", **asked})
    status, found = await house.admin("GET", f"/explain?{query}")
    assert status == 200, found
    return found


PATHS = (
    "/",
    "/staff/x",
    "/not/x",
    "/home/x",
    "/both/x",
    "/read/x",
    "/staffx",
    "/home/../staff/",
    "/%73taff/",
)
METHODS = ("GET", "POST", "OPTIONS", "PROPFIND")


async def test_what_is_explained_is_what_happens(house: Club) -> None:
    """Every path, by every method, from two networks, for somebody signed in and for nobody."""
    alice, nobody = house.person(), house.person()
    user = await alice.sign_in()
    wrong: list[object] = []
    for path in PATHS:
        for method in METHODS:
            for address in (HOME, AWAY):
                for person, who in ((alice, user), (nobody, "")):
                    asked = {"method": method, "address": address, **({"as": who} if who else {})}
                    told = await explained(house, path, **asked)
                    got = await person.ask(method, path, {**NAVIGATION, "X-Forwarded-For": address})
                    if not agrees(told, method, got.status):
                        wrong.append((path, asked, told["answer"], told["reason"], got.status))
    assert wrong == []


def agrees(told: Any, method: str, status: int) -> bool:
    if told["answer"] == "sign_in":
        return status == (302 if method == "GET" else 401)
    return status == (200 if told["status"] is None else told["status"])


SPOOFED = {
    "10.0.0.7": 200,
    "::ffff:10.0.0.7": 200,
    "10.0.0.7:4711": 200,
    "203.0.113.9, 10.0.0.7": 200,
    "10.0.0.7, 203.0.113.9": 403,
    "203.0.113.9": 403,
    "10.0.0.7, unknown": 403,
    "10.7": 403,
    "0x0a.0.0.7": 403,
    "010.0.0.7": 403,
    "10.0.0.7%eth0": 403,
    "": 403,
}
OTHERS = ("X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Forwarded")


async def test_h5_nobody_gets_into_a_network_by_what_they_write(house: Club) -> None:
    """The last one that isn't trusted is the client: what stands before it, or elsewhere, anybody may have written."""
    person = house.person()
    found = {told: (await person.get("/home/", **{"X-Forwarded-For": told})).status for told in SPOOFED}
    assert found == SPOOFED
    assert [(await person.get("/home/", **{name: HOME})).status for name in OTHERS] == [403] * len(OTHERS)


async def test_a_denial_is_logged_as_it_is_explained(house: Club) -> None:
    alice = house.person()
    user = await alice.sign_in()
    answer = await alice.get("/both/x", **{"X-Forwarded-For": AWAY})
    assert answer.status == 403
    told = await explained(house, "/both/x", **{"as": user, "address": AWAY})
    (line,) = [
        one for one in map(json.loads, house.gateway.log.splitlines()) if one.get("code") == told["answer"]
    ]
    verdicts = {f"{one['list']} {one['rule']}: {one['verdict']} ({one['saw']})" for one in told["conditions"]}
    assert set(line["conditions"]) == verdicts
    assert (line["place"], line["address"]) == (told["route_place"], AWAY)
    # Whoever is denied is told none of it, and how to come back as somebody else.
    page = await alice.get("/not/x")
    assert page.status == 403
    assert "prompt=select_account" in page.text
    assert "root@" not in page.text
    assert "group:admins" not in page.text


async def test_who_is_denied_and_takes_another_account_is_led_to_the_provider_and_not_around(
    house: Club,
) -> None:
    alice = house.person()
    await alice.sign_in()
    assert (await alice.get("/not/x")).status == 403
    switched = await alice.get("/@/signin?prompt=select_account&rd=/not/x")
    assert switched.status == 303
    assert switched.location.startswith(house.office.issuer)
    # Without asking for another account, there is nothing to sign in for: back, and denied once more, not round and round.
    back = await alice.get("/@/signin?rd=/not/x")
    assert (back.status, back.location) == (303, "/not/x")
    assert (await alice.get(back.location)).status == 403


async def run(house: Club, *argv: str) -> tuple[int, str]:
    """The command, beside the running gateway."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vestibule", "explain", *argv),
        cwd=house.gateway.directory,
        env={**os.environ, "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_the_command_asks_the_gateway_it_stands_beside(house: Club) -> None:
    alice: Person = house.person()
    await alice.sign_in()
    url = f"{house.base}/both/x"
    code, said = await run(house, url, "--as", "alice@example.com", "--address", HOME)
    assert (code, "answer    let in" in said) == (0, True), said
    code, said = await run(house, url, "--as", "alice", "--address", AWAY, "--method", "post")
    assert code == 1
    assert "asked         POST by alice@example.com" in said
    assert "to be let in  come from 10.0.0.0/8" in said
    assert "> all      network:10.0.0.0/8: does not hold; saw 203.0.113.9" in said
    code, said = await run(house, url, "--as", "eve@example.com")
    assert (code, said.count("\n")) == (1, 1)
