"""Sessions: who is signed in, where and by what; what they hold at APIs; and their end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from starlette.responses import Response

from vestibule.admin_model import CredentialState, Revealed, TrafficPage
from vestibule.core.domain import realms_of
from vestibule.errors import Invalid
from vestibule.web.admin.allowed import may
from vestibule.web.admin.answers import Desk, page, see
from vestibule.web.admin.api import Refused, query_of, segment
from vestibule.web.admin.asking import Ask
from vestibule.web.admin.fields import fault_lines

PEOPLE_MAX: Final = 40
"""Of how many people sessions are asked for, where no host is named: the API lists them by person or host."""
TRAFFIC: Final = "20"
_LIMIT: Final = "50"


async def listed(desk: Desk, ask: Ask) -> Response:
    """Sessions of people who are found, or who were seen in the traffic of late; those used last first."""
    text, host = ask.params.get("text", "").strip(), ask.params.get("host", "").strip()
    if host and not text:
        return await _listed_at(desk, ask, host)
    people = await _people(ask, text)
    found: list[dict[str, Any]] = []
    for one in people[:PEOPLE_MAX]:
        items = (await ask.api.get("/sessions", user_id=one["id"], host=host))["items"]
        found += [{**session, "person": one} for session in items]
    if not text:
        found += [{**one, "person": None} for one in await _nobodys(ask)]
    found.sort(key=lambda session: str(session["seen_at"]), reverse=True)
    return page(
        desk,
        ask,
        "sessions.html",
        title="Sessions",
        sessions=found,
        text=text,
        host=host,
        is_cut=len(people) > PEOPLE_MAX,
        most=PEOPLE_MAX,
        domains=(),
        older="",
    )


async def _listed_at(desk: Desk, ask: Ask, host: str) -> Response:
    """All sessions that are good at a host, page by page, the newest first; where to find those of its domains."""
    listing = await ask.api.get("/sessions", host=host, limit=_LIMIT, cursor=ask.params.get("cursor", ""))
    people = {
        user_id: await _or_none(ask, f"/users/{segment(user_id)}") if user_id else None
        for user_id in dict.fromkeys(one["user_id"] for one in listing["items"])
    }
    domains = [
        realm
        for realm in realms_of(host)[1:]
        if (await ask.api.get("/sessions", host=realm, limit="1"))["items"]
    ]
    older = listing["next"]
    return page(
        desk,
        ask,
        "sessions.html",
        title=f"Sessions at {host}",
        sessions=[{**one, "person": people[one["user_id"]]} for one in listing["items"]],
        text="",
        host=host,
        is_cut=False,
        most=PEOPLE_MAX,
        domains=domains,
        older=f"/sessions{query_of({'host': host, 'cursor': older})}" if older else "",
    )


async def shown(desk: Desk, ask: Ask) -> Response:
    """One session."""
    return await _page(desk, ask)


async def reveal(desk: Desk, ask: Ask) -> Response:
    """POST: the tokens of one credential, on the answer to it alone."""
    session_id, client = ask.places["id"], ask.form.get("client", "")
    path = f"/sessions/{segment(session_id)}/credentials/{segment(client)}/reveal"
    try:
        told = await ask.api.post(path, {"reason": ask.form.get("reason", "").strip()}, Revealed)
    except Invalid as error:
        faults = fault_lines(error.faults)
        return await _page(desk, ask, status=422, fault_at=client, fault=faults.get("reason", error.message))
    # Not by a redirect: a secret stands in no address and no cookie.
    return page(
        desk,
        ask,
        "session_revealed.html",
        title="The tokens",
        session_id=session_id,
        client=told.client,
        tokens=[
            (label, secret.reveal())
            for label, secret in (
                ("Access token", told.access_token),
                ("Refresh token", told.refresh_token),
                ("ID token", told.id_token),
            )
            if secret is not None
        ],
    )


async def end(desk: Desk, ask: Ask) -> Response:
    """POST: it ends."""
    await ask.api.delete(f"/sessions/{segment(ask.places['id'])}")
    user_id = ask.form.get("user_id", "")
    back = f"/people/{segment(user_id)}" if user_id else "/sessions"
    return see(desk, ask, back, "The session has ended.")


async def _page(desk: Desk, ask: Ask, *, status: int = 200, fault_at: str = "", fault: str = "") -> Response:
    one = await ask.api.get(f"/sessions/{segment(ask.places['id'])}")
    person = await _or_none(ask, f"/users/{segment(one['user_id'])}") if one["user_id"] else None
    held = await _or_none(ask, f"/sessions/{segment(one['id'])}/credentials", tuple[CredentialState, ...])
    traffic = await _or_none(ask, "/traffic", TrafficPage, session_id=one["id"], limit=TRAFFIC)
    return page(
        desk,
        ask,
        "session.html",
        title=f"Session of {named(person)}" if person else "Session",
        status=status,
        one=one,
        person=person,
        credentials=held,
        rows=traffic.items if traffic is not None else (),
        may=may(ask),
        fault_at=fault_at,
        fault=fault,
    )


async def _people(ask: Ask, text: str) -> list[dict[str, Any]]:
    if text:
        return list((await ask.api.get("/users", text=text, limit="100"))["items"])
    seen = await _or_none(ask, "/traffic", TrafficPage, limit="1000")
    recent = dict.fromkeys(row.user_id for row in seen.items if row.user_id) if seen is not None else {}
    listing = (await ask.api.get("/users", limit="100"))["items"]
    known = {one["id"]: one for one in listing}
    more = [
        await _or_none(ask, f"/users/{segment(one)}") for one in list(recent)[:PEOPLE_MAX] if one not in known
    ]
    known |= {one["id"]: one for one in more if one is not None}
    latest = sorted(listing, key=lambda one: str(one["seen_at"] or ""), reverse=True)
    return _once([*(known[one] for one in recent if one in known), *latest])


async def _nobodys(ask: Ask) -> list[dict[str, Any]]:
    """Sessions of the traffic that belong to no account, such as those of a plain `oauth` client."""
    seen = await _or_none(ask, "/traffic", TrafficPage, limit="1000")
    rows = seen.items if seen is not None else ()
    ids = list(dict.fromkeys(row.session_id for row in rows if row.session_id and not row.user_id))
    found = [await _or_none(ask, f"/sessions/{segment(one)}") for one in ids[:PEOPLE_MAX]]
    return [one for one in found if one is not None]


def _once(people: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({one["id"]: one for one in people}.values())


async def _or_none(ask: Ask, path: str, of: Any = Any, **query: str) -> Any:
    """What stands there; None where it is gone, or not for who asks."""
    try:
        return await ask.api.get(path, of, **query)
    except Refused as error:
        if error.status not in {403, 404}:
            raise
        return None


def named(person: dict[str, Any]) -> str:
    """A person in a word."""
    return str(person["name"] or person["email"] or person["login"] or person["id"])
