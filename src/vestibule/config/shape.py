"""How a block of the tree becomes a value of the schema: one reader for all blocks, driven by their fields.

A field is an attribute, or a block where its type is a `Node`: `X | None` at most one, `tuple[X, ...]`
any number. Every fault is reported with its place; a field at fault keeps its default, so that the rest
can still be checked.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from vestibule.config import hcl
from vestibule.config.place import Place, Report, Unfit, nearest
from vestibule.config.value import KINDS, Kind
from vestibule.model import Secret

N = TypeVar("N", bound="Node")


class Node(msgspec.Struct, kw_only=True):
    """A block of the configuration, and where it stands. Its public fields are its attributes and blocks."""

    LABEL: ClassVar[str] = ""
    """What its label is; empty: it has none."""
    ALIASES: ClassVar[Mapping[str, str]] = {}
    """Other names of its fields."""
    LATER: ClassVar[Mapping[str, str]] = {}
    """Names of later versions, with what to do until then."""
    IGNORED: ClassVar[Mapping[str, str]] = {}
    """Harmless names of IO's that have no effect here, with the reason."""
    REQUIRED: ClassVar[tuple[str, ...]] = ()
    EITHER: ClassVar[tuple[str, ...]] = ()
    """Lists that may be written as one value."""
    OPEN: ClassVar[bool] = False
    """True: further attributes and blocks are read by somebody else (`config.client`)."""

    block: hcl.Block
    label: str = ""
    kept: Mapping[str, tuple[int, ...]] = {}
    """Of a list some items of which are at fault: where the others stood."""

    def at(self, name: str = "", index: int | None = None) -> Place:
        """Where the named attribute's value (or its item, or the block) stands."""
        for known in (name, *(a for a, field in self.ALIASES.items() if field == name)):
            attribute = self.block.attributes.get(known)
            if attribute is not None:
                data = attribute.value.data
                if index is not None and name in self.kept:
                    index = self.kept[name][index]
                if index is not None and isinstance(data, tuple) and index < len(data):
                    return data[index].place  # type: ignore[no-any-return] # a tuple in the tree holds values
                return attribute.value.place
        return self.block.place

    @property
    def label_at(self) -> Place:
        """Where the label stands."""
        return self.block.labels[0].place if self.block.labels else self.block.place

    def has(self, name: str) -> bool:
        """True when the attribute is written, under whatever name."""
        return any(
            a in self.block.attributes for a in (name, *(k for k, v in self.ALIASES.items() if v == name))
        )


class Field(msgspec.Struct, frozen=True):
    """One field of a block: how it is read."""

    name: str
    kind: Kind | None = None
    """Of the attribute; None for a block."""
    listed: bool = False
    mapped: bool = False
    """An object; of lists where it is `listed`, too, a single text being a list of one."""
    secret: bool = False
    node: type[Node] | None = None
    many: bool = False


class Shape(msgspec.Struct, frozen=True):
    """All fields of a block, by every name they may be written with."""

    attributes: Mapping[str, Field]
    blocks: Mapping[str, Field]


_OWN = frozenset({"block", "kept", "label"})


@functools.cache
def shape_of(cls: type[Node]) -> Shape:
    """The fields of a schema class."""
    hints = get_type_hints(cls)
    fields = [field_of(name, hints[name]) for name in cls.__struct_fields__ if name not in _OWN]
    named = {field.name: field for field in fields}
    named |= {alias: named[name] for alias, name in cls.ALIASES.items()}
    return Shape(
        attributes={name: field for name, field in named.items() if field.node is None},
        blocks={name: field for name, field in named.items() if field.node is not None},
    )


