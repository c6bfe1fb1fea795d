"""What forms of the admin pages have in common: faults at their fields, and numbers as people write them."""

from __future__ import annotations

from collections.abc import Iterable


def fault_lines(faults: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What is wrong with each field, by its name: `scopes[2]` is of `scopes`, `?url` of `url`."""
    found: dict[str, list[str]] = {}
    for path, message in faults:
        name = path.lstrip("?/").partition("[")[0].partition(".")[0]
        found.setdefault(name, []).append(message)
    return {name: "; ".join(dict.fromkeys(said)) for name, said in found.items()}


def number_of(text: str) -> int | None:
    """A whole number; None for anything else."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
