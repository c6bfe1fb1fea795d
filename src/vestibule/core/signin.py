"""What a finished flow means: the only dispatcher of sign-ins.

==========================  ===================  =====================  =====================================
what the flow yielded       nobody here          credentials only here  a person here
==========================  ===================  =====================  =====================================
credentials only            Enter, no person     AddCredentials         AddCredentials
the same person             Enter                Adopt                  Renew
another person              Enter                Adopt                  Replace
an account unknown here     Enter, register      Adopt, register        AddCredentials, or Replace (see 6, 7)
==========================  ===================  =====================  =====================================

An identity counts only from a client the host signs people in with; from any other it is credentials.
Every step but Refuse ends in a new handle.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from vestibule.core.person import is_another_account
from vestibule.model import Identity, Session, User


class Enter(msgspec.Struct, frozen=True):
    """Make a session; `identity` None: without a person."""

    identity: Identity | None


class Adopt(msgspec.Struct, frozen=True):
    """The session had credentials and no person: it becomes this person's, its old handle dies."""

    identity: Identity


class Renew(msgspec.Struct, frozen=True):
    """The same person again: new handle; the identity this client gave before is replaced, none is added."""

    identity: Identity


class Replace(msgspec.Struct, frozen=True):
    """Another person: end the session that is there, make a new one."""

    identity: Identity


class AddCredentials(msgspec.Struct, frozen=True):
    """Keep the tokens in the session as it is."""


class Refuse(msgspec.Struct, frozen=True):
    """Nothing changes; the page says why."""

    code: str
    reason: str


Step: TypeAlias = Enter | Adopt | Renew | Replace | AddCredentials | Refuse


def next_step(
    session: Session | None, identity: Identity | None, owner: User | None, *, signs_in: bool
) -> Step:
    """What to do with what a flow yielded.

    `owner` is the person the identity belongs to already, None when nobody's; `signs_in` is true for the
    clients the host lists in `sign_in`. Does NOT check whether the access rules admit the person: every
    request does.
    """
    # 1. Only a client of the host's sign_in list says who somebody is; other clients' tokens are added, but
    #    never those of a different account at the issuer the person came from.
    if identity is None or not signs_in:
        if session is None:
            return Enter(None)
        if identity is not None and is_another_account(session, identity):
            return Refuse(
                "other_person", "That account belongs to someone other than the person signed in here."
            )
        return AddCredentials()
    # 2. Somebody shut out stays out, whatever session is there.
    if owner is not None and owner.disabled:
        return Refuse("user_disabled", "This account has been disabled.")
    # 3. Nobody is here yet.
    if session is None:
        return Enter(identity)
    # 4. A session of credentials only gets its person.
    if not session.user_id:
        return Adopt(identity)
    # 5. The same person once more.
    if owner is not None and owner.id == session.user_id:
        return Renew(identity)
    # 6. Somebody else: known here as another person, or a second account at the same issuer.
    if owner is not None or is_another_account(session, identity):
        return Replace(identity)
    # 7. An account nobody has here, at another issuer: credentials of the person who is here, never an
    # identity.
    if any(known.issuer == identity.issuer for known in session.identities):
        return Replace(identity)  # the account is the session's own, but its record is gone: start afresh
    return AddCredentials()


def with_client(session: Session, client: str) -> Session:
    """The session with live credentials at `client`, at the end when they are new."""
    if client in session.clients:
        return session
    return msgspec.structs.replace(session, clients=(*session.clients, client))


def adopted(session: Session, identity: Identity, user_id: str) -> Session:
    """The session as this person's."""
    return msgspec.structs.replace(session, user_id=user_id, identities=(identity,))


def renewed(session: Session, identity: Identity) -> Session:
    """The session with the identity of that client as told now; clients it holds no identity of add none."""
    identities = tuple(identity if known.client == identity.client else known for known in session.identities)
    return msgspec.structs.replace(session, identities=identities)


def without_client(session: Session, client: str) -> Session | None:
    """The session without that client's credentials and identity; None when those were the last credentials.

    The person goes with the last identity.
    """
    clients = tuple(name for name in session.clients if name != client)
    if not clients:
        return None
    identities = tuple(known for known in session.identities if known.client != client)
    user_id = session.user_id if identities else ""
    return msgspec.structs.replace(session, clients=clients, identities=identities, user_id=user_id)
