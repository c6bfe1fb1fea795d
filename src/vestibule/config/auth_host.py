"""The auth hosts of `domain` blocks as hosts like others: made where no block is written, completed where one is.

Done on the tree, before it is read: what a block lacks is put in as if it were written where `auth_host` is. What can't
be read yet is left as it is, and told of by who reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from vestibule.config import hcl
from vestibule.config.host import TAKES_MORE
from vestibule.config.place import Unfit
from vestibule.config.value import Origin, host_name, origin
from vestibule.config.variables import named
from vestibule.core.domain import domain_of

_HOSTS: Final = ("host", "ingress")
_CLIENTS: Final = ("provider", "oauth", "oauth_client")


def with_auth_hosts(root: hcl.Block) -> hcl.Block:
    """The whole configuration with a block for each auth host."""
    written = {
        _label(block): block.attributes.get("auth_host") for block in root.blocks if block.type == "domain"
    }
    domains = [(name, name) for name in written if name]
    blocks = list(root.blocks)
    for name, attribute in written.items():
        auth = _name(attribute.value.data) if attribute else ""
        if not name or attribute is None or not auth or domain_of(auth, domains) != name:
            continue
        theirs = [block for block in blocks if _is_host(block) and domain_of(_label(block), domains) == name]
        others = [block for block in theirs if _label(block) != auth]
        own = next((block for block in theirs if _label(block) == auth), None)
        found = _completed(own, auth, attribute.value, others)
        if own is None:
            blocks.append(found)
        else:
            blocks[blocks.index(own)] = found
    return hcl.Block(root.type, root.place, root.labels, root.attributes, tuple(blocks))


def _completed(own: hcl.Block | None, auth: str, at: hcl.Value, others: Sequence[hcl.Block]) -> hcl.Block:
    """The auth host's block with all that it needs."""
    if own is None:
        own = hcl.Block("host", at.place, (hcl.Value(auth, at.place),))
    attributes = named(backend=hcl.Value("internal:account", at.place))
    offered = _union(others)
    if offered:
        attributes |= named(sign_in=hcl.Value(offered, at.place))
    if products := _products(others):
        attributes |= named(compat=hcl.Value(products, at.place))
    if people := _people(others):
        attributes |= named(htpasswd=people)
    if url := _public_url(auth, others):
        attributes |= named(public_url=hcl.Value(url, at.place))
    blocks = own.blocks
    if not any(block.type == "access" for block in blocks):
        # There is no app to be let into; what is the person's own asks for a sign-in by itself.
        everyone = hcl.Value((hcl.Value("public", at.place),), at.place)
        blocks = (*blocks, hcl.Block("access", at.place, (), named(allow=everyone)))
    return hcl.Block(own.type, own.place, own.labels, {**attributes, **own.attributes}, blocks)


def _union(hosts: Iterable[hcl.Block]) -> tuple[hcl.Value, ...]:
    """What these hosts sign people in with, of the clients at top level; `*` last, as it stands everywhere."""
    found: dict[str, hcl.Value] = {}
    for host in hosts:
        inline = {_text(block.labels[0]) for block in host.blocks if block.type in _CLIENTS and block.labels}
        listed = _data(host, "sign_in")
        for item in listed if isinstance(listed, tuple) else ():
            if _text(item) and _text(item) not in inline:
                found.setdefault(_text(item), item)
    more = found.pop(TAKES_MORE, None)
    return (*found.values(), *((more,) if more is not None else ()))


def _products(hosts: Iterable[hcl.Block]) -> tuple[hcl.Value, ...]:
    """Whose edges ask about these hosts, and send people here."""
    found: dict[str, hcl.Value] = {}
    for host in hosts:
        attribute = host.attributes.get("compat")
        listed = attribute.value.data if attribute is not None else ()
        for item in (
            listed if isinstance(listed, tuple) else (attribute.value,) if attribute is not None else ()
        ):
            if _text(item):
                found.setdefault(_text(item), item)
    return tuple(found.values())


def _people(hosts: Iterable[hcl.Block]) -> hcl.Value | None:
    """The password file of these hosts, where all that have one have the same."""
    written = [host.attributes["htpasswd"].value for host in hosts if "htpasswd" in host.attributes]
    return written[0] if len({value.data for value in written if isinstance(value.data, str)}) == 1 else None


def _public_url(auth: str, hosts: Iterable[hcl.Block]) -> str:
    """The auth host's by scheme and port of the others', where all that have one have the same."""
    urls = {url for host in hosts if (url := _origin(_data(host, "public_url")))}
    ways = {(url.partition("://")[0], url.partition("://")[2].partition(":")[2]) for url in urls}
    if len(ways) != 1:
        return ""
    [(scheme, port)] = ways
    return f"{scheme}://{auth}{':' if port else ''}{port}"


def _is_host(block: hcl.Block) -> bool:
    return block.type in _HOSTS and bool(_label(block))


def _label(block: hcl.Block) -> str:
    """The name in the label, canonical; empty where it is none."""
    return _name(block.labels[0].data) if len(block.labels) == 1 else ""


def _name(data: Any) -> str:
    try:
        return host_name(data) if isinstance(data, str) and data != hcl.BROKEN else ""
    except Unfit:
        return ""


def _origin(data: Any) -> Origin:
    try:
        return origin(data) if isinstance(data, str) and data != hcl.BROKEN else Origin("")
    except Unfit:
        return Origin("")


def _data(block: hcl.Block, name: str) -> Any:
    attributes: Mapping[str, hcl.Attribute] = block.attributes
    return attributes[name].value.data if name in attributes else None


def _text(value: hcl.Value) -> str:
    return value.data if isinstance(value.data, str) and value.data != hcl.BROKEN else ""
