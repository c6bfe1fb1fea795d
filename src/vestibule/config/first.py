"""A first configuration: one host, one app, somebody who may come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec

from vestibule.config.backend import backend as check_backend
from vestibule.config.client import class_of, fields_of, provider_kinds
from vestibule.config.place import Unfit, nearest
from vestibule.config.rule import rule_of
from vestibule.config.value import host_name, port
from vestibule.config.write import Block, Env, Value, render
from vestibule.core.certificate import is_local_name, is_public_name
from vestibule.protocol.address import is_loopback, parse

PORT: Final = 8000
_NO_SECRET: Final = frozenset({"homeassistant", "indieauth", "saml"})


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """One way to sign in, and who may come in by it."""

    kind: str
    settings: Mapping[str, str] = {}
    """What of the provider is known: `issuer`, `tenant`."""
    orgs: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


class First(msgspec.Struct, frozen=True, kw_only=True):
    """The text, and what its reader has to do."""

    text: str
    redirect_urls: tuple[tuple[str, str], ...]
    """Kind of provider, and the URL to register with it."""
    variables: tuple[str, ...]
    """To be set before the start."""
    listen: tuple[str, ...]
    edge: str = ""
    """The name for which an edge in front must speak TLS; empty: there need be none."""
    ordered: str = ""
    """The name for which a certificate is ordered; empty: for none."""
    own: str = ""
    """The name for which one is made of the local authority; empty: for none."""


def first(
    host: str, backend: str, signs: Sequence[Sign], *, email: str = "", has_edge: bool = False
) -> First:
    """The configuration. Raises Unfit for what can't work.

    A host by a public name is reached by https, with a certificate that is ordered (`email`: where its CA may write
    to), unless an edge in front speaks TLS for it. Any other is for this machine.
    """
    name, number = _named(host)
    is_local = is_loopback(name)
    app = f"localhost:{backend}" if backend.isdecimal() else backend
    check_backend(app)
    made = [_provider(sign) for sign in signs]
    variables = [
        value.name for block in made for value in block.attributes.values() if isinstance(value, Env)
    ]
    allow = tuple(dict.fromkeys(rule for sign in signs for rule in _rules(sign, len(signs) > 1)))
    for rule in allow:
        rule_of(rule)
    url = (
        f"http://{name}:{number}"
        if is_local
        else f"https://{name}" + ("" if number == PORT else f":{number}")
    )
    attributes: dict[str, Value] = {"backend": app}
    has_tls = not (is_local or has_edge)
    if has_tls and not is_public_name(name) and not is_local_name(name):
        raise Unfit(
            f"`{name}`: no CA vouches for it; name it {name.partition('.')[0]}.test or {name}.internal"
        )
    ordered = has_tls and is_public_name(name)
    if has_tls:
        gateway: dict[str, Value] = {
            "http": ("0.0.0.0:80",),
            "https": (f"0.0.0.0:{443 if number == PORT else number}",),
        }
    else:
        gateway = {"http": (f"127.0.0.1:{number if is_local else PORT}",)}
    if has_edge and not is_local:
        attributes["public_url"] = url
        gateway["trusted_proxies"] = ("127.0.0.1", "::1")
    attributes["sign_in"] = tuple(block.label for block in made)
    access = Block("access", attributes={"allow": allow})
    acme = [Block("acme", attributes={"email": email} if email else {})] if ordered else []
    blocks = [Block("gateway", attributes=gateway), *acme, *made, Block("host", name, attributes, (access,))]
    return First(
        text=render(blocks),
        redirect_urls=tuple((block.label, f"{url}/@{block.label}/callback") for block in made),
        variables=tuple(variables),
        listen=(
            *cast("tuple[str, ...]", gateway["http"]),
            *cast("tuple[str, ...]", gateway.get("https", ())),
        ),
        edge=name if has_edge and not is_local else "",
        ordered=name if ordered else "",
        own=name if has_tls and not ordered else "",
    )


def _named(host: str) -> tuple[str, int]:
    """Name and port. Raises Unfit."""
    bare = host.partition("://")[2] or host
    name, colon, number = bare.rstrip("/").rpartition(":")
    if not colon or number.endswith("]"):
        name, number = bare.rstrip("/"), str(PORT)
    found: str = host_name(name)
    if not is_loopback(found) and _is_address(found):
        raise Unfit(
            f"`{found}` is an address, for which nobody gives a certificate: a name, or localhost to try it"
        )
    return found, port(number)


def _is_address(name: str) -> bool:
    try:
        parse(name.strip("[]"))
    except ValueError:
        return False
    return True


def _provider(sign: Sign) -> Block:
    """Its block; what isn't known of it is a variable to set. Raises Unfit."""
    kinds = provider_kinds()
    cls = class_of(sign.kind)
    if cls is None or sign.kind not in kinds:
        advice = nearest(sign.kind, kinds) or f"; there are {', '.join(kinds)}"
        raise Unfit(f"there is no kind of provider `{sign.kind}`{advice}")
    known = fields_of(cls).attributes
    required = [field.name for field in msgspec.structs.fields(cls) if field.required and field.name in known]
    if sign.kind == "oidc" and "issuer" not in required:
        required.append("issuer")
    if sign.kind == "saml" and "metadata" not in sign.settings:
        required.append("metadata_url")
    if "client_secret" not in required and "private_key" not in required and sign.kind not in _NO_SECRET:
        required.append("client_secret")
    attributes: dict[str, Value] = {}
    for name in sign.settings:
        if name not in known:
            raise Unfit(f"a provider of the kind {sign.kind} has no `{name}`{nearest(name, known)}")
    for name in dict.fromkeys((*sign.settings, *required)):
        attributes[name] = sign.settings.get(name) or Env(f"{sign.kind}_{name}".upper())
    if sign.orgs:
        attributes["allowed_orgs"] = sign.orgs
    return Block("provider", sign.kind, attributes)


def _rules(sign: Sign, qualified: bool) -> tuple[str, ...]:  # noqa: FBT001 - one of two lines of this module
    """The rules by which people of this provider come in; among several each names its own."""
    rules = (*sign.allow, *(f"org:{org}" for org in sign.orgs))
    if not qualified:
        return rules
    return tuple(rule.replace(":", f":{sign.kind}/", 1) for rule in rules)
