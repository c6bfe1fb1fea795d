"""Token exchange (RFC 8693) at `/@/token` for apps: one token shown, another given.

What is shown decides how it is looked at, and which grant the app needs for it. A machine shows an outside token and
is no app: that is elsewhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from vestibule.core.app import App, GrantName
from vestibule.protocol.authorization_server import (
    ACCESS_TOKEN_TYPE,
    ID_TOKEN_TYPE,
    JWT_TYPE,
    OAuthError,
    scopes_in,
)
from vestibule.service.issuing import Issued
from vestibule.web.answers import Desk
from vestibule.web.asking import Ask
from vestibule.web.native import by_id_token

if TYPE_CHECKING:
    Work = Callable[[Desk, Ask, App, Mapping[str, str]], Awaitable[Issued]]

_REQUESTED: Final = frozenset({"", ACCESS_TOKEN_TYPE})
"""What can be asked for: an access token, and a session's refresh token along with it where there is one."""


class Exchange(msgspec.Struct, frozen=True):
    """What is done with one type of token."""

    grant: GrantName
    """What the app needs among its own."""
    work: Work


async def by_exchange(desk: Desk, ask: Ask, app: App, form: Mapping[str, str]) -> Issued:
    """What the token shown is exchanged for. Raises OAuthError.

    Threat: an `actor_token` that is overlooked, and a token that says less of who acts than was asked for.
    Spec: RFC 8693 section 2.1.
    """
    # 1. Nobody acts for somebody else: a token is its app's.
    if form.get("actor_token") or form.get("actor_token_type"):
        raise OAuthError("invalid_request", "actor_token is not supported")
    # 2. Access tokens alone are given.
    if form.get("requested_token_type", "") not in _REQUESTED:
        raise OAuthError("invalid_request", "only access tokens can be requested")
    # 3. What is shown.
    exchange = EXCHANGES.get(form.get("subject_token_type", ""))
    if exchange is None:
        raise OAuthError("invalid_request", "subject_token_type is missing, or not supported")
    if exchange.grant not in app.grants:
        raise OAuthError("unauthorized_client", "this app may not do that")
    if not form.get("subject_token"):
        raise OAuthError("invalid_request", "subject_token is missing")
    return await exchange.work(desk, ask, app, form)


async def _of_access_token(desk: Desk, ask: Ask, app: App, form: Mapping[str, str]) -> Issued:
    """A narrower token of the same session."""
    asked_for = form.get("resource", "") or form.get("audience", "")
    return await desk.authorizing.narrowed(
        app,
        form["subject_token"],
        resource=asked_for,
        scopes=scopes_in(form.get("scope", "")),
        here=ask.visit.host,
        now=ask.visit.now,
    )


async def _of_assertion(desk: Desk, ask: Ask, app: App, form: Mapping[str, str]) -> Issued:
    """A narrower token of the session that asked a backend of the app's."""
    return await desk.authorizing.by_assertion(
        app,
        form["subject_token"],
        issuer=ask.visit.site.base_url,
        resource=form.get("resource", "") or form.get("audience", ""),
        scopes=scopes_in(form.get("scope", "")),
        here=ask.visit.host,
        now=ask.visit.now,
    )


EXCHANGES: Mapping[str, Exchange] = MappingProxyType(
    {
        ACCESS_TOKEN_TYPE: Exchange("exchange", _of_access_token),
        ID_TOKEN_TYPE: Exchange("native", by_id_token),
        JWT_TYPE: Exchange("exchange", _of_assertion),
    }
)
"""What is done with a subject token, by its type."""
