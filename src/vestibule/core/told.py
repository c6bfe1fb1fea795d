"""What applications tell of themselves, for the same trail: which form it must have."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from vestibule.protocol import base64url

EVENTS_MAX: Final = 200
"""In one request."""
DETAIL_MAX_BYTES: Final = 4096
DEPTH_MAX: Final = 5
PAST_S: Final = 86_400.0
"""How long ago it may have happened: an application may have kept it while the gateway was away."""
FUTURE_S: Final = 60.0
"""How far a clock may be in front of ours."""
_ID_BYTES: Final = 16


def id_of(service: str, their_id: str) -> str:
    """The event's id in the trail: the same whenever this service tells it again, and never another's.

    Threat: a service that takes an id before somebody else's event comes, which would then be lost.
    """
    digest = hashlib.sha256(f"{len(service)}:{service}{their_id}".encode()).digest()
    return f"app_{base64url.encode(digest[:_ID_BYTES])}"


def fault_of_detail(detail: dict[str, Any]) -> str:
    """What is wrong with it; empty: nothing is."""
    try:
        written = msgspec.json.encode(detail)
        is_same = msgspec.json.decode(written) == detail
    except (ValueError, OverflowError, TypeError, RecursionError):
        is_same = False
    if not is_same:
        return "holds what can't be kept: half a character, or too much in one another"
    size = len(written)
    if size > DETAIL_MAX_BYTES:
        return f"has at most {DETAIL_MAX_BYTES} bytes as JSON"
    if depth_of(detail) > DEPTH_MAX:
        return f"goes at most {DEPTH_MAX} deep"
    return ""


def depth_of(value: Any) -> int:
    """How many objects and lists stand in one another."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return depth


def fault_of_time(at: float, now: float) -> str:
    """What is wrong with when it happened; empty: nothing is."""
    if at > now + FUTURE_S:
        return f"is in the future: at most {FUTURE_S:g} s are passed over"
    return f"is more than {PAST_S / 3600:g} hours ago" if at < now - PAST_S else ""
