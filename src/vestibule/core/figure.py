"""Figures as people read them, in the console and on pages: short, to two or three digits."""

from __future__ import annotations

from typing import Final

_UNITS: Final = (("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12))


def milliseconds(took_ms: float, *, gap: str = "") -> str:
    """`4.2ms`, `312ms`, `4.2s`, `42s`; `gap` stands before the unit."""
    if took_ms >= 9_999.5:
        return f"{took_ms / 1000:.0f}{gap}s"
    if took_ms >= 999.5:
        return f"{took_ms / 1000:.1f}{gap}s"
    return f"{took_ms:.0f}{gap}ms" if took_ms >= 9.95 else f"{took_ms:.1f}{gap}ms"


def size(count_bytes: float) -> str:
    """`812 B`, `4.2 kB`, `71 MB`: a kB is 1000 bytes, as disks and networks are told of."""
    if count_bytes < 999.5:
        return f"{count_bytes:.0f} B"
    unit, length = next((one for one in _UNITS if count_bytes < 999.5 * one[1]), _UNITS[-1])
    value = count_bytes / length
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
