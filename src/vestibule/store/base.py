"""What the program asks of a store, as Protocols. A backend is one file beside this one.

Every method may raise `StoreError` (away, full, broken) and nothing else of its own. `now` is UNIX seconds
and always an argument. Hashes are SHA-256 of the handle; a handle itself never reaches a store. A method
that writes returns only when the write is durable as far as its docstring says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from vestibule.model import Account, AdminToken, AppToken, Identity, Invitation, Session, User, Vouched


class SealedGrant(msgspec.Struct, frozen=True, kw_only=True):
    """A grant as a store sees it: who owns it and a sealed box, bound to (owner, client, version)."""

    owner: str
    client: str
    version: int
    sealed: bytes
    expires_at: float
    """When the row may be swept: the end of the owner."""


class Held(msgspec.Struct, frozen=True):
    """A session found by a handle, and until when that handle is honoured."""

    session: Session
    good_until: float
    """The session's absolute end for its current handle; earlier for the one before a renewal."""


class Sessions(Protocol):
    """Sessions by permanent id and by the hash of their current handle."""

    async def create(self, session: Session, handle_hash: bytes) -> None:
        """Store a new session, its id and handle unused; durable against kill -9 and power cut on return."""

    async def by_handle(self, handle_hash: bytes, now: float) -> Held | None:
        """The session whose current handle, or honoured previous one, has this hash; None if none lives.

        A session lives while neither its absolute nor its idle end has come and its user, if it has one,
        exists, is not disabled, and is not valid only from a later time on.
        """

    async def by_id(self, session_id: str, now: float) -> Session | None:
        """The session of this permanent id if it lives, or None."""

    async def save(self, session: Session, expect_version: int) -> bool:
        """Replace the session if its stored version is the expected one; False when someone was faster.

        The stored version becomes `expect_version + 1`; last-seen never goes backwards. Durable on return.
        """

    async def renew_handle(
        self, session: Session, expect_version: int, handle_hash: bytes, *, old_good_until: float
    ) -> bool:
        """Like `save`, with a new handle; the old one is honoured until `old_good_until`, none older.

        Durable on return.
        """

    async def delete(self, session_id: str) -> tuple[str, ...]:
        """End it, its children and the grants of all; durable on return. The ids of those that ended."""

    async def of_user(self, user_id: str, now: float) -> tuple[Session, ...]:
        """The live sessions of a user, the newest first; at most a thousand."""

    async def delete_of(self, user_id: str) -> tuple[str, ...]:
        """End all of a user's, their children and the grants of all; durable on return. The ids of those that ended."""

    async def delete_by(self, client: str) -> tuple[str, ...]:
        """End those that have an identity or credentials of this client, with children and grants; the ids of those.

        Perhaps only some hundreds of them, so that nothing else waits: who wants all goes on until none is returned.
        Durable on return.
        """

    async def by_sid(self, issuer: str, sid: str, now: float) -> tuple[Session, ...]:
        """The live sessions with an identity of this issuer whose `sid` is this one; at most a thousand."""

    async def of_host(self, host: str, page: Page, now: float) -> tuple[Session, ...]:
        """One page of the live sessions that are good for this host, the newest first: by (created_at, id), backwards.

        Those that were last written by a version without this list aren't in it.
        """

    async def touch(self, seen: Sequence[tuple[str, float]]) -> None:
        """Set last-seen of many (id, seen_at), never backwards; may be lost in a crash."""

    async def tally(self, now: float) -> int:
        """How many neither of whose ends has come, about; it may take a while, and holds up nobody else."""

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete at most `limit` dead sessions with their grants; how many went."""


class Grants(Protocol):
    """Sealed grants by (owner, client)."""

    async def get(self, owner: str, client: str) -> SealedGrant | None:
        """The grant, or None."""

    async def put(self, grant: SealedGrant, expect_version: int | None) -> bool:
        """Insert (`expect_version` None, replaces any) or replace by compare-and-set; durable on return."""

    async def delete(self, owner: str, client: str, expect_version: int | None = None) -> bool:
        """Drop it, if its version is the expected one; False when it was not there. Durable on return."""

    async def of(self, owner: str) -> tuple[SealedGrant, ...]:
        """All grants of an owner, in order of their clients."""

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete at most `limit` grants whose owner's end has passed; how many went."""


