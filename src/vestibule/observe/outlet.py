"""What the configuration says of the log, and the log that it comes to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from vestibule.errors import ConfigError
from vestibule.observe.log import ACCESS, OFF, SYSTEM_NOW, Levels, Log
from vestibule.observe.sink import Queue, Target, lines

AUTO: Final = "auto"
FORMATS: Final = (AUTO, "json", "logfmt", "console")
STDERR: Final = "stderr"
STDOUT: Final = "stdout"
_DESCRIPTORS: Final[Mapping[str, int]] = {STDOUT: 1, STDERR: 2}


class Outlet(msgspec.Struct, frozen=True, kw_only=True):
    """How much is logged, how it is written, and where to."""

    format: str = AUTO
    """Of `FORMATS`; `auto`: `console` on a terminal, else `json`."""
    level: str = "info"
    own: Mapping[str, str] = msgspec.field(default_factory=lambda: {ACCESS: OFF})
    """Levels of components that have one of their own."""
    output: str | Path = STDERR


def open_log(outlet: Outlet, *, is_terminal: Callable[[int], bool] = os.isatty) -> Log:
    """The log of a program that serves. Raises ConfigError when its file can't be written."""
    path = outlet.output if isinstance(outlet.output, Path) else None
    fd = _DESCRIPTORS.get(str(outlet.output), 2)
    try:
        target = Target(fd, path)
    except OSError as exc:
        raise ConfigError((f"the log can't be written to {path}: {exc.strerror}",)) from None
    on_terminal = path is None and is_terminal(fd)
    name = outlet.format if outlet.format != AUTO else "console" if on_terminal else "json"
    make = partial(lines, name, has_colours=on_terminal and wants_colours(os.environ))
    return Log(Queue(target, make, now=SYSTEM_NOW), levels=Levels(outlet.level, outlet.own))


def wants_colours(environ: Mapping[str, str]) -> bool:
    """Whether who sits at the terminal has not said no. Spec: no-color.org."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
