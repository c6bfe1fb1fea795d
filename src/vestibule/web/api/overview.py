"""`/overview`: the program at a glance."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from vestibule.admin_model import Overview
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.value import answer, answers

router = APIRouter(prefix="/overview", tags=["state"])


@router.get("", operation_id="getOverview", responses=errors() | answers(Overview))
async def get(at: At) -> Response:
    """Figures of the last 15 minutes, processes, stores, listeners, and what an operator should see to."""
    return answer(await at.office.overview.look())
