"""Entries of a directory that are asked for by filter, in an order, page by page (RFC 7644 section 3.4.2, RFC 9865).

What an index can answer (a name, an external id, an id, a membership) is asked of the store; the rest of a filter, and
an order that is not by age, looks at every entry, some hundred at a time, and for each organisation once at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec

from vestibule.protocol import base64url
from vestibule.protocol.scim_error import ScimError
from vestibule.protocol.scim_filter import (
    All,
    Compare,
    Filter,
    Place,
    Within,
    equalities,
    holds,
    placed,
    terms_in,
    values_at,
)
from vestibule.protocol.scim_schema import GROUPS, USERS, Kind
from vestibule.service.directory import resource_of
from vestibule.store.base_directory import Directory, Entry, Wanted

_AT_ONCE: Final = 500
_OFFSET_MAX: Final = 1 << 31
_MOMENT_MAX: Final = 1 << 53
TERMS_MAX: Final = 50
"""Of a filter that every entry is held against."""
_TURN_S: Final = 0.01
"""How long entries are looked at before others have their turn."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for."""

    filter: Filter | None = None
    sort_by: Place | None = None
    is_descending: bool = False
    start: int = 1
    """The place of the first one wanted, counted from 1."""
    count: int
    cursor: str | None = None
    """Empty: the first page of those that go on by cursors; None: pages go by `start`."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One page."""

    total: int
    entries: tuple[Entry, ...]
    next_cursor: str = ""
    """Empty: it was the last page, or pages go by `start`."""


class Search:
    """Looks for entries. Every method may raise ScimError, StoreError."""

    def __init__(self, store: Directory) -> None:
        self._store = store
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find(self, org_id: str, kind: Kind, query: Query, base_url: str) -> Found:
        """The page, and how many there are in all. Raises ScimError `invalidFilter`, `invalidCursor`, `invalidPath`."""
        wanted, rest = _asked(query.filter, kind)
        goes_by_age = rest is None and query.sort_by is None
        after, offset = _place(query, goes_by_age=goes_by_age)
        if goes_by_age:
            entries: tuple[Entry, ...] = ()
            if query.count:
                entries = await self._store.entries(
                    org_id, _name(kind), wanted, after=after, offset=offset, limit=query.count + 1
                )
            total = len(entries)
            if after is not None or offset or len(entries) > query.count or not query.count:
                total = await self._store.count(org_id, _name(kind), wanted)
            place = entries[query.count - 1] if len(entries) > query.count > 0 else None
            following = [] if place is None else [place.created_at, place.id]
            return _page(query, total, entries[: query.count], following)
        turn = self._turns.setdefault(org_id, asyncio.Lock())
        async with turn:
            found = await self._scanned(org_id, kind, wanted, rest, query, base_url)
        end = offset + query.count
        entries = await self._read(org_id, kind, found[offset:end])
        return _page(query, len(found), entries, [end] if query.count and len(found) > end else [])

    async def _read(self, org_id: str, kind: Kind, ids: list[str]) -> tuple[Entry, ...]:
        """These entries, in this order; who was deleted meanwhile is left out."""
        if not ids:
            return ()
        several = await self._store.entries(org_id, _name(kind), Wanted(ids=tuple(ids)), limit=len(ids))
        known = {entry.id: entry for entry in several}
        return tuple(known[one] for one in ids if one in known)

    async def _scanned(  # noqa: PLR0917 - at one place
        self, org_id: str, kind: Kind, wanted: Wanted, rest: Filter | None, query: Query, base_url: str
    ) -> list[str]:
        """The ids of all that meet the filter, in the order that is asked for. Raises ScimError `tooMany`.

        Threat: a directory whose questions keep everybody waiting, or fill the memory with all its people.
        """
        place = query.sort_by
        if rest is not None and terms_in(rest) > TERMS_MAX:
            raise ScimError(400, f"a filter has {TERMS_MAX} comparisons at most", "tooMany")
        if place is not None and placed(place, kind) is None:
            raise ScimError(400, f"{place.name} is no attribute to sort by", "invalidPath")
        found: list[tuple[Any, str]] = []
        looks_around = rest is not None or place is not None
        began_mono = time.monotonic()
        async for entry, resource in self._all(org_id, kind, wanted, base_url, looks_around=looks_around):
            if time.monotonic() - began_mono > _TURN_S:
                await asyncio.sleep(0)
                began_mono = time.monotonic()
            if rest is None or holds(rest, resource, kind):
                found.append((_key(resource, place, kind), entry.id))
        if place is not None:
            found.sort(key=lambda one: one[0], reverse=query.is_descending)
        return [entry_id for _, entry_id in found]

    async def _all(
        self, org_id: str, kind: Kind, wanted: Wanted, base_url: str, *, looks_around: bool
    ) -> AsyncIterator[tuple[Entry, dict[str, Any]]]:
        after = None
        while True:
            entries = await self._store.entries(org_id, _name(kind), wanted, after=after, limit=_AT_ONCE)
            around: Mapping[str, Any] = {}
            if looks_around:
                around = await self._store.references(_name(kind), [entry.id for entry in entries])
            for entry in entries:
                yield entry, resource_of(entry, base_url, around.get(entry.id, ()))
            if len(entries) < _AT_ONCE:
                return
            after = entries[-1].created_at, entries[-1].id


