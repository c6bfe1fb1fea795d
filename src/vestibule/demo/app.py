"""The demo's app: `python -m vestibule.demo.app`. It knows no OAuth, and that is the point.

It reads who is there from its request headers. To ask the API something as that person it sends the request
to the calling interface, with the `Proxy-Session` it was given. It never sees a token. `traceparent` goes along, so
that who watches the gateway sees which page a call was made for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, WSMsgType, web

from vestibule.demo import server
from vestibule.demo.pages import Pages, static

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CLIENT = "demo"
HANDED_ON = ("Proxy-Session", "traceparent", "tracestate")
_TICK_S = 1.0
_API_TIMEOUT_S = 15.0
_MAX_MESSAGE = 4096


class Answer:
    """What the API, or the calling interface before it, answered: `data`, or what to say in its place."""

    def __init__(self, status: int, data: Mapping[str, Any]) -> None:
        self.ok = status == 200
        self.status = status
        self.data = data
        self.fault = "" if self.ok else f"{status}: {data.get('message') or data.get('error') or 'no answer'}"


class Api:
    """The API as this app sees it: an address on this machine, and the session it was handed."""

    def __init__(self, calls: ClientSession) -> None:
        self._calls = calls

    async def ask(
        self, method: str, path: str, asked_by: Mapping[str, str], body: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer to one call, as the person of the request with these headers, and in its trace."""
        try:
            async with self._calls.request(method, path, headers=handed_on(asked_by), json=body) as response:
                return Answer(response.status, _object(await response.read()))
        except (ClientError, TimeoutError) as exc:
            return Answer(502, {"error": type(exc).__name__})


class Here:
    """Who has the event stream open."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def enter(self, name: str) -> None:
        """One more stream of that person's."""
        self._names.append(name)

    def leave(self, name: str) -> None:
        """One fewer."""
        self._names.remove(name)

    def names(self) -> list[str]:
        """Everybody, each once, in order."""
        return sorted(set(self._names))


class App:
    """The handlers."""

    def __init__(self, calls_url: str, provider_url: str) -> None:
        self._calls_url = calls_url
        self._pages = Pages(images=provider_url)
        self._here = Here()
        self._leaving = asyncio.Event()
        self._api: Api

    def app(self) -> web.Application:
        """Everything it answers."""
        app = web.Application(client_max_size=64 * 1024)
        app.cleanup_ctx.append(self._open_api)
        app.on_shutdown.append(self._leave)
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/members/", self._room("Members", "Everybody who is signed in gets here.")),
                web.get("/admin/", self._room("Admin", "Only alice@example.com gets here.")),
                web.get("/public/", self._room("Public", "Nobody needs to sign in to read this.")),
                web.get("/token", self._token),
                web.post("/token/expire", self._expire),
                web.post("/notes", self._add_note),
                web.get("/events", self._events),
                web.get("/echo", self._echo),
                web.get("/static/{name}", static),
                web.get("/{anything:.*}", self._nowhere),
            ]
        )
        return app

    async def _open_api(self, _: web.Application) -> AsyncIterator[None]:
        timeout = ClientTimeout(total=_API_TIMEOUT_S)
        async with ClientSession(self._calls_url, timeout=timeout) as calls:
            self._api = Api(calls)
            yield

    async def _leave(self, _: web.Application) -> None:
        self._leaving.set()

    # Pages

    async def _index(self, request: web.Request) -> web.StreamResponse:
        if not signed_in(request.headers):
            return self._pages.page("app_signed_out.html", tries=TRIES)
        # All at once on purpose: where the token has expired, the gateway refreshes it once for the three.
        paths = ("/userinfo", "/api/token", "/api/notes")
        profile, token, notes = await asyncio.gather(
            *(self._api.ask("GET", path, request.headers) for path in paths)
        )
        return self._pages.page(
            "app_signed_in.html",
            who=who(request.headers),
            profile=profile.data,
            fault=profile.fault,
            token=token.data if token.ok else None,
            notes=notes.data.get("notes", []),
            headers=shown(request.headers.items()),
            tries=TRIES,
        )

    def _room(self, title: str, text: str) -> Handler:
        async def page(request: web.Request) -> web.StreamResponse:
            return self._pages.page("app_room.html", title=title, text=text, who=who(request.headers))

        return page

    async def _nowhere(self, request: web.Request) -> web.StreamResponse:
        text = "The app has no such page."
        return self._pages.page(
            "app_room.html", status=404, title="Not here", text=text, who=who(request.headers)
        )

    # Calls

    async def _token(self, request: web.Request) -> web.StreamResponse:
        answer = await self._api.ask("GET", "/api/token", request.headers)
        return _json(answer)

    async def _expire(self, request: web.Request) -> web.StreamResponse:
        _same_origin(request)
        answer = await self._api.ask("POST", "/api/token/expire", request.headers)
        return _json(answer) if "json" in request.headers.get("Accept", "") else _back("#token")

    async def _add_note(self, request: web.Request) -> web.StreamResponse:
        _same_origin(request)
        text = (await request.post()).get("text")
        if isinstance(text, str) and text.strip():
            await self._api.ask("POST", "/api/notes", request.headers, {"text": text})
        return _back("#notes")

    # What stays open

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: one tick a second, with the time and who is here."""
        name = who(request.headers) or "somebody"
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        self._here.enter(name)
        try:
            while not self._leaving.is_set():
                tick = {"time": time.strftime("%H:%M:%S"), "here": self._here.names()}
                await response.write(f"event: tick\ndata: {json.dumps(tick)}\n\n".encode())
                await _wait(self._leaving, _TICK_S)
        except ConnectionError:
            pass  # the browser went away, which is how a stream ends
        finally:
            self._here.leave(name)
        return response

    async def _echo(self, request: web.Request) -> web.StreamResponse:
        """A WebSocket that says back what it hears."""
        _same_origin(request)
        name = who(request.headers) or "somebody"
        socket = web.WebSocketResponse(max_msg_size=_MAX_MESSAGE, heartbeat=20)
        await socket.prepare(request)
        leaving = asyncio.create_task(_close_at(self._leaving, socket), name="close echo")
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await socket.send_json({"you": name, "said": message.data})
        finally:
            leaving.cancel()
        return socket


#: what the front page invites to try: (path, what happens)
TRIES = (
    ("/@/session", "who is signed in and until when, as JSON; never a token"),
    ("/public/", "a page for everybody"),
    ("/members/", "a page for whoever is signed in; leads through sign-in and back"),
    ("/admin/", "a page for Alice only; anybody else gets a 403 from the gateway"),
    ("/@/signin?prompt=select_account", "sign in as somebody else"),
)


def signed_in(headers: Mapping[str, str]) -> bool:
    """True when the gateway says that this session has credentials of the demo's provider."""
    clients = [unquote(item.strip()) for item in headers.get("Proxy-Provider", "").split(",")]
    return CLIENT in clients and bool(headers.get("Proxy-Session"))


