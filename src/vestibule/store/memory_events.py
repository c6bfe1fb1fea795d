"""What happened, messages, devices: in memory, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from vestibule.core import chain
from vestibule.core.chain import End, Entry
from vestibule.core.device import KnownDevice
from vestibule.core.event import Event
from vestibule.core.seal import Key, KeyRing
from vestibule.store.base_events import AuditFilter, DeadLetter, Letter
from vestibule.store.memory_records import People

_RING: Final = KeyRing((Key("memory", b"in memory, for tests alone......."),))


class Outbox:
    """`store.base.Outbox`."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Letter] = {}

    def put(self, letter: Letter) -> None:
        """Keep it, unless it is there."""
        self._kept.setdefault((letter.webhook, letter.id), letter)

    async def due(self, webhook: str, now: float, limit: int) -> tuple[Letter, ...]:
        """Look at each."""
        found = [one for one in self._kept.values() if one.webhook == webhook and one.next_at <= now]
        return tuple(sorted(found, key=lambda one: (one.created_at, one.id))[:limit])

    async def claim(self, letter: Letter, until: float) -> bool:
        """Replace it, if nobody was faster."""
        place = letter.webhook, letter.id
        if self._kept.get(place) != letter:
            return False
        self._kept[place] = replace(letter, tries=letter.tries + 1, next_at=until)
        return True

    async def put_off(self, letter: Letter, next_at: float) -> None:
        """Replace its turn."""
        place = letter.webhook, letter.id
        if place in self._kept:
            self._kept[place] = replace(self._kept[place], next_at=next_at)

    async def delete(self, letter: Letter) -> None:
        """Forget it."""
        self._kept.pop((letter.webhook, letter.id), None)

    async def count(self) -> int:
        """Count them."""
        return len(self._kept)

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Forget the old ones."""
        old = [place for place, one in self._kept.items() if one.created_at < before][:limit]
        for place in old:
            del self._kept[place]
        return len(old)


class Audit:
    """`store.base.Audit`."""

    def __init__(self, outbox: Outbox, ring: KeyRing = _RING) -> None:
        self.kept: list[Entry] = []
        self.anchor = End(name=chain.ANCHOR)
        self.head = End(name=chain.HEAD)
        self._outbox = outbox
        self._ring = ring

    @property
    def seen(self) -> End | None:
        """As it is: nobody else can have changed it."""
        return None if self.head.is_new else self.head

    async def add(self, events: Sequence[Event], letters: Sequence[Letter] = ()) -> None:
        """Chain what is not there."""
        known = {entry.id for entry in self.kept}
        fresh = {event.id: event for event in events if event.id not in known}
        if fresh:
            last = (self.kept[-1].seq, self.kept[-1].hash) if self.kept else None
            head, fault = chain.head_of(self.head, last, self._ring)
            entries, self.head = chain.extended(head, fresh.values(), self._ring, fault=fault)
            self.kept += entries
        told = {event.id for event in events} & known
        for letter in letters:
            if letter.id not in told:
                self._outbox.put(letter)

    async def list(self, wanted: AuditFilter) -> tuple[Event, ...]:
        """Look at each."""
        found = [event for event in map(_event, self.kept) if _is_wanted(event, wanted)]
        return tuple(sorted(found, key=lambda event: (event.at, event.id), reverse=True)[: wanted.limit])

    async def get(self, event_id: str) -> Event | None:
        """Look at each."""
        return next((_event(entry) for entry in self.kept if entry.id == event_id), None)

    async def rows(self, after: int, limit: int, wanted: AuditFilter | None = None) -> tuple[Entry, ...]:
        """Look at each."""
        behind = (entry for entry in self.kept if entry.seq > after)
        found = [entry for entry in behind if wanted is None or _is_wanted(_event(entry), wanted)]
        return tuple(found[:limit])

    async def ends(self) -> tuple[End, End]:
        """As they are."""
        return self.anchor, self.head

    async def reseal(self) -> None:
        """Seal both anew."""
        self.anchor, self.head = (self._resealed(end) for end in (self.anchor, self.head))

    def _resealed(self, end: End) -> End:
        if end.key_id == self._ring.active_id or not chain.is_sealed(end, self._ring):
            return end
        return chain.sealed_end(end.name, end.seq, end.hash, self._ring)

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Forget the old ones."""
        moved = chain.swept(self.anchor, self.kept[:limit], before, self._ring)
        if moved is None:
            return 0
        count, self.anchor = moved.seq - self.anchor.seq, moved
        del self.kept[:count]
        return count


class DeadLetters:
    """`store.base.DeadLetters`."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._kept: dict[tuple[str, str], DeadLetter] = {}

    async def bury(self, letter: Letter, dead: DeadLetter, *, at_most: int) -> None:
        """Move it, and forget what is too much."""
        await self._outbox.delete(letter)
        self._kept.setdefault((dead.webhook, dead.id), dead)
        for surplus in (await self.list(len(self._kept)))[at_most:]:
            del self._kept[surplus.webhook, surplus.id]

    async def list(self, limit: int = 1000) -> tuple[DeadLetter, ...]:
        """Sort them."""
        return tuple(sorted(self._kept.values(), key=lambda one: (one.died_at, one.id), reverse=True)[:limit])

    async def retry(self, webhook: str, letter_id: str, now: float) -> bool:
        """Move it back."""
        dead = self._kept.pop((webhook, letter_id), None)
        if dead is not None:
            letter = Letter(webhook=webhook, id=letter_id, body=dead.body, created_at=now, next_at=now)
            self._outbox.put(letter)
        return dead is not None

    async def discard(self, webhook: str, letter_id: str) -> bool:
        """Forget it."""
        return self._kept.pop((webhook, letter_id), None) is not None

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Forget the old ones."""
        old = [place for place, one in self._kept.items() if one.died_at < before][:limit]
        for place in old:
            del self._kept[place]
        return len(old)


class Devices:
    """`store.base.Devices`."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._kept: dict[tuple[str, bytes], KnownDevice] = {}

    async def of_user(self, user_id: str) -> tuple[KnownDevice, ...]:
        """Look at each."""
        if user_id not in self._people.kept:
            return ()
        theirs = (device for device in self._kept.values() if device.user_id == user_id)
        return tuple(sorted(theirs, key=lambda device: (-device.seen_at, device.digest)))

    async def keep(self, device: KnownDevice, *, at_most: int) -> bool:
        """Keep it, and forget what is too much."""
        if device.user_id not in self._people.kept:
            return False
        self._kept[device.user_id, device.digest] = device
        for surplus in (await self.of_user(device.user_id))[at_most:]:
            del self._kept[surplus.user_id, surplus.digest]
        return True

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Forget the old ones, and those whose user is gone."""
        self._kept = {place: device for place, device in self._kept.items() if place[0] in self._people.kept}
        old = [place for place, device in self._kept.items() if device.seen_at < before][:limit]
        for place in old:
            del self._kept[place]
        return len(old)


def _event(entry: Entry) -> Event:
    values = {name: getattr(entry, name) for name in Event.__struct_fields__}
    return Event(**{**values, "detail": msgspec.json.decode(entry.detail)})


def _is_wanted(event: Event, wanted: AuditFilter) -> bool:
    names = ("action", "actor", "user_id", "session_id", "target", "outcome")
    return (
        all(getattr(wanted, name) in ("", getattr(event, name)) for name in names)
        and (wanted.since is None or event.at >= wanted.since)
        and (wanted.until is None or event.at < wanted.until)
        and (wanted.after is None or (event.at, event.id) < wanted.after)
    )
