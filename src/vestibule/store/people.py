"""Users and their accounts at providers, by SQLAlchemy Core."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Row, Select, and_, case, delete, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from vestibule.errors import StoreError
from vestibule.model import Account, Identity, User, Vouched
from vestibule.store.base import Page
from vestibule.store.engine import Engine, changed, paged, store_error
from vestibule.store.tables import IDENTITIES, INVITATIONS, USERS, VOUCHED

USER_COLUMNS: Final = (
    USERS.c.id,
    USERS.c.created_at,
    USERS.c.name,
    USERS.c.login,
    USERS.c.email,
    USERS.c.valid_from,
    USERS.c.sessions_from,
    USERS.c.disabled,
    USERS.c.seen_at,
    USERS.c.profile,
)
_USER: Final[Select[Any]] = select(*USER_COLUMNS)
_ACCOUNT: Final[Select[Any]] = select(
    IDENTITIES.c.issuer,
    IDENTITIES.c.subject,
    IDENTITIES.c.user_id,
    IDENTITIES.c.client,
    IDENTITIES.c.kind,
    IDENTITIES.c.login,
    IDENTITIES.c.name,
    IDENTITIES.c.email,
    IDENTITIES.c.created_at,
    IDENTITIES.c.seen_at,
)
_decode: Final = msgspec.json.Decoder(dict[str, str]).decode
_decode_identity: Final = msgspec.json.Decoder(Identity).decode


class People:
    """`store.base.People`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def user_of(self, issuer: str, subject: str) -> User | None:
        """Join account and user."""
        return await self._user(_USER.join(IDENTITIES).where(*_is(issuer, subject)))

    async def user(self, user_id: str) -> User | None:
        """Ask by the primary key."""
        return await self._user(_USER.where(USERS.c.id == user_id))

    async def register(self, user: User, account: Account, *, invitation_id: str = "") -> User | None:
        """Insert both, then use the invitation up; whose account it is when somebody was faster is asked after."""
        try:
            async with self._engine.transaction() as connection:
                await connection.execute(
                    insert(USERS).values(
                        id=user.id, created_at=user.created_at, seen_at=user.seen_at, **_kept(user)
                    )
                )
                await connection.execute(insert(IDENTITIES).values(**_columns(account)))
                if invitation_id and not await _used_up(connection, invitation_id, user):
                    await connection.rollback()
                    return None
        except IntegrityError as exc:
            known = await self.user_of(account.issuer, account.subject)
            if known is None:
                raise store_error(exc) from exc
            return known
        return user

    async def users(
        self, page: Page, *, email: str = "", text: str = "", disabled: bool | None = None
    ) -> tuple[User, ...]:
        """Read one page by the index of its order, filtered."""
        query = _USER
        if email:
            theirs = exists().where(
                IDENTITIES.c.user_id == USERS.c.id, IDENTITIES.c.email_lower == email.lower()
            )
            query = query.where(or_(USERS.c.email_lower == email.lower(), theirs))
        if text:
            columns = func.lower(USERS.c.name), func.lower(USERS.c.login), USERS.c.email_lower
            query = query.where(or_(*(column.contains(text.lower(), autoescape=True) for column in columns)))
        if disabled is not None:
            query = query.where(USERS.c.disabled.is_(disabled))
        query = paged(query, page, USERS.c.created_at, USERS.c.id, after=page.after)
        return tuple(map(_user, await self._engine.rows(query)))

    async def tally(self) -> int:
        """Count them all, patiently."""
        [(count,)] = await self._engine.rows_patiently(select(func.count()).select_from(USERS))
        return int(count)

    async def owners_of(self, email: str) -> tuple[User, ...]:
        """Ask by the index of addresses."""
        if not email:
            return ()
        owners = select(IDENTITIES.c.user_id).where(IDENTITIES.c.email_lower == email.lower())
        query = _USER.where(USERS.c.id.in_(owners)).order_by(USERS.c.created_at, USERS.c.id).limit(2)
        return tuple(map(_user, await self._engine.rows(query)))

    async def seen(self, user: User, account: Account) -> None:
        """Update both; the account only while it is this user's."""
        async with self._engine.transaction() as connection:
            await connection.execute(
                update(USERS)
                .where(USERS.c.id == user.id)
                .values(
                    name=user.name,
                    login=user.login,
                    email=user.email,
                    email_lower=user.email.lower(),
                    seen_at=user.seen_at,
                )
            )
            await connection.execute(
                update(IDENTITIES)
                .where(*_is(account.issuer, account.subject), IDENTITIES.c.user_id == user.id)
                .values(
                    # accounts of the first version have none
                    kind=case((IDENTITIES.c.kind == "", account.kind), else_=IDENTITIES.c.kind),
                    login=account.login,
                    name=account.name,
                    email=account.email,
                    email_lower=account.email.lower(),
                    seen_at=account.seen_at,
                )
            )

    async def save(self, user: User) -> bool:
        """Update by the primary key."""
        kept = {**_kept(user), **_since(user.valid_from, user.sessions_from)}
        statement = update(USERS).where(USERS.c.id == user.id).values(**kept)
        return await self._engine.change(statement) == 1

    async def cut_off(self, user_id: str, *, valid_from: float = 0.0, sessions_from: float = 0.0) -> bool:
        """Update both by the primary key, in one statement that reads them itself."""
        statement = update(USERS).where(USERS.c.id == user_id).values(**_since(valid_from, sessions_from))
        return await self._engine.change(statement) == 1

    async def accounts_of(self, user_id: str) -> tuple[Account, ...]:
        """Ask by the user's index."""
        query = _ACCOUNT.where(IDENTITIES.c.user_id == user_id).order_by(
            IDENTITIES.c.created_at, IDENTITIES.c.issuer, IDENTITIES.c.subject
        )
        return tuple(map(_account, await self._engine.rows(query)))

    async def account(self, issuer: str, subject: str) -> Account | None:
        """Ask by the primary key."""
        row = await self._engine.row(_ACCOUNT.where(*_is(issuer, subject)))
        return None if row is None else _account(row)

    async def accounts(
        self, page: Page, *, user_id: str = "", issuer: str = "", client: str = ""
    ) -> tuple[Account, ...]:
        """Read one page by the index of its order, filtered."""
        query = _ACCOUNT
        filters = (
            (IDENTITIES.c.user_id, user_id),
            (IDENTITIES.c.issuer, issuer),
            (IDENTITIES.c.client, client),
        )
        for column, wanted in filters:
            if wanted:
                query = query.where(column == wanted)
        after = None
        if page.after is not None:
            issuer, _, subject = page.after[1].partition("\0")
            after = page.after[0], issuer, subject
        keys = IDENTITIES.c.created_at, IDENTITIES.c.issuer, IDENTITIES.c.subject
        return tuple(map(_account, await self._engine.rows(paged(query, page, *keys, after=after))))

    async def link(self, account: Account) -> bool:
        """Insert it: the primary key says whether it was somebody's."""
        try:
            await self._engine.change(insert(IDENTITIES).values(**_columns(account)))
        except IntegrityError as exc:
            if await self.account(account.issuer, account.subject) is None:
                raise store_error(exc) from exc  # the user is gone
            return False
        return True

    async def unlink(self, user_id: str, issuer: str, subject: str) -> bool:
        """Hold the user's row, so that of two who take the last two accounts one waits and then counts."""
        async with self._engine.transaction() as connection:
            await connection.execute(held(user_id))
            count = select(func.count()).select_from(IDENTITIES).where(IDENTITIES.c.user_id == user_id)
            if (await connection.execute(count)).scalar_one() < 2:
                return False
            statement = delete(IDENTITIES).where(*_is(issuer, subject), IDENTITIES.c.user_id == user_id)
            return changed(await connection.execute(statement)) == 1

    async def delete(self, user_id: str) -> bool:
        """Delete accounts and user; who links one more at this moment waits, and then finds no user."""
        async with self._engine.transaction() as connection:
            await connection.execute(held(user_id))
            await connection.execute(delete(IDENTITIES).where(IDENTITIES.c.user_id == user_id))
            return changed(await connection.execute(delete(USERS).where(USERS.c.id == user_id))) == 1

    async def vouch(self, vouched: Vouched) -> bool:
        """Replace it; the account's row is held, so that nobody takes the account away meanwhile."""
        one = vouched.identity
        kept = {
            "identity": msgspec.json.encode(one).decode(),
            "told_at": vouched.told_at,
            "word": vouched.word,
        }
        key = {"issuer": one.issuer, "subject": one.subject, "client": one.client}
        async with self._engine.transaction() as connection:
            account = select(IDENTITIES.c.issuer).where(*_is(one.issuer, one.subject)).with_for_update()
            if (await connection.execute(account)).first() is None:
                return False
            known = update(VOUCHED).where(*_about(one.issuer, one.subject), VOUCHED.c.client == one.client)
            if changed(await connection.execute(known.values(kept))) == 0:
                await connection.execute(insert(VOUCHED).values(**key, **kept))
        return True

    async def doubt(self, identity: Identity) -> None:
        """Update by the primary key."""
        await self._engine.change(
            update(VOUCHED)
            .where(*_about(identity.issuer, identity.subject), VOUCHED.c.client == identity.client)
            .values(told_at=0.0)
        )

    async def vouched_of(self, user_id: str) -> tuple[Vouched, ...]:
        """Join with the user's accounts."""
        query = (
            select(VOUCHED)
            .join(IDENTITIES, and_(*_is(VOUCHED.c.issuer, VOUCHED.c.subject)))
            .where(IDENTITIES.c.user_id == user_id)
            .order_by(VOUCHED.c.issuer, VOUCHED.c.subject, VOUCHED.c.client)
        )
        return tuple(map(_vouched, await self._engine.rows(query)))

    async def _user(self, query: Select[Any]) -> User | None:
        row = await self._engine.row(query)
        return None if row is None else _user(row)


