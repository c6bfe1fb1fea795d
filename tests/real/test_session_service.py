"""The session service of a running gateway: by its socket and its port, from several writers, and on the gateway."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.house.source import ROOT
from tests.real.house import CONFIGURATION, House, build
from tests.real.node_home import node_binary
from vestibule.admin_client import AdminClient
from vestibule.client import Device, SessionClient
from vestibule.errors import ClientError, Invalid, VestibuleError

pytestmark = pytest.mark.real

HOST = "app.example.com"
ALL = ("sessions:read", "sessions:write", "sessions:introspect")


class Shop:
    """A house with a person who has signed in, and a service beside it."""

    def __init__(self, house: House, port: int) -> None:
        self.house = house
        self.url = f"http://127.0.0.1:{port}"
        self.socket = f"unix:{house.gateway.directory / 'state' / 'admin.sock'}"
        self.admin = AdminClient(self.socket)
        self.user_id = ""
        self.opened: list[SessionClient] = []

    def token(self, *scopes: str) -> str:
        return self.admin.create_token("shop", scopes=scopes).token or ""

    def client(self, *scopes: str) -> SessionClient:
        """By the port, with a token that may do this."""
        self.opened.append(SessionClient(self.url, self.token(*scopes)))
        return self.opened[-1]

    async def status(self, bearer: str, path: str = "/") -> int:
        """What the gateway answers to whoever shows this as cookie."""
        cookie = f"vestibule-{self.house.gateway.port}={bearer}"
        async with self.house.browser() as visitor:
            return (await visitor.get(path, Cookie=cookie)).status


@pytest.fixture
def workers() -> int:
    return 1


@pytest.fixture
async def shop(ports, api, openid, gateway, workers) -> Any:
    port = ports.take()
    more = 'session_bearer = true\n  header "X-Cart" {\n    value = "{session.cart}"\n  }'
    taking = CONFIGURATION.replace('sign_in = ["op"]', f'sign_in = ["op"]\n  {more}', 1)
    taking = taking.replace("gateway {", f"gateway {{\n  workers = {workers}", 1)
    configuration = f'{taking}\nadmin {{\n  listen = "127.0.0.1:{port}"\n}}\n'
    shop = Shop(
        await build(ports=ports, api=api, openid=openid, gateway=gateway, configuration=configuration), port
    )
    async with shop.house.browser() as alice:
        await alice.sign_in("alice")
        shop.user_id = (await alice.who() or {})["user"]["id"]
    yield shop
    for client in shop.opened:
        client.close()


@pytest.fixture(params=["socket", "port"])
def sessions(request, shop: Shop) -> Iterator[SessionClient]:
    """The service by both of its ways."""
    if request.param == "port":
        yield shop.client(*ALL)
        return
    with SessionClient(shop.socket) as client:
        yield client


async def test_what_a_service_makes_lets_in_and_what_it_ends_is_out_at_once(shop, sessions):
    made = sessions.create(shop.user_id, HOST, attributes={"cart": 7}, device=Device(user_agent="Shop/2"))
    bearer = made.bearer.reveal()
    assert await shop.status(bearer) == 200
    seen = shop.house.app.seen[-1]
    assert (seen.one("User-Id"), seen.one("User-Email")) == (shop.user_id, "alice@example.com")
    assert bearer not in str(seen)
    whose = sessions.introspect(made.bearer, touch=True)
    assert whose is not None
    assert (whose.id, whose.user_id, whose.attributes) == (made.id, shop.user_id, {"cart": 7})
    sessions.end(made.id)
    assert await shop.status(bearer) == 302
    assert sessions.introspect(made.bearer) is None
    assert bearer not in shop.house.gateway.log


@pytest.mark.parametrize("workers", [2])
async def test_what_ends_has_ended_in_every_worker_when_that_is_answered(shop, sessions):
    for _ in range(5):
        made = sessions.create(shop.user_id, HOST)
        bearer = made.bearer.reveal()
        assert [await shop.status(bearer) for _ in range(6)] == [200] * 6
        await asyncio.to_thread(sessions.end, made.id)
        assert [await shop.status(bearer) for _ in range(6)] == [302] * 6


@pytest.mark.parametrize("form", ["handle", "jwt"])
async def test_a_phone_shows_it_with_each_request_until_it_is_ended(shop, form):
    sessions = shop.client(*ALL)
    made = sessions.create(shop.user_id, HOST, form=form)
    headers = {"Authorization": f"Bearer {made.bearer.reveal()}"}
    async with shop.house.browser() as phone:
        assert (await phone.get("/", **headers)).status == 200
        seen = shop.house.app.seen[-1]
        assert (seen.one("User-Id"), seen.all("Authorization")) == (shop.user_id, [])
        whose = sessions.introspect(made.bearer)
        assert whose is not None
        assert whose.id == made.id
        sessions.end(made.id)
        assert (await phone.get("/", **headers)).status == 401
    assert sessions.introspect(made.bearer) is None


async def test_who_is_signed_out_everywhere_is_out_in_each_browser(shop, sessions):
    bearers = [sessions.create(shop.user_id, HOST).bearer.reveal() for _ in range(3)]
    async with shop.house.browser() as alice, shop.house.browser() as bob:
        await alice.sign_in("alice")
        await bob.sign_in("bob")
        assert sessions.end_all(shop.user_id) == 5, "these three, this browser, and that of before"
        assert await alice.who() is None
        assert await bob.who() is not None
    assert [await shop.status(bearer) for bearer in bearers] == [302] * 3
    assert list(sessions.list(shop.user_id)) == []


async def test_a_browser_s_session_is_listed_and_its_attributes_are_kept(shop, sessions):
    async with shop.house.browser() as alice:
        await alice.sign_in("alice")
        newest = next(sessions.list(shop.user_id, host=HOST))
        assert (newest.made_by, newest.providers) == ("", ("op",))
        changed = sessions.update(newest.id, {"theme": {"dark": True}}, version=newest.version)
        assert sessions.get(newest.id) == changed
        assert await alice.email() == "alice@example.com"
        sessions.end(newest.id)
        assert await alice.who() is None


def test_a_list_of_250_has_each_once(shop):
    sessions = shop.client(*ALL)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: sessions.create(shop.user_id, HOST).id, range(250)))
    listed = [one.id for one in sessions.list(shop.user_id) if one.made_by]
    assert sorted(listed) == sorted(made)


def test_no_change_is_lost_by_writers_who_look_at_the_version(shop, sessions):
    made = sessions.create(shop.user_id, HOST, attributes={"count": 0})

    def code_of_one_more() -> str:
        session = sessions.get(made.id)
        try:
            sessions.update(made.id, {"count": session.attributes["count"] + 1}, version=session.version)
        except ClientError as error:
            return f"{error.status} {error.code}"
        return ""

    def count(_: int) -> list[str]:
        told: list[str] = []
        while told.count("") < 10:
            told.append(code_of_one_more())
        return told

    with ThreadPoolExecutor(4) as pool:
        told = [code for codes in pool.map(count, range(4)) for code in codes]
    assert set(told) == {"", "412 changed"}, "they were in each other's way"
    assert sessions.get(made.id).attributes == {"count": 40}


async def test_the_app_is_told_of_a_value_that_a_header_asks_for_as_it_is_now(shop, sessions):
    bearer = (made := sessions.create(shop.user_id, HOST, attributes={"cart": 7})).bearer.reveal()
    told = []
    for attributes in ({"cart": 8}, {"cart": "a b"}, {"cart": None}, {}):
        assert await shop.status(bearer) == 200
        told.append(shop.house.app.seen[-1].all("X-Cart"))
        sessions.update(made.id, attributes)
    assert told == [["7"], ["8"], ["a%20b"], []]


async def test_a_session_outlives_a_restart_and_an_ended_one_stays_ended(shop):
    sessions = shop.client(*ALL)
    kept, ended = (sessions.create(shop.user_id, HOST, attributes={"n": n}) for n in range(2))
    sessions.end(ended.id)
    shop.house.gateway.kill()
    shop.house.gateway.start_again()
    whose = sessions.introspect(kept.bearer)
    assert whose is not None
    assert whose.attributes == {"n": 0}
    assert sessions.introspect(ended.bearer) is None
    assert [await shop.status(one.bearer.reveal()) for one in (kept, ended)] == [200, 302]


def test_a_token_does_what_its_scopes_name_and_nothing_else(shop):
    reader, asker = shop.client("sessions:read"), shop.client("sessions:introspect")
    made = SessionClient(shop.socket).create(shop.user_id, HOST)
    assert reader.get(made.id).id == made.id
    assert asker.introspect(made.bearer) is not None
    tries = [
        lambda: reader.end(made.id),
        lambda: reader.end_all(shop.user_id),
        lambda: reader.update(made.id, {"a": 1}),
        lambda: reader.create(shop.user_id, HOST),
        lambda: reader.introspect(made.bearer),
        lambda: asker.get(made.id),
        lambda: next(asker.list(shop.user_id)),
    ]
    for one in tries:
        with pytest.raises(ClientError) as caught:
            one()
        assert (caught.value.status, caught.value.code) == (403, "scope_missing")
    assert asker.introspect(made.bearer) is not None


def test_what_the_service_refuses_has_a_code(shop, sessions):
    tries = [
        (lambda: sessions.get("none"), "not_found"),
        (lambda: sessions.end("none"), "not_found"),
        (lambda: sessions.create("nobody", HOST), "not_found"),
        (lambda: sessions.create(shop.user_id, "nowhere.example"), "invalid"),
        (lambda: sessions.create(shop.user_id, HOST, attributes={"a": "x" * 5000}), "invalid"),
        (lambda: SessionClient(shop.url, "vst_admin_x").get("none"), "admin_token_invalid"),
        (lambda: SessionClient(shop.url).get("none"), "admin_token_required"),
        (lambda: SessionClient("http://127.0.0.1:1").get("none"), "unreachable"),
        (lambda: SessionClient("unix:/nowhere/admin.sock").get("none"), "unreachable"),
    ]
    for one, code in tries:
        with pytest.raises(VestibuleError) as caught:
            one()
        assert caught.value.code == code
        assert isinstance(caught.value, Invalid) is (code == "invalid")


def test_many_threads_get_each_its_own_answer(shop):
    sessions = shop.client(*ALL)
    made = [sessions.create(shop.user_id, HOST, attributes={"n": n}) for n in range(20)]

    def ask(number: int) -> bool:
        one = made[number % 20]
        whose = sessions.introspect(one.bearer)
        return whose is not None and (whose.id, whose.attributes["n"]) == (one.id, number % 20)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(400)))


async def test_connections_that_the_gateway_closed_are_not_missed(shop, sessions):
    made = sessions.create(shop.user_id, HOST)
    assert sessions.introspect(made.bearer) is not None
    shop.house.gateway.stop()
    with pytest.raises(VestibuleError) as caught:
        await asyncio.to_thread(sessions.introspect, made.bearer)
    assert caught.value.code == "unreachable"
    shop.house.gateway.start_again()
    assert sessions.introspect(made.bearer) is not None


def test_what_commands_end_is_ended(shop):
    with SessionClient(shop.socket) as sessions:
        made = sessions.create(shop.user_id, HOST)
        command = ["-m", "vestibule", "sessions", "revoke-all", "--user", "alice@example.com", "--yes"]
        done = subprocess.run(
            [sys.executable, *command],
            cwd=shop.house.gateway.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "sessions have ended" in done.stdout
        assert sessions.introspect(made.bearer) is None


# -- two gateways on one PostgreSQL ------------------------------------------------------------

KEY = {"VESTIBULE_SESSION_KEY": "kS8q1ZrX0bT4yWm7uJ2cVf6hNd3gLp9aEoIxRtQsYvU="}


async def test_what_ends_at_one_gateway_has_ended_at_the_other_when_that_is_answered(
    ports, api, openid, gateway, postgres
):
    environ = {**KEY, "DATABASE_URL": postgres.url}
    configuration = CONFIGURATION + 'store {\n  url = "${env("DATABASE_URL")}"\n}\n'
    with_key = functools.partial(gateway, env=environ)
    one = await build(ports=ports, api=api, openid=openid, gateway=with_key, configuration=configuration)
    text = configuration.replace("ISSUER", one.provider.issuer).replace("BACKEND", str(one.app.port))
    text = text.replace("CALL", str(ports.take())).replace("API", str(one.api.port))
    other = dataclasses.replace(one, gateway=gateway(text, env=environ))
    here, there = Shop(one, 1), Shop(other, 1)
    async with one.browser() as alice:
        await alice.sign_in("alice")
        user_id = (await alice.who() or {})["user"]["id"]
    with SessionClient(here.socket) as at_one, SessionClient(there.socket) as at_other:
        for _ in range(10):
            made = at_one.create(user_id, HOST)
            bearer = made.bearer.reveal()
            assert [await shop.status(bearer) for shop in (here, there)] == [200, 200]
            assert at_other.introspect(made.bearer) is not None
            await asyncio.to_thread(at_one.end, made.id)
            assert await there.status(bearer) == 302
            assert at_other.introspect(made.bearer) is None
            assert at_one.introspect(made.bearer) is None


# -- the examples -----------------------------------------------------------------------------

EXAMPLES = ROOT / "examples" / "sessions"


def go() -> list[str]:
    found = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin")
    if found is None:
        pytest.skip("there is no Go here")
    return [found, "run", str(EXAMPLES / "main.go")]


def javascript() -> list[str]:
    return [str(node_binary()), str(EXAMPLES / "sessions.mjs")]


def python() -> list[str]:
    return [sys.executable, str(EXAMPLES / "sessions.py")]


@pytest.mark.parametrize("example", [go, javascript, python], ids=lambda example: example.__name__)
def test_an_example_does_what_it_says(shop: Shop, example: Callable[[], list[str]], tmp_path: Path):
    others = [SessionClient(shop.socket).create(shop.user_id, HOST) for _ in range(3)]
    done = subprocess.run(
        [*example(), shop.user_id, HOST],
        cwd=tmp_path,
        env={
            **os.environ,
            "VESTIBULE_URL": shop.url,
            "VESTIBULE_TOKEN": shop.token(*ALL),
            "GOFLAGS": "-mod=mod",
            "GO111MODULE": "off",
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "active true cart 1",
        "cart 2",
        "listed true",
        "active false",
        "refused 404 not_found",
    ]
    left = {one.id for one in SessionClient(shop.socket).list(shop.user_id)}
    assert {one.id for one in others} <= left
