"""Sign-in of a program without a browser: a code on its screen, typed by a person into theirs (RFC 8628).

The program holds the device code, 256 random bits; the person types the user code, which is short, so guesses are few:
by person, by address and in all. What is asked for is shown before it is given: which program, from where, for what.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from vestibule.core.app import App
from vestibule.core.authorize import audience
from vestibule.core.limit import Limit
from vestibule.core.lockout import Counter, network_of
from vestibule.core.recent import Recent
from vestibule.core.route import Host
from vestibule.core.seal import NONCE_BYTES, KeyRing
from vestibule.core.session import HANDLE_BYTES, hash_of, is_handle
from vestibule.errors import ClientError, TooManyTries
from vestibule.model import Device, Session
from vestibule.protocol import base64url, user_code
from vestibule.protocol.authorization_server import OAuthError
from vestibule.service.authorizing import Authorizing
from vestibule.service.issuing import Issued, Person
from vestibule.service.linking import bond
from vestibule.service.locker import Locker
from vestibule.service.tries import SharedTries
from vestibule.service.visit import Visit
from vestibule.store import base

T = TypeVar("T")

LIFE_S: Final = 600.0
INTERVAL_S: Final = 5.0
"""How long a program waits between two questions; each that comes sooner makes it so much longer."""
WINDOW_S: Final = 600.0
WRONG_MAX: Final = 5
"""Wrong codes one person may type in ten minutes."""
WRONG_FROM_MAX: Final = 20
"""And one address."""
WRONG_IN_ALL_MAX: Final = 1000
BEGUN_FROM_MAX: Final = 60
"""Codes that one address may ask for in ten minutes."""
BEGUN_IN_ALL_MAX: Final = 5000
"""And all of them."""
_ASKED: Final = "device asked"
_WAITS: Final = "device waits"
_ANSWER: Final = "device answer"
_PACE: Final = "device pace"
_FORM: Final = "device form"
_PURPOSE: Final = "device flow"
_POLLS_MAX: Final = 10_000
CHOSEN_MAX: Final = 10
"""Questions of a program that chose its code itself which are looked at in a window; others are told to wait."""
CHOSEN_WINDOW_S: Final = 10.0
_ALL: Final = "all"
_IS_OVER: Final = ""
"""In an app's place: the program has what it asked for."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What the program is told."""

    device_code: str
    user_code: str
    expires_in_s: float = LIFE_S
    interval_s: float = INTERVAL_S


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which program asks, from where, for what: as the person is shown it."""

    device: bytes
    """Hash of the device code."""
    app: str
    host: str
    scopes: tuple[str, ...]
    address: str
    user_agent: str
    asked_at: float


class _Form(msgspec.Struct, frozen=True):
    asked: Asked


class _Waits(msgspec.Struct, frozen=True):
    app: str


class _Pace(msgspec.Struct, frozen=True):
    """When a program may ask again, and how long it has to wait between two questions."""

    again_at: float = 0.0
    interval_s: float = INTERVAL_S


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the person said."""

    app: str
    host: str
    scopes: tuple[str, ...]
    user_id: str = ""
    """Empty: no."""
    session_id: str = ""
    """Of the browser in which yes was said; it must live still, and be theirs, when the program comes for it."""


