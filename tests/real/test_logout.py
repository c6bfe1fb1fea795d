"""Sessions that end because the provider's did: the real oidc-provider, and one that means harm."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from tests.ports import Ports
from tests.real.gateway import Gateway
from tests.real.lies import by_another_key, by_public_key_as_secret, unsigned
from tests.real.openid import OpenId, client
from tests.real.postgres import Database
from tests.real.rogue import Later, Rogue
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

HCL = """
gateway {
  http = ["127.0.0.1:{port}"]
}
provider "op" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "app-secret"
  scopes        = ["openid", "email", "profile"]
}
host "app.example.com" {
  backend = "127.0.0.1:BACKEND"
  sign_in = ["op"]
  access { allow = ["anyone"] }
}
host "localhost" {
  backend = "127.0.0.1:BACKEND"
  sign_in = ["op"]
  access { allow = ["anyone"] }
}
"""
STORE = 'store {\n  url = "${env("DATABASE_URL")}"\n}\n'
KEY = {"VESTIBULE_SESSION_KEY": "kS8q1ZrX0bT4yWm7uJ2cVf6hNd3gLp9aEoIxRtQsYvU="}
EVENT = "http://schemas.openid.net/event/backchannel-logout"
CUT_WITHIN_S = 30.0
"""Five seconds are promised of open connections; some more for a busy machine."""


class Somebody:
    """A browser profile at a gateway."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self.session = session
        self.port = port

    def url(self, path: str, host: str = "app.example.com") -> URL:
        return URL(f"http://{host}:{self.port}{path}", encoded=True)

    async def sign_in(self, who: str = "alice", host: str = "app.example.com") -> None:
        target = self.url(f"/@/signin?login_hint={who}", host)
        async with self.session.get(target, headers={"Accept": "text/html"}) as answer:
            assert answer.status == 200, await answer.text()

    async def is_in(self, host: str = "app.example.com", port: int = 0) -> bool:
        """By what the app behind says to somebody without a browser's patience: no redirect is followed."""
        target = self.url("/", host).with_port(port or self.port)
        cookies = {}
        if port and port != self.port:  # cookies are named after their port
            known = self.session.cookie_jar.filter_cookies(self.url("/", host))
            cookies = {f"vestibule-{port}": known[f"vestibule-{self.port}"].value}
        async with self.session.get(target, allow_redirects=False, cookies=cookies) as answer:
            assert answer.status in {200, 401, 302}, answer.status
            return answer.status == 200

    @contextlib.asynccontextmanager
    async def socket(self, host: str = "app.example.com") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        origin = str(self.url("", host).origin())
        async with self.session.ws_connect(self.url("/ws", host), origin=origin) as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
            yield socket


async def echo(request: web.Request) -> web.StreamResponse:
    if request.path != "/ws":
        return web.Response(text="app")
    answer = web.WebSocketResponse()
    await answer.prepare(request)
    async for message in answer:
        await answer.send_str(message.data)
    return answer


class Hall(NamedTuple):
    """A gateway before an app, with a provider."""

    gateway: Gateway
    provider: OpenId
    somebody: Callable[[], Somebody]
    backend_port: int


@pytest.fixture
async def somebodies() -> AsyncIterator[Callable[[int], Somebody]]:
    async with contextlib.AsyncExitStack() as stack:
        sessions: list[aiohttp.ClientSession] = []

        def somebody(port: int) -> Somebody:
            sessions.append(new_visitor())
            stack.push_async_callback(sessions[-1].close)
            return Somebody(sessions[-1], port)

        yield somebody


