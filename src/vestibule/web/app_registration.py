"""`/@/register`: an app that nobody wrote into the configuration says what it is, and has an ID (RFC 7591).

Only where a host has `register_apps`. What is given is a public client: no secret, PKCE as for all, code and refresh.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import Response

from vestibule.core.app import redirect_fault
from vestibule.errors import ClientError, StoreError, TooManyTries
from vestibule.protocol.authorization_server import OAuthError, error_body
from vestibule.service.registered_apps import NAMELESS, Registered, app_of
from vestibule.web.answers import Desk, answer, write_refusal
from vestibule.web.asking import Ask
from vestibule.web.form import is_json
from vestibule.web.token import NO_STORE

REGISTER_PATH: Final = "/@/register"
REDIRECTS_MAX: Final = 10
NAME_MAX_CHARS: Final = 60
BODY_MAX_BYTES: Final = 4 * 1024


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked at of what a client says; the rest is not believed, and not repeated. RFC 7591 section 2."""

    redirect_uris: tuple[str, ...] = ()
    client_name: str = ""
    response_types: tuple[str, ...] = ("code",)
    grant_types: tuple[str, ...] = ("authorization_code",)


async def register(desk: Desk, ask: Ask) -> Response:
    """The ID of a new app, and what it may do; 404 where none may register. Spec: RFC 7591 section 3."""
    hosts = desk.registered.open_to(ask.visit.host)
    if not hosts:
        raise ClientError("no app may register itself here", code="not_found", status=404)
    more: tuple[tuple[str, str], ...] = ()
    try:
        said = registered_in(ask, ask.visit.now)
        client_id = await desk.registered.register(ask.visit, said)
    except OAuthError as error:
        _note(desk, ask, error.code, error.description)
        body, status = error_body(error), error.status
    except TooManyTries as error:
        _note(desk, ask, error.code, error.message)
        body, status = {"error": "temporarily_unavailable", "error_description": error.message}, error.status
        more = (("retry-after", str(error.retry_after_s)),)
    except StoreError as error:
        write_refusal(desk, ask, error)
        body, status = {"error": "temporarily_unavailable"}, 503
    else:
        desk.log.info(
            "app_registered",
            id=ask.visit.request_id,
            app=client_id,
            name=said.name,
            redirects=list(said.redirects),
            address=ask.visit.address,
        )
        body, status = _told(client_id, said, app_of(client_id, said, hosts).scopes), 201
    return answer(desk.pages.json(status, body).with_headers(*NO_STORE, *more))


def registered_in(ask: Ask, now: float) -> Registered:
    """What the client says of itself. Raises OAuthError `invalid_redirect_uri`, `invalid_client_metadata`.

    Threat: a redirect URI that carries codes away in the open, or runs in the browser (`javascript:`), and a name that
    hides what stands beside it on the page.
    """
    if not is_json(ask) or len(ask.body) > BODY_MAX_BYTES:
        raise OAuthError("invalid_client_metadata", "the body is a JSON object, and a short one")
    try:
        said = msgspec.json.decode(ask.body, type=Metadata)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise OAuthError("invalid_client_metadata", "the body can't be read") from None
    if not 0 < len(said.redirect_uris) <= REDIRECTS_MAX:
        raise OAuthError("invalid_redirect_uri", f"from one to {REDIRECTS_MAX} redirect_uris")
    for uri in said.redirect_uris:
        if fault := redirect_fault(uri, is_registered=True):
            raise OAuthError("invalid_redirect_uri", fault)
    if "code" not in said.response_types or "authorization_code" not in said.grant_types:
        raise OAuthError("invalid_client_metadata", "only the authorization code is given here")
    name = "".join(char for char in said.client_name if char.isprintable())[:NAME_MAX_CHARS].strip()
    redirects = tuple(dict.fromkeys(said.redirect_uris))
    return Registered(name=name or NAMELESS, redirects=redirects, registered_at=now)


def _told(client_id: str, said: Registered, scopes: tuple[str, ...]) -> dict[str, Any]:
    """Spec: RFC 7591 section 3.2.1: what it is now, whatever it asked for."""
    return {
        "client_id": client_id,
        "client_id_issued_at": int(said.registered_at),
        "client_name": said.name,
        "redirect_uris": list(said.redirects),
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        **({"scope": " ".join(scopes)} if scopes else {}),
    }


def _note(desk: Desk, ask: Ask, code: str, detail: str) -> None:
    desk.log.info(
        "token_refused",
        id=ask.visit.request_id,
        code=code,
        detail=detail,
        path=ask.path,
        address=ask.visit.address,
    )
