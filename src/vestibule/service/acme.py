"""Certificates ordered and renewed by ACME: which names are due, at which authority, and what happens when it fails.

One process does it at a time (a job under a lease); what it does is kept so that any other can go on. A certificate
that can't be renewed serves on until it ends. How fast this goes is bounded whatever happens: names that fail wait
longer each time, authorities that ask for it are left alone, and so many orders there are in three hours.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random as randomness
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from vestibule.core import event as names
from vestibule.core.acme import (
    Acme,
    Attempt,
    Had,
    Need,
    Proof,
    attempt_of,
    need_of,
    renewal_at,
    renewal_within,
    rest_s,
    share_of,
    wait_s,
)
from vestibule.core.acme_fault import Blame
from vestibule.core.event import REFUSED, Event
from vestibule.core.seal import KeyRing
from vestibule.errors import IssueError, NotFound
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.service.acme_ca import Authority, Fetching
from vestibule.service.acme_order import Ordering, Overtaken, Tables, Waits
from vestibule.service.acme_proof import Proofs
from vestibule.service.acme_seal import Issued, Under, opened
from vestibule.service.acme_shown import CERTIFICATES
from vestibule.service.acme_states import Failure, NameState, failure_in, states_of
from vestibule.service.events import Events
from vestibule.store import base
from vestibule.store.base_acme import CertificateRow, OrderRow

EVERY_S: Final = 5.0
TURN_S: Final = 25.0
"""How long a turn takes at most, but for what is being asked just then; a lease lasts a minute."""
READ_EVERY_S: Final = 60.0
"""So often all rows are read while nothing is due, and nobody tells of a change."""
AT_ONCE: Final = 4
ORDERS_MAX: Final = 250
ORDERS_S: Final = 3 * 3600.0
"""So many orders in that time: Let's Encrypt takes 300 of one account."""
FAILURES_MAX: Final = 60
FAILURES_S: Final = 3600.0
"""So many failures in that time, and only renewals of names that are well go on."""
_ASK_S: Final = 6 * 3600.0
_ASK_LEAST_S: Final = 60.0
_ASK_MOST_S: Final = 86_400.0
_ASK_AGAIN_S: Final = 3600.0
_OPERATOR_S: Final = 1800.0
"""An authority that wants something of the operator is asked again after that, unless the configuration changes."""
_OLD_S: Final = 30 * 86_400.0
_TRIES: Final = "acme"


class Wanted(msgspec.Struct, frozen=True):
    """A name that something is to be done about."""

    name: str
    need: Need
    row: OrderRow
    had: Issued | None
    kept: CertificateRow | None


