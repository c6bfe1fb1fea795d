"""What an application keeps in a session: a JSON object of its own, bounded, of which nothing here looks at the values.

A session is read with every request, so what is in it must stay small.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from vestibule.errors import Invalid

MAX_BYTES: Final = 4096
"""Of all of it, as compact JSON."""
NAME: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"
"""What a name at the top may be; further in, any."""
_DEPTH_MAX: Final = 16
NAME_RE: Final = re.compile(NAME)


def merged(attributes: Mapping[str, Any], patch: Mapping[str, Any] | None) -> dict[str, Any]:
    """The attributes after the patch; None removes them all. Spec: RFC 7396. Raises Invalid."""
    if patch is None:
        return {}
    _check_shape(patch)
    return checked(_patched(attributes, patch))


def checked(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes, if they may be kept. Raises Invalid."""
    _check_shape(attributes)
    size = len(msgspec.json.encode(attributes))
    if size > MAX_BYTES:
        raise _invalid(f"have {size} bytes as JSON, and {MAX_BYTES} are the most")
    return dict(attributes)


def _check_shape(attributes: Mapping[str, Any]) -> None:
    if not all(NAME_RE.fullmatch(name) for name in attributes):
        raise _invalid(
            "have names of 1 to 64 letters, digits, `_`, `-` and `.`, which begin with a letter, digit or `_`"
        )
    if any(depth > _DEPTH_MAX for depth in _depths(attributes)):
        raise _invalid(f"are at most {_DEPTH_MAX} deep")


def _depths(value: Any) -> Iterator[int]:
    """How deep each object and list stands. Threat: a value that a recursive reader breaks at."""
    waiting = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        yield depth
        if depth <= _DEPTH_MAX:
            inner = one.values() if isinstance(one, Mapping) else one
            waiting += [(item, depth + 1) for item in inner if isinstance(item, Mapping | list | tuple)]


def _patched(value: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    kept = dict(value) if isinstance(value, Mapping) else {}
    for name, change in patch.items():
        if change is None:
            kept.pop(name, None)
        else:
            kept[name] = _patched(kept.get(name), change)
    return kept


def _invalid(message: str) -> Invalid:
    return Invalid((("attributes", message),))
