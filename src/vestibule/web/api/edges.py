"""`/edges`: who asks whether requests may go on."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from vestibule.admin_model import EdgeState
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.value import answer, answers

router = APIRouter(prefix="/edges", tags=["state"])


@router.get("", operation_id="listEdges", responses=errors() | answers(tuple[EdgeState, ...]))
async def list_all(at: At) -> Response:
    """All edges that have asked since the start, by address and contract."""
    return answer(at.office.inventory.edges())
