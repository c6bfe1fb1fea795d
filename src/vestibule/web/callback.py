"""The redirect URI of a client: where the provider sends people back."""

from __future__ import annotations

from msgspec.structs import replace
from starlette.responses import Response

from vestibule.errors import ClientError, StoreError, VestibuleError
from vestibule.web.answers import Desk, answer, failure, note, redirect
from vestibule.web.asking import Ask
from vestibule.web.signin import has_other_ways, remember


async def callback(desk: Desk, ask: Ask) -> Response:
    """`/@CLIENT/callback`: the end of a flow; the 303 takes the code out of the address."""
    if ask.method == "HEAD":
        raise ClientError("a sign-in is finished by GET", code="method_not_allowed", status=405)
    try:
        finished = await desk.signin.finish(ask.visit, ask.client, ask.params)
    except VestibuleError as error:
        return _way_back(desk, ask, error)
    if finished.session is not None:
        note(desk, ask, "signed_in", finished.session)
    remembered = (remember(ask.visit, ask.client),) if has_other_ways(ask) else ()
    return redirect(finished.location, (*finished.set_cookies, *remembered))


async def registered(desk: Desk, ask: Ask) -> Response:
    """A path that clients registered instead of `/@CLIENT/callback`: the callback of the one whose state comes."""
    return await callback(desk, replace(ask, client=_client_at(desk, ask)))


def _client_at(desk: Desk, ask: Ask) -> str:
    candidates = ask.visit.host.callbacks[ask.path.encode("ascii")]
    return desk.signin.client_of(ask.visit, candidates, ask.params.get("state", ""))


async def form_post(desk: Desk, ask: Ask) -> Response:
    """A provider's answer by form, which is not taken yet; its Origin is the provider's."""
    page = desk.pages.error(405, "form_post", scene=ask.scene())
    return answer(page.with_headers(("allow", "GET")))


def _way_back(desk: Desk, ask: Ask, error: VestibuleError) -> Response:
    """The page of a sign-in that failed: it leads to the same sign-in, to the same destination."""
    failed = desk.signin.failed(ask.visit, ask.client, ask.params)
    scene = ask.scene(rd=failed.rd, again=failed.again_url, other_ways=has_other_ways(ask))
    # While the store is away nothing is known, so no cookie is touched.
    set_cookies = () if isinstance(error, StoreError) else failed.set_cookies
    return failure(desk, ask, error, scene, set_cookies)
