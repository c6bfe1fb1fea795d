"""Certificates: when they end, and whether who shows one is believed."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography import x509

from vestibule.core.postgres import Postgres
from vestibule.doctor import own_tls
from vestibule.doctor.finding import About, Finding
from vestibule.doctor.patient import Patient

_ABOUT: Final = About("certificates")
SOON_S: Final = 14 * 86400.0
CONNECT_S: Final = 5.0
_RENEW: Final = "renew it, and see why that was not done by itself"


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What a TLS handshake came to."""

    subject: str
    ends_at: float = 0.0
    """0: unknown."""
    why: str = ""
    """Why it was refused; empty: it is believed."""
    is_reached: bool = True


async def look(patient: Patient, now: float) -> list[Finding]:
    """Those of files, and those that people are shown by `public_url`."""
    found = [finding for subject, pem in _texts(patient) for finding in of_file(subject, pem, now)]
    hosts = patient.hosts
    if patient.compiled is not None:
        found += await asyncio.to_thread(own_tls.look, patient.compiled, now)
        hosts = tuple(own_tls.asked_as_browsers_do(hosts, patient.compiled))
    urls = [host.base_url for host in hosts if host.base_url.startswith("https://")]
    shown = await asyncio.gather(*(_shown_at(url) for url in dict.fromkeys(urls)))
    return [*found, *(finding_of(one, now) for one in shown)]


def _texts(patient: Patient) -> list[tuple[str, str]]:
    """Certificates of the configuration, each with what it is for."""
    compiled = patient.compiled
    if compiled is None:
        return []
    found: dict[tuple[str, str], None] = {}
    for host in compiled.table.hosts.values():
        name = host.name.decode("ascii").removeprefix("serving:")
        for route in host.routes.values():
            for server in route.backend.servers:
                if server.trust.authorities:
                    found[f"backend_ca of {name}", server.trust.authorities] = None
                if server.trust.shown is not None:
                    found[f"backend_certificate of {name}", server.trust.shown.reveal()] = None
    paths = []
    if isinstance(compiled.database, Postgres):
        paths.append(compiled.database.sslrootcert)
    if compiled.sessions is not None:
        paths += [compiled.sessions.ca, compiled.sessions.cert]
    return [*found, *((path, _read(path)) for path in paths if path)]


def _read(path: str) -> str:
    try:
        return Path(path).read_text("ascii", "replace")
    except OSError:
        return ""


def of_file(subject: str, pem: str, now: float) -> list[Finding]:
    """When the first of the certificates in this text ends. What else stands in it, a key for one, is not looked at."""
    begin = "-----BEGIN CERTIFICATE-----"
    blocks = [begin + part.partition("-----END CERTIFICATE-----")[0] for part in pem.split(begin)[1:]]
    try:
        ends = [
            x509.load_pem_x509_certificate(
                f"{block}-----END CERTIFICATE-----\n".encode()
            ).not_valid_after_utc.timestamp()
            for block in blocks
        ]
    except ValueError:
        ends = []
    if not ends:
        return [
            _ABOUT.fail(
                subject,
                "certificate_unread",
                "there is no certificate in it",
                "write a file of certificates in PEM",
            )
        ]
    return [_of_end(subject, min(ends), now)]


def _of_end(subject: str, ends_at: float, now: float) -> Finding:
    day = datetime.fromtimestamp(ends_at, UTC).strftime("%Y-%m-%d")
    if ends_at <= now:
        return _ABOUT.fail(subject, "certificate_ended", f"it ended on {day}", _RENEW)
    if ends_at <= now + SOON_S:
        return _ABOUT.warn(subject, "certificate_ends", f"it ends on {day}", _RENEW)
    return _ABOUT.ok(subject, "certificate_good", f"good until {day}")


def finding_of(shown: Shown, now: float) -> Finding:
    """What a handshake means."""
    if not shown.is_reached:
        return _ABOUT.fail(
            shown.subject,
            "edge_unreached",
            f"nobody answers there: {shown.why}",
            "start what speaks TLS there, this gateway or an edge; look at its address in DNS, and at firewalls on "
            "the way",
        )
    if shown.why:
        return _ABOUT.fail(
            shown.subject,
            "certificate_refused",
            f"browsers refuse it: {shown.why}",
            "what speaks TLS there needs a certificate for this name, with its chain, from an authority that browsers "
            "know",
        )
    return _of_end(shown.subject, shown.ends_at, now)


async def _shown_at(url: str) -> Shown:
    parts = urlsplit(url)
    return await handshake(url, parts.hostname or "", parts.port or 443, ssl.create_default_context())


async def handshake(subject: str, host: str, port: int, context: ssl.SSLContext, name: str = "") -> Shown:
    """What connecting by TLS comes to."""
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(
                host, port, ssl=context, server_hostname=name or host, ssl_handshake_timeout=CONNECT_S
            )
    except ssl.SSLCertVerificationError as exc:
        return Shown(subject=subject, why=exc.verify_message)
    except ssl.SSLError as exc:
        return Shown(subject=subject, why=f"no TLS: {exc.reason or 'the handshake broke off'}")
    except (OSError, TimeoutError) as exc:
        return Shown(subject=subject, why=why_of(exc), is_reached=False)
    ends_at = ends_of(writer.get_extra_info("peercert"))
    writer.transport.abort()
    return Shown(subject=subject, ends_at=ends_at)


def ends_of(peer: dict[str, str] | None) -> float:
    """When a certificate that was checked ends; 0 where none was."""
    return float(ssl.cert_time_to_seconds(peer["notAfter"])) if peer else 0.0


def why_of(exc: BaseException) -> str:
    """What is in the way of a connection, in words."""
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    if isinstance(exc, ConnectionRefusedError):
        return "connection refused"
    return (isinstance(exc, OSError) and exc.strerror) or str(exc) or type(exc).__name__
