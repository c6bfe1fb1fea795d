"""`/@/token`, `/@/revoke`, `/@/introspect`: what apps ask of the gateway by themselves, without a browser.

Answers are JSON and never kept by caches; errors are those of RFC 6749 section 5.2. Cookies are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from starlette.responses import Response

from vestibule.core.app import DEVICE_CODE, GRANT_TYPES, TOKEN_EXCHANGE, App
from vestibule.core.lockout import network_of
from vestibule.errors import ClientError, StoreError
from vestibule.model import Device
from vestibule.protocol.authorization_server import (
    ACCESS_TOKEN_TYPE,
    ClientShown,
    OAuthError,
    client_shown,
    error_body,
    scopes_in,
    token_answer,
)
from vestibule.service.issuing import Issued
from vestibule.web.answers import Desk, answer, write_refusal
from vestibule.web.asking import Ask
from vestibule.web.exchange import by_exchange
from vestibule.web.form import form_of
from vestibule.web.machine import CREDENTIALS, by_app, by_machine
from vestibule.web.page import Page

Grant = Callable[[Desk, Ask, App, Mapping[str, str]], Awaitable[Issued]]
_NOT_VAIN: Final = frozenset({"authorization_pending", "registration_required"})
"""Refusals that are the usual way of things."""
NO_STORE: Final = (("cache-control", "no-store"), ("pragma", "no-cache"))
"""On every answer that has a token in it. Spec: RFC 6749 section 5.1."""


async def token(desk: Desk, ask: Ask) -> Response:
    """The token endpoint. Spec: RFC 6749 section 3.2."""
    return await answered(desk, ask, _token, instead=by_machine)


async def revoke(desk: Desk, ask: Ask) -> Response:
    """Ends what a token stands for; 200 for any text, so that nobody learns which are tokens. Spec: RFC 7009."""
    return await answered(desk, ask, _revoke, instead=_revoke_machines)


async def introspect(desk: Desk, ask: Ask) -> Response:
    """What a token stands for, to apps with a secret. Spec: RFC 7662."""
    return await answered(desk, ask, _introspect)


async def _token(desk: Desk, ask: Ask, app: App, form: Mapping[str, str]) -> dict[str, Any]:
    name = form.get("grant_type", "")
    if not name:
        raise OAuthError("invalid_request", "grant_type is missing, or was sent twice")
    if name == CREDENTIALS and "credentials" in app.grants:
        return await by_app(desk, ask, app, form)
    grant = GRANTS.get(name)
    if grant is None and name != CREDENTIALS:
        raise OAuthError("unsupported_grant_type")
    # Of an exchange it depends on what is shown.
    if grant is None or (name != TOKEN_EXCHANGE and GRANT_TYPES[name] not in app.grants):
        raise OAuthError("unauthorized_client", "this app may not do that")
    issued = await grant(desk, ask, app, form)
    return answer_of(issued, token_type=ACCESS_TOKEN_TYPE if name == TOKEN_EXCHANGE else "")


def answer_of(issued: Issued, *, token_type: str = "") -> dict[str, Any]:
    """What the app is told. `token_type`: what was exchanged for (RFC 8693 section 2.2.1)."""
    return token_answer(
        issued.access_token,
        expires_in_s=issued.expires_in_s,
        scopes=issued.scopes,
        refresh_token=issued.refresh_token,
        token_type=token_type,
    )


async def _revoke_machines(
    desk: Desk, ask: Ask, shown: ClientShown, form: Mapping[str, str]
) -> dict[str, Any] | None:
    """A machine's own token, by whoever holds it: a machine needs no name, and who has its token could do more.

    None for what is an app's. Of one that is over there is nothing to end, and nobody needs to have a name for that:
    200 (RFC 7009 section 2.2).
    """
    if shown.id and shown.id not in desk.machines.machines.by_name:
        return None
    text = form.get("token", "")
    found = desk.machines.read(text, ask.visit.now)
    if found is None:
        is_over = desk.machines.is_over(text, ask.visit.now)
        return {} if shown.id or is_over else None
    if found.machine not in desk.machines.machines.by_name:
        return {} if shown.id else None
    if shown.id in {"", found.machine}:
        await desk.machines.revoke(found)
    return {}


async def _revoke(desk: Desk, ask: Ask, app: App, form: Mapping[str, str]) -> dict[str, Any]:
    text, now = form.get("token", ""), ask.visit.now
    own = desk.machines.read(text, now)
    if own is None:
        await desk.authorizing.issuing.revoke(app, text, now)
    elif own.app == app.id:
        await desk.machines.revoke(own)
    return {}


async def _introspect(desk: Desk, ask: Ask, app: App, form: Mapping[str, str]) -> dict[str, Any]:
    """Threat: anybody who tries tokens. A public app can't be told from anybody."""
    if app.is_public:
        raise OAuthError("unauthorized_client", "only an app with a secret may ask")
    issuing, text = desk.authorizing.issuing, form.get("token", "")
    machine = desk.machines.read(text, ask.visit.now)
    if machine is not None:
        host = desk.authorizing.host(machine.host) if machine.host in app.hosts else None
        return (
            {"active": False} if host is None else await desk.machines.described(machine, host, ask.visit.now)
        )
    return await issuing.introspected(app, text, ask.visit.now)


