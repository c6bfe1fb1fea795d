"""What a SAML provider is told of a client of ours, and logouts that browsers bring from it.

Nobody's cookie counts here: a message is believed for its signature, and ends the sessions that it names.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from vestibule.core import flow as flows
from vestibule.core.route import SIGNED_OUT_PATH
from vestibule.errors import BadRequest, ClientError
from vestibule.providers.base import Form, Told
from vestibule.service.outcome import SignedOut
from vestibule.web.answers import Desk, answer, redirect
from vestibule.web.asking import Ask
from vestibule.web.form import form_of
from vestibule.web.logout import note_ended
from vestibule.web.onward import away
from vestibule.web.page import Page

METADATA_TYPE: Final = "application/samlmetadata+xml"
LOGOUT_MAX_BYTES: Final = 128 * 1024


async def metadata(desk: Desk, ask: Ask) -> Response:
    """`/@CLIENT/metadata`: what to register at the provider. Spec: saml-metadata section 2.4."""
    body = desk.signin.saml(ask.visit, ask.client).metadata(_callback(ask))
    headers = (
        ("content-type", METADATA_TYPE),
        ("cache-control", "no-store"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("x-content-type-options", "nosniff"),
        ("content-disposition", 'attachment; filename="metadata.xml"'),
    )
    return answer(Page(200, headers, body))


async def logout(desk: Desk, ask: Ask) -> Response:
    """GET and POST `/@CLIENT/logout`: the provider says that a session is over, or answers that it is over there.

    Spec: saml-profiles section 4.4. What is named has ended, for good and everywhere, before the browser goes back.
    """
    if ask.method == "HEAD":
        raise ClientError("a session is ended by GET or POST", code="method_not_allowed", status=405)
    sent = form_of(ask, limit_bytes=LOGOUT_MAX_BYTES) if ask.method == "POST" else {}
    if ask.method == "POST" and not sent:
        raise BadRequest("there is no message")
    told = Told(query="" if sent else ask.query, form=sent, redirect_uri=_callback(ask), now=ask.visit.now)
    name = ask.visit.host.clients[ask.client]
    ending, ended = await desk.signin.logouts.by_browser(name, told)
    note_ended(desk, ask, ended)
    reply = ending.reply
    if reply is None:
        return redirect(SIGNED_OUT_PATH)
    form = reply if isinstance(reply, Form) else None
    location = reply.action if isinstance(reply, Form) else reply
    return away(desk.pages, ask.scene_of_nobody(), SignedOut(location, (), form))


def _callback(ask: Ask) -> str:
    return flows.redirect_uri(ask.visit.site.base_url, ask.client)