class Marks(Protocol):
    """Things that may happen once: consumed flows, hand-off codes, replay marks."""

    async def consume(self, kind: str, key: bytes, now: float, expires_at: float) -> bool:
        """True for the first caller with this (kind, key), False for later ones until it expires; durable."""

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete expired marks; how many went."""


class Leases(Protocol):
    """Who may do a job or a refresh now."""

    async def acquire(self, name: str, owner: str, now: float, ttl_s: float) -> int | None:
        """A fencing number, or None while another owner holds it.

        It is greater than every earlier one of this store. The owner who holds it gets it anew, for longer.
        """

    async def release(self, name: str, owner: str) -> None:
        """Give it up early; nothing happens when it is not this owner's."""

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete at most `limit` leases that ran out; how many went."""


class Parking(Protocol):
    """What must wait a moment for the same browser to come back: sealed, short-lived, taken once."""

    async def park(self, kind: str, key: bytes, sealed: bytes, expires_at: float) -> None:
        """Keep it under (kind, key); what stood there is replaced. Durable on return."""

    async def parked(self, kind: str, key: bytes, now: float) -> bytes | None:
        """What waits there, or None; it goes on waiting."""

    async def take(self, kind: str, key: bytes, now: float) -> bytes | None:
        """What waited there, for the first caller only; None for all others. Durable on return."""

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete at most `limit` that nobody came for in time; how many went."""


class SigningKeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key that the program signs with, as a store sees it."""

    number: int
    """Grows from key to key."""
    id: str
    """What tokens and key sets call it (`kid`)."""
    sealed: bytes
    """The private key, sealed (`core.seal`), bound to number and id."""
    created_at: float
    signs_at: float
    """When it begins to sign; until then it is only published."""


class SigningKeys(Protocol):
    """Keys that every process signs with."""

    async def all(self) -> tuple[SigningKeyRow, ...]:
        """All of them, in the order of their numbers."""

    async def add(self, row: SigningKeyRow) -> bool:
        """Insert it; False when its number, or its id, is taken. Durable on return."""

    async def delete(self, number: int) -> None:
        """Delete it, if it is there."""


class Tries(Protocol):
    """How often something was tried of late, counted for all processes: lockouts and limits."""

    async def add(self, kind: str, key: bytes, now: float, window_s: float) -> int:
        """Count one more in the window that began with the first; how many that makes. May be lost in a crash."""

    async def count(self, kind: str, key: bytes, now: float) -> tuple[int, float]:
        """How many there are, and when their window ends; (0, 0.0) when none runs."""

    async def clear(self, kind: str, key: bytes) -> None:
        """Begin anew: it went well."""

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete at most `limit` windows that ran out; how many went."""


class Revocations(Protocol):
    """Which sessions were ended of late, in SQL: for those that are kept elsewhere (`store.split`)."""

    async def revoke(self, ended: Sequence[tuple[str, float]]) -> None:
        """These sessions, by their ids, may not live; remembered until the time given with each. Durable on return."""

    async def living(self, sessions: Sequence[Session]) -> frozenset[str]:
        """The ids of those that may live.

        Neither they nor their parents were revoked, and their user, if they have one, exists, is not disabled, and is
        not valid only from a later time on. The store is asked for none, too: then it is known whether it is there.
        """

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete at most `limit` that need not be remembered any more; how many went."""


class Presence(Protocol):
    """What there is any of, in SQL: who knows that there is none need ask for no more."""

    async def organisations(self) -> bool:
        """Whether there is an organisation; cheap."""


class Store(Protocol):
    """What the data plane keeps, in one place."""

    @property
    def sessions(self) -> Sessions:
        """Signed-in browsers."""

    @property
    def grants(self) -> Grants:
        """What they hold."""

    @property
    def marks(self) -> Marks:
        """What may happen once."""

    @property
    def leases(self) -> Leases:
        """Who may do what now."""

    @property
    def parking(self) -> Parking:
        """What waits for a browser."""

    @property
    def signing_keys(self) -> SigningKeys:
        """What tokens of the program's own are signed with."""

    @property
    def tries(self) -> Tries:
        """How often it went wrong."""

    @property
    def presence(self) -> Presence:
        """What there is any of."""

    async def close(self) -> None:
        """Finish what is under way, then let go of it."""


