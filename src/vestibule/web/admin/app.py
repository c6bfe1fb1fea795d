"""The admin pages put together: which stand where, and what holds for all of them.

A page is added so: a handler that takes `(desk, ask)` and answers by `answers.page` or `answers.see`, a template that
extends `frame.html`, a line in `PAGES`, and in `NAVIGATION` where people should find it. What it shows and does it gets
from `ask.api`, which is the admin API as whoever is signed in; it never asks a service or store itself. What changes
something is a form with `form_token`, and ends in `see`. Paths that are not in here, `/api/v1/…`, are the API's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from msgspec.structs import replace
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp

from vestibule.core.route import is_own, shows_admin
from vestibule.errors import ClientError, VestibuleError
from vestibule.observe.log import Log
from vestibule.service.asgi import Receive, Send
from vestibule.web.admin import overview, people, sessions, signin, traffic
from vestibule.web.admin.answers import Desk, Item, crash, failure, see, static
from vestibule.web.admin.api import query_of
from vestibule.web.admin.asking import Ask, ask_of, check_page, with_body
from vestibule.web.admin.door import Door
from vestibule.web.admin.look import STATIC_PATH, Look
from vestibule.web.admin.table import ITEMS, MANAGING

Handler: TypeAlias = Callable[[Desk, Ask], Awaitable[Response]]

#: path → handler by method; HEAD is answered as GET, but for `WITHOUT_HEAD`
PAGES: Final[Mapping[str, Mapping[str, Handler]]] = MappingProxyType(
    {
        "/": {"GET": overview.overview},
        "/live": {"GET": overview.stream},
        "/traffic": {"GET": traffic.traffic},
        "/traffic/live": {"GET": traffic.stream},
        "/traces/{id}": {"GET": traffic.trace},
        "/sessions": {"GET": sessions.listed},
        "/sessions/{id}": {"GET": sessions.shown},
        "/sessions/{id}/reveal": {"POST": sessions.reveal},
        "/sessions/{id}/end": {"POST": sessions.end},
        "/people": {"GET": people.listed},
        "/people/{id}": {"GET": people.shown, "POST": people.change},
        "/people/{id}/block": {"POST": people.block},
        "/people/{id}/unblock": {"POST": people.unblock},
        "/people/{id}/sign-out": {"POST": people.end_sessions},
        "/people/{id}/delete": {"POST": people.delete},
        "/people/{id}/identities/{identity}/unlink": {"POST": people.unlink},
        "/sign-in": {"GET": signin.sign_in, "POST": signin.by_token},
        "/sign-out": {"POST": signin.sign_out},
        **MANAGING,
    }
)
OPEN: Final = frozenset({"/sign-in"})
"""Pages for who isn't signed in."""
WITHOUT_HEAD: Final = frozenset({"/live", "/traffic/live", "/audit/export"})
"""What goes on and on, or is noted in the trail, though nothing of it is sent."""
BY_OURS_ALONE: Final = frozenset({"/audit/export", "/audit/verify"})
"""To which no link of another site leads: it would be in the trail that they had the copy made."""
_OF_PROGRAMS: Final = frozenset({"/api", "/metrics"})
"""What the API answers beside `/api/…`."""
NAVIGATION: Final = (
    Item("/", "Overview"),
    Item("/traffic", "Traffic"),
    Item("/sessions", "Sessions"),
    Item("/people", "People"),
    *ITEMS,
)


def build(api: ASGIApp, door: Door, *, log: Log) -> ASGIApp:
    """The ASGI application. The scope's state has the `Asker`, or the `Visit` of whom the gateway has let in.

    `api`: the admin API, which answers its own paths where no visit is given.
    """
    return Pages(Desk(look=Look(), door=door, log=log.of("admin"), nav=NAVIGATION), api)


