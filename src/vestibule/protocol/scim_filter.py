"""Filters and paths of attributes (RFC 7644 sections 3.4.2.2 and 3.10), read and held against a resource.

Threat: a filter that is nested or long without end; both are bounded, and nothing of it is ever a pattern.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

import msgspec

from vestibule.protocol.scim_error import ScimError
from vestibule.protocol.scim_schema import Attribute, Kind, found

FILTER_MAX_CHARS: Final = 8192
DEPTH_MAX: Final = 16
TERMS_MAX: Final = 1000
"""Of one filter: some directories take as many members away by one value path."""

_NAME: Final = r"[A-Za-z$][A-Za-z0-9_$-]*"
_ATTRIBUTE: Final = re.compile(
    rf"(?:(?P<urn>[Uu][Rr][Nn]:[^\s\[\]()\"]+):)?(?P<name>{_NAME})(?:\.(?P<sub>{_NAME}))?"
)
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<mark>[()\[\]])|(?P<text>"(?:[^"\\]|\\.)*")|(?P<word>[^\s()\[\]"]+))""", re.DOTALL
)
_OPERATORS: Final = frozenset(("eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"))
_ORDERING: Final = frozenset(("gt", "ge", "lt", "le"))

Value: TypeAlias = "str | bool | int | float | None"


class Place(msgspec.Struct, frozen=True):
    """Where a value stands: `urn:…:User:manager.value`. Names are as they came, in any case."""

    name: str
    sub: str = ""
    urn: str = ""
    """Of an extension; empty: the resource itself."""


class Compare(msgspec.Struct, frozen=True):
    """`userName eq "ann"`; `pr` has no value."""

    place: Place
    operator: str
    value: Value = None


class All(msgspec.Struct, frozen=True):
    """`… and …`."""

    terms: tuple[Filter, ...]


class Some(msgspec.Struct, frozen=True):
    """`… or …`."""

    terms: tuple[Filter, ...]


class Not(msgspec.Struct, frozen=True):
    """`not (…)`."""

    term: Filter


class Within(msgspec.Struct, frozen=True):
    """`emails[type eq "work"]`: one value of the list is so."""

    place: Place
    term: Filter


Filter: TypeAlias = Compare | All | Some | Not | Within


class Path(msgspec.Struct, frozen=True):
    """Where a PATCH changes something: `emails[type eq "work"].value`."""

    place: Place
    chosen: Filter | None = None
    """Which values of the list; None: all of it."""


def read_filter(text: str) -> Filter:
    """The filter. Raises ScimError `invalidFilter`. Spec: RFC 7644 section 3.4.2.2."""
    reader = _Reader(text)
    term = reader.whole()
    if reader.peek():
        raise reader.wrong()
    return term


def read_path(text: str) -> Path:
    """The path of a PATCH. Raises ScimError `invalidPath`, `invalidFilter`. Spec: RFC 7644 section 3.5.2."""
    head, bracket, rest = text.strip().partition("[")
    place = read_place(head)
    if not bracket:
        return Path(place)
    inner, closing, tail = rest.rpartition("]")
    if not closing or place.sub:
        raise ScimError(400, "the path can't be read", "invalidPath")
    if tail:
        if not tail.startswith(".") or not re.fullmatch(_NAME, tail[1:]):
            raise ScimError(400, "the path can't be read", "invalidPath")
        place = Place(place.name, tail[1:], place.urn)
    return Path(place, read_filter(inner))


def read_place(text: str) -> Place:
    """The attribute that is named. Raises ScimError `invalidPath`. Spec: RFC 7644 section 3.10."""
    match = _ATTRIBUTE.fullmatch(text) if len(text) <= FILTER_MAX_CHARS else None
    if match is None:
        raise ScimError(400, "the path can't be read", "invalidPath")
    return Place(match["name"], match["sub"] or "", match["urn"] or "")


def placed(place: Place, kind: Kind) -> tuple[Attribute, ...] | None:
    """The attribute and, where one is named, its sub-attribute; None: there is none."""
    is_core = not place.urn or place.urn.lower() == kind.core.id.lower()
    extension = None if is_core else kind.extension(place.urn)
    if not is_core and extension is None:
        return None
    attribute = found(kind.attributes if extension is None else extension.attributes, place.name)
    if attribute is None or not place.sub:
        return None if attribute is None else (attribute,)
    sub = attribute.sub(place.sub)
    return None if sub is None else (attribute, sub)


