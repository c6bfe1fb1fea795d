"""`/sessions/ID/credentials`: what sessions hold at APIs, masked; told only for a reason that is kept."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Path
from pydantic import StringConstraints
from starlette.responses import Response

from vestibule.admin_model import CredentialState, Revealed
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import LINE, Id, Model, example
from vestibule.web.api.value import answer, answers

router = APIRouter(prefix="/sessions/{id}/credentials", tags=["credentials"])

Client = Annotated[
    str,
    Path(
        pattern=LINE,
        max_length=400,
        description="Full name of the client, `google` or `app.example.com/api`.",
    ),
]


class Why(Model):
    """Why somebody wants to see it."""

    model_config = example({"reason": "ticket 4711: the API refuses alice's calls"})

    reason: Annotated[str, StringConstraints(min_length=3, max_length=500, pattern=LINE)]
    """It is kept in the audit log, with who asked."""


@router.get("", operation_id="listCredentials", responses=errors(404) | answers(tuple[CredentialState, ...]))
async def list_all(at: At, id: Id) -> Response:  # noqa: A002 - the name in the path
    """What a session can use at APIs, without the tokens; with each, how to call an API by it."""
    return answer(await at.office.custody.held_by(id))


@router.post(
    "/{client:path}/reveal",
    operation_id="revealCredential",
    responses=errors(400, 404, 413, 415) | answers(Revealed),
)
async def reveal(at: At, id: Id, client: Client, why: Why) -> Response:  # noqa: A002 - the name in the path
    """The tokens of one credential. That they were told, to whom and why, is written to the audit log before.

    The client's name may have a slash in it, written as such or as `%2F`.
    """
    # The listener leaves an escaped slash as it is; no name has a percent sign of its own.
    found = await at.office.custody.reveal(id, unquote(client), why.reason)
    at.note("credential.revealed", id)
    return answer(found)
