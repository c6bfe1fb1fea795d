"""Which keys a ring has after a rotation, and from when on nobody needs an old one any more."""

from __future__ import annotations

import math
from typing import Final

from vestibule.core.assertion import KEPT_S, PUBLISHED_S, SIGNS_S
from vestibule.core.seal import Key

DELAY_S: Final = 60.0
"""How long all processes have to learn of a new key before it seals."""
SPARE_S: Final = 86_400.0
"""How much longer than it has to an old key is kept: jobs that seal anew what lasts have run by then."""
SEALED_S: Final = SIGNS_S + PUBLISHED_S + KEPT_S
"""How long a key that assertions are signed with may stand sealed."""


def rotated(keys: tuple[Key, ...], new: Key) -> tuple[Key, ...]:
    """The keys with a new one, which seals from its time on. Raises ValueError when another is yet to begin later."""
    late = next((key.id for key in keys if key.active_at >= new.active_at > 0), None)
    if late is not None:
        raise ValueError(f"key {late} begins to seal at that time or later: it has to be in use first")
    return (new, *keys)


def retired(keys: tuple[Key, ...], key_id: str) -> tuple[Key, ...]:
    """The keys without this one. Raises KeyError when there is none of this id."""
    if all(key.id != key_id for key in keys):
        raise KeyError(key_id)
    return tuple(key for key in keys if key.id != key_id)


def replaced_at(keys: tuple[Key, ...], key_id: str) -> float:
    """When this key stopped to seal, or will; infinite: never, or nobody knows. Raises KeyError when it is unknown."""
    begins = next((key.active_at for key in keys if key.id == key_id), None)
    if begins is None:
        raise KeyError(key_id)
    return min((key.active_at for key in keys if key.active_at > begins), default=math.inf)


def free_at(keys: tuple[Key, ...], key_id: str, longest_s: float) -> float:
    """From when on nothing needs this key, where what it sealed lasts for `longest_s`; infinite: nobody knows."""
    return replaced_at(keys, key_id) + max(longest_s, SEALED_S) + SPARE_S