class Page(msgspec.Struct, frozen=True):
    """Which part of a list is wanted, in order of (created_at, id)."""

    after: tuple[float, str] | None = None
    """The last one of the page before; None: from the start."""
    limit: int = 50


class People(Protocol):
    """Users and their accounts at providers: records, in SQL."""

    async def user_of(self, issuer: str, subject: str) -> User | None:
        """The user this account belongs to, or None."""

    async def register(self, user: User, account: Account, *, invitation_id: str = "") -> User | None:
        """Insert user and account together; when the account came to exist meanwhile, that account's user.

        With an invitation, that is used up in the same step; None when it was used, withdrawn or expired (at the
        user's `created_at`) before. Durable on return.
        """

    async def user(self, user_id: str) -> User | None:
        """The user, or None."""

    async def users(
        self, page: Page, *, email: str = "", text: str = "", disabled: bool | None = None
    ) -> tuple[User, ...]:
        """One page of the users, the filters all applied.

        `email`: theirs or an account's of theirs, case ignored. `text`: somewhere in name, login or address.
        """

    async def tally(self) -> int:
        """How many users there are; it may take a while, and holds up nobody else."""

    async def owners_of(self, email: str) -> tuple[User, ...]:
        """The users who have an account with this verified address; at most two, which says "more than one"."""

    async def seen(self, user: User, account: Account) -> None:
        """Keep name, login and address of both as last told by a provider, and when."""

    async def save(self, user: User) -> bool:
        """Replace all but `id`, `created_at` and `seen_at`, the two of `cut_off` where they go on; False for nobody."""

    async def cut_off(self, user_id: str, *, valid_from: float = 0.0, sessions_from: float = 0.0) -> bool:
        """Have both be no earlier than this, all else as it is; False when there is no such user. Durable on return."""

    async def accounts_of(self, user_id: str) -> tuple[Account, ...]:
        """A user's accounts, the oldest first."""

    async def account(self, issuer: str, subject: str) -> Account | None:
        """The account, or None."""

    async def accounts(
        self, page: Page, *, user_id: str = "", issuer: str = "", client: str = ""
    ) -> tuple[Account, ...]:
        """One page of all accounts; its place in the order is (created_at, issuer + NUL + subject)."""

    async def link(self, account: Account) -> bool:
        """Insert the account for its existing user; False when it belongs to somebody (this user, too) already."""

    async def unlink(self, user_id: str, issuer: str, subject: str) -> bool:
        """Delete a user's account, unless it is the last: False then, and when it isn't theirs."""

    async def delete(self, user_id: str) -> bool:
        """Delete the user with all accounts and app tokens; False when there is no such user. Durable on return."""

    async def vouch(self, vouched: Vouched) -> bool:
        """Keep what its client says of the account now, instead of before; False when there is no such account."""

    async def doubt(self, identity: Identity) -> None:
        """What its client has said of the account is from now on of time 0: it would not say it again."""

    async def vouched_of(self, user_id: str) -> tuple[Vouched, ...]:
        """What clients have last said of a user's accounts, in order of issuer, subject, client."""


class Invitations(Protocol):
    """Who may become a user: records, in SQL."""

    async def create(self, invitation: Invitation) -> None:
        """Insert it."""

    async def get(self, invitation_id: str) -> Invitation | None:
        """The invitation, used and expired ones too, or None."""

    async def list(
        self, page: Page, *, email: str = "", used_by: str = "", is_open: bool | None = None, now: float = 0.0
    ) -> tuple[Invitation, ...]:
        """One page; `used_by`: the user it made; `is_open`: neither used nor expired at `now`."""

    async def open_for(self, email: str, issuer: str, subject: str, now: float) -> Invitation | None:
        """The oldest unused, unexpired one for this account, or for this address (empty: for none); or None."""

    async def delete(self, invitation_id: str) -> bool:
        """Withdraw it; False when there is no such invitation."""


