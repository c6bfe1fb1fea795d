"""`/hosts`: the hosts in force, with their routes."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from vestibule.admin_model import HostState
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.value import answer, answers

router = APIRouter(prefix="/hosts", tags=["state"])


@router.get("", operation_id="listHosts", responses=errors() | answers(tuple[HostState, ...]))
async def list_all(at: At) -> Response:
    """All hosts and servings: their routes with the rules of each, where they lead, and what came to them."""
    return answer(at.office.inventory.hosts())
