"""What is checked of `serving` blocks: their ports, who gets through, and which hosts lead to them.

A serving is resolved as a host is, so that its rules, credentials and headers are the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from vestibule.config import hcl, schema
from vestibule.config.caller import read_issuers
from vestibule.config.client import Client
from vestibule.config.host import Scope, check_backends, scope_of
from vestibule.config.place import Place, Report, Unfit, nearest
from vestibule.config.rule import rule_of
from vestibule.config.schema_host import Access, Host, Route
from vestibule.config.schema_serving import Serving as Node
from vestibule.config.value import port
from vestibule.config.variables import named
from vestibule.core.listener import ListenAddress
from vestibule.core.passage import Passage
from vestibule.core.route import serving_name

_ID_RE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """A serving as it was resolved."""

    node: Node
    scope: Scope
    listen: ListenAddress
    believed: tuple[str, ...]
    """Full names of those who sign people in at hosts that lead to it."""


def check_servings(
    config: schema.Config, clients: Mapping[str, Client], scopes: Mapping[str, Scope], report: Report
) -> tuple[Serving, ...]:
    """Every serving that has no fault; and hosts that lead to none."""
    found: dict[str, Serving] = {}
    ids: dict[str, Node] = {}
    issuers = read_issuers(config.issuer, Report())  # what is wrong with them was told with the hosts
    for node in config.serving:
        first = ids.setdefault(node.label, node)
        if first is not node:
            report.fault(
                node.label_at,
                f"there are two servings `{node.label}`; the first is at {first.label_at.short}",
            )
            continue
        if not _ID_RE.fullmatch(node.label):
            report.fault(
                node.label_at, f"`{node.label}` can't be an ID: letters, digits, `.`, `_`, `-`, at most 64"
            )
            continue
        listen = _listen(node, report)
        believed = _leading(node.label, scopes)
        host = _as_host(node, believed)
        name = serving_name(node.label).decode()
        takes_access = bool(config.app or config.machine)  # who comes by a host that leads here may show one
        scope = scope_of(
            host, name, clients, config.gateway, report, issuers=issuers, takes_access=takes_access
        )
        check_backends(host, report)
        _check_ends_here(node, report)
        if listen is not None:
            found[node.label] = Serving(node=node, scope=scope, listen=listen, believed=believed)
    for scope in scopes.values():
        _check_leading(scope, ids, report)
    return tuple(found.values())


def _listen(node: Node, report: Report) -> ListenAddress | None:
    if node.port is None:
        return None
    try:
        return ListenAddress(host="127.0.0.1", port=port(node.port))
    except Unfit as exc:
        report.fault(node.at("port"), str(exc))
        return None


def _leading(id_: str, scopes: Mapping[str, Scope]) -> tuple[str, ...]:
    """Full names of those who sign people in at hosts that lead to this serving."""
    theirs = (
        full
        for scope in scopes.values()
        if any(backend.serving == id_ for part in _parts(scope) for backend in part.backend)
        for full in scope.sign_in
    )
    return tuple(dict.fromkeys(theirs))


def _parts(scope: Scope) -> tuple[Host | Route, ...]:
    return (scope.node, *scope.node.route)


def _as_host(node: Node, sign_in: tuple[str, ...]) -> Host:
    """The host that it is like: one that says who gets through, if only that everybody does."""
    names = set(Host.__struct_fields__) & set(Node.__struct_fields__)
    same: dict[str, Any] = {name: getattr(node, name) for name in names}
    takes_callers = node.apikey_auth is not None or node.require_jwt is not None or bool(node.issuers)
    if node.access is None and not takes_callers:
        same["access"] = _everybody(node.block.place)
    if node.access is not None and sign_in:
        block, place = node.block, node.block.place
        listed = named(sign_in=hcl.Value(tuple(hcl.Value(one, place) for one in sign_in), place))
        written = {**block.attributes, **listed}
        same["block"] = hcl.Block(block.type, place, block.labels, written, block.blocks)
        same["sign_in"] = sign_in
    return Host(**same)


def _everybody(place: Place) -> Access:
    allow = hcl.Value((hcl.Value("public", place),), place)
    block = hcl.Block("access", place, (), named(allow=allow))
    return Access(block=block, allow=(rule_of("public"),))


def _check_ends_here(node: Node, report: Report) -> None:
    for number, backend in enumerate(node.backend):
        if backend.serving:
            report.fault(
                node.at("backend", number),
                "a serving leads to a server, and not to another: name that one's backend",
            )


def _check_leading(scope: Scope, known: Iterable[str], report: Report) -> None:
    """What leads to a serving: there is one of that name, and all that is said of requests is said there."""
    ids = tuple(known)
    for part, passed in zip(_parts(scope), scope.passed, strict=True):
        backends = part.backend or scope.node.backend
        for number, backend in enumerate(part.backend):
            if backend.serving and backend.serving not in ids:
                advice = (
                    nearest(backend.serving, ids)
                    or f'; add serving "{backend.serving}" {{ port = 4700 backend = "localhost:3000" }}'
                )
                report.fault(part.at("backend", number), f"there is no serving `{backend.serving}`{advice}")
        leads = any(backend.serving for backend in backends)
        if leads and replace(passed.passage or Passage(), origins=frozenset()) != Passage():
            report.fault(
                part.at("backend"),
                "what is said here of paths, headers and times has no effect in front of a serving: write it there",
            )
