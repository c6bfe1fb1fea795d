"""`/provider-states`: how identity providers do."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from vestibule.admin_model import ProviderState
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.value import answer, answers

router = APIRouter(prefix="/provider-states", tags=["state"])


@router.get("", operation_id="listProviderStates", responses=errors() | answers(tuple[ProviderState, ...]))
async def list_all(at: At) -> Response:
    """All clients at identity providers, of files and database: their metadata and keys, what last went well or wrong.

    Where nobody has asked an issuer for its metadata yet, it is asked now, and a later answer has what it said.
    """
    return answer(await at.office.provider_states.all())
