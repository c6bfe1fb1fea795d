"""What pages of other sites may read: clients of MCP in browsers, of what any program may ask.

Nothing here goes by a cookie, and `*` never comes with one: such a page has what a program of its author's has.

Spec: Fetch Standard section 3.3 (CORS protocol); OAuth 2.0 for Browser-Based Applications (draft) section 6.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from vestibule.core.route import Host
from vestibule.web.answers import Desk
from vestibule.web.asking import Ask

ANY_ORIGIN: Final = (("access-control-allow-origin", "*"),)
_TOLD: Final = (*ANY_ORIGIN, ("access-control-expose-headers", "WWW-Authenticate, Retry-After"))
_PREFLIGHT: Final = (
    *ANY_ORIGIN,
    ("access-control-allow-methods", "GET, POST"),
    ("access-control-allow-headers", "Authorization, Content-Type, MCP-Protocol-Version"),
    ("access-control-max-age", "600"),
)


async def preflight(_desk: Desk, _ask: Ask) -> Response:
    """The answer to what a browser asks first, where pages of other sites may read (`is_open`)."""
    return Response(b"", 204, dict(_PREFLIGHT))


def opened(desk: Desk, host: Host, response: Response) -> Response:
    """The answer as pages of other sites may read it, where they may."""
    if is_open(desk, host):
        response.headers.update(dict(_TOLD))
    return response


def is_open(desk: Desk, host: Host) -> bool:
    """True where clients of MCP get tokens: at its host, or for one that this host signs people in for."""
    if host.mcp:
        return True
    served = (desk.authorizing.host(name) for name in desk.authorizing.hosts(host))
    return any(one is not None and one.mcp for one in served)
