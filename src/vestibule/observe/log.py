"""The log: every event has a name, a component, a level and fields; secrets are masked.

What all code uses is `Log`. `observe.render` makes a line of an event, by structlog, in one of three formats;
`observe.sink` writes lines, and nobody waits for it. `docs/logging.md` names every event; a test keeps it so.

Values from outside stand escaped, in every format, so that no client can write a line of its own into the log.
"""

from __future__ import annotations

import functools
import io
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from vestibule.model import Secret
from vestibule.observe.sink import PROGRAM, Sink, Stream

LEVELS: Final[Mapping[str, int]] = MappingProxyType({"debug": 10, "info": 20, "warning": 30, "error": 40})
OFF: Final = "off"
"""A component's level at which nothing of it is written."""
COMPONENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "program": "processes, their start and end, the clock, the configuration",
        "proxy": "requests to hosts: decisions, refusals, faults, files",
        "tls": "connections by TLS, and the certificates that are shown",
        "edges": "what edges ask",
        "calls": "the calling interfaces",
        "signin": "sign-in, sign-out, registration",
        "sessions": "sessions, devices, and what providers say of people later",
        "credentials": "tokens that are used and refreshed, keys that seal and sign",
        "providers": "identity providers, and files of passwords",
        "store": "databases, and how processes tell each other of changes",
        "admin": "the admin API, its pages, and what is changed by them",
        "webhooks": "messages to programs of yours",
        "jobs": "what is done now and then",
        "access": "one line a request",
    }
)
"""Every event belongs to one of these; the level of each can be set."""
ACCESS: Final = "access"
VALUE_LIMIT_CHARS: Final = 2048
ITEMS_MAX: Final = 100
"""Of a list."""
_OWN: Final = ("at", "level", "component", "event")
_FIELD_COST_BYTES: Final = 8
_LINE_COST_BYTES: Final = 120


SYSTEM_NOW: Final = time.time
"""When the system says it is: lines are compared with those of other programs."""


class Levels:
    """From which level on each component is written; one object for a whole process, which may change it."""

    def __init__(self, level: str = "info", own: Mapping[str, str] = MappingProxyType({ACCESS: OFF})) -> None:
        """`level` holds for components without one of their own."""
        self.level = level
        self.own: Mapping[str, str] = dict(own)
        self.least: Mapping[str, int] = {}
        """By component."""
        self.set(level, own)

    def set(self, level: str, own: Mapping[str, str]) -> None:
        """These, from now on."""
        self.level, self.own = level, {name: one for name, one in own.items() if name in COMPONENTS and one}
        self.least = {name: LEVELS.get(self.own.get(name, level), 100) for name in COMPONENTS}


class Log:
    """Writes events; `of` and `bind` make one that says whose they are, or adds fields to each."""

    def __init__(
        self,
        out: io.TextIOBase | Sink | None = None,
        *,
        level: str = "info",
        levels: Levels | None = None,
        now: Callable[[], float] = SYSTEM_NOW,
        fields: Mapping[str, Any] = MappingProxyType({}),
        component: str = PROGRAM,
    ) -> None:
        """`out`: a sink; or a text stream (None: what `sys.stderr` is at the time), which is written to at once."""
        self._sink: Sink = Stream(out) if out is None or isinstance(out, io.TextIOBase) else out
        self.levels = levels or Levels(level)
        self._now = now
        self._fields = fields
        self._component = component

    @property
    def dropped(self) -> int:
        """Lines that could not be written: the work goes on."""
        return self._sink.dropped

    @property
    def fields(self) -> Mapping[str, Any]:
        """What every event of it has."""
        return self._fields

    @property
    def sink(self) -> Sink:
        """Where it writes."""
        return self._sink

    def of(self, component: str) -> Log:
        """The same log for a component's events. Raises KeyError for one there isn't."""
        COMPONENTS[component]
        return self._with(component, self._fields)

    def bind(self, **fields: Any) -> Log:
        """A log that adds these fields to each event."""
        return self._with(self._component, {**self._fields, **fields})

    def wants(self, level: str) -> bool:
        """Whether an event of this level is written; to be asked before one that costs something to make."""
        return LEVELS[level] >= self.levels.least[self._component]

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

    def flush(self, within_s: float) -> None:
        """Have what waits written, if that can be done in so long; for the end of a process."""
        self._sink.flush(within_s)

    def _with(self, component: str, fields: Mapping[str, Any]) -> Log:
        return Log(self._sink, levels=self.levels, now=self._now, fields=fields, component=component)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if LEVELS[level] < self.levels.least[self._component]:
            return
        made: dict[str, Any] = {
            "at": self._now(),
            "level": level,
            "component": self._component,
            "event": event,
        }
        cost_bytes = _LINE_COST_BYTES
        # Here, not when it is written: until then a value may have changed, and no secret may wait in a queue.
        for name, value in (*self._fields.items(), *fields.items()):
            if name not in _OWN:
                made[name] = text = shown(value)
                cost_bytes += _FIELD_COST_BYTES + len(name) + _length(text)
        self._sink.put(made, cost_bytes, is_urgent=True)


def stamp(at: float) -> str:
    """The time as lines have it: RFC 3339, UTC, to the millisecond."""
    return f"{_second(int(at // 1))}.{int(at % 1 * 1000):03d}Z"


@functools.lru_cache(maxsize=4)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


def shown(value: Any) -> Any:
    """A value as lines may hold it: short, without secrets, JSON's own types alone."""
    if type(value) is str and len(value) <= VALUE_LIMIT_CHARS and value.isascii():
        return value
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return value[:VALUE_LIMIT_CHARS].decode("utf-8", "backslashreplace")[:VALUE_LIMIT_CHARS]
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, list | tuple):
        return [shown(item) for item in value[:ITEMS_MAX]]
    if isinstance(value, dict):
        return {str(name)[:VALUE_LIMIT_CHARS]: shown(one) for name, one in [*value.items()][:ITEMS_MAX]}
    # A lone surrogate (a path that is not UTF-8) must not cost the line.
    return str(value)[:VALUE_LIMIT_CHARS].encode("utf-8", "backslashreplace").decode()


def _length(text: Any) -> int:
    """About so many characters it takes."""
    if isinstance(text, str):
        return len(text)
    if isinstance(text, list):
        return sum(map(_length, text)) + 4 * len(text)
    return len(str(text)) if isinstance(text, dict) else 12