def _asked(term: Filter | None, kind: Kind) -> tuple[Wanted, Filter | None]:
    """What the store is asked for, and what is left of the filter."""
    if term is None:
        return Wanted(), None
    several = equalities(term)
    terms: tuple[Filter, ...] = term.terms if isinstance(term, All) else several or (term,)
    asked: dict[str, str] = {}
    rest: list[Filter] = []
    for one in terms:
        name = _indexed(one, kind)
        value = one.term.value if isinstance(one, Within) and isinstance(one.term, Compare) else None
        value = one.value if isinstance(one, Compare) else value
        if name and name not in asked and isinstance(value, str):
            asked[name] = value
        else:
            rest.append(one)
    left = None if not rest else rest[0] if len(rest) == 1 else All(tuple(rest))
    wanted = Wanted(
        id=asked.get("id"),
        name=asked.get("name"),
        external_id=asked.get("external_id"),
        has=asked.get("has"),
    )
    return wanted, left


def _indexed(term: Filter, kind: Kind) -> str:
    """By which field of `Wanted` the store can look for it; empty: by none."""
    if isinstance(term, Within) and isinstance(term.term, Compare):
        inner = term.term
        if inner.place.sub or inner.place.name.lower() != "value":
            return ""
        return _indexed(Compare(term.place, inner.operator, inner.value), kind)
    if not isinstance(term, Compare) or term.operator != "eq":
        return ""
    place = term.place
    if place.urn and place.urn.lower() != kind.core.id.lower():
        return ""
    name = place.name.lower()
    if place.sub:
        return "has" if place.sub.lower() == "value" and name == _other(kind) else ""
    if name == _other(kind):
        return "has"
    return {"id": "id", "externalid": "external_id", _own(kind): "name"}.get(name, "")


def _own(kind: Kind) -> str:
    return "username" if kind is USERS else "displayname"


def _other(kind: Kind) -> str:
    return "members" if kind is GROUPS else "groups"


def _key(resource: dict[str, Any], place: Place | None, kind: Kind) -> Any:
    """By what it is sorted: nothing last, of a list its primary value or the first. Spec: RFC 7644 section 3.4.2.3."""
    if place is None:
        return ()
    chain = placed(place, kind)
    assert chain is not None, "was looked at before"
    values = values_at(resource, place, kind)
    if values and isinstance(values[0], dict):
        first = next((one for one in values if one.get("primary") is True), values[0])
        values = [first.get("value")]
    value = values[0] if values else None
    if value is None:
        return (1, "")
    text = str(value)
    return (0, text if chain[-1].case_exact else text.casefold())


def _place(query: Query, *, goes_by_age: bool) -> tuple[tuple[float, str] | None, int]:
    """After whom the page begins, and how many are skipped. Raises ScimError `invalidCursor`."""
    if query.cursor is None:
        return None, query.start - 1
    if not query.cursor:
        return None, 0
    wrong = ScimError(400, "the cursor is none of ours", "invalidCursor")
    try:
        read = msgspec.json.decode(base64url.decode(query.cursor) or b"", type=list[float | int | str])
    except msgspec.DecodeError:
        raise wrong from None
    match read:
        case [int(offset)] if not goes_by_age and 0 <= offset < _OFFSET_MAX:
            return None, offset
        case [float() | int() as at, str(entry_id)] if goes_by_age and 0 <= at < _MOMENT_MAX:
            return (float(at), entry_id), 0
    raise wrong


def _page(query: Query, total: int, entries: tuple[Entry, ...], following: list[Any]) -> Found:
    """The page, with the place where the next one begins; empty: there is none."""
    cursor = ""
    if query.cursor is not None and following:
        cursor = base64url.encode(msgspec.json.encode(following))
    return Found(total=total, entries=entries, next_cursor=cursor)


def _name(kind: Kind) -> Any:
    return kind.name
