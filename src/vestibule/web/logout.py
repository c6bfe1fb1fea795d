"""Where providers say that a session of theirs is over (OpenID Connect Back-Channel and Front-Channel Logout 1.0).

Nobody's cookie counts here: the one is posted by the provider's server, the other stands in a frame of its page.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from vestibule.errors import BadRequest, ClientError, ProviderError, StoreError, VestibuleError
from vestibule.model import RETRY_AFTER_S, Secret, Session
from vestibule.service.cookies import without_session
from vestibule.web.answers import Desk, answer, note, write_refusal
from vestibule.web.asking import Ask
from vestibule.web.form import form_of
from vestibule.web.page import framed_page, json_page

#: what goes out as it is; whatever else is wrong with a request is 400 (section 2.8)
_KEPT: Final = frozenset({404, 413, 501})
_FRAMED: Final = "<!doctype html><html lang=en><meta charset=utf-8><title>Signed out</title><p>Signed out."


async def back_channel(desk: Desk, ask: Ask) -> Response:
    """POST `/@CLIENT/backchannel`: a logout token. 200 once what it means has ended, for good, everywhere.

    Spec: Back-Channel Logout 1.0 sections 2.5 and 2.8.
    """
    try:
        raw = form_of(ask).get("logout_token", "")
        if not raw:
            raise BadRequest("there is no logout_token")
        name = ask.visit.host.clients[ask.client]
        ended = await desk.signin.logouts.by_token(name, Secret(raw), ask.visit.now)
    except VestibuleError as error:
        return _refusal(desk, ask, error)
    note_ended(desk, ask, ended)
    return answer(json_page(200, {}))


async def front_channel(desk: Desk, ask: Ask) -> Response:
    """GET `/@CLIENT/frontchannel?iss=&sid=`: an empty page, framed by one of the provider's, once that has ended.

    Spec: Front-Channel Logout 1.0 sections 2 and 3.
    """
    if ask.method == "HEAD":
        raise ClientError("a session is ended by GET", code="method_not_allowed", status=405)
    visit = ask.visit
    name = visit.host.clients[ask.client]
    issuer, sid = ask.params.get("iss", ""), ask.params.get("sid", "")
    ended = await desk.signin.logouts.by_frame(name, issuer, sid, visit.address, visit.now)
    note_ended(desk, ask, ended)
    own = visit.session
    is_own = own is not None and not {own.id, own.parent_id}.isdisjoint(one.id for one in ended)
    origins = await desk.signin.logouts.frame_origins(name)
    return answer(framed_page(_FRAMED, origins), without_session(visit.site) if is_own else ())


def note_ended(desk: Desk, ask: Ask, ended: tuple[Session, ...]) -> None:
    """Log that the provider has told, whether or not anything was to be done; and who went by it."""
    visit = ask.visit
    desk.log.info(
        "provider_logout",
        id=visit.request_id,
        host=visit.host.name,
        client=ask.client,
        ended=len(ended),
        address=visit.address,
    )
    for session in ended:
        note(desk, ask, "signed_out_by_provider", session)


def _refusal(desk: Desk, ask: Ask, error: VestibuleError) -> Response:
    """The JSON of section 2.8. What couldn't be known now may be asked again: 503."""
    write_refusal(desk, ask, error)
    if isinstance(error, StoreError | ProviderError):
        page = json_page(503, {"error": "temporarily_unavailable"})
        return answer(page.with_headers(("retry-after", str(RETRY_AFTER_S))))
    status = error.status if error.status in _KEPT else 400
    detail = f"{error.code}: {error.detail or error.message}" if isinstance(error, ClientError) else ""
    return answer(json_page(status, {"error": "invalid_request", "error_description": detail}))