async def _used_up(connection: AsyncConnection, invitation_id: str, user: User) -> bool:
    """True when the invitation was good and is now this user's."""
    statement = (
        update(INVITATIONS)
        .where(
            INVITATIONS.c.id == invitation_id,
            INVITATIONS.c.used_at.is_(None),
            INVITATIONS.c.expires_at > user.created_at,
        )
        .values(used_at=user.created_at, used_by=user.id)
    )
    return changed(await connection.execute(statement)) == 1


def _is(issuer: Any, subject: Any) -> tuple[Any, Any]:
    return IDENTITIES.c.issuer == issuer, IDENTITIES.c.subject == subject


def _about(issuer: str, subject: str) -> tuple[Any, Any]:
    return VOUCHED.c.issuer == issuer, VOUCHED.c.subject == subject


def held(user_id: str) -> Select[Any]:
    """Locks the user's row to the end of the transaction; SQLite has locked the file."""
    return select(USERS.c.id).where(USERS.c.id == user_id).with_for_update()


def _since(valid_from: float, sessions_from: float) -> dict[str, Any]:
    """Both columns, which only ever go on: who read the row before somebody was cut off lets nobody back in."""
    wanted = ((USERS.c.valid_from, valid_from), (USERS.c.sessions_from, sessions_from))
    return {column.name: case((column < moment, moment), else_=column) for column, moment in wanted}


