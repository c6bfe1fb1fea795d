"""A typed client of the admin API, over its Unix socket or its port, for commands. Sessions have one of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias
from urllib.parse import urlencode

import msgspec

from vestibule.admin_link import TIMEOUT_S, Link, segment
from vestibule.admin_organisations import Organisations
from vestibule.admin_watching import Watching
from vestibule.model import Secret

Document: TypeAlias = dict[str, Any]
"""A provider as the API shows it: what its settings are depends on its type."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """An account at a provider."""

    id: str
    user_id: str
    issuer: str
    subject: str
    client: str
    kind: str
    login: str
    name: str
    email: str
    created_at: datetime
    seen_at: datetime | None


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user; `identities` are there where one was asked for."""

    id: str
    name: str
    login: str
    email: str
    disabled: bool
    profile: dict[str, str]
    created_at: datetime
    seen_at: datetime | None
    identities: tuple[Identity, ...] | None = None


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation."""

    id: str
    email: str
    issuer: str
    subject: str
    note: str
    state: Literal["open", "used", "expired"]
    created_at: datetime
    created_by: str
    expires_at: datetime
    used_at: datetime | None
    used_by: str


class Token(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An admin token; the token itself is there only where it was just made."""

    id: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    seen_at: datetime | None
    scopes: tuple[str, ...]
    """Empty: it may do everything."""
    token: str | None = None


class AppToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that a user made for their programs."""

    id: str
    name: str
    host: str
    paths: tuple[str, ...]
    methods: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    seen_at: datetime | None


class MachineKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key of a machine; `key` is there when it was just made."""

    id: str
    machine: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    seen_at: datetime | None
    key: str | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A token or key, without itself, and whose it is."""

    kind: Literal["admin", "app", "machine"]
    id: str
    holder: str
    user_id: str | None
    """None: it is no person's."""
    name: str
    created_at: datetime
    expires_at: datetime | None
    seen_at: datetime | None


