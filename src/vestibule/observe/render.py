"""A line of an event, in one of three formats, by structlog's processors and renderers.

Imported by who writes the first line, since structlog takes a tenth of a second to import.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, MutableMapping
from typing import Any, Final, TypeAlias

import msgspec
from structlog.dev import Column, ConsoleRenderer, KeyValueColumnFormatter, plain_traceback
from structlog.processors import JSONRenderer, LogfmtRenderer

from vestibule.observe.access import as_event
from vestibule.observe.log import shown, stamp

FORMATS: Final = ("json", "logfmt", "console")
Fields: TypeAlias = MutableMapping[str, Any]
Processor: TypeAlias = Callable[[Any, str, Fields], Any]
Render: TypeAlias = Callable[[Any], bytes]

_NAME_RE: Final = re.compile(r"[^A-Za-z0-9_.-]")
_BARE_RE: Final = re.compile(r"[^\s\"'=\\]+")
_LEVEL_WIDTH: Final = len("warning")
_RESET: Final = "\x1b[0m"
_COLOURS: Final = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}
_BRIGHT: Final = "\x1b[1m"
_FAINT: Final = "\x1b[2m"


def renderer(name: str, *, has_colours: bool = False) -> Render:
    """What makes lines of events, in this format of `FORMATS`, with their ends. Colours are the console's alone."""
    chain = _CHAINS[name](has_colours)

    def render(event: Any) -> bytes:
        fields: Any = as_event(event[0], shown, event[1]) if isinstance(event, tuple) else dict(event)
        for processor in chain:
            fields = processor(None, fields["level"] if isinstance(fields, dict) else "", fields)
        return str(fields).encode("utf-8", "backslashreplace") + b"\n"

    return render


def _with_time(_log: Any, _method: str, fields: Fields) -> Fields:
    fields["at"] = stamp(fields["at"])
    return fields


def _printable(_log: Any, _method: str, fields: Fields) -> Fields:
    """Threat: a line's end, or what a terminal obeys, in a value; a space or `=` in a name."""
    return {_NAME_RE.sub("_", name): _plain(value) for name, value in fields.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list | dict):
        value = msgspec.json.encode(value).decode()
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(one if one.isprintable() else _escaped(one) for one in value)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _for_people(log: Any, method: str, fields: Fields) -> Fields:
    """A trace stands below its line, indented: no line of it can be taken for one of the log."""
    trace = fields.pop("trace", "")
    found = _printable(log, method, fields)
    # structlog's own names for what it shows below a line
    for name in ("exception", "exc_info", "stack"):
        if name in found:
            found[f"{name}_"] = found.pop(name)
    if trace:
        found["exception"] = "\n".join("    " + str(_plain(line)) for line in str(trace).splitlines())
    return found


def _encode(fields: Any, **_given: Any) -> str:
    """Threat: what JSON may hold as it is and a terminal obeys: DEL, U+009B, marks that turn text around."""
    text = msgspec.json.encode(fields).decode()
    return text if text.isprintable() else "".join(map(_in_json, text))


def _in_json(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


def _quoted(value: Any) -> str:
    """As it is where nobody can mistake its end; else in quotes."""
    text = "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if _BARE_RE.fullmatch(text) else msgspec.json.encode(text).decode()


def _console(has_colours: bool) -> ConsoleRenderer:  # noqa: FBT001 - one of a table's functions
    reset, bright, faint = (_RESET, _BRIGHT, _FAINT) if has_colours else ("", "", "")

    def in_style(
        style: str, *, width: int = 0, value_repr: Callable[[Any], str] = str
    ) -> KeyValueColumnFormatter:
        return KeyValueColumnFormatter(
            key_style=None, value_style=style, reset_style=reset, value_repr=value_repr, width=width
        )

    def level(key: str, value: object) -> str:
        del key
        colour = _COLOURS[str(value)] if has_colours else ""
        return f"{colour}{value:<{_LEVEL_WIDTH}}{reset}"

    return ConsoleRenderer(
        exception_formatter=plain_traceback,
        sort_keys=False,
        columns=[
            Column(
                "",
                KeyValueColumnFormatter(
                    key_style=faint, value_style="", reset_style=reset, value_repr=_quoted
                ),
            ),
            Column("at", in_style(faint)),
            Column("level", level),
            Column("component", in_style("", width=11)),
            Column("event", in_style(bright)),
        ],
    )


_CHAINS: Final[dict[str, Callable[[bool], tuple[Processor, ...]]]] = {
    "json": lambda _: (_with_time, JSONRenderer(_encode)),
    "logfmt": lambda _: (_with_time, _printable, LogfmtRenderer(bool_as_flag=False)),
    "console": lambda has_colours: (_with_time, _for_people, _console(has_colours)),
}
