"""The redirect URI of a client: where the provider sends people back."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace
from starlette.responses import Response

from vestibule.core import flow as flows
from vestibule.errors import ClientError, StoreError, VestibuleError
from vestibule.providers.base import SAML_ANSWER
from vestibule.web.answers import Desk, failure, redirect
from vestibule.web.arriving import arrived, refused
from vestibule.web.asking import Ask
from vestibule.web.form import answer_of
from vestibule.web.signin import has_other_ways, remember


async def callback(desk: Desk, ask: Ask) -> Response:
    """`/@CLIENT/callback`: the end of a flow; the 303 takes the code out of the address."""
    if ask.method == "HEAD":
        raise ClientError("a sign-in is finished by GET", code="method_not_allowed", status=405)
    try:
        finished = await desk.signin.finish(ask.visit, ask.client, ask.params)
    except VestibuleError as error:
        await refused(desk, ask, error)
        return _way_back(desk, ask, error)
    known: tuple[str, ...] = ()
    if finished.session is not None:
        known = await arrived(desk, ask, "signed_in", finished.session)
    remembered = (remember(ask.visit, ask.client),) if has_other_ways(ask) else ()
    return redirect(finished.location, (*finished.set_cookies, *known, *remembered))


async def registered(desk: Desk, ask: Ask) -> Response:
    """A path that clients registered instead of `/@CLIENT/callback`: the callback of the one whose state comes."""
    return await callback(desk, replace(ask, client=_client_at(desk, ask, ask.params)))


async def registered_form_post(desk: Desk, ask: Ask) -> Response:
    """The same for an answer by form."""
    return await form_post(desk, replace(ask, client=_client_at(desk, ask, answer_of(ask))))


def _client_at(desk: Desk, ask: Ask, params: Mapping[str, str]) -> str:
    candidates = ask.visit.host.callbacks[ask.path.encode("ascii")]
    return desk.signin.client_of(ask.visit, candidates, params.get("state", ""))


async def form_post(desk: Desk, ask: Ask) -> Response:
    """A provider's answer by form, from its own origin: parked, and taken by the GET that follows.

    A POST of another site brings no cookie of ours, so it can't be told whose sign-in this is: it never completes.
    """
    sent = answer_of(ask)
    ask = replace(ask, params=sent)
    try:
        if SAML_ANSWER in sent and not flows.is_state(sent["state"]):
            return redirect(desk.signin.unsolicited(ask.visit, ask.client, sent["state"]))
        location = await desk.signin.park_answer(ask.visit, ask.client, sent)
    except VestibuleError as error:
        return _way_back(desk, ask, error)
    return redirect(location)


def _way_back(desk: Desk, ask: Ask, error: VestibuleError) -> Response:
    """The page of a sign-in that failed: it leads to the same sign-in, to the same destination."""
    failed = desk.signin.failed(ask.visit, ask.client, ask.params)
    scene = ask.scene(rd=failed.rd, again=failed.again_url, other_ways=has_other_ways(ask))
    # While the store is away nothing is known, so no cookie is touched.
    set_cookies = () if isinstance(error, StoreError) else failed.set_cookies
    return failure(desk, ask, error, scene, set_cookies)
