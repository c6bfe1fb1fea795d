"""What organisations' directories have provisioned, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from vestibule.core.organisation import Affiliation, issuer_in
from vestibule.errors import StoreError
from vestibule.protocol.scim_patch import Members
from vestibule.store.base_directory import (
    TOKENS_MAX,
    DirectoryToken,
    Entry,
    JoinBy,
    Kind,
    Reference,
    Saved,
    Wanted,
)

if TYPE_CHECKING:
    from vestibule.store.memory_organisations import Organisations
    from vestibule.store.memory_records import People


class Directory:
    """`store.base_directory.Directory`."""

    def __init__(self, people: People, organisations: Organisations) -> None:
        self._people = people
        self._organisations = organisations
        self._kept: dict[str, Entry] = {}
        self._inside: set[tuple[str, str]] = set()
        """(group, person)."""
        self._tokens: dict[str, tuple[bytes, DirectoryToken]] = {}
        self._rules: dict[str, JoinBy] = {}

    async def insert(self, entry: Entry, members: Sequence[Members] = ()) -> Saved:
        """Keep it, unless the name is taken."""
        if entry.id in self._kept or await self._organisations.get(entry.org_id) is None:
            raise StoreError("The store can't keep this.", detail=f"entry {entry.id}")
        if self._is_taken(entry):
            return Saved(outcome="taken")
        touched = self._change(entry, members)
        if touched is None:
            return Saved(outcome="no_member")
        self._kept[entry.id] = entry
        return self._saved(touched)

    async def get(self, org_id: str, kind: Kind, entry_id: str) -> Entry | None:
        """Look it up."""
        found = self._kept.get(entry_id)
        return (
            self._seen(found) if found is not None and (found.org_id, found.kind) == (org_id, kind) else None
        )

    async def save(self, entry: Entry, expect_version: int, members: Sequence[Members] = ()) -> Saved:
        """Replace it, if the version is the expected one."""
        known = await self.get(entry.org_id, entry.kind, entry.id)
        if known is None or known.version != expect_version:
            return Saved(outcome="stale")
        if self._is_taken(entry):
            return Saved(outcome="taken")
        touched = self._change(entry, members)
        if touched is None:
            return Saved(outcome="no_member")
        self._kept[entry.id] = replace(
            entry, version=expect_version + 1, created_at=known.created_at, user_id=known.user_id
        )
        return self._saved(touched)

    async def delete(self, org_id: str, kind: Kind, entry_id: str) -> Saved | None:
        """Forget it."""
        if await self.get(org_id, kind, entry_id) is None:
            return None
        touched = {person for group, person in self._inside if group == entry_id}
        del self._kept[entry_id]
        self._inside = {pair for pair in self._inside if entry_id not in pair}
        return self._saved(touched)

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
        """Look at each."""
        found = [
            entry
            for entry in self._found(org_id, kind, wanted)
            if after is None or (entry.created_at, entry.id) > after
        ]
        return tuple(found[offset : offset + limit])

    async def count(self, org_id: str, kind: Kind, wanted: Wanted) -> int:
        """Count them."""
        return len(self._found(org_id, kind, wanted))

    async def references(self, kind: Kind, entry_ids: Iterable[str]) -> Mapping[str, tuple[Reference, ...]]:
        """Look at each membership."""
        found = {}
        for owner in entry_ids:
            others = [
                self._kept[group if kind == "User" else person]
                for group, person in self._inside
                if owner == (person if kind == "User" else group)
            ]
            if others:
                others.sort(key=lambda entry: (entry.folded, entry.id))
                found[owner] = tuple(Reference(entry.id, entry.name) for entry in others)
        return found

    async def of_user(self, user_id: str) -> tuple[Entry, ...]:
        """Look at each."""
        theirs = (entry for entry in map(self._seen, self._kept.values()) if entry.user_id == user_id)
        return tuple(sorted(theirs, key=lambda entry: entry.org_id)) if user_id else ()

    async def join(self, org_id: str, entry_id: str, user_id: str) -> bool:
        """Replace it, where it is nobody yet."""
        known = await self.get(org_id, "User", entry_id)
        others = [one for one in await self.of_user(user_id) if one.org_id == org_id and one.id != entry_id]
        if known is None or not known.is_active or others or known.user_id not in ("", user_id):
            return False
        self._kept[entry_id] = replace(known, user_id=user_id)
        return True

    async def user_of(self, org_id: str, subject: str) -> str:
        """Look at each account."""
        begin = issuer_in(org_id, "")
        found = {
            account.user_id
            for user_id in self._people.kept
            for account in await self._people.accounts_of(user_id)
            if account.issuer.startswith(begin) and account.subject == subject
        }
        return found.pop() if len(found) == 1 else ""

    async def rule(self, org_id: str) -> JoinBy:
        """Look it up."""
        return self._rules.get(org_id, "subject")

    async def set_rule(self, org_id: str, rule: JoinBy) -> None:
        """Keep it."""
        self._rules[org_id] = rule

    async def affiliations_of(self, user_id: str) -> tuple[Affiliation, ...]:
        """Look at each entry of theirs."""
        found = set()
        for entry in await self.of_user(user_id):
            org = await self._organisations.get(entry.org_id)
            if org is None or not entry.is_active:
                continue
            found.add(Affiliation(kind="org", org=org.slug, source="scim"))
            for group in (await self.references("User", (entry.id,))).get(entry.id, ()):
                found.add(Affiliation(kind="group", org=org.slug, name=group.name, source="scim"))
        return tuple(sorted(found))

    # -- tokens -------------------------------------------------------------------------------

    async def create_token(self, token: DirectoryToken, token_hash: bytes) -> bool:
        """Keep it, unless there are enough."""
        if token.id in self._tokens or any(token_hash == known for known, _ in self._tokens.values()):
            raise StoreError("The store can't keep this.", detail=f"directory token {token.id}")
        for known in await self.tokens(token.org_id):
            if known.expires_at is not None and known.expires_at <= token.created_at:
                del self._tokens[known.id]
        if len(await self.tokens(token.org_id)) >= TOKENS_MAX:
            return False
        self._tokens[token.id] = token_hash, token
        return True

    async def token_by_hash(self, token_hash: bytes, now: float) -> DirectoryToken | None:
        """Look at each."""
        for known, token in self._tokens.values():
            if known == token_hash and (token.expires_at is None or token.expires_at > now):
                return token
        return None

    async def tokens(self, org_id: str) -> tuple[DirectoryToken, ...]:
        """Sort them."""
        theirs = (token for _, token in self._tokens.values() if token.org_id == org_id)
        return tuple(sorted(theirs, key=lambda token: (token.created_at, token.id)))

    async def token_seen(self, token_id: str, now: float) -> None:
        """Replace it."""
        if token_id in self._tokens:
            token_hash, token = self._tokens[token_id]
            self._tokens[token_id] = token_hash, replace(token, seen_at=now)

    async def delete_token(self, org_id: str, token_id: str) -> bool:
        """Forget it."""
        _, known = self._tokens.get(token_id, (b"", None))
        if known is None or known.org_id != org_id:
            return False
        del self._tokens[token_id]
        return True

    # -- how ----------------------------------------------------------------------------------

    def _seen(self, entry: Entry) -> Entry:
        """The entry; whose user is gone is nobody again."""
        return entry if entry.user_id in self._people.kept else replace(entry, user_id="")

    def _is_taken(self, entry: Entry) -> bool:
        return entry.kind == "User" and any(
            (one.org_id, one.kind, one.folded) == (entry.org_id, "User", entry.folded) and one.id != entry.id
            for one in self._kept.values()
        )

    def _found(self, org_id: str, kind: Kind, wanted: Wanted) -> list[Entry]:
        found = (
            entry
            for entry in map(self._seen, self._kept.values())
            if (entry.org_id, entry.kind) == (org_id, kind)
            and wanted.id in (None, entry.id)
            and (wanted.ids is None or entry.id in wanted.ids)
            and (wanted.name is None or wanted.name.casefold() == entry.folded)
            and wanted.external_id in (None, entry.external_id)
            and (
                wanted.has is None
                or ((wanted.has, entry.id) if kind == "User" else (entry.id, wanted.has)) in self._inside
            )
        )
        return sorted(found, key=lambda entry: (entry.created_at, entry.id))

    def _change(self, entry: Entry, steps: Sequence[Members]) -> set[str] | None:
        before = {person for group, person in self._inside if group == entry.id}
        there, touched = set(before), set()
        for step in steps:
            after = set(step.add) if step.is_emptied else (there - set(step.remove)) | set(step.add)
            touched |= there ^ after
            there = after
        for one in there - before:
            known = self._kept.get(one)
            if known is None or (known.org_id, known.kind) != (entry.org_id, "User"):
                return None
        self._inside = {pair for pair in self._inside if pair[0] != entry.id}
        self._inside |= {(entry.id, person) for person in there}
        return touched

    def _saved(self, touched: Iterable[str]) -> Saved:
        users = {self._seen(self._kept[one]).user_id for one in touched if one in self._kept}
        return Saved(touched=tuple(sorted(users - {""})))
