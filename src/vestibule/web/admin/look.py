"""How the admin pages look: templates, static files, and how times and numbers are written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, partial
from importlib.resources import files
from typing import Any, Final

import minijinja
import msgspec
from minijinja import Environment, Markup

from vestibule.core.figure import milliseconds, size
from vestibule.web.admin.api import segment

STATIC_PATH: Final = "/static/"
_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class File(msgspec.Struct, frozen=True):
    """One static file."""

    body: bytes
    content_type: str


class Look:
    """The look of the admin pages; made once, shared by all requests."""

    def __init__(self) -> None:
        sources = {**_marks(), **_read("static")}
        self._urls = {name: _hashed(name, body) for name, body in sources.items()}
        self._files = {
            self._urls[name]: File(body, _TYPES[name.rpartition(".")[2]]) for name, body in sources.items()
        }
        self._environment = Environment(  # type: ignore[call-overload] # its stubs know no "semi_strict"
            templates={name: body.decode("utf-8") for name, body in _read("templates").items()},
            undefined_behavior="semi_strict",
            auto_escape_callback=lambda _name: "html",
            trim_blocks=True,
            lstrip_blocks=True,
            globals={"asset": self.url, "mark": self.mark_url},
            filters=FILTERS,
        )

    def url(self, name: str) -> str:
        """The address of a static file. Raises KeyError where there is no such file."""
        return STATIC_PATH + self._urls[name]

    def mark_url(self, kind: str) -> str:
        """The address of the mark of a kind of provider, empty where there is none."""
        name = f"mark-{kind}.svg"
        return self.url(name) if name in self._urls else ""

    def file(self, hashed_name: str) -> File | None:
        """The file of this name, or None."""
        return self._files.get(hashed_name)

    def render(self, template: str, context: Mapping[str, Any]) -> str:
        """The page as HTML. Every value is escaped where it is shown."""
        body: str = self._environment.render_template(template, **context)
        # The engine escapes `/` as well, which in our quoted attributes only makes addresses unreadable.
        return body.replace("&#x2f;", "/")


@cache
def _read(folder: str) -> dict[str, bytes]:
    found = files("vestibule.web.admin") / folder
    return {entry.name: entry.read_bytes() for entry in found.iterdir() if entry.is_file()}


@cache
def _marks() -> dict[str, bytes]:
    """The marks of providers that people's pages have, too."""
    found = (files("vestibule.web") / "static").iterdir()
    return {
        f"mark-{entry.name}": entry.read_bytes()
        for entry in found
        if entry.name.endswith(".svg") and entry.name != "icon.svg"
    }


def _hashed(name: str, body: bytes) -> str:
    stem, _, extension = name.rpartition(".")
    return f"{stem}.{hashlib.sha256(body).hexdigest()[:12]}.{extension}"


# -- how values are written -------------------------------------------------------------------------


def moment(value: Any) -> datetime | None:
    """A time as values have it: a datetime, text of RFC 3339, seconds; None for none."""
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, str):
        return datetime.fromisoformat(value).astimezone(UTC)
    return datetime.fromtimestamp(float(value), UTC)


def ago(value: Any, now: Any) -> Markup:
    """How long since (or until) then, with the time itself for who wants to know."""
    at, here = moment(value), moment(now)
    if at is None or here is None:
        return Markup("never")
    left_s = (at - here).total_seconds()
    said = "now" if abs(left_s) < 1 else f"in {span(left_s)}" if left_s > 0 else f"{span(-left_s)} ago"
    return _time(at, said)


def day_time(value: Any) -> Markup:
    """Day and time in UTC."""
    at = moment(value)
    return Markup("never") if at is None else _time(at, at.strftime("%Y-%m-%d %H:%M:%S UTC"))


def clock(value: Any) -> Markup:
    """The time of the day in UTC."""
    at = moment(value)
    return Markup("") if at is None else _time(at, at.strftime("%H:%M:%S"))


def span(seconds: float) -> str:
    """A span in its two largest units: `3 min`, `2 h 10 min`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        minutes = whole % 3600 // 60
        return f"{whole // 3600} h {minutes} min" if minutes else f"{whole // 3600} h"
    hours = whole % 86400 // 3600 if whole < 864000 else 0
    return f"{whole // 86400} d {hours} h" if hours else f"{whole // 86400} d"


def number(value: float) -> str:
    """A number with its thousands apart."""
    if value != int(value):
        return f"{value:,.1f}".replace(",", "\u202f")
    return f"{int(value):,}".replace(",", "\u202f")


def place(value: str) -> Markup:
    """Where something stands, `FILE:LINE`, with the file's whole path for who wants to know."""
    whole, short = str(minijinja.escape(value)), str(minijinja.escape(value.rpartition("/")[2]))
    return Markup(f'<code class="place" title="{whole}">{short}</code>')


def _time(at: datetime, said: str) -> Markup:
    whole = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    shown = at.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup(f'<time datetime="{whole}" title="{shown}">{minijinja.escape(said)}</time>')


FILTERS: Final[Mapping[str, Any]] = {
    "ago": ago,
    "day_time": day_time,
    "clock": clock,
    "span": span,
    "number": number,
    "ms": partial(milliseconds, gap=" "),
    "size": size,
    "place": place,
    "segment": segment,
}
