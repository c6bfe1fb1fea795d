"""`/traffic`, `/traces`: recent requests, as they come, and what one of them has caused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.responses import Response, StreamingResponse

from vestibule.admin_model import Node, Row, Trace, TrafficPage
from vestibule.errors import NotFound, StoreError
from vestibule.observe.traffic import Record
from vestibule.web.api.office import ApiCall, At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import Filter, QueryModel
from vestibule.web.api.value import answer, answers

router = APIRouter(tags=["traffic"])

LIMIT_MAX: Final = 1000
BATCH_S: Final = 0.07
"""How long what comes on a stream is gathered."""
SILENCE_S: Final = 5.0
"""After so long a stream says that it goes on, and looks whether who listens still may."""
BATCH_MAX: Final = 150
"""Rows in a batch; of more the newest."""
TRACE_MAX: Final = 500
DEPTH_MAX: Final = 60
_encode: Final = msgspec.json.Encoder().encode
_EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Done.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}


class Wanted(QueryModel):
    """Which requests are wanted; all that is given must hold."""

    kind: Filter = ""
    """`host`, `call`, `edge`, `serving`, `admin`, `unread`."""
    name: Filter = ""
    """Of the host, call or serving; or a part of it."""
    text: Filter = ""
    """In method, path, host, person, address, decision, or the request's id."""
    person: Filter = ""
    """A part of their e-mail address, login or name; or their user ID."""
    session_id: Filter = ""
    status: Annotated[str, Query(pattern=r"^([0-9]{1,3}|[1-5]xx)?$")] = ""
    """`404`, or `4xx`; 0: the client left before an answer."""
    decision: Filter = ""
    """A part of it."""

    def takes(self, record: Record) -> bool:
        """True for a request that is wanted."""
        return (
            self.kind in ("", record.kind.value)
            and (not self.name or self.name in _text(record.name))
            and self.session_id in ("", record.session_id)
            and _has(self.decision, (record.decision,))
            and _is_status(self.status, record.status)
            and (self.person in ("", record.user_id) or _has(self.person, (record.person,)))
            and (not self.text or _has(self.text, _texts(record)))
        )

    def rows(self, found: Sequence[tuple[int, Record]], most: int) -> list[Row]:
        """The last of those that are wanted, the oldest first.

        Only what is told is put into words: with thousands of requests a second, who looks on costs them little.
        """
        if not any(getattr(self, name) for name in Wanted.model_fields):
            return [row_of(*one) for one in found[-most:]]
        taken = islice((one for one in reversed(found) if self.takes(one[1])), most)
        return [row_of(*one) for one in taken][::-1]


class Listed(Wanted):
    """Which of them, and how many."""

    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 200
    after: Annotated[int, Query(ge=0, le=2**53)] = 0
    """Only what came after the request of this number."""


@router.get("/traffic", operation_id="listTraffic", responses=errors(422) | answers(TrafficPage))
async def list_page(at: At, asked: Annotated[Listed, Query()]) -> Response:
    """Recent requests, the newest first, as far as they are kept."""
    traffic = at.office.traffic
    found = asked.rows(traffic.since(asked.after), asked.limit)
    return answer(TrafficPage(items=tuple(reversed(found)), last_seq=traffic.last_seq))


@router.get(
    "/traffic/stream",
    operation_id="streamTraffic",
    response_class=Response,
    responses=errors(422) | _EVENTS,
)
async def stream(at: At, asked: Annotated[Wanted, Query()]) -> Response:
    """Requests as they end: server-sent events, each a list of them, the oldest first; an empty list goes on."""
    at.office.streams.check(at.actor)
    return StreamingResponse(_listened(at, asked), media_type="text/event-stream")


async def _listened(at: ApiCall, wanted: Wanted) -> AsyncIterator[bytes]:
    with at.office.streams.one(at.actor) as has_place:
        if has_place:
            async for batch in _batches(at, wanted):
                yield batch


