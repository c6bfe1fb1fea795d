"""The ring while its file changes: other keys are taken in within seconds, a new one seals when its time has come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from vestibule.core.seal import Key, KeyRing, in_order
from vestibule.errors import StoreError
from vestibule.observe.log import Log

LOOK_EVERY_S: Final = 2.0


class KeyWatch:
    """Keeps a ring as its file says; a file that can't be used is told of, and changes nothing."""

    def __init__(
        self, ring: KeyRing, log: Log, *, stamp: Callable[[], object], read: Callable[[], tuple[Key, ...]]
    ) -> None:
        """`stamp` gives what changes with the file; `read` its keys. Both may raise OSError, `read` StoreError."""
        self._ring = ring
        self._log = log.of("credentials")
        self._stamp = stamp
        self._read = read
        self._keys = ring.keys
        self._seen: object = None

    async def look(self, now: float, _fence: int = 0) -> None:
        """Take in what is new: a job for every few seconds."""
        why = await asyncio.to_thread(self._look)
        if why:
            self._log.error("keys_unusable", detail=f"{why} The keys that are known stay in use.")
        self._use(in_order(self._keys, now))

    def _look(self) -> str:
        """Read the file if it is another than it was, in a thread; why that can't be done, told once, or nothing."""
        seen: object = "away"
        why = ""
        try:
            seen = self._stamp()
            if seen != self._seen:
                self._keys = self._read()
        except (OSError, StoreError) as exc:
            if seen != self._seen:
                why = exc.message if isinstance(exc, StoreError) else f"The key file is away: {exc.strerror}."
        self._seen = seen
        return why

    def _use(self, keys: tuple[Key, ...]) -> None:
        if keys == self._ring.keys:
            return
        before = self._ring.active_id
        self._ring.use(keys)
        event = "keys_read" if before == self._ring.active_id else "keys_rotated"
        self._log.info(event, active=self._ring.active_id, keys=", ".join(key.id for key in keys))
