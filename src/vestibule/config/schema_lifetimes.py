"""What a `lifetimes` block inside `host` and `provider` may hold."""

from __future__ import annotations

from vestibule.config.shape import Node
from vestibule.config.value import Seconds


class SessionLifetimes(Node, kw_only=True):
    """How long sessions live here, where that is shorter than elsewhere: of those that apply, the shortest holds.

    A host's hold for the sessions of that host, a provider's for those that begin with a sign-in by it.
    """

    session_idle: Seconds | None = None
    """A session that is not used."""
    session_absolute: Seconds | None = None
    """A session, used or not."""
    remember_me: Seconds | None = None
    """A session whose person asked to be kept signed in, used or not; it is offered here, too, then. Without it
    `session_idle` and `session_absolute` of this block hold for those sessions as well."""