def handed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """Of a request's headers those that go along with the calls that are made for it."""
    return {name: headers[name] for name in HANDED_ON if name in headers}


def who(headers: Mapping[str, str]) -> str:
    """The name of whoever is signed in; empty when nobody is."""
    return unquote(headers.get("User-Name") or headers.get("User-Login") or headers.get("User-Email") or "")


def shown(headers: Any) -> list[dict[str, Any]]:
    """The headers for the page: the gateway's marked and first, `Proxy-Session` and cookies cut short."""
    rows = [
        {"name": name, "value": _short(value) if name.lower() in _CUT else value, "ours": _is_ours(name)}
        for name, value in headers
    ]
    return sorted(rows, key=lambda row: (not row["ours"], "forwarded" in row["name"].lower()))


_CUT = ("proxy-session", "cookie")


def _is_ours(name: str) -> bool:
    name = name.lower()
    return name.startswith(("proxy-", "user-", "x-forwarded-", "forwarded")) and name != "user-agent"


def _short(value: str) -> str:
    return f"{value[:10]}… ({len(value)} characters)" if len(value) > 10 else value


def _same_origin(request: web.Request) -> None:
    """Return when the request's Origin, if there is one, is this app's own. Raises HTTPForbidden.

    Threat: a page elsewhere posting, or opening a WebSocket, with the visitor's cookie.
    """
    origin = request.headers.get("Origin")
    own = {request.host, request.headers.get("X-Forwarded-Host", request.host)}
    if origin is not None and urlsplit(origin).netloc not in own:
        raise web.HTTPForbidden(text="This came from another site.\n")


def _json(answer: Answer) -> web.Response:
    return web.json_response(dict(answer.data), status=answer.status, headers={"Cache-Control": "no-store"})


def _back(fragment: str) -> web.Response:
    return web.Response(status=303, headers={"Location": f"/{fragment}"})


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"error": "the answer is not a JSON object"}


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return


async def _close_at(event: asyncio.Event, socket: web.WebSocketResponse) -> None:
    await event.wait()
    await socket.close()


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m vestibule.demo.app", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--calls", required=True, help="the calling interface, as http://127.0.0.1:PORT")
    parser.add_argument("--pictures", default="", help="the provider's origin, whose portraits may be shown")
    parser.add_argument("--child", action="store_true", help="stop when standard input closes")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Run the app."""
    arguments = _arguments(argv)
    return server.run(
        lambda _: App(arguments.calls, arguments.pictures).app(),
        address=arguments.address,
        port=arguments.port,
        child=arguments.child,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
