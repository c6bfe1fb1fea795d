"""How long things live where the configuration doesn't say: the one place of these numbers."""

from __future__ import annotations

from typing import Final

import msgspec


class Lifetimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long things live (INTERFACES.md section 2); what each is, `lifetimes` of the configuration says."""

    flow_s: float = 600.0
    idle_s: float = 24 * 3600.0
    absolute_s: float = 7 * 24 * 3600.0
    handle_s: float = 3600.0
    restriction_s: float = 3600.0
    invitation_s: float = 7 * 24 * 3600.0
    grace_s: float = 30.0
    app_token_s: float = 365 * 24 * 3600.0
    remember_s: float = 30 * 24 * 3600.0
    """The absolute end of a session whose person asked to be kept signed in."""


USUAL: Final = Lifetimes()