def field_of(name: str, hint: Any) -> Field:
    """How a field of this type is read. Raises TypeError for a type without converter."""
    many = False
    if hint not in KINDS:
        if get_origin(hint) in (Union, types.UnionType):
            (hint,) = [arg for arg in get_args(hint) if arg is not type(None)]
        if get_origin(hint) is tuple:
            many, hint = True, get_args(hint)[0]
        elif get_origin(hint) in (dict, Mapping):
            return Field(name, KINDS[str], mapped=True, listed=get_origin(get_args(hint)[1]) is tuple)
    if isinstance(hint, type) and issubclass(hint, Node):
        return Field(name, node=hint, many=many)
    if hint not in KINDS:
        raise TypeError(f"no converter for the field {name}: {hint!r}")
    return Field(name, KINDS[hint], listed=many, secret=hint is Secret)


def read(cls: type[N], block: hcl.Block, report: Report, *, label: str = "") -> N:
    """The block as a value of *cls*; what is wrong goes to *report*."""
    shape = shape_of(cls)
    found: dict[str, Any] = {}
    kept: dict[str, tuple[int, ...]] = {}
    written: set[str] = set()
    for name, attribute in block.attributes.items():
        field = shape.attributes.get(name)
        if field is None:
            if not cls.OPEN:
                unknown(cls, shape, name, attribute.place, report, block=False)
            continue
        if field.name in written:
            report.fault(
                attribute.place, f"`{name}` is another name of what is set already; write one of them"
            )
        written.add(field.name)
        value = value_of(field, attribute, report, either=field.name in cls.EITHER)
        if field.listed and not field.mapped and value is not None:
            kept[field.name] = tuple(number for number, item in enumerate(value) if item is not None)
            value = tuple(item for item in value if item is not None)
        if value is not None:
            found[field.name] = value
    for child in block.blocks:
        field = shape.blocks.get(child.type) or shape.attributes.get(child.type)
        if field is not None and field.mapped and not child.labels and field.name not in written:
            written.add(field.name)
            found[field.name] = entries_of(field, child, report)
            continue
        if field is None or field.node is None:
            if not cls.OPEN:
                unknown(cls, shape, child.type, child.place, report, block=True)
            continue
        written.add(field.name)
        add_block(field, child, found, report)
    for name in cls.REQUIRED:
        if name not in written:
            report.fault(
                block.place,
                f"{title(cls, block)} has no `{name}`: {_example(shape, name, either=name in cls.EITHER)}",
            )
    for name, value in found.items():
        if isinstance(value, list):
            found[name] = tuple(value)
    return cls(block=block, label=label, kept=kept, **found)


def add_block(field: Field, child: hcl.Block, found: dict[str, Any], report: Report) -> None:
    """Read a block into its field."""
    cls = field.node
    assert cls is not None
    if cls.LABEL and len(child.labels) != 1:
        report.fault(child.place, f'`{child.type}` has one label, {cls.LABEL}: {child.type} "…" {{ … }}')
        return
    if not cls.LABEL and child.labels:
        report.fault(child.labels[0].place, f"`{child.type}` has no label: {child.type} {{ … }}")
        return
    label = str(child.labels[0].data) if child.labels else ""
    if hcl.BROKEN in label:
        return
    node = read(cls, child, report, label=label)
    if field.many:
        found.setdefault(field.name, []).append(node)
    elif field.name in found:
        first = found[field.name].block.place.short
        report.fault(child.place, f"`{child.type}` stands here twice; the first is at {first}")
    else:
        found[field.name] = node


def value_of(field: Field, attribute: hcl.Attribute, report: Report, *, either: bool = False) -> Any:
    """The attribute's value converted; None when it is unset or at fault, as is each item of a list."""
    value = attribute.value
    if value.data is None or value.data == hcl.BROKEN:
        return None
    assert field.kind is not None
    if field.mapped:
        return _mapping(field, value, report)
    if not field.listed:
        return _single(field, value, report)
    if either and not isinstance(value.data, tuple | dict):
        value = hcl.Value((value,), value.place)
    if not isinstance(value.data, tuple):
        shown = f'["{value.data}"]' if isinstance(value.data, str) and not field.secret else "[…]"
        report.fault(value.place, f"`{field.name}` is a list: {attribute.name} = {shown}")
        return None
    return tuple(None if item.data == hcl.BROKEN else _single(field, item, report) for item in value.data)


