"""Work that goes on beside the bytes: kept while it runs, and its failure told to whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Tasks:
    """The tasks of one owner. The loop keeps only weak references, so somebody has to hold them."""

    __slots__ = ("_running",)

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def spawn(
        self, work: Coroutine[Any, Any, None], name: str, failed: Callable[[Exception], None] | None = None
    ) -> None:
        """Run it. `failed` is told what it raised; where nobody waits (None), the loop reports it."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        if failed is not None:
            task.add_done_callback(lambda done: _tell(done, failed))

    def cancel(self) -> None:
        """Stop all of it."""
        for task in self._running:
            task.cancel()


def _tell(task: asyncio.Task[None], failed: Callable[[Exception], None]) -> None:
    error = None if task.cancelled() else task.exception()
    if isinstance(error, Exception):
        failed(error)
