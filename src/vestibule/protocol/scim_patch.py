"""Changes of a part of a resource (RFC 7644 section 3.5.2), in the forms that directories really send.

By the book, and beyond it where Microsoft Entra ID and Okta leave it: `op` in any case, booleans as texts, paths as
names in a value without a path (`name.givenName`, `emails[type eq "work"].value`, `urn:…:User:department`), members to
be taken away listed in `value`, a value that `add` finds no element for. Nothing here looks at who a member is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from vestibule.protocol.scim_error import ScimError
from vestibule.protocol.scim_filter import (
    Path,
    Place,
    equalities,
    holds_of,
    listed,
    placed,
    read_path,
    terms_in,
    values_at,
)
from vestibule.protocol.scim_resource import VALUES_MAX, accepted, mark, valued
from vestibule.protocol.scim_schema import Attribute, Kind

PATCH: Final = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
OPERATIONS_MAX: Final = 1000
COMPARISONS_MAX: Final = 100_000
"""Of values with the filters of all paths of one PATCH; each of a list that is changed is looked at once at least."""
_SKIPPED: Final = frozenset(("id", "meta", "schemas"))
"""What a value without a path may repeat of the resource: Okta sends the group's `id`."""


class Operation(msgspec.Struct, frozen=True):
    """One change."""

    op: str
    """`add`, `replace`, `remove`."""
    path: Path | None
    value: Any = None


