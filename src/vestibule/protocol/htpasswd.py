"""Password files as Apache's `htpasswd` writes them: lines of `user:hash`. Whether a password fits: `password`.

Read are bcrypt, argon2 and SHA-512-crypt, and, for files that are there already, apr1 and {SHA}, which whoever sees
the file undoes soon. A person is found by the canonical form of their name, so that one name has one spelling:
`Ann` and `ann ` are one person, with one count of wrong tries.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

import msgspec

from vestibule.model import Secret
from vestibule.protocol.authorization import USER_LIMIT_CHARS

BCRYPT: Final = "bcrypt"
ARGON2: Final = "argon2"
SHA512: Final = "SHA-512-crypt"
APR1: Final = "apr1"
SHA1: Final = "{SHA}"
WEAK: Final = frozenset({APR1, SHA1})
"""Kinds that are read for old files only: billions of passwords a second can be tried on them."""
PEOPLE_MAX: Final = 100_000
TEXT_LIMIT_BYTES: Final = 16 * 1024 * 1024

_BCRYPT_COST_MAX: Final = 16
"""Each step doubles the work: 16 takes some five seconds."""
_ARGON2_KIB_MAX: Final = 1024 * 1024
_ARGON2_PASSES_MAX: Final = 64
_SHA512_ROUNDS_MAX: Final = 1_000_000

_KINDS: Final = (
    (BCRYPT, re.compile(r"\$2[abxy]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}")),
    (
        ARGON2,
        re.compile(
            r"\$argon2(?:id|i|d)\$v=19\$m=(?P<memory>[0-9]{1,9}),t=(?P<passes>[0-9]{1,9}),p=[0-9]{1,3}"
            r"\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,171}"
        ),
    ),
    (SHA512, re.compile(r"\$6\$(?:rounds=(?P<rounds>[0-9]{4,9})\$)?[./A-Za-z0-9]{0,16}\$[./A-Za-z0-9]{86}")),
    (APR1, re.compile(r"\$apr1\$[./A-Za-z0-9]{0,8}\$[./A-Za-z0-9]{22}")),
    (SHA1, re.compile(r"\{SHA\}[A-Za-z0-9+/]{27}=")),
)


class FileError(ValueError):
    """A line can't be used; the text says which and why, and holds nothing of the hash."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line


class Person(msgspec.Struct, frozen=True):
    """One line of the file."""

    name: str
    """As it is written there."""
    hash: Secret
    kind: str


class People(msgspec.Struct, frozen=True):
    """Everybody in the file."""

    by_name: Mapping[str, Person] = {}
    """By canonical name."""
    in_order: tuple[Person, ...] = ()

    @property
    def weak(self) -> tuple[str, ...]:
        """The kinds of hashes in it that are no longer good."""
        return tuple(sorted({person.kind for person in self.in_order} & WEAK))


def canonical(user: str) -> str:
    """The one spelling of a user name; empty for what is no name.

    Threat: `Alice`, `alice ` and full-width letters, each with tries and sessions of its own (CVE-2025-24806,
    CVE-2026-47203).
    """
    if len(user) > USER_LIMIT_CHARS or not user.isprintable():
        return ""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", user).casefold())
    name = " ".join(folded.split())
    return name if name.isprintable() and ":" not in name else ""


def parse(text: str) -> People:
    """The people of a file; empty lines and those that begin with `#` say nothing.

    Raises FileError for the first line that can't be used: half a file lets in whom nobody meant, or nobody.
    """
    people: dict[str, Person] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, colon, written = line.partition(":")
        if not colon:
            raise FileError(number, "is no `user:hash`")
        key = canonical(name)
        if not key:
            raise FileError(number, "has a user name that can't be used")
        if key in people:
            raise FileError(number, f"`{name}` stands there twice, as `{people[key].name}` before")
        if len(people) >= PEOPLE_MAX:
            raise FileError(number, f"holds more than {PEOPLE_MAX} people")
        # What follows a further colon is htdigest's or a comment of somebody's: no hash has one.
        people[key] = Person(name, Secret(written), _checked_kind(number, written))
    return People(people, tuple(people.values()))


def _checked_kind(line: int, written: str) -> str:
    for kind, pattern in _KINDS:
        found = pattern.fullmatch(written)
        if found is not None:
            if why := _excess(kind, found.groupdict()):
                raise FileError(line, why)
            return kind
    raise FileError(
        line,
        "its hash is of no kind that is read here (bcrypt, argon2, SHA-512-crypt; of old files apr1 and {SHA}): "
        "make it anew with `htpasswd -B`",
    )


def _excess(kind: str, cost: Mapping[str, str | None]) -> str:
    """Threat: one line that keeps a thread busy for hours at each try."""
    if kind == BCRYPT and not 4 <= int(cost["cost"] or 0) <= _BCRYPT_COST_MAX:
        return f"has a bcrypt cost that is not between 4 and {_BCRYPT_COST_MAX}"
    if kind == ARGON2 and (
        int(cost["memory"] or 0) > _ARGON2_KIB_MAX or int(cost["passes"] or 0) > _ARGON2_PASSES_MAX
    ):
        return f"takes more than 1 GiB of memory or {_ARGON2_PASSES_MAX} passes for a try"
    if kind == SHA512 and int(cost["rounds"] or 5000) > _SHA512_ROUNDS_MAX:
        return f"has more than {_SHA512_ROUNDS_MAX} rounds"
    return ""
