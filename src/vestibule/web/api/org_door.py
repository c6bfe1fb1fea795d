"""The API of organisations at hosts that people sign in at: who runs one manages that one, by their session.

Only what stands below `/api/v1/orgs/SLUG` is answered, by the same resources as operators have;
`core.scope.WITHIN_ORG` says what of it is for who runs an organisation.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Send

from vestibule.core.organisation import ORGS_PATH, is_run_by
from vestibule.errors import ClientError, NotFound, VestibuleError
from vestibule.model import Session
from vestibule.service.admin import Asker
from vestibule.service.visit import Visit
from vestibule.web.api.office import Actor, Office
from vestibule.web.api.problem import about_of, failure
from vestibule.web.asking import ask_of, check_post
from vestibule.web.page import SIGN_IN_CHALLENGE

_READ = frozenset(("GET", "HEAD"))


class Beside:
    """What visits lead to: the API of organisations at hosts that have it, and else `own`."""

    def __init__(self, own: ASGIApp, api: ASGIApp, office: Office) -> None:
        self._own = own
        self._api = api
        self._office = office

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one visit."""
        visit: Visit = scope["state"]["visit"]
        path: str = scope["path"]
        is_ours = path == ORGS_PATH or path.startswith(f"{ORGS_PATH}/")
        if not is_ours or ORGS_PATH.encode() not in visit.host.own_paths:
            await self._own(scope, receive, send)
            return
        asker = Asker(is_owner=False, address=visit.address, request_id=visit.request_id, now=visit.now)
        try:
            actor = await self._actor(Request(scope))
        except VestibuleError as error:
            response = failure(error, asker, self._office.log, **about_of(scope["method"], path))
            if error.status == 401:
                response.headers["www-authenticate"] = SIGN_IN_CHALLENGE
            await response(scope, receive, send)
            return
        await self._api({**scope, "state": {"asker": asker, "actor": actor}}, receive, send)

    async def _actor(self, request: Request) -> Actor:
        """Who asks, if they run the organisation that the path names. Raises ClientError 401, 403, 404; StoreError.

        Whether they do is read of the store for each request. Threat: another site's page that acts with this person's
        cookie; somebody who learns here which organisations there are.
        """
        ask = ask_of(request)
        if ask.method not in _READ:
            check_post(ask)
        session = person_at(ask.visit)
        if session is None:
            raise ClientError("sign in first", code="sign_in_required", status=401)
        slug = ask.path.removeprefix(f"{ORGS_PATH}/").partition("/")[0]
        await check_runs(self._office, session, slug)
        return Actor(f"user {session.user_id}", org=slug)


def person_at(visit: Visit) -> Session | None:
    """The session of somebody whom this host knows; None: they are nobody here."""
    session = visit.session
    if session is None or not session.user_id:
        return None
    is_known = any(one.client in visit.host.sign_in for one in session.identities)
    return session if is_known else None


async def check_runs(office: Office, session: Session, slug: str) -> None:
    """Nothing, where they run the organisation. Raises ClientError 403 where they are its member, else NotFound."""
    own = await office.organisations.identity_of(session.user_id, session.identities)
    if own is None or slug not in own.orgs:
        raise NotFound("There is no such thing here.")
    if not is_run_by(slug, own):
        raise ClientError("this is for administrators of the organisation", code="org_admin", status=403)
