"""The records of `store.memory`: people, invitations, identity providers, admin tokens, app tokens."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from vestibule.errors import StoreError
from vestibule.model import Account, AdminToken, AppToken, Identity, Invitation, MachineKey, User, Vouched
from vestibule.store.base import Bearer, Page, ProviderRow

V = TypeVar("V")


class Invitations:
    """`store.base.Invitations`."""

    def __init__(self) -> None:
        self._kept: dict[str, Invitation] = {}

    async def create(self, invitation: Invitation) -> None:
        """Keep it."""
        if invitation.id in self._kept:
            raise _taken(f"invitation {invitation.id}")
        self._kept[invitation.id] = invitation

    async def get(self, invitation_id: str) -> Invitation | None:
        """Look it up."""
        return self._kept.get(invitation_id)

    async def list(
        self, page: Page, *, email: str = "", used_by: str = "", is_open: bool | None = None, now: float = 0.0
    ) -> tuple[Invitation, ...]:
        """Look at each."""
        found = (
            invitation
            for invitation in self._kept.values()
            if (not email or invitation.email == email.lower())
            and used_by in ("", invitation.used_by)
            and (is_open is None or _is_open(invitation, now) is is_open)
        )
        return _paged(found, page, lambda invitation: (invitation.created_at, invitation.id))

    async def open_for(self, email: str, issuer: str, subject: str, now: float) -> Invitation | None:
        """Look at each."""
        found = [
            invitation
            for invitation in self._kept.values()
            if _is_open(invitation, now)
            and (
                (issuer and (invitation.issuer, invitation.subject) == (issuer, subject))
                or (email and invitation.email == email.lower())
            )
        ]
        return min(found, key=lambda invitation: (invitation.created_at, invitation.id), default=None)

    async def delete(self, invitation_id: str) -> bool:
        """Forget it."""
        return self._kept.pop(invitation_id, None) is not None

    def use_up(self, invitation_id: str, user: User) -> bool:
        """Mark it used by this user, if it is open."""
        invitation = self._kept.get(invitation_id)
        if invitation is None or not _is_open(invitation, user.created_at):
            return False
        self._kept[invitation_id] = replace(invitation, used_at=user.created_at, used_by=user.id)
        return True


class People:
    """`store.base.People`."""

    def __init__(self, invitations: Invitations) -> None:
        self.kept: dict[str, User] = {}
        """All users, for `store.memory.Sessions`."""
        self.app_tokens: dict[str, tuple[bytes, AppToken]] = {}
        """All of theirs, for `AppTokens`."""
        self._accounts: dict[tuple[str, str], Account] = {}
        self._vouched: dict[tuple[str, str, str], Vouched] = {}
        self._invitations = invitations

    async def user_of(self, issuer: str, subject: str) -> User | None:
        """Look up account and user."""
        account = self._accounts.get((issuer, subject))
        return None if account is None else self.kept.get(account.user_id)

    async def register(self, user: User, account: Account, *, invitation_id: str = "") -> User | None:
        """Keep both, unless the account is somebody's."""
        known = await self.user_of(account.issuer, account.subject)
        if known is not None:
            return known
        if user.id in self.kept:
            raise _taken(f"user {user.id}")
        if invitation_id and not self._invitations.use_up(invitation_id, user):
            return None
        self.kept[user.id] = user
        self._accounts[account.issuer, account.subject] = account
        return user

    async def user(self, user_id: str) -> User | None:
        """Look it up."""
        return self.kept.get(user_id)

    async def users(
        self, page: Page, *, email: str = "", text: str = "", disabled: bool | None = None
    ) -> tuple[User, ...]:
        """Look at each."""
        owners = {
            account.user_id for account in self._accounts.values() if account.email.lower() == email.lower()
        }
        found = (
            user
            for user in self.kept.values()
            if (not email or user.email.lower() == email.lower() or user.id in owners)
            and any(text.lower() in value.lower() for value in (user.name, user.login, user.email))
            and (disabled is None or user.disabled is disabled)
        )
        return _paged(found, page, lambda user: (user.created_at, user.id))

    async def tally(self) -> int:
        """Count them."""
        return len(self.kept)

    async def owners_of(self, email: str) -> tuple[User, ...]:
        """Look at each account."""
        owners = {
            account.user_id
            for account in self._accounts.values()
            if email and account.email.lower() == email.lower()
        }
        found = (self.kept[user_id] for user_id in owners)
        return _paged(found, Page(limit=2), lambda user: (user.created_at, user.id))

    async def seen(self, user: User, account: Account) -> None:
        """Replace what a provider tells."""
        known = self.kept.get(user.id)
        if known is not None:
            self.kept[user.id] = replace(
                known, name=user.name, login=user.login, email=user.email, seen_at=user.seen_at
            )
        kept = self._accounts.get((account.issuer, account.subject))
        if kept is not None and kept.user_id == user.id:
            self._accounts[account.issuer, account.subject] = replace(
                kept,
                kind=kept.kind or account.kind,
                login=account.login,
                name=account.name,
                email=account.email,
                seen_at=account.seen_at,
            )

    async def save(self, user: User) -> bool:
        """Replace all but when it came and was seen."""
        known = self.kept.get(user.id)
        if known is None:
            return False
        self.kept[user.id] = replace(user, created_at=known.created_at, seen_at=known.seen_at)
        return await self.cut_off(user.id, valid_from=known.valid_from, sessions_from=known.sessions_from)

    async def cut_off(self, user_id: str, *, valid_from: float = 0.0, sessions_from: float = 0.0) -> bool:
        """Replace both where they are earlier."""
        known = self.kept.get(user_id)
        if known is None:
            return False
        self.kept[user_id] = replace(
            known,
            valid_from=max(known.valid_from, valid_from),
            sessions_from=max(known.sessions_from, sessions_from),
        )
        return True

    async def accounts_of(self, user_id: str) -> tuple[Account, ...]:
        """Look at each."""
        theirs = (account for account in self._accounts.values() if account.user_id == user_id)
        return tuple(sorted(theirs, key=_place))

    async def account(self, issuer: str, subject: str) -> Account | None:
        """Look it up."""
        return self._accounts.get((issuer, subject))

    async def accounts(
        self, page: Page, *, user_id: str = "", issuer: str = "", client: str = ""
    ) -> tuple[Account, ...]:
        """Look at each."""
        found = (
            account
            for account in self._accounts.values()
            if user_id in ("", account.user_id)
            and issuer in ("", account.issuer)
            and client in ("", account.client)
        )
        return _paged(found, page, _place)

    async def link(self, account: Account) -> bool:
        """Keep it, unless it is somebody's."""
        place = account.issuer, account.subject
        if place in self._accounts:
            return False
        if account.user_id not in self.kept:
            raise StoreError("The store can't keep this.", detail=f"there is no user {account.user_id}")
        self._accounts[place] = account
        return True

    async def unlink(self, user_id: str, issuer: str, subject: str) -> bool:
        """Forget it, unless it is the last."""
        account = self._accounts.get((issuer, subject))
        if account is None or account.user_id != user_id or len(await self.accounts_of(user_id)) < 2:
            return False
        self._drop(account)
        return True

    async def delete(self, user_id: str) -> bool:
        """Forget user, accounts and tokens."""
        for account in await self.accounts_of(user_id):
            self._drop(account)
        for token_id, (_, token) in tuple(self.app_tokens.items()):
            if token.user_id == user_id:
                del self.app_tokens[token_id]
        return self.kept.pop(user_id, None) is not None

    async def vouch(self, vouched: Vouched) -> bool:
        """Keep it, if there is such an account."""
        one = vouched.identity
        if (one.issuer, one.subject) not in self._accounts:
            return False
        self._vouched[one.issuer, one.subject, one.client] = vouched
        return True

    async def doubt(self, identity: Identity) -> None:
        """Replace its time."""
        place = identity.issuer, identity.subject, identity.client
        if place in self._vouched:
            self._vouched[place] = replace(self._vouched[place], told_at=0.0)

    async def vouched_of(self, user_id: str) -> tuple[Vouched, ...]:
        """Look at each."""
        theirs = {(account.issuer, account.subject) for account in await self.accounts_of(user_id)}
        return tuple(kept for place, kept in sorted(self._vouched.items()) if place[:2] in theirs)

    def _drop(self, account: Account) -> None:
        del self._accounts[account.issuer, account.subject]
        for place in tuple(self._vouched):
            if place[:2] == (account.issuer, account.subject):
                del self._vouched[place]


