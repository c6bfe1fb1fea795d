"""The gateway as the console asks it: every question in a thread, so that no screen ever waits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec

from vestibule.admin_client import AdminClient, User
from vestibule.client import Session, SessionClient
from vestibule.errors import Invalid, VestibuleError

PEOPLE: Final = 200
"""Of how many people sessions are asked for at most, on the screen of a host."""
T = TypeVar("T")


class Held(msgspec.Struct, frozen=True):
    """A session and whose it is."""

    session: Session
    person: str
    """E-mail address, login or name, the first there is; empty: nobody who is known."""


class Gateway:
    """Both clients of one gateway."""

    def __init__(self, admin: AdminClient, sessions: SessionClient, where: str) -> None:
        self.admin = admin
        self.sessions = sessions
        self.where = where

    async def ask(self, work: Callable[[], T]) -> T:
        """What the work comes to, done in a thread of its own: none of them keeps the program from ending.

        Raises what the work raises.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def settle(value: Any, error: Exception | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(value)

        def run() -> None:
            value, failed = None, None
            try:
                value = work()
            except Exception as exc:  # noqa: BLE001 - whoever asked is told
                failed = exc
            with contextlib.suppress(RuntimeError):  # the console has ended meanwhile
                loop.call_soon_threadsafe(settle, value, failed)

        threading.Thread(target=run, name="ask", daemon=True).start()
        return await answer

    def sessions_of(self, user_id: str) -> list[Held]:
        """The sessions of one person, the newest first."""
        person = self._person(user_id)
        return [Held(session, person) for session in islice(self.sessions.list(user_id), PEOPLE)]

    def sessions_at(self, host: str, seen: Iterable[str], nobodys: Iterable[str] = ()) -> list[Held]:
        """The sessions that are good at a host, those used last first.

        The API lists sessions by person: asked about are those seen in the traffic, and the first that there are.
        `nobodys`: sessions of the traffic that belong to no account, such as those of a plain `oauth` client.
        """
        people = {user.id: _name(user) for user in islice(self.admin.users(), PEOPLE)}
        for user_id in islice(seen, PEOPLE):
            if user_id and user_id not in people:
                people[user_id] = self._person(user_id)
        found = [
            Held(session, person)
            for user_id, person in people.items()
            for session in self.sessions.list(user_id)
            if _is_good_at(session, host)
        ]
        found += [Held(one, "") for one in map(self._living, islice(nobodys, PEOPLE)) if one is not None]
        return sorted(found, key=lambda held: held.session.seen_at, reverse=True)

    def session(self, session_id: str) -> Held:
        """One session."""
        session = self.sessions.get(session_id)
        return Held(session, self._person(session.user_id))

    def _living(self, session_id: str) -> Session | None:
        try:
            return self.sessions.get(session_id)
        except VestibuleError as error:
            if error.status == 404:
                return None
            raise

    def _person(self, user_id: str) -> str:
        try:
            return _name(self.admin.user(user_id)) if user_id else ""
        except VestibuleError as error:
            if error.status in {403, 404}:  # gone, or a token that may not read people
                return user_id
            raise


def told(error: Exception) -> str:
    """What has gone wrong, and what to do, in a line."""
    if isinstance(error, Invalid):
        return "; ".join(f"{path}: {message}" if path else message for path, message in error.faults)
    if not isinstance(error, VestibuleError):
        return f"{type(error).__name__}: {error}"
    if error.status == 401:
        return f"{error.message}: put an admin token into VESTIBULE_ADMIN_TOKEN"
    if error.code == "scope_missing":
        return f"{error.message}: this token may not"
    return error.message


def _name(user: User) -> str:
    return user.email or user.login or user.name or user.id


def _is_good_at(session: Session, host: str) -> bool:
    """Theirs, or of the domain that the host is in."""
    return session.host == host or (session.host.startswith(".") and host.endswith(session.host))
