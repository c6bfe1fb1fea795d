"""One JSON object a line, to stderr: every event has a name, a level and fields; secrets are masked.

Values from outside stand in JSON strings, so that no client can write a line of its own into the log.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import msgspec

from vestibule.model import Secret

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
VALUE_LIMIT_CHARS = 2048


class Log:
    """Writes events; `bind` makes one that adds fields to each."""

    def __init__(
        self,
        out: TextIO | None = None,
        *,
        level: str = "info",
        now: Callable[[], float] = time.time,
        fields: dict[str, Any] | None = None,
    ) -> None:
        self._out = out
        self._level = LEVELS[level]
        self._now = now
        self._fields = fields or {}
        self.dropped = 0
        """Lines that could not be written (disk full, pipe closed): the work goes on."""

    def bind(self, **fields: Any) -> Log:
        """A log that adds these fields to each event."""
        bound = Log(self._out, now=self._now, fields={**self._fields, **fields})
        bound._level = self._level
        return bound

    def debug(self, event: str, **fields: Any) -> None:
        """Something only its developer wants to see."""
        self._write("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Something that happened as it should."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something an operator may have to look at."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Something an operator has to look at."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if LEVELS[level] < self._level:
            return
        at = self._now()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"
        record = {"at": stamp, "level": level, "event": event, **self._fields, **fields}
        line = msgspec.json.encode({key: _shown(value) for key, value in record.items()}).decode()
        try:
            print(line, file=self._out or sys.stderr, flush=True)
        except (OSError, ValueError):
            self.dropped += 1


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")[:VALUE_LIMIT_CHARS]
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value]
    # A lone surrogate (a path that is not UTF-8) must not cost the line.
    return str(value)[:VALUE_LIMIT_CHARS].encode("utf-8", "backslashreplace").decode()
