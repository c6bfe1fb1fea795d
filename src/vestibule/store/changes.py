"""What was revoked or changed, told within one process: all there is to it where there is one process on the store.

Where there are several, `store.bus` is another class of the same Protocol, which brings changes of other processes, and
heartbeats in the same order, into this process's listeners.
"""

from __future__ import annotations

from vestibule.store import base
from vestibule.store.base import EVERYTHING, ChangeListener


class Changes:
    """`store.base.Changes` for one process: a change has reached everybody when `publish` returns."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[ChangeListener]] = {}

    def publish(self, kind: str, key: str) -> None:
        """Call every listener of this kind."""
        for listener in self._listeners.get(kind, ()):
            listener(key)

    def doubt(self) -> None:
        """Have all that is cached read again: another program may have changed it."""
        for kind in tuple(self._listeners):
            self.publish(kind, EVERYTHING)

    async def settle(self) -> None:
        """There is nobody to wait for."""

    def subscribe(self, kind: str, listener: ChangeListener) -> None:
        """Call this listener from now on."""
        self._listeners.setdefault(kind, []).append(listener)

    def unsubscribe(self, kind: str, listener: ChangeListener) -> None:
        """Call it no more."""
        without(self._listeners, kind, listener)

    def is_current(self, now_mono: float) -> bool:
        """Always: what this process doesn't know of was not changed."""
        del now_mono
        return True

    async def close(self) -> None:
        """There is nobody to say goodbye to."""


class Lent:
    """The changes of a process, lent to what ends before it: all that subscribes here is taken back at the end."""

    def __init__(self, changes: base.Changes) -> None:
        self._changes = changes
        self._subscribed: list[tuple[str, ChangeListener]] = []
        self.publish = changes.publish
        self.settle = changes.settle
        self.is_current = changes.is_current

    def subscribe(self, kind: str, listener: ChangeListener) -> None:
        """Call this listener from now on, until `close`."""
        self._subscribed.append((kind, listener))
        self._changes.subscribe(kind, listener)

    def unsubscribe(self, kind: str, listener: ChangeListener) -> None:
        """Call it no more."""
        self._subscribed.remove((kind, listener))
        self._changes.unsubscribe(kind, listener)

    async def close(self) -> None:
        """Take back all that was subscribed; the changes themselves stay open."""
        while self._subscribed:
            self._changes.unsubscribe(*self._subscribed.pop())


def without(listeners: dict[str, list[ChangeListener]], kind: str, listener: ChangeListener) -> None:
    """Take one listener out, in a list of its own: somebody may be going through the one before."""
    left = [one for one in listeners.get(kind, ()) if one != listener]
    if left:
        listeners[kind] = left
    else:
        listeners.pop(kind, None)
