"""`/configuration`: what is in force, and what the files say now; secrets are masked in both."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from vestibule.admin_model import Configuration, Difference
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.value import answer, answers

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
