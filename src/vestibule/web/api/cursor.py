"""Lists by pages: a cursor says where the next page begins, and is good for the same list and filters only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from pydantic import Field

from vestibule.core.seal import KeyRing
from vestibule.errors import Invalid
from vestibule.protocol import base64url
from vestibule.store.base import Page
from vestibule.web.api.shape import Model, QueryModel

LIMIT_MAX: Final = 200
_PURPOSE: Final = "admin cursor"
_MAC_BYTES: Final = 32
_decode: Final = msgspec.json.Decoder(tuple[float, str]).decode

Item = TypeVar("Item")
Shown = TypeVar("Shown")


class Paging(QueryModel):
    """The query of a list; a list's own has its filters beside."""

    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = 50
    """How many at most."""
    cursor: Annotated[str, Field(max_length=4096)] = ""
    """`next` of the page before; all other parameters as they were then, but `limit`."""

    @property
    def filters(self) -> dict[str, Any]:
        """What a cursor is bound to."""
        return self.model_dump(exclude={"limit", "cursor"}, mode="json")


class Listing(Model, Generic[Shown]):
    """One page of a list."""

    items: list[Shown]
    next: str | None
    """The `cursor` of the page that follows; null: this is the last."""


def page_of(ring: KeyRing, name: str, paging: Paging) -> Page:
    """The page of the list *name* that is asked for, and one more, which says whether there is a next.

    Raises: Invalid. Threat: a cursor made up, or taken from another list, that lets its text reach a query.
    """
    if not paging.cursor:
        return Page(limit=paging.limit + 1)
    raw = base64url.decode(paging.cursor) or b""
    mac, place = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not ring.check_mac(_PURPOSE, _bound(name, paging.filters, place), mac):
        raise Invalid((("?cursor", "is none that this list gave for these filters: begin without one"),))
    return Page(after=_decode(place), limit=paging.limit + 1)


def listing(
    ring: KeyRing,
    name: str,
    paging: Paging,
    found: Sequence[Item],
    *,
    place: Callable[[Item], tuple[float, str]],
    shown: Callable[[Item], Shown],
) -> Listing[Shown]:
    """What was found for `page_of`, as the page that is answered. `place`: of an item in the order of the list."""
    items = found[: paging.limit]
    following = None
    if len(found) > paging.limit:
        after = msgspec.json.encode(place(items[-1]))
        following = base64url.encode(ring.mac(_PURPOSE, _bound(name, paging.filters, after)) + after)
    return Listing(items=[shown(item) for item in items], next=following)


def _bound(name: str, filters: Mapping[str, Any], place: bytes) -> bytes:
    return msgspec.json.encode([name, sorted(filters.items())]) + b"\0" + place