class HeldToken(AppToken, frozen=True, kw_only=True):
    """An app token, and whose it is."""

    user_id: str
    person: str
    disabled: bool


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened."""

    id: str
    at: datetime
    action: str
    outcome: Literal["ok", "refused"]
    actor: str
    target: str
    user_id: str
    session_id: str
    host: str
    address: str
    device: str
    request_id: str
    detail: dict[str, Any]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried at a provider."""

    what: str
    ok: bool
    detail: str
    advice: str


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    """What trying a provider out has found."""

    ok: bool
    findings: tuple[Finding, ...]


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    list: str
    rule: str
    place: str
    saw: str
    verdict: Literal["holds", "fails", "unknown"]
    decides: bool
    change: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What a request gets at an address, and why; `status` None: it is let in."""

    host: str
    host_place: str
    route: str
    route_place: str
    path: str
    method: str
    address: str
    user_id: str
    who: str
    known_by: str
    answer: str
    status: int | None
    reason: str
    conditions: tuple[Condition, ...]
    change: str


class AdminClient(Watching, Organisations):
    """Calls the admin API of one gateway; one connection a call.

    Every method raises VestibuleError: Invalid for what the API finds wrong, ClientError with its status and code
    for what else it refuses, and code `unreachable` where there is no API to ask.
    """

    def __init__(self, where: str, token: Secret | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        """`where`: `unix:PATH`, `http://127.0.0.1:9000` or `https://…`. Raises ValueError for anything else."""
        self.where = where
        self._link = Link(where, token, timeout_s=timeout_s)

    # -- users --------------------------------------------------------------------------------

    def users(self, *, email: str = "", text: str = "", disabled: bool | None = None) -> Iterator[User]:
        """The users, fetched page by page as they are taken."""
        filters = {"email": email, "text": text, "disabled": disabled}
        return self._list("/users", filters, User)

    def user(self, user_id: str) -> User:
        """A user with identities."""
        return self._one("GET", f"/users/{segment(user_id)}", User)

    def update_user(self, user_id: str, changes: Mapping[str, Any]) -> User:
        """The user after this JSON Merge Patch."""
        return self._one("PATCH", f"/users/{segment(user_id)}", User, changes)

    def block_user(self, user_id: str) -> User:
        """The user, blocked; all sessions are over."""
        return self._one("POST", f"/users/{segment(user_id)}/block", User)

    def unblock_user(self, user_id: str) -> User:
        """The user, let in again."""
        return self._one("POST", f"/users/{segment(user_id)}/unblock", User)

    def delete_user(self, user_id: str) -> None:
        """Delete the user."""
        self._call("DELETE", f"/users/{segment(user_id)}")

    def delete_identity(self, user_id: str, identity_id: str) -> None:
        """Take an identity from a user."""
        self._call("DELETE", f"/users/{segment(user_id)}/identities/{segment(identity_id)}")

    def user_tokens(self, user_id: str) -> Iterator[AppToken]:
        """A user's app tokens, without themselves."""
        return self._list(f"/users/{segment(user_id)}/tokens", {}, AppToken)

    def app_tokens(self) -> Iterator[HeldToken]:
        """All app tokens of all users, fetched page by page."""
        return self._list("/app-tokens", {}, HeldToken)

    def revoke_user_token(self, user_id: str, token_id: str) -> None:
        """End an app token of a user."""
        self._call("DELETE", f"/users/{segment(user_id)}/tokens/{segment(token_id)}")

    def identities(self, *, user: str = "", issuer: str = "", client: str = "") -> Iterator[Identity]:
        """The identities, fetched page by page."""
        return self._list("/identities", {"user": user, "issuer": issuer, "client": client}, Identity)

    # -- invitations --------------------------------------------------------------------------

    def invitations(self, *, email: str = "", state: str = "") -> Iterator[Invitation]:
        """The invitations, fetched page by page."""
        return self._list("/invitations", {"email": email, "state": state}, Invitation)

    def invite(
        self,
        *,
        email: str = "",
        issuer: str = "",
        subject: str = "",
        note: str = "",
        life_s: int | None = None,
    ) -> Invitation:
        """A new invitation."""
        given = {"email": email, "issuer": issuer, "subject": subject, "note": note, "expires_in": life_s}
        return self._one("POST", "/invitations", Invitation, {k: v for k, v in given.items() if v})

    def invitation(self, invitation_id: str) -> Invitation:
        """The invitation."""
        return self._one("GET", f"/invitations/{segment(invitation_id)}", Invitation)

    def withdraw(self, invitation_id: str) -> None:
        """Withdraw an invitation."""
        self._call("DELETE", f"/invitations/{segment(invitation_id)}")

    # -- identity providers -------------------------------------------------------------------

    def providers(self) -> Iterator[Document]:
        """All identity providers."""
        return self._list("/identity-providers", {}, dict[str, Any])

    def provider(self, provider_id: str) -> Document:
        """The provider."""
        return self._one("GET", _provider(provider_id), dict[str, Any])

    def create_provider(self, document: Any) -> Document:
        """A new provider."""
        return self._one("POST", "/identity-providers", dict[str, Any], document)

    def update_provider(self, provider_id: str, patch: Any, *, version: int | None = None) -> Document:
        """The provider after this JSON Merge Patch. `version`: the one it must have."""
        return self._one("PATCH", _provider(provider_id), dict[str, Any], patch, version)

    def replace_provider(self, provider_id: str, document: Any, *, version: int | None = None) -> Document:
        """The provider with this document in its place."""
        return self._one("PUT", _provider(provider_id), dict[str, Any], document, version)

    def enable_provider(self, provider_id: str) -> Document:
        """The provider, offered."""
        return self._one("POST", f"{_provider(provider_id)}/enable", dict[str, Any])

    def disable_provider(self, provider_id: str) -> Document:
        """The provider, offered no more."""
        return self._one("POST", f"{_provider(provider_id)}/disable", dict[str, Any])

    def delete_provider(self, provider_id: str) -> None:
        """Delete the provider."""
        self._call("DELETE", _provider(provider_id))

    def test_provider(self, provider_id: str) -> Tested:
        """What trying it out finds."""
        return self._one("POST", f"{_provider(provider_id)}/test", Tested)

    # -- tokens -------------------------------------------------------------------------------

    def tokens(self) -> Iterator[Token]:
        """All admin tokens, without themselves."""
        return self._list("/tokens", {}, Token)

    def create_token(self, name: str, life_s: int | None = None, *, scopes: Sequence[str] = ()) -> Token:
        """A new token, with itself. `scopes`: what it may do; none: everything."""
        given: dict[str, Any] = {"name": name, "scopes": tuple(scopes)}
        if life_s is not None:
            given["expires_in"] = life_s
        return self._one("POST", "/tokens", Token, given)

    def revoke_token(self, token_id: str) -> None:
        """End a token."""
        self._call("DELETE", f"/tokens/{segment(token_id)}")

    def machine_keys(self) -> Iterator[MachineKey]:
        """All keys of machines, without themselves."""
        return self._list("/machine-keys", {}, MachineKey)

    def create_machine_key(self, machine: str, name: str = "", life_s: int | None = None) -> MachineKey:
        """A new key of a machine, with itself."""
        given: dict[str, Any] = {"machine": machine, "name": name}
        if life_s is not None:
            given["expires_in"] = life_s
        return self._one("POST", "/machine-keys", MachineKey, given)

    def revoke_machine_key(self, key_id: str) -> None:
        """End a key of a machine."""
        self._call("DELETE", f"/machine-keys/{segment(key_id)}")

    def held(self) -> Iterator[Held]:
        """All tokens and keys, whoever's, the oldest first, fetched page by page."""
        return self._list("/held", {}, Held)

    def revoke_held(self, one: Held) -> None:
        """End it, whichever it is."""
        if one.kind == "app":
            self.revoke_user_token(one.user_id or "", one.id)
        elif one.kind == "machine":
            self.revoke_machine_key(one.id)
        else:
            self.revoke_token(one.id)

    # -- explanations -------------------------------------------------------------------------

    def audit(
        self,
        *,
        action: str = "",
        actor: str = "",
        target: str = "",
        outcome: str = "",
        user_id: str = "",
        session_id: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[Happened]:
        """What has happened, the latest first, fetched page by page."""
        filters = {
            "action": action,
            "actor": actor,
            "target": target,
            "outcome": outcome,
            "user_id": user_id,
            "session_id": session_id,
            "since": since.isoformat() if since else "",
            "until": until.isoformat() if until else "",
        }
        return self._list("/audit", filters, Happened)

    def event(self, event_id: str) -> Happened:
        """One thing that has happened. Raises VestibuleError `not_found`."""
        return self._one("GET", f"/audit/{segment(event_id)}", Happened)

    def explain(
        self, url: str, *, who: str = "", method: str = "GET", address: str = "", tool: str = ""
    ) -> Explanation:
        """What a request by this user (id, address or login; empty: nobody) gets at an address, and why.

        `tool`: of an MCP server, that it calls; empty: none.
        """
        asked = {"url": url, "as": who, "method": method, "address": address, "tool": tool}
        query = urlencode({name: value for name, value in asked.items() if value})
        return self._one("GET", f"/explain?{query}", Explanation)


def _provider(provider_id: str) -> str:
    return f"/identity-providers/{segment(provider_id)}"
