"""How long things live where the configuration doesn't say: the one place of these numbers."""

from __future__ import annotations

import math
from typing import Final

import msgspec


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """How long a session may live, by one of those who have a say in it: the installation, a host, a provider.

    Infinite: no bound of theirs. Of a session whose person asked to be kept signed in, the `kept_` ones hold instead.
    """

    idle_s: float = math.inf
    """It ends when it was not seen for this long."""
    absolute_s: float = math.inf
    """It ends then, seen or not."""
    kept_idle_s: float = math.inf
    kept_absolute_s: float = math.inf
    keeps: bool = False
    """People are asked whether they want to be kept signed in; who doesn't loses the session with their browser's."""

    @property
    def may_keep(self) -> bool:
        """True where somebody's wish to be kept signed in counts: they are asked, and there is an end to it."""
        return self.keeps and self.kept_absolute_s < math.inf

    def life(self, *, is_kept: bool) -> tuple[float, float]:
        """The absolute and the idle bound."""
        return (self.kept_absolute_s, self.kept_idle_s) if is_kept else (self.absolute_s, self.idle_s)


UNBOUNDED: Final = Span()


def shortest(*spans: Span) -> Span:
    """What holds where all of these have a say."""
    return Span(
        idle_s=min(span.idle_s for span in spans),
        absolute_s=min(span.absolute_s for span in spans),
        kept_idle_s=min(span.kept_idle_s for span in spans),
        kept_absolute_s=min(span.kept_absolute_s for span in spans),
        keeps=any(span.keeps for span in spans),
    )


def bound(*, idle_s: float | None, absolute_s: float | None, remember_s: float | None) -> Span:
    """What a host or a provider has said of its sessions; None: nothing.

    `remember_s` stands for both bounds of a session that is kept. Threat: a host that wants short sessions and says
    nothing of kept ones: what it said holds for those, too.
    """
    idle = math.inf if idle_s is None else idle_s
    absolute = math.inf if absolute_s is None else absolute_s
    return Span(
        idle_s=idle,
        absolute_s=absolute,
        kept_idle_s=idle if remember_s is None else remember_s,
        kept_absolute_s=absolute if remember_s is None else remember_s,
        keeps=remember_s is not None,
    )


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
    remember_s: float = 0.0
    """Of a session whose person asked to be kept signed in; 0: nobody is asked."""
    sessions_max: int = 0
    """How many sessions a person may have; 0: any number."""

    @property
    def span(self) -> Span:
        """Of sessions, where no host and no provider says more."""
        kept_s = self.remember_s or math.inf
        return Span(
            idle_s=self.idle_s,
            absolute_s=self.absolute_s,
            kept_idle_s=kept_s,
            kept_absolute_s=kept_s,
            keeps=bool(self.remember_s),
        )


USUAL: Final = Lifetimes()
