"""`/explain`: what happens at an address, and why."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field

from vestibule.core import inquiry
from vestibule.core.explain import Verdict
from vestibule.errors import BadRequest, Invalid
from vestibule.protocol import address
from vestibule.service.explain import subject_of
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import LINE, Filter, Model, QueryModel, example

router = APIRouter(prefix="/explain", tags=["explain"])


class Condition(Model):
    """One thing that was looked at."""

    list: str
    """`methods`, `deny`, `all`, `allow` or `max_age`."""
    rule: str
    """As the operator wrote it."""
    place: str
    """`file:line`."""
    saw: str
    """The value it was held against."""
    verdict: Verdict
    decides: bool
    """It made the answer what it is."""
    change: str
    """What would have to be otherwise, where it stands in the way."""


class Explanation(Model):
    """What a request gets at an address, and why."""

    model_config = example(
        {
            "host": "app.example.com",
            "host_place": "app.hcl:7",
            "route": "/admin/",
            "route_place": "app.hcl:23",
            "path": "/admin/users",
            "method": "GET",
            "address": "192.0.2.7",
            "user_id": "9nUtJjTbUu5pxGhRkhwUSw",
            "who": "alice@example.com",
            "known_by": "their session at app.example.com",
            "answer": "not_allowed",
            "status": 403,
            "reason": "no rule allows it: group:admins",
            "conditions": [
                {
                    "list": "allow",
                    "rule": "group:admins",
                    "place": "app.hcl:25",
                    "saw": "groups: staff by okta",
                    "verdict": "fails",
                    "decides": True,
                    "change": "have admins among one's groups",
                }
            ],
            "change": "have admins among one's groups",
        }
    )

    host: str
    host_place: str
    """`file:line`."""
    route: str
    """Its path; `/` for the host itself."""
    route_place: str
    path: str
    """As it is matched and forwarded."""
    method: str
    address: str
    """Where the request comes from; empty: not said."""
    user_id: str
    """Empty: nobody."""
    who: str
    known_by: str
    """Where what is known of the person comes from, in words."""
    answer: str
    """`in`, `own` (a path of the gateway's own), `sign_in`, or the code of the refusal."""
    status: int | None
    """Of the gateway's answer; null: it lets the request in."""
    reason: str
    conditions: list[Condition]
    change: str
    """What would have to be otherwise for the request to be let in; empty where it is."""


class Asked(QueryModel):
    """What is asked."""

    url: Annotated[str, Field(pattern=LINE, min_length=1, max_length=8192)]
    """The address: a URL of one of the hosts."""
    who: Filter = Field("", alias="as")
    """A user: id, address or login; empty: nobody is signed in."""
    method: Annotated[str, Field(pattern=rf"^{inquiry.METHOD_RE.pattern}$")] = "GET"
    address: Filter = ""
    """The IP address the request comes from; empty: unknown."""
    tool: Filter = ""
    """The tool of an MCP server that it calls; empty: none."""


@router.get("", operation_id="explain", responses=errors(404, 409))
async def explain(at: At, asked: Annotated[Asked, Query()]) -> Explanation:
    """What happens at an address, and why: host, route, and each condition with the value it saw.

    Of a person, rules see what their newest session has; without one, what their providers said last.
    """
    try:
        spot = inquiry.spot_of(at.office.registry.offer.table, asked.url, asked.tool)
    except BadRequest as error:
        raise Invalid((("?url", error.message),)) from None
    subject = await subject_of(
        at.office.people,
        asked.who,
        spot.host,
        _address(asked.address),
        at.now,
        affiliated=at.office.organisations.identity_of,
    )
    found = inquiry.findings(spot, asked.method.encode("ascii"), subject.asker)
    told = msgspec.structs.asdict(found)
    told["conditions"] = [
        Condition(**{name: getattr(one, name) for name in Condition.model_fields}) for one in found.conditions
    ]
    return Explanation(
        **told,
        address=subject.asker.address,
        user_id=subject.user_id,
        who=subject.who,
        known_by=subject.known_by,
    )


def _address(text: str) -> str:
    """The address in its one spelling. Raises Invalid."""
    try:
        return address.normalise(text) if text else ""
    except ValueError:
        raise Invalid((("?address", "is no IP address"),)) from None
