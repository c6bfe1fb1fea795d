"""`/certificates`: those that the gateway trusts, shows and has to have, and what it orders."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Path
from starlette.responses import Response

from vestibule.admin_model import CertificateState
from vestibule.core import event as names
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import LINE
from vestibule.web.api.value import answer, answers

router = APIRouter(prefix="/certificates", tags=["state"])


@router.get("", operation_id="listCertificates", responses=errors() | answers(tuple[CertificateState, ...]))
async def list_all(at: At) -> Response:
    """Names of https without a certificate, those that browsers are shown, and those towards backends and stores.

    A name without one has no `expires_at`; its `state` says whether it is being ordered or failing, `why` what was
    wrong the last time. Of the last those whose word counts there, and what the gateway itself shows.
    """
    return answer(await at.office.inventory.certificates_sought())


Name = Annotated[str, Path(pattern=LINE, max_length=253, description="A name that it is for; `*.` and one.")]


@router.post("/{name}/renew", operation_id="renewCertificate", status_code=204, responses=errors(404))
async def renew(at: At, name: Name) -> Response:
    """Order it anew within seconds, whatever its name waits for; the one there serves on until that has come."""
    wanted = unquote(name).lower()  # of a path that came, `%2A` is left as it is
    await at.office.renew(wanted)
    await at.changed(names.CERTIFICATE_WANTED, target=f"certificate {wanted}")
    return Response(status_code=204)
