"""A store whose calls are timed and counted: how long each took, and how many were in vain."""

from __future__ import annotations

import functools
import inspect
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from vestibule.errors import StoreError
from vestibule.observe.meter import FINE, Meter
from vestibule.observe.metrics import STORE_FAILURES, STORE_SECONDS

T = TypeVar("T")
S = TypeVar("S")

PARTS = (
    "sessions",
    "grants",
    "marks",
    "leases",
    "parking",
    "signing_keys",
    "tries",
    "revocations",
    "presence",
)
"""What stores are made of; one has those that it needs."""


def timed(store: S, name: str, meter: Meter, *, mono: Callable[[], float] = time.perf_counter) -> S:
    """The store itself, with each call of its parts counted under this name: `records` or `sessions`."""
    for part in PARTS:
        if (inner := getattr(store, part, None)) is not None:
            setattr(store, part, _Timed(inner, f"{part}.", name, meter, mono))
    return store


class _Timed:
    """One part: what it has, its coroutines counted."""

    def __init__(
        self, inner: object, prefix: str, store: str, meter: Meter, mono: Callable[[], float]
    ) -> None:
        self._inner = inner
        self._about = prefix, store, meter, mono

    def __getattr__(self, name: str) -> Any:
        """Asked once for each name: from then on the method stands in the instance."""
        found = getattr(self._inner, name)
        if inspect.iscoroutinefunction(found) or name in _CALLS:
            prefix, store, meter, mono = self._about
            found = _counted(found, (store, prefix + name), meter, mono)
        setattr(self, name, found)
        return found


_CALLS = frozenset(("kept", "kept_of", "delete_all"))
"""Of a store's own, which may be a plain function that gives something to wait for."""


def _counted(
    call: Callable[..., Awaitable[T]], labels: tuple[str, str], meter: Meter, mono: Callable[[], float]
) -> Callable[..., Awaitable[T]]:
    values: list[float] = []

    @functools.wraps(call)
    async def counted(*arguments: Any, **options: Any) -> T:
        nonlocal values
        began = mono()
        try:
            return await call(*arguments, **options)
        except StoreError:
            meter.add(STORE_FAILURES, labels)
            raise
        finally:
            took_s = mono() - began
            values = values or meter.values(STORE_SECONDS, labels)
            values[bisect_left(FINE, took_s)] += 1.0
            values[-1] += took_s

    return counted
