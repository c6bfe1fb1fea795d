"""What an operator should see to, each with what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from vestibule.admin_model import CertificateState, Concern, ProviderState, StoreState
from vestibule.config.compile import Compiled
from vestibule.core.certificate import Alarm, alarm_of
from vestibule.core.event import AUDIT_BROKEN
from vestibule.core.seal import KeyRing
from vestibule.errors import StoreError
from vestibule.observe import clock
from vestibule.observe.meter import Figures
from vestibule.service.acme_states import NameState
from vestibule.service.certificate_alarms import ADVICE, shown_once
from vestibule.service.certificate_keeper import CertificateKeeper
from vestibule.service.events import Events
from vestibule.service.in_force import InForce
from vestibule.store.base_events import Audit, AuditFilter, DeadLetters

SILENT_S: Final = 5.0
KEY_OLD_S: Final = 400 * 86_400.0
CERTIFICATE_S: Final = 21 * 86_400.0
LISTED_MAX: Final = 100
FAILED_MAX: Final = 10
"""So many names whose certificate could not be had are told of."""
SAID_MAX: Final = 300


class Concerns:
    """Looks at everything that can be looked at without holding anybody up."""

    def __init__(
        self,
        compiled: Compiled,
        *,
        ring: KeyRing,
        events: Events,
        audit: Audit,
        dead: DeadLetters,
        in_force: InForce,
        providers: Callable[[], Awaitable[tuple[ProviderState, ...]]],
        certificates: Callable[[], tuple[CertificateState, ...]],
        keeper: CertificateKeeper | None = None,
        orders: Callable[[], Awaitable[tuple[NameState, ...]]] | None = None,
        now: Callable[[], float] = clock.now,
    ) -> None:
        """All that is looked at is handed over.

        `providers`: how each does; `certificates`: those in use; `keeper`: of those that browsers are shown;
        `orders`: how it is with those that are ordered, None: none are.
        """
        self._keeper = keeper
        self._orders = orders
        self._compiled = compiled
        self._ring = ring
        self._events = events
        self._audit = audit
        self._dead = dead
        self._in_force = in_force
        self._providers = providers
        self._certificates = certificates
        self._now = now

    async def all(self, stores: Sequence[StoreState], processes: Sequence[Figures]) -> tuple[Concern, ...]:
        """All there is, the most urgent first."""
        found = [*_of_stores(stores), *self._of_processes(processes)]
        found += await self._of_records() if all(store.ok for store in stores) else ()
        found += _of_providers(await self._providers())
        found += await self._of_certificates_shown()
        found += await asyncio.to_thread(self._of_files)
        found += self._of_keys()
        found += _of_events(self._events)
        return tuple(found)

    def _of_processes(self, processes: Sequence[Figures]) -> list[Concern]:
        now = self._now()
        found = []
        for one in processes:
            if now - one.heard_at > SILENT_S:
                detail = f"{one.name} (process {one.pid}) has said nothing for {now - one.heard_at:.0f} s"
                found.append(Concern(what="a process is silent", detail=detail, advice="look at the log"))
            if one.log_dropped:
                found.append(
                    Concern(
                        what="lines of the log were dropped",
                        detail=f"{one.log_dropped} by {one.name}",
                        advice="whoever reads the log is too slow, or its disk is full",
                    )
                )
        wanted = self._compiled.workers + 1 if self._compiled.workers > 1 else 1
        if len(processes) < wanted:
            found.append(
                Concern(
                    what="a process is missing",
                    detail=f"{len(processes)} of {wanted} were heard of lately",
                    advice="the supervisor starts it anew: the log says why it ended",
                )
            )
        return found

    async def _of_certificates_shown(self) -> list[Concern]:
        if self._keeper is None:
            return []
        try:
            orders = () if self._orders is None else await self._orders()
        except StoreError:
            orders = ()  # that the store is away is told already
        return of_shown(self._keeper, self._now(), orders)

    async def _of_records(self) -> list[Concern]:
        """What stands in tables."""
        try:
            dead = await self._dead.list(LISTED_MAX)
            broken = await self._audit.list(AuditFilter(action=AUDIT_BROKEN, limit=1))
        except StoreError:
            return []  # that the store is away is told already
        found = []
        if broken:
            found.append(
                Concern(
                    what="the trail is not what was written",
                    detail=f"seen on {_day(broken[0].at)}",
                    advice="vestibule audit verify says where it begins to be another",
                )
            )
        if dead:
            hooks = ", ".join(sorted({one.webhook for one in dead}))
            more = "at least " if len(dead) == LISTED_MAX else ""
            found.append(
                Concern(
                    what="messages to webhooks were given up",
                    detail=f"{more}{len(dead)} to {hooks}",
                    advice="put the receiver right, then have them tried again: dead letters",
                )
            )
        return found

    def _of_files(self) -> list[Concern]:
        """Modes, and what has changed since it was read; in a thread, for a disk that hangs."""
        found = []
        if self._compiled.session_key is None and _mode(self._compiled.key_file) & 0o077:
            path = self._compiled.key_file
            found.append(
                Concern(
                    what="others can read the key file",
                    detail=str(path),
                    advice=f"chmod 600 {path}; if somebody may have: vestibule keys rotate",
                )
            )
        if _mode(self._compiled.state) & 0o022:
            path = self._compiled.state
            found.append(
                Concern(what="others can write to the state", detail=str(path), advice=f"chmod go-w {path}")
            )
        if newer := self._in_force.newer:
            found.append(
                Concern(
                    what="the files are newer than what is in force",
                    detail=", ".join(newer),
                    advice="look at the difference, then reload",
                )
            )
        return [*found, *self._of_certificates()]

    def _of_certificates(self) -> list[Concern]:
        now = self._now()
        return [
            Concern(
                what="a certificate has expired"
                if one.expires_at.timestamp() < now
                else "a certificate expires",
                detail=f"{', '.join(one.names)[:200]} ({one.detail}) on {one.expires_at:%Y-%m-%d}",
                advice=f"put another one in place: {one.source}",
            )
            for one in self._certificates()
            if one.expires_at is not None
            and not one.detail.startswith("shown for ")
            and one.expires_at.timestamp() < now + CERTIFICATE_S
        ]

    def _of_keys(self) -> list[Concern]:
        active = self._ring.keys[0]
        age_s = self._now() - active.active_at
        if not active.active_at or age_s < KEY_OLD_S:
            return []
        return [
            Concern(
                what="the sealing key is old",
                detail=f"{active.id} has sealed for {age_s / 86_400:.0f} days",
                advice="vestibule keys rotate",
            )
        ]


def of_shown(keeper: CertificateKeeper, now: float, orders: Iterable[NameState] = ()) -> list[Concern]:
    """Of what browsers are shown: what can't be used, ends or can't be had, and hosts that nobody can reach."""
    found = [
        Concern(
            what="a certificate can't be used",
            detail=f"{where}: {why}",
            advice="mend it: it is looked at again by itself, and the one before serves on",
        )
        for where, why in keeper.troubles.items()
    ]
    for hosts, certificate in shown_once(keeper.shelf):
        alarm = alarm_of(certificate, now)
        if alarm is not None:
            found.append(
                Concern(
                    what="a certificate has expired" if alarm is Alarm.ENDED else "a certificate expires",
                    detail=f"{', '.join(hosts)[:200]} on {_day(certificate.not_after_at)}",
                    advice=ADVICE[certificate.source],
                )
            )
    failed = [one for one in orders if one.failure is not None]
    told = {one.name for one in failed if one.not_after_at is None}
    missing = [one.name for one in keeper.wanted if keeper.shelf.find(one.name) is None]
    missing = [name for name in missing if told.isdisjoint((name, f"*.{name.partition('.')[2]}"))]
    if missing:
        found.append(
            Concern(
                what="a host has no certificate",
                detail=f"nobody can reach {', '.join(missing)[:200]} by https",
                advice="one that was just ordered comes within a minute; the log says why it doesn't",
            )
        )
    return [*found, *map(_of_order, failed[:FAILED_MAX])]


def _of_order(one: NameState) -> Concern:
    failure = one.failure
    assert failure is not None  # the caller has looked
    again = "" if one.next_at is None else f"; tried again at {_day(one.next_at)}"
    none = "" if one.not_after_at is not None else ", and nobody can reach it by https"
    return Concern(
        what=f"a certificate could not be ordered{none}",
        detail=f"{one.name}: {failure.said[:SAID_MAX] or failure.code}{again}",
        advice=failure.advice,
    )


def _of_stores(stores: Sequence[StoreState]) -> list[Concern]:
    return [
        Concern(
            what="a store can't be reached",
            detail=f"{store.name}: {store.where}{f': {store.detail}' if store.detail else ''}",
            advice="known sessions are served for a while, nobody new gets in: see that it runs and is reachable",
        )
        for store in stores
        if not store.ok
    ]


def _of_providers(states: Sequence[ProviderState]) -> list[Concern]:
    """Those whose metadata can't be had, or with whom something went wrong last."""
    found = []
    for one in states:
        failed_at = one.last_error_at
        is_wrong = failed_at is not None and (one.last_ok_at is None or failed_at > one.last_ok_at)
        if not (is_wrong or one.discovery == "failed" or (one.last_error and failed_at is None)):
            continue
        found.append(
            Concern(
                what="a provider does not do as it should",
                detail=f"{one.id}: {one.last_error or 'its metadata could not be had'}",
                advice=f"vestibule providers test {one.id}",
            )
        )
    return found


def _of_events(events: Events) -> list[Concern]:
    if not events.lost:
        return []
    return [
        Concern(
            what="events were not written to the trail",
            detail=f"{events.lost} since the start",
            advice="the log has them; the database could not be written for a long time",
        )
    ]


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        return 0


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
