"""What happened, told: a line in the log at once, a row that lasts, a message for each webhook that wants it.

Rows and messages are written together, for all who wait in one transaction, and are there before whoever caused them
is answered. But nobody is kept waiting or turned away for them: while they can't be written they wait here (some
thousands), and are written later; the line in the log is there in any case.

Who acts is known where a request comes in (`acting`), and is read here: what ends a session needn't be told who wants
it ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any, Final

from msgspec.structs import replace

from vestibule.core import event as names
from vestibule.core.device import family_of
from vestibule.core.event import NOBODY, Acting, Event
from vestibule.core.limit import Limit
from vestibule.core.lockout import network_of
from vestibule.core.webhook import Webhook, message_of
from vestibule.errors import StoreError
from vestibule.model import Session
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.observe.meter import OTHER, Meter
from vestibule.observe.metrics import AUDIT_EVENTS, AUDIT_LOST, SIGN_INS
from vestibule.protocol import base64url
from vestibule.store.base_events import Audit, AuditFilter, Letter

WAIT_S: Final = 1.0
"""How long somebody waits at most until what they caused is written."""
FIRST_S: Final = 10.0
"""How long what may not be done untold waits to be written."""
WAITING_MAX: Final = 10_000
BATCH: Final = 200
LISTED_MAX: Final = 1000
REFUSALS_MAX: Final = 30
"""How many refusals of one client address (of IPv6 its first 64 bits) are told of in that time."""
REFUSALS_S: Final = 60.0
TOLD_MAX: Final = 6000
"""Events that one service may tell of its application in that time, to one process."""
TOLD_S: Final = 60.0
_ID_BYTES: Final = 16
_NOT_LOGGED: Final = ("before", "after")
"""What a change was about stands in the trail; the log has the names of what changed, and no names of people."""

_COMPONENTS: Final = {
    "session": "sessions",
    "refresh_token": "sessions",
    "machine": "sessions",
    "registered_app": "sessions",
    "sign_in": "signin",
    "keys": "credentials",
    "credential": "credentials",
    "audit": "store",
    "configuration": "program",
    "certificate": "tls",
}
"""By the beginning of an event's name; all others are what admins and applications do."""

_ACTING: ContextVar[Acting] = ContextVar("acting", default=NOBODY)


@contextlib.contextmanager
def acting(actor: str, *, address: str = "", request_id: str = "") -> Iterator[None]:
    """Whatever happens within is this one's doing."""
    token = _ACTING.set(Acting(actor=actor, address=address, request_id=request_id))
    try:
        yield
    finally:
        _ACTING.reset(token)


@contextlib.contextmanager
def because(reason: str) -> Iterator[None]:
    """Whatever happens within happens for this reason, a code; who acts stays."""
    token = _ACTING.set(replace(_ACTING.get(), reason=reason))
    try:
        yield
    finally:
        _ACTING.reset(token)


def told_limit() -> Limit:
    """Counts what services tell."""
    return Limit(TOLD_MAX, TOLD_S)


class _Waiting:
    """An event that is still to be written, and what is to be done when that was tried."""

    __slots__ = ("event", "written")

    def __init__(self, event: Event, written: asyncio.Future[bool] | None) -> None:
        self.event = event
        self.written = written


