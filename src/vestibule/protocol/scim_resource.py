"""Resources of a directory as they come, as they are kept, and as they are shown (RFC 7643, RFC 7644 section 3.9).

Kept is what the schemas know, under its canonical names and without what a client can't write; what they don't know
(a password, an extension nobody has told us of) is let go without a word, since every directory sends some.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any, Final

from vestibule.protocol.scim_error import ScimError
from vestibule.protocol.scim_filter import Place, read_place
from vestibule.protocol.scim_schema import Attribute, Kind, Schema, found

TEXT_MAX_CHARS: Final = 8192
VALUES_MAX: Final = 1000
"""Of one list but the members of a group."""


def accepted(body: Any, kind: Kind) -> dict[str, Any]:
    """What is kept of a resource that came whole. Members are as `value` says them, once each.

    Raises: ScimError `invalidSyntax`, `invalidValue` for what is required and missing, or of another type.
    """
    if not isinstance(body, dict):
        raise ScimError(400, "the body is no resource", "invalidSyntax")
    kept = taken(body, kind)
    for attribute in kind.core.attributes:
        if attribute.is_required and attribute.name not in kept:
            raise ScimError(400, f"{attribute.name} is required", "invalidValue")
    return kept


def taken(body: dict[str, Any], kind: Kind) -> dict[str, Any]:
    """The same of a part of a resource: nothing is required. Raises ScimError."""
    kept: dict[str, Any] = {}
    for name, value in body.items():
        extension = kind.extension(name)
        if extension is not None:
            if not isinstance(value, dict | None):
                raise ScimError(400, f"{extension.name} is an object", "invalidValue")
            values = _of_schema(value or {}, extension.attributes)
            if values:
                kept[extension.id] = values
    return {**_of_schema(body, kind.attributes), **kept}


def _of_schema(body: dict[str, Any], attributes: Iterable[Attribute]) -> dict[str, Any]:
    kept = {}
    attributes = tuple(attributes)
    for name, value in body.items():
        attribute = found(attributes, name)
        if attribute is None or attribute.mutability == "readOnly":
            continue
        fit = valued(value, attribute)
        if fit is not None:
            kept[attribute.name] = fit
    return kept


def valued(value: Any, attribute: Attribute) -> Any:
    """The value in the form it is kept in; None: it is none (null, an empty list). Raises ScimError `invalidValue`.

    Spec: RFC 7643 section 2.5. A list that came as one value is one of one; Microsoft Entra ID writes booleans as
    texts, and a manager as the bare id.
    """
    if value is None or value in ([], {}):
        return None
    if attribute.is_multi:
        several = value if isinstance(value, list) else [value]
        return _several(several, attribute) or None
    return _one(value, attribute)


def _several(values: list[Any], attribute: Attribute) -> list[Any]:
    if len(values) > VALUES_MAX and attribute.name != "members":
        raise ScimError(400, f"{attribute.name} has more than {VALUES_MAX} values", "tooMany")
    kept: list[Any] = []
    seen: set[Any] = set()
    for value in values:
        fit = _one(value, attribute)
        if attribute.name == "members" and (fit is None or "value" not in fit):
            raise ScimError(400, "a member has a value", "invalidValue")
        sign = fit["value"] if attribute.name == "members" else mark(fit)
        if fit is None or sign in seen:
            continue
        seen.add(sign)
        kept.append(fit)
    if sum(isinstance(one, dict) and one.get("primary") is True for one in kept) > 1:
        raise ScimError(400, f"of {attribute.name}, one at most is primary", "invalidValue")
    return kept


def _one(value: Any, attribute: Attribute) -> Any:
    if attribute.is_complex:
        if isinstance(value, str) and attribute.sub("value") is not None:
            value = {"value": value}
        if not isinstance(value, dict):
            raise _unfit(attribute)
        return _of_schema(value, attribute.subs) or None
    if attribute.type == "boolean":
        return truth(value, attribute)
    if not isinstance(value, str):
        raise _unfit(attribute)
    if len(value) > TEXT_MAX_CHARS * (16 if attribute.type == "binary" else 1) or "\0" in value:
        raise _unfit(attribute)
    if attribute.is_required and not value.strip():
        raise _unfit(attribute)
    if attribute.type == "binary":
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise _unfit(attribute) from None
    return value


def mark(value: Any) -> Any:
    """What equal values of a list have in common, hashable: they are texts, or flat."""
    return frozenset(value.items()) if isinstance(value, dict) else value


def truth(value: Any, attribute: Attribute) -> bool:
    """A boolean, also one that is written as a text in any case (Microsoft Entra ID). Raises `invalidValue`."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise _unfit(attribute)
    return value