async def _batches(at: ApiCall, wanted: Wanted) -> AsyncIterator[bytes]:
    """What comes, gathered for a moment each; it ends when who listens may no more, or the program ends.

    Threat: a reader that is slow: it is sent the newest, and nothing waits for it here but its place.
    """
    traffic, seq, said_mono = at.office.traffic, at.office.traffic.last_seq, 0.0
    clock = asyncio.get_running_loop().time
    looked_mono = clock()
    while not at.office.closing.is_set():
        if clock() - looked_mono >= SILENCE_S:
            looked_mono = clock()
            if not await _may_go_on(at):
                return
        rows = wanted.rows(traffic.since(seq), BATCH_MAX)
        seq = traffic.last_seq
        if rows or clock() - said_mono >= SILENCE_S:
            said_mono = clock()
            yield b"data: " + _encode(rows) + b"\n\n"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BATCH_S):
                await at.office.closing.wait()


@router.get("/traces/{trace_id}", operation_id="getTrace", responses=errors(404, 422) | answers(Trace))
async def get_trace(at: At, trace_id: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]) -> Response:
    """What one request has caused, as far as it is kept: a tree, joined by `traceparent`."""
    found = [row_of(seq, record) for seq, record in at.office.traffic.since(0) if record.trace_id == trace_id]
    if not found:
        raise NotFound("no request of this trace is kept")
    return answer(Trace(trace_id=trace_id, roots=tree_of(found[-TRACE_MAX:])))


def tree_of(rows: Iterable[Row]) -> tuple[Node, ...]:
    """The requests as trees, each below the one whose span it names as its parent; the oldest first.

    Who names one that isn't there, or that would make a circle, stands at the top: clients name what they like.
    """
    by_span = {row.span_id: row for row in rows}
    depths = {span_id: _depth(row, by_span) for span_id, row in by_span.items()}
    below: dict[str, list[Node]] = {}
    for row in sorted(by_span.values(), key=lambda row: (-depths[row.span_id], _begin(row))):
        node = Node(row=row, children=tuple(below.get(row.span_id, ())))
        below.setdefault(row.parent_id if depths[row.span_id] else "", []).append(node)
    return tuple(below.get("", ()))


def _depth(row: Row, by_span: dict[str, Row]) -> int:
    """How many are above it; 0 for one whose parents come back to itself, or are too many to be shown so."""
    seen, at = {row.span_id}, row
    while at.parent_id in by_span:
        at = by_span[at.parent_id]
        if at.span_id in seen or len(seen) > DEPTH_MAX:
            return 0
        seen.add(at.span_id)
    return len(seen) - 1


def _begin(row: Row) -> float:
    return row.at.timestamp() - row.took_ms / 1000


async def _may_go_on(at: ApiCall) -> bool:
    """False once the token of who listens is gone, or can't be looked at."""
    if at.actor.token is None:
        return True
    try:
        return any(token.id == at.actor.token.id for token in await at.office.tokens.list())
    except StoreError:
        return False


def row_of(seq: int, record: Record) -> Row:
    """The record as the API tells it."""
    return Row(
        seq=seq,
        at=datetime.fromtimestamp(record.at, UTC),
        kind=record.kind.value,
        name=_text(record.name),
        method=_text(record.method),
        path=_text(record.path),
        route=_text(record.route),
        status=record.status,
        took_ms=round(record.took_s * 1000, 3),
        backend_ms=round(record.backend_s * 1000, 3),
        bytes_out=record.bytes_out,
        address=record.address,
        session_id=record.session_id,
        user_id=record.user_id,
        person=record.person,
        provider=record.provider,
        decision=record.decision,
        request_id=record.id,
        trace_id=record.trace_id,
        span_id=record.span_id,
        parent_id=record.parent_id,
        edge=record.edge,
    )


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _texts(record: Record) -> tuple[str, ...]:
    known = (_text(raw) for raw in (record.method, record.path, record.name))
    return (*known, record.person, record.address, record.decision, record.id)


def _has(wanted: str, texts: Iterable[str]) -> bool:
    """True where it stands in one of them, in any case; for nothing, always."""
    if not wanted:
        return True
    folded = wanted.casefold()
    return any(folded in text.casefold() for text in texts)


def _is_status(wanted: str, status: int) -> bool:
    if wanted.endswith("xx"):
        return status // 100 == int(wanted[0])
    return not wanted or status == int(wanted)
