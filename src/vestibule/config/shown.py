"""The configuration as text that anybody may read: what is a secret, or may be one, stands there as `"***"`.

It is written anew from the tree, without comments: who has commented out a line with a secret in it finds nothing of
it here. What `env` and `file` have put in stands as it was written; what it came to is in no text. An attribute that
the schema doesn't know is masked whole: nobody can say what it holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from vestibule.config import hcl, schema
from vestibule.config.client import class_of, fields_of
from vestibule.config.schema_client import AuthorizeParameter, OAuth, Provider
from vestibule.config.schema_passage import Header
from vestibule.config.schema_webhook import Webhook
from vestibule.config.shape import Field, Node, shape_of
from vestibule.config.value import KINDS, StoreUrl
from vestibule.config.write import quoted
from vestibule.core.redis import Redis

MASK: Final = '"***"'
_WIDTH: Final = 100
_SOURCES: Final[Mapping[type[Node], str]] = {
    schema.ClientCredentials: "client_credentials",
    schema.ServiceAccount: "service_account",
}
"""Kinds of the blocks that are of one kind."""
_TEMPLATE_RE: Final = re.compile(r"\{[a-z][A-Za-z0-9_./-]*\}")
_USER_RE: Final = re.compile(r"(?<=://)[^/?#\s]*@")
_QUERY_RE: Final = re.compile(r"(?<=[?&])([^=&#\s\"]+)=[^&#\s\"]*")
_ORIGIN_RE: Final = re.compile(r"([a-z]+://[^/?#\s]*)([/?#].+)", re.DOTALL)
_STORE_USER_RE: Final = re.compile(r"(?<=://).*@", re.DOTALL)
_HARMLESS: Final = frozenset({"sslmode", "sslrootcert", "ca", "cert", "key", "host", "sentinel_user"})
"""Parameters of stores' URLs that say where and how."""
_ORDINARY: Final = frozenset(
    {"access_type", "acr_values", "audience", "display", "hd", "max_age", "prompt", "resource", "ui_locales"}
)
"""Parameters of authorization requests that no secret stands in."""
_WORDS: Final = {True: "true", False: "false", None: "null"}
_VARIABLE_RE: Final = re.compile(r"[A-Z][A-Z0-9_]*")

Mark = Callable[[Any], str]
"""What stands behind a value that can't be seen, to tell it from another; made of what it is."""


class Shown(msgspec.Struct, frozen=True):
    """One block at top level."""

    kind: str
    name: str
    place: str
    text: str


class _Known(msgspec.Struct, frozen=True):
    """What a block may hold."""

    cls: type[Node]
    attributes: Mapping[str, Field]
    blocks: Mapping[str, Field]


def blocks_of(document: hcl.Block) -> tuple[Shown, ...]:
    """Each block of the whole configuration, masked."""
    return tuple(
        Shown(block.type, _label(block), block.place.short, "\n".join(lines))
        for block, lines in marked_blocks(document, _no_mark)
    )


def marked_blocks(document: hcl.Block, mark: Mark) -> Iterator[tuple[hcl.Block, list[str]]]:
    """The lines of each block, masked, with a mark behind all that can't be seen."""
    root = _known(schema.Config, document)
    for block in document.blocks:
        yield block, list(_block(block, root, mark))


def variables_of(document: hcl.Block) -> tuple[str, ...]:
    """Names of the environment variables that something of it comes from, in order."""
    found = set()
    for value in _values(document):
        found |= set(value.names)
        if not value.place.line and _VARIABLE_RE.fullmatch(value.place.file):
            found.add(value.place.file)
    return tuple(sorted(found))


def masked_text(text: str) -> str:
    """A sentence without what may be a secret in the URLs it names."""
    return _QUERY_RE.sub(r"\1=***", _USER_RE.sub("***@", text))


# -- blocks -----------------------------------------------------------------------------------------


def _known(cls: type[Node], block: hcl.Block) -> _Known:
    shape = shape_of(cls)
    attributes = dict(shape.attributes)
    if cls.OPEN:
        written = block.attributes.get("type")
        label = _label(block) if cls is Provider else "oauth2" if cls is OAuth else ""
        kind = _SOURCES.get(cls, "") or (str(written.value.data) if written else label)
        found = class_of(kind)
        attributes |= dict(fields_of(found).attributes) if found is not None else {}
    return _Known(cls, attributes, shape.blocks)


def _label(block: hcl.Block) -> str:
    return str(block.labels[0].data) if block.labels else ""