@pytest.fixture
async def hall_of(openid, gateway, ports: Ports, api, somebodies) -> Callable[..., Any]:
    """Starts everything: `await hall_of(sid=False)` for a provider whose logout tokens name no session."""

    async def start(
        *,
        sid: bool = True,
        database: Database | None = None,
        workers: int = 1,
        env: Mapping[str, str] | None = None,
    ) -> Hall:
        port, app = ports.take(), await api(answer=echo)
        callbacks = [f"http://{host}:{port}/@op/callback" for host in ("app.example.com", "localhost")]
        provider = openid(
            client(
                "app",
                *callbacks,
                backchannel_logout_uri=f"http://localhost:{port}/@op/backchannel",
                backchannel_logout_session_required=sid,
            )
        )
        text = HCL.replace("ISSUER", provider.issuer).replace("BACKEND", str(app.port))
        text = text.replace("gateway {", f"gateway {{\n  workers = {workers}", 1)
        if database is not None:
            text, env = text + STORE, {**KEY, **(env or {}), "DATABASE_URL": database.url}
        started = gateway(text, port=port, env=env)
        return Hall(started, provider, functools.partial(somebodies, port), app.port)

    return start


async def is_closed(socket: aiohttp.ClientWebSocketResponse) -> bool:
    async with asyncio.timeout(CUT_WITHIN_S):
        message = await socket.receive()
    return message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}


async def end(provider: OpenId, account: str, **more: Any) -> list[str]:
    return await asyncio.to_thread(provider.end_sessions, account, **more)


# -- a provider that means well ------------------------------------------------------------------


async def test_a_session_that_ends_there_ends_here_with_its_sockets_and_no_other(hall_of) -> None:
    hall = await hall_of()
    laptop, phone, bob = hall.somebody(), hall.somebody(), hall.somebody()
    await phone.sign_in("alice")
    await bob.sign_in("bob")
    await laptop.sign_in("alice")
    async with laptop.socket() as socket, phone.socket() as other:
        assert await end(hall.provider, "alice", newest=True) == ["told"]
        assert not await laptop.is_in()
        assert await is_closed(socket)
        await other.send_str("still here")
        assert await other.receive_str() == "still here"
    assert await phone.is_in()
    assert await bob.is_in()
    await laptop.sign_in("alice")
    assert await laptop.is_in()


async def test_without_a_sid_all_of_the_persons_sessions_end_on_every_host(hall_of) -> None:
    hall = await hall_of(sid=False)
    laptop, phone, bob = hall.somebody(), hall.somebody(), hall.somebody()
    await laptop.sign_in("alice")
    await phone.sign_in("alice", "localhost")
    await bob.sign_in("bob")
    assert await end(hall.provider, "alice", newest=True) == ["told"]
    assert not await laptop.is_in()
    assert not await phone.is_in("localhost")
    assert await bob.is_in()


async def test_one_session_there_is_two_here_on_two_hosts(hall_of) -> None:
    hall = await hall_of()
    alice = hall.somebody()
    await alice.sign_in("alice")
    await alice.sign_in("alice", "localhost")
    assert await end(hall.provider, "alice", newest=True) == ["told"]
    assert not await alice.is_in()
    assert not await alice.is_in("localhost")


async def test_their_tokens_are_revoked_there(hall_of) -> None:
    hall = await hall_of()
    alice = hall.somebody()
    await alice.sign_in("alice")
    await end(hall.provider, "alice")
    async with asyncio.timeout(60):
        while hall.provider.counts().get("POST /token/revocation", 0) < 2:
            await asyncio.sleep(0.05)


async def test_a_logout_told_to_one_node_holds_on_the_other(hall_of, gateway, postgres) -> None:
    hall = await hall_of(database=postgres)
    text = hall.gateway.file.read_text().replace(f':{hall.gateway.port}"', ':{port}"', 1)
    other = gateway(text, env={**KEY, "DATABASE_URL": postgres.url})
    alice = hall.somebody()
    await alice.sign_in("alice")
    assert await alice.is_in(port=other.port)
    assert await end(hall.provider, "alice", uri=f"http://localhost:{other.port}/@op/backchannel") == ["told"]
    assert not await alice.is_in(port=other.port)
    async with asyncio.timeout(30):
        while await alice.is_in():
            await asyncio.sleep(0.05)


# -- one that means harm -------------------------------------------------------------------------


class Lie(NamedTuple):
    """A logout token that is none."""

    code: str
    claims: Mapping[str, Any] = {}
    header: Mapping[str, Any] = {}
    sign: Any = None


