"""`/dead-letters`: messages that webhooks did not take for a day."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from vestibule.admin_model import DeadLetter
from vestibule.core import event as names
from vestibule.errors import NotFound
from vestibule.web.api.office import ApiCall, At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import LINE, Id, moment
from vestibule.web.api.value import answer, answers

router = APIRouter(prefix="/dead-letters", tags=["webhooks"])

Webhook = Annotated[str, Path(pattern=LINE, max_length=100, description="The webhook's ID.")]


@router.get("", operation_id="listDeadLetters", responses=errors() | answers(tuple[DeadLetter, ...]))
async def list_all(at: At) -> Response:
    """Those that died last, first; at most a thousand are kept, for 30 days."""
    found = await at.office.webhooks.dead()
    return answer(
        tuple(
            DeadLetter(
                webhook=one.webhook,
                id=one.id,
                action=one.action,
                created_at=moment(one.created_at),
                died_at=moment(one.died_at),
                tries=one.tries,
                detail=one.detail,
            )
            for one in found
        )
    )


@router.post(
    "/{webhook}/{id}/retry", operation_id="retryDeadLetter", status_code=204, responses=errors(404, 409)
)
async def retry(at: At, webhook: Webhook, id: Id) -> Response:  # noqa: A002 - the name in the path
    """Try one again, for another day."""
    if not await at.office.webhooks.retry(webhook, id):
        raise _none()
    return await _done(at, names.MESSAGE_RETRIED, webhook, id)


@router.delete("/{webhook}/{id}", operation_id="discardDeadLetter", status_code=204, responses=errors(404))
async def discard(at: At, webhook: Webhook, id: Id) -> Response:  # noqa: A002 - the name in the path
    """Throw one away."""
    if not await at.office.webhooks.discard(webhook, id):
        raise _none()
    return await _done(at, names.MESSAGE_DISCARDED, webhook, id)


async def _done(at: ApiCall, action: str, webhook: str, letter_id: str) -> Response:
    await at.changed(action, target=f"webhook {webhook}", detail={"message": letter_id})
    return Response(status_code=204)


def _none() -> NotFound:
    return NotFound("There is no such message: it was tried again, or thrown away.")
