"""What becomes of a session: its handle, its life times, what a sign-in adds and a sign-out takes.

A session has a permanent id that never leaves and a handle in the cookie that is replaced at every sign-in;
a store sees the hash of a handle only. Randomness and time are arguments.

A session that was handed on is a child: it stands for its parent on another host. It keeps what came by that host's
own clients; everything else (who it is, by which clients of the top level, with which credentials) it has from the
parent as the parent is now, and without the parent it is nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from vestibule.core.lifetimes import UNBOUNDED, Span
from vestibule.model import Device, Identity, Session

HANDLE_BYTES: Final = 32
HANDLE_CHARS: Final = 43
ID_BYTES: Final = 16
OLD_HANDLE_S: Final = 30.0
"""How long the handle before the last renewal is honoured: requests under way still carry it."""
SEEN_EVERY_S: Final = 60.0

_HANDLE_ALPHABET: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def is_handle(text: str) -> bool:
    """True for what could be a handle: 43 characters of base64url.

    Whether a session has it, a store knows.
    """
    return len(text) == HANDLE_CHARS and _HANDLE_ALPHABET.issuperset(text)


def hash_of(handle: str) -> bytes:
    """What a store is told of a handle: its SHA-256. The handle has 256 random bits, so no salt is owed."""
    return hashlib.sha256(handle.encode()).digest()


def begun(
    *,
    session_id: str,
    host: str,
    user_id: str,
    identities: Iterable[Identity],
    clients: Iterable[str],
    device: Device,
    span: Span,
    now: float,
    check_at: float = 0.0,
    is_remembered: bool = False,
    made_by: str = "",
) -> Session:
    """The session as it begins, within `span` and the providers' own sessions.

    `is_remembered`: they asked to be kept signed in, which counts where people are asked. `made_by`: the service that
    made it.
    """
    is_remembered = is_remembered and span.may_keep
    absolute_s, idle_s = span.life(is_kept=is_remembered)
    came = tuple(identities)
    return Session(
        id=session_id,
        host=host,
        created_at=now,
        seen_at=now,
        expires_at=min(now + absolute_s, _end_there(came)),
        idle_s=idle_s,
        user_id=user_id,
        identities=came,
        clients=tuple(clients),
        device=device,
        signed_in_at=now if user_id else 0.0,
        check_at=check_at,
        is_remembered=is_remembered,
        made_by=made_by,
    )


def lived(session: Session, span: Span, now: float, *, is_remembered: bool = False) -> Session:
    """A session that is there already after a sign-in under these bounds: never longer, unless they asked to be kept.

    `is_remembered`: they asked just now; that they once did holds until the session ends. No session lives longer than
    the provider's that it came by.
    """
    end = _end_there(session.identities)
    if is_remembered and span.may_keep:
        absolute_s, idle_s = span.life(is_kept=True)
        return replace(session, is_remembered=True, expires_at=min(now + absolute_s, end), idle_s=idle_s)
    absolute_s, idle_s = span.life(is_kept=session.is_remembered)
    return replace(
        session, expires_at=min(session.expires_at, now + absolute_s, end), idle_s=min(session.idle_s, idle_s)
    )


def _end_there(identities: Iterable[Identity]) -> float:
    """When the first of the providers' own sessions is over; infinite where none said."""
    return min((one.until for one in identities if one.until), default=math.inf)


def handed_on(
    parent: Session, *, session_id: str, host: str, device: Device, now: float, span: Span = UNBOUNDED
) -> Session:
    """The child of *parent* for another host, as it begins: it has nothing of its own but that host's bounds."""
    absolute_s, idle_s = span.life(is_kept=parent.is_remembered)
    return Session(
        id=session_id,
        host=host,
        created_at=now,
        seen_at=now,
        expires_at=min(parent.expires_at, now + absolute_s),
        idle_s=min(parent.idle_s, idle_s),
        user_id=parent.user_id,
        device=device,
        parent_id=parent.id,
        is_remembered=parent.is_remembered,
    )


def joined_to(session: Session, parent: Session, span: Span, now: float) -> Session:
    """A host's own session as a child of *parent*, with what came by the host's own clients.

    One that was its child before begins its time anew, as if it had ended and been handed on: `span` bounds it.
    """
    absolute_s, idle_s = span.life(is_kept=parent.is_remembered)
    own = tuple(known for known in session.identities if not is_top(known.client))
    expires_at = min(now + absolute_s, parent.expires_at, _end_there(own))
    return replace(
        session,
        user_id=parent.user_id,
        parent_id=parent.id,
        expires_at=expires_at if session.parent_id else min(session.expires_at, expires_at),
        idle_s=min(parent.idle_s, idle_s),
        is_remembered=parent.is_remembered,
        identities=own,
        clients=tuple(name for name in session.clients if not is_top(name)),
    )


def inherited(child: Session, parent: Session) -> Session | None:
    """The child with what it has from its parent; None when it isn't this person's any more.

    Threat: session fixation. A child from before the parent got its person, which somebody else may have planted,
    is never that person's.
    """
    if child.user_id != parent.user_id:
        return None
    own = [known for known in child.identities if not is_top(known.client)]
    checks = [at for at in (child.check_at, parent.check_at) if at]
    return replace(
        child,
        identities=(*parent.identities, *own),
        clients=(*parent.clients, *(name for name in child.clients if not is_top(name))),
        expires_at=min(child.expires_at, parent.expires_at),
        signed_in_at=max(child.signed_in_at, parent.signed_in_at),
        check_at=min(checks, default=0.0),
        is_remembered=parent.is_remembered,
    )


def next_version(after: Session, before: Session) -> Session:
    """The session as it is stored in the place of *before*."""
    return replace(after, version=before.version + 1)


def takes_away(before: Session, after: Session) -> bool:
    """Whether it is less than it was: another person's or nobody's, without an account, for a shorter time."""
    left = {(one.issuer, one.subject) for one in after.identities}
    return (
        (bool(before.user_id) and after.user_id != before.user_id)
        or any((one.issuer, one.subject) not in left for one in before.identities)
        or after.expires_at < before.expires_at
        or after.idle_s < before.idle_s
    )


def is_top(client: str) -> bool:
    """True for the full name of a client at top level; that of a host's own begins with the host."""
    return "/" not in client


def owner_of(session: Session, client: str) -> str:
    """The id of the session that holds the credentials of this client: a child's are its parent's."""
    return session.parent_id if session.parent_id and is_top(client) else session.id


def with_client(session: Session, client: str) -> Session:
    """The session with live credentials at `client`; a client it had already keeps its place."""
    return session if client in session.clients else replace(session, clients=(*session.clients, client))


def without_client(session: Session, client: str) -> Session:
    """The session without credentials at `client`; who the person is stays."""
    return replace(session, clients=tuple(name for name in session.clients if name != client))


def seen(session: Session, now: float) -> Session:
    """The session as seen at `now`, never earlier than it was."""
    return replace(session, seen_at=max(now, session.seen_at))


def is_touch_due(session: Session, now: float) -> bool:
    """True when last-seen is old enough to be written again: a minute, or a tenth of a short idle time."""
    unseen_s = now - session.seen_at
    return unseen_s >= SEEN_EVERY_S or unseen_s * 10.0 >= session.idle_s


def old_handle_until(before: Session, after: Session, now: float) -> float:
    """Until when the handle of `before` is honoured beside the new one.

    Threat: session fixation. A handle from before a sign-in, which somebody else may have planted, is never
    honoured after it.
    """
    return now + OLD_HANDLE_S if before.user_id == after.user_id else 0.0
