"""The devices that a person is signed in on, on their own page; the way to sign out one, or all others.

No fresh sign-in is asked for: it takes nothing but a session, and who has the account can come back. Whoever stole a
session can throw its owner out by it, as the owner can throw them out; only the owner gets in again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.responses import Response

from vestibule.core.app import is_registered_id
from vestibule.core.device import Held, KnownDevice, family_of, held_by
from vestibule.core.event import Event
from vestibule.core.route import ACCOUNT_PATH, SIGNED_OUT_PATH
from vestibule.errors import BadRequest
from vestibule.model import Session
from vestibule.service.cookies import without_session
from vestibule.web.answers import Desk, answer, note, redirect
from vestibule.web.asking import Ask
from vestibule.web.blocks import Action, DeviceLine
from vestibule.web.form import answers_json, told
from vestibule.web.page import day, iso
from vestibule.web.person import back, person

SIGN_OUT_DEVICE_PATH: Final = f"{ACCOUNT_PATH}/devices/signout"
SIGN_OUT_OTHERS_PATH: Final = f"{ACCOUNT_PATH}/devices/signout_others"


async def devices_of(desk: Desk, session: Session) -> tuple[Held, ...]:
    """The person's devices: this one first, then the one seen last."""
    found = held_by(await desk.people.sessions_of(session.user_id))
    return tuple(sorted(found, key=lambda one: not one.is_of(session)))


async def sign_out_device(desk: Desk, ask: Ask) -> Response:
    """POST: signs one device out, everywhere at once. One that is signed out already is no fault."""
    session = person(ask)
    key = told(ask).get("id", "")
    if not key:
        raise BadRequest("the device to sign out isn't named")
    meant = [one for one in await devices_of(desk, session) if _key(desk, one) == key]
    await _end(desk, ask, meant)
    note(desk, ask, "device_signed_out", session)
    if not any(one.is_of(session) for one in meant):
        return back(desk, ask, {"signed_out": len(meant)})
    gone = without_session(ask.visit.site)
    if answers_json(ask):
        return answer(desk.pages.json(200, {"signed_out": len(meant)}), gone)
    return redirect(SIGNED_OUT_PATH, gone)


async def sign_out_others(desk: Desk, ask: Ask) -> Response:
    """POST: signs all devices out but this one."""
    session = person(ask)
    others = [one for one in await devices_of(desk, session) if not one.is_of(session)]
    await _end(desk, ask, others)
    note(desk, ask, "other_devices_signed_out", session)
    return back(desk, ask, {"signed_out": len(others)})


async def _end(desk: Desk, ask: Ask, meant: Iterable[Held]) -> None:
    await asyncio.gather(*(_end_one(desk, one, ask.visit.now) for one in meant))


async def _end_one(desk: Desk, held: Held, now: float) -> None:
    # What was handed on would end with the rest, but then nobody would have its tokens revoked.
    for one in (*held.children, held.session):
        await desk.people.end_session(one, now)


# -- what is shown ----------------------------------------------------------------------------


async def names_of(desk: Desk, ask: Ask, devices: Iterable[Held]) -> Mapping[str, str]:
    """What people know each app by whose session one of these is; one that registered itself, in quotation marks.

    Threat: a name that an app gave itself, taken for one that somebody has checked.
    """
    found: dict[str, str] = {}
    for app in {held.session.app for held in devices} - {""}:
        if is_registered_id(app):
            name = await desk.registered.name_of(app, ask.visit.host, ask.visit.now)
            found[app] = f"“{name}”" if name else ""
        else:
            known = desk.authorizing.issuing.apps.by_id.get(app)
            found[app] = app if known is None else known.name or known.id
    return found


def device_line(desk: Desk, held: Held, session: Session, names: Mapping[str, str]) -> DeviceLine:
    """The device as a line of the account page; this one has no button, the page has its own. `names`: of apps."""
    family = family_of(held.session.device.user_agent)
    is_this = held.is_of(session)
    leave = Action(href=SIGN_OUT_DEVICE_PATH, label="sign_out", post=True, hidden=(("id", _key(desk, held)),))
    return DeviceLine(
        browser=names.get(held.session.app) or family.browser,
        system=family.system,
        address=held.session.device.address,
        hosts=", ".join(held.hosts),
        since=day(held.session.created_at),
        seen=day(held.seen_at),
        service=held.session.made_by,
        is_this=is_this,
        actions=() if is_this else (leave,),
    )


def described_device(desk: Desk, held: Held, session: Session, names: Mapping[str, str]) -> dict[str, Any]:
    """The device for programs; `id` is what a POST names it by, and no id of a session."""
    family = family_of(held.session.device.user_agent)
    return {
        "id": _key(desk, held),
        "app": held.session.app,
        "app_name": names.get(held.session.app, ""),
        "browser": family.browser,
        "system": family.system,
        "address": held.session.device.address,
        "hosts": list(held.hosts),
        "created_at": iso(held.session.created_at),
        "seen_at": iso(held.seen_at),
        "expires_at": iso(held.session.expires_at),
        "made_by": held.session.made_by,
        "is_this": held.is_of(session),
    }


def remembered_device(known: KnownDevice) -> dict[str, Any]:
    """One by which the person has signed in, as it is remembered."""
    return {
        "browser": known.family.browser,
        "system": known.family.system,
        "networks": list(known.networks),
        "first_at": iso(known.first_at),
        "seen_at": iso(known.seen_at),
    }


def happened(event: Event) -> dict[str, Any]:
    """What happened to the person; by which request is nothing of theirs."""
    return {
        "at": iso(event.at),
        "action": event.action,
        "outcome": event.outcome,
        "actor": event.actor,
        "host": event.host,
        "address": event.address,
        "device": event.device,
        "detail": event.detail,
    }


def _key(desk: Desk, held: Held) -> str:
    return desk.devices.key_of(held.session)
