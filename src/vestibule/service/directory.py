"""People and groups as an organisation's directory provisions them by SCIM, and what that does to those who are here.

Who is switched off or deleted there has no session and no token when the call returns, on any node, is in none of the
organisation's groups and no member of it; and a sign-in by one of its providers is refused while they are switched off.
Each step can be done again: a call that failed half-way and is sent once more ends what is left.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from vestibule.core import event as names
from vestibule.core.event import Event
from vestibule.core.organisation import Member
from vestibule.core.session import ID_BYTES
from vestibule.errors import NotFound, UserDisabled
from vestibule.model import Identity, User
from vestibule.observe import clock
from vestibule.protocol import base64url
from vestibule.protocol.scim_error import ScimError
from vestibule.protocol.scim_patch import Members, Operation, patched
from vestibule.protocol.scim_resource import accepted
from vestibule.protocol.scim_schema import GROUPS, USERS, Kind
from vestibule.service.affiliated import AFFILIATION
from vestibule.service.events import because
from vestibule.service.people import People
from vestibule.store import base
from vestibule.store.base_directory import Directory as Store
from vestibule.store.base_directory import Entry, Outcome, Reference, Wanted
from vestibule.store.base_organisations import Organisations

TRIES_MAX: Final = 8
"""How often a change is made anew that somebody else overtook, where no version was asked for."""
MARGIN_S: Final = 2.0
"""What begins so soon after somebody was switched off ends with the rest: a sign-in that was under way, on a node whose
clock is ahead."""
DOCUMENT_MAX_BYTES: Final = 1 << 16
"""Of an entry as it is kept, a group's members not counted."""
_MANY: Final = 200
"""More people than these are not told of one by one."""
_GROUPS: Final = "groups"
_MEMBERS: Final = "members"


class Change(NamedTuple):
    """What is to become of an entry: its document, and a group's members."""

    document: dict[str, Any]
    members: tuple[Members, ...] = ()


