"""Alarms before a certificate in force ends: a month, a week and a day before, and when it has ended; each once.

Whatever should have replaced it has failed by then, or nobody has: the old one serves on until it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from vestibule.core.certificate import Alarm, Certificate, Source, alarm_of
from vestibule.core.event import CERTIFICATE_EXPIRES, Event
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.service.events import Events
from vestibule.service.shelf import Shelf
from vestibule.store import base

LOOK_EVERY_S: Final = 600.0
_KIND: Final = "certificate alarm"
_KEPT_S: Final = 40 * 86_400.0
_HOSTS_MAX: Final = 50
ADVICE: Final = {
    Source.ACME: "it is renewed by itself: `vestibule doctor` and the log say why that fails",
    Source.FILE: "put the renewed certificate into the same files: it is read at once",
    Source.LOCAL: "it is renewed by itself: the log says why that fails",
}


async def sound(
    shelf: Shelf,
    marks: base.Marks,
    events: Events,
    log: Log,
    *,
    now: Callable[[], float] = clock.now,
) -> None:
    """Tell of every certificate on the shelf for which it is time, to log and webhooks. Raises StoreError."""
    at = now()
    for hosts, certificate in shown_once(shelf):
        alarm = alarm_of(certificate, at)
        if alarm is None:
            continue
        key = f"{certificate.fingerprint} {alarm.value}".encode("ascii")
        if await marks.consume(_KIND, key, at, at + _KEPT_S):
            told = _event(hosts, certificate, max(0, int((certificate.not_after_at - at) // 86_400)))
            if alarm > Alarm.DAY:
                log.of("tls").warning("certificate_expires", **told.detail)
            else:
                log.of("tls").error("certificate_expires", **told.detail)
            await events.tell(told)


def shown_once(shelf: Iterable[tuple[str, Certificate]]) -> list[tuple[tuple[str, ...], Certificate]]:
    """Each certificate once, with the names it is shown for."""
    found: dict[str, tuple[list[str], Certificate]] = {}
    for name, certificate in shelf:
        found.setdefault(certificate.fingerprint, ([], certificate))[0].append(name)
    return [(tuple(sorted(names)), certificate) for names, certificate in found.values()]


def _event(hosts: tuple[str, ...], certificate: Certificate, days_left: int) -> Event:
    return Event(
        id="",
        at=0.0,
        action=CERTIFICATE_EXPIRES,
        target=f"certificate {hosts[0]}",
        host=hosts[0],
        detail={
            "hosts": list(hosts)[:_HOSTS_MAX],
            "days_left": days_left,
            "ends": f"{datetime.fromtimestamp(certificate.not_after_at, UTC):%Y-%m-%d %H:%M} UTC",
            "source": certificate.source.value,
            "fingerprint": certificate.fingerprint,
            "advice": ADVICE[certificate.source],
        },
    )
