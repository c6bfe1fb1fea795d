"""The gateway as the console asks it: every question in a thread, so that no screen ever waits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec

from vestibule.admin_client import AdminClient, User
from vestibule.client import Session, SessionClient
from vestibule.core.domain import realms_of
from vestibule.core.person import called
from vestibule.errors import Invalid, VestibuleError

SESSIONS: Final = 500
"""How many sessions of a host, and of each domain it is in, are asked for at most."""
PEOPLE: Final = 200
"""How many people are asked for at most, to name whose sessions these are; who comes then stands there by their ID."""
NAMES: Final = 5000
"""How many names are remembered."""
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
        self._names: dict[str, str] = {}
        """Who people were when they were asked for."""

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
        return [Held(session, person) for session in islice(self.sessions.list(user_id), SESSIONS)]

    def sessions_at(self, host: str) -> list[Held]:
        """The sessions that are good at a host, the newest of it and of its domains; those used last first."""
        found = [one for realm in realms_of(host) for one in islice(self.sessions.list(host=realm), SESSIONS)]
        unknown = {one.user_id for one in found} - self._names.keys()
        if len(self._names) > NAMES:
            self._names.clear()
        self._names.update((user_id, self._person(user_id)) for user_id in islice(unknown, PEOPLE))
        held = [Held(one, self._names.get(one.user_id, one.user_id)) for one in found]
        return sorted(held, key=lambda one: one.session.seen_at, reverse=True)

    def session(self, session_id: str) -> Held:
        """One session."""
        session = self.sessions.get(session_id)
        return Held(session, self._person(session.user_id))

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
    return called(user) or user.id