class ProviderRow(msgspec.Struct, frozen=True, kw_only=True):
    """An identity provider as the database has it; whether it can be used is for `config.row` to say."""

    id: str
    provider_type: str
    """Its kind: `google`, `oidc` …"""
    enabled: bool
    config: str
    """JSON text of everything but secrets, in the shape of the admin API."""
    sealed: bytes
    """JSON object of the secrets by their paths in `config`, sealed (`core.seal`), bound to the id."""
    created_at: float
    updated_at: float
    version: int = 0
    org_id: str = ""
    """Whose it is, an organisation's; empty: the operator's."""


class IdentityProviders(Protocol):
    """Identity providers that were added while the program runs: records, in SQL."""

    async def all(self) -> tuple[ProviderRow, ...]:
        """All of them, the oldest first."""

    async def get(self, provider_id: str) -> ProviderRow | None:
        """The provider, or None."""

    async def insert(self, row: ProviderRow) -> bool:
        """Insert it; False when the id is taken."""

    async def update(self, row: ProviderRow, expect_version: int) -> bool:
        """Replace it if its version is the expected one, which then grows by one; False when someone was faster."""

    async def delete(self, provider_id: str) -> bool:
        """Delete it; False when there is no such provider."""

    async def stamp(self) -> str:
        """A text that changes with every change of the table; cheap, for asking each second."""


class AdminTokens(Protocol):
    """Bearer tokens of the admin API: records, in SQL."""

    async def create(self, token: AdminToken, token_hash: bytes) -> None:
        """Insert it."""

    async def by_hash(self, token_hash: bytes, now: float) -> AdminToken | None:
        """The token with this hash if it is good at `now`, or None."""

    async def list(self) -> tuple[AdminToken, ...]:
        """All of them, the oldest first."""

    async def seen(self, token_id: str, now: float) -> None:
        """Keep when it was last used."""

    async def delete(self, token_id: str) -> bool:
        """Revoke it; False when there is no such token."""


class Bearer(msgspec.Struct, frozen=True):
    """An app token with the user it acts as."""

    token: AppToken
    user: User


class AppTokens(Protocol):
    """Tokens that people made for their programs: records, in SQL. They go with their user (`People.delete`)."""

    async def create(self, token: AppToken, token_hash: bytes, *, at_most: int) -> bool:
        """Insert it for its existing user; False when they have that many already. Durable on return."""

    async def by_hash(self, token_hash: bytes, now: float) -> Bearer | None:
        """The token with this hash if it is good at `now`, and its user, or None.

        It is good until it expires, while its user is not disabled and not valid only from a later time on.
        """

    async def of_user(self, user_id: str) -> tuple[AppToken, ...]:
        """A user's tokens, the oldest first, those that are good no more, too."""

    async def list(self, page: Page) -> tuple[Bearer, ...]:
        """One page of all tokens, the oldest first, each with whose it is; those that are good no more, too."""

    async def seen(self, seen: Sequence[tuple[str, float]]) -> None:
        """Set last-used of many (id, seen_at), never backwards."""

    async def delete(self, user_id: str, token_id: str) -> bool:
        """Revoke a user's token; False when they have no such token. Durable on return."""

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Delete at most `limit` that expired before this; how many went."""


EVERYTHING = "*"
"""The key of a change of which nobody knows what it was: whoever caches forgets all."""


class Changes(Protocol):
    """Tells every worker and node what was revoked or changed (DESIGN.md section 2, the revocation bound)."""

    def publish(self, kind: str, key: str) -> None:
        """Tell all listeners, this process's own at once."""

    async def settle(self) -> None:
        """Return once every process that is heard of has taken what was published here before.

        At the latest when those that did not say so have lost their heartbeat, and so trust no cache older than a
        second. Raises nothing.
        """

    def subscribe(self, kind: str, listener: ChangeListener) -> None:
        """Call `listener(key)` for every change of this kind; with the key `EVERYTHING`, for all that is cached.

        The latter where changes may have been missed: a connection was lost, a process vanished.
        """

    def unsubscribe(self, kind: str, listener: ChangeListener) -> None:
        """Call it no more; nothing where it was not subscribed."""

    def is_current(self, now_mono: float) -> bool:
        """True while a heartbeat arrived within the last second, so that caches are good."""

    async def close(self) -> None:
        """Say goodbye to the others."""


class ChangeListener(Protocol):
    """Takes one change."""

    def __call__(self, key: str, /) -> None:
        """Forget what is cached under `key`."""
