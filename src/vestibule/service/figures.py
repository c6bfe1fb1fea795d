"""The figures of traffic, as the admin API tells them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from vestibule.admin_model import Counts, Series
from vestibule.observe.rates import STEP_S, Count, Rates
from vestibule.observe.traffic import Kind

_MS: Final = 1000.0


def counts_of(rates: Rates, kind: Kind, name: str, now: float) -> Counts:
    """How many requests came to this name."""
    found = rates.count(kind, name, now)
    return told(found)


def told(found: Count) -> Counts:
    """The same, with its units in the names."""
    return Counts(
        requests=found.requests,
        errors=found.errors,
        denials=found.denials,
        requests_per_s=round(found.per_s, 2),
        last_at=datetime.fromtimestamp(found.last_at, UTC) if found.last_at else None,
        p95_ms=round(found.p95_s * _MS, 3),
    )


def series_of(rates: Rates, now: float) -> Series:
    """All requests of the last minutes, step by step."""
    began_at, steps = rates.steps(now)
    return Series(
        every_s=STEP_S,
        began_at=datetime.fromtimestamp(began_at, UTC),
        requests=tuple(step.requests for step in steps),
        errors=tuple(step.errors for step in steps),
        denials=tuple(step.denials for step in steps),
        sign_ins=tuple(step.sign_ins for step in steps),
        p50_ms=tuple(round(step.p50_s * _MS, 3) for step in steps),
        p95_ms=tuple(round(step.p95_s * _MS, 3) for step in steps),
        p99_ms=tuple(round(step.p99_s * _MS, 3) for step in steps),
    )