def _unfit(attribute: Attribute) -> ScimError:
    return ScimError(400, f"{attribute.name} is no {attribute.type} that can be kept", "invalidValue")


def shown(
    document: dict[str, Any], kind: Kind, *, wanted: tuple[Place, ...] = (), unwanted: tuple[Place, ...] = ()
) -> dict[str, Any]:
    """The resource with `schemas`, and of its attributes those that are asked for; none named: all of them.

    Spec: RFC 7644 section 3.9. What is always returned (`id`) is, whatever is asked for.
    """
    schemas = [kind.core.id, *(one.id for one in kind.extensions if one.id in document)]
    about = {"schemas": schemas, **_ordered(document)}
    if wanted:
        return _only(about, kind, wanted)
    for place in unwanted:
        _without(about, kind, place)
    return about


def _ordered(document: dict[str, Any]) -> dict[str, Any]:
    first = [name for name in ("id", "externalId") if name in document]
    last = ["meta"] if "meta" in document else []
    between = [name for name in document if name not in ("id", "externalId", "meta")]
    return {name: document[name] for name in (*first, *between, *last)}


def _only(about: dict[str, Any], kind: Kind, places: Iterable[Place]) -> dict[str, Any]:
    kept: dict[str, Any] = {name: about[name] for name in ("schemas", "id") if name in about}
    for place in places:
        if place.urn == "" and (schema := kind.extension(place.name)) is not None:
            if schema.id in about:
                kept[schema.id] = about[schema.id]
            continue
        source, target = about, kept
        extension = _extension(place, kind)
        if extension is not None:
            if extension.id not in about:
                continue
            source, target = about[extension.id], kept.setdefault(extension.id, {})
        name = _key(source, place.name)
        if name is None:
            continue
        target[name] = _joined(target.get(name), source[name], place.sub)
    return kept


def _joined(known: Any, value: Any, sub: str) -> Any:
    """What is asked for of a value, beside what was asked for of it already."""
    if not sub:
        return value
    if isinstance(value, list):
        before = known if isinstance(known, list) else [{}] * len(value)
        return [_joined(old, one, sub) for old, one in zip(before, value, strict=True)]
    if not isinstance(value, dict):
        return value
    name = _key(value, sub)
    return {**(known or {}), **({name: value[name]} if name is not None else {})}


def _without(about: dict[str, Any], kind: Kind, place: Place) -> None:
    extension = _extension(place, kind)
    if not place.urn and (whole := kind.extension(place.name)) is not None:
        about.pop(whole.id, None)
        return
    source = about if extension is None else dict(about.get(extension.id, {}))
    name = _key(source, place.name)
    if name is None or (extension is None and name in ("id", "schemas")):
        return
    if not place.sub:
        del source[name]
    elif isinstance(source[name], list):
        source[name] = [_less(one, place.sub) for one in source[name]]
    else:
        source[name] = _less(source[name], place.sub)
    if extension is not None:
        about[extension.id] = source


def _less(value: Any, sub: str) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: one for name, one in value.items() if name.lower() != sub.lower()}


def _extension(place: Place, kind: Kind) -> Schema | None:
    return kind.extension(place.urn) if place.urn else None


def _key(about: dict[str, Any], name: str) -> str | None:
    return next((one for one in about if one.lower() == name.lower()), None)


def places(text: str, kind: Kind) -> tuple[Place, ...]:
    """The attributes of `attributes=…` or `excludedAttributes=…`; a schema's own name stands for all of it.

    Raises ScimError `invalidPath`. Spec: RFC 7644 section 3.9.
    """
    names = [one.strip() for one in text.split(",") if one.strip()]
    return tuple(
        Place(name) if kind.extension(name) is not None else _core(read_place(name), kind) for name in names
    )


def _core(place: Place, kind: Kind) -> Place:
    return Place(place.name, place.sub) if place.urn.lower() == kind.core.id.lower() else place
