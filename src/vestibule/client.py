"""Sessions of a gateway, for applications in Python.

::

    sessions = SessionClient("http://127.0.0.1:9000", token)
    made = sessions.create(user_id, "app.example.com", attributes={"cart": 7})
    whose = sessions.introspect(made.bearer)

It waits for each answer; any number of threads may share one client. Nothing but the standard library and msgspec.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal, Self, TypeVar
from urllib.parse import urlencode

import msgspec

from vestibule.admin_link import Link, segment
from vestibule.model import Secret

TIMEOUT_S: Final = 10.0
PAGE: Final = 200
KEPT: Final = 8
"""Connections that stay open at most."""
_PATH: Final = "/sessions"
T = TypeVar("T")


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """The browser or program that holds a session."""

    user_agent: str = ""
    address: str = ""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session, without what gets anybody in."""

    id: str
    """Permanent, and no credential."""
    user_id: str
    host: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    idle_timeout: int
    """Seconds; it ends when it was not used for so long."""
    attributes: dict[str, Any]
    device: Device
    providers: tuple[str, ...]
    parent_id: str
    made_by: str
    version: int
    """Of what was read, for `update`."""


class MadeSession(Session, frozen=True, kw_only=True):
    """A session that was just made."""

    bearer: Secret
    """What its holder shows; `reveal()` gives it out. It is told this once."""


class Active(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a bearer is."""

    id: str
    user_id: str
    host: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    attributes: dict[str, Any]
    version: int


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What became of events that were told."""

    ids: tuple[str, ...]
    """Under which they are found in the trail."""
    written: bool
    """False: they wait in the gateway's memory for its database; tell them again to be sure."""


class _Page(msgspec.Struct, frozen=True):
    items: list[Session]
    next: str | None = None


class _Ended(msgspec.Struct, frozen=True):
    ended: int


class _State(msgspec.Struct, frozen=True):
    active: bool


class SessionClient:
    """Calls the session service of one gateway.

    Every method raises `vestibule.errors.VestibuleError`, with its `code` and `status`: ClientError for what the
    service refuses (`not_found`, `changed`, `scope_missing` …), Invalid for what it finds wrong, and code `unreachable`
    where there is no service to ask.
    """

    def __init__(self, where: str, token: Secret | str = "", *, timeout_s: float = TIMEOUT_S) -> None:
        """`where`: `http://127.0.0.1:9000`, `https://…`, or `unix:PATH`, which needs no token.

        Raises ValueError for anything else. `timeout_s`: how long the service may leave one waiting.
        """
        given = token if isinstance(token, Secret) else Secret(token)
        self._link = Link(where, given or None, timeout_s=timeout_s, keep=KEPT)

    def create(
        self,
        user_id: str,
        host: str,
        *,
        attributes: Mapping[str, Any] | None = None,
        life_s: int | None = None,
        idle_s: int | None = None,
        device: Device | None = None,
        form: Literal["handle", "jwt"] = "handle",
    ) -> MadeSession:
        """A new session for a user who has signed in before; `life_s`, `idle_s` None: as the configuration says.

        Refused: `not_found`, `user_disabled`, `not_vouched`.
        """
        given = {
            "user_id": user_id,
            "host": host,
            "attributes": attributes,
            "expires_in": life_s,
            "idle_timeout": idle_s,
            "device": device,
            "form": form,
        }
        value = {name: one for name, one in given.items() if one is not None}
        return self._decoded(self._link.call("POST", _PATH, value), MadeSession)

    def get(self, session_id: str) -> Session:
        """The session. Refused: `not_found`."""
        return self._decoded(self._link.call("GET", _one(session_id)), Session)

    def list(self, user_id: str = "", *, host: str = "") -> Iterator[Session]:
        """The sessions of a user, at a host, or both, the newest first, fetched page by page as they are taken.

        One of the two is to be said. `host`: as `Session.host` has it.
        """
        asked = {"user_id": user_id, "host": host, "limit": str(PAGE)}
        query = {name: value for name, value in asked.items() if value}
        while True:
            page = self._decoded(self._link.call("GET", f"{_PATH}?{urlencode(query)}"), _Page)
            yield from page.items
            if page.next is None:
                return
            query["cursor"] = page.next

    def update(
        self,
        session_id: str,
        attributes: Mapping[str, Any] | None = None,
        *,
        expires_at: datetime | None = None,
        version: int | None = None,
    ) -> Session:
        """The session with these attributes merged in (a value None removes one), and perhaps another end.

        `version`: the one that it must still have, else it is refused as `changed`; None: whatever it has.
        """
        value: dict[str, Any] = {}
        if attributes is not None:
            value["attributes"] = attributes
        if expires_at is not None:
            value["expires_at"] = expires_at
        if_match = "*" if version is None else f'"{version}"'
        return self._decoded(self._link.call("PATCH", _one(session_id), value, if_match=if_match), Session)

    def end(self, session_id: str) -> None:
        """End a session at once, everywhere. Refused: `not_found`."""
        self._link.call("DELETE", _one(session_id))

    def end_all(self, user_id: str) -> int:
        """Sign a user out everywhere; how many sessions that ended."""
        query = urlencode({"user_id": user_id})
        return self._decoded(self._link.call("DELETE", f"{_PATH}?{query}"), _Ended).ended

    def introspect(self, bearer: Secret | str, *, touch: bool = False) -> Active | None:
        """Whose session this handle, or token, is; None: nobody's. `touch`: it counts as used now."""
        shown = bearer.reveal() if isinstance(bearer, Secret) else bearer
        value = {"bearer": shown, "touch": touch}
        body = self._link.call("POST", f"{_PATH}/introspect", value, repeatable=True)
        return self._decoded(body, Active) if self._decoded(body, _State).active else None

    def tell(self, *events: Mapping[str, Any]) -> Told:
        """Write what happened in the application to the gateway's trail, at most 200 events at once.

        Each has an `action` that begins with `app.`, and what is known of `outcome`, `target`, `user_id`, `session_id`,
        `host`, `address`, `device`, `request_id`, `at` and `detail`. An `id` of one's own makes it safe to tell it
        again; without one it gets one here. Nothing is written where one has a fault: Invalid says which.
        """
        whole = [{"id": secrets.token_hex(16), **event} for event in events]
        body = self._link.call("POST", "/events", {"events": whole}, repeatable=True)
        return self._decoded(body, Told)

    def close(self) -> None:
        """Close the connections that are kept; calls may go on afterwards."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _decoded(self, body: bytes, of: type[T]) -> T:
        found: T = self._link.decoded(body, of)
        return found


def _one(session_id: str) -> str:
    return f"{_PATH}/{segment(session_id)}"
