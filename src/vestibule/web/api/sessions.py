"""`/sessions`: the sessions of people, for services that make some of their own, or want to know whose one is."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints
from starlette.responses import Response

from vestibule import model
from vestibule.core import event as names
from vestibule.core.attributes import MAX_BYTES, NAME
from vestibule.errors import ClientError, Invalid
from vestibule.model import Device, Secret
from vestibule.service.steward import Change, Wanted, place_of
from vestibule.store.base import Page
from vestibule.web.api.cursor import Listing, Paging, listing, page_of
from vestibule.web.api.etag import ETAG, IfMatch, etag_of, version_of
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import LINE, Filter, Id, Line, Model, QueryModel, Time, Whole, example, moment

PATH = "/api/v1/sessions"
YEARS_S = 10 * 366 * 86400
BEARER_MAX_CHARS = 2048

router = APIRouter(prefix="/sessions", tags=["sessions"])

Attributes = Annotated[
    dict[Annotated[str, StringConstraints(pattern=NAME)], Any],
    Field(description=f"The application's own values by name: at most {MAX_BYTES} bytes as JSON."),
]
Seconds = Annotated[int, Field(ge=1, le=YEARS_S, strict=True), Whole]
_SESSION: dict[str, Any] = {
    "id": "mT0aJx4x3QAhQy6mYzqTn0",
    "user_id": "9nUtJjTbUu5pxGhRkhwUSw",
    "host": "app.example.com",
    "created_at": "2026-11-22T05:14:00Z",
    "seen_at": "2026-11-22T05:14:00Z",
    "expires_at": "2026-11-29T05:14:00Z",
    "idle_timeout": 86400,
    "attributes": {"cart": 7},
    "device": {"user_agent": "Shop/2.1 (iOS)", "address": "192.0.2.7"},
    "providers": ["google"],
    "parent_id": "",
    "made_by": "shop",
    "version": 0,
}


class DeviceShown(Model):
    """The browser or program that holds a session."""

    user_agent: Annotated[str, StringConstraints(pattern=LINE, max_length=500)] = ""
    address: Annotated[str, StringConstraints(pattern=LINE, max_length=100)] = ""
    """Where the sign-in came from."""


class NewSession(Model):
    """What a session is made of."""

    model_config = example(
        {
            "user_id": "9nUtJjTbUu5pxGhRkhwUSw",
            "host": "app.example.com",
            "attributes": {"cart": 7},
            "expires_in": 86400,
            "device": {"user_agent": "Shop/2.1 (iOS)", "address": "192.0.2.7"},
        }
    )

    user_id: Annotated[Line, Field(min_length=1)]
    """Whose it is. They must have signed in before by a provider of the host."""
    host: Annotated[str, StringConstraints(pattern=LINE, min_length=1, max_length=253)]
    """The host that it is good for, by its name in the configuration."""
    attributes: Attributes = Field(default_factory=dict)
    expires_in: Seconds | None = None
    """Seconds until its end; without it: as long as the configuration lets sessions of this host last."""
    idle_timeout: Seconds | None = None
    """It also ends when it was not used for so many seconds; without it: what the configuration says."""
    device: DeviceShown = DeviceShown()
    """Who holds it, for lists; as the service knows it."""
    form: Literal["handle", "jwt"] = "handle"
    """What the bearer is: the handle, or a signed JSON Web Token around it, which says nothing else of the session."""


class Session(Model):
    """A session, without what gets anybody in."""

    model_config = example(_SESSION)

    id: str
    """Permanent, and no credential: it may stand in logs."""
    user_id: str
    """Empty: nobody is known by it, it only holds credentials at plain OAuth clients."""
    host: str
    """The host that it is good for; `.example.com`: all hosts of that domain."""
    created_at: datetime
    seen_at: datetime
    """When it was last used, to the minute."""
    expires_at: datetime
    """It ends then, used or not."""
    idle_timeout: int
    """Seconds; it ends when it was not used for so long."""
    attributes: dict[str, Any]
    device: DeviceShown
    providers: list[str]
    """Full names of the providers by which its person is known."""
    parent_id: str
    """Id of the session it was handed on from, with which it ends; empty: none."""
    made_by: str
    """Name of the token of the service that made it; empty: a sign-in did."""
    version: int
    """Grows with each change; the `ETag`."""


class MadeSession(Session):
    """A session that was just made."""

    model_config = example({**_SESSION, "bearer": "8Yk1…"})

    bearer: str
    """What its holder shows, as cookie or in `Authorization: Bearer`; told this once, and kept as a hash only."""


class Changes(Model):
    """What to change; what is left out stays."""

    model_config = example({"attributes": {"cart": 8, "coupon": None}})

    attributes: Attributes | None = None
    """Members to set, and with null to remove, inside of objects, too; null: all of them are removed."""
    expires_at: Time | None = Field(default=None, json_schema_extra={"type": "string"})
    """Another end: sooner, or later up to what the configuration lets sessions of its host last."""


class Asked(Paging):
    """Whose sessions are wanted: somebody's, a host's, or somebody's at a host."""

    user_id: Filter = ""
    """Of this user."""
    host: Filter = ""
    """Good for this, as `host` of a session has it: a host, or all hosts of a domain (`.example.com`)."""


