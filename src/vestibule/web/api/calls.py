"""`/calls`: the calling interfaces."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from vestibule.admin_model import CallState
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.value import answer, answers

router = APIRouter(prefix="/calls", tags=["state"])


@router.get("", operation_id="listCalls", responses=errors() | answers(tuple[CallState, ...]))
async def list_all(at: At) -> Response:
    """All calling interfaces: which API each leads to, whose credential it applies, and what came to it."""
    return answer(at.office.inventory.calls())
