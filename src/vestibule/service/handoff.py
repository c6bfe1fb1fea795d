"""One sign-in for the hosts of a domain: people are led to its auth host, and back as who they are there.

```
HOST/@/signin ─ a flow's cookie ─▶ AUTH/@/signin?for=HOST&state=…&bind=HASH     the flow is the host's own (core.flow):
                                   (signs in, unless that was done)             where to afterwards stands in its cookie
HOST/@/enter?code=…&state=… ◀───── the code: 60 s, once, for HOST and HASH
   ─ the flow's cookie has that HASH ─ a session of the host's own, child of the one at AUTH ─▶ where they wanted to go
```

Threat: login CSRF. Somebody else's link to `/@/enter` comes without the cookie that its code was made for, and signs
nobody in. A code that leaks is nothing to who can't show that cookie; shown with another, it is used up.

With one cookie for the domain there is nothing to hand on: people are led to the auth host and back.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final
from urllib.parse import parse_qsl, urlencode

import msgspec

from vestibule.core import flow as flows
from vestibule.core.flow import Flow, State
from vestibule.core.limit import Limit
from vestibule.core.route import ENTER_PATH, SIGN_IN_PATH, Host, RouteTable
from vestibule.core.seal import KeyRing
from vestibule.core.session import is_handle, is_top, joined_to
from vestibule.errors import BadRequest, FlowError, TooManyTries
from vestibule.model import Device, Secret, Session
from vestibule.protocol import base64url
from vestibule.protocol.url import authority, neighbour_url
from vestibule.service.cookies import Cookies, without_flow
from vestibule.service.flight import Flights
from vestibule.service.locker import Locker
from vestibule.service.outcome import Begun, Finished
from vestibule.service.sessions import Sessions
from vestibule.service.visit import Visit

CODE_S: Final = 60.0
CODES_MAX: Final = 60
"""How many codes one session is given in that time."""
SAME_HANDLE_S: Final = 30.0
"""For how long tabs that come back together are given one and the same session."""
FLOW_TEXTS: Final[Mapping[str, str]] = {
    "flow_expired": "This sign-in took too long. Please start again.",
    "flow_replayed": "This sign-in has already been used. Please start again.",
    "flow_other_browser": "This sign-in was started in another browser. Please start again.",
    "flow_unknown": "This sign-in isn't known here. Please start again.",
}
#: instead of a client's full name; no client has such a one
_CLIENT: Final = "@"
_KIND: Final = "handoff"
_GIVEN_MAX: Final = 10_000


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """For which host somebody signs in at an auth host."""

    host: Host
    state: str
    """Of the host's flow."""
    bind: str
    """SHA-256 of that flow's cookie, in base64url."""
    provider: str = ""
    """The one client that is wanted, by its ID; empty: any of the host's."""
    is_late: bool = False
    """The flow is too old to end: it starts anew at `start_url`."""
    start_url: str
    again: str
    """Path at the auth host that goes on from here, after signing in."""


class _Handed(msgspec.Struct, frozen=True):
    """What a code stands for."""

    parent_id: str
    bind: str


class _Given(msgspec.Struct, frozen=True):
    """The handle that a child was given last."""

    session_id: str
    handle: Secret
    at: float


