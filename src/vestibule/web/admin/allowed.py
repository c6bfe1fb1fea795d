"""What whoever is signed in may do: what they may not, no page offers them."""

from __future__ import annotations

from collections.abc import Callable

from vestibule.core.scope import ScopeMissing, check
from vestibule.web.admin.asking import Ask


def may(ask: Ask) -> Callable[[str], bool]:
    """Whether they may do an operation of the API, by its `operationId`. The API itself asks again."""
    scopes = scopes_of(ask)

    def is_allowed(operation: str) -> bool:
        if scopes is None:
            return False
        try:
            check(scopes, operation)
        except ScopeMissing:
            return False
        return True

    return is_allowed


def scopes_of(ask: Ask) -> tuple[str, ...] | None:
    """Those of their token; empty: everything; None: nobody is signed in."""
    if ask.guest is None:
        return None
    token = ask.guest.actor.token
    return token.scopes if token is not None else ()
