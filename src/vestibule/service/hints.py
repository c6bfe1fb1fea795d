"""What a sign-in link may say of how to sign in, and what of it is passed on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vestibule.service.freshness import MAX_AGE

REMEMBER: Final = "remember"
"""The person wants to be kept signed in."""
HINTS: Final = frozenset(
    {"login_hint", "org", "prompt", "hd", "acr_values", "ui_locales", "me", REMEMBER, MAX_AGE}
)
"""What may be passed on; each provider takes only those it knows."""
_YES: Final = frozenset({"1", "yes", "true", "on"})
_MAX_CHARS: Final = 320


def passed_on(hints: Mapping[str, str] | None) -> dict[str, str]:
    """Those that may be."""
    return {
        name: value
        for name, value in (hints or {}).items()
        if name in HINTS and 0 < len(value) <= _MAX_CHARS and value.isprintable()
    }


def wants_to_be_kept(told: Mapping[str, str]) -> bool:
    """True where the person asked to be kept signed in, by a link or by a form."""
    return told.get(REMEMBER, "").lower() in _YES
