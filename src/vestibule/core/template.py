"""Texts with places for values: `{claim.team}`, `{user.id}`, `{host}`; read once, at the check, and filled in once.

What is put in is never looked at for places again, and is encoded for where it goes, so that no value can make a
header line or a path segment of its own (attacks.md H7 and C, CVE-2026-30852). A text one of whose values is not
known is no text at all: `team-` without a team would be another value, not a missing one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from vestibule.core.attributes import NAME_RE as ATTRIBUTE_RE
from vestibule.core.claim import LISTS, at, entries_of
from vestibule.errors import BadRequest
from vestibule.model import Identity
from vestibule.protocol import url
from vestibule.protocol.headers import VALUE_LIMIT_BYTES, encoded

ROUTE: Final = ("host", "prefix")
"""Known from the configuration alone: put in at the check."""
REQUEST: Final = ("path", "method", "address", "scheme")
"""Known of each request."""
USER: Final = ("id", "login", "name", "email", *LISTS)
"""Behind `user.`: known of the person."""
_PLACE_RE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME_RE: Final = re.compile(r"[a-z_.]{0,40}")
_SHOWN: Final = (
    "claim.NAME",
    "user.id",
    "user.login",
    "user.name",
    "user.email",
    "user.groups",
    "session.NAME",
    *ROUTE,
    *REQUEST,
)
_KNOWN: Final = ", ".join(f"{{{name}}}" for name in _SHOWN)


class Slot(msgspec.Struct, frozen=True):
    """A place for a value."""

    kind: str
    """`claim`, `user`, `session`, `route` or `request`."""
    name: str
    provider: str = ""
    """Of a claim: full name of the one client whose word counts; empty: all of the host's, the first that says it."""

    def __str__(self) -> str:
        front = f"{self.kind}." if self.kind in ("claim", "user", "session") else ""
        return f"{{{front}{f'{self.provider}/' if self.provider else ''}{self.name}}}"


class Person(msgspec.Struct, frozen=True):
    """What may be said of who asks: their id here, the identities that count at the host, an app's own values."""

    user_id: str = ""
    identities: tuple[Identity, ...] = ()
    attributes: Mapping[str, Any] = {}
    """Of their session."""


NOBODY: Final = Person()


class Template(msgspec.Struct, frozen=True):
    """A text read: literal parts, which may be secrets and so stay out of its repr, and places."""

    parts: tuple[str | Slot, ...]

    def __repr__(self) -> str:
        return f"Template({', '.join(map(str, self.slots)) or '…'})"

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Its places that are still to be filled in."""
        return tuple(part for part in self.parts if isinstance(part, Slot))

    @property
    def is_of_request(self) -> bool:
        """True where it differs from request to request of one person."""
        return any(slot.kind == "request" for slot in self.slots)

    def fixed(self, route: Mapping[str, str], clients: Mapping[str, str]) -> Template:
        """The template with what the configuration knows put in; `clients`: client ID to full name."""
        parts: list[str | Slot] = []
        for part in self.parts:
            if isinstance(part, Slot) and part.kind == "route":
                parts.append(route[part.name])
            elif isinstance(part, Slot) and part.provider:
                parts.append(Slot(part.kind, part.name, clients.get(part.provider, part.provider)))
            else:
                parts.append(part)
        return Template(_joined(parts))

    def header(self, person: Person, request: Mapping[str, str]) -> str:
        """The value of a header, in visible ASCII and spaces; empty where some value is not known, or it is too long.

        Values are encoded as those of `User-…` are: a list's items parted by commas, everything that is not
        visible ASCII percent-encoded. What is known of the request is in its canonical form already, and stays.
        """
        found: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                found.append(part)
                continue
            value = request[part.name] if part.kind == "request" else _listed(part, person)
            if not value:
                return ""
            found.append(value)
        text = "".join(found)
        return text if len(text) <= VALUE_LIMIT_BYTES else ""

    def path(self, person: Person) -> bytes:
        """The path it makes, canonical; empty where a value is not known, or can't be part of one segment.

        Threat: a claim `../admin`, `.`, or empty, by which a person reaches what stands beside their own.
        """
        found: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                found.append(part)
                continue
            values = values_of(part, person)
            if len(values) != 1 or not _is_segment(values[0]):
                return b""
            found.append(quote(values[0], safe=""))
        path = "".join(found).encode("ascii")
        return path if _is_canonical(path) else b""


def parse(text: str) -> Template:
    """The template this text means; `{{` and `}}` are braces. Raises ValueError, which says what is wrong."""
    parts: list[str | Slot] = []
    end = 0
    for found in _PLACE_RE.finditer(text):
        parts.append(text[end : found.start()])
        end = found.end()
        if found[0] in ("{{", "}}"):
            parts.append(found[0][0])
        elif found[1] is None:
            raise ValueError(f"a `{found[0]}` without its other half; as itself it is written twice")
        else:
            parts.append(_slot(found[1]))
    return Template(_joined([*parts, text[end:]]))


def values_of(slot: Slot, person: Person) -> tuple[str, ...]:
    """What is known of the person there; a list's items, else one text or none."""
    if slot.kind == "user":
        if slot.name == "id":
            return (person.user_id,) if person.user_id else ()
        if slot.name in LISTS:
            items = (item for one in person.identities for item in getattr(one, slot.name))
            return tuple(dict.fromkeys(items))
        return next(((text,) for one in person.identities if (text := getattr(one, slot.name))), ())
    if slot.kind == "session":
        return tuple(filter(None, entries_of(person.attributes.get(slot.name))))
    for one in person.identities:
        if slot.provider in ("", one.client) and (value := at(one.claims, slot.name)) is not None:
            return tuple(filter(None, entries_of(value)))
    return ()


def _listed(slot: Slot, person: Person) -> str:
    """Names and addresses as in `User-…`; where there may be several, a comma of a value's own is encoded."""
    kept = "," if slot.kind == "user" and slot.name not in LISTS else ""
    return ",".join(encoded(value, kept=kept) for value in values_of(slot, person))


def _slot(name: str) -> Slot:
    head, dot, rest = name.partition(".")
    if head == "claim" and dot and rest.strip("/"):
        provider, slash, inner = rest.partition("/")
        return Slot("claim", inner, provider) if slash and inner else Slot("claim", rest)
    if head == "user" and rest in USER:
        return Slot("user", rest)
    if head == "session" and ATTRIBUTE_RE.fullmatch(rest):
        return Slot("session", rest)
    if name in ROUTE:
        return Slot("route", name)
    if name in REQUEST:
        return Slot("request", name)
    # What doesn't look like a name may be part of a secret.
    shown = name if _NAME_RE.fullmatch(name) else "…"
    raise ValueError(f"`{{{shown}}}` is no value; there are {_KNOWN}; a brace itself is written twice")


def _joined(parts: Iterable[str | Slot]) -> tuple[str | Slot, ...]:
    """Neighbouring texts as one, and none that is empty."""
    found: list[str | Slot] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, str) and isinstance(last, str):
            found[-1] = last + part
        elif part:
            found.append(part)
    return tuple(found)


def _is_segment(value: str) -> bool:
    """True for what is one segment of a path however a server reads it."""
    return not set(value) & set("/\\;%") and value.isprintable()


def _is_canonical(path: bytes) -> bool:
    if not path:
        return True
    try:
        target = url.canonical(path)
    except BadRequest:
        return False
    return target.path == path == target.plain
