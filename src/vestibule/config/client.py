"""Blocks whose attributes are a provider's own: read against the fields of its configuration class.

The classes stand in `providers.BUILTIN` by kind. `name` (the full name) is set here; every other field is an
attribute, or, where the block's class has it, a repeated block.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, get_type_hints
from urllib.parse import urlsplit

import msgspec

from vestibule import providers
from vestibule.config.place import Report, nearest
from vestibule.config.schema import AuthorizeParameter, OAuth, Provider
from vestibule.config.shape import Node, Shape, entries_of, field_of, shape_of, unknown, value_of
from vestibule.protocol.address import is_loopback
from vestibule.protocol.oauth2 import RESERVED
from vestibule.providers.base import ProviderConfig, RedirectLogin

#: kinds that stand in blocks of their own, never in `type = "…"`
_OWN_BLOCKS = frozenset({"oauth2", "client_credentials", "service_account"})
#: kinds of later versions
_LATER = frozenset({"atproto", "ldap", "password", "x"})
#: what people call a kind that is spelled quite otherwise
_CALLED: Final = MappingProxyType(
    {"microsoft": "entra", "azure": "entra", "azuread": "entra", "codeberg": "forgejo"}
)
#: attributes of other names, for every kind
_ALIASES = {"token_url": "access_token_url", "issuer_url": "issuer"}
_URLS = frozenset({"authorize_url", "access_token_url", "token_url", "userinfo_url", "revoke_url"})
_SET_HERE = frozenset({"name", "is_trusted"})
_PARAMETERS = "authorize_parameters"
"""The field that repeated `authorize_parameter` blocks go to."""


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """An identity client or a token source, ready to be opened."""

    id: str
    name: str
    """Full name: the ID at top level, `HOST/ID` inside a host."""
    kind: str
    config: ProviderConfig
    identifies: bool
    """False: it gives credentials only."""
    node: Node


@functools.cache
def _table() -> Mapping[str, type[Any]]:
    return providers.kinds()


def class_of(kind: str) -> type[msgspec.Struct] | None:
    """The configuration class of a kind; None when there is no such kind."""
    return _table().get(kind)


def kind_of(node: Provider | OAuth) -> str:
    """The kind an identity client's block is of."""
    return node.type or ("oauth2" if isinstance(node, OAuth) else node.label)


def provider_kinds() -> list[str]:
    """The kinds a `provider` block can be of."""
    return sorted(kind for kind in _table() if kind not in _OWN_BLOCKS)


def check_kind(node: Provider | OAuth, report: Report) -> str | None:
    """The kind of an identity client's block, or None with a fault when there is no such kind."""
    kind = kind_of(node)
    if isinstance(node, OAuth) and not node.type:
        return kind
    known = provider_kinds()
    if kind in known:
        return kind
    place = node.at("type") if node.type else node.block.labels[0].place
    kinds = ", ".join(known)
    if kind in _LATER:
        report.fault(place, f"providers of the kind `{kind}` are not in this version yet; there are {kinds}")
    elif node.type:
        report.fault(place, f"there is no kind of provider `{kind}`{_nearest(kind, known) or f': {kinds}'}")
    else:
        advice = _nearest(kind, known) or f"; there are {kinds}"
        report.fault(place, f'`{kind}` is no kind of provider: add type = "oidc" and an issuer{advice}')
    return None


def _nearest(kind: str, known: Iterable[str]) -> str:
    return f"; did you mean `{_CALLED[kind]}`?" if kind in _CALLED else nearest(kind, known)