LIES = {
    "another type": Lie("typ", header={"typ": "at+jwt"}),
    "an access token of Keycloak's": Lie("typ", {"typ": "Bearer"}),
    "a nonce": Lie("nonce", {"nonce": "n"}),
    "no events": Lie("events", {"events": ...}),
    "another event": Lie("events", {"events": {"https://schemas.openid.net/secevent/risc": {}}}),
    "neither sub nor sid": Lie("sub_or_sid", {"sub": ..., "sid": ...}),
    "an empty sid": Lie("sub_or_sid", {"sid": ""}),
    "another audience": Lie("aud", {"aud": "other"}),
    "another issuer": Lie("iss", {"iss": "https://accounts.google.com"}),
    "expired": Lie("expired", {"exp": Later(-120)}),
    "without an end": Lie("expired", {"exp": ...}),
    "of yesterday": Lie("iat", {"iat": Later(-86_400), "exp": Later(60)}),
    "of tomorrow": Lie("iat", {"iat": Later(86_400), "exp": Later(90_000)}),
    "no jti": Lie("jti", {"jti": ...}),
    "alg none": Lie("alg", header={"alg": "none"}, sign=unsigned),
    "alg none, mixed case": Lie("alg", header={"alg": "nOnE"}, sign=unsigned),
    "HS256 with the public key": Lie("alg", sign=by_public_key_as_secret),
    "another key": Lie("signature", sign=by_another_key),
    "unsigned": Lie("signature", sign=unsigned),
    "an unknown key": Lie("key", header={"kid": "made-up"}),
    "crit": Lie("crit", header={"crit": ["exp"]}),
}


class Den(NamedTuple):
    """A gateway whose provider is a rogue."""

    gateway: Gateway
    rogue: Rogue
    somebody: Callable[[], Somebody]

    def token(self, **claims: Any) -> dict[str, Any]:
        """The claims of a logout token for the session that everybody here is in; `...` leaves one out."""
        told = {"events": {EVENT: {}}, "jti": secrets.token_hex(8), "sid": "s-1", "nonce": ..., **claims}
        return self.rogue.claims_now({"email": ..., "email_verified": ..., **told})

    def signed(self, lie: Lie = Lie(""), **claims: Any) -> str:  # noqa: B008 - an immutable value
        header = {"alg": "RS256", "kid": "one", "typ": "logout+jwt", **lie.header}
        return str((lie.sign or self.rogue.sign)(header, self.token(**{**lie.claims, **claims})))

    async def post(self, raw: str) -> tuple[int, dict[str, Any]]:
        target = f"http://127.0.0.1:{self.gateway.port}/@op/backchannel"
        headers = {"Host": f"app.example.com:{self.gateway.port}"}
        async with (
            aiohttp.ClientSession() as server,
            server.post(target, data={"logout_token": raw}, headers=headers) as answer,
        ):
            assert answer.headers["Cache-Control"] == "no-store"
            return answer.status, await answer.json()


@pytest.fixture
async def den(gateway, ports: Ports, api, somebodies) -> AsyncIterator[Den]:
    app = await api(answer=echo)
    async with Rogue(ports.take()) as rogue:
        rogue.claims = {"sid": "s-1"}
        text = HCL.replace("ISSUER", rogue.issuer).replace("BACKEND", str(app.port))
        started = gateway(text)
        yield Den(started, rogue, functools.partial(somebodies, started.port))


async def test_no_token_that_is_wrong_in_any_way_signs_anybody_out(den: Den) -> None:
    eve = den.somebody()
    await eve.sign_in("eve")
    for name, lie in LIES.items():
        status, said = await den.post(den.signed(lie))
        assert (status, said["error"]) == (400, "invalid_request"), name
        assert said["error_description"].startswith(f"logout_token_{lie.code}:"), name
        assert await eve.is_in(), name
    header = {"alg": "RS256", "kid": "one"}
    id_token = den.rogue.sign(header, den.rogue.claims_now({"sid": "s-1", "jti": "x", "nonce": ...}))
    for raw in (id_token, "nonsense", "a.b.c", ""):
        assert (await den.post(raw))[0] == 400
    assert await eve.is_in()
    # The twin: with all of that put right it does.
    assert (await den.post(den.signed()))[0] == 200
    assert not await eve.is_in()


