"""Who is signed in, as JSON."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from vestibule.core.route import Host
from vestibule.model import Session
from vestibule.web.answers import Desk, answer, problem
from vestibule.web.asking import Ask
from vestibule.web.page import iso


async def session(desk: Desk, ask: Ask) -> Response:
    """`/@/session`: who, by which clients, until when; 401 when nobody is whom this host knows. Never a token."""
    visit = ask.visit
    described = describe(visit.session, visit.host) if visit.session is not None else {}
    if not described.get("user") and not described.get("providers"):
        return answer(problem(desk, ask, 401, "sign_in_required"))
    return answer(desk.pages.json(200, described))


def describe(session: Session, host: Host) -> dict[str, Any]:
    """The session in public. `user` is null where only plain OAuth credentials were given, or by other hosts' clients.

    `providers` are IDs as in paths, `Proxy-Provider` and `session:ID`.
    """
    ids = {full: client for client, full in host.clients.items()}
    person = next((known for known in session.identities if known.client in host.sign_in), None)
    return {
        "user": {
            "id": session.user_id,
            "login": person.login,
            "name": person.name,
            "email": person.email,
        }
        if person is not None
        else None,
        "providers": [ids[name] for name in session.clients if name in ids],
        "signed_in_at": iso(session.created_at),
        "expires_at": iso(min(session.expires_at, session.seen_at + session.idle_s)),
        "ends_at": iso(session.expires_at),
    }
