"""What a running gateway can't change: where its state is, how many processes it has, where its log goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from vestibule.config import hcl
from vestibule.config.compile import Compiled

ADVICE: Final = "can't be changed while the gateway runs: `vestibule upgrade` or a restart takes it"
_Of = Callable[[Compiled], Any]
_FIXED: Final[tuple[tuple[str, str, _Of], ...]] = (
    ("gateway", "state", lambda one: (one.state, one.control_socket, one.bus_socket)),
    ("gateway", "workers", lambda one: one.workers),
    ("store", "url", lambda one: one.database),
    ("store", "sessions", lambda one: one.sessions),
    ("store", "key_file", lambda one: one.key_file),
    ("log", "format", lambda one: one.log.format),
    ("log", "output", lambda one: one.log.output),
)
"""Block, attribute, and what it comes to."""


def fixed_faults(before: Compiled, after: Compiled) -> tuple[str, ...]:
    """`file:line:col: message` for each setting that is other than in force and takes more than a reload."""
    others = [(block, name) for block, name, of in _FIXED if of(before) != of(after)]
    written = [(name, place) for block, name in others if (place := _place(block, name, before, after))]
    # What follows from another one (the database, from the state directory) needs no word of its own.
    told = written or [(name, ", ".join(after.files) or "environment") for _, name in others]
    return tuple(f"{place}: `{name}` {ADVICE}" for name, place in told)


def _place(block: str, name: str, before: Compiled, after: Compiled) -> str:
    """Where it is written; where it was, when it isn't any more; empty: it never was."""
    for compiled in (after, before):
        for one in _blocks(compiled.document, block):
            written = one.attributes.get(name)
            if written is not None:
                return str(written.place)
            inner = next((child for child in one.blocks if child.type == name), None)
            if inner is not None:
                return str(inner.place)
    return ""


def _blocks(document: hcl.Block, kind: str) -> Iterator[hcl.Block]:
    return (one for one in document.blocks if one.type == kind)