def read_client(
    node: Node, kind: str, name: str, report: Report, *, is_trusted: bool = True
) -> Client | None:
    """The client of this block, or None when something in it is at fault (which *report* then holds).

    `is_trusted`: False for a row of the database, of which the class asks more.
    """
    cls = _table()[kind]
    before = len(report.faults)
    values = _values(cls, node, report)
    fields = msgspec.structs.fields(cls)
    needed = {field.name for field in fields if field.required} - set(_SET_HERE)
    for field in sorted(needed):
        _check_required(node, field, values, report)
    # One that is written and has no value was told of where it stands.
    if len(report.faults) > before or not needed <= values.keys():
        return None
    try:
        config: Any = cls(name=name, **values, **({} if is_trusted else {"is_trusted": False}))
        opened = config.open()
    except (ValueError, TypeError) as exc:
        # The class's own checks; their message begins with the attribute they are about.
        about = str(exc).split(" ", 1)[0]
        written = next((name for name in _names_of(about) if name in node.block.attributes), about)
        report.fault(node.at(written), f'{node.block.type} "{node.label}": {exc}')
        return None
    _warn_plain(node, report)
    identifies = isinstance(opened, RedirectLogin) and opened.identifies
    return Client(id=node.label, name=name, kind=kind, config=config, identifies=identifies, node=node)


def _warn_plain(node: Node, report: Report) -> None:
    """Threat: whoever stands between reads the tokens, and answers in the provider's place."""
    for name, attribute in node.block.attributes.items():
        url = attribute.value.data
        is_plain = isinstance(url, str) and url.lower().startswith("http://")
        if is_plain and not is_loopback(urlsplit(url).hostname or ""):
            text = f"{name}: plain http to another machine shows tokens to the network"
            report.warn(attribute.value.place, text)


def _check_required(node: Node, name: str, values: Mapping[str, Any], report: Report) -> None:
    if values.get(name) == "":
        report.fault(node.at(name), f"`{name}` is empty")
    elif name not in values and not any(written in node.block.attributes for written in _names_of(name)):
        report.fault(node.block.place, f'{node.block.type} "{node.label}" has no `{name}`: {name} = "…"')


def _names_of(name: str) -> tuple[str, ...]:
    return (name, *(alias for alias, field in _ALIASES.items() if field == name))


def _values(cls: type[msgspec.Struct], node: Node, report: Report) -> dict[str, Any]:
    shape = fields_of(cls)
    own = shape_of(type(node))
    everything = Shape(attributes={**shape.attributes, **own.attributes}, blocks=own.blocks)
    values: dict[str, Any] = {}
    for name, attribute in node.block.attributes.items():
        field = shape.attributes.get(name)
        if field is None and isinstance(node, OAuth) and name in _URLS:
            report.fault(attribute.place, f"`{name}` is known to the type {node.type}: leave it out")
        elif field is None and name not in own.attributes:
            unknown(type(node), everything, name, attribute.place, report, block=False)
        elif field is not None and field.name in values:
            report.fault(
                attribute.place, f"`{name}` is another name of what is set already; write one of them"
            )
        elif field is not None and (value := value_of(field, attribute, report)) is not None:
            whole = tuple(item for item in value if item is not None) if field.listed else value
            values[field.name] = whole
    for child in node.block.blocks:
        field = shape.attributes.get(child.type)
        if field is not None and field.mapped and not child.labels and field.name not in values:
            values[field.name] = entries_of(field, child, report)
        elif child.type not in own.blocks:
            unknown(type(node), everything, child.type, child.place, report, block=True)
    parameters = getattr(node, "authorize_parameter", ())
    if parameters:
        _check_parameters(parameters, report)
        values[_PARAMETERS] = tuple((parameter.name, parameter.value) for parameter in parameters)
    return values


def _check_parameters(parameters: tuple[AuthorizeParameter, ...], report: Report) -> None:
    names = [parameter.name for parameter in parameters]
    for number, parameter in enumerate(parameters):
        if parameter.name in RESERVED:
            report.fault(parameter.at("name"), f"`{parameter.name}` is set by the gateway for each sign-in")
        elif parameter.name and parameter.name in names[:number]:
            report.fault(parameter.block.place, f"the parameter `{parameter.name}` stands here twice")


@functools.cache
def fields_of(cls: type[msgspec.Struct]) -> Shape:
    """The attributes of a provider's configuration class, by every name they may be written with."""
    hints = get_type_hints(cls)
    names = [field.name for field in msgspec.structs.fields(cls) if field.name not in _SET_HERE]
    fields = {name: field_of(name, hints[name]) for name in names if name != _PARAMETERS}
    aliases = {
        alias: fields[name] for alias, name in _ALIASES.items() if name in fields and alias not in fields
    }
    return Shape(attributes={**fields, **aliases}, blocks={})
