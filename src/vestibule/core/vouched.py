"""Who somebody is who comes without a session: by what clients last said of their accounts.

A session asks its provider anew now and then; whoever shows a token has none to ask with. So what was said holds for as
long as a session may last, and then only what doesn't change without the person: that it is them, and their address.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from vestibule.core.claim import LISTS
from vestibule.core.lifetimes import USUAL
from vestibule.core.person import shown
from vestibule.core.registration import is_allowed_domain
from vestibule.model import Identity, User, Vouched


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force now, by which old words are judged."""

    words: Mapping[str, str] = {}
    """What `Vouched.word` must be, by the full name of the client."""
    restricted: frozenset[str] = frozenset()
    """Full names of the clients that let in only some of their provider's accounts."""
    domains: tuple[str, ...] = ()
    """`Rules.allowed_domains`."""
    holds_s: float = USUAL.absolute_s
    """How long what a client said of lists and claims holds."""


class Known(msgspec.Struct, frozen=True):
    """Who somebody is, and until when that can be said."""

    identities: tuple[Identity, ...]
    until: float


def known(vouched: Iterable[Vouched], user: User, standing: Standing, now: float) -> Known:
    """The user's identities as rules may look at them now.

    Threat: a provider that was replaced by another under its ID, or narrowed, and people as it knew them before; an
    organisation that somebody left months ago.
    """
    identities, until = [], math.inf
    for said in vouched:
        client, email = said.identity.client, said.identity.email
        # 1. The provider must be the one that said it, and addresses of that domain still be taken.
        if standing.words.get(client) != said.word or not is_allowed_domain(email, standing.domains):
            continue
        # 2. What was said a moment ago holds as it is.
        holds_until = said.told_at + standing.holds_s
        if now < holds_until:
            identities.append(shown(said.identity, user))
            until = min(until, holds_until)
        # 3. Later it isn't known whether somebody is still let in, nor what groups they have.
        elif client not in standing.restricted:
            identities.append(shown(_faded(said.identity), user))
    return Known(tuple(identities), until)


def _faded(identity: Identity) -> Identity:
    """The identity without what changes without the person: a deny on that denies, no allow on it holds."""
    nothing = dict.fromkeys(LISTS, ())
    unknown = tuple(dict.fromkeys((*identity.unknown, *LISTS)))
    return replace(identity, **nothing, unknown=unknown, claims={})
