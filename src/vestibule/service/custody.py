"""Credentials that sessions hold, as operators see them: masked, or told for a reason that is kept.

Who is told one can act as its person at its API until it ends. So that it was told, to whom and why, stands in the
trail before it is: where that can't be written, nobody is told anything.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from vestibule.admin_model import CredentialState, Revealed
from vestibule.core.call import Call, SessionCredential
from vestibule.core.event import CREDENTIAL_REVEALED, Event
from vestibule.core.route import RouteTable
from vestibule.errors import Invalid, NotFound
from vestibule.model import Grant, Secret, Session
from vestibule.service.events import Events
from vestibule.service.grants import Grants
from vestibule.service.sessions import Sessions
from vestibule.service.steward import realm_of

REASON_CHARS: Final = (3, 500)
_SHOWN_CHARS: Final = 4
_LONG_CHARS: Final = 20
"""Of a token shorter than this nothing is shown."""
_HANDLE: Final = "$PROXY_SESSION"


class Custody:
    """What the API of credentials does. Every method may raise StoreError."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        grants: Grants,
        events: Events,
        calls: Iterable[Call],
        table: Callable[[], RouteTable],
    ) -> None:
        """`calls`: the calling interfaces; `table`: the hosts in force."""
        self._sessions = sessions
        self._grants = grants
        self._events = events
        self._calls = tuple(calls)
        self._table = table

    async def held_by(self, session_id: str) -> tuple[CredentialState, ...]:
        """All that a session can use, masked. Raises NotFound."""
        session = await self._session(session_id)
        return tuple(self._state(session, grant) for grant in await self._grants.held_by(session))

    async def reveal(self, session_id: str, client: str, reason: str) -> Revealed:
        """The tokens of one; who asks is known (`service.events.acting`), and kept with the reason before.

        Raises Invalid for a reason that is none, NotFound.
        """
        words = _checked(reason)
        session = await self._session(session_id)
        found = [grant for grant in await self._grants.held_by(session) if grant.client == client]
        if not found:
            raise NotFound(f"The session {session_id} holds no credential of {client[:200]}.")
        grant = found[0]
        await self._events.tell_first(
            Event(
                id="",
                at=0.0,
                action=CREDENTIAL_REVEALED,
                target=f"credential {client}",
                user_id=session.user_id,
                session_id=session.id,
                host=session.host,
                detail={"client": client, "owner": grant.owner, "reason": words},
            )
        )
        tokens = grant.tokens
        return Revealed(
            client=client,
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            id_token=tokens.id_token,
        )

    async def _session(self, session_id: str) -> Session:
        session = await self._sessions.by_id(session_id)
        if session is None:
            raise NotFound(f"There is no session {session_id}.")
        return session

    def _state(self, session: Session, grant: Grant) -> CredentialState:
        tokens = grant.tokens
        return CredentialState(
            session_id=session.id,
            client=grant.client,
            owner="session" if grant.owner in (session.id, session.parent_id) else "person",
            token_type=tokens.token_type,
            scopes=tokens.scopes,
            obtained_at=datetime.fromtimestamp(grant.obtained_at, UTC),
            expires_at=datetime.fromtimestamp(tokens.expires_at, UTC) if tokens.expires_at else None,
            can_refresh=self._grants.can_refresh(grant),
            shown=masked(tokens.access_token),
            curls=tuple(self._curls(session, grant.client)),
        )

    def _curls(self, session: Session, client: str) -> Iterable[str]:
        """A command for each calling interface that applies this client's credential of this session."""
        hosts = [
            host.name.decode("ascii")
            for host in self._table().hosts.values()
            if realm_of(host) == session.host
        ]
        for call in self._calls:
            for host in hosts:
                if host in call.hosts and _applies(call, host, client):
                    yield curl(call)
                    break


def masked(token: Secret) -> str:
    """A few signs of its beginning, by which kinds of tokens are told apart; of a short one nothing."""
    text = token.reveal()
    return f"{text[:_SHOWN_CHARS]}…" if len(text) >= _LONG_CHARS and text[:_SHOWN_CHARS].isascii() else "…"


def curl(call: Call) -> str:
    """A command that asks the API through the calling interface, for a shell where `$PROXY_SESSION` is a handle."""
    listen = call.listen
    words = ["curl"]
    if listen.path:
        words += ["--unix-socket", shlex.quote(listen.path)]
    words += ["-H", f'"Proxy-Session: {_HANDLE}"']
    base = "http://localhost" if listen.path else f"http://{listen}"
    return " ".join((*words, shlex.quote(base + _example_path(call))))


def _example_path(call: Call) -> str:
    """Of the first operation that is asked with GET and needs nothing filled in; else the API's root."""
    for one in call.operations:
        if one.method in (b"", b"GET") and all(one.segments) and not one.rest:
            return "".join(f"/{segment.decode('utf-8', 'replace')}" for segment in one.segments)
    return "/"


def _applies(call: Call, host: str, client: str) -> bool:
    found = (one.credential for one in call.applied)
    return any(isinstance(one, SessionCredential) and one.clients.get(host) == client for one in found)


def _checked(reason: str) -> str:
    """Raises Invalid."""
    words = " ".join(reason.split())
    least, most = REASON_CHARS
    if not least <= len(words) <= most or not words.isprintable():
        raise Invalid((("reason", f"says why, in {least} to {most} characters that can be shown"),))
    return words