def entries_of(field: Field, block: hcl.Block, report: Report) -> dict[str, Any]:
    """An object written as a block: `claims { groups = "roles" }`."""
    for child in block.blocks:
        report.fault(child.place, f'`{block.type}` holds attributes only: name = "…"')
    data = {name: attribute.value for name, attribute in block.attributes.items()}
    written = hcl.Attribute(block.type, hcl.Value(data, block.place), block.place)
    return value_of(field, written, report) or {}


def _single(field: Field, value: hcl.Value, report: Report) -> Any:
    kind = field.kind
    assert kind is not None
    if isinstance(value.data, tuple | dict) or value.data is None:
        report.fault(value.place, f"`{field.name}` is one {kind.words}, not {_written(value.data)}")
        return None
    if kind.text and not isinstance(value.data, str):
        article = "an" if kind.words[0] in "aeiou" else "a"
        written = _written(value.data)
        report.fault(value.place, f"`{field.name}` is {article} {kind.words} in double quotes, not {written}")
        return None
    try:
        return kind.convert(value.data)
    except Unfit as exc:
        report.fault(value.place, f"`{field.name}` {exc}" if not str(exc).startswith("`") else str(exc))
        return None


def _mapping(field: Field, value: hcl.Value, report: Report) -> Any:
    if not isinstance(value.data, dict):
        report.fault(value.place, f'`{field.name}` is an object: {field.name} = {{ name = "value" }}')
        return None
    one = _texts if field.listed else _single
    items = {key: one(field, item, report) for key, item in value.data.items() if item.data != hcl.BROKEN}
    return {key: item for key, item in items.items() if item is not None}


def _texts(field: Field, value: hcl.Value, report: Report) -> tuple[Any, ...] | None:
    items = value.data if isinstance(value.data, tuple) else (value,)
    found = [_single(field, item, report) for item in items if item.data != hcl.BROKEN]
    return tuple(item for item in found if item is not None) or None


def _written(data: Any) -> str:
    if isinstance(data, tuple):
        return "a list"
    if isinstance(data, dict):
        return "an object"
    if isinstance(data, bool):
        return "true" if data else "false"
    return "a number" if isinstance(data, int | float) else "null"


def unknown(cls: type[Node], shape: Shape, name: str, place: Place, report: Report, *, block: bool) -> None:
    """Report a name that is no attribute or block here, as helpfully as can be."""
    other = shape.attributes if block else shape.blocks
    if name in cls.LATER:
        advice = cls.LATER[name]
        report.fault(place, f"`{name}` is not in this version yet" + (f": {advice}" if advice else ""))
    elif name in cls.IGNORED:
        report.warn(place, f"`{name}` has no effect here: {cls.IGNORED[name]}")
    elif name in other:
        form = f"{name} = …" if block else f"{name} {{ … }}"
        report.fault(place, f"`{name}` is {'an attribute' if block else 'a block'}: write {form}")
    else:
        known = [*shape.attributes, *shape.blocks, *cls.LATER]
        what = "block" if block else "attribute"
        report.fault(place, f"there is no {what} `{name}` here{nearest(name, known)}")


def title(cls: type[Node], block: hcl.Block) -> str:
    """How a block is called in a sentence."""
    if not block.type:
        return "the configuration"
    label = f' "{block.labels[0].data}"' if block.labels and cls.LABEL else ""
    return f"{block.type}{label}"


def _example(shape: Shape, name: str, *, either: bool) -> str:
    if name in shape.blocks:
        return f"{name} {{ … }}"
    field = shape.attributes[name]
    if field.listed and not either:
        return f'{name} = ["…"]'
    kind = field.kind
    return f'{name} = "…"' if kind is not None and kind.text else f"{name} = …"