def _block(block: hcl.Block, around: _Known, mark: Mark) -> Iterator[str]:
    labels = "".join(f" {quoted(str(label.data))}" for label in block.labels)
    field = around.blocks.get(block.type)
    entries = around.attributes.get(block.type)
    if field is not None and field.node is not None:
        inside = _known(field.node, block)
    elif entries is not None and entries.mapped and not entries.secret:
        inside = _Known(
            Node, dict.fromkeys(block.attributes, Field(block.type, entries.kind, listed=entries.listed)), {}
        )
    else:
        inside = _Known(Node, {}, {})  # nothing is known of it, so nothing of it is shown
    yield f"{block.type}{labels} {{"
    for name, attribute in block.attributes.items():
        yield from (f"  {line}" for line in _attribute(name, attribute.value, block, inside, mark))
    for child in block.blocks:
        yield from (f"  {line}" for line in _block(child, inside, mark))
    yield "}"


def _attribute(name: str, value: hcl.Value, block: hcl.Block, known: _Known, mark: Mark) -> Iterator[str]:
    field = known.attributes.get(name)
    text = (
        MASK + mark(_plain(value))
        if _is_hidden(field, value, block, known)
        else _text(value, field, known, mark)
    )
    yield from f"{name} = {text}".split("\n")


def _is_hidden(field: Field | None, value: hcl.Value, block: hcl.Block, known: _Known) -> bool:
    if field is None:
        return True
    if known.cls is Header and field.name == "value":
        whole = value.data if isinstance(value.data, str) else ""
        return bool(value.written) or _TEMPLATE_RE.fullmatch(whole) is None
    if known.cls is AuthorizeParameter and field.name == "value":
        named = block.attributes.get("name")
        return named is None or named.value.data not in _ORDINARY
    return field.secret


# -- values -----------------------------------------------------------------------------------------


def _text(value: hcl.Value, field: Field | None, known: _Known, mark: Mark) -> str:
    """A value that may be seen, but for what stands in URLs."""
    if value.written:
        return _address(value.written, field, known) + mark(_plain(value))
    data = value.data
    if isinstance(data, tuple):
        return _listed([_text(item, field, known, mark) for item in data])
    if isinstance(data, dict):
        items = [f"{quoted(key)} = {_text(item, field, known, mark)}" for key, item in data.items()]
        return "{ " + ", ".join(items) + " }" if items else "{}"
    if isinstance(data, str):
        shown = _address(data, field, known)
        return quoted(shown) + (mark(data) if shown != data else "")
    return str(data) if isinstance(data, int | float) and not isinstance(data, bool) else _WORDS[data]


def _listed(items: list[str]) -> str:
    line = f"[{', '.join(items)}]"
    if len(line) <= _WIDTH:
        return line
    return "\n".join(("[", *(f"  {item}," for item in items), "]"))


def _address(text: str, field: Field | None, known: _Known) -> str:
    """The text without user, password and what stands in parameters, where it is a URL.

    A webhook's path is its receiver's secret more often than not.
    """
    if "://" not in text:
        return text
    if field is not None and _is_store(field):
        return _QUERY_RE.sub(_parameter, _STORE_USER_RE.sub("***@", text))
    text = masked_text(text)
    if known.cls is Webhook:
        return _ORIGIN_RE.sub(r"\1/***", text)
    return text


def _is_store(field: Field) -> bool:
    return field.kind in (KINDS[StoreUrl], KINDS[Redis])


def _parameter(found: re.Match[str]) -> str:
    return found[0] if found[1] in _HARMLESS else f"{found[1]}=***"


def _plain(value: hcl.Value) -> Any:
    """What a value came to, without places."""
    if isinstance(value.data, tuple):
        return [_plain(item) for item in value.data]
    if isinstance(value.data, dict):
        return {key: _plain(item) for key, item in value.data.items()}
    return value.data


def _values(block: hcl.Block) -> Iterator[hcl.Value]:
    """All of a block, and of those inside of it."""
    waiting: list[hcl.Value] = [*block.labels, *(one.value for one in block.attributes.values())]
    while waiting:
        value = waiting.pop()
        yield value
        inside: Iterable[hcl.Value] = ()
        if isinstance(value.data, tuple):
            inside = value.data
        elif isinstance(value.data, dict):
            inside = value.data.values()
        waiting.extend(inside)
    for child in block.blocks:
        yield from _values(child)


def _no_mark(_data: Any) -> str:
    return ""
