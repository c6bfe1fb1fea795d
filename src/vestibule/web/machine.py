"""Machines at `/@/token`: what each way of asking needs, and which requests are a machine's and not an app's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from vestibule.core.app import TOKEN_EXCHANGE, App
from vestibule.core.lockout import network_of
from vestibule.protocol.authorization_server import (
    ACCESS_TOKEN_TYPE,
    ClientShown,
    OAuthError,
    scopes_in,
    token_answer,
)
from vestibule.service.machines import AWS_REQUEST, ID_TOKEN, JWT, Given, Server, Wish
from vestibule.web.answers import Desk
from vestibule.web.asking import Ask

JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
"""Spec: RFC 7523 section 2.1."""
CREDENTIALS: Final = "client_credentials"
"""Spec: RFC 6749 section 4.4."""

_Work = Callable[[Desk, Ask, ClientShown, Mapping[str, str]], Awaitable[Given]]


async def by_machine(
    desk: Desk, ask: Ask, shown: ClientShown, form: Mapping[str, str]
) -> dict[str, Any] | None:
    """What a machine is answered; None for a request that is an app's. Raises OAuthError, StoreError.

    A machine needs no name of its own: its proof says which one it is.
    """
    name, kind = form.get("grant_type", ""), form.get("subject_token_type", "")
    work = MACHINE_GRANTS.get((name, kind if name == TOKEN_EXCHANGE else ""))
    is_named = shown.id in desk.machines.machines.by_name
    if work is None or not (is_named or name == JWT_BEARER or (not shown.id and name == TOKEN_EXCHANGE)):
        return None
    if shown.id and not is_named:
        raise OAuthError("invalid_client", "there is no machine of that name", status=401)
    if form.get("actor_token") or form.get("requested_token_type", "") not in ("", ACCESS_TOKEN_TYPE):
        raise OAuthError("invalid_request", "a machine gets access tokens, for itself alone")
    given = await _counted(desk, ask, partial(work, desk, ask, shown, form))
    return _answer(given, is_exchange=name == TOKEN_EXCHANGE)


async def by_app(desk: Desk, ask: Ask, app: App, form: Mapping[str, str]) -> dict[str, Any]:
    """What an app is answered that stands for itself, and has shown its secret."""
    wish = _wish(form, app.id)
    return _answer(await desk.machines.by_app(app, wish, server_of(desk, ask), ask.visit.now))


def server_of(desk: Desk, ask: Ask) -> Server:
    """Where it asks."""
    host = ask.visit.host
    return Server(host.name.decode("ascii"), ask.visit.site.base_url, desk.authorizing.hosts(host))


async def _counted(desk: Desk, ask: Ask, work: Callable[[], Awaitable[Given]]) -> Given:
    """What the work comes to. Threat: anybody who has this gateway ask AWS, or an issuer, without end."""
    place, tries, now = network_of(ask.visit.address), desk.machines.tries, ask.visit.now
    if tries.wait_s(place, now):
        raise OAuthError("slow_down", "too much from there came to nothing: wait a minute", status=429)
    tries.add(place, now)  # at once: many at a time are many tries
    is_refused = False
    try:
        return await work()
    except OAuthError as error:
        is_refused = error.status < 500
        raise
    finally:
        if not is_refused:
            tries.take_back(place)


async def _by_assertion(desk: Desk, ask: Ask, shown: ClientShown, form: Mapping[str, str]) -> Given:
    wish, server = _wish(form, shown.id), server_of(desk, ask)
    return await desk.machines.by_proof(JWT, form.get("assertion", ""), wish, server, ask.visit.now)


async def _by_subject_token(desk: Desk, ask: Ask, shown: ClientShown, form: Mapping[str, str]) -> Given:
    wish, server = _wish(form, shown.id), server_of(desk, ask)
    kind, text = form["subject_token_type"], form.get("subject_token", "")
    return await desk.machines.by_proof(kind, text, wish, server, ask.visit.now)


async def _by_key(desk: Desk, ask: Ask, shown: ClientShown, form: Mapping[str, str]) -> Given:
    wish, server = _wish(form, shown.id), server_of(desk, ask)
    return await desk.machines.by_key(shown.secret, wish, server, ask.visit.now)


MACHINE_GRANTS: Final[Mapping[tuple[str, str], _Work]] = MappingProxyType(
    {
        (CREDENTIALS, ""): _by_key,
        (JWT_BEARER, ""): _by_assertion,
        (TOKEN_EXCHANGE, JWT): _by_subject_token,
        (TOKEN_EXCHANGE, ID_TOKEN): _by_subject_token,
        (TOKEN_EXCHANGE, AWS_REQUEST): _by_subject_token,
    }
)
"""What is done for each `grant_type`, and of an exchange for each `subject_token_type`."""


def _wish(form: Mapping[str, str], name: str) -> Wish:
    resource = form.get("resource", "") or form.get("audience", "")
    return Wish(resource=resource, scopes=scopes_in(form.get("scope", "")), name=name)


def _answer(given: Given, *, is_exchange: bool = False) -> dict[str, Any]:
    return token_answer(
        given.access_token,
        expires_in_s=given.expires_in_s,
        scopes=given.scopes,
        token_type=ACCESS_TOKEN_TYPE if is_exchange else "",
    )
