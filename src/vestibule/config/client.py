"""Blocks whose attributes are a provider's own: read against the fields of its configuration class.

The classes stand in `providers.BUILTIN` by kind. `name` (the full name) is set here; every other field is an
attribute, or, where the block's class has it, a repeated block.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, get_type_hints

import msgspec

from vestibule import providers
from vestibule.config import hcl
from vestibule.config.place import Report, nearest
from vestibule.config.schema import AuthorizeParameter, OAuth, Provider
from vestibule.config.shape import Field, Node, Shape, field_of, read, shape_of, unknown, value_of
from vestibule.providers.base import ProviderConfig, RedirectLogin

#: kinds that stand in blocks of their own, never in `type = "…"`
_OWN_BLOCKS = frozenset({"oauth2", "client_credentials", "service_account"})
#: kinds of later versions
_LATER = frozenset(
    {
        "apple", "atproto", "auth0", "bitbucket", "cognito", "discord", "entra", "facebook", "gitea", "gitlab",
        "indieauth", "keycloak", "ldap", "linkedin", "microsoft", "okta", "password", "saml", "slack", "x",
    }
)  # fmt: skip
#: attributes of other names, for every kind
_ALIASES = {"access_token_url": "token_url", "issuer_url": "issuer"}
_SET_HERE = frozenset({"name"})


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


def kind_of(node: Provider) -> str:
    """The kind a provider block is of."""
    return node.type or node.label


def provider_kinds() -> list[str]:
    """The kinds a `provider` block can be of."""
    return sorted(kind for kind in providers.BUILTIN if kind not in _OWN_BLOCKS)


def check_kind(node: Provider | OAuth, report: Report) -> str | None:
    """The kind of an identity client's block, or None with a fault when there is no such kind."""
    if isinstance(node, OAuth):
        return "oauth2"
    kind = kind_of(node)
    known = provider_kinds()
    if kind in known:
        return kind
    place = node.at("type") if node.type else node.block.labels[0].place
    kinds = ", ".join(known)
    if kind in _LATER:
        report.fault(place, f"providers of the kind `{kind}` are not in this version yet; there are {kinds}")
    elif node.type:
        report.fault(place, f"there is no kind of provider `{kind}`{nearest(kind, known) or f': {kinds}'}")
    else:
        advice = nearest(kind, known) or f"; there are {kinds}"
        report.fault(place, f'`{kind}` is no kind of provider: add type = "oidc" and an issuer{advice}')
    return None


def read_client(node: Node, kind: str, name: str, report: Report) -> Client | None:
    """The client of this block, or None when something in it is at fault (which *report* then holds)."""
    cls = providers.BUILTIN[kind]
    before = len(report.faults)
    values = _values(cls, node, report)
    for field in msgspec.structs.fields(cls):
        if field.required and field.name not in _SET_HERE and field.name not in values:
            _missing(node, field.name, report)
    if len(report.faults) > before:
        return None
    try:
        config: Any = cls(name=name, **values)
        opened = config.open()
    except (ValueError, TypeError, msgspec.ValidationError) as exc:
        report.fault(node.block.place, f'{node.block.type} "{node.label}": {exc}')
        return None
    identifies = isinstance(opened, RedirectLogin) and opened.identifies
    return Client(id=node.label, name=name, kind=kind, config=config, identifies=identifies, node=node)


def _missing(node: Node, name: str, report: Report) -> None:
    shown = next((alias for alias, field in _ALIASES.items() if field == name and node.block.type != "provider"), name)
    if not any(written in node.block.attributes for written in (name, shown)):
        report.fault(node.block.place, f'{node.block.type} "{node.label}" has no `{shown}`: {shown} = "…"')


def _values(cls: type[Any], node: Node, report: Report) -> dict[str, Any]:
    shape = fields_of(cls)
    own = shape_of(type(node))
    values: dict[str, Any] = {}
    for name, attribute in node.block.attributes.items():
        field = shape.attributes.get(name)
        if field is None:
            if name not in own.attributes:
                _unknown(node, shape, own, name, attribute, report)
            continue
        if field.name in values:
            report.fault(attribute.place, f"`{name}` is another name of `{field.name}`, which stands here too")
            continue
        value = value_of(field, attribute, report)
        if value is not None:
            values[field.name] = value
    for child in node.block.blocks:
        if child.type not in own.blocks:
            unknown(type(node), _together(shape, own), child.type, child.place, report, block=True)
    parameters = getattr(node, "authorize_parameter", ())
    if parameters:
        _add_parameters(parameters, shape, values, node, report)
    return values


def _add_parameters(
    parameters: tuple[AuthorizeParameter, ...],
    shape: Shape,
    values: dict[str, Any],
    node: Node,
    report: Report,
) -> None:
    """Into the field `authorize_parameters`: pairs in the order written."""
    if "authorize_parameters" not in shape.attributes:
        report.fault(parameters[0].block.place, f"`{node.block.type}` takes no authorize_parameter here")
        return
    names = [parameter.name for parameter in parameters]
    for number, parameter in enumerate(parameters):
        if parameter.name and parameter.name in names[:number]:
            report.fault(parameter.block.place, f"the parameter `{parameter.name}` stands here twice")
        elif parameter.name in RESERVED_PARAMETERS:
            report.fault(parameter.at("name"), f"`{parameter.name}` is set by the gateway for each sign-in")
    pairs = tuple((parameter.name, parameter.value) for parameter in parameters)
    field = shape.attributes["authorize_parameters"]
    values["authorize_parameters"] = dict(pairs) if field.mapped else pairs


#: parameters of the authorization request that nobody may fix: state, nonce and PKCE protect the flow
RESERVED_PARAMETERS = frozenset(
    {
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "redirect_uri",
        "request",
        "request_uri",
        "response_mode",
        "response_type",
        "scope",
        "state",
    }
)


def _unknown(
    node: Node, shape: Shape, own: Shape, name: str, attribute: hcl.Attribute, report: Report
) -> None:
    unknown(type(node), _together(shape, own), name, attribute.place, report, block=False)


def _together(shape: Shape, own: Shape) -> Shape:
    hidden = {"authorize_parameters"}
    attributes = {k: v for k, v in {**shape.attributes, **own.attributes}.items() if k not in hidden}
    return Shape(attributes=attributes, blocks=own.blocks)


@functools.lru_cache(maxsize=64)
def fields_of(cls: type[Any]) -> Shape:
    """The attributes of a provider's configuration class, by every name they may be written with."""
    hints = get_type_hints(cls)
    fields: dict[str, Field] = {}
    for info in msgspec.structs.fields(cls):
        if info.name in _SET_HERE:
            continue
        hint = hints[info.name]
        fields[info.name] = (
            Field(info.name, mapped=_is_mapping(hint)) if info.name == "authorize_parameters" else field_of(info.name, hint)
        )
    for alias, name in _ALIASES.items():
        if name in fields and alias not in fields:
            fields[alias] = fields[name]
        elif alias in fields and name not in fields:
            fields[name] = fields[alias]
    return Shape(attributes=fields, blocks={})


def _is_mapping(hint: Any) -> bool:
    return getattr(hint, "__origin__", None) in (dict, Mapping)


__all__ = ["Client", "check_kind", "fields_of", "kind_of", "provider_kinds", "read", "read_client"]
