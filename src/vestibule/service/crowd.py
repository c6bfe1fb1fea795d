"""Sign-ins while more people come than can be let in: who is on the way in is let in, and fewer may begin.

What takes time at the end of a sign-in is what is written: the person, the session, the credentials, the trail. Where
writes queue, the event loop is not late and nothing else shows it. So two things are looked at when somebody wants to
begin: how long half of those have waited who are being let in, and how long it took half of those who got in lately.
A few who are stuck (a locked row) make neither long while the others get in. While both are, one may begin for each
that is through (the conservation of packets of congestion control, Jacobson 1988), and a few less, so that the queue
gets shorter; and one a second, so that it never comes to a stop. Who is told to come back before the provider was asked
anything has lost nothing.
"""

from __future__ import annotations

import contextlib
import math
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from vestibule.errors import Crowded

WAIT_S: Final = 1.0
"""Being let in may take so long. Half of an orderly queue have then waited for half of that."""
FEW: Final = 10
"""So many who wait are no crowd, whatever they wait for."""
LATELY_S: Final = 1.0
"""How long ago somebody may have got in who says how long it takes."""
_LATEST: Final = 9
"""The last so many of those are looked at: an older one says how long it took, not how long it takes."""
FOR_EACH: Final = 0.9
"""So many may begin for one that is through."""
AT_ONCE: Final = 10.0
"""And no more than so many of them at once."""
EVERY_S: Final = 1.0
"""One may begin so often in any case."""
RETRY_AFTER_S: Final = 5.0


def is_crowded(waiting: int, waited_s: float, took_s: float | None) -> bool:
    """Whether fewer may begin.

    `waiting`: how many are being let in. `waited_s`: half of them have waited for so long. `took_s`: half of those who
    got in lately took longer; None: nobody got in.
    """
    return waiting > FEW and waited_s > WAIT_S / 2 and (took_s is None or took_s > WAIT_S)


class Crowd:
    """The people who are signing in at one process."""

    def __init__(self, mono: Callable[[], float] = time.monotonic) -> None:
        self._mono = mono
        self._since_mono: list[float] = []
        """When it began for each who is being let in, the first first."""
        self._in: deque[tuple[float, float]] = deque(maxlen=_LATEST)
        """Who got in last: when, and how long it took."""
        self._room = 0.0
        self._begun_mono = -math.inf

    @contextlib.contextmanager
    def entering(self) -> Iterator[Callable[[], None]]:
        """Around what is read and written to let one of them in, without what their provider takes.

        What it gives is to be called once they are in: who is refused, or is to fill in a form first, is through
        sooner than those who get in, and says nothing of how long that takes.
        """
        since_mono = self._mono()
        self._since_mono.append(since_mono)
        try:
            yield partial(self._got_in, since_mono)
        finally:
            del self._since_mono[bisect_left(self._since_mono, since_mono)]
            self._room = min(AT_ONCE, self._room + FOR_EACH)

    def begin(self) -> None:
        """Nothing, where one more sign-in may begin. Raises Crowded.

        Threat: a crowd in which nobody gets in, for all are too late. Does NOT tell an attacker's from others.
        """
        now_mono = self._mono()
        waiting, waited_s = len(self._since_mono), self._waited_s(now_mono)
        if not is_crowded(waiting, waited_s, self._took_s(now_mono)):
            self._room = 0.0
        elif self._room >= 1.0:
            self._room -= 1.0
        elif now_mono - self._begun_mono < EVERY_S:
            detail = f"half of {waiting} have waited for {waited_s:.1f} s"
            raise Crowded(wait_s=RETRY_AFTER_S, detail=detail)
        self._begun_mono = now_mono

    def _got_in(self, since_mono: float) -> None:
        now_mono = self._mono()
        self._in.append((now_mono, now_mono - since_mono))

    def _waited_s(self, now_mono: float) -> float:
        """Half of those who are being let in have waited for so long."""
        return now_mono - self._since_mono[len(self._since_mono) // 2] if self._since_mono else 0.0

    def _took_s(self, now_mono: float) -> float | None:
        """Half of those who got in lately took longer; None: nobody did."""
        lately = sorted(took_s for at_mono, took_s in self._in if now_mono - at_mono <= LATELY_S)
        return lately[len(lately) // 2] if lately else None
