"""How often somebody may do what costs others something: so many times in a window, by key, in bounded memory."""

from __future__ import annotations

from vestibule.core.recent import Recent


class Limit:
    """Counts by key (a client's address, mostly); the key that was counted longest ago is forgotten first."""

    def __init__(self, count: int, window_s: float, *, keys: int = 1000) -> None:
        self._count = count
        self._window_s = window_s
        self._counts: Recent[str, tuple[float, int]] = Recent(keys)

    def __len__(self) -> int:
        return len(self._counts)

    def wait_s(self, key: str, now: float) -> float:
        """For how long this key must wait; 0: it need not."""
        began_at, count = self._counts.get(key, (now, 0))
        left_s = began_at + self._window_s - now
        return left_s if count >= self._count and left_s > 0 else 0.0

    def add(self, key: str, now: float) -> None:
        """Once more."""
        began_at, count = self._counts.get(key, (now, 0))
        if began_at + self._window_s <= now:
            began_at, count = now, 0
        self._counts.put(key, (began_at, count + 1))

    def take_back(self, key: str) -> None:
        """One of those that were added did not count after all."""
        began_at, count = self._counts.get(key, (0.0, 0))
        if count > 1:
            self._counts[key] = began_at, count - 1
        else:
            self._counts.pop(key, None)