async def test_made_up_keys_cost_the_provider_next_to_nothing(den: Den) -> None:
    eve = den.somebody()
    await eve.sign_in("eve")
    before = den.rogue.counts["/jwks"]
    for _ in range(100):
        await den.post(den.signed(Lie("", header={"kid": secrets.token_hex(8)})))
    assert den.rogue.counts["/jwks"] <= before + 1
    assert den.rogue.counts["/.well-known/openid-configuration"] == 1


async def test_a_token_that_is_shown_again_ends_nothing(den: Den) -> None:
    raw = den.signed(sid=..., sub="eve")
    eve = den.somebody()
    await eve.sign_in("eve")
    assert (await den.post(raw))[0] == 200
    assert not await eve.is_in()
    den.rogue.claims = {"sid": "s-2", "iat": Later(30)}  # later than the logout, by the provider's own clock
    await eve.sign_in("eve")
    assert (await den.post(raw))[0] == 200
    assert await eve.is_in()


async def test_keys_that_cannot_be_had_are_no_reason_to_forget_a_logout(den: Den) -> None:
    eve = den.somebody()
    raw = den.signed()
    den.rogue.instead["/.well-known/openid-configuration"] = _down
    assert [(await den.post(raw))[0] for _ in range(20)] == [503] * 20
    assert den.rogue.counts["/.well-known/openid-configuration"] <= 4  # a flood is no reason to ask each time
    den.rogue.instead.clear()
    await asyncio.sleep(1.1)
    await eve.sign_in("eve")
    assert (await den.post(raw))[0] == 200
    assert not await eve.is_in()


async def test_a_sign_in_that_is_under_way_when_the_logout_comes_does_not_survive_it(den: Den) -> None:
    """The tokens are on their way; the provider ends the session before they are here."""
    eve = den.somebody()
    made, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(_request: web.Request) -> web.StreamResponse:
        tokens = den.rogue._tokens(is_refresh=False)
        made.set()
        await go_on.wait()
        return web.json_response(tokens)

    den.rogue.instead["/token"] = slowly
    target = eve.url("/@/signin?login_hint=eve")
    coming = asyncio.create_task(_status(eve.session, target))
    await made.wait()
    assert (await den.post(den.signed()))[0] == 200
    go_on.set()
    assert await coming == 400
    assert not await eve.is_in()
    den.rogue.instead.clear()
    den.rogue.claims = {"sid": "s-2"}
    await eve.sign_in("eve")
    assert await eve.is_in()


async def test_a_frame_ends_the_session_that_it_names(den: Den) -> None:
    eve = den.somebody()
    await eve.sign_in("eve")
    async with aiohttp.ClientSession() as frame, eve.socket() as socket:
        for query, status in (
            ({"iss": den.rogue.issuer}, 400),
            ({"sid": "s-1"}, 400),
            ({"iss": "https://accounts.google.com", "sid": "s-1"}, 400),
            ({"iss": den.rogue.issuer, "sid": "s-9"}, 200),
        ):
            assert await _framed(den, frame, query) == status
            assert await eve.is_in()
        assert await _framed(den, frame, {"iss": den.rogue.issuer, "sid": "s-1"}) == 200
        assert await is_closed(socket)
    assert not await eve.is_in()


async def _framed(den: Den, frame: aiohttp.ClientSession, query: Mapping[str, str]) -> int:
    target = URL(f"http://127.0.0.1:{den.gateway.port}/@op/frontchannel").with_query(query)
    async with frame.get(target, headers={"Host": f"app.example.com:{den.gateway.port}"}) as answer:
        policy = answer.headers["Content-Security-Policy"]
        ancestors = den.rogue.issuer if answer.status == 200 else "'none'"
        assert f"frame-ancestors {ancestors};" in policy
        assert "Set-Cookie" not in answer.headers
        return answer.status


async def _status(session: aiohttp.ClientSession, target: URL) -> int:
    async with session.get(target, headers={"Accept": "text/html"}) as answer:
        return answer.status


async def _down(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=503)