class Events:
    """Takes what happened. Nothing here raises because of a sink."""

    def __init__(
        self,
        log: Log,
        webhooks: Iterable[Webhook] = (),
        *,
        now: Callable[[], float] = clock.now,
        random: Callable[[int], bytes] = secrets.token_bytes,
        key_id: str = "",
        meter: Meter | None = None,
    ) -> None:
        """`key_id`: of the key that seals now (`seals_by`)."""
        self._log = log.of("store")
        self._webhooks = tuple(webhooks)
        self._now = now
        self._random = random
        self._audit: Audit | None = None
        self._wake: Callable[[], None] = lambda: None
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None
        self._is_away = False
        self._refusals = Limit(REFUSALS_MAX, REFUSALS_S)
        self._key_id = key_id
        self._meter = meter or Meter()
        self.lost = 0
        """How many could not be written, and were too many to wait."""

    def keep_in(self, audit: Audit) -> None:
        """Write rows here, from now on."""
        self._audit = audit

    def wake(self, wake: Callable[[], None]) -> None:
        """Call this when messages for webhooks were written."""
        self._wake = wake

    # -- what happens to sessions (`service.sessions.Witness`) ----------------------------------

    async def began(self, session: Session) -> None:
        """Somebody has a session."""
        self._meter.add(SIGN_INS, (_provider_of(session), _way_of(session)))
        event = _about(names.SESSION_CREATED, session, made_by=session.made_by)
        # Whoever was signed in before has nothing to do with who signs in now.
        by = "" if session.made_by else f"user {session.user_id}"
        await self.tell(replace(event, actor=by))

    async def ended(self, sessions: Iterable[Session]) -> None:
        """These are over before their time."""
        await self.tell(*(_about(names.SESSION_ENDED, session) for session in sessions))

    async def ended_all(self, user_id: str, sessions: Iterable[Session]) -> None:
        """All of a person's are over, these among them."""
        ended = tuple(_about(names.SESSION_ENDED, session) for session in sessions)
        all_of_them = Event(
            id="",
            at=0.0,
            action=names.SESSION_REVOKED_ALL,
            user_id=user_id,
            detail={"sessions": len(ended)},
        )
        await self.tell(*ended, all_of_them)

    async def ended_by(self, client: str, count: int) -> None:
        """All that had to do with this client are over: one event, however many."""
        await self.tell(
            Event(
                id="",
                at=0.0,
                action=names.SESSION_ENDED,
                target=f"provider {client}",
                detail={"sessions": count},
            )
        )

    async def of_user(self, user_id: str) -> tuple[Event, ...]:
        """What happened to a person, the latest first, at most a thousand. Raises StoreError."""
        if self._audit is None:
            return ()
        return await self._audit.list(AuditFilter(user_id=user_id, limit=LISTED_MAX))

    # -- everything -----------------------------------------------------------------------------

    async def tell(self, *events: Event) -> bool:
        """Tell of these, as they happen now; True once they are written, False where that takes too long.

        What an event doesn't say itself is filled in: its id, when, who acted by which request, why.
        """
        if not events:
            return True
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        for number, event in enumerate(events, start=1):
            whole = self._whole(event)
            self._log_event(whole)
            action = whole.action if whole.action in names.NAMES else OTHER
            self._meter.add(AUDIT_EVENTS, (action, whole.outcome))
            self._waiting.append(_Waiting(whole, written if number == len(events) else None))
        self._bound()
        is_away = self._is_away
        self._start()
        if self._audit is not None and not is_away:
            await asyncio.wait({written}, timeout=WAIT_S)
        return written.done() and written.result()

    async def tell_first(self, event: Event) -> None:
        """Tell of what may only be done once it is kept: its row is there on return. Raises StoreError: it is not.

        A line in the log is no substitute here.
        """
        if self._audit is None:
            raise StoreError("The trail can't be written just now.", detail="it is not open")
        whole = self._whole(event)
        try:
            async with asyncio.timeout(FIRST_S):
                await self._write(self._audit, [whole])
        except TimeoutError as exc:
            raise StoreError(
                "The trail can't be written just now.", detail=f"not within {FIRST_S:g} s"
            ) from exc
        self._log_event(whole)

    async def seals_by(self, key_id: str) -> None:
        """The key of this id seals now. Another than at the last call is told: by every process, with one id."""
        before, self._key_id = self._key_id, key_id
        if before not in ("", key_id):
            await self.tell(
                Event(id=f"evt_key_{key_id}", at=0.0, action=names.KEYS_ROTATED, target=f"key {key_id}")
            )

    async def refuse(self, event: Event) -> None:
        """Tell of somebody who was turned away.

        Threat: who is turned away without end, to fill the disk; of one address (IPv6: one /64) the log has the rest.
        """
        if event.action == names.SIGN_IN_REFUSED:
            self._meter.add(SIGN_INS, (event.target.removeprefix("provider "), names.REFUSED))
        place = network_of(event.address)
        if self._refusals.wait_s(place, event.at):
            return
        self._refusals.add(place, event.at)
        await self.tell(event)

    @property
    def waiting(self) -> int:
        """How many are still to be written."""
        return len(self._waiting)

    async def flush(self, _now: float = 0.0, _fence: int = 0) -> None:
        """Write what waits, if that is possible again; a job's turn."""
        self._start()
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=WAIT_S)

    async def close(self) -> None:
        """Write what waits, once more."""
        await self.flush()
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    def _whole(self, event: Event) -> Event:
        by = _ACTING.get()
        reason = {"reason": by.reason} if by.reason else {}
        return replace(
            event,
            id=event.id or f"evt_{base64url.encode(self._random(_ID_BYTES))}",
            at=event.at or self._now(),
            actor=event.actor or by.actor,
            address=event.address or by.address,
            request_id=event.request_id or by.request_id,
            detail={**reason, **event.detail},
        )

    def _log_event(self, event: Event) -> None:
        fields: dict[str, Any] = {
            "id": event.request_id,
            "event_id": event.id,
            "outcome": event.outcome,
            "actor": event.actor,
            "target": event.target,
            "user": event.user_id,
            "session": event.session_id,
            "host": event.host,
            "address": event.address,
            "device": event.device,
        }
        told = {name: value for name, value in fields.items() if value}
        # What an application tells may have members of these names, too, of any kind.
        kept = {name for name in _NOT_LOGGED if isinstance(event.detail.get(name), dict)}
        detail = {f"detail_{name}": value for name, value in event.detail.items() if name not in kept}
        changed = {inner: None for name in _NOT_LOGGED if name in kept for inner in event.detail[name]}
        if changed:
            detail["detail_changed"] = list(changed)
        self._log.of(component_of(event.action)).info(event.action, **told, **detail)

    def _bound(self) -> None:
        surplus = len(self._waiting) - WAITING_MAX
        if surplus > 0:
            del self._waiting[:surplus]
            if not self.lost:
                self._log.error("events_lost", detail="too many wait to be written; the log has them all")
            self.lost += surplus
            self._meter.add(AUDIT_LOST, (), surplus)

    def _start(self) -> None:
        is_idle = self._writer is None or self._writer.done()
        if self._waiting and self._audit is not None and is_idle:
            self._writer = asyncio.get_running_loop().create_task(self._write_all(), name="events")

    async def _write_all(self) -> None:
        while self._waiting and self._audit is not None:
            batch = self._waiting[:BATCH]
            is_written = False
            try:
                await self._write(self._audit, [one.event for one in batch])
                is_written = True
            except StoreError as error:
                self._failed(error.detail or error.message)
                return
            except Exception as error:  # noqa: BLE001 - unforeseen, it must not cost anybody their sign-in
                self._failed(repr(error))
                return
            finally:
                for one in batch:
                    if one.written is not None and not one.written.done():
                        one.written.set_result(is_written)
            # By what they are, not how many: the oldest may have been dropped meanwhile.
            done = set(map(id, batch))
            self._waiting = [one for one in self._waiting if id(one) not in done]
            if self._is_away:
                self._is_away = False
                self._log.info("events_written_again", waiting=len(self._waiting))

    async def _write(self, audit: Audit, events: list[Event]) -> None:
        letters = [
            Letter(
                webhook=webhook.id,
                id=event.id,
                body=message_of(event),
                created_at=event.at,
                next_at=event.at,
            )
            for event in events
            for webhook in self._webhooks
            if webhook.takes(event)
        ]
        await audit.add(events, letters)
        if letters:
            self._wake()

    def _failed(self, detail: str) -> None:
        if not self._is_away:
            self._log.error("events_not_written", waiting=len(self._waiting), detail=detail)
        self._is_away = True


def _provider_of(session: Session) -> str:
    """The client that it came by, as far as that is known."""
    if session.identities:
        return session.identities[-1].client
    return session.clients[-1] if session.clients else ""


def _way_of(session: Session) -> str:
    if session.parent_id:
        return "handed_on"
    return "made" if session.made_by else "ok"


def component_of(action: str) -> str:
    """Whose event it is in the log."""
    return _COMPONENTS.get(action.partition(".")[0], "admin")


def _about(action: str, session: Session, **detail: str) -> Event:
    """An event of a session: who and where it is good for; never its handle."""
    return Event(
        id="",
        at=0.0,
        action=action,
        user_id=session.user_id,
        session_id=session.id,
        host=session.host,
        address=session.device.address if action == names.SESSION_CREATED else "",
        device=family_of(session.device.user_agent).words,
        detail={name: value for name, value in detail.items() if value},
    )
