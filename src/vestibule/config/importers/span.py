"""Spans of time as they are written in our files."""

from __future__ import annotations


def span(seconds: float) -> str:
    """`90s`, `15m`, `24h`, `7d`: the largest unit of which it is a whole number."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{round(seconds * 1000)}ms"
