"""What the program asks of a store about what happened: the rest of `store.base`, with the same rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from vestibule.core.chain import End, Entry
from vestibule.core.device import KnownDevice
from vestibule.core.event import Event


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a webhook is owed."""

    webhook: str
    """The receiver's ID."""
    id: str
    """Of its event."""
    body: bytes
    created_at: float
    next_at: float
    """When it is to be tried."""
    tries: int = 0


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was given up."""

    webhook: str
    id: str
    action: str
    """Of its event."""
    body: bytes
    created_at: float
    died_at: float
    tries: int
    detail: str
    """What was wrong the last time."""


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are wanted, and which part of the list; what is empty is not asked for."""

    action: str = ""
    actor: str = ""
    target: str = ""
    outcome: str = ""
    user_id: str = ""
    session_id: str = ""
    since: float | None = None
    """From then on."""
    until: float | None = None
    """Before."""
    after: tuple[float, str] | None = None
    """(at, id) of the last one of the page before; None: from the latest."""
    limit: int = 50


class Audit(Protocol):
    """What happened: records, in SQL, chained (`core.chain`). They are added, and swept when they are old.

    Any number of processes add at the same time; each batch stands together, behind all that was there.
    """

    @property
    def seen(self) -> End | None:
        """The head as this process left it, None before it has added anything; others may have added since.

        Threat: who writes the database, but no memory of ours.
        """

    async def add(self, events: Sequence[Event], letters: Sequence[Letter] = ()) -> None:
        """Put events behind the others, and messages with them; durable on return.

        What is there already stays as it is, and the messages about it are not owed again.
        """

    async def list(self, wanted: AuditFilter) -> tuple[Event, ...]:
        """One page of the events, the latest first, all filters applied."""

    async def get(self, event_id: str) -> Event | None:
        """The event of this id, or None."""

    async def rows(self, after: int, limit: int, wanted: AuditFilter | None = None) -> tuple[Entry, ...]:
        """At most so many rows behind the one of this number, in the order of the chain; its page is not looked at."""

    async def ends(self) -> tuple[End, End]:
        """Anchor and head; one that is gone is told as if nothing had ever been written."""

    async def reseal(self) -> None:
        """Have the active key seal the ends, where they are as they were left."""

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Delete at most `limit` from the chain's beginning that happened before this; how many went."""


class Outbox(Protocol):
    """Messages that webhooks are owed: records, in SQL. They come by `Audit.add`."""

    async def due(self, webhook: str, now: float, limit: int) -> tuple[Letter, ...]:
        """Those of a webhook whose turn has come, the oldest first."""

    async def claim(self, letter: Letter, until: float) -> bool:
        """Count one more try, and keep others off until then; False when somebody else was faster.

        Who claims it delivers it; is nothing heard by then (a process died), it is another's. Durable on return.
        """

    async def put_off(self, letter: Letter, next_at: float) -> None:
        """Have it tried then."""

    async def delete(self, letter: Letter) -> None:
        """It has arrived, or is given up."""

    async def count(self) -> int:
        """How many wait."""

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Delete at most `limit` that were made before this, whosever they are; how many went."""


class DeadLetters(Protocol):
    """Messages that a webhook did not take for a day: records, in SQL."""

    async def bury(self, letter: Letter, dead: DeadLetter, *, at_most: int) -> None:
        """Keep it here, and owe it no more; of all that are kept the newest stay. Durable on return."""

    async def list(self, limit: int = 1000) -> tuple[DeadLetter, ...]:
        """Those that died last, first."""

    async def retry(self, webhook: str, letter_id: str, now: float) -> bool:
        """Owe it again, as if it were made now; False where there is none."""

    async def discard(self, webhook: str, letter_id: str) -> bool:
        """Forget it; False where there is none."""

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Delete at most `limit` that died before this; how many went."""


class Devices(Protocol):
    """By which devices people have signed in: records, in SQL. They go with their user (`People.delete`)."""

    async def of_user(self, user_id: str) -> tuple[KnownDevice, ...]:
        """A user's, the one seen last first."""

    async def keep(self, device: KnownDevice, *, at_most: int) -> bool:
        """Insert or replace it, by user and digest; of the user's those seen last stay. False for no such user."""

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Delete at most `limit` that were last seen before this; how many went."""