def _kept(user: User) -> dict[str, Any]:
    """The columns that `save` replaces."""
    return {
        "name": user.name,
        "login": user.login,
        "email": user.email,
        "email_lower": user.email.lower(),
        "profile": msgspec.json.encode(user.profile).decode(),
        "valid_from": user.valid_from,
        "sessions_from": user.sessions_from,
        "disabled": user.disabled,
    }


def _columns(account: Account) -> dict[str, Any]:
    return {**msgspec.structs.asdict(account), "email_lower": account.email.lower()}


def _user(row: Row[Any]) -> User:
    return user_of_row(row._asdict())


def user_of_row(values: dict[str, Any]) -> User:
    """The user of the values of `USER_COLUMNS` by name. Raises StoreError."""
    try:
        profile = _decode(values["profile"])
    except msgspec.DecodeError as exc:
        raise StoreError("The store is broken.", detail=f"profile of user {values['id']}: {exc}") from exc
    return User(**{**values, "profile": profile})


def _vouched(row: Row[Any]) -> Vouched:
    try:
        identity = _decode_identity(row.identity)
    except msgspec.DecodeError as exc:
        raise StoreError(
            "The store is broken.", detail=f"vouched of {row.issuer} {row.subject}: {exc}"
        ) from exc
    return Vouched(identity=identity, told_at=row.told_at, word=row.word)


def _account(row: Row[Any]) -> Account:
    return Account(**row._asdict())
