"""What happened that somebody may have to know of: one value for log, audit rows and webhooks.

It holds no secret, and of people no more than ids, an address and the name of a browser.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

SESSION_CREATED: Final = "session.created"
"""Somebody signed in, or a service made a session for them."""
SESSION_ENDED: Final = "session.ended"
"""A session is over before its time: signed out, revoked."""
SESSION_NEW_DEVICE: Final = "session.new_device"
"""Somebody signed in by a device that they have not signed in by before."""
SESSION_NEW_PLACE: Final = "session.new_place"
"""Somebody signed in by a known device from a network where they have not been before."""
SESSION_REVOKED_ALL: Final = "session.revoked_all"
"""All sessions of a person are over."""
SIGN_IN_REFUSED: Final = "sign_in.refused"
"""Somebody whom a provider vouched for, or who gave a name and a password, was not let in."""
KEYS_ROTATED: Final = "keys.rotated"
"""The key ring has a new key that seals and signs."""
NAMES: Final = (
    SESSION_CREATED,
    SESSION_ENDED,
    SESSION_NEW_DEVICE,
    SESSION_NEW_PLACE,
    SESSION_REVOKED_ALL,
    SIGN_IN_REFUSED,
    KEYS_ROTATED,
)
OK: Final = "ok"
REFUSED: Final = "refused"


class Acting(msgspec.Struct, frozen=True, kw_only=True):
    """Who does what is being done, and by which request."""

    actor: str = ""
    """`user ID`, `token NAME`, `socket`, `provider NAME`; empty: the program itself."""
    address: str = ""
    request_id: str = ""
    reason: str = ""
    """Why, as a code (`user_disabled`), where the actor alone doesn't say."""


NOBODY: Final = Acting()


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One thing that happened."""

    id: str
    """Its own; the same in log, audit and every delivery of every webhook."""
    at: float
    action: str
    """Its name, of `NAMES`."""
    outcome: str = OK
    """`ok` or `refused`."""
    actor: str = ""
    """Who did it; see `Acting`."""
    target: str = ""
    """What it was done to, where that is neither a person nor a session."""
    user_id: str = ""
    """The person it is about."""
    session_id: str = ""
    host: str = ""
    address: str = ""
    """Where the request came from."""
    device: str = ""
    """`Firefox on Linux`."""
    request_id: str = ""
    """As in the log."""
    detail: dict[str, Any] = {}
    """Whatever else there is to it: JSON values by name."""
