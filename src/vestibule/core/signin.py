"""What a finished flow means: the only dispatcher of sign-ins.

==========================  ===================  =====================  =================
what the flow yielded       nobody here          credentials only here  a person here
==========================  ===================  =====================  =================
credentials only            Enter, no person     AddCredentials         AddCredentials
the same account            Enter                Adopt                  Renew
that issuer's other one     Enter                Adopt                  Replace
another issuer's account    Enter                Adopt                  AddCredentials
the same, and wanted        Enter                Adopt                  Widen
==========================  ===================  =====================  =================

An identity counts only from a client the host signs people in with; from any other it is credentials, and
then a second account of the person's issuer is refused. It is wanted where it was asked for because whoever is here is
nobody on the host they want to go to (`service.handoff`). Every step but Refuse ends in a new handle.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from vestibule.core.person import is_another_account, is_same_person
from vestibule.model import Identity, Session


class Enter(msgspec.Struct, frozen=True):
    """Make a session; `identity` None: without a person."""

    identity: Identity | None


class Adopt(msgspec.Struct, frozen=True):
    """The session had credentials and no person: it becomes this person's, and its old handle dies."""

    identity: Identity


class Renew(msgspec.Struct, frozen=True):
    """The same person again: the identity this client gave before is replaced, none is added."""

    identity: Identity


class Replace(msgspec.Struct, frozen=True):
    """Another person: end the session that is there, make a new one."""

    identity: Identity


class Widen(msgspec.Struct, frozen=True):
    """A further identity of the person who is here, if the account is theirs; else as Replace."""

    identity: Identity


class AddCredentials(msgspec.Struct, frozen=True):
    """Keep the tokens in the session; who is signed in stays as it is."""


class Refuse(msgspec.Struct, frozen=True):
    """Nothing changes; the page says why."""

    code: str
    reason: str


Step: TypeAlias = Enter | Adopt | Renew | Replace | Widen | AddCredentials | Refuse


def next_step(
    session: Session | None, identity: Identity | None, *, signs_in: bool, is_wanted: bool = False
) -> Step:
    """What to do with what a flow yielded; `signs_in` is true for the clients in the host's `sign_in`.

    `is_wanted`: whoever is here is nobody where this sign-in leads to.

    Does NOT check whether the access rules admit the person (every request does), nor whether the account was
    switched off here (`service.people` does).
    """
    # 1. Only a client of the host's own says who somebody is; the others' tokens are added, but never those
    # of    a second account at the issuer the person came from: one session never mixes two people.
    if identity is None or not signs_in:
        if session is None:
            return Enter(None)
        if identity is not None and is_another_account(session, identity):
            return Refuse(
                "other_person", "That account belongs to someone other than the person signed in here."
            )
        return AddCredentials()
    # 2. Nobody is here yet.
    if session is None:
        return Enter(identity)
    # 3. A session of credentials only gets its person.
    if not session.user_id:
        return Adopt(identity)
    # 4. The same account once more; by a client that hasn't vouched for it here yet, it counts where it is wanted.
    if any(is_same_person(known, identity) for known in session.identities):
        is_new = is_wanted and all(known.client != identity.client for known in session.identities)
        return Widen(identity) if is_new else Renew(identity)
    # 5. Another account at the same issuer is somebody else.
    if is_another_account(session, identity):
        return Replace(identity)
    # 6. An account at another issuer: the person's further credentials, and no identity unless one is wanted.
    return Widen(identity) if is_wanted else AddCredentials()


def adopted(session: Session, identity: Identity, user_id: str, *, now: float, check_at: float) -> Session:
    """The session as this person's, who came at `now` and is to be checked from `check_at` on (0: never)."""
    return msgspec.structs.replace(
        session, user_id=user_id, identities=(identity,), signed_in_at=now, check_at=check_at
    )


def renewed(session: Session, identity: Identity, *, now: float, check_at: float) -> Session:
    """The session with what that client says of the person now, where it said something before."""
    identities = tuple(
        _no_older(identity, known) if known.client == identity.client else known
        for known in session.identities
    )
    return msgspec.structs.replace(session, identities=identities, signed_in_at=now, check_at=check_at)


def _no_older(identity: Identity, known: Identity) -> Identity:
    """What is said of the same account now; that they signed in since, some other way, still holds."""
    signed_in_at = max(identity.signed_in_at, known.signed_in_at)
    if not is_same_person(identity, known) or signed_in_at == identity.signed_in_at:
        return identity
    return msgspec.structs.replace(identity, signed_in_at=signed_in_at)


def widened(session: Session, identity: Identity, *, now: float, check_at: float) -> Session:
    """The session with a further identity of its person."""
    others = tuple(known for known in session.identities if known.client != identity.client)
    checks = [at for at in (session.check_at, check_at) if at]
    return msgspec.structs.replace(
        session, identities=(*others, identity), signed_in_at=now, check_at=min(checks, default=0.0)
    )


def without_account(session: Session, issuer: str, subject: str) -> Session:
    """The session without what this account vouches for; the person goes with the last identity.

    What was handed on is its parent's person's, whatever it has of its own.
    """
    identities = tuple(
        known for known in session.identities if (known.issuer, known.subject) != (issuer, subject)
    )
    is_somebodys = identities or session.parent_id
    return msgspec.structs.replace(
        session, identities=identities, user_id=session.user_id if is_somebodys else ""
    )


def without_own(child: Session, client: str) -> Session:
    """What was handed on without what it has of its own by that client; it stays its parent's."""
    clients = tuple(name for name in child.clients if name != client)
    identities = tuple(known for known in child.identities if known.client != client)
    return msgspec.structs.replace(child, clients=clients, identities=identities)


def signed_out_of(session: Session, client: str) -> Session | None:
    """The session without that client's credentials and identity; None when those were the last credentials.

    The person goes with the last identity.
    """
    clients = tuple(name for name in session.clients if name != client)
    if not clients:
        return None
    identities = tuple(known for known in session.identities if known.client != client)
    user_id = session.user_id if identities else ""
    return msgspec.structs.replace(session, clients=clients, identities=identities, user_id=user_id)
