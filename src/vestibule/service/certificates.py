"""Certificates that are in use: those that this program trusts, and those that it shows.

It ends no TLS itself (an edge in front does), so there are none that browsers see.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography import x509

from vestibule.admin_model import CertificateState
from vestibule.config.compile import Compiled
from vestibule.core.postgres import Postgres
from vestibule.core.route import Backend, Host

_MOST: Final = 200
"""A bundle of all authorities there are would tell nobody anything."""


def certificates_of(compiled: Compiled) -> tuple[CertificateState, ...]:
    """Each once, by what it is for; what can't be read is left out: the connection that needs it tells of it."""
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
