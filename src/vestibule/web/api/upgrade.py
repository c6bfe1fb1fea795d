"""`/upgrade`: another program in the place of this one, with its sockets (`handover`)."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from vestibule.admin_model import Upgraded
from vestibule.errors import Invalid
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.value import answer, answers

UPGRADED = "program.upgraded"

router = APIRouter(tags=["upgrade"])


class NotUpgraded(Invalid):
    """No other program takes its place; this one goes on."""

    code = "not_upgraded"


@router.post("/upgrade", operation_id="upgradeProgram", responses=errors() | answers(Upgraded))
async def upgrade(at: At) -> Response:
    """Start the program anew as it was started, with the code and the files that are there now.

    Answered when the new one serves; this one then lets its answers end. Where the new one does not come to serve,
    this one goes on, and `faults` say why (422).
    """
    faults = await at.office.upgrade()
    if faults:
        raise NotUpgraded(tuple(("", fault) for fault in faults))
    at.note(UPGRADED, "")
    return answer(Upgraded())
