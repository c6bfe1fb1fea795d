"""What a change has made different: the members that are, before and after, short enough to be kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

VALUE_MAX_CHARS: Final = 1000
"""Of a value as JSON; a longer one is cut."""
MEMBERS_MAX: Final = 50


def difference(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> dict[str, Any]:
    """`before` and `after`, each with the members that differ; neither where none does.

    None: it was not there, or is there no more; then the other one is told whole. Whoever calls leaves out what must
    not be kept: nothing here knows a secret when it sees one.
    """
    old, new = before or {}, after or {}
    names = [name for name in {**old, **new} if name not in old or name not in new or old[name] != new[name]]
    told: dict[str, Any] = {}
    for when, values in (("before", before), ("after", after)):
        if values is not None and (found := _shown(values, names[:MEMBERS_MAX])):
            told[when] = found
    return told


def _shown(values: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: _short(values[name]) for name in names if name in values}


def _short(value: Any) -> Any:
    """The value as it stands in JSON; the beginning of its text where that is long."""
    text = msgspec.json.encode(value)
    if len(text) <= VALUE_MAX_CHARS:
        return msgspec.json.decode(text)
    return text[:VALUE_MAX_CHARS].decode("utf-8", "ignore") + "…"
