"""What the handlers of one's own account share: who may, and how fresh their sign-in must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from vestibule.core.route import ACCOUNT_PATH, SIGN_IN_PATH
from vestibule.errors import ClientError
from vestibule.model import Session
from vestibule.service.linking import is_fresh
from vestibule.web.answers import Desk, answer, failure, redirect
from vestibule.web.asking import Ask
from vestibule.web.form import answers_json
from vestibule.web.page import with_query


def person(ask: Ask) -> Session:
    """The session, which has a person. Raises ClientError `sign_in_required`."""
    session = ask.visit.session
    if session is None or not session.user_id:
        raise ClientError("nobody is signed in", code="sign_in_required", status=401)
    return session


def is_stale(ask: Ask, session: Session) -> bool:
    """True where somebody must sign in once more before a program is let in.

    Threat: a page of an app of this host that presses the buttons of ours. At an auth host there is none.
    """
    domain = ask.visit.host.domain
    is_apart = domain is not None and domain.auth == ask.visit.host.name
    return not is_apart and not is_fresh(session, ask.visit.now)


def sign_in_again(desk: Desk, ask: Ask, session: Session, *, rd: str = ACCOUNT_PATH) -> Response:
    """Asks to sign in once more, by the client the person came by, and back."""
    ids = {full: client for client, full in ask.visit.host.clients.items()}
    known = [ids[identity.client] for identity in session.identities if identity.client in ids]
    path = f"/@{known[0]}/signin" if known else SIGN_IN_PATH
    again = with_query(path, prompt="login", rd=rd)
    error = ClientError("this needs a fresh sign-in", code="sign_in_again", status=403)
    return failure(desk, ask, error, ask.scene(again=again))


def back(desk: Desk, ask: Ask, done: Mapping[str, Any]) -> Response:
    """To the account page, or to a program what was done."""
    return answer(desk.pages.json(200, done)) if answers_json(ask) else redirect(ACCOUNT_PATH)
