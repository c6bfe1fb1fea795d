"""`/log/levels`: how much is logged."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import RootModel
from starlette.responses import Response

from vestibule.admin_model import Levels
from vestibule.core import event as names
from vestibule.service.log_levels import ALL, LogLevels
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.value import answer, answers

router = APIRouter(prefix="/log/levels", tags=["log"])


class Changes(RootModel[dict[str, str]]):
    """Levels by component, `level` for all without one of their own; empty: none of its own any more."""


@router.get("", operation_id="getLogLevels", responses=errors() | answers(Levels))
async def get(at: At) -> Response:
    """From which level on events are written: of each component, and of all without a level of their own."""
    return answer(_shown(at.office.levels))


@router.patch("", operation_id="updateLogLevels", responses=errors(400, 413, 415) | answers(Levels))
async def update(at: At, changes: Changes) -> Response:
    """Log more or less, in every process, until a restart."""
    levels = at.office.levels
    before = levels.state()
    levels.set(changes.root)
    after = levels.state()
    if after != before:
        await at.changed(names.LOG_LEVELS_CHANGED, target="log", before=before, after=after)
    return answer(_shown(levels))


def _shown(levels: LogLevels) -> Levels:
    state = levels.state()
    return Levels(level=state.pop(ALL), components=state)