async def _by_code(desk: Desk, ask: Ask, app: App, form: Mapping[str, str]) -> Issued:
    issued = await desk.authorizing.take(
        app,
        form.get("code", ""),
        verifier=form.get("code_verifier", ""),
        redirect_uri=form.get("redirect_uri", ""),
        device=device_of(ask),
        now=ask.visit.now,
        resource=form.get("resource", ""),
    )
    await desk.registered.keep(app, ask.visit.host, ask.visit.now)
    return issued


async def _by_refresh(desk: Desk, ask: Ask, app: App, form: Mapping[str, str]) -> Issued:
    return await desk.authorizing.issuing.refresh(
        app,
        form.get("refresh_token", ""),
        scopes=scopes_in(form.get("scope", "")),
        host_of=desk.authorizing.host_of(app, form.get("resource", "")),
        now=ask.visit.now,
    )


async def _by_device(desk: Desk, ask: Ask, app: App, form: Mapping[str, str]) -> Issued:
    code = form.get("device_code", "")
    return await desk.device_flow.poll(app, code, device=device_of(ask), now=ask.visit.now)


GRANTS: Mapping[str, Grant] = MappingProxyType(
    {
        "authorization_code": _by_code,
        "refresh_token": _by_refresh,
        DEVICE_CODE: _by_device,
        TOKEN_EXCHANGE: by_exchange,
    }
)
"""What is done for each `grant_type`."""


def device_of(ask: Ask) -> Device:
    """What is known of the program that asks."""
    return Device(user_agent=ask.visit.user_agent, address=ask.visit.address)


def form_sent(ask: Ask) -> dict[str, str]:
    """The parameters of the form. Raises OAuthError `invalid_request`."""
    try:
        return form_of(ask)
    except ClientError as error:
        raise OAuthError("invalid_request", error.message, status=400) from None


async def no_app(
    _desk: Desk, _ask: Ask, _shown: ClientShown, _form: Mapping[str, str]
) -> dict[str, Any] | None:
    """Nobody but apps asks."""
    return None


async def answered(
    desk: Desk,
    ask: Ask,
    work: Callable[[Desk, Ask, App, Mapping[str, str]], Awaitable[dict[str, Any]]],
    *,
    read: Callable[[Ask], Mapping[str, str]] = form_sent,
    instead: Callable[[Desk, Ask, ClientShown, Mapping[str, str]], Awaitable[dict[str, Any] | None]] = no_app,
) -> Response:
    """What the work comes to, for the app that this is; every refusal as RFC 6749 section 5.2 has it.

    `read`: the parameters, those by which the app says who it is among them. `instead`: what it comes to for who is
    no app; None for an app. Who asks too much in vain is not looked at for a while: 429 `slow_down`, `Retry-After`.
    """
    tries, network, now = desk.authorizing.tries, network_of(ask.visit.address), ask.visit.now
    if wait_s := tries.wait_s(network, now):
        slow_down = OAuthError("slow_down", "too much from there came to nothing: wait", status=429)
        page = _refused(desk, ask, slow_down)
        return answer(page.with_headers(("retry-after", str(math.ceil(wait_s)))))
    tries.add(network, now)  # at once: many at a time are many
    is_vain = False
    try:
        form = read(ask)
        shown, issuing = client_shown(ask.authorization, form), desk.authorizing.issuing
        told = await instead(desk, ask, shown, form)
        if told is None:
            apps = await desk.registered.among(issuing.apps, shown.id, ask.visit.host, now)
            told = await work(desk, ask, issuing.authenticated(shown, apps), form)
        page = _page(desk, 200, told)
    except OAuthError as error:
        is_vain = error.status < 500 and error.code not in _NOT_VAIN
        page = _refused(desk, ask, error)
    except StoreError as error:
        write_refusal(desk, ask, error)
        page = _page(desk, 503, {"error": "temporarily_unavailable"})
    finally:
        if not is_vain:
            tries.take_back(network)
    return answer(page)


def _page(desk: Desk, status: int, body: Mapping[str, Any]) -> Page:
    return desk.pages.json(status, body).with_headers(*NO_STORE)


def _refused(desk: Desk, ask: Ask, error: OAuthError) -> Page:
    desk.log.info(
        "token_refused",
        id=ask.visit.request_id,
        code=error.code,
        detail=error.description,
        path=ask.path,
        address=ask.visit.address,
    )
    page = _page(desk, error.status, error_body(error))
    if error.status == 401 and ask.authorization:
        page = page.with_headers(("www-authenticate", 'Basic realm="apps"'))
    return page
