"""`/@/registration`: the registration form of a newcomer whom an app signed in by itself, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from vestibule.core import registration as rules
from vestibule.core.app import App
from vestibule.protocol.authorization_server import OAuthError
from vestibule.web.answers import Desk
from vestibule.web.asking import Ask
from vestibule.web.form import LIMIT_BYTES, is_json
from vestibule.web.native import let_in, told
from vestibule.web.registration import FAULT_WORDS
from vestibule.web.token import answer_of, answered


class _Sent(msgspec.Struct, frozen=True):
    """What an app posts."""

    token: str = ""
    client_id: str = ""
    client_secret: str | None = None
    fields: dict[str, str | bool | None] = {}


async def register(desk: Desk, ask: Ask) -> Response:
    """The answer of the token endpoint, once; with faults, 422, a text for each, and nothing has happened."""
    return await answered(desk, ask, _register, read=_form)


async def _register(desk: Desk, ask: Ask, app: App, form: Mapping[str, str]) -> dict[str, Any]:
    newcomer = await desk.native.newcomer(ask.visit, app, form["token"])
    values = {name: _text(value) for name, value in _sent(ask).fields.items() if value is not None}
    filled, faults = rules.filled(values, desk.people.rules)
    if faults:
        scene = ask.scene_of_nobody()
        texts = {name: desk.pages.words(scene, FAULT_WORDS[code]) for name, code in faults.items()}
        raise OAuthError("invalid_request", "a field can't be used", status=422, more={"faults": texts})
    work = desk.native.register(ask.visit, app, form["token"], filled)
    issued = await let_in(desk, ask, newcomer.provider, work)
    await told(desk, ask, newcomer.provider, "registered", issued)
    return answer_of(issued)


def _form(ask: Ask) -> dict[str, str]:
    """Who the app is and which registration it means. Raises OAuthError `invalid_request`."""
    sent = _sent(ask)
    shown = {"client_id": sent.client_id, "token": sent.token}
    if ask.authorization and not sent.client_id:
        del shown["client_id"]
    return shown if sent.client_secret is None else {**shown, "client_secret": sent.client_secret}


def _sent(ask: Ask) -> _Sent:
    if not is_json(ask) or len(ask.body) > LIMIT_BYTES:
        raise OAuthError("invalid_request", "it takes a JSON object of at most 64 KiB")
    try:
        return msgspec.json.decode(ask.body, type=_Sent)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise OAuthError("invalid_request", "token and fields, a JSON object of texts") from None


def _text(value: str | bool) -> str:  # noqa: FBT001 - a value of JSON
    return value if isinstance(value, str) else ("yes" if value else "")