def equalities(term: Filter | None) -> tuple[Compare, ...] | None:
    """The comparisons of a filter that is nothing but `eq` joined by `and`; None: it is more."""
    match term:
        case Compare(operator="eq"):
            return (term,)
        case All(terms):
            parts = [equalities(one) for one in terms]
            return None if None in parts else tuple(one for part in parts for one in part or ())
        case _:
            return None


def listed(term: Filter | None) -> tuple[str, ...] | None:
    """The ids of `value eq "…"`, or of several joined by `or`; None: it is something else."""
    match term:
        case Compare(Place(name, ""), "eq", str(value)) if name.lower() == "value":
            return (value,)
        case Some(terms):
            parts = [listed(one) for one in terms]
            return None if None in parts else tuple(one for part in parts for one in part or ())
        case _:
            return None


def terms_in(term: Filter) -> int:
    """How many comparisons it is, for each value that is held against it."""
    match term:
        case All(terms) | Some(terms):
            return sum(map(terms_in, terms))
        case Not(inner) | Within(_, inner):
            return terms_in(inner)
        case _:
            return 1


def holds(term: Filter, resource: dict[str, Any], kind: Kind) -> bool:
    """True where the filter is met by a resource that has canonical names. Raises ScimError `invalidFilter`."""
    return _holds(term, resource, None, kind)


def holds_of(term: Filter, value: dict[str, Any], attribute: Attribute) -> bool:
    """The same of one value of a list, whose sub-attributes the filter names. Raises ScimError `invalidFilter`."""
    return _holds(term, value, attribute, None)


def _holds(term: Filter, about: dict[str, Any], attribute: Attribute | None, kind: Kind | None) -> bool:
    match term:
        case All(terms):
            return all(_holds(one, about, attribute, kind) for one in terms)
        case Some(terms):
            return any(_holds(one, about, attribute, kind) for one in terms)
        case Not(inner):
            return not _holds(inner, about, attribute, kind)
        case Within(place, inner):
            if kind is None:
                raise _unknown(place)
            [found_there, *_] = placed(place, kind) or (None,)
            if found_there is None or not found_there.is_complex or place.sub:
                raise _unknown(place)
            values = values_at(about, Place(found_there.name, urn=place.urn), kind)
            return any(isinstance(one, dict) and _holds(inner, one, found_there, None) for one in values)
        case Compare():
            return _compared(term, about, attribute, kind)


def _compared(term: Compare, about: dict[str, Any], attribute: Attribute | None, kind: Kind | None) -> bool:
    place = term.place
    if attribute is not None:
        if not attribute.is_complex and place.name.lower() == "value" and not place.sub:
            typed, values = attribute, [about.get("value")]
        else:
            sub = attribute.sub(place.name)
            if sub is None or place.sub or place.urn:
                raise _unknown(place)
            typed, values = sub, [about[sub.name]] if sub.name in about else []
    else:
        assert kind is not None, "a filter is held against a resource or a value of one"
        chain = placed(place, kind)
        if chain is None:
            raise _unknown(place)
        typed, values = chain[-1], values_at(about, place, kind)
        if typed.is_complex and term.operator != "pr":
            value = typed.sub("value")
            if value is None:
                raise _unknown(place)
            typed, values = value, [one.get("value") for one in values if isinstance(one, dict)]
    return meets(term, [one for one in values if one not in (None, "", [], {})], typed)


def values_at(resource: dict[str, Any], place: Place, kind: Kind) -> list[Any]:
    """All values that stand there, those of every element of a list; names may be in any case."""
    chain = placed(place, kind)
    if chain is None:
        return []
    extension = kind.extension(place.urn) if place.urn else None
    about: Any = resource if extension is None else resource.get(extension.id, {})
    values = about.get(chain[0].name)
    several = values if isinstance(values, list) else [] if values is None else [values]
    if len(chain) == 1:
        return several
    name = chain[1].name
    return [one[name] for one in several if isinstance(one, dict) and name in one]


def meets(term: Compare, values: list[Any], attribute: Attribute) -> bool:
    """True where one of the values is so; `ne` and `eq null` ask it of all. Raises ScimError `invalidFilter`."""
    operator = term.operator
    if operator == "pr":
        return bool(values)
    wanted = _wanted(term, attribute)
    if wanted is None:
        return bool(values) if operator == "ne" else not values
    if operator == "ne":
        return all(not _is_so("eq", _plain(one, attribute), wanted) for one in values)
    return any(_is_so(operator, _plain(one, attribute), wanted) for one in values)


