"""What is told of a sign-in when it is over: that somebody came, by which device; or that somebody was not let in."""

from __future__ import annotations

from typing import Final

from vestibule.core.device import family_of
from vestibule.core.event import REFUSED, SIGN_IN_REFUSED, Event
from vestibule.errors import ProviderRefused, VestibuleError
from vestibule.model import Session
from vestibule.web.answers import Desk, note
from vestibule.web.asking import Ask

#: what is told, beside every assertion that was not believed; that somebody came back too late, or with what is no
#: answer at all, is none of it
_TOLD: Final = frozenset(
    {
        "access_denied",
        "account_taken",
        "bad_credentials",
        "domain_not_allowed",
        "not_admitted",
        "not_invited",
        "other_person",
        "registration_closed",
        "single_sign_on",
        "too_many_tries",
        "user_disabled",
    }
)


async def arrived(desk: Desk, ask: Ask, event: str, session: Session) -> tuple[str, ...]:
    """Note that somebody has signed in; the Set-Cookie values by which their browser is known again."""
    note(desk, ask, event, session)
    return await desk.devices.arrived(ask.visit, session)


async def refused(desk: Desk, ask: Ask, error: VestibuleError) -> None:
    """Tell that somebody was not let in; of one address, so often a minute and no more. What they typed isn't told."""
    is_denied = isinstance(error, ProviderRefused) and error.error == "access_denied"
    code = "access_denied" if is_denied else error.code
    if code not in _TOLD and not code.startswith("saml_"):
        return
    visit = ask.visit
    name = visit.host.clients.get(ask.client, "") if ask.client else ""
    await desk.devices.events.refuse(
        Event(
            id="",
            at=visit.now,
            action=SIGN_IN_REFUSED,
            outcome=REFUSED,
            target=f"provider {name}" if name else "",
            user_id=visit.session.user_id if visit.session is not None else "",
            host=visit.host.name.decode("ascii"),
            address=visit.address,
            device=family_of(visit.user_agent).words,
            detail={"code": code},
        )
    )