class Members(msgspec.Struct, frozen=True):
    """What becomes of a group's members: a step of several, in their order."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    is_emptied: bool = False
    """All go first."""


class Patched(msgspec.Struct, frozen=True):
    """What a PATCH makes of a resource."""

    document: dict[str, Any]
    members: tuple[Members, ...] = ()


def operations(body: Any) -> tuple[Operation, ...]:
    """What is to be changed, in order. Raises ScimError `invalidSyntax`, `invalidPath`, `invalidFilter`, `noTarget`."""
    if not isinstance(body, dict):
        raise _syntax("the body is no PatchOp")
    lower = {str(name).lower(): value for name, value in body.items()}
    found = lower.get("operations")
    schemas = lower.get("schemas")
    if not isinstance(schemas, list) or PATCH.lower() not in (str(one).lower() for one in schemas):
        raise _syntax("schemas must name PatchOp")
    if not isinstance(found, list) or not found:
        raise _syntax("Operations must be a list")
    if len(found) > OPERATIONS_MAX:
        raise ScimError(413, f"more than {OPERATIONS_MAX} operations", "tooMany")
    return tuple(_operation(one) for one in found)


def _operation(body: Any) -> Operation:
    if not isinstance(body, dict):
        raise _syntax("an operation is an object")
    lower = {str(name).lower(): value for name, value in body.items()}
    op, text = lower.get("op"), lower.get("path")
    if not isinstance(op, str) or op.lower() not in ("add", "replace", "remove"):
        raise _syntax("op is add, replace or remove")
    if not isinstance(text, str | None):
        raise ScimError(400, "a path is a string", "invalidPath")
    path = read_path(text) if text else None
    op = op.lower()
    if op == "remove" and path is None:
        raise ScimError(400, "remove needs a path", "noTarget")
    if op != "remove" and "value" not in lower:
        raise ScimError(400, f"{op} needs a value", "invalidValue")
    return Operation(op, path, lower.get("value"))


def patched(document: dict[str, Any], changes: tuple[Operation, ...], kind: Kind) -> Patched:
    """The resource with these changes, all of them or none; a group's members are told apart from it.

    Raises: ScimError `invalidPath`, `mutability`, `noTarget`, `invalidValue`, `tooMany`. The document given stays as it
    is. Threat: filters of a thousand terms, a thousand of them, each held against a thousand values.
    """
    made = copy.deepcopy(document)
    members: list[Members] = []
    compared = 0
    for change in changes:
        for one in _spread(change, kind):
            assert one.path is not None, "values without a path are spread over paths"
            if one.path.place.name.lower() == "members" and placed(one.path.place, kind):
                members.append(_members(one, kind))
                continue
            place = Place(one.path.place.name, urn=one.path.place.urn)
            terms = 1 if one.path.chosen is None else terms_in(one.path.chosen)
            compared += terms * len(values_at(made, place, kind))
            if compared > COMPARISONS_MAX:
                raise ScimError(400, "it compares more values than can be done at once", "tooMany")
            _apply(made, one, one.path, kind)
    return Patched(accepted(made, kind), tuple(members))


def _spread(change: Operation, kind: Kind) -> Iterator[Operation]:
    """The change, or one for each name in a value without a path."""
    if change.path is not None:
        whole = _whole(change.path.place, kind)
        if whole is None:
            yield change
            return
        if change.op == "remove":
            for attribute in whole[1]:
                yield Operation("remove", Path(Place(attribute.name, urn=whole[0])))
            return
        values = change.value
        if not isinstance(values, dict):
            raise ScimError(400, "the value of an extension is an object", "invalidValue")
        for name, value in values.items():
            yield from _named(change.op, f"{whole[0]}:{name}", value, kind)
        return
    if not isinstance(change.value, dict):
        raise ScimError(400, f"{change.op} without a path has an object as its value", "invalidValue")
    for name, value in change.value.items():
        if name.lower() in _SKIPPED:
            continue
        yield from _named(change.op, name, value, kind)


def _named(op: str, name: str, value: Any, kind: Kind) -> Iterator[Operation]:
    extension = kind.extension(name)
    if extension is not None:
        if not isinstance(value, dict):
            raise ScimError(400, f"{extension.name} is an object", "invalidValue")
        for inner, one in value.items():
            yield from _named(op, f"{extension.id}:{inner}", one, kind)
        return
    try:
        path = read_path(name)
    except ScimError:
        return  # a name that no attribute can have: one nobody knows
    chain = placed(path.place, kind)
    if chain is not None and chain[-1].mutability != "readOnly":
        yield Operation(op, path, value)


def _whole(place: Place, kind: Kind) -> tuple[str, tuple[Attribute, ...]] | None:
    """The id and attributes of an extension that a path names as a whole.

    `urn:…:2.0:User` reads as the attribute `User` of `urn:…:2.0`.
    """
    name = f"{place.urn}:{place.name}" if place.urn else place.name
    extension = None if place.sub else kind.extension(name)
    return None if extension is None else (extension.id, extension.attributes)


def _members(change: Operation, kind: Kind) -> Members:
    assert change.path is not None
    attribute = placed(Place("members"), kind)
    assert attribute is not None, "asked of groups alone"
    path = change.path
    if path.place.sub:
        raise ScimError(400, "members are added and removed, not changed", "mutability")
    if path.chosen is not None:
        ids = listed(path.chosen)
        if change.op != "remove" or ids is None:
            raise ScimError(400, "members are chosen by their value, to be removed", "invalidFilter")
        return Members(remove=ids)
    values = valued(change.value, attribute[0])
    ids = tuple(one["value"] for one in values or ())
    if change.op == "remove":
        # Microsoft Entra ID lists those that go; by the book there is no value, and all of them go.
        return Members(remove=ids) if change.value is not None else Members(is_emptied=True)
    return Members(add=ids, is_emptied=change.op == "replace")


def _apply(made: dict[str, Any], change: Operation, path: Path, kind: Kind) -> None:
    chain = placed(path.place, kind)
    if chain is None:
        raise ScimError(400, f"{path.place.name} is no attribute of a {kind.name}", "invalidPath")
    if any(one.mutability == "readOnly" for one in chain):
        raise ScimError(400, f"{chain[-1].name} can't be changed", "mutability")
    extension = kind.extension(path.place.urn) if path.place.urn else None
    about = made if extension is None else made.setdefault(extension.id, {})
    attribute = chain[0]
    sub = chain[1] if len(chain) > 1 else None
    if path.chosen is not None:
        _apply_chosen(about, change, path, attribute, sub)
    elif sub is None:
        _apply_whole(about, change, attribute)
    else:
        _apply_sub(about, change, attribute, sub)
    if extension is not None and not about:
        del made[extension.id]


def _apply_whole(about: dict[str, Any], change: Operation, attribute: Attribute) -> None:
    if change.op == "remove" and change.value is not None and attribute.is_multi:
        gone = set(map(mark, valued(change.value, attribute) or []))
        _keep(about, attribute, [one for one in about.get(attribute.name, []) if mark(one) not in gone])
        return
    if change.op == "remove":
        if attribute.is_required:
            raise ScimError(400, f"{attribute.name} is required", "mutability")
        about.pop(attribute.name, None)
        return
    value = valued(change.value, attribute)
    if value is None:
        if change.op == "replace":
            about.pop(attribute.name, None)
        return
    if attribute.is_multi and change.op == "add":
        known = about.get(attribute.name, [])
        there = set(map(mark, known))
        _keep(
            about, attribute, _one_primary([*known, *(one for one in value if mark(one) not in there)], value)
        )
    elif attribute.is_complex and not attribute.is_multi:
        # Sub-attributes that aren't named stay, whether it is added or replaced: RFC 7644 section 3.5.2.3.
        about[attribute.name] = {**about.get(attribute.name, {}), **value}
    else:
        about[attribute.name] = value


def _apply_sub(about: dict[str, Any], change: Operation, attribute: Attribute, sub: Attribute) -> None:
    if attribute.is_multi:
        for one in about.get(attribute.name, []):
            _set(one, change, sub)
        _keep(about, attribute, about.get(attribute.name, []))
        return
    value = about.setdefault(attribute.name, {})
    _set(value, change, sub)
    if not value:
        del about[attribute.name]


def _apply_chosen(
    about: dict[str, Any], change: Operation, path: Path, attribute: Attribute, sub: Attribute | None
) -> None:
    assert path.chosen is not None
    if not attribute.is_multi or not attribute.is_complex:
        raise ScimError(400, f"{attribute.name} is no list to choose of", "invalidPath")
    known: list[dict[str, Any]] = about.get(attribute.name, [])
    met = [one for one in known if holds_of(path.chosen, one, attribute)]
    if change.op == "remove":
        if sub is None:
            gone = set(map(mark, met))
            _keep(about, attribute, [one for one in known if mark(one) not in gone])
            return
        for one in met:
            _set(one, change, sub)
        _keep(about, attribute, known)
        return
    if not met:
        made = _made(path, attribute) if change.op == "add" else None
        if made is None:
            raise ScimError(400, f"no value of {attribute.name} is so", "noTarget")
        known, met = [*known, made], [made]
    for one in met:
        if sub is not None:
            _set(one, change, sub)
            continue
        value = valued(change.value, attribute)
        if not value or len(value) > 1:
            raise ScimError(400, f"one value of {attribute.name} is needed", "invalidValue")
        if change.op == "replace":
            one.clear()
        one.update(value[0])
    _keep(about, attribute, _one_primary(known, met))


def _made(path: Path, attribute: Attribute) -> dict[str, Any] | None:
    """The element that a filter of nothing but equalities describes; None: it is another filter."""
    terms = equalities(path.chosen)
    if terms is None:
        return None
    values: list[dict[str, Any]] = valued([{one.place.name: one.value for one in terms}], attribute) or []
    return values[0] if values else None


def _set(about: dict[str, Any], change: Operation, sub: Attribute) -> None:
    if sub.mutability == "readOnly":
        raise ScimError(400, f"{sub.name} can't be changed", "mutability")
    value = None if change.op == "remove" else valued(change.value, sub)
    if value is None:
        about.pop(sub.name, None)
    else:
        about[sub.name] = value


def _one_primary(values: list[Any], newest: list[Any]) -> list[Any]:
    """The values, of which the newest alone is primary if one of those is. Spec: RFC 7644 section 3.5.2."""
    if not any(isinstance(one, dict) and one.get("primary") is True for one in newest):
        return values
    return [
        {name: value for name, value in one.items() if name != "primary"}
        if isinstance(one, dict) and one.get("primary") is True and one not in newest
        else one
        for one in values
    ]


def _keep(about: dict[str, Any], attribute: Attribute, values: list[Any]) -> None:
    """Set the list, without elements of which nothing is left. Raises ScimError `tooMany`.

    Threat: a list that each of a thousand operations makes longer, and looks through.
    """
    left = [one for one in values if one]
    if len(left) > VALUES_MAX:
        raise ScimError(400, f"{attribute.name} has more than {VALUES_MAX} values", "tooMany")
    if left:
        about[attribute.name] = left
    else:
        about.pop(attribute.name, None)


def _syntax(detail: str) -> ScimError:
    return ScimError(400, detail, "invalidSyntax")
