"""How fast an organisation's directory provisions its people: `python -m bench.scim`.

10,000 people one by one, as Entra ID and Okta send them, 1,000 groups of 1,000 with their members in one request each,
then what directories ask all day: a person by name, one switched off, a member added to and taken from a large group, a
page. Over HTTP against a gateway on SQLite; its memory before and after.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from bench.process import BenchError, Cores, Process, answers, free_ports
from bench.program import run
from vestibule.admin_link import TIMEOUT_S, Link
from vestibule.protocol.scim_patch import PATCH
from vestibule.protocol.scim_schema import ENTERPRISE, GROUP, USER

AT_ONCE = 8
HOST = "auth.example.com"
CONFIGURATION = """
gateway {{
  http = ["127.0.0.1:{port}"]
}}

host "{host}" {{
  backend = "internal:account"
  access {{
    allow = ["public"]
  }}
}}
"""


class Told(msgspec.Struct):
    """What is read of an answer: a thousand groups with all their members would fill the memory."""

    id: str = ""


Ask = Callable[[str, str, Any], Awaitable[Told]]


def main(argv: list[str]) -> int:
    """Provision, and print how long it took; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.scim", description=__doc__)
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--groups", type=int, default=1_000)
    parser.add_argument("--members", type=int, default=1_000, help="of each group")
    arguments = parser.parse_args(argv)
    return run("scim", lambda directory: _measure(directory, arguments))


def _measure(directory: Path, arguments: argparse.Namespace) -> None:
    [port] = free_ports(1)
    file = directory / "vestibule.hcl"
    file.write_text(CONFIGURATION.format(port=port, host=HOST), "utf-8")
    argv: list[str | Path] = [sys.executable, "-m", "vestibule", "serve", file]
    process = Process(argv, core=Cores().subject, log=directory / "log", cwd=directory)
    try:
        process.wait_until(lambda: answers(port, "/@/readyz") == 200)
        before = process.pss_bytes()
        asyncio.run(provision(port, _token(directory), **vars(arguments)))
        print(f"processor: {process.cpu_s():.1f} s")
        print(f"memory: {before >> 20} MiB before, {process.pss_bytes() >> 20} MiB after")
    finally:
        process.stop()


def _token(directory: Path) -> str:
    link = Link(f"unix:{directory / 'state' / 'admin.sock'}", timeout_s=TIMEOUT_S)
    link.call("POST", "/orgs", {"slug": "acme", "name": "Acme"})
    made = msgspec.json.decode(link.call("POST", "/orgs/acme/directory/tokens", {}))
    link.close()
    return str(made["token"])


async def provision(port: int, token: str, *, people: int, groups: int, members: int) -> None:
    """Do all of it at the gateway on this port, and print how long each took. Raises BenchError."""
    headers = {"Authorization": f"Bearer {token}", "Host": f"{HOST}:{port}"}
    headers["Content-Type"] = "application/scim+json"
    async with aiohttp.ClientSession(headers=headers, json_serialize=_text) as session:

        async def ask(method: str, path: str, body: Any = None) -> Told:
            url = f"http://127.0.0.1:{port}/scim/v2{path}"
            async with session.request(method, url, json=body) as answer:
                data = await answer.read()
                if answer.status >= 400:
                    raise BenchError(f"{method} {path}: {answer.status} {data[:200]!r}")
                return msgspec.json.decode(data, type=Told) if data else Told()

        made = await _timed("people", ask, (("POST", "/Users", _person(n)) for n in range(people)))
        ids = [one.id for one in made]
        width = min(members, len(ids))
        several = (
            ("POST", "/Groups", _group(n, [ids[(n * 7 + m) % len(ids)] for m in range(width)]))
            for n in range(groups)
        )
        large = [one.id for one in await _timed(f"groups of {width}", ask, several)]
        await _use(ask, ids, large)


async def _use(ask: Ask, ids: list[str], groups: list[str]) -> None:
    """What directories ask all day."""
    some = range(min(200, len(ids)))
    by_name = (("GET", f"/Users?filter=userName%20eq%20%22person{n}%40acme.example%22", None) for n in some)
    await _timed("a person by name", ask, by_name)
    off = {"op": "Replace", "path": "active", "value": "False"}
    await _timed("switched off", ask, (("PATCH", f"/Users/{ids[n]}", _patch(off)) for n in some))
    place = f"/Groups/{groups[0]}"
    for what, op in (("a member added", "Add"), ("a member taken away", "Remove")):
        changes = ({"op": op, "path": "members", "value": [{"value": ids[-1 - n]}]} for n in some)
        await _timed(what, ask, (("PATCH", place, _patch(one)) for one in changes), at_once=1)
    await _timed(
        "a page of 100", ask, (("GET", f"/Users?count=100&startIndex={n * 7 + 1}", None) for n in some)
    )
    looked = (("GET", "/Users?filter=title%20co%20%22x%22&count=1", None) for _ in range(5))
    await _timed("a filter that looks at all", ask, looked, at_once=1)


async def _timed(
    what: str, ask: Ask, several: Iterable[tuple[str, str, Any]], *, at_once: int = AT_ONCE
) -> list[Told]:
    """The answers, `at_once` at a time; prints how many there were in a second."""
    waiting = iter(several)
    found: list[Told] = []

    async def work() -> None:
        for method, path, body in waiting:
            found.append(await ask(method, path, body))

    began = time.monotonic()
    await asyncio.gather(*(work() for _ in range(at_once)))
    took_s = time.monotonic() - began
    print(f"{what:28} {len(found):6} in {took_s:7.1f} s: {len(found) / took_s:8.1f} a second", flush=True)
    return found


def _person(number: int) -> dict[str, Any]:
    name = f"person{number}@acme.example"
    return {
        "schemas": [USER, ENTERPRISE],
        "externalId": f"00u{number}",
        "userName": name,
        "name": {"givenName": "Person", "familyName": str(number)},
        "emails": [{"value": name, "type": "work", "primary": True}],
        "active": True,
        ENTERPRISE: {"department": f"d{number % 50}", "employeeNumber": str(number)},
    }


def _group(number: int, members: list[str]) -> dict[str, Any]:
    several = [{"value": one} for one in members]
    return {"schemas": [GROUP], "displayName": f"group{number}", "members": several}


def _patch(change: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": [PATCH], "Operations": [change]}


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
