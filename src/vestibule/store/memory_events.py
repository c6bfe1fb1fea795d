"""What happened, messages, devices: in memory, for tests."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from vestibule.core.device import KnownDevice
from vestibule.core.event import Event
from vestibule.store.base_events import AuditFilter, Letter
from vestibule.store.memory_records import People


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

    def __init__(self, outbox: Outbox) -> None:
        self._kept: dict[str, Event] = {}
        self._outbox = outbox

    async def add(self, events: Sequence[Event], letters: Sequence[Letter] = ()) -> None:
        """Keep what is not there."""
        for event in events:
            self._kept.setdefault(event.id, event)
        for letter in letters:
            self._outbox.put(letter)

    async def list(self, wanted: AuditFilter) -> tuple[Event, ...]:
        """Look at each."""
        found = [event for event in self._kept.values() if _is_wanted(event, wanted)]
        return tuple(sorted(found, key=lambda event: (event.at, event.id), reverse=True)[: wanted.limit])

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Forget the old ones."""
        old = [event.id for event in self._kept.values() if event.at < before][:limit]
        for event_id in old:
            del self._kept[event_id]
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


def _is_wanted(event: Event, wanted: AuditFilter) -> bool:
    names = ("action", "actor", "user_id", "session_id", "target", "outcome")
    return (
        all(getattr(wanted, name) in ("", getattr(event, name)) for name in names)
        and (wanted.since is None or event.at >= wanted.since)
        and (wanted.until is None or event.at < wanted.until)
        and (wanted.after is None or (event.at, event.id) < wanted.after)
    )
