"""`/events`: what happened in applications, told by their services, for the same trail."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import AfterValidator, Field, StringConstraints

from vestibule.core.event import APP_RE, Event
from vestibule.core.told import EVENTS_MAX, fault_of_detail, fault_of_time, id_of
from vestibule.errors import Invalid, TooManyTries
from vestibule.service.events import acting
from vestibule.web.api.office import ApiCall, At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import LINE, Line, Model, Time, example

router = APIRouter(prefix="/events", tags=["events"])

_ID: Final = r"^[A-Za-z0-9._:-]{1,100}$"
#: as `core.event.APP_RE`, in the words of JSON Schema
_ACTION: Final = r"^app(?:\.[a-z0-9_]{1,40}){1,4}$"
assert re.compile(_ACTION[1:-1]).pattern == APP_RE.pattern  # one rule


def _checked(detail: dict[str, Any]) -> dict[str, Any]:
    if fault := fault_of_detail(detail):
        raise ValueError(fault)
    return detail


class ToldEvent(Model):
    """One thing that happened in an application."""

    id: Annotated[str, StringConstraints(pattern=_ID)]
    """The service's own: what it tells twice is kept once."""
    action: Annotated[str, StringConstraints(pattern=_ACTION)]
    """`app.order.paid`: begins with `app.`."""
    outcome: Literal["ok", "refused"] = "ok"
    target: Line = ""
    """What it was done to."""
    user_id: Line = ""
    """The person it is about, by `User-Id`."""
    session_id: Line = ""
    host: Annotated[str, StringConstraints(pattern=LINE, max_length=253)] = ""
    address: Annotated[str, StringConstraints(pattern=LINE, max_length=100)] = ""
    """Where the person's request came from."""
    device: Line = ""
    request_id: Line = ""
    """The third part of `traceparent`, as the app got it: by it the gateway's record of the request is found."""
    at: Time | None = None
    """When it happened, at most a day ago; without it: now."""
    detail: Annotated[dict[str, Any], AfterValidator(_checked)] = Field(default_factory=dict)
    """Whatever else there is to it: at most 4096 bytes as JSON, five levels deep. No secrets: it goes to the log."""


class Told(Model):
    """What a service tells. Nothing of it is kept where one event has a fault; `faults` says which."""

    model_config = example(
        {
            "events": [
                {
                    "id": "order-4711-paid",
                    "action": "app.order.paid",
                    "target": "order 4711",
                    "user_id": "9nUtJjTbUu5pxGhRkhwUSw",
                    "request_id": "b7ad6b7169203331",
                    "detail": {"amount": "12.50", "currency": "EUR"},
                }
            ]
        }
    )

    events: Annotated[list[ToldEvent], Field(min_length=1, max_length=EVENTS_MAX)]


class Taken(Model):
    """What became of it."""

    model_config = example({"ids": ["app_hT2mQy6mYzqTn0aJx4x3QA"], "written": True})

    ids: list[str]
    """Under which each is found in the trail, in the order in which they came."""
    written: bool
    """False: the database can't be written just now, and they wait in memory; tell them again to be sure."""


@router.post("", operation_id="tellEvents", responses=errors(400, 413, 415))
async def tell(at: At, told: Told) -> Taken:
    """Write what happened in an application to the trail. Who acted is `token NAME`, whatever is told."""
    _check_times(at, told.events)
    if wait_s := at.office.told.wait_s(at.actor.id, at.now):
        raise TooManyTries("this service has told too much in this minute", wait_s=wait_s)
    for _ in told.events:
        at.office.told.add(at.actor.id, at.now)
    events = [_event(at, one) for one in told.events]
    # The request that tells of it is not the one in which it happened.
    with acting(at.actor.name):
        written = await at.office.events.tell(*events)
    return Taken(ids=[event.id for event in events], written=written)


def _check_times(at: ApiCall, events: list[ToldEvent]) -> None:
    """Raises Invalid."""
    faults = [
        (f"events[{number}].at", fault)
        for number, one in enumerate(events)
        if one.at is not None and (fault := fault_of_time(one.at.timestamp(), at.now))
    ]
    if faults:
        raise Invalid(tuple(faults))


def _event(at: ApiCall, one: ToldEvent) -> Event:
    return Event(
        id=id_of(at.actor.id, one.id),
        at=at.now if one.at is None else one.at.timestamp(),
        action=one.action,
        outcome=one.outcome,
        actor=at.actor.name,
        target=one.target,
        user_id=one.user_id,
        session_id=one.session_id,
        host=one.host,
        address=one.address,
        device=one.device,
        request_id=one.request_id,
        detail=one.detail,
    )
