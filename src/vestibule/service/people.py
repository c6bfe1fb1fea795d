"""People as this installation knows them: found by what a provider vouches for, registered when that is allowed.

What changes a user reaches their sessions at once: whoever is blocked or deleted is out when the call returns.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple, Protocol

from msgspec.structs import replace

from vestibule.core import registration as rules
from vestibule.core import signin as steps
from vestibule.core.lifetimes import USUAL
from vestibule.core.organisation import may_be_one, org_of
from vestibule.core.person import account_of, newcomer, told_anew
from vestibule.core.registration import Filled, Rules
from vestibule.core.session import ID_BYTES
from vestibule.core.vouched import Known, Standing, known
from vestibule.errors import ClientError, Conflict, Invalid, NotFound, UserDisabled
from vestibule.model import Account, Identity, Invitation, Session, User, Vouched
from vestibule.protocol import base64url
from vestibule.protocol.oidc import parse_email
from vestibule.service.affiliated import Arrived
from vestibule.service.events import because
from vestibule.service.leaving import Telling, heard
from vestibule.service.sessions import USER, Sessions
from vestibule.store import base

KNOWN: Final = "known"
"""Kind of change: who the user of this id is known as, or which app tokens are theirs."""
_PROFILE_MAX: Final = 50
_TEXT_MAX_CHARS: Final = 500


class BeforeEnd(Protocol):
    """Told of a session that is about to end with its user."""

    async def __call__(self, session: Session, now: float, *, for_good: bool) -> Telling:
        """Do what is still to be done with it; what of that goes on. `for_good`: its user is being deleted."""


class Changed(NamedTuple):
    """A user as they were in the moment of a change, and as they are."""

    before: User
    after: User


class People:
    """Finds, registers, changes and removes users; their accounts; invitations.

    Every method may raise StoreError.
    """

    def __init__(
        self,
        store: base.People,
        invitations: base.Invitations,
        sessions: Sessions,
        changes: base.Changes,
        *,
        rules: Rules = Rules(),  # noqa: B008 - an immutable value
        invitation_s: float = USUAL.invitation_s,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._invitations = invitations
        self._sessions = sessions
        self._changes = changes
        self._random = random
        self._invitation_s = invitation_s
        self._turn = asyncio.Lock()
        """A user is read, changed and saved whole: who is blocked meanwhile must stay so."""
        self._before_end: BeforeEnd | None = None
        self._standing = Standing()
        self._arrivals: tuple[Arrived, ...] = ()
        self.rules = rules

    def use(self, rules: Rules) -> None:
        """Take what a new configuration says."""
        self.rules = rules

    def judge_by(self, standing: Standing) -> None:
        """Take by what old words of providers are judged (`known`), whenever that changes."""
        self._standing = standing

    def before_end(self, listener: BeforeEnd) -> None:
        """Have each session given to `listener` that is about to end with its user: its tokens may be revoked.

        Whoever ends them waits a moment for it (`service.leaving`).
        """
        self._before_end = listener

    def tell_arrivals(self, *listeners: Arrived) -> None:
        """Have these told of everybody who comes by an organisation's provider, before they are let in."""
        self._arrivals = listeners

    # Coming in

    async def admit(
        self,
        identity: Identity,
        now: float,
        *,
        kind: str = "",
        form: Filled | None = None,
        clients: Mapping[str, tuple[str, ...]] = {},
    ) -> User | None:
        """The user this identity belongs to, registered if new and allowed, as told just now; None: the form first.

        A person is (issuer, subject): an address that another user has too joins nobody, unless the operator says
        so, and then only accounts of `clients`, the host's own, within the domains where each is believed (empty: all).
        `kind`: of the client. `form`: as it was sent.
        Raises ClientError 403 `domain_not_allowed`, `registration_closed`, `not_invited`; UserDisabled.
        """
        while True:
            user = await self._store.user_of(identity.issuer, identity.subject)
            invitation = None
            owners: tuple[User, ...] = ()
            if user is None:
                invitation = await self._invitations.open_for(
                    identity.email, identity.issuer, identity.subject, now
                )
                owners = await self._owners(identity, clients)
            step = rules.admission(
                identity,
                self.rules,
                is_known=user is not None,
                owners=tuple(owner.id for owner in owners),
                invitation_id=invitation.id if invitation else "",
                is_filled=form is not None,
            )
            match step:
                case rules.Refuse(code, reason):
                    raise ClientError(reason, code=code, status=403)
                case rules.Ask():
                    return None
                case rules.Known():
                    assert user is not None
                    return await self._come(await self._seen(user, identity, kind, now), identity, now)
                case rules.Join():
                    await self._join(owners[0], identity, kind, now)
                case rules.Make(invitation_id):
                    made = await self._register(identity, kind, now, form, invitation_id)
                    if made is not None:  # None: the invitation was used up meanwhile, so all is asked again
                        return await self._come(await self._seen(made, identity, kind, now), identity, now)

    async def _come(self, user: User, identity: Identity, now: float) -> User:
        """The user, a member of the organisation by whose provider they have come."""
        org_id = org_of(identity.issuer)
        if org_id:
            for listener in self._arrivals:
                await listener(org_id, user, identity, now)
        return user

    async def owner_of(self, identity: Identity) -> User | None:
        """The user this account belongs to, or None."""
        return await self._store.user_of(identity.issuer, identity.subject)

    async def link(self, user_id: str, identity: Identity, now: float, *, kind: str = "") -> bool:
        """Make it an account of this user too; False when it belongs to somebody else, and stays theirs.

        False, too, where one person can't have both (`core.organisation.may_be_one`).
        """
        accounts = await self._store.accounts_of(user_id)
        if not may_be_one((identity.issuer, *(one.issuer for one in accounts))):
            return False
        if await self._store.link(account_of(identity, user_id, kind, now)):
            await self.vouch(user_id, identity, now)
            return True
        owner = await self.owner_of(identity)
        return owner is not None and owner.id == user_id

    async def _owners(self, identity: Identity, clients: Mapping[str, tuple[str, ...]]) -> tuple[User, ...]:
        """The users with an account of this verified address; none unless these clients are believed about them all.

        Threat: an account is taken over by an address (nOAuth) that another host's provider vouches for, or one that
        is no longer believed about it.
        """
        if not self.rules.link_verified_emails or not identity.email or org_of(identity.issuer):
            return ()
        owners = await self._store.owners_of(identity.email)
        for owner in owners:
            for account in await self._store.accounts_of(owner.id):
                if org_of(account.issuer):
                    return ()
                if account.email.lower() == identity.email.lower() and not (
                    account.client in clients
                    and rules.is_allowed_domain(account.email, clients[account.client])
                ):
                    return ()
        return owners

    async def _join(self, user: User, identity: Identity, kind: str, now: float) -> None:
        if user.disabled:
            raise UserDisabled("This account has been switched off.", detail=f"user {user.id}")
        await self._store.link(account_of(identity, user.id, kind, now))

    async def _register(
        self, identity: Identity, kind: str, now: float, form: Filled | None, invitation_id: str
    ) -> User | None:
        user = newcomer(identity, self._new_id(), now)
        if form is not None:
            user = rules.registered(user, form)
        account = account_of(identity, user.id, kind, now)
        return await self._store.register(user, account, invitation_id=invitation_id)

    async def _seen(self, user: User, identity: Identity, kind: str, now: float) -> User:
        if user.disabled:
            raise UserDisabled("This account has been switched off.", detail=f"user {user.id}")
        told = told_anew(user, identity, now)
        await self._store.seen(told, account_of(identity, user.id, kind, now))
        await self.vouch(user.id, identity, now)
        return told

    # Who they are without a session

    async def vouch(self, user_id: str, identity: Identity, now: float) -> None:
        """Keep what a client says of an account of theirs now."""
        word = self._standing.words.get(identity.client, "")
        # Which session of the provider's it was said in is nothing that is so of the person.
        await self._store.vouch(Vouched(identity=replace(identity, sid=""), told_at=now, word=word))
        self._changes.publish(KNOWN, user_id)

    async def doubt(self, user_id: str, identity: Identity) -> None:
        """What a client said of an account of theirs before, it would not say again."""
        await self._store.doubt(identity)
        self._changes.publish(KNOWN, user_id)
        await self._changes.settle()

    async def vouched_of(self, user_id: str) -> tuple[Vouched, ...]:
        """What clients have last said of a user's accounts, whether or not it counts any more."""
        return await self._store.vouched_of(user_id)

    async def known(self, user: User, now: float) -> Known:
        """Who the user is by what was said of their accounts; hosts believe some clients of it (`Host.believed`)."""
        standing = replace(self._standing, domains=self.rules.allowed_domains)
        return known(await self._store.vouched_of(user.id), user, standing, now)

    async def known_now(self, user_id: str, now: float) -> tuple[Identity, ...]:
        """The identities of `known`; none for no such user."""
        user = await self._store.user(user_id)
        return () if user is None else (await self.known(user, now)).identities

    # Users

    async def user(self, user_id: str) -> User:
        """The user. Raises NotFound."""
        user = await self._store.user(user_id)
        if user is None:
            raise NotFound(f"There is no user {user_id}.")
        return user

    async def users(
        self, page: base.Page, *, email: str = "", text: str = "", disabled: bool | None = None
    ) -> tuple[User, ...]:
        """One page of the users, all filters applied (see `store.base.People.users`)."""
        return await self._store.users(page, email=email, text=text, disabled=disabled)

    async def update(
        self,
        user_id: str,
        *,
        name: str | None = None,
        login: str | None = None,
        profile: dict[str, str] | None = None,
    ) -> Changed:
        """The user with these fields replaced, None leaving one; sign-ins don't overwrite them from then on.

        An empty name or login is the provider's again, from the next sign-in. Raises NotFound, Invalid.
        """
        async with self._turn:
            before = await self.user(user_id)
            return Changed(before, await self._update(before, name, login, profile))

    async def _update(
        self, user: User, name: str | None, login: str | None, profile: dict[str, str] | None
    ) -> User:
        kept = dict(user.profile if profile is None else profile)
        for field, given in ((rules.NAME, name), (rules.LOGIN, login)):
            chosen = user.profile.get(field) if given is None else given.strip()
            kept.pop(field, None)
            if chosen:
                kept[field] = chosen
        _check_texts(kept)
        changed = replace(
            user,
            name=user.name if name is None else name.strip() or user.name,
            login=user.login if login is None else login.strip() or user.login,
            profile=kept,
        )
        return await self._save(changed)

    async def set_disabled(self, user_id: str, disabled: bool, now: float) -> Changed:  # noqa: FBT001 - says which it is in its name
        """Block or unblock: sessions of before are over either way, at once and everywhere. Raises NotFound."""
        known, begun = await self._give_up(user_id, now)
        async with self._turn:
            user = await self.user(user_id)
            changed = Changed(user, await self._save(replace(user, disabled=disabled, valid_from=now)))
        with because("user_disabled" if disabled else "user_enabled"):
            await self._sessions.end_of(user_id, known)
        await heard(begun)
        return changed

    async def cut_off(self, user_id: str, now: float) -> None:
        """End all that began before `now`, sessions and app tokens, at once and everywhere; nobody is blocked by it.

        Raises NotFound.
        """
        known, begun = await self._give_up(user_id, now)
        async with self._turn:
            was_there = await self._store.cut_off(user_id, valid_from=now)
        if not was_there:
            raise NotFound(f"There is no user {user_id}.")
        self._changes.publish(USER, user_id)
        await self._sessions.end_of(user_id, known)
        await heard(begun)

    async def delete(self, user_id: str, now: float) -> None:
        """Delete user, accounts, sessions and credentials; durable on return. Raises NotFound."""
        known, begun = await self._give_up(user_id, now, for_good=True)
        # The user first: a sign-in under way then finds nobody to make a session for.
        was_there = await self._store.delete(user_id)
        self._changes.publish(USER, user_id)
        with because("user_deleted"):
            await self._sessions.end_of(user_id, known)
        await heard(begun)
        if not was_there:
            raise NotFound(f"There is no user {user_id}.")

    async def sessions_of(self, user_id: str) -> tuple[Session, ...]:
        """The live sessions of a user, the newest first."""
        return await self._sessions.of_user(user_id)

    async def end_sessions(self, user_id: str, now: float) -> int:
        """Sign the user out everywhere; how many sessions ended."""
        known, begun = await self._give_up(user_id, now)
        # Also those this store of sessions doesn't have: another cluster's, one that a failed-over Redis brings back.
        async with self._turn:
            if await self._store.cut_off(user_id, sessions_from=now):
                self._changes.publish(USER, user_id)
        ended = await self._sessions.end_of(user_id, known)
        await heard(begun)
        return len(ended)

    async def end_session(self, session: Session, now: float) -> bool:
        """Sign the user out of this one; False when it was over."""
        begun = () if self._before_end is None else await self._before_end(session, now, for_good=False)
        was_there = await self._sessions.end(session.id)
        await heard(begun)
        return was_there

    async def _give_up(
        self, user_id: str, now: float, *, for_good: bool = False
    ) -> tuple[tuple[Session, ...], list[asyncio.Future[None]]]:
        """Have it known which sessions are about to end; they, and what goes on."""
        known = await self._sessions.of_user(user_id)
        begun: list[asyncio.Future[None]] = []
        if self._before_end is not None:
            for session in known:
                begun += await self._before_end(session, now, for_good=for_good)
        return known, begun

    async def _save(self, user: User) -> User:
        if not await self._store.save(user):
            raise NotFound(f"There is no user {user.id}.")
        self._changes.publish(USER, user.id)
        return user

    # Accounts

    async def accounts_of(self, user_id: str) -> tuple[Account, ...]:
        """A user's accounts, the oldest first; none for no such user."""
        return await self._store.accounts_of(user_id)

    async def account(self, issuer: str, subject: str) -> Account:
        """The account. Raises NotFound."""
        account = await self._store.account(issuer, subject)
        if account is None:
            raise NotFound("There is no such account.")
        return account

    async def accounts(
        self, page: base.Page, *, user_id: str = "", issuer: str = "", client: str = ""
    ) -> tuple[Account, ...]:
        """One page of all accounts (see `store.base.People.accounts`)."""
        return await self._store.accounts(page, user_id=user_id, issuer=issuer, client=client)

    async def unlink(self, user_id: str, issuer: str, subject: str) -> None:
        """Take an account from a user, and end what sessions it vouches for.

        Raises NotFound when it isn't theirs, Conflict `last_account` when it is their only one.
        """
        if not await self._store.unlink(user_id, issuer, subject):
            account = await self._store.account(issuer, subject)
            if account is None or account.user_id != user_id:
                raise NotFound("There is no such account.")
            raise Conflict("It is the only account this user can sign in with.", code="last_account")
        self._changes.publish(KNOWN, user_id)
        for session in await self._sessions.of_user(user_id):
            if any((known.issuer, known.subject) == (issuer, subject) for known in session.identities):
                without = partial(steps.without_account, issuer=issuer, subject=subject)
                left = await self._sessions.update(session.id, without)
                if left is not None and not left.user_id:
                    with because("account_unlinked"):
                        await self._sessions.end(session.id, session if not session.parent_id else None)
        await self._changes.settle()

    # Invitations

    async def invite(
        self,
        *,
        email: str = "",
        issuer: str = "",
        subject: str = "",
        note: str = "",
        created_by: str = "",
        life_s: float | None = None,
        now: float,
    ) -> Invitation:
        """A new invitation: for whoever has this verified address, or for the account (issuer, subject).

        Good once, for `life_s` (None: what the configuration says). Raises Invalid.
        """
        address = parse_email(email.strip()).lower()
        faults = []
        if bool(email) == bool(issuer or subject):
            faults.append(("email", "an invitation has either an email, or issuer and subject"))
        elif email and not address:
            faults.append(("email", "is no e-mail address"))
        elif not email and not (issuer and subject):
            faults.append(("issuer" if subject else "subject", "issuer and subject stand together"))
        if life_s is not None and life_s <= 0:
            faults.append(("expires_in", "must be longer than nothing"))
        if faults:
            raise Invalid(tuple(faults))
        invitation = Invitation(
            id=self._new_id(),
            email=address,
            issuer=issuer,
            subject=subject,
            note=note,
            created_at=now,
            created_by=created_by,
            expires_at=now + (self._invitation_s if life_s is None else life_s),
        )
        await self._invitations.create(invitation)
        return invitation

    async def invitation(self, invitation_id: str) -> Invitation:
        """The invitation, used and expired ones too. Raises NotFound."""
        invitation = await self._invitations.get(invitation_id)
        if invitation is None:
            raise NotFound(f"There is no invitation {invitation_id}.")
        return invitation

    async def invitations(
        self, page: base.Page, *, email: str = "", is_open: bool | None = None, now: float = 0.0
    ) -> tuple[Invitation, ...]:
        """One page (see `store.base.Invitations.list`)."""
        return await self._invitations.list(page, email=email, is_open=is_open, now=now)

    async def invitations_of(self, user_id: str) -> tuple[Invitation, ...]:
        """Those that this user has used: by them the account was made."""
        return await self._invitations.list(base.Page(), used_by=user_id)

    async def withdraw(self, invitation_id: str) -> None:
        """Revoke an invitation; who has used it already stays. Raises NotFound."""
        if not await self._invitations.delete(invitation_id):
            raise NotFound(f"There is no invitation {invitation_id}.")

    def _new_id(self) -> str:
        return base64url.encode(self._random(ID_BYTES))


def _check_texts(profile: dict[str, str]) -> None:
    faults = [
        (name, "is too long, or holds characters that can't be shown")
        for name, value in profile.items()
        if len(value) > _TEXT_MAX_CHARS or len(name) > _TEXT_MAX_CHARS or not value.isprintable()
    ]
    if len(profile) > _PROFILE_MAX:
        faults.append(("profile", f"holds more than {_PROFILE_MAX} fields"))
    if faults:
        raise Invalid(tuple(faults))
