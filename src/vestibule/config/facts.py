"""What a gateway on this configuration is: told once it is ready, to a person as a screen, to a log as an event."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import msgspec

from vestibule.config.compile import Compiled
from vestibule.core.certificate import Source
from vestibule.core.listener import ListenAddress
from vestibule.core.route import Host, is_serving, site_of


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One host."""

    name: str
    url: str
    """Where people reach it."""
    providers: tuple[str, ...]
    """Who signs people in there: full names."""
    is_public: bool
    """Its front page wants nobody to sign in."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that is told. Nothing of it is a secret."""

    hosts: tuple[HostFacts, ...]
    people: tuple[str, ...]
    """Where it listens for them."""
    certificates: tuple[str, ...]
    """How those are had that it shows: `acme` for 3 hosts, `file` for 1."""
    edges: tuple[str, ...]
    calls: tuple[tuple[str, str, str], ...]
    """ID, where it listens, what it calls."""
    servings: tuple[tuple[str, str], ...]
    admin: tuple[str, ...]
    providers: tuple[str, ...]
    """Full names and kinds."""
    workers: int
    state: str
    keys: str
    """Where the keys are."""
    store: str
    sessions: str
    """Where sessions are; empty: in the store."""


def facts_of(compiled: Compiled) -> Facts:
    """What it is."""
    table = compiled.table.hosts.values()
    redis = compiled.sessions
    store = compiled.database
    return Facts(
        hosts=tuple(_host(host, compiled.reached_at(host)) for host in table if not is_serving(host.name)),
        people=tuple(map(str, (*compiled.listeners, *compiled.https))),
        certificates=_certificates(compiled),
        edges=(
            *map(str, compiled.forward_auth),
            *(f"{at} (gRPC)" for at in compiled.forward_auth_grpc),
        ),
        calls=tuple((call.id, str(call.listen), str(call.endpoint)) for call in compiled.calls),
        servings=tuple((name, str(at)) for name, at in compiled.servings.items()),
        admin=tuple(str(at) for at in (compiled.admin_socket, compiled.admin_port) if at is not None),
        providers=tuple(_provider(name, compiled) for name in compiled.clients),
        workers=compiled.workers,
        state=str(compiled.state),
        keys="VESTIBULE_SESSION_KEY" if compiled.session_key is not None else str(compiled.key_file),
        store=f"sqlite:{store}" if isinstance(store, Path) else str(store),
        sessions="" if redis is None else str(redis),
    )


def _host(host: Host, at: ListenAddress) -> HostFacts:
    return HostFacts(
        name=host.name.decode("ascii"),
        url=site_of(host, at.scheme, at.shown_port).base_url,
        providers=(*host.sign_in, *(("those of the database",) if host.takes_more else ())),
        is_public=host.routes[b""].policy.public,
    )


def _certificates(compiled: Compiled) -> tuple[str, ...]:
    counts = Counter(wanted.source for wanted in compiled.certificates)
    return tuple(f"{count} {_SOURCES[source]}" for source, count in counts.items())


_SOURCES: Final = {
    Source.ACME: "ordered (acme)",
    Source.FILE: "from files",
    Source.LOCAL: "of the local authority",
}


def _provider(name: str, compiled: Compiled) -> str:
    kind = compiled.clients[name].open().kind
    return name if name.rpartition("/")[2] == kind else f"{name} ({kind})"


def fields_of(facts: Facts) -> dict[str, object]:
    """The same as fields of one log event, but for where it listens, which is known better there."""
    return {
        "hosts": [host.url for host in facts.hosts],
        "providers": list(facts.providers),
        "certificates": list(facts.certificates),
        "calls": [f"{name}: {at} to {api}" for name, at, api in facts.calls],
        "state": facts.state,
        "store": facts.store,
        "sessions": facts.sessions or facts.store,
        "keys": facts.keys,
        "workers": facts.workers,
    }