def _wanted(term: Compare, attribute: Attribute) -> Any:
    """The value of the filter as the attribute has its own; None: `null`."""
    operator, value = term.operator, term.value
    if value is None:
        if operator in ("eq", "ne"):
            return None
        raise ScimError(400, f"null can't be compared by {operator}", "invalidFilter")
    if attribute.type == "boolean":
        if isinstance(value, str) and value.lower() in ("true", "false"):
            value = value.lower() == "true"
        if not isinstance(value, bool) or operator not in ("eq", "ne"):
            raise ScimError(400, f"{attribute.name} is a boolean: eq and ne compare it", "invalidFilter")
        return value
    if not isinstance(value, str):
        raise ScimError(400, f"{attribute.name} is compared with a string", "invalidFilter")
    return value if attribute.case_exact else value.casefold()


def _plain(value: Any, attribute: Attribute) -> Any:
    return value.casefold() if isinstance(value, str) and not attribute.case_exact else value


def _is_so(operator: str, value: Any, wanted: Any) -> bool:
    if type(value) is not type(wanted):
        return False
    match operator:
        case "eq":
            return bool(value == wanted)
        case "co":
            return wanted in value
        case "sw":
            return bool(value.startswith(wanted))
        case "ew":
            return bool(value.endswith(wanted))
        case "gt":
            return bool(value > wanted)
        case "ge":
            return bool(value >= wanted)
        case "lt":
            return bool(value < wanted)
        case _:
            return bool(value <= wanted)


def _unknown(place: Place) -> ScimError:
    return ScimError(400, f"{place.name} is no attribute that can be asked for", "invalidFilter")


class _Reader:
    """Reads a filter from its first token to its last."""

    def __init__(self, text: str) -> None:
        if len(text) > FILTER_MAX_CHARS * 8:
            raise self.wrong()
        self._tokens = self._cut(text)
        self._at = 0
        self._terms = 0

    def _cut(self, text: str) -> list[str]:
        tokens, at, end = [], 0, len(text.rstrip())
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None:
                raise self.wrong()
            tokens.append(match["mark"] or match["text"] or match["word"])
            at = match.end()
        return tokens

    @staticmethod
    def wrong() -> ScimError:
        """What is raised for a filter that can't be read."""
        return ScimError(400, "the filter can't be read", "invalidFilter")

    def peek(self) -> str:
        """The next token; empty at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def take(self) -> str:
        """The next token, which is read by that."""
        token = self.peek()
        self._at += 1
        return token

    def whole(self, depth: int = 0) -> Filter:
        """Terms joined by `or`, which binds the least."""
        terms = [self._all(depth)]
        while self.peek().lower() == "or":
            self.take()
            terms.append(self._all(depth))
        return terms[0] if len(terms) == 1 else Some(tuple(terms))

    def _all(self, depth: int) -> Filter:
        terms = [self._one(depth)]
        while self.peek().lower() == "and":
            self.take()
            terms.append(self._one(depth))
        return terms[0] if len(terms) == 1 else All(tuple(terms))

    def _one(self, depth: int) -> Filter:
        self._terms += 1
        if depth > DEPTH_MAX or self._terms > TERMS_MAX:
            raise ScimError(400, "the filter is nested or long beyond reason", "invalidFilter")
        token = self.take()
        if token == "(":  # noqa: S105 - a mark
            return self._closed(")", depth)
        if token.lower() == "not" and self.peek() == "(":
            self.take()
            return Not(self._closed(")", depth))
        try:
            place = read_place(token)
        except ScimError:
            raise self.wrong() from None
        if self.peek() == "[":
            self.take()
            return Within(place, self._closed("]", depth))
        operator = self.take().lower()
        if operator == "pr":
            return Compare(place, "pr")
        if operator not in _OPERATORS:
            raise self.wrong()
        value = self._value()
        if operator in _ORDERING and isinstance(value, bool):
            raise self.wrong()
        return Compare(place, operator, value)

    def _closed(self, mark: str, depth: int) -> Filter:
        term = self.whole(depth + 1)
        if self.take() != mark:
            raise self.wrong()
        return term

    def _value(self) -> Value:
        token = self.take()
        lower = token.lower()
        if lower in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[lower]
        try:
            value: Value = msgspec.json.decode(token.encode("utf-8", "surrogatepass"), type=str | int | float)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self.wrong() from None
        return value
