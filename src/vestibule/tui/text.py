"""Words and figures as the console writes them: short, in a width that is known, safe for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.cells import cell_len, set_cell_size

_LEVELS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def plain(text: str) -> str:
    """The text without what would steer a terminal. Threat: paths and names, which anybody may choose."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def fit(text: str, room: int, *, right: bool = False) -> str:
    """The text, cut or padded to so many columns."""
    if room <= 0:
        return ""
    used = len(text) if text.isascii() else cell_len(text)
    if used > room:
        return set_cell_size(text, room - 1) + "…"
    pad = " " * (room - used)
    return pad + text if right else text + pad


def clock(at: datetime | None) -> str:
    """The time of day here."""
    return f"{at.astimezone():%H:%M:%S}" if at else "-"


def moment(at: datetime | None) -> str:
    """Date and time here, to the minute."""
    return f"{at.astimezone():%Y-%m-%d %H:%M}" if at else "-"


def span(length: timedelta) -> str:
    """How long, in its largest unit: `42 s`, `12 min`, `3 h`, `8 d`."""
    seconds = max(int(length.total_seconds()), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def ago(at: datetime | None, now: datetime) -> str:
    """How long it is past."""
    return f"{span(now - at)} ago" if at else "never"


def until(at: datetime | None, now: datetime) -> str:
    """How long it is still good."""
    if at is None:
        return "not known"
    return f"in {span(at - now)}" if at > now else f"ended {span(now - at)} ago"


def count(number: int | None) -> str:
    """`1,234`; a question mark where it isn't known."""
    return "?" if number is None else f"{number:,}"


def rate(per_s: float) -> str:
    """`0/s`, `0.4/s`, `312/s`."""
    return f"{per_s:.1f}/s" if 0 < per_s < 9.95 else f"{per_s:.0f}/s"


def sparkline(values: Sequence[float], room: int) -> str:
    """The last so many values as bars of one line, the highest of them full."""
    shown = list(values[-room:]) if room > 0 else []
    top = max(shown, default=0) or 1
    return "".join(" " if value <= 0 else _LEVELS[min(int(value / top * 8), 7)] for value in shown)


def spread(values: Sequence[float], room: int) -> list[float]:
    """The values in so many steps at most, each the largest of those it stands for."""
    if room <= 0 or not values:
        return []
    per = -(-len(values) // room)
    first = len(values) % per
    heads = [max(values[:first])] if first else []
    return heads + [max(values[at : at + per]) for at in range(first, len(values), per)]


def lane(began: float, took: float, whole: float, room: int) -> str:
    """A bar in a lane of so many columns: where in the whole it began, and how long it took."""
    if room <= 0 or whole <= 0:
        return ""
    first = min(int(began / whole * room), room - 1)
    length = max(took / whole * room, 0.125)
    full, rest = divmod(int(length * 8), 8)
    bar = "█" * full + (_EIGHTHS[rest] if rest else "")
    return (
        fit(" " * first + (bar or "▏"), room)
        if first + len(bar) <= room
        else " " * first + bar[: room - first]
    )