class Whose(QueryModel):
    """Whose sessions are meant."""

    user_id: Annotated[Filter, Field(min_length=1)]
    """All of this user's."""


class Ended(Model):
    """What has ended."""

    model_config = example({"ended": 3})

    ended: int
    """How many sessions."""


class Shown(Model):
    """What somebody has shown to the service."""

    model_config = example({"bearer": "8Yk1…", "touch": True})

    bearer: Annotated[str, Field(max_length=BEARER_MAX_CHARS)]
    """A handle, or the token around one."""
    touch: Annotated[bool, Field(strict=True)] = False
    """True: it counts as used now."""


class Inactive(Model):
    """It is no session's, or that has ended; nobody is told which."""

    model_config = example({"active": False})

    active: Literal[False] = False


class Active(Model):
    """Whose it is. Spec: after RFC 7662 section 2.2."""

    model_config = example(
        {
            "active": True,
            **{name: _SESSION[name] for name in ("id", "user_id", "host", "created_at", "seen_at")},
            "expires_at": _SESSION["expires_at"],
            "attributes": _SESSION["attributes"],
            "version": 0,
        },
    )

    active: Literal[True] = True
    id: str
    """Of the session."""
    user_id: str
    """Empty: nobody is known by it."""
    host: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    """The end that is set; it comes sooner where the session is not used."""
    attributes: dict[str, Any]
    version: int


@router.post(
    "",
    operation_id="createSession",
    status_code=201,
    responses={
        **errors(400, 404, 409, 413, 415),
        201: {
            "headers": {
                **ETAG,
                "Location": {"description": "Path of the session.", "schema": {"type": "string"}},
            }
        },
    },
)
async def create(at: At, new: NewSession, response: Response) -> MadeSession:
    """Make a session for a user who has signed in before. What gets its holder in is told once."""
    wanted = Wanted(
        user_id=new.user_id,
        host=new.host,
        attributes=new.attributes,
        life_s=new.expires_in,
        idle_s=new.idle_timeout,
        device=Device(user_agent=new.device.user_agent, address=new.device.address),
        made_by=at.actor.service,
    )
    steward = at.office.steward
    session, bearer = await steward.create(wanted, at.now)
    if new.form == "jwt":
        bearer = steward.token_of(session, bearer, at.now)
    at.note(names.SESSION_CREATED, session.id)
    response.headers["location"] = f"{PATH}/{session.id}"
    return MadeSession(**_shown(session, response), bearer=bearer.reveal())


@router.get("", operation_id="listSessions", responses=errors())
async def list_page(at: At, asked: Annotated[Asked, Query()]) -> Listing[Session]:
    """The sessions of a user or a host that have not ended, the newest first; of a user the newest thousand."""
    page = page_of(at.office.ring, "sessions", asked)
    steward = at.office.steward
    if asked.user_id:
        theirs = await steward.list(asked.user_id)
        found = _cut([one for one in theirs if asked.host in ("", one.host)], page)
    elif asked.host:
        found = list(await steward.of_host(asked.host, page))
    else:
        raise Invalid((("?user_id", "say whose: user_id, host, or both"),))
    return listing(
        at.office.ring,
        "sessions",
        asked,
        found,
        place=place_of,
        shown=lambda session: Session(**_shown(session)),
    )


