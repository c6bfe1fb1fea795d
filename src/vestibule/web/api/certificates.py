"""`/certificates`: those that the gateway trusts and shows."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from vestibule.admin_model import CertificateState
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.value import answer, answers

router = APIRouter(prefix="/certificates", tags=["state"])


@router.get("", operation_id="listCertificates", responses=errors() | answers(tuple[CertificateState, ...]))
async def list_all(at: At) -> Response:
    """Certificates towards backends and stores: whose word counts there, and what the gateway itself shows."""
    return answer(at.office.inventory.certificates())