class Beside:
    """What visits lead to: the pages at hosts of theirs, where a path isn't the gateway's own, and else `own`."""

    def __init__(self, own: ASGIApp, pages: ASGIApp) -> None:
        self._own = own
        self._pages = pages

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer one visit."""
        host, path = scope["state"]["visit"].host, scope["path"].encode("ascii")
        is_page = shows_admin(host) and not is_own(path, host)
        await (self._pages if is_page else self._own)(scope, receive, send)


class Pages:
    """The pages, and the way to the API beside them."""

    def __init__(self, desk: Desk, api: ASGIApp) -> None:
        self._desk = desk
        self._api = api
        self._table = [(compile_path(path)[0], path, handlers) for path, handlers in PAGES.items()]

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer one request."""
        path: str = scope["path"]
        if "visit" not in scope["state"] and (path in _OF_PROGRAMS or path.startswith("/api/")):
            await self._api(scope, receive, send)
            return
        message = await receive()
        if message["type"] != "http.request":
            return
        response = await self._answer(scope, message.get("body", b""))
        await response(scope, receive, send)

    async def _answer(self, scope: MutableMapping[str, Any], body: bytes) -> Response:
        desk = self._desk
        try:
            ask = ask_of(scope)
        except VestibuleError as error:
            return failure(desk, ask_of({**scope, "query_string": b""}), error)
        try:
            return await self._guarded(ask, body)
        except VestibuleError as error:
            return failure(desk, await self._known(ask), error)
        except Exception as error:  # noqa: BLE001 - the last line of defence: logged with its id, answered with a page
            return crash(desk, ask, error)

    async def _guarded(self, ask: Ask, body: bytes) -> Response:
        """What all pages share. Raises VestibuleError."""
        desk = self._desk
        # 1. No page of another site has sent it.
        check_page(ask)
        if ask.path.startswith(STATIC_PATH):
            return self._static(ask)
        # 2. There is such a page.
        pattern, places, handlers = self._page(ask.path)
        if pattern in BY_OURS_ALONE:
            check_page(ask, by_link=False)
        as_get = ask.method == "HEAD" and pattern not in WITHOUT_HEAD
        handler = handlers.get("GET" if as_get else ask.method)
        if handler is None:
            raise ClientError("this page takes other methods", code="method_not_allowed", status=405)
        # 3. Who asks; a form is one that they were shown.
        ask = await desk.door.entered(replace(ask, places=places))
        if ask.is_post:
            ask = with_body(ask, body)
            desk.door.check_form(ask)
        if ask.guest is None and pattern not in OPEN:
            return self._to_sign_in(ask)
        # 4. The page.
        return await handler(desk, ask)

    def _page(self, path: str) -> tuple[str, dict[str, str], Mapping[str, Handler]]:
        for regex, pattern, handlers in self._table:
            if (match := regex.match(path)) is not None:
                return pattern, match.groupdict(), handlers
        raise ClientError("there is no such page", code="not_found", status=404)

    def _static(self, ask: Ask) -> Response:
        file = self._desk.look.file(ask.path.removeprefix(STATIC_PATH))
        if file is None or ask.method not in {"GET", "HEAD"}:
            raise ClientError("there is no such file", code="not_found", status=404)
        return static(file)

    def _to_sign_in(self, ask: Ask) -> Response:
        if ask.visit is not None:
            raise ClientError("nobody is known by this session", code="no_user", status=403)
        if ask.method not in {"GET", "HEAD"} or ask.headers.get("sec-fetch-dest", "document") != "document":
            raise ClientError("you are signed out: sign in again", code="sign_in_required", status=401)
        wanted = ask.path + query_of(ask.params)
        return see(self._desk, ask, signin.PATH + query_of({"next": "" if wanted == "/" else wanted}))

    async def _known(self, ask: Ask) -> Ask:
        """With who is signed in, for the frame of an error's page; nobody, where that can't be told."""
        try:
            check_page(ask)
            return await self._desk.door.entered(ask)
        except VestibuleError:
            return ask