class Acmes:
    """Orders certificates. `turn` and what it calls may raise StoreError."""

    def __init__(
        self,
        acme: Acme,
        tables: Tables,
        proofs: Proofs,
        tries: base.Tries,
        *,
        fetcher: Fetching,
        events: Events,
        ring: KeyRing,
        changes: base.Changes,
        show: Callable[[], Awaitable[None]],
        log: Log,
        now: Callable[[], float] = clock.now,
        random: Callable[[int], bytes] = secrets.token_bytes,
        share: Callable[[], float] = randomness.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`show` has this process show what was issued; `share` gives 0 to 1, by which waits are spread."""
        self._acme = acme
        self._tables = tables
        self._proofs = proofs
        self._tries = tries
        self._fetcher = fetcher
        self._events = events
        self._ring = ring
        self._changes = changes
        self._show = show
        self._log = log.of("tls")
        self._now = now
        self._random = random
        self._share = share
        self._sleep = sleep
        self._setup = _setup_of(acme)
        self._authorities: dict[str, Authority] = {}
        self._resting: dict[str, float] = {}
        self._is_held = False
        self._opened: dict[str, tuple[bytes, Issued | None]] = {}
        """Certificates by name, each with the box that it was in."""
        self._fence = 0
        self._is_told = False
        """Something has changed since the rows were read."""
        self._read_at = 0.0
        """When they are read again; until then nothing is due."""
        changes.subscribe(CERTIFICATES, self._hear)

    def _hear(self, _key: str) -> None:
        self._is_told = True

    # -- for others ----------------------------------------------------------------------------

    async def states(self) -> tuple[NameState, ...]:
        """How it is with each name that is wanted, in order."""
        rows = await self._tables.orders.all(), await self._tables.certificates.all()
        return states_of(self._acme.names, *rows, self._ring)

    async def renew(self, name: str) -> None:
        """Have it ordered anew at the next turn, whatever it waits for. Raises NotFound, StoreError."""
        if name not in self._acme.names:
            raise NotFound(f"no certificate for {name} is ordered here")
        await self._tables.certificates.hurry(name)
        await self._tables.orders.hurry(name)
        self._changes.publish(CERTIFICATES, name)  # whoever orders, on whichever node

    # -- the job -------------------------------------------------------------------------------

    async def turn(self, _now: float, fence: int) -> None:
        """Do what is due: a job for every few seconds."""
        now = self._now()
        if fence == self._fence and not self._is_told and now < self._read_at:
            return
        self._fence, self._is_told, self._read_at = fence, False, 0.0
        wanted, due_at = await self._wanted(now, fence)
        if not wanted:
            self._read_at = min(due_at, now + READ_EVERY_S)
            return
        for row in await self._tables.accounts.all():
            if row.rests_until > now:
                self._resting[row.directory] = max(row.rests_until, self._resting.get(row.directory, 0.0))
        ordering = Ordering(
            self._acme,
            self._tables,
            self._proofs,
            ring=self._ring,
            fence=fence,
            deadline=now + TURN_S,
            now=self._now,
            random=self._random,
            sleep=self._sleep,
        )
        at_once = asyncio.Semaphore(AT_ONCE)

        async def serve(one: Wanted) -> None:
            async with at_once:
                if self._now() < now + TURN_S:
                    await self._serve(one, ordering)

        ended = await asyncio.gather(*map(serve, wanted), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException) and not isinstance(error, Overtaken):
                raise error

    async def _wanted(self, now: float, fence: int) -> tuple[list[Wanted], float]:
        """What is due, renewals last: who has a certificate can wait. And when something else is, as things stand."""
        rows = {row.name: row for row in await self._tables.orders.all()}
        kept = {row.name: row for row in await self._tables.certificates.all()}
        await self._tidy(rows.values(), kept.values(), now - _OLD_S, fence)
        self._opened = {
            name: (one.sealed, self._issued(one)) for name, one in kept.items() if name in self._acme.names
        }
        found, due_at = [], math.inf
        for name in self._acme.names:
            row = rows.get(name) or OrderRow(name=name)
            _, issued = self._opened.get(name, (b"", None))
            had = _had(kept.get(name), issued)
            need = need_of(self._acme, had, now)
            if need is Need.NOTHING and had is not None:
                due_at = min(due_at, had.renew_at, had.ask_at, had.not_after_at)
            elif need is not Need.ASK and self._waits(row, now):
                due_at = min(due_at, row.next_at)
            else:
                found.append(Wanted(name, need, row, issued, kept.get(name)))
        return sorted(found, key=lambda one: one.need is not Need.ISSUE), due_at

    def _issued(self, row: CertificateRow) -> Issued | None:
        """What is in the row; it is opened once."""
        box, issued = self._opened.get(row.name, (b"", None))
        is_known = issued is not None and box == row.sealed
        return issued if is_known else opened(row.name, row.sealed, Issued, self._ring)

    async def _tidy(
        self, rows: Iterable[OrderRow], kept: Iterable[CertificateRow], before: float, fence: int
    ) -> None:
        """Forget names that were wanted once, a month after there was anything to them."""
        for row in rows:
            if row.name not in self._acme.names and row.next_at < before:
                await self._tables.orders.delete(row.name, fence)
        for one in kept:
            if one.name not in self._acme.names and one.not_after_at < before:
                await self._tables.certificates.delete(one.name, fence)

    def _waits(self, row: OrderRow, now: float) -> bool:
        """True while it isn't its time; what failed by another configuration doesn't wait for that."""
        if row.next_at <= now:
            return False
        failed = failure_in(row)
        return bool(row.sealed) or failed is None or failed.setup == self._setup

    # -- one name ------------------------------------------------------------------------------

    async def _serve(self, one: Wanted, ordering: Ordering) -> None:
        if one.need is Need.ASK:
            await self._ask(one, ordering)
            return
        row, accounts_lost = one.row, 0
        while True:
            under = ordering.under(row)
            attempt = self._attempt(row, under)
            if attempt is None:
                await self._hold(row, ordering)
                return
            authority = self._authority(attempt.directory)
            try:
                if under is None or not under.url or under.directory != attempt.directory:
                    if not await self._may_begin(one):
                        return
                    replaces = (
                        one.had.renewal_id if one.had and one.had.directory == attempt.directory else ""
                    )
                    renews = one.need is Need.RENEW
                    row = await ordering.begin(row, attempt, authority, replaces=replaces, renews=renews)
                    under = ordering.under(row)
                    assert under is not None
                result = await ordering.go_on(one.name, under, authority)
            except IssueError as error:
                await self._proofs.clear(one.name)
                accounts_lost += error.blame == Blame.ACCOUNT.value
                row = replace(row, sealed=b"")
                if not await self._goes_on(row, attempt, error, ordering, accounts_lost):
                    return
                continue
            if isinstance(result, Waits):
                await ordering.keep(replace(row, next_at=result.until))
                return
            await self._finish(one, result, under, ordering)
            return

    def _attempt(self, row: OrderRow, under: Under | None) -> Attempt | None:
        """The one under way, or the next; None while there is nobody to ask."""
        now = self._now()
        self._resting = {one: until for one, until in self._resting.items() if until > now}
        if under is not None and under.url and under.directory in self._acme.directories:
            is_resting = under.directory in self._resting
            return None if is_resting else Attempt(under.directory, Proof(under.proof))
        return attempt_of(self._acme, row.name, row.failures, self._resting)

    async def _hold(self, row: OrderRow, ordering: Ordering) -> None:
        """All authorities rest: the name waits for the first that doesn't."""
        soonest = min(self._resting.values(), default=self._now() + _OPERATOR_S)
        await ordering.keep(replace(row, next_at=max(row.next_at, soonest)))

    async def _goes_on(
        self, row: OrderRow, attempt: Attempt, error: IssueError, ordering: Ordering, accounts_lost: int
    ) -> bool:
        """True where it can be tried again at once: with another account, or at another authority."""
        now, blame = self._now(), Blame(error.blame)
        if blame is Blame.ACCOUNT:
            await ordering.forget_account(attempt.directory)
            self._log.warning("acme_account_lost", directory=attempt.directory, detail=error.detail)
            if accounts_lost == 1:
                return True
        failure = self._failure(attempt, error)
        if blame in (Blame.NAME, Blame.REQUEST):
            failures = row.failures + 1
            waits_s = max(wait_s(failures, self._share()), error.wait_s or 0.0)
            row = replace(row, failures=failures, next_at=now + waits_s)
            await self._tries.add(_TRIES, b"failures", now, FAILURES_S)
            await self._keep_failed(row, failure, ordering)
            return False
        rests_s = _OPERATOR_S if blame is Blame.OPERATOR else rest_s(error.code, error.wait_s)
        self._resting[attempt.directory] = now + rests_s
        self._log.warning(
            "acme_authority_rests",
            directory=attempt.directory,
            code=error.code,
            advice=error.message,
            detail=error.detail,
            seconds=round(rests_s),
        )
        if error.wait_s is not None:
            await ordering.rest(attempt.directory, now + rests_s)
        if any(one not in self._resting for one in self._acme.directories):
            return True
        soonest = max(min(self._resting.values()), now + min(error.wait_s or 0.0, _ASK_MOST_S))
        await self._keep_failed(replace(row, next_at=soonest), failure, ordering)
        return False

    async def _keep_failed(self, row: OrderRow, failure: Failure, ordering: Ordering) -> None:
        """Keep what went wrong, and tell of it."""
        error = msgspec.json.encode(failure).decode()
        row = await ordering.keep(replace(row, sealed=b"", error=error, failed_at=self._now()))
        detail = {
            "code": failure.code,
            "advice": failure.advice,
            "said": failure.said,
            "directory": failure.directory,
            "proof": failure.proof,
            "failures": row.failures,
            "next_at": round(row.next_at),
        }
        await self._tell(names.CERTIFICATE_FAILED, row.name, detail, outcome=REFUSED)

    async def _finish(self, one: Wanted, issued: Issued, under: Under, ordering: Ordering) -> None:
        """It is there: kept and shown first, then told, so that whoever is told finds it."""
        share = share_of(issued.fingerprint)
        renew_at = renewal_at(issued.not_before_at, issued.not_after_at, share)
        await ordering.finish(one.name, issued, renew_at, ask_at=self._now())
        await self._proofs.clear(one.name)  # tells all that there is something new
        await self._show()
        action = names.CERTIFICATE_RENEWED if under.renews else names.CERTIFICATE_ISSUED
        detail = {
            "directory": issued.directory,
            "issuer": issued.issuer,
            "proof": under.proof,
            "not_after_at": round(issued.not_after_at),
            "fingerprint": issued.fingerprint,
        }
        await self._tell(action, one.name, detail)

    async def _tell(self, action: str, name: str, detail: dict[str, object], outcome: str = "ok") -> None:
        told = Event(
            id="",
            at=0.0,
            action=action,
            outcome=outcome,
            target=f"certificate {name}",
            host=name,
            detail=detail,
        )
        await self._events.tell(told)

    # -- when to renew -------------------------------------------------------------------------

    async def _ask(self, one: Wanted, ordering: Ordering) -> None:
        """Ask when to renew; an authority that can't say that now is asked again later."""
        had, kept = one.had, one.kept
        assert had is not None and kept is not None  # noqa: PT018 - who has none isn't asked about (`need_of`)
        now, share = self._now(), share_of(had.fingerprint)
        renew_at = renewal_at(had.not_before_at, had.not_after_at, share)
        ask_at = now + _ASK_MOST_S
        try:
            found = await self._authority(had.directory).renewal(had.renewal_id)
        except IssueError as error:
            self._log.info("acme_renewal_unasked", name=one.name, code=error.code, detail=error.detail)
            renew_at, ask_at = kept.renew_at, now + _ASK_AGAIN_S
        else:
            if found is not None:
                window, asked_s = found
                life = had.not_before_at, had.not_after_at
                renew_at = renewal_within(window.start_at, window.end_at, *life, share)
                ask_at = now + min(max(asked_s or _ASK_S, _ASK_LEAST_S), _ASK_MOST_S)
                if renew_at <= now:
                    self._log.info("acme_renewal_wanted", name=one.name, why=window.explanation)
        row = replace(kept, renew_at=renew_at, ask_at=ask_at)
        await ordering.keep_certificate(row)

    # -- how much ------------------------------------------------------------------------------

    async def _may_begin(self, one: Wanted) -> bool:
        """Count an order; False while there were too many, or too many that failed."""
        now = self._now()
        failures, _ = await self._tries.count(_TRIES, b"failures", now)
        is_well = one.need is Need.RENEW and not one.row.failures
        orders, _ = await self._tries.count(_TRIES, b"orders", now)
        is_held = orders >= ORDERS_MAX or (failures >= FAILURES_MAX and not is_well)
        if is_held:
            if not self._is_held:
                self._log.error("acme_held", orders=orders, failures=failures)
        else:
            await self._tries.add(_TRIES, b"orders", now, ORDERS_S)
        self._is_held = is_held
        return not is_held

    def _authority(self, directory: str) -> Authority:
        if directory not in self._authorities:
            self._authorities[directory] = Authority(directory, self._fetcher, now=self._now)
        return self._authorities[directory]

    def _failure(self, attempt: Attempt, error: IssueError) -> Failure:
        return Failure(
            code=error.code,
            advice=error.message,
            said=error.detail,
            directory=attempt.directory,
            proof=attempt.proof.value,
            setup=self._setup,
        )


def _had(kept: CertificateRow | None, had: Issued | None) -> Had | None:
    if kept is None or had is None:
        return None
    return Had(
        directory=had.directory, not_after_at=had.not_after_at, renew_at=kept.renew_at, ask_at=kept.ask_at
    )


def _setup_of(acme: Acme) -> str:
    """What tells two configurations apart, the names left out; of secrets it says nothing."""
    same = replace(acme, names=())
    return hashlib.sha256(repr(same).encode()).hexdigest()[:16]
