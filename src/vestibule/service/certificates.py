"""Certificates that are in use or have to be had: those that browsers are shown, those towards backends and stores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
from cryptography import x509
from msgspec.structs import replace

from vestibule.admin_model import CertificateState
from vestibule.config.compile import Compiled
from vestibule.core.certificate import Certificate, Source, Wanted
from vestibule.core.postgres import Postgres
from vestibule.core.route import Backend, Host
from vestibule.service.acme_states import NameState
from vestibule.service.certificate_alarms import shown_once

_SOURCES: Final = {Source.ACME: "acme", Source.FILE: "file", Source.LOCAL: "local authority"}
_WORDS_MAX: Final = 200
_MOST: Final = 200
"""A bundle of all authorities there are would tell nobody anything."""
_MEND: Final = {
    Source.ACME: "",
    Source.FILE: "mend the file: it is looked at again by itself",
    Source.LOCAL: "mend the state directory: it is made again by itself",
}


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """What browsers are to be shown, and how it is with getting it."""

    wanted: tuple[Wanted, ...] = ()
    troubles: Mapping[str, str] = MappingProxyType({})
    """What can't be had as it should, by file or name, each with why."""
    orders: tuple[NameState, ...] = ()
    """Of names whose certificates are ordered."""
    now: float = 0.0


NOTHING: Final = Sought()


def certificates_of(
    compiled: Compiled, shelf: Iterable[tuple[str, Certificate]] = (), sought: Sought = NOTHING
) -> tuple[CertificateState, ...]:
    """Each once, by what it is for: names that have none yet, those on the shelf, then those towards others.

    What can't be read of the last is left out: the connection that needs it tells of it.
    """
    shown = shown_once(shelf)
    return (*_missing(shown, sought), *_of_shelf(compiled, shown, sought), *_towards_others(compiled))


# -- those that browsers are shown --------------------------------------------------------------------


def _of_shelf(
    compiled: Compiled, shown: Iterable[tuple[tuple[str, ...], Certificate]], sought: Sought
) -> Iterator[CertificateState]:
    paths = {one.name: one.certificate_path for one in compiled.certificates}
    for names, certificate in shown:
        source = paths.get(names[0]) or _SOURCES[certificate.source]
        for one in _read(certificate.chain_pem.decode("ascii"))[:1]:
            state = _state(one, source, f"shown for {_listed(names)}")
            yield _with_how(state, names, certificate, sought)


def _with_how(
    state: CertificateState, names: tuple[str, ...], certificate: Certificate, sought: Sought
) -> CertificateState:
    """The state of one that is in force, with what is wrong with getting the next."""
    for order in sought.orders:
        if any(_stands_for(order.name, name) for name in names) and (order.is_ordered or order.failure):
            return _ordered(state, order, sought.now)
    for key in (state.source, *names):
        if why := sought.troubles.get(key, ""):
            return replace(state, state="failing", why=why, advice=_MEND[certificate.source])
    return state


def _missing(
    shown: Iterable[tuple[tuple[str, ...], Certificate]], sought: Sought
) -> Iterator[CertificateState]:
    """Names that nobody can reach by https, since there is no certificate for them."""
    has = {name for names, _ in shown for name in names}
    lacking = [one for one in sought.wanted if not {one.name, _wild(one.name)} & has]
    ordered: set[str] = set()
    for order in sought.orders:
        names = [
            one.name for one in lacking if one.source is Source.ACME and _stands_for(order.name, one.name)
        ]
        ordered.update(names)
        if names:
            yield _ordered(_none(order.name, "acme", names), order, sought.now)
    for one in lacking:
        if one.name in ordered:
            continue
        source = one.certificate_path or _SOURCES[one.source]
        why = sought.troubles.get(one.certificate_path or one.name, "")
        state = _none(one.name, source, [one.name])
        yield replace(state, state="failing", why=why, advice=_MEND[one.source]) if why else state


def _none(name: str, source: str, hosts: Iterable[str]) -> CertificateState:
    return CertificateState(
        names=(name,),
        issuer="",
        expires_at=None,
        source=source,
        detail=f"to be shown for {_listed(hosts)}",
        state="waiting",
    )


def _ordered(state: CertificateState, order: NameState, now: float) -> CertificateState:
    """With how it is with its order. What was wrong before stands beside an order that is under way again."""
    failure, at = order.failure, order.next_at or 0.0
    next_at = datetime.fromtimestamp(at, UTC) if at > now else None
    if failure is None:
        return replace(state, state="ordering" if order.is_ordered else state.state, next_at=next_at)
    return replace(
        state,
        detail=f"{state.detail}; tried at {failure.directory} by {failure.proof}",
        state="ordering" if order.is_ordered else "failing",
        why=failure.said or failure.code,
        advice=failure.advice,
        next_at=next_at,
    )


def _stands_for(ordered: str, name: str) -> bool:
    return ordered in (name, _wild(name))


def _wild(name: str) -> str:
    return f"*.{name.partition('.')[2]}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)[:_WORDS_MAX]


# -- those towards others -----------------------------------------------------------------------------


def _towards_others(compiled: Compiled) -> tuple[CertificateState, ...]:
    found: dict[tuple[str, str, bytes], CertificateState] = {}
    for pem, source, detail in _texts(compiled):
        for one in _read(pem):
            found.setdefault((source, detail, one.tbs_certificate_bytes), _state(one, source, detail))
    return tuple(found.values())[:_MOST]


def _texts(compiled: Compiled) -> Iterator[tuple[str, str, str]]:
    """PEM texts, each with where it comes from and what it is for."""
    database, redis = compiled.database, compiled.sessions
    if isinstance(database, Postgres) and database.sslrootcert:
        yield _contents(database.sslrootcert), database.sslrootcert, f"trusted for {database}"
    if redis is not None:
        for path, what in ((redis.ca, "trusted for"), (redis.cert, "shown to")):
            if path:
                yield _contents(path), path, f"{what} {redis}"
    for host in compiled.table.hosts.values():
        yield from _of_host(host)


def _of_host(host: Host) -> Iterator[tuple[str, str, str]]:
    for route in host.routes.values():
        for server in route.backend.servers:
            trust = server.trust
            if trust.authorities:
                yield trust.authorities, route.place, f"trusted for {_words(route.backend)}"
            if trust.shown is not None:
                # Only the certificates in it are read; its key is no part of what is told.
                yield trust.shown.reveal(), route.place, f"shown to {_words(route.backend)}"


def _words(backend: Backend) -> str:
    return ", ".join(map(str, backend.servers))


def _contents(path: str) -> str:
    try:
        return Path(path).read_text("ascii")
    except (OSError, UnicodeError):
        return ""


def _read(pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode("ascii"))
    except ValueError:
        return []


def _state(one: x509.Certificate, source: str, detail: str) -> CertificateState:
    return CertificateState(
        names=_names(one),
        issuer=one.issuer.rfc4514_string(),
        expires_at=one.not_valid_after_utc,
        source=source,
        detail=detail,
    )


def _names(one: x509.Certificate) -> tuple[str, ...]:
    """What it is for; without any such names, its subject."""
    try:
        found = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(str(name.value) for name in found)
    except (x509.ExtensionNotFound, ValueError):
        names = ()
    return names or (one.subject.rfc4514_string(),)