class IdentityProviders:
    """`store.base.IdentityProviders`."""

    def __init__(self) -> None:
        self._kept: dict[str, ProviderRow] = {}
        self._counter = itertools.count(1)
        self._stamp = "0"

    async def all(self) -> tuple[ProviderRow, ...]:
        """Sort them."""
        return tuple(sorted(self._kept.values(), key=lambda row: (row.created_at, row.id)))

    async def get(self, provider_id: str) -> ProviderRow | None:
        """Look it up."""
        return self._kept.get(provider_id)

    async def insert(self, row: ProviderRow) -> bool:
        """Keep it, unless the id is taken."""
        if row.id in self._kept:
            return False
        self._keep(row)
        return True

    async def update(self, row: ProviderRow, expect_version: int) -> bool:
        """Replace it, if the version is the expected one."""
        known = self._kept.get(row.id)
        if known is None or known.version != expect_version:
            return False
        self._keep(replace(row, created_at=known.created_at, version=expect_version + 1))
        return True

    async def delete(self, provider_id: str) -> bool:
        """Forget it."""
        self._stamp = str(next(self._counter))
        return self._kept.pop(provider_id, None) is not None

    async def stamp(self) -> str:
        """Count of changes."""
        return self._stamp

    def _keep(self, row: ProviderRow) -> None:
        self._kept[row.id] = row
        self._stamp = str(next(self._counter))


