"""What a host's backends are told of who asks: the families of headers, and whether it is signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from vestibule.config.client import Client
from vestibule.config.place import Report
from vestibule.config.schema_host import Host, Route
from vestibule.core import route as core
from vestibule.core.claim import kept_names
from vestibule.core.inject import FAMILIES
from vestibule.core.route import OWN_HEADERS, POMERIUM_KEYS_PATH, Telling

_CALLED = {
    "oauth2-proxy": "X-Forwarded-User says whom the provider means",
    "authelia": "Remote-User says the login",
}
"""Families whose name for a person is one provider's word, and how."""


def telling(
    made: core.Host, node: Host, prefixes: Sequence[bytes | None], clients: Mapping[str, Client]
) -> core.Host:
    """The compiled host with what its backends are told; `clients` by full name."""
    # One value for all that tell alike, by which the gateway knows them.
    alike = {OWN_HEADERS: OWN_HEADERS}
    found = _telling(node, OWN_HEADERS, node.compat)
    tellings = {b"": alike.setdefault(found, found)}
    for route, prefix in zip(node.route, prefixes, strict=True):
        if prefix is not None:
            found = _telling(route, tellings[b""], node.compat)
            tellings[prefix] = alike.setdefault(found, found)
    families = {family for one in tellings.values() for family in one.families}
    callbacks = dict(made.callbacks)
    if "pomerium" in families:
        callbacks[POMERIUM_KEYS_PATH.encode()] = ()
    known = [clients[full] for full in made.sign_in if full in clients]
    return replace(
        made,
        routes={prefix: replace(route, telling=tellings[prefix]) for prefix, route in made.routes.items()},
        callbacks=callbacks,
        families=tuple(family for family in FAMILIES if family in families),
        kinds={client.name: client.kind for client in known},
        kept_claims=tuple(
            dict.fromkeys(
                name for client in known for name in kept_names(getattr(client.config, "claims", None) or {})
            )
        ),
    )


def _telling(node: Host | Route, inherited: Telling, products: Sequence[str]) -> Telling:
    """What the node says; a product whose paths the host has (`compat`) has its own names there, too."""
    families = inherited.families if node.identity_headers is None else node.identity_headers
    return Telling(
        families=tuple(family for family in FAMILIES if family in (*families, *products)),
        assertion=inherited.assertion if node.assertion is None else node.assertion,
    )


def check_telling(node: Host, sign_in: Sequence[str], *, takes_more: bool, report: Report) -> None:
    """Names that are one provider's word where several may give the same to different people."""
    if len(sign_in) + takes_more < 2:
        return
    nodes: tuple[Host | Route, ...] = (node, *node.route)
    for one in nodes:
        for number, family in enumerate(one.identity_headers or ()):
            if family in _CALLED:
                report.warn(
                    one.at("identity_headers", number),
                    f"`{family}`: {_CALLED[family]}, and two providers may give the same to two people; "
                    "let the app go by the address, or by User-Id",
                )
