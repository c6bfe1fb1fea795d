"""What came before and may come again: a dictionary that forgets everything when it holds too much."""

from __future__ import annotations

from typing import TypeVar

V = TypeVar("V")


class Familiar(dict[bytes, V]):
    """Values by bytes that a peer sent; reading is a plain dictionary's.

    Threat: peers who send what nobody sent before, to fill the memory. Forgetting everything costs a moment each time;
    choosing what to forget would cost at every reading.
    """

    __slots__ = ("_each_bytes", "_left_bytes", "limit_bytes")

    def __init__(self, limit_bytes: int, *, each_bytes: int) -> None:
        """`each_bytes`: what an entry takes beside its key, about."""
        super().__init__()
        self.limit_bytes = self._left_bytes = limit_bytes
        self._each_bytes = each_bytes

    def keep(self, key: bytes, value: V) -> None:
        """Keep it, in place of what was there."""
        if key not in self:
            size = len(key) + self._each_bytes
            if size > self._left_bytes:
                self.clear()
            self._left_bytes -= size
        self[key] = value

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        self._left_bytes = self.limit_bytes