class AdminTokens:
    """`store.base.AdminTokens`."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[bytes, AdminToken]] = {}

    async def create(self, token: AdminToken, token_hash: bytes) -> None:
        """Keep it."""
        if token.id in self._kept or any(token_hash == known for known, _ in self._kept.values()):
            raise _taken(f"admin token {token.id}")
        self._kept[token.id] = token_hash, token

    async def by_hash(self, token_hash: bytes, now: float) -> AdminToken | None:
        """Look at each."""
        for known, token in self._kept.values():
            if known == token_hash and (token.expires_at is None or token.expires_at > now):
                return token
        return None

    async def list(self) -> tuple[AdminToken, ...]:
        """Sort them."""
        tokens = (token for _, token in self._kept.values())
        return tuple(sorted(tokens, key=lambda token: (token.created_at, token.id)))

    async def seen(self, token_id: str, now: float) -> None:
        """Replace it."""
        if token_id in self._kept:
            token_hash, token = self._kept[token_id]
            self._kept[token_id] = token_hash, replace(token, seen_at=now)

    async def delete(self, token_id: str) -> bool:
        """Forget it."""
        return self._kept.pop(token_id, None) is not None


class MachineKeys:
    """`store.base.MachineKeys`."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[bytes, MachineKey]] = {}

    async def create(self, key: MachineKey, key_hash: bytes, *, at_most: int) -> bool:
        """Keep it, unless there are enough."""
        if key.id in self._kept or any(key_hash == known for known, _ in self._kept.values()):
            raise _taken(f"machine key {key.id}")
        theirs = [one for _, one in self._kept.values() if one.machine == key.machine]
        ended = [one for one in theirs if one.expires_at is not None and one.expires_at <= key.created_at]
        for one in ended:
            del self._kept[one.id]
        if len(theirs) - len(ended) >= at_most:
            return False
        self._kept[key.id] = key_hash, key
        return True

    async def by_hash(self, key_hash: bytes, now: float) -> MachineKey | None:
        """Look at each."""
        found = next((key for known, key in self._kept.values() if known == key_hash), None)
        return found if found is not None and _is_live(found, now) else None

    async def by_id(self, key_id: str, now: float) -> MachineKey | None:
        """Look it up."""
        _, found = self._kept.get(key_id, (b"", None))
        return found if found is not None and _is_live(found, now) else None

    async def list(self) -> tuple[MachineKey, ...]:
        """Sort them."""
        keys = (key for _, key in self._kept.values())
        return tuple(sorted(keys, key=lambda key: (key.created_at, key.id)))

    async def seen(self, key_id: str, now: float) -> None:
        """Replace it."""
        if key_id in self._kept:
            key_hash, key = self._kept[key_id]
            self._kept[key_id] = key_hash, replace(key, seen_at=now)

    async def delete(self, key_id: str) -> bool:
        """Forget it."""
        return self._kept.pop(key_id, None) is not None


