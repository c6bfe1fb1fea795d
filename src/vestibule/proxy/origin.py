"""Whether a page may open a WebSocket here: one of this site, or one that is listed."""

from __future__ import annotations

from vestibule.errors import BadRequest
from vestibule.model import Session
from vestibule.protocol import websocket
from vestibule.protocol.h1 import RequestHead
from vestibule.proxy.judge import Ask


def check_origin(head: RequestHead, ask: Ask, session: Session | None) -> None:
    """Nothing, where no page of another site is behind a WebSocket, or one that is listed. Raises BadRequest.

    Spec: RFC 6455 section 10.2. Threat: cross-site WebSocket hijacking: browsers send cookies with it, the app's own
    too, and ask no CORS. Who sends no Origin is no browser.
    """
    origin = head.value(b"origin")
    carries = session is not None or head.cookies or head.authorization
    passage = ask.route.passage
    listed = passage.origins if passage is not None else frozenset[str]()
    if carries and origin and not websocket.is_own_origin(origin, ask.view.site.base_url, listed):
        raise BadRequest("a page of another site may not open this", code="foreign_origin", status=403)
