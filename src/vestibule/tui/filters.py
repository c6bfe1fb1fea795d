"""What of the traffic is wanted: `host:app status:4xx person:ada text`, as one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from vestibule.admin_model import Row

NAMES: Final = (
    "host",
    "person",
    "status",
    "decision",
    "method",
    "path",
    "provider",
    "kind",
    "session",
    "address",
)
"""What a word may say, before its colon."""


class Filter(msgspec.Struct, frozen=True):
    """What is wanted; empty: everything."""

    line: str = ""
    """As somebody typed it."""
    words: tuple[tuple[str, str], ...] = ()
    """`(name, text)`, in lower case; name empty: anywhere. All of them must hold."""

    def takes(self, row: Row) -> bool:
        """True where the row is wanted."""
        return all(_HOLDS[name](row, text) for name, text in self.words)


def parsed(line: str) -> Filter:
    """The filter of a line; what has no name that we know is text to be found anywhere."""
    words = []
    for word in line.split():
        name, colon, text = word.partition(":")
        known = colon and name.lower() in NAMES
        if known and not text:
            continue  # it is still being typed
        words.append((name.lower(), text.lower()) if known else ("", word.lower()))
    return Filter(line.strip(), tuple(words))


def _status(row: Row, text: str) -> bool:
    """`404`, `4xx`, `4`, `>=400`, `left` for those that left before an answer."""
    if text == "left":
        return row.status == 0
    if text.startswith(">="):
        return text[2:].isdigit() and row.status >= int(text[2:])
    return str(row.status).startswith(text.rstrip("x")) and row.status != 0


def _anywhere(row: Row, text: str) -> bool:
    return (
        text in row.path.lower()
        or text in row.name.lower()
        or text in row.person.lower()
        or text in row.method.lower()
        or text in row.decision.lower()
        or text in row.provider.lower()
        or text in row.address
        or text in row.request_id
        or text in row.trace_id
    )


_HOLDS: Mapping[str, Callable[[Row, str], bool]] = MappingProxyType(
    {
        "": _anywhere,
        "host": lambda row, text: text in row.name.lower() or text in row.edge,
        "person": lambda row, text: text in row.person.lower() or text == row.user_id.lower(),
        "status": _status,
        "decision": lambda row, text: text in row.decision.lower(),
        "method": lambda row, text: text == row.method.lower(),
        "path": lambda row, text: text in row.path.lower(),
        "provider": lambda row, text: text in row.provider.lower(),
        "kind": lambda row, text: text == row.kind,
        "session": lambda row, text: row.session_id.lower().startswith(text),
        "address": lambda row, text: row.address.startswith(text),
    }
)