def _is_live(key: MachineKey, now: float) -> bool:
    return key.expires_at is None or key.expires_at > now


class AppTokens:
    """`store.base.AppTokens`."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._kept = people.app_tokens

    async def create(self, token: AppToken, token_hash: bytes, *, at_most: int) -> bool:
        """Keep it, unless there are enough."""
        if token.id in self._kept or any(token_hash == known for known, _ in self._kept.values()):
            raise _taken(f"app token {token.id}")
        if token.user_id not in self._people.kept:
            raise StoreError("The store can't keep this.", detail=f"there is no user {token.user_id}")
        if len(await self.of_user(token.user_id)) >= at_most:
            return False
        self._kept[token.id] = token_hash, token
        return True

    async def by_hash(self, token_hash: bytes, now: float) -> Bearer | None:
        """Look at each."""
        for known, token in self._kept.values():
            if known == token_hash:
                user = self._people.kept[token.user_id]
                is_good = token.expires_at > now and user.valid_from <= token.created_at
                return Bearer(token, user) if is_good and not user.disabled else None
        return None

    async def of_user(self, user_id: str) -> tuple[AppToken, ...]:
        """Sort them."""
        theirs = (token for _, token in self._kept.values() if token.user_id == user_id)
        return tuple(sorted(theirs, key=lambda token: (token.created_at, token.id)))

    async def list(self, page: Page) -> tuple[Bearer, ...]:
        """Sort them."""
        by_age = sorted(
            (token for _, token in self._kept.values()), key=lambda token: (token.created_at, token.id)
        )
        left = [one for one in by_age if page.after is None or (one.created_at, one.id) > page.after]
        return tuple(Bearer(token, self._people.kept[token.user_id]) for token in left[: page.limit])

    async def seen(self, seen: Sequence[tuple[str, float]]) -> None:
        """Replace each."""
        for token_id, at in seen:
            if token_id in self._kept:
                token_hash, token = self._kept[token_id]
                self._kept[token_id] = token_hash, replace(token, seen_at=max(at, token.seen_at or at))

    async def delete(self, user_id: str, token_id: str) -> bool:
        """Forget it, if it is the user's."""
        if token_id not in self._kept or self._kept[token_id][1].user_id != user_id:
            return False
        del self._kept[token_id]
        return True

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Forget those that ended."""
        old = [token_id for token_id, (_, token) in self._kept.items() if token.expires_at < before][:limit]
        for token_id in old:
            del self._kept[token_id]
        return len(old)


def _is_open(invitation: Invitation, now: float) -> bool:
    return invitation.used_at is None and invitation.expires_at > now


def _place(account: Account) -> tuple[float, str]:
    return account.created_at, f"{account.issuer}\0{account.subject}"


def _paged(found: Iterable[V], page: Page, place: Callable[[V], tuple[float, str]]) -> tuple[V, ...]:
    after = page.after
    rest = [value for value in found if after is None or place(value) > after]
    return tuple(sorted(rest, key=place)[: page.limit])


def _taken(what: str) -> StoreError:
    return StoreError("The store can't keep this.", detail=f"{what} is taken")
