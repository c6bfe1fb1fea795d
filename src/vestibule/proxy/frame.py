"""What a worker and the control process say to each other, as `proxy.remote` carries it.

A frame is its length in four bytes, then msgpack.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeAlias

import msgspec

from vestibule.core.route import Site
from vestibule.model import Session
from vestibule.observe.meter import Figures, Growth
from vestibule.observe.traffic import Record
from vestibule.service.visit import Visit

_LENGTH_BYTES: Final = 4

Headers: TypeAlias = list[tuple[bytes, bytes]]


class Told(msgspec.Struct, frozen=True, array_like=True):
    """A `Visit` on its way: the host by its name, which both processes have in their tables."""

    host: bytes
    site: Site
    session: Session | None
    address: str
    user_agent: str
    request_id: str
    now: float
    root: str
    wanted: tuple[str, ...]
    cookies: dict[str, str]


class Begin(msgspec.Struct, frozen=True, array_like=True, tag="begin"):
    """A call: its scope, and its body, which is whole."""

    id: int
    scope: dict[str, Any]
    headers: Headers
    told: Told
    body: bytes


class Gone(msgspec.Struct, frozen=True, array_like=True, tag="gone"):
    """Whoever made the call has left."""

    id: int


class Taken(msgspec.Struct, frozen=True, array_like=True, tag="taken"):
    """A piece of the answer has gone on to whoever made the call."""

    id: int


class Report(msgspec.Struct, frozen=True, array_like=True, tag="report"):
    """Requests that the worker is done with, what else it has counted since the last report, and how it is."""

    records: list[Record]
    figures: Figures | None = None
    grown: list[Growth] = []


class Start(msgspec.Struct, frozen=True, array_like=True, tag="start"):
    """The head of an answer."""

    id: int
    status: int
    headers: Headers


class Body(msgspec.Struct, frozen=True, array_like=True, tag="body"):
    """A piece of its body."""

    id: int
    data: bytes
    more: bool


class Fault(msgspec.Struct, frozen=True, array_like=True, tag="fault"):
    """The application failed."""

    id: int
    error: str


Question: TypeAlias = Begin | Gone | Taken | Report
Answer: TypeAlias = Start | Body | Fault
_encode: Final = msgspec.msgpack.Encoder().encode
question_of: Final = msgspec.msgpack.Decoder(Question).decode
answer_of: Final = msgspec.msgpack.Decoder(Answer).decode


def told_of(visit: Visit) -> Told:
    """What of a visit is carried."""
    return Told(
        visit.host.name,
        visit.site,
        visit.session,
        visit.address,
        visit.user_agent,
        visit.request_id,
        visit.now,
        visit.root,
        visit.wanted,
        dict(visit.cookies),
    )


def write(writer: asyncio.StreamWriter, said: Question | Answer) -> None:
    """Have it sent, unless the connection is closed."""
    if not writer.is_closing():
        data = _encode(said)
        writer.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)


async def read(reader: asyncio.StreamReader) -> bytes | None:
    """The next frame; None at the end. Raises OSError."""
    try:
        length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        return None