class DeviceFlow:
    """Programs and people between the code and its answer. Every method may raise StoreError."""

    def __init__(
        self,
        authorizing: Authorizing,
        parking: base.Parking,
        locker: Locker,
        ring: KeyRing,
        tries: SharedTries,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._authorizing = authorizing
        self._parking = parking
        self._locker = locker
        self._ring = ring
        self._tries = tries
        self._random = random
        self._of_person = Limit(WRONG_MAX, WINDOW_S)
        self._from = Limit(WRONG_FROM_MAX, WINDOW_S)
        self._in_all = Limit(WRONG_IN_ALL_MAX, WINDOW_S)
        self._begun = Limit(BEGUN_FROM_MAX, WINDOW_S)
        self._begun_in_all = Limit(BEGUN_IN_ALL_MAX, WINDOW_S)
        self._polls: Recent[bytes, _Pace] = Recent(_POLLS_MAX)
        """By device, as far as this process knows; what all of them know is in the store."""
        self._chosen = Limit(CHOSEN_MAX, CHOSEN_WINDOW_S, keys=_POLLS_MAX)

    # -- the program --------------------------------------------------------------------------

    async def begin(
        self, visit: Visit, app: App, *, scopes: tuple[str, ...], resource: str, device: Device
    ) -> Begun:
        """Two codes. Raises OAuthError `unauthorized_client`, `invalid_scope`, `invalid_target`, `slow_down`."""
        device_code = base64url.encode(self._random(HANDLE_BYTES))
        shown = user_code.made(self._random(user_code.RANDOM_BYTES))
        await self._begin(visit, app, device_code, shown, scopes=scopes, resource=resource, device=device)
        return Begun(device_code=device_code, user_code=shown)

    async def _begin(
        self,
        visit: Visit,
        app: App,
        device_code: str,
        shown: str,
        *,
        scopes: tuple[str, ...] = (),
        resource: str = "",
        device: Device,
    ) -> None:
        if "device" not in app.grants:
            raise OAuthError("unauthorized_client", "this app may not sign in by a code")
        if not set(scopes) <= set(app.scopes):
            raise OAuthError("invalid_scope", "this app may not ask for that scope")
        host = audience(app, resource, self._authorizing.hosts(visit.host))
        if host is None:
            raise OAuthError("invalid_target", "this app has no tokens for that")
        await self._count_begun(visit)
        asked = Asked(
            device=hash_of(device_code),
            app=app.id,
            host=host,
            scopes=scopes or app.scopes,
            address=device.address,
            user_agent=device.user_agent,
            asked_at=visit.now,
        )
        until = visit.now + LIFE_S
        await self._park(_WAITS, asked.device, _Waits(app.id), until)
        await self._park(_ASKED, hash_of(shown), asked, until)

    async def _count_begun(self, visit: Visit) -> None:
        """Raises OAuthError `slow_down`. Threat: a store filled by whoever can reach this."""
        network, now = network_of(visit.address), visit.now
        counters = (
            Counter("device begun from", network, BEGUN_FROM_MAX, WINDOW_S),
            Counter("device begun", _ALL, BEGUN_IN_ALL_MAX, WINDOW_S),
        )
        if self._begun.wait_s(network, now) or self._begun_in_all.wait_s(_ALL, now):
            raise _too_many_begun()
        self._begun.add(network, now)  # at once: many at a time are many
        self._begun_in_all.add(_ALL, now)
        if await self._tries.wait_s(counters, now):
            self._begun.take_back(network)
            self._begun_in_all.take_back(_ALL)
            raise _too_many_begun()
        await self._tries.failed(counters, now)

    async def poll(self, app: App, device_code: str, *, device: Device, now: float) -> Issued:
        """The program's session and its tokens, once the person has said yes.

        Raises OAuthError `authorization_pending`, `slow_down`, `access_denied`, `expired_token`, `invalid_grant`.
        Spec: RFC 8628 section 3.5.
        """
        if not is_handle(device_code):
            raise OAuthError("invalid_grant", "it is no device code")
        key = hash_of(device_code)
        await self._pace(app, key, now)
        return await self._taken(app, key, device=device, now=now)

    async def poll_chosen(self, visit: Visit, app: App, text: str, *, device: Device) -> Issued:
        """The same for a program that chose its code itself, as Nuon's do: its first question begins it.

        Raises as `begin` and `poll` do, and `access_denied` once it was answered.
        Threat: the code is short, and stands in the address that a browser opens. Whoever asks first is shown to the
        person, and an answer is for their network alone.
        """
        code = user_code.chosen(text)
        if code is None:
            raise OAuthError("invalid_grant", "a code is XXXX-XXXX, capital letters and digits")
        device_code = base64url.encode(hash_of(f"{code} from {network_of(visit.address)}"))
        key = hash_of(device_code)
        # Nuon's programs know nothing of `slow_down`, nor how often they may ask.
        if self._chosen.wait_s(key.hex(), visit.now):
            raise OAuthError("authorization_pending")
        self._chosen.add(key.hex(), visit.now)
        waits = await self._look(_WAITS, key, _Waits, visit.now)
        if waits is None:
            if await self._look(_ASKED, hash_of(code), Asked, visit.now) is None:
                await self._begin(visit, app, device_code, code, device=device)
            raise OAuthError("authorization_pending")
        if waits.app == _IS_OVER:
            raise OAuthError("access_denied", "it was answered")
        try:
            issued = await self._taken(app, key, device=device, now=visit.now)
        except OAuthError as error:
            if error.code == "access_denied":
                await self._park(_WAITS, key, _Waits(_IS_OVER), visit.now + LIFE_S)
            raise
        await self._park(_WAITS, key, _Waits(_IS_OVER), visit.now + LIFE_S)
        return issued

    async def _taken(self, app: App, key: bytes, *, device: Device, now: float) -> Issued:
        answer = await self._look(_ANSWER, key, _Answer, now)
        if answer is None:
            waits = await self._look(_WAITS, key, _Waits, now)
            if waits is None or waits.app != app.id:
                raise OAuthError("expired_token", "the code is over: begin anew")
            raise OAuthError("authorization_pending")
        if answer.app != app.id:
            raise OAuthError("expired_token", "the code is over: begin anew")
        await self._parking.take(_WAITS, key, now)
        if await self._parking.take(_ANSWER, key, now) is None:
            raise OAuthError("expired_token", "the code is over: begin anew")
        host = self._authorizing.host(answer.host)
        session = await self._authorizing.live(answer.session_id) if answer.user_id else None
        # Threat: what somebody else had said yes to in a session that was ended for it since.
        if session is None or session.user_id != answer.user_id:
            raise OAuthError("access_denied")
        if host is None or answer.host not in app.hosts:
            raise OAuthError("access_denied")
        person = Person(
            user_id=session.user_id, identities=session.identities, signed_in_at=session.signed_in_at
        )
        return await self._authorizing.issuing.begin(
            app, host, person, scopes=answer.scopes, device=device, now=now
        )

    async def _pace(self, app: App, key: bytes, now: float) -> None:
        """Raises OAuthError `slow_down` for who asks sooner than told, whichever process they ask; `expired_token`.

        What this process refuses by itself costs the store nothing, and of a code that is none nothing is kept.
        """
        known = self._polls.get(key, _Pace())
        if now < known.again_at:
            self._polls.put(key, _slower(known, now))
            raise OAuthError("slow_down")
        self._polls.put(key, _paced(known, now))  # at once: many at a time are many
        waits = await self._look(_WAITS, key, _Waits, now)
        if waits is None or waits.app != app.id:
            raise OAuthError("expired_token", "the code is over: begin anew")
        told = await self._look(_PACE, key, _Pace, now)
        if told is not None and told.interval_s > known.interval_s:
            known = msgspec.structs.replace(known, interval_s=told.interval_s)
        is_soon = told is not None and now < told.again_at
        pace = _slower(known, now) if is_soon else _paced(known, now)
        self._polls.put(key, pace)
        await self._park(_PACE, key, pace, now + LIFE_S)
        if is_soon:
            raise OAuthError("slow_down")

    # -- the person ---------------------------------------------------------------------------

    async def found(self, visit: Visit, text: str) -> tuple[Asked, App, Host, str] | None:
        """Which program asks under this code, and the key of the form that answers it; None for a wrong code.

        Raises TooManyTries. Threat: who types codes until one is somebody's.
        """
        session, is_wrong = _person(visit), False
        self._count(session, visit)
        try:
            wait_s = await self._tries.wait_s(_counters(session, visit), visit.now)
            if wait_s > 0:
                raise _too_many_typed(wait_s)
            found = await self._under(visit, text)
            is_wrong = found is None
        finally:
            if not is_wrong:
                self._take_back(session, visit)
        if found is None:
            await self._tries.failed(_counters(session, visit), visit.now)
            return None
        asked, app, host, code = found
        # Taken now: a code answers one page, of one person.
        if await self._parking.take(_ASKED, hash_of(code), visit.now) is None:
            return None
        key = await self._locker.park(_FORM, _Form(asked), bound=bond(session), until=asked.asked_at + LIFE_S)
        return asked, app, host, key

    async def _under(self, visit: Visit, text: str) -> tuple[Asked, App, Host, str] | None:
        """What waits under this code, and the code; None for a wrong one, and for one that is not for here."""
        code = user_code.typed(text) or user_code.chosen(text)
        asked = None if code is None else await self._look(_ASKED, hash_of(code), Asked, visit.now)
        app = None if asked is None else self._authorizing.issuing.apps.by_id.get(asked.app)
        host = None if asked is None else self._authorizing.host(asked.host)
        if code is None or asked is None or app is None or host is None:
            return None
        return (asked, app, host, code) if asked.host in self._authorizing.hosts(visit.host) else None

    async def answer(self, visit: Visit, key: str, *, is_yes: bool) -> Asked:
        """What the person says, once. Raises ClientError `form_expired`."""
        session = _person(visit)
        form = await self._locker.take(_FORM, key, _Form, bound=bond(session), now=visit.now)
        if form is None:
            raise ClientError("This form is over. Nothing was given by it now.", code="form_expired")
        asked = form.asked
        said = _Answer(app=asked.app, host=asked.host, scopes=asked.scopes)
        if is_yes:
            said = msgspec.structs.replace(said, user_id=session.user_id, session_id=session.id)
        await self._park(_ANSWER, asked.device, said, asked.asked_at + LIFE_S)
        return asked

    def _count(self, session: Session, visit: Visit) -> None:
        """Before anything is looked at: many at a time are many guesses. Raises TooManyTries."""
        limits = self._limits(session, visit)
        wait_s = max(limit.wait_s(key, visit.now) for limit, key in limits)
        if wait_s > 0:
            raise _too_many_typed(wait_s)
        for limit, key in limits:
            limit.add(key, visit.now)

    def _take_back(self, session: Session, visit: Visit) -> None:
        for limit, key in self._limits(session, visit):
            limit.take_back(key)

    def _limits(self, session: Session, visit: Visit) -> tuple[tuple[Limit, str], ...]:
        return (
            (self._of_person, session.user_id),
            (self._from, network_of(visit.address)),
            (self._in_all, _ALL),
        )

    # -- what waits ---------------------------------------------------------------------------

    async def _park(self, kind: str, key: bytes, value: msgspec.Struct, until: float) -> None:
        plain = msgspec.msgpack.encode(value)
        sealed = self._ring.seal(_PURPOSE, plain, aad=kind.encode() + key, nonce=self._random(NONCE_BYTES))
        await self._parking.park(kind, key, sealed, until)

    async def _look(self, kind: str, key: bytes, wanted: type[T], now: float) -> T | None:
        sealed = await self._parking.parked(kind, key, now)
        plain = None if sealed is None else self._ring.open(_PURPOSE, sealed, aad=kind.encode() + key)
        try:
            return None if plain is None else msgspec.msgpack.decode(plain, type=wanted)
        except msgspec.MsgspecError:
            return None  # another version of this program parked it


def _paced(known: _Pace, now: float) -> _Pace:
    """A tenth less than was told, since clocks and networks are not exact."""
    return _Pace(now + known.interval_s * 0.9, known.interval_s)


def _slower(known: _Pace, now: float) -> _Pace:
    """Spec: RFC 8628 section 3.5: five seconds more, for this question and all that follow."""
    interval_s = known.interval_s + INTERVAL_S
    return _Pace(now + interval_s, interval_s)


def _counters(session: Session, visit: Visit) -> tuple[Counter, ...]:
    return (
        Counter("device code by", session.user_id, WRONG_MAX, WINDOW_S),
        Counter("device code from", network_of(visit.address), WRONG_FROM_MAX, WINDOW_S),
        Counter("device code", _ALL, WRONG_IN_ALL_MAX, WINDOW_S),
    )


def _too_many_begun() -> OAuthError:
    return OAuthError("slow_down", "too many codes were asked for from there, or in all", status=429)


def _too_many_typed(wait_s: float) -> TooManyTries:
    return TooManyTries("too many wrong codes were typed", wait_s=wait_s)


def _person(visit: Visit) -> Session:
    if visit.session is None or not visit.session.user_id:
        raise ClientError("nobody is signed in", code="sign_in_required", status=401)
    return visit.session
