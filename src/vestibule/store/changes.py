"""What was revoked or changed, told within one process: all there is to it where there is one process on the store.

Where there are several, `store.bus` is another class of the same Protocol, which brings changes of other processes, and
heartbeats in the same order, into this process's listeners.
"""

from __future__ import annotations

from vestibule.store.base import ChangeListener


class Changes:
    """`store.base.Changes` for one process: a change has reached everybody when `publish` returns."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[ChangeListener]] = {}

    def publish(self, kind: str, key: str) -> None:
        """Call every listener of this kind."""
        for listener in self._listeners.get(kind, ()):
            listener(key)

    async def settle(self) -> None:
        """There is nobody to wait for."""

    def subscribe(self, kind: str, listener: ChangeListener) -> None:
        """Call this listener from now on."""
        self._listeners.setdefault(kind, []).append(listener)

    def is_current(self, now_mono: float) -> bool:
        """Always: what this process doesn't know of was not changed."""
        del now_mono
        return True

    async def close(self) -> None:
        """There is nobody to say goodbye to."""
