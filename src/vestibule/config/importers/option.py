"""The options of another program: each with its name there, and what becomes of it here."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import msgspec

from vestibule.config.importers.note import About, Notes
from vestibule.config.write import Env, File, Joined, Text
from vestibule.errors import ConfigError


class Kind(Enum):
    """How an option is written."""

    TEXT = "text"
    LIST = "list"
    SWITCH = "switch"
    NUMBER = "number"
    SPAN = "span of time"


class Fate(Enum):
    """What becomes of an option."""

    CARRIED = "carried over"
    CHANGED = "another way"
    NONE = "no equivalent"


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One option of another program."""

    name: str
    """As in its configuration file."""
    kind: Kind = Kind.TEXT
    fate: Fate
    here: str
    """What it becomes, or why it becomes nothing: a row of the manual, and the note where it is set."""
    usual: tuple[Any, ...] = ()
    """Values that need no word: what holds without it."""
    quiet: bool = False
    """True: nothing is told of it, whatever it says: what it asks for is always so. Never of one without equivalent."""
    secret: bool = False
    """True: its value is never printed."""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """An option as somebody wrote it."""

    option: Option
    value: Any
    """By `option.kind`: text (or a reference), list of texts, bool, int, seconds."""
    written: str
    """Its name as it was written: `--client-id`, `client_id`, `OAUTH2_PROXY_CLIENT_ID`."""
    variable: str = ""
    """The environment variable it comes from, if it does."""
    file: str = ""
    """Where it was written."""

    def __repr__(self) -> str:
        return f"Given({self.written})"  # never the value: it may be a secret


class Unreadable(ValueError):
    """A value is not of its option's kind; the message never repeats it."""


_YES = frozenset({"1", "t", "true", "yes", "on"})
_NO = frozenset({"0", "f", "false", "no", "off", ""})
_SPAN_RE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def value_of(option: Option, raw: Any) -> Any:
    """The value by the option's kind, read as leniently as Go's configuration libraries do. Raises Unreadable."""
    match option.kind:
        case Kind.TEXT:
            return _text(raw)
        case Kind.LIST:
            return list_of(raw)
        case Kind.SWITCH:
            return _switch(raw)
        case Kind.NUMBER:
            return _number(raw)
        case Kind.SPAN:
            return span_of(raw)


def given(option: Option, raw: Any, *, written: str, file: str, variable: str = "") -> Given:
    """The option with what somebody wrote. Raises ConfigError, which says where, for what is not of its kind."""
    try:
        value = value_of(option, raw)
    except Unreadable as exc:
        raise ConfigError((f"{file}: {written} {exc}",)) from None
    return Given(option=option, value=value, written=written, variable=variable, file=file)


def list_of(raw: Any) -> tuple[Text, ...]:
    """The items of a list, or of a comma list."""
    if isinstance(raw, list | tuple):
        return tuple(_text(item) for item in raw)
    if isinstance(raw, Env | File | Joined):
        return (raw,)
    text = str(_text(raw))
    try:
        (items,) = csv.reader([text], strict=True) if text else ([],)
    except csv.Error:
        items = text.split(",")
    return tuple(item.strip() for item in items if item.strip())


def span_of(raw: Any) -> float:
    """Seconds: of `168h0m0s`, of a number of seconds. Raises Unreadable."""
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        return float(raw)
    text = str(_text(raw)).strip()
    if text in ("", "0"):
        return 0.0
    parts = _SPAN_RE.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        raise Unreadable("is no span of time: 30s, 10m, 168h")
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def _text(raw: Any) -> Text:
    if isinstance(raw, str | Env | File | Joined):
        return raw
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, int | float):
        return str(raw)
    if raw is None:
        return ""
    raise Unreadable("is no text")


def _switch(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    text = str(_text(raw)).strip().lower()
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise Unreadable("is neither true nor false")


def _number(raw: Any) -> int:
    text = str(_text(raw)).strip()
    try:
        return int(text, 8) if re.fullmatch(r"0[0-7]+", text) else int(text)
    except ValueError:
        raise Unreadable("is no number") from None


class Options:
    """What was given, by the options' names: several sources already brought together.

    It remembers what was looked at, so that nothing is passed over in silence.
    """

    def __init__(self, found: Iterable[Given] = ()) -> None:
        self._given: dict[str, Given] = {one.option.name: one for one in found}
        self._looked_at: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def given(self, name: str) -> Given | None:
        """The option as it was written, if it was."""
        self._looked_at.add(name)
        return self._given.get(name)

    def all(self) -> tuple[Given, ...]:
        """Everything that was given, in the order of the options' names."""
        return tuple(self._given[name] for name in sorted(self._given))

    def unused(self) -> tuple[Given, ...]:
        """What was given and never looked at."""
        return tuple(one for one in self.all() if one.option.name not in self._looked_at)

    def text(self, name: str) -> str:
        """A text; empty where it is not given, or a reference to something that is not known here."""
        value = self._value(name, "")
        return value if isinstance(value, str) else ""

    def reference(self, name: str) -> Text:
        """A text, or a reference to it."""
        value: Text = self._value(name, "")
        return value

    def items(self, name: str) -> tuple[str, ...]:
        """The items of a list that are known here."""
        return tuple(item for item in self._value(name, ()) if isinstance(item, str))

    def switch(self, name: str, *, usual: bool = False) -> bool:
        """True or false."""
        return bool(self._value(name, usual))

    def seconds(self, name: str) -> float | None:
        """A span; None where it is not given."""
        value: float | None = self._value(name, None)
        return value

    def _value(self, name: str, usual: Any) -> Any:
        found = self.given(name)
        return usual if found is None else found.value


def tell_fates(options: Options, notes: Notes) -> None:
    """Note of each option that is done another way, or not at all, what became of it; and of what nothing came."""
    for one in options.all():
        option = one.option
        if option.quiet or one.value in option.usual or option.fate is Fate.CARRIED:
            continue
        about = About.CHANGED if option.fate is Fate.CHANGED else About.NONE
        notes.add(about, one.written, option.here)
    for one in options.unused():
        is_told = one.option.fate is not Fate.CARRIED
        if not is_told and one.value not in (*one.option.usual, "", (), False):
            notes.add(
                About.NONE, one.written, "has no effect on this kind of provider, or beside what else is set"
            )


def by_name(options: Iterable[Option]) -> Mapping[str, Option]:
    """The options by name. Raises ValueError where one stands there twice."""
    table: dict[str, Option] = {}
    for option in options:
        if option.name in table:
            raise ValueError(f"{option.name} stands in the table twice")
        table[option.name] = option
    return table
