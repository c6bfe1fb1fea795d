"""Who asks, as the gateway tells it: the services of the forum see no cookie of it, no token and no provider."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from aiohttp import web
from aiohttp.typedefs import Handler


@dataclass(frozen=True)
class Caller:
    """A person who is signed in, in a browser or an app: that is all the same here."""

    id: str
    """The key for them: never their address, never a provider's id."""
    name: str


def caller(request: web.Request) -> Caller | None:
    """Who asks; None where nobody is signed in. Nobody but the gateway can set these headers (docs/headers.md)."""
    user_id = request.headers.get("User-Id", "")
    return Caller(user_id, unquote(request.headers.get("User-Name", ""))) if user_id else None


def somebody(request: web.Request) -> Caller:
    """Who asks. Raises 401, which the gateway has answered already where the route asks for sign-in."""
    found = caller(request)
    if found is None:
        raise web.HTTPUnauthorized(text='{"code": "sign_in_required"}', content_type="application/json")
    return found


@web.middleware
async def no_credentials(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A token of an app ends at the gateway: one that came as far as this is a fault, and nothing is done."""
    if "Authorization" in request.headers:
        raise web.HTTPInternalServerError(text="a credential came to a service")
    return await handler(request)


def serve(app: web.Application, port: int) -> None:
    """On this machine alone: whoever could reach a service could say that they are anybody."""
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)
