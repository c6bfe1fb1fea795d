"""What was revoked or changed, told within one process: the whole bus where there is one process on the store.

Where several may stand on one store (PostgreSQL), nothing tells this one of the others' changes: its caches are
good for a second, no longer.

`workers = N` adds acknowledged stream sockets, Postgres LISTEN, Redis a channel: each another class of the
same Protocol, which brings changes of other processes, and heartbeats in the same order, into this process's
listeners.
"""

from __future__ import annotations

from vestibule.store.base import ChangeListener


class Changes:
    """`store.base.Changes` for one process: a change has reached everybody when `publish` returns."""

    def __init__(self, *, is_shared: bool = False) -> None:
        """`is_shared`: other processes, which are not heard here, may change what this one has cached."""
        self._listeners: dict[str, list[ChangeListener]] = {}
        self._is_shared = is_shared

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
        """What a process alone doesn't know of was not changed; one of several is never sure.

        Then whoever caches reads again what is older than a second: that is the bound of a revocation there.
        """
        del now_mono
        return not self._is_shared

    async def close(self) -> None:
        """There is nobody to say goodbye to."""
