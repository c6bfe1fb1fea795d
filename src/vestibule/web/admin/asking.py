"""One request for a page: who asks, what they sent, and whether a page of ours sent it.

It comes in one of two ways. By the admin listener itself the scope's state has the `Asker`; where the gateway has
judged it (people who sign in by its providers), it has the `Visit`.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, Final, Literal
from urllib.parse import parse_qsl

import msgspec
from starlette.datastructures import Headers

from vestibule.errors import BadRequest, ClientError
from vestibule.protocol import base64url, cookie
from vestibule.service.admin import Asker
from vestibule.service.visit import Visit
from vestibule.web.admin.api import Api
from vestibule.web.api.office import Actor

MAX_FIELDS: Final = 500
_FORM: Final = "application/x-www-form-urlencoded"


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in to the pages."""

    actor: Actor
    way: Literal["socket", "token", "person"]
    name: str
    """For show."""
    binding: bytes
    """What the forms that they are shown are bound to."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request for a page, as its handler is given it."""

    method: str
    path: str
    params: Mapping[str, str]
    """The query's; of one sent twice the last."""
    places: Mapping[str, str] = {}
    """What stands in the places of the page's path."""
    form: Mapping[str, str] = {}
    """The fields of a POST."""
    lists: Mapping[str, tuple[str, ...]] = {}
    """The same with all values of each, for boxes to be ticked."""
    asker: Asker
    base_url: str
    """By which the browser has come: `http://localhost:9000`."""
    port: int
    secure: bool
    sign_in_url: str
    """Where people sign in by the gateway's providers; empty: not here."""
    headers: Headers
    cookies: Mapping[str, str]
    visit: Visit | None
    guest: Guest | None = None
    calls: Api | None = None
    form_token: str = ""
    """Goes into each form as `form_token`."""

    @property
    def now(self) -> float:
        """When it came."""
        return self.asker.now

    @property
    def actor(self) -> Actor:
        """Who is signed in, as the API knows them. Raises ClientError 401."""
        if self.guest is None:
            raise ClientError("sign in first", code="sign_in_required", status=401)
        return self.guest.actor

    @property
    def api(self) -> Api:
        """The admin API, as who is signed in. Raises ClientError 401."""
        if self.calls is None:
            raise ClientError("sign in first", code="sign_in_required", status=401)
        return self.calls

    @property
    def is_post(self) -> bool:
        """True where something is to be done."""
        return self.method == "POST"


def ask_of(scope: MutableMapping[str, Any]) -> Ask:
    """The request, before it is known who asks. Raises BadRequest for a query that can't be read."""
    state, headers = scope["state"], Headers(scope=scope)
    visit: Visit | None = state.get("visit")
    host, port = headers.get("host", ""), scope["server"][1]
    if visit is not None:
        asker = Asker(is_owner=False, address=visit.address, request_id=visit.request_id, now=visit.now)
        base_url, secure = visit.site.base_url, visit.site.secure
    else:
        asker = state["asker"]
        # The listener has checked that this is a loopback name.
        base_url, secure = f"http://{host}", False
    return Ask(
        method=scope["method"],
        path=scope["path"],
        params=dict(_pairs(scope["query_string"])),
        asker=asker,
        base_url=base_url,
        port=port,
        secure=secure,
        sign_in_url=state.get("sign_in", ""),
        headers=headers,
        cookies=visit.cookies if visit is not None else _cookies(headers),
        visit=visit,
    )


def check_page(ask: Ask, *, by_link: bool = True) -> None:
    """Let a request pass that a person or a page of ours made. Raises ClientError.

    `by_link`: or one that another site's link leads to.

    Threat: another site's page that loads ours, frames it, or sends a form here. It may do no more than lead people
    here, by a link: that does nothing. A service on another port of this machine is another site, too.
    """
    site = ask.headers.get("sec-fetch-site", "")
    is_link = (
        by_link
        and ask.method in {"GET", "HEAD"}
        and ask.headers.get("sec-fetch-mode", "") == "navigate"
        and ask.headers.get("sec-fetch-dest", "") == "document"
    )
    if site not in {"", "none", "same-origin"} and not is_link:
        raise _cross_origin(f"Sec-Fetch-Site {site[:40]!r}")
    origins = ask.headers.getlist("origin")
    if ask.method in {"GET", "HEAD"}:
        if any(origin != ask.base_url for origin in origins):
            raise _cross_origin(f"Origin {origins[0][:100]!r}")
        return
    vouched = origins == [ask.base_url] or (origins in ([], ["null"]) and site == "same-origin")
    if not vouched:
        raise _cross_origin(f"Origin {', '.join(origins)[:100]!r}, expected {ask.base_url!r}")


def with_body(ask: Ask, body: bytes) -> Ask:
    """The request with the fields of its form. Raises ClientError."""
    if not body:
        return ask
    if ask.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise ClientError("a page takes the form that it showed", code="body_type", status=415)
    pairs = _pairs(body)
    lists: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        lists[name] = (*lists.get(name, ()), value)
    return msgspec.structs.replace(ask, form=dict(pairs), lists=lists)


def encoded(mac: bytes) -> str:
    """A mark as a field has it."""
    return base64url.encode(mac)


def _cookies(headers: Headers) -> dict[str, str]:
    parsed = cookie.parse(value.encode("latin-1") for value in headers.getlist("cookie")).values
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in parsed.items()}


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError as error:
        raise BadRequest("what was sent can't be read", detail=type(error).__name__) from None


def _cross_origin(detail: str) -> ClientError:
    return ClientError(
        "this did not come from a page of ours", code="cross_origin", status=403, detail=detail
    )
