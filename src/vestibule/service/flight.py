"""Work that many ask for at once and that is done once: all of them get what it ends in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Flights(Generic[T]):
    """What is under way in this process, by key."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._tasks

    async def share(self, key: Hashable, begin: Callable[[], Coroutine[Any, Any, T]], *, name: str) -> T:
        """What the work under this key ends in, begun now if it isn't under way.

        Whoever stops waiting does not stop it. Raises what it raises.
        """
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(begin(), name=name)
            self._tasks[key] = task
            task.add_done_callback(partial(self._landed, key))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for all that is under way."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _landed(self, key: Hashable, task: asyncio.Task[T]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            task.exception()  # seen, even when everybody who waited has left
