"""Answers of the admin pages: a page, the way to another, an error; and the headers that all of them have."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from starlette.responses import Response

from vestibule.errors import ClientError, VestibuleError
from vestibule.model import RETRY_AFTER_S
from vestibule.observe.log import Log
from vestibule.web.admin.api import Failed, Refused
from vestibule.web.admin.asking import Ask
from vestibule.web.admin.door import Door
from vestibule.web.admin.look import File, Look
from vestibule.web.answers import checked_location
from vestibule.web.api.office import Streams

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
#: `same-origin` tells other sites as little as `no-referrer`, under which a form's POST has `Origin: null`
HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-store",
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class Item(msgspec.Struct, frozen=True):
    """One line of the navigation."""

    path: str
    label: str


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """What the handlers of the pages work with."""

    look: Look
    door: Door
    log: Log
    nav: tuple[Item, ...]
    streams: Streams = msgspec.field(default_factory=Streams)
    """Who has a part of a page live."""


def page(
    desk: Desk,
    ask: Ask,
    template: str,
    *,
    title: str,
    status: int = 200,
    set_cookies: Iterable[str] = (),
    **values: Any,
) -> Response:
    """A page made of a template that extends `frame.html`.

    Beside the values it sees `title`, `now`, `me` (who is signed in), `form_token`, and `said`, what the page before
    wanted to be said.
    """
    said, forgotten = desk.door.flashed(ask)
    context = {
        "title": title,
        "now": ask.now,
        "path": ask.path,
        "nav": [{"path": one.path, "label": one.label, "is_here": _is_here(one, ask)} for one in desk.nav],
        "me": ask.guest,
        "form_token": ask.form_token,
        "said": said,
        "request_id": "",
        **values,
    }
    body = desk.look.render(template, context)
    response = Response(body, status, dict(HEADERS), "text/html")
    for one in (*set_cookies, *((forgotten,) if forgotten else ())):
        response.headers.append("set-cookie", one)
    return response


def fragment(desk: Desk, ask: Ask, template: str, **values: Any) -> str:
    """A part of a page, for what is shown live."""
    return desk.look.render(template, {"now": ask.now, "form_token": ask.form_token, **values})


def see(desk: Desk, ask: Ask, path: str, said: str = "", set_cookies: Iterable[str] = ()) -> Response:
    """Go on to this page of ours (303), which says so."""
    headers = {**HEADERS, "location": checked_location(path)}
    response = Response(b"", 303, headers)
    for one in (*set_cookies, *((desk.door.flash(ask, said),) if said else ())):
        response.headers.append("set-cookie", one)
    return response


def static(file: File) -> Response:
    """A file that never changes under its name."""
    headers = {**HEADERS, "cache-control": "public, max-age=31536000, immutable"}
    return Response(file.body, 200, headers, file.content_type)


def failure(desk: Desk, ask: Ask, error: VestibuleError) -> Response:
    """The page for an error raised on purpose, and its line in the log, where the API hasn't written one."""
    if not isinstance(error, Refused | Failed):
        write = desk.log.info if isinstance(error, ClientError) else desk.log.warning
        write(
            "refused",
            id=ask.asker.request_id,
            status=error.status,
            code=error.public_code,
            detail=error.detail or error.message,
            method=ask.method,
            path=ask.path,
            address=ask.asker.address,
        )
    response = _error(desk, ask, error.status, error.message)
    if error.status == 503:
        response.headers["retry-after"] = str(RETRY_AFTER_S)
    return response


def crash(desk: Desk, ask: Ask, error: Exception) -> Response:
    """The page for an error nobody meant: its kind goes to the log, nothing of it to the page."""
    trace = "".join(traceback.format_exception(error)[-4:])
    desk.log.error("fault", id=ask.asker.request_id, error=repr(error), path=ask.path, trace=trace)
    return _error(desk, ask, 500, "Something went wrong in the gateway.")


_TITLES: Final = {
    401: "Sign in first",
    403: "Not allowed",
    404: "Not here",
    405: "Not that way",
    409: "It clashes",
    412: "Changed meanwhile",
    413: "Too large",
    422: "That can't be taken",
    429: "Too many tries",
    503: "Not just now",
}


def _error(desk: Desk, ask: Ask, status: int, message: str) -> Response:
    title = _TITLES.get(status, "Something went wrong" if status >= 500 else "That can't be done")
    return page(
        desk,
        ask,
        "error.html",
        title=title,
        status=status,
        message=message,
        request_id=ask.asker.request_id,
    )


def _is_here(item: Item, ask: Ask) -> bool:
    return ask.path == item.path or (item.path != "/" and ask.path.startswith(item.path + "/"))