@router.delete("", operation_id="endSessions", responses=errors())
async def end_all(at: At, whose: Annotated[Whose, Query()]) -> Ended:
    """Sign a user out everywhere: all their sessions end at once, whoever made them."""
    ended = await at.office.steward.end_all(whose.user_id, at.now)
    at.note(names.SESSION_REVOKED_ALL, whose.user_id)
    return Ended(ended=ended)


@router.post(
    "/introspect",
    operation_id="introspectSession",
    responses=errors(400, 413, 415),
)
async def introspect(at: At, shown: Shown) -> Active | Inactive:
    """Whose session this is that somebody has shown, if it is anyone's.

    That it is active says who has come, not what they may: the host's rules are the gateway's to keep.
    """
    session = await at.office.steward.introspect(
        Secret(shown.bearer), asked_by=at.actor.id, now=at.now, touch=shown.touch
    )
    if session is None:
        return Inactive()
    return Active(
        id=session.id,
        user_id=session.user_id,
        host=session.host,
        created_at=moment(session.created_at),
        seen_at=moment(session.seen_at),
        expires_at=moment(session.expires_at),
        attributes=session.attributes,
        version=session.version,
    )


@router.get("/{id}", operation_id="getSession", responses={**errors(404), 200: {"headers": ETAG}})
async def get(at: At, id: Id, response: Response) -> Session:  # noqa: A002 - the name in the path
    """A session that has not ended."""
    return Session(**_shown(await at.office.steward.get(id), response))


@router.patch(
    "/{id}",
    operation_id="updateSession",
    responses={**errors(400, 404, 412, 413, 415, 428), 200: {"headers": ETAG}},
)
async def update(
    at: At,
    id: Id,  # noqa: A002 - the name in the path
    changes: Changes,
    response: Response,
    if_match: IfMatch = "",
) -> Session:
    """Change a session: a JSON Merge Patch (RFC 7396). `If-Match` must be there, with the `ETag` of what was read.

    `If-Match: *` writes over whatever somebody else has written meanwhile.
    """
    if not if_match:
        raise ClientError(
            "send If-Match with the ETag of what was read, or *", code="if_match_required", status=428
        )
    change = _change(changes)
    before, session = await at.office.steward.update(id, change, version=version_of(if_match), now=at.now)
    await at.changed(
        names.SESSION_UPDATED,
        session_id=id,
        user_id=session.user_id,
        before={"expires_at": moment(before.expires_at)},
        after={"expires_at": moment(session.expires_at)},
        # What they hold is the application's: names alone are kept.
        detail={"attributes": _differing(before.attributes, session.attributes)},
    )
    return Session(**_shown(session, response))


@router.delete("/{id}", operation_id="endSession", status_code=204, responses=errors(404))
async def end(at: At, id: Id) -> Response:  # noqa: A002 - the name in the path
    """End a session at once, with what was handed on from it; if it was itself handed on, all of that sign-in."""
    await at.office.steward.end(id, at.now)
    at.note(names.SESSION_ENDED, id)
    return Response(status_code=204)


def _differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _change(changes: Changes) -> Change:
    """Raises Invalid."""
    given = changes.model_fields_set
    if "expires_at" in given and changes.expires_at is None:
        raise Invalid((("expires_at", "is a time: every session has an end"),))
    return Change(
        attributes=changes.attributes if "attributes" in given else msgspec.UNSET,
        expires_at=changes.expires_at.timestamp() if changes.expires_at is not None else msgspec.UNSET,
    )


def _cut(newest_first: list[model.Session], page: Page) -> list[model.Session]:
    """Those of the page."""
    left = [one for one in newest_first if page.after is None or place_of(one) < page.after]
    return left[: page.limit]


def _shown(session: model.Session, response: Response | None = None) -> dict[str, Any]:
    if response is not None:
        response.headers["etag"] = etag_of(session.version)
    return {
        "id": session.id,
        "user_id": session.user_id,
        "host": session.host,
        "created_at": moment(session.created_at),
        "seen_at": moment(session.seen_at),
        "expires_at": moment(session.expires_at),
        "idle_timeout": int(session.idle_s),
        "attributes": session.attributes,
        # Not checked as a service's is: whatever a browser once said, no list may fail of it.
        "device": DeviceShown.model_construct(
            user_agent=session.device.user_agent, address=session.device.address
        ),
        "providers": list(dict.fromkeys(identity.client for identity in session.identities)),
        "parent_id": session.parent_id,
        "made_by": session.made_by,
        "version": session.version,
    }
