"""What the block `log` may hold."""

from __future__ import annotations

from typing import ClassVar

from vestibule.config.shape import Node


class Component(Node, kw_only=True):
    """How much one part of the program logs."""

    LABEL: ClassVar[str] = "its name"
    REQUIRED: ClassVar[tuple[str, ...]] = ("level",)

    level: str = ""
    """`debug`, `info`, `warning`, `error`, or `off`."""


class Log(Node, kw_only=True):
    """What the gateway writes of what it does: an event a line, to stderr. May be split like `gateway`.

    [logging.md](logging.md) names every event, its component, level and fields. Levels can be changed while the gateway
    runs (`vestibule log levels`).
    """

    format: str = "auto"
    """`json`: an object a line. `logfmt`: `name=value` pairs. `console`: for people, with colours on a terminal unless
    `NO_COLOR` is set. `auto`: `console` on a terminal, else `json`."""
    level: str = "info"
    """From which level on events are written: `debug`, `info`, `warning`, `error`."""
    access: bool = False
    """True: a line for each request, too."""
    output: str = "stderr"
    """`stderr`, `stdout`, or a file, which is appended to; one that was moved away (logrotate) is made anew within a
    second."""
    component: tuple[Component, ...] = ()
    """Parts that log more or less than `level` says; any number of blocks."""
