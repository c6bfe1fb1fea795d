"""Signing in to the admin pages, and out."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.responses import Response

from vestibule.core.route import SIGN_IN_PATH
from vestibule.errors import ClientError
from vestibule.protocol.url import safe_return
from vestibule.web.admin.answers import Desk, page, see
from vestibule.web.admin.asking import Ask

PATH = "/sign-in"


async def sign_in(desk: Desk, ask: Ask) -> Response:
    """The form for a token, and the way to the gateway's own providers."""
    if ask.guest is not None:
        return see(desk, ask, _next(ask))
    return _form(desk, ask)


async def by_token(desk: Desk, ask: Ask) -> Response:
    """POST of the form."""
    try:
        cookie = await desk.door.sign_in(ask, ask.form.get("token", "").strip())
    except ClientError as error:
        if error.status not in {401, 429}:
            raise
        desk.log.info(
            "admin_sign_in_refused", id=ask.asker.request_id, code=error.code, address=ask.asker.address
        )
        return _form(desk, ask, fault=error.message, status=error.status)
    desk.log.info("admin_signed_in", id=ask.asker.request_id, address=ask.asker.address)
    return see(desk, ask, _next(ask), set_cookies=(cookie,))


async def sign_out(desk: Desk, ask: Ask) -> Response:
    """POST of the button of who came by a token; people leave by the gateway's own path (`frame.html`)."""
    return see(desk, ask, PATH, "You are signed out.", set_cookies=(desk.door.signed_out(ask),))


def _form(desk: Desk, ask: Ask, *, fault: str = "", status: int = 200) -> Response:
    after = _next(ask)
    there = f"{ask.sign_in_url}{SIGN_IN_PATH}?{urlencode({'rd': after})}" if ask.sign_in_url else ""
    gone = (desk.door.signed_out(ask),) if desk.door.has_cookie(ask) else ()
    return page(
        desk,
        ask,
        "sign_in.html",
        title="Sign in",
        status=status,
        fault=fault,
        after=after,
        there=there,
        set_cookies=gone,
    )


def _next(ask: Ask) -> str:
    """Where to go afterwards: a page of ours. Threat: an open redirect."""
    wanted = ask.form.get("next", "") or ask.params.get("next", "")
    found = safe_return(wanted, base_url=ask.base_url, hosts=frozenset())
    return found if found and found.startswith("/") and not found.startswith(PATH) else "/"
