"""`/@/device`: a program without a browser shows a code, and a person types it here (RFC 8628).

Threat: somebody who sends people a code of their own. So who asks, from where and for what is shown first, nothing is
given by a link alone, and where no auth host stands apart the person has signed in a moment ago.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from vestibule.core.app import App
from vestibule.core.device import family_of
from vestibule.core.route import SIGN_IN_PATH
from vestibule.errors import TooManyTries
from vestibule.protocol.authorization_server import scopes_in
from vestibule.protocol.user_code import TYPED_MAX_CHARS
from vestibule.service.device_flow import Asked
from vestibule.web.answers import Desk, answer, redirect, write_refusal
from vestibule.web.asking import Ask
from vestibule.web.blocks import Action, Fact, Field
from vestibule.web.form import answers_json, told
from vestibule.web.page import Page, iso, with_query
from vestibule.web.person import is_stale, person, sign_in_again
from vestibule.web.token import answered, device_of

DEVICE_PATH: Final = "/@/device"


async def code(desk: Desk, ask: Ask) -> Response:
    """`/@/device/code`: two codes for a program. Spec: RFC 8628 section 3.1."""
    return await answered(desk, ask, _begin)


async def _begin(desk: Desk, ask: Ask, app: App, form: Mapping[str, str]) -> dict[str, Any]:
    begun = await desk.device_flow.begin(
        ask.visit,
        app,
        scopes=scopes_in(form.get("scope", "")),
        resource=form.get("resource", "") or form.get("audience", ""),
        device=device_of(ask),
    )
    base = f"{ask.visit.site.base_url}{DEVICE_PATH}"
    return {
        "device_code": begun.device_code,
        "user_code": begun.user_code,
        "verification_uri": base,
        "verification_uri_complete": f"{base}?user_code={begun.user_code}",
        "expires_in": int(begun.expires_in_s),
        "interval": int(begun.interval_s),
    }


async def device(desk: Desk, ask: Ask) -> Response:
    """The form for the code; one that stands in the address is filled in, and still sent by the person."""
    here = ask.params.get("user_code", "")[:TYPED_MAX_CHARS]
    session = ask.visit.session
    if session is None or not session.user_id:
        again = with_query(DEVICE_PATH, user_code=here) if here else DEVICE_PATH
        return redirect(with_query(SIGN_IN_PATH, rd=again))
    if is_stale(ask, session):
        again = with_query(DEVICE_PATH, user_code=here) if here else DEVICE_PATH
        return sign_in_again(desk, ask, session, rd=again)
    return answer(_page(desk, ask, here))


async def typed(desk: Desk, ask: Ask) -> Response:
    """POST of the code: who asks for what, and the question; or POST of its answer."""
    session = person(ask)
    if is_stale(ask, session):
        return sign_in_again(desk, ask, session, rd=DEVICE_PATH)
    sent = told(ask)
    if "key" in sent:
        return await _said(desk, ask, sent)
    shown_code = sent.get("user_code", "")
    try:
        found = await desk.device_flow.found(ask.visit, shown_code)
    except TooManyTries as error:
        write_refusal(desk, ask, error)
        page = _page(desk, ask, shown_code, fault="device.too_many", status=error.status)
        return answer(page.with_headers(("retry-after", str(error.retry_after_s))))
    if found is None:
        return answer(_page(desk, ask, shown_code, fault="device.wrong", status=422))
    asked, app, host, key = found
    shown = _shown(asked, app)
    if answers_json(ask):
        return answer(desk.pages.json(200, {"key": key, **shown, "asked_at": iso(asked.asked_at)}))
    page = desk.pages.message(
        ask.scene(),
        "device_asks",
        actions=[
            Action(href=DEVICE_PATH, label=label, post=True, hidden=(("key", key), ("answer", label)))
            for label in ("refuse", "allow")
        ],
        app=shown["app"],
        host=host.title or asked.host,
        facts=[
            Fact(label="device_asks.from", value=asked.address),
            _asked_ago(ask.visit.now - asked.asked_at),
            Fact(label="device_asks.program", value=shown["program"]),
            Fact(label="device_asks.scopes", value=shown["scopes"]),
        ],
    )
    return answer(page)


async def _said(desk: Desk, ask: Ask, sent: Mapping[str, str]) -> Response:
    is_yes = sent.get("answer") == "allow"
    asked = await desk.device_flow.answer(ask.visit, sent["key"], is_yes=is_yes)
    if answers_json(ask):
        return answer(desk.pages.json(200, {"allowed": is_yes}))
    app = desk.authorizing.issuing.apps.by_id.get(asked.app)
    name = (app.name if app is not None else "") or asked.app
    return answer(desk.pages.message(ask.scene(), "device_let_in" if is_yes else "device_refused", app=name))


def _asked_ago(since_s: float) -> Fact:
    """Threat: a code that somebody got long before, and hands to people one by one."""
    minutes = int(max(since_s, 0.0) // 60)
    text = "device_asks.ago" if minutes else "device_asks.now"
    return Fact(label="device_asks.asked", value=str(minutes), text=text)


def _shown(asked: Asked, app: App) -> dict[str, str]:
    return {
        "app": app.name or app.id,
        "host": asked.host,
        "address": asked.address,
        "program": family_of(asked.user_agent).words or asked.user_agent[:80],
        "scopes": " ".join(asked.scopes),
    }


def _page(desk: Desk, ask: Ask, text: str, *, fault: str = "", status: int = 200) -> Page:
    return desk.pages.form(
        ask.scene(),
        "device",
        action=DEVICE_PATH,
        fields=[
            Field(
                name="user_code",
                label="device.label",
                value=text[:TYPED_MAX_CHARS],
                hint="device.example",
                fault=fault,
                autocomplete="one-time-code",
                keyboard="text",
                limit_chars=TYPED_MAX_CHARS,
            )
        ],
        submit="continue",
        status=status,
    )
