"""`/configuration`: what is in force, what the files say now, and putting that in force; secrets are masked."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Header
from starlette.responses import Response

from vestibule.admin_model import Configuration, Difference, Reloaded
from vestibule.core.event import CONFIGURATION_RELOADED
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.value import answer, answers

PATTERN: Final = r'^(?:\*|"[0-9a-f]{24}")?$'

router = APIRouter(prefix="/configuration", tags=["configuration"])


@router.get("", operation_id="getConfiguration", responses=errors() | answers(Configuration))
async def get(at: At) -> Response:
    """Each block in force with its place; every secret in it is `"***"`."""
    return answer(at.office.in_force.told())


@router.get(
    "/difference", operation_id="getConfigurationDifference", responses=errors() | answers(Difference)
)
async def difference(at: At) -> Response:
    """What the files say now that isn't in force. They are read as `vestibule check` does; nothing is changed by it."""
    return answer(await at.office.in_force.difference())


@router.post("/reload", operation_id="reloadConfiguration", responses=errors(409, 412) | answers(Reloaded))
async def reload(
    at: At, if_match: Annotated[str, Header(alias="If-Match", pattern=PATTERN)] = ""
) -> Response:
    """Put in force what the files say: all of it, in every process, or nothing (422, `faults` has the lines).

    With the `fingerprint` of a difference as `If-Match` nothing else is taken than was looked at (412). No connection
    is closed by it, and requests under way end as they began.
    """
    expected = "" if if_match == "*" else if_match.strip('"')
    read = await at.office.reloading.reload(expected=expected)
    at.note(CONFIGURATION_RELOADED, "")
    empty = {"added": (), "changed": (), "removed": ()}
    return answer(Reloaded(**{**empty, **read.changed}, warnings=read.difference.warnings))
