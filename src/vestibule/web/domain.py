"""Hosts of a domain and their auth host: what is done there alone, and the way over (`service.handoff`)."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.responses import Response

from vestibule.core.route import ACCOUNT_PATH, SIGN_IN_PATH
from vestibule.core.session import is_top
from vestibule.errors import ClientError, StoreError, VestibuleError
from vestibule.service.registering import is_waiting
from vestibule.web.answers import Desk, failure, note, redirect
from vestibule.web.asking import Ask
from vestibule.web.page import with_query


async def enter(desk: Desk, ask: Ask) -> Response:
    """`/@/enter`: back from the auth host; the 303 takes the code out of the address."""
    if ask.method == "HEAD":
        raise ClientError("a sign-in is finished by GET", code="method_not_allowed", status=405)
    try:
        finished = await desk.signin.handoffs.enter(ask.visit, ask.params)
    except VestibuleError as error:
        rd, set_cookies = desk.signin.handoffs.failed(ask.visit, ask.params)
        # While the store is away nothing is known, so no cookie is touched.
        set_cookies = () if isinstance(error, StoreError) else set_cookies
        again = with_query(SIGN_IN_PATH, rd=rd)
        return failure(desk, ask, error, ask.scene(rd=rd, again=again), set_cookies)
    if finished.session is not None:
        note(desk, ask, "entered", finished.session)
    return redirect(finished.location, finished.set_cookies)


def elsewhere(ask: Ask) -> str:
    """Where the auth host has what is asked for here; empty where it is this host's own.

    Account, linking and registration pages, and the callbacks of clients at top level. Who came by a client of the
    host's own, and is signed in here alone, has their pages here. What was sent by a form goes nowhere.
    """
    visit = ask.visit
    if not visit.site.auth_url:
        return ""
    if ask.path == ACCOUNT_PATH or ask.path.startswith(f"{ACCOUNT_PATH}/"):
        session = visit.session
        is_own = session is not None and session.host == visit.host.name.decode() and not session.parent_id
        if is_own or is_waiting(visit):
            return ""
        return f"{visit.site.auth_url}{ask.path if _reads(ask) else ACCOUNT_PATH}"
    if _is_callback(ask):
        query = f"?{urlencode(ask.params)}" if ask.params else ""
        return (
            f"{visit.site.auth_url}{ask.path}{query}"
            if _reads(ask)
            else f"{visit.site.auth_url}{SIGN_IN_PATH}"
        )
    return ""


def _reads(ask: Ask) -> bool:
    return ask.method in {"GET", "HEAD"}


def _is_callback(ask: Ask) -> bool:
    """True for the path that a client at top level would come back to."""
    clients = ask.visit.host.clients
    if ask.client:
        return ask.path.endswith("/callback") and is_top(clients.get(ask.client, "/"))
    registered = ask.visit.host.callbacks.get(ask.path.encode("ascii"), ())
    return bool(registered) and all(is_top(clients.get(client, "/")) for client in registered)