class Handoffs:
    """Leads people to their auth host, and takes them over from it."""

    def __init__(
        self,
        locker: Locker,
        sessions: Sessions,
        cookies: Cookies,
        keys: KeyRing,
        *,
        return_to: Callable[[Visit, str], str],
        life_s: float = flows.LIFE_S,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`return_to`: the checked form of a return address; empty where it leads away."""
        self._locker = locker
        self._sessions = sessions
        self._cookies = cookies
        self._keys = keys
        self._return_to = return_to
        self._life_s = life_s
        self._random = random
        self._given: dict[tuple[str, str], _Given] = {}
        self._flights: Flights[tuple[Session, str] | None] = Flights()
        self._codes = Limit(CODES_MAX, CODE_S)
        self._table = RouteTable(())

    def use(self, table: RouteTable) -> None:
        """Take the hosts of a new configuration."""
        self._table = table

    # -- at a host ----------------------------------------------------------------------------

    def lead(self, visit: Visit, *, rd: str, hints: Mapping[str, str]) -> Begun:
        """Send somebody from a host to its auth host. `rd` is a checked one; `hints` are those to pass on."""
        domain = visit.host.domain
        assert domain is not None, "a host that has an auth host is in a domain"
        if domain.shares_cookie:
            back = f"{visit.site.base_url}{rd}" if rd.startswith("/") else rd
            return Begun(self._address(visit, {"rd": back, **hints}), ())
        flow = flows.begun(
            self._keys,
            random=self._random(flows.ID_BYTES),
            client=_CLIENT,
            host=_name(visit.host),
            rd=rd,
            now=visit.now,
        )
        value, set_cookies = self._cookies.of_flow(visit, flow)
        asked = {"for": flow.host, "state": flows.state_of(self._keys, flow), "bind": _hash(value)}
        return Begun(self._address(visit, {**asked, **hints}), set_cookies)

    async def enter(self, visit: Visit, params: Mapping[str, str]) -> Finished:
        """Take over who comes back from the auth host. Raises FlowError; `failed` says where to start anew.

        Whoever comes back twice (a reload) is led where they were led then.
        """
        state = self._state(params.get("state", ""), visit.host)
        flow = self._cookies.flow_of(visit, state)
        handed = await self._taken(visit, params.get("code", ""))
        # 1. The browser that began it, in time.
        fault = flows.fault_of(state, flow, is_finished=False, now=visit.now, life_s=self._life_s)
        if fault:
            raise _error(fault)
        assert flow is not None, "fault_of says so"
        # 2. A code that nobody has used, made for this very cookie.
        if handed is None:
            if visit.session is not None and visit.session.parent_id:
                return self._finished(visit, flow, ())
            raise _error("flow_replayed")
        if not hmac.compare_digest(handed.bind, _hash(self._cookies.value_of(visit, flow))):
            raise _error("flow_other_browser")
        # 3. The session at the auth host, as it is now.
        parent = await self._sessions.by_id(handed.parent_id)
        taken = await self._child(visit, parent) if parent is not None else None
        if taken is None:
            raise _error("flow_replayed")
        session, handle = taken
        set_cookies = (self._cookies.of_session(visit, session, handle),)
        return msgspec.structs.replace(self._finished(visit, flow, set_cookies), session=session)

    def failed(self, visit: Visit, params: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
        """Where the person wanted to go, empty where that isn't known, and the cookies that go with the page."""
        flow = self._cookies.flow_of(visit, self._state(params.get("state", ""), visit.host))
        return (self._return_to(visit, flow.rd) if flow else ""), without_flow(visit, flow)

    async def _taken(self, visit: Visit, code: str) -> _Handed | None:
        """What the code stands for, once, whoever shows it."""
        return await self._locker.take(_KIND, code, _Handed, bound=_name(visit.host), now=visit.now)

    async def _child(self, visit: Visit, parent: Session) -> tuple[Session, str] | None:
        """The parent's session on this host under a handle of its own; None when the parent has ended meanwhile.

        Tabs that come back at once make one together.
        """
        place = parent.id, _name(visit.host)
        return await self._flights.share(place, partial(self._make, visit, parent, place), name="enter")

    async def _make(
        self, visit: Visit, parent: Session, place: tuple[str, str]
    ) -> tuple[Session, str] | None:
        given = self._given.get(place)
        if given is not None and visit.now - given.at < SAME_HANDLE_S:
            session = await self._sessions.by_id(given.session_id)
            if session is not None:
                return session, given.handle.reveal()
        taken = await self._joined(visit, parent)
        if taken is None:
            device = Device(user_agent=visit.user_agent, address=visit.address)
            taken = await self._sessions.hand_on(
                parent, host=_name(visit.host), device=device, now=visit.now, span=visit.host.span
            )
        if taken is not None:
            self._given.pop(place, None)
            self._given[place] = _Given(taken[0].id, Secret(taken[1]), visit.now)
            self._forget(visit.now)
        return taken

    async def _joined(self, visit: Visit, parent: Session) -> tuple[Session, str] | None:
        """The session that this browser has here already, if it can be the parent's; another person's ends."""
        session = visit.session
        if session is None:
            return None
        if session.parent_id in ("", parent.id) and session.user_id in ("", parent.user_id):
            span, now = visit.host.span, visit.now
            return await self._sessions.renew(session, lambda current: joined_to(current, parent, span, now))
        await self._sessions.end(session.id)
        return None

    def _finished(self, visit: Visit, flow: Flow, set_cookies: tuple[str, ...]) -> Finished:
        location = self._return_to(visit, flow.rd) or "/"
        return Finished(location, (*set_cookies, *without_flow(visit, flow)))

    def _forget(self, now: float) -> None:
        while self._given:
            oldest = next(iter(self._given))
            if now - self._given[oldest].at < SAME_HANDLE_S and len(self._given) <= _GIVEN_MAX:
                return
            del self._given[oldest]

    # -- at the auth host ---------------------------------------------------------------------

    def asked(self, visit: Visit, params: Mapping[str, str]) -> Asked:
        """For which host this asks. Raises FlowError `flow_unknown` for what no host of this domain has begun."""
        name, raw, bind = params.get("for", ""), params.get("state", ""), params.get("bind", "")
        host = self._theirs(visit, name.encode())
        state = self._state(raw, host) if host is not None else None
        if host is None or state is None or not is_handle(bind):
            raise _error("flow_unknown")
        provider = params.get("provider", "")
        kept = {"for": name, "state": raw, "bind": bind, **({"provider": provider} if provider else {})}
        return Asked(
            host=host,
            state=raw,
            bind=bind,
            provider=provider,
            is_late=not flows.is_alive(state.issued_at, visit.now, self._life_s),
            start_url=_own_url(visit, host, SIGN_IN_PATH),
            again=f"{SIGN_IN_PATH}?{urlencode(kept)}",
        )

    async def give(self, visit: Visit, asked: Asked, session: Session) -> str:
        """Where the browser goes on with a code for this session; durable. Raises TooManyTries.

        Threat: somebody with an account, who fills the store with codes.
        """
        if wait_s := self._codes.wait_s(session.id, visit.now):
            raise TooManyTries(wait_s=wait_s, detail="codes for one session")
        self._codes.add(session.id, visit.now)
        handed = _Handed(session.id, asked.bind)
        until = visit.now + CODE_S
        code = await self._locker.park(_KIND, handed, bound=_name(asked.host), until=until)
        query = urlencode({"code": code, "state": asked.state})
        return f"{_own_url(visit, asked.host, ENTER_PATH)}?{query}"

    def destination(self, visit: Visit, rd: str) -> Host:
        """The host that somebody signs in for here, by where they go afterwards; `rd` is a checked one.

        The host of the visit where it is none of its domain, or this is no auth host.
        """
        path, _, query = rd.partition("?")
        if path == SIGN_IN_PATH:
            name = dict(parse_qsl(query)).get("for", "").encode()
        else:
            name = _host_of(rd.partition("://")[2].partition("/")[0])
        return self._theirs(visit, name) or visit.host

    def origin_of(self, visit: Visit, rd: str) -> str:
        """The origin of the host that a return address leads to in the end; empty where it is this one."""
        host = self.destination(visit, self._return_to(visit, rd))
        return "" if host is visit.host else neighbour_of(visit, host)

    def last_site(self, visit: Visit, sessions: Iterable[Session]) -> str:
        """Origin of the host that the visit's session was last handed on to; empty where that is none.

        `sessions`: the person's own, the newest first.
        """
        here = visit.session.id if visit.session is not None else ""
        for one in sessions:
            host = self._theirs(visit, one.host.encode("ascii")) if here and one.parent_id == here else None
            if host is not None:
                return neighbour_of(visit, host)
        return ""

    def _address(self, visit: Visit, params: Mapping[str, str]) -> str:
        """The sign-in page of the visit's auth host, where that one's edge hands it on."""
        domain = visit.host.domain
        auth = self._table.host(domain.auth) if domain is not None else None
        root = auth.root.decode("ascii") if auth is not None else ""
        return f"{visit.site.auth_url}{root}{SIGN_IN_PATH}?{urlencode(params)}"

    def _theirs(self, visit: Visit, name: bytes) -> Host | None:
        """Another host of the visit's domain, at whose auth host the visit is."""
        domain, host = visit.host.domain, self._table.host(name)
        is_here = domain is not None and domain.auth == visit.host.name
        is_theirs = host is not None and host.domain == domain and host.name != visit.host.name
        return host if is_here and is_theirs else None

    def _state(self, raw: str, host: Host) -> State | None:
        return flows.parse_state(self._keys, raw, client=_CLIENT, host=_name(host))


def suffices(session: Session | None, host: Host, provider: str = "") -> bool:
    """True if who is signed in is somebody on this host, by the wanted provider (its ID) where one is named.

    On a host that takes credentials only, whoever has some of its clients'.
    """
    if session is None:
        return False
    known = {identity.client for identity in session.identities}
    theirs = set(host.clients.values())
    wanted = host.clients.get(provider, "")
    if wanted and wanted not in known and wanted not in session.clients:
        return False
    if not host.sign_in:
        return not theirs.isdisjoint(session.clients)
    return not known.isdisjoint(host.sign_in)


def leads_away(visit: Visit, client: str) -> bool:
    """True for a client (its full name) that people of this host use at its auth host."""
    return bool(visit.site.auth_url) and is_top(client)


def neighbour_of(visit: Visit, host: Host) -> str:
    """The base URL of another host for who is here."""
    return host.base_url or neighbour_url(visit.site.base_url, host.name)


def _own_url(visit: Visit, host: Host, path: str) -> str:
    """The URL of a path of the gateway's own at another host, where that one's edge hands it on."""
    return f"{neighbour_of(visit, host)}{host.root.decode('ascii')}{path}"


def _host_of(netloc: str) -> bytes:
    try:
        return authority(netloc.encode("ascii")).host
    except (BadRequest, UnicodeError):
        return b""


def _hash(value: str) -> str:
    return base64url.encode(hashlib.sha256(value.encode()).digest())


def _error(code: str) -> FlowError:
    return FlowError(FLOW_TEXTS[code], code=code)


def _name(host: Host) -> str:
    return host.name.decode("ascii")
