"""The Protocol of what organisations' directories have provisioned (`store.base` has the others)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias

import msgspec

from vestibule.protocol.scim_patch import Members
from vestibule.store.base_organisations import Affiliations

Kind: TypeAlias = Literal["User", "Group"]
Outcome: TypeAlias = Literal["saved", "taken", "stale", "no_member"]
"""`taken`: the name is another's; `stale`: the version is another; `no_member`: somebody is not in this directory."""
JoinBy: TypeAlias = Literal["subject", "external_id", "user_name"]
"""By what a sign-in and an entry are one person: the subject is `externalId` or else `userName`; is `externalId`;
login or address are `userName`."""
TOKENS_MAX: Final = 2
"""Of an organisation, so that a directory can go over from one to the next."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A person or a group, as an organisation's directory has them."""

    id: str
    org_id: str
    kind: Kind
    name: str
    """`userName` or `displayName`."""
    external_id: str = ""
    document: dict[str, Any]
    """The resource as it is kept (`protocol.scim_resource`), without members."""
    version: int = 1
    created_at: float
    updated_at: float
    is_active: bool = True
    """Of a person: whether they may sign in."""
    user_id: str = ""
    """Of a person: the user they are; empty until they have signed in."""

    @property
    def folded(self) -> str:
        """The name as it is compared."""
        return self.name.casefold()


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries; what is None is not looked at."""

    id: str | None = None
    ids: tuple[str, ...] | None = None
    """Any of these, a page of them at most."""
    name: str | None = None
    """In any case."""
    external_id: str | None = None
    has: str | None = None
    """Groups that this person is in, people who are in this group."""


class Reference(msgspec.Struct, frozen=True):
    """A group as one of its members is shown it, or the other way about."""

    id: str
    name: str


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a change."""

    outcome: Outcome = "saved"
    touched: tuple[str, ...] = ()
    """Ids of the users whose groups are others now."""


class DirectoryToken(msgspec.Struct, frozen=True, kw_only=True):
    """A directory's bearer token as it is listed; itself it is shown once, and its hash is kept."""

    id: str
    org_id: str
    name: str
    created_at: float
    expires_at: float | None = None
    seen_at: float | None = None


class Directory(Affiliations, Protocol):
    """Entries and tokens: records, in SQL. What an organisation asks for is looked for among its own alone."""

    async def insert(self, entry: Entry, members: Sequence[Members] = ()) -> Saved:
        """Insert it, unless a person of this name is in the directory. Durable on return."""

    async def get(self, org_id: str, kind: Kind, entry_id: str) -> Entry | None:
        """The organisation's entry, or None."""

    async def save(self, entry: Entry, expect_version: int, members: Sequence[Members] = ()) -> Saved:
        """Replace all but `user_id` and when it came, and do to its members what is said, or nothing at all.

        The version must be the expected one, and grows by one. Durable on return.
        """

    async def delete(self, org_id: str, kind: Kind, entry_id: str) -> Saved | None:
        """Delete it and its memberships; None when there is none. A deleted person's user is not `touched`."""

    async def entries(
        self,
        org_id: str,
        kind: Kind,
        wanted: Wanted,
        *,
        after: tuple[float, str] | None = None,
        offset: int = 0,
        limit: int,
    ) -> tuple[Entry, ...]:
        """At most `limit` of them, the oldest first, after this place (created_at, id) and `offset` more."""

    async def count(self, org_id: str, kind: Kind, wanted: Wanted) -> int:
        """How many there are."""

    async def references(self, kind: Kind, entry_ids: Iterable[str]) -> Mapping[str, tuple[Reference, ...]]:
        """The groups of these people, or the members of these groups, by name; who has none is left out."""

    # -- people and their users ---------------------------------------------------------------

    async def of_user(self, user_id: str) -> tuple[Entry, ...]:
        """The entries that are this user, of all directories."""

    async def join(self, org_id: str, entry_id: str, user_id: str) -> bool:
        """The entry is this user; False when it is another or inactive, or they are another one there. Durable."""

    async def user_of(self, org_id: str, subject: str) -> str:
        """The user with an account of this subject at a provider of the organisation's own; empty: there is none."""

    async def rule(self, org_id: str) -> JoinBy:
        """By what they are one; `subject` where nobody said."""

    async def set_rule(self, org_id: str, rule: JoinBy) -> None:
        """Keep it."""

    # -- tokens -------------------------------------------------------------------------------

    async def create_token(self, token: DirectoryToken, token_hash: bytes) -> bool:
        """Insert it, forgetting those that have ended; False when there are `TOKENS_MAX`. Durable on return."""

    async def token_by_hash(self, token_hash: bytes, now: float) -> DirectoryToken | None:
        """The token of this hash if it is good at `now`, or None."""

    async def tokens(self, org_id: str) -> tuple[DirectoryToken, ...]:
        """The organisation's, the oldest first, those that have ended, too."""

    async def token_seen(self, token_id: str, now: float) -> None:
        """Keep when it was last used."""

    async def delete_token(self, org_id: str, token_id: str) -> bool:
        """Revoke it; False when there is no such token. Durable on return."""
