"""The clock of this machine against those of providers and stores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from vestibule.doctor.finding import About, Finding
from vestibule.fetch import AiohttpTransport, Incoming, Request
from vestibule.observe import clock

_ABOUT: Final = About("clock")
#: a Date header has whole seconds, and an answer may be a while on its way
SLACK_S: Final = 5.0
WRONG_S: Final = 60.0
"""From here on ID tokens are refused for their times."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What another machine's clock said."""

    whose: str
    theirs_at: float
    ours_at: float

    @property
    def ahead_s(self) -> float:
        """How far ours is ahead of theirs."""
        return self.ours_at - self.theirs_at


class Noting:
    """A transport that notes the Date of every answer."""

    def __init__(self, inner: AiohttpTransport) -> None:
        self._inner = inner
        self.heard: dict[str, Heard] = {}

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Incoming]:
        """As the transport beneath."""
        async with self._inner.send(request) as incoming:
            self.note(str(request.url.origin()), incoming.headers.get("date", ""))
            yield incoming

    def note(self, whose: str, date: str) -> None:
        """Keep what a Date header says, if it is one."""
        try:
            theirs_at = parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError):
            return
        self.heard[whose] = Heard(whose=whose, theirs_at=theirs_at, ours_at=clock.now())

    async def close(self) -> None:
        """As the transport beneath."""
        await self._inner.close()


def findings_of(heard: Iterable[Heard]) -> list[Finding]:
    """One for each clock."""
    found = [_finding_of(one) for one in heard]
    return found or [
        _ABOUT.skip(
            "this machine",
            "clock_unknown",
            "nobody said what time it is",
            "see that NTP runs: timedatectl status",
        )
    ]


def _finding_of(heard: Heard) -> Finding:
    ahead = heard.ahead_s
    way = "ahead of" if ahead > 0 else "behind"
    detail = f"this machine is {abs(ahead):.0f} s {way} it"
    advice = "set the clock by NTP: timedatectl set-ntp true (chrony, systemd-timesyncd)"
    if abs(ahead) > WRONG_S:
        return _ABOUT.fail(
            heard.whose, "clock_wrong", f"{detail}: tokens look expired, or not good yet", advice
        )
    if abs(ahead) > SLACK_S:
        return _ABOUT.warn(heard.whose, "clock_off", detail, advice)
    return _ABOUT.ok(heard.whose, "clock_good", "the clocks agree")


def of_store(whose: str, theirs_at: float, ours_at: float) -> Heard:
    """What a store's clock said."""
    return Heard(whose=whose, theirs_at=theirs_at, ours_at=ours_at)
