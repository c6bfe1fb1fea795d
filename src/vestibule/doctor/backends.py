"""Backends and the APIs of calling interfaces: each connected to, and asked for the head of its first page."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from vestibule.core.route import Server
from vestibule.doctor.certificates import SOON_S, Shown, ends_of, why_of
from vestibule.doctor.finding import About, Finding
from vestibule.doctor.patient import Patient
from vestibule.proxy.trust import tls_context

_BACKENDS: Final = About("backends")
_CALLS: Final = About("calls")
CONNECT_S: Final = 4.0
ANSWER_S: Final = 5.0
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking a server."""

    server: str
    used_by: str
    tls: Shown | None = None
    """None: plain."""
    verify: bool = True
    why: str = ""
    """Why nobody was reached."""
    status: int = 0
    """Of the answer; 0: none that is HTTP."""
    said: str = ""
    """What was wrong with it."""


async def look(patient: Patient, now: float) -> list[Finding]:
    """Try all servers at once; directories are looked at."""
    compiled = patient.compiled
    if compiled is None:
        return []
    servers: dict[Server, dict[str, None]] = {}
    found: list[Finding] = []
    for host in compiled.table.hosts.values():
        name = host.name.decode("ascii")
        if patient.is_asked(host):
            continue  # its edge sends requests on; where to, the gateway doesn't know
        for route in host.routes.values():
            for server in route.backend.servers:
                servers.setdefault(server, {})[name] = None
        folders = {route.backend.static_dir for route in host.routes.values()} - {""}
        found += [of_directory(Path(folder)) for folder in sorted(folders)]
    found += await _tried_all(servers, _BACKENDS, now)
    endpoints: dict[Server, dict[str, None]] = {}
    authorities: dict[Server, str] = {}
    for call in compiled.calls:
        endpoints.setdefault(call.endpoint, {})[call.id] = None
        authorities[call.endpoint] = call.authority
    return [*found, *await _tried_all(endpoints, _CALLS, now, authorities)]


async def _tried_all(
    servers: Mapping[Server, Mapping[str, None]],
    about: About,
    now: float,
    authorities: Mapping[Server, str] | None = None,
) -> list[Finding]:
    tried = await asyncio.gather(
        *(
            _tried(server, ", ".join(names), (authorities or {}).get(server, next(iter(names))))
            for server, names in servers.items()
        )
    )
    return [finding for one in tried for finding in findings_of(one, about, now)]


async def _tried(server: Server, used_by: str, authority: str) -> Tried:
    tried = Tried(server=str(server), used_by=used_by, verify=server.verify)
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await _connected(server)
    except ssl.SSLCertVerificationError as exc:
        return msgspec.structs.replace(tried, tls=Shown(subject=tried.server, why=exc.verify_message))
    except ssl.SSLError as exc:
        why = f"no TLS: {exc.reason or 'the handshake broke off'}"
        return msgspec.structs.replace(tried, tls=Shown(subject=tried.server, why=why))
    except (OSError, TimeoutError) as exc:
        return msgspec.structs.replace(tried, why=why_of(exc))
    try:
        if server.tls:
            ends_at = ends_of(writer.get_extra_info("peercert"))
            tried = msgspec.structs.replace(tried, tls=Shown(subject=tried.server, ends_at=ends_at))
        asked = _greeted(reader, writer) if server.http2 else _asked(reader, writer, authority)
        status, said = await asked
    finally:
        writer.transport.abort()
    return msgspec.structs.replace(tried, status=status, said=said)


async def _connected(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if server.path:
        return await asyncio.open_unix_connection(server.path)
    if not server.tls:
        return await asyncio.open_connection(server.host, server.port)
    return await asyncio.open_connection(
        server.host,
        server.port,
        ssl=tls_context(server.verify, server.trust, server.protocol),
        server_hostname=server.trust.name or server.host,
    )


async def _asked(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str
) -> tuple[int, str]:
    """The status of its first page (HEAD, which changes nothing); 0 and why where there is none."""
    head = (
        f"HEAD / HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: vestibule-doctor\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n"
    )
    try:
        async with asyncio.timeout(ANSWER_S):
            writer.write(head.encode("ascii"))
            line = await reader.readline()
    except (OSError, TimeoutError, ValueError) as exc:
        return 0, why_of(exc)
    parts = line.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].strip().isdigit():
        return 0, "it hangs up without an answer" if not line else "what it answers is no HTTP/1.1"
    return int(parts[1]), ""


async def _greeted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, str]:
    """200 where it answers the preface of HTTP/2 with its own (RFC 9113 section 3.4); 0 and why where it doesn't."""
    try:
        async with asyncio.timeout(ANSWER_S):
            writer.write(_PREFACE + bytes(3) + b"\x04" + bytes(5))
            head = await reader.readexactly(9)
    except asyncio.IncompleteReadError as exc:
        return 0, "what it answers is no HTTP/2" if exc.partial else "it hangs up without an answer"
    except (OSError, TimeoutError) as exc:
        return 0, why_of(exc)
    return (200, "") if head[3:9] == b"\x04" + bytes(5) else (0, "what it answers is no HTTP/2")


def findings_of(tried: Tried, about: About, now: float) -> list[Finding]:
    """What that means."""
    subject = f"{tried.server} ({tried.used_by})"
    if tried.why:
        return [
            about.fail(
                subject,
                "backend_unreached",
                tried.why,
                "look at its name in DNS, and at what resolves names here"
                if "Name" in tried.why or "name" in tried.why
                else "start it, and see that it listens at this address for this machine",
            )
        ]
    if tried.tls is not None and tried.tls.why:
        return [
            about.fail(
                subject,
                "backend_certificate",
                tried.tls.why,
                "write backend_ca (who signed it) and backend_name (what it is for); plain http where it has no TLS",
            )
        ]
    found = [_of_answer(tried, about, subject)]
    if tried.tls is not None and not tried.verify:
        found.append(
            about.warn(
                subject,
                "backend_insecure",
                "insecure = true: whoever stands on the way can be this server",
                "write backend_ca with its certificate or authority, and drop insecure",
            )
        )
    elif tried.tls is not None and 0 < tried.tls.ends_at <= now + SOON_S:
        found.append(
            about.warn(
                subject, "backend_certificate_ends", "its certificate ends within two weeks", "renew it"
            )
        )
    return found


def _of_answer(tried: Tried, about: About, subject: str) -> Finding:
    if not tried.status:
        return about.fail(
            subject,
            "backend_silent",
            tried.said,
            "look at its log: does it speak on this port what `backend` says, HTTP/1.1 or (h2c, grpc) HTTP/2?",
        )
    if tried.status >= 500:
        return about.warn(
            subject,
            "backend_failing",
            f"it answers {tried.status}",
            "look at its log; the gateway passes this on",
        )
    return about.ok(subject, "backend_answers", f"it answers {tried.status}")


def of_directory(folder: Path) -> Finding:
    """A directory whose files are served."""
    subject = f"static:{folder}"
    if not folder.is_dir():
        return _BACKENDS.fail(
            subject, "directory_missing", "there is no such directory", "make it, or correct it here"
        )
    if not os.access(folder, os.R_OK | os.X_OK):
        return _BACKENDS.fail(
            subject,
            "directory_closed",
            "this user may not read it",
            f"chmod o+rx {folder}, or give it to the user",
        )
    return _BACKENDS.ok(subject, "directory_good", "it can be read")
