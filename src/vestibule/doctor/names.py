"""Where the names of hosts lead: to this machine, to an edge, or nowhere."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final
from urllib.parse import urlsplit

import msgspec

from vestibule.core.route import Host
from vestibule.doctor.finding import About, Finding
from vestibule.doctor.patient import Patient, is_here
from vestibule.fetch import resolve_by_system
from vestibule.protocol.address import Address

_ABOUT: Final = About("names")


class Led(msgspec.Struct, frozen=True, kw_only=True):
    """Where a name leads."""

    name: str
    addresses: tuple[str, ...] = ()
    """Empty: nowhere."""
    elsewhere: tuple[str, ...] = ()
    """Those that aren't this machine's."""
    has_edge: bool = False
    """`public_url` says that an edge stands before it."""
    is_closed: bool = False
    """The gateway listens for this machine alone."""


async def look(patient: Patient) -> list[Finding]:
    """Look all up."""
    return list(await asyncio.gather(*(_look(patient, host) for host in patient.hosts)))


async def _look(patient: Patient, host: Host) -> Finding:
    assert patient.compiled is not None
    name = host.name.decode("ascii")
    if is_here(name):
        return _ABOUT.ok(name, "name_local", "a name of this machine")
    compiled = patient.compiled
    has_edge = bool(host.base_url) and host.demand is None
    is_closed = all(at.is_loopback for at in (*compiled.listeners, *compiled.https))
    try:
        found = await resolve_by_system(name, 443)
    except OSError:
        found = ()
    elsewhere = tuple(str(address) for address in found if not is_own(address))
    return finding_of(
        Led(
            name=name,
            addresses=tuple(map(str, found)),
            elsewhere=elsewhere,
            has_edge=has_edge,
            is_closed=is_closed,
        )
    )


def finding_of(led: Led) -> Finding:
    """What that means."""
    where = ", ".join(led.addresses[:4])
    if not led.addresses:
        return _ABOUT.fail(
            led.name,
            "name_unresolved",
            "the name has no address here",
            "add an A or AAAA record that leads to this machine or its edge; for a try, a line in /etc/hosts",
        )
    if not led.elsewhere and led.is_closed and not led.has_edge:
        return _ABOUT.warn(
            led.name,
            "name_closed",
            f"it leads here ({where}), and the gateway listens for this machine alone",
            "put an edge that speaks TLS in front and write public_url, or listen on an address that others reach",
        )
    if not led.elsewhere:
        return _ABOUT.ok(led.name, "name_here", f"it leads to this machine ({where})")
    if led.has_edge:
        return _ABOUT.ok(led.name, "name_edge", f"it leads to {where}, which is taken for its edge")
    return _ABOUT.warn(
        led.name,
        "name_elsewhere",
        f"it leads to {where}, which is not this machine's address",
        "if that is an edge or a router that leads here, write public_url; else correct the record",
    )


def told_once(findings: Iterable[Finding]) -> list[Finding]:
    """The same, without a second fault where nobody can be reached at a name that has no address."""
    found = list(findings)
    nowhere = {one.subject for one in found if one.code == "name_unresolved"}
    return [_echo(one) if _is_echo(one, nowhere) else one for one in found]


def _is_echo(one: Finding, nowhere: AbstractSet[str]) -> bool:
    return one.code == "edge_unreached" and urlsplit(one.subject).hostname in nowhere


def _echo(one: Finding) -> Finding:
    return About(one.area).skip(one.subject, "edge_unresolved", "its name has no address: see names")


def is_own(address: Address) -> bool:
    """True for an address of this machine: nothing can be bound to any other."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
