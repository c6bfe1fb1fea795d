"""How it is with each name whose certificate is ordered, for who operates the gateway."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from vestibule.core.seal import KeyRing
from vestibule.service.acme_seal import Issued, opened
from vestibule.store.base_acme import CertificateRow, OrderRow


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What was wrong the last time, as it is kept."""

    code: str
    """The authority's own word, or ours."""
    advice: str
    """What to do about it."""
    said: str
    """What the authority says."""
    directory: str
    proof: str
    setup: str = ""
    """Of the configuration by which it failed."""


class NameState(msgspec.Struct, frozen=True, kw_only=True):
    """One name."""

    name: str
    is_ordered: bool
    """An order is under way."""
    failures: int
    """In a row; 0: the last one went well."""
    failed_at: float | None
    failure: Failure | None
    next_at: float | None
    """When it is tried again; None: it waits for nothing."""
    not_after_at: float | None
    """Of its certificate; None: it has none."""
    renew_at: float | None
    directory: str
    """Where that came from; empty: it has none."""


def failure_in(row: OrderRow) -> Failure | None:
    """What was wrong the last time; None: nothing was."""
    if not row.error:
        return None
    try:
        return msgspec.json.decode(row.error, type=Failure)
    except msgspec.DecodeError:  # a version to come has written it
        return None


def states_of(
    names: Iterable[str], orders: Iterable[OrderRow], certificates: Iterable[CertificateRow], ring: KeyRing
) -> tuple[NameState, ...]:
    """One state a name, in the order of the names."""
    rows = {row.name: row for row in orders}
    kept = {row.name: row for row in certificates}
    return tuple(_state(name, rows.get(name), kept.get(name), ring) for name in names)


def _state(name: str, row: OrderRow | None, kept: CertificateRow | None, ring: KeyRing) -> NameState:
    issued = None if kept is None else opened(name, kept.sealed, Issued, ring)
    failed = None if row is None else failure_in(row)
    return NameState(
        name=name,
        is_ordered=row is not None and bool(row.sealed),
        failures=0 if row is None else row.failures,
        failed_at=row.failed_at if row is not None and failed is not None else None,
        failure=failed,
        next_at=None if row is None else row.next_at,
        not_after_at=None if kept is None else kept.not_after_at,
        renew_at=None if kept is None else kept.renew_at,
        directory="" if issued is None else issued.directory,
    )