class Directory:
    """The directories of all organisations. Every method may raise ScimError, StoreError."""

    def __init__(
        self,
        store: Store,
        organisations: Organisations,
        people: People,
        changes: base.Changes,
        tell: Callable[[Event], Awaitable[object]],
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._now = now
        self._store = store
        self._organisations = organisations
        self._people = people
        self._changes = changes
        self._tell = tell
        self._random = random

    # -- resources ----------------------------------------------------------------------------

    async def create(self, org_id: str, kind: Kind, body: Any, now: float) -> Entry:
        """The new entry; durable on return, and who is switched off by it out. Raises ScimError 409 `uniqueness`."""
        document, members = _whole(accepted(body, kind), kind)
        entry = _named(
            Entry(
                id=base64url.encode(self._random(ID_BYTES)),
                org_id=org_id,
                kind=_kind(kind),
                name="",
                document=document,
                created_at=now,
                updated_at=now,
            )
        )
        saved = await self._store.insert(entry, (Members(add=members),) if members else ())
        _check(saved.outcome)
        if kind is USERS:
            entry = await self._settled(entry, entry, now)
        await self._told(saved.touched)
        await self._noted("created", entry, now)
        return entry

    async def get(self, org_id: str, kind: Kind, entry_id: str) -> Entry:
        """The organisation's entry. Raises ScimError 404."""
        found = await self._store.get(org_id, _kind(kind), entry_id)
        if found is None:
            raise ScimError(404, f"there is no {kind.name} {entry_id}")
        return found

    async def replace(
        self, org_id: str, kind: Kind, entry_id: str, body: Any, now: float, *, version: int | None = None
    ) -> Entry:
        """The entry with this in place of all it was; `version`: what it must have been.

        Whether somebody is active stays as it was where it isn't said. Raises ScimError 404, 412, `uniqueness`.
        """
        wanted = accepted(body, kind)

        def made(entry: Entry) -> Change:
            document, members = _whole(dict(wanted), kind, is_active=entry.is_active)
            return Change(document, (Members(add=members, is_emptied=True),) if kind is GROUPS else ())

        return await self._changed(org_id, kind, entry_id, made, now, version)

    async def patch(
        self,
        org_id: str,
        kind: Kind,
        entry_id: str,
        operations: tuple[Operation, ...],
        now: float,
        *,
        version: int | None = None,
    ) -> Entry:
        """The entry with these changes, all or none of them. Raises ScimError 404, 412 and what the changes raise."""

        def made(entry: Entry) -> Change:
            changed = patched(entry.document, operations, kind)
            # Where `active` was removed they are what they were: nobody is let in by what isn't said.
            return Change(changed.document, _together(changed.members))

        return await self._changed(org_id, kind, entry_id, made, now, version)

    async def delete(
        self, org_id: str, kind: Kind, entry_id: str, now: float, *, version: int | None = None
    ) -> None:
        """Delete it; whose entry it was is out when it returns. Raises ScimError 404, 412."""
        entry = await self.get(org_id, kind, entry_id)
        _check_version(entry, version)
        if kind is USERS:
            # Off first: a delete that fails half-way is sent once more, and must find the entry to do it again; and
            # nobody who comes just now is joined with it any more.
            await self._switched_off(entry, now)
            entry = await self.get(org_id, kind, entry_id)
            await self._put_out(entry.user_id, org_id, now)
        gone = await self._store.delete(org_id, entry.kind, entry_id)
        if gone is None:
            raise ScimError(404, f"there is no {kind.name} {entry_id}")
        await self._told(gone.touched)
        await self._noted("deleted", entry, now)

    async def _switched_off(self, entry: Entry, now: float) -> None:
        for _ in range(TRIES_MAX):
            off = {**entry.document, "active": False}
            after = replace(entry, is_active=False, document=off, updated_at=now)
            if (await self._store.save(after, entry.version)).outcome == "saved":
                return
            entry = await self.get(entry.org_id, USERS, entry.id)
        raise ScimError(503, "others change it all the time: try again")

    async def references(self, kind: Kind, entries: Iterable[Entry]) -> Mapping[str, tuple[Reference, ...]]:
        """The groups of people, or the members of groups, by the entries' ids."""
        return await self._store.references(_kind(kind), [entry.id for entry in entries])

    async def _changed(  # noqa: PLR0917 - at one place
        self,
        org_id: str,
        kind: Kind,
        entry_id: str,
        made: Callable[[Entry], Change],
        now: float,
        version: int | None,
    ) -> Entry:
        for _ in range(TRIES_MAX):
            before = await self.get(org_id, kind, entry_id)
            _check_version(before, version)
            change = made(before)
            after = _named(replace(before, document=change.document, updated_at=now))
            saved = await self._store.save(after, before.version, change.members)
            if saved.outcome == "stale":
                continue
            _check(saved.outcome)
            after = replace(after, version=before.version + 1)
            if kind is USERS:
                after = await self._settled(before, await self._as_joined(after), now)
            elif before.name != after.name:
                await self._told(await self._users_in(after))
            await self._told(saved.touched)
            await self._noted(_what(before, after), after, now)
            return after
        raise ScimError(503, "others change it all the time: try again")

    async def _as_joined(self, entry: Entry) -> Entry:
        """The entry with whose it is now: who came between reading and saving it is joined without another version."""
        found = await self._store.get(entry.org_id, entry.kind, entry.id)
        return entry if found is None else replace(entry, user_id=found.user_id)

    async def _settled(self, before: Entry, after: Entry, now: float) -> Entry:
        """Do to the person what their entry says now."""
        if not after.is_active:
            await self._put_out(after.user_id or await self._unknown(after), after.org_id, now)
            return after
        after = await self._found(after, now)
        if after.user_id and not before.is_active:
            await self._let_in(after, now)
        return after

    async def _users_in(self, group: Entry) -> tuple[str, ...]:
        """The users in a group; EVERYTHING where they are many."""
        wanted = Wanted(has=group.id)
        several = await self._store.entries(group.org_id, "User", wanted, limit=_MANY + 1)
        if len(several) > _MANY:
            return (base.EVERYTHING,)
        return tuple(entry.user_id for entry in several if entry.user_id)

    # -- whose entry it is --------------------------------------------------------------------

    async def arrived(self, org_id: str, user: User, identity: Identity, now: float) -> None:
        """Somebody comes by a provider of the organisation: they are who its directory says, by its rule.

        Raises UserDisabled where they are switched off there. Never joined by an address that another organisation, or
        the operator's own provider, vouched for: `identity` is the organisation's.
        """
        theirs = await self._store.of_user(user.id)
        known = next((entry for entry in theirs if entry.org_id == org_id), None)
        if known is None:
            known = await self._meant(org_id, identity)
            if known is not None and known.is_active:
                if await self._store.join(org_id, known.id, user.id):
                    await self._let_in(replace(known, user_id=user.id), now)
                else:
                    known = await self._meant(org_id, identity)  # it may have been switched off meanwhile
        if known is not None and not known.is_active:
            raise UserDisabled(
                "This account has been switched off.", detail=f"entry {known.id} of the directory is inactive"
            )

    async def _meant(self, org_id: str, identity: Identity) -> Entry | None:
        """The entry that is meant by this identity, where it is nobody yet or is switched off; None: not exactly one.

        Threat: who is switched off comes by another provider of the organisation, as somebody who wasn't here before.
        """
        rule = await self._store.rule(org_id)
        if rule == "user_name":
            sought = [Wanted(name=name) for name in dict.fromkeys((identity.login, identity.email)) if name]
        else:
            sought = [Wanted(external_id=identity.subject)]
            if rule == "subject":
                sought.append(Wanted(name=identity.subject))
        for wanted in sought:
            found = await self._store.entries(org_id, "User", wanted, limit=2)
            if found:
                is_one = len(found) == 1 and not (found[0].user_id and found[0].is_active)
                return found[0] if is_one else None
        return None

    async def _found(self, entry: Entry, now: float) -> Entry:
        """The entry, joined with the user who came before it was provisioned."""
        if entry.user_id or not entry.is_active:
            return entry
        user_id = await self._came(entry)
        if not user_id or not await self._store.join(entry.org_id, entry.id, user_id):
            return entry
        entry = replace(entry, user_id=user_id)
        await self._let_in(entry, now)
        return entry

    async def _came(self, entry: Entry) -> str:
        """The user who came before the entry was provisioned; empty: nobody did."""
        rule = await self._store.rule(entry.org_id)
        if rule == "user_name":
            return ""  # by what they are called they are found when they come
        user_id = await self._store.user_of(entry.org_id, entry.external_id) if entry.external_id else ""
        if not user_id and rule == "subject":
            user_id = await self._store.user_of(entry.org_id, entry.name)
        return user_id

    async def _unknown(self, entry: Entry) -> str:
        """The same where they are no other entry: who was here, and is provisioned as switched off."""
        user_id = await self._came(entry)
        theirs = await self._store.of_user(user_id) if user_id else ()
        return "" if any(one.org_id == entry.org_id for one in theirs) else user_id

    async def _let_in(self, entry: Entry, now: float) -> None:
        """They are a member, in the groups that the directory says."""
        await self._organisations.join(
            Member(org_id=entry.org_id, user_id=entry.user_id, source="scim", created_at=now)
        )
        await self._told((entry.user_id,))

    async def _put_out(self, user_id: str, org_id: str, now: float) -> None:
        """They are no member, in no group, and whatever they hold has ended; empty: nobody.

        It ends by the clock of this moment: a request of many may have begun long ago, and who has been let in since,
        by an entry that was still active, has no session yet.
        """
        if not user_id:
            return
        await self._organisations.leave(org_id, user_id)
        await self._told((user_id,))
        with because("deprovisioned"):
            try:
                await self._people.cut_off(user_id, max(now, self._now()) + MARGIN_S)
            except NotFound:
                return
        await self._changes.settle()

    async def _told(self, user_ids: Iterable[str]) -> None:
        """Have every process forget what these were in, before it returns."""
        several = tuple(user_ids)
        for user_id in several if len(several) <= _MANY else (base.EVERYTHING,):
            self._changes.publish(AFFILIATION, user_id)
        if several:
            await self._changes.settle()

    async def _noted(self, what: str, entry: Entry, now: float) -> None:
        name = _EVENTS[entry.kind, what]
        detail: dict[str, Any] = {"org": entry.org_id, "name": entry.name}
        if entry.external_id:
            detail["external_id"] = entry.external_id
        target = f"directory_{entry.kind.lower()} {entry.id}"
        await self._tell(
            Event(id="", at=now, action=name, target=target, user_id=entry.user_id, detail=detail)
        )


_EVENTS: Final = {
    ("User", "created"): names.DIRECTORY_USER_CREATED,
    ("User", "updated"): names.DIRECTORY_USER_UPDATED,
    ("User", "deactivated"): names.DIRECTORY_USER_DEACTIVATED,
    ("User", "activated"): names.DIRECTORY_USER_ACTIVATED,
    ("User", "deleted"): names.DIRECTORY_USER_DELETED,
    ("Group", "created"): names.DIRECTORY_GROUP_CREATED,
    ("Group", "updated"): names.DIRECTORY_GROUP_UPDATED,
    ("Group", "deleted"): names.DIRECTORY_GROUP_DELETED,
}


def resource_of(entry: Entry, base_url: str, references: Iterable[Reference] = ()) -> dict[str, Any]:
    """The entry as a resource, with all that is known of it, `schemas` left out."""
    kind = USERS if entry.kind == "User" else GROUPS
    other = GROUPS if kind is USERS else USERS
    told = {
        "id": entry.id,
        **entry.document,
        "meta": {
            "resourceType": kind.name,
            "created": _moment(entry.created_at),
            "lastModified": _moment(entry.updated_at),
            "location": f"{base_url}{kind.path}/{entry.id}",
            "version": etag(entry),
        },
    }
    several = [
        {
            "value": one.id,
            "$ref": f"{base_url}{other.path}/{one.id}",
            **({"display": one.name, "type": "direct"} if kind is USERS else {"type": "User"}),
        }
        for one in references
    ]
    if several:
        told[_GROUPS if kind is USERS else _MEMBERS] = several
    return told


def etag(entry: Entry) -> str:
    """The version of a resource. Spec: RFC 7644 section 3.14."""
    return f'W/"{entry.version}"'


def _whole(
    document: dict[str, Any], kind: Kind, *, is_active: bool = True
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What is kept of the document, and the ids of the members it names."""
    if kind is USERS:
        return {**document, "active": document.get("active", is_active)}, ()
    members = document.pop(_MEMBERS, ())
    return document, tuple(one["value"] for one in members)


def _named(entry: Entry) -> Entry:
    """The entry with what it is found by taken from its document. Raises ScimError `invalidValue`.

    Threat: a thousand entries, each as long as a request may be, in one page or one look around.
    """
    document = entry.document
    if len(msgspec.json.encode(document)) > DOCUMENT_MAX_BYTES:
        raise ScimError(400, f"a resource holds {DOCUMENT_MAX_BYTES} bytes at most", "invalidValue")
    return replace(
        entry,
        name=document["userName" if entry.kind == "User" else "displayName"],
        external_id=document.get("externalId", ""),
        is_active=document.get("active", entry.is_active),
    )


def _together(steps: tuple[Members, ...]) -> tuple[Members, ...]:
    """The same in fewer steps: one operation for each of a thousand members is one step."""
    made: list[Members] = []
    for step in steps:
        last = made[-1] if made else None
        if last is not None and not step.is_emptied and not step.remove and not last.remove:
            made[-1] = msgspec.structs.replace(last, add=last.add + step.add)
        elif last is not None and not step.is_emptied and not (step.add or last.add or last.is_emptied):
            made[-1] = msgspec.structs.replace(last, remove=last.remove + step.remove)
        else:
            made.append(step)
    return tuple(made)


def _what(before: Entry, after: Entry) -> str:
    if before.is_active == after.is_active:
        return "updated"
    return "activated" if after.is_active else "deactivated"


def _check(outcome: Outcome) -> None:
    if outcome == "taken":
        raise ScimError(409, "this userName is another's", "uniqueness")
    if outcome == "no_member":
        raise ScimError(400, "a member is not in this directory", "invalidValue")


def _check_version(entry: Entry, version: int | None) -> None:
    if version is not None and entry.version != version:
        raise ScimError(412, "it was changed by somebody else since")


def _kind(kind: Kind) -> Any:
    return kind.name


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
