"""Sessions, grants and signing keys as rows, the same in every SQL store."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from vestibule.core.record import Record
from vestibule.model import Session
from vestibule.store.base import Held, Page, SealedGrant, SigningKeyRow
from vestibule.store.sealing import Sealing, host_digest

SIGNING_KEYS: Final = "SELECT number, id, sealed, created_at, signs_at FROM signing_keys ORDER BY number"


COLUMNS: Final = """s.id, s.version, s.seen_at, s.sealed, s.user_id, s.parent_id, s.created_at, s.expires_at, s.idle_s,
    s.handle, s.old_handle, s.old_until"""
"""What `record_of` reads."""
_CREATED_AT: Final = 6
"""Its place there."""


def values_of(record: Record, sealing: Sealing) -> tuple[Any, ...]:
    """The columns of `COLUMNS`, then host_digest and ends_at."""
    session = record.session
    ends_at = min(session.expires_at, session.seen_at + session.idle_s)
    return (
        session.id,
        session.version,
        session.seen_at,
        sealing.sealed(record),
        *_copies(record),
        host_digest(session.host),
        ends_at,
    )


def record_of(row: Sequence[Any], sealing: Sealing, now: float) -> Record | None:
    """The record of a row of `COLUMNS`, last seen at `now` at the latest; None, and told, when it was altered.

    Threat: who can write to the database puts one row's record, or parts of its columns, into another, or lets an
    idle session live on by a last-seen to come. Does not notice a last-seen of now.
    """
    session_id, version, seen_at, sealed = row[:4]
    if isinstance(sealed, bytes) and isinstance(seen_at, (float, int)):
        seen_at = min(seen_at, now)
        record = sealing.opened(sealed, session_id=session_id, version=version, seen_at=seen_at)
        if record is None or _copies(record) == tuple(row[4:12]):
            return record
    sealing.tell(session_id)
    return None


def live_of(row: Sequence[Any], sealing: Sealing, now: float) -> Session | None:
    """The session of a row of `COLUMNS`, if it is readable and neither of its ends has come."""
    record = record_of(row, sealing, now)
    return record.session if record is not None and record.session.is_live(now) else None


def all_live_of(rows: Iterable[Sequence[Any]], sealing: Sealing, now: float) -> tuple[Session, ...]:
    """Those of these rows' sessions that are readable and live."""
    found = (live_of(row, sealing, now) for row in rows)
    return tuple(session for session in found if session is not None)


Place: TypeAlias = tuple[float, str]
"""When a session was made, and its id."""


async def page_of_host(
    host: str,
    page: Page,
    now: float,
    sealing: Sealing,
    ask: Callable[[Place], Awaitable[Sequence[Sequence[Any]]]],
) -> tuple[Session, ...]:
    """A page of a host's live sessions; `ask` gives rows of `COLUMNS` before a place, `page.limit` where there are any.

    What can't be read, or is another host's, makes no page shorter: where one is short, it is the last.
    """
    found: list[Session] = []
    before = page.after or (math.inf, "")
    while len(found) < page.limit:
        rows = await ask(before)
        found += (one for one in all_live_of(rows, sealing, now) if one.host == host)
        if len(rows) < page.limit:
            break
        before = rows[-1][_CREATED_AT], rows[-1][0]
    return tuple(found[: page.limit])


def held_of(row: Sequence[Any], sealing: Sealing, handle_hash: bytes, now: float) -> Held | None:
    """The live session of a row of `COLUMNS`, if its record says that this handle is honoured."""
    record = record_of(row, sealing, now)
    if record is None or not record.session.is_live(now):
        return None
    good_until = record.good_until(handle_hash, now)
    return None if good_until is None else Held(record.session, good_until)


def saved(session: Session, expect_version: int, kept: Record) -> Record:
    """The session in place of the one that is kept, under the same handles."""
    return msgspec.structs.replace(kept, session=msgspec.structs.replace(session, version=expect_version + 1))


def renewed(
    session: Session, expect_version: int, kept: Record, handle: bytes, old_good_until: float
) -> Record:
    """The session in place of the one that is kept, under a new handle."""
    now = msgspec.structs.replace(session, version=expect_version + 1)
    return Record(now, handle, kept.handle, old_good_until)


def _copies(record: Record) -> tuple[Any, ...]:
    """What of a record stands beside it for queries, in order of `COLUMNS`."""
    session = record.session
    return (
        session.user_id,
        session.parent_id,
        session.created_at,
        session.expires_at,
        session.idle_s,
        record.handle,
        record.old_handle or None,
        record.old_until,
    )


def grant_of(row: Sequence[Any]) -> SealedGrant:
    """The grant of a row owner, client, version, sealed, expires_at."""
    owner, client, version, sealed, expires_at = row
    return SealedGrant(owner=owner, client=client, version=version, sealed=sealed, expires_at=expires_at)


def signing_key_of(row: Sequence[Any]) -> SigningKeyRow:
    """The key of a row of `SIGNING_KEYS`."""
    number, key_id, sealed, created_at, signs_at = row
    return SigningKeyRow(
        number=number, id=key_id, sealed=bytes(sealed), created_at=created_at, signs_at=signs_at
    )
