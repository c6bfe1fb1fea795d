"""Where secrets must not be: each is a canary, looked for in all that anybody but its owner can read."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.real.siege import Siege, besieged, handle_cookie, sign_in

pytestmark = pytest.mark.real

TOKENS = {"access_token": "canary-access", "refresh_token": "canary-refresh"}
SECRETS = ("canary-client-secret", "canary-evil-secret", "canary-inline-secret", *TOKENS.values())


@pytest.fixture
async def siege(ports, api, gateway) -> AsyncIterator[Siege]:
    async with besieged(ports, api, gateway) as siege:
        yield siege


def stored(siege: Siege) -> bytes:
    """All of the store's files, as they lie on the disk."""
    return b"".join(path.read_bytes() for path in (siege.gateway.directory / "state").glob("vestibule.db*"))


def process_bytes(siege: Siege) -> bytes:
    """What any user of the machine can read of the process."""
    return Path(f"/proc/{siege.gateway.process.pid}/cmdline").read_bytes()


async def plain(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="fine")


async def test_h9_no_secret_is_where_others_can_read_it(siege: Siege) -> None:
    siege.provider.tokens = TOKENS
    siege.app.answer = siege.api.answer = plain  # neither repeats what it was sent
    pages = []
    async with siege.browser() as browser:
        page = await browser.get("/@op/signin?rd=/open/")
        asked = page.location
        callback = (await browser.get(asked)).location
        flow = str([morsel.value for morsel in browser.session.cookie_jar])
        pages += [await browser.get(callback), await browser.get(callback), await browser.get("/open/")]
        _, handle = handle_cookie(siege, browser)
        caller = (await browser.seen_by_app("/")).one("proxy-session")
        pages += [
            await browser.get(target) for target in ("/corp/x", "/@/session", "/@/signin", "/@nobody/signin")
        ]
        async with siege.call(caller) as answer:
            pages.append(await answer.text())
        async with siege.call(caller, "/none") as answer:
            pages.append(await answer.text())
        # Everything that can go wrong with the credentials, said aloud:
        siege.provider.tokens = TOKENS | {"access_token": "canary-\u00e9", "id_token": "canary-id"}
        pages.append(await sign_in(browser))
        siege.provider.behave()
        siege.provider.tokens = TOKENS | {"expires_in": 1, "id_token": "canary-id.x.y"}
        pages.append(await sign_in(browser))
        # At sign-out the ID token goes to the provider that made it, as its specification wants, and nowhere else.
        pages.append(await browser.get("/@/signout", **{"Sec-Fetch-Site": "cross-site"}))
        pages.append(await browser.post("/@/signout"))
    forms = "\n".join(body for _, path, body in siege.provider.seen if path == "/token")
    verifier = dict(part.split("=") for part in forms.splitlines()[0].split("&"))["code_verifier"]
    told = {
        "log": siege.gateway.log,
        "pages": str(pages),
        "backend": str(siege.app.seen),
        "store": stored(siege).decode("latin-1"),
        "process": process_bytes(siege).decode("latin-1"),
        "flow cookie": flow,
    }
    secrets = {
        **{secret: set() for secret in SECRETS},
        "canary-id": set(),
        "canary-\u00e9": set(),
        handle: {"pages"},  # in its own Set-Cookie
        caller: {"backend"},
        verifier: set(),
        asked.query["nonce"]: set(),
        callback.query["state"]: {"pages"},  # in the callback's own address
        "rogue-code": {"pages"},
    }
    found = {(secret, where) for secret in secrets for where, text in told.items() if secret in text}
    assert {(secret, where) for secret, where in found if where not in secrets[secret]} == set()
    assert siege.api.seen[0].one("authorization") == "Bearer canary-access"


async def test_state_is_its_owners_alone(siege: Siege) -> None:
    state = siege.gateway.directory / "state"
    assert state.stat().st_mode & 0o077 == 0
    assert [path.name for path in state.iterdir() if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
async def test_a_key_file_that_others_can_read_stops_the_start(siege: Siege, mode: int) -> None:
    siege.gateway.stop()
    (siege.gateway.directory / "state" / "vestibule.key").chmod(mode)
    siege.gateway.process = siege.gateway._start()
    assert siege.gateway.process.wait() == 1
    assert "chmod 600" in siege.gateway.log


async def test_a_row_of_the_store_is_worth_nothing_elsewhere(siege: Siege) -> None:
    """Swapped grants, a grant under another client's name, a handle's hash as handle, another gateway's key."""
    async with siege.browser() as alice, siege.browser() as bob:
        siege.provider.tokens = {"access_token": "of-alice"}
        await sign_in(alice)
        siege.provider.behave()
        siege.provider.tokens = {"access_token": "of-bob"}
        siege.provider.claims = {"sub": "bob"}
        siege.provider.userinfo = {"sub": "bob"}
        await sign_in(bob)
        handles = [(await browser.seen_by_app("/")).one("proxy-session") for browser in (alice, bob)]
        siege.gateway.stop()
        with _database(siege) as database:
            rows = database.execute("SELECT owner, sealed, version FROM grants").fetchall()
            assert len(rows) == 2
            (one, sealed_one, version_one), (other, sealed_other, version_other) = rows
            change = "UPDATE grants SET sealed = ?, version = ? WHERE owner = ?"
            database.execute(change, (sealed_one, version_one, other))
            database.execute(change, (sealed_other, version_other, one))
            [hashed] = database.execute("SELECT handle FROM sessions").fetchone()
            assert handle_cookie(siege, alice)[1].encode() not in hashed
        siege.gateway.start_again()
        for handle in handles:
            async with siege.call(handle) as answer:
                assert answer.status == 401
        assert siege.api.seen == []


async def test_a_store_without_its_key_gives_nothing_away(siege: Siege) -> None:
    async with siege.browser() as browser:
        await sign_in(browser)
        caller = (await browser.seen_by_app("/")).one("proxy-session")
        siege.gateway.stop()
        key = siege.gateway.directory / "state" / "vestibule.key"
        shutil.move(key, key.with_suffix(".gone"))
        siege.gateway.start_again()
        async with siege.call(caller) as answer:
            assert answer.status == 401
        assert await browser.who() is None
        assert siege.api.seen == []


@contextlib.contextmanager
def _database(siege: Siege):
    connection = sqlite3.connect(siege.gateway.directory / "state" / "vestibule.db")
    with contextlib.closing(connection), connection:
        yield connection
