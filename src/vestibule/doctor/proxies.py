"""`trusted_proxies`: who is believed about where requests come from; and who can come around the edge."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from vestibule.core.listener import ListenAddress
from vestibule.doctor.finding import About, Finding
from vestibule.doctor.patient import Patient
from vestibule.protocol.address import is_public, parse_network

_ABOUT: Final = About("trusted proxies")
_EDGE: Final = About("edge")
CONNECT_S: Final = 2.0
#: wider than this is more than an edge: of private addresses, of public ones
_WIDEST: Final = {4: (24, 16), 6: (64, 32)}
_NAMED: Final = "list the addresses of the edges themselves"
#: RFC 5737, RFC 3849: nobody is there, and nothing is sent
_NOWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


async def look(patient: Patient) -> list[Finding]:
    """All that is written there, and the listeners behind it."""
    gateway, compiled = patient.loaded.config.gateway, patient.compiled
    own = own_addresses()
    written = tuple(gateway.trusted_proxies) if gateway is not None else ()
    found = [of_network(text, own) for text in written]
    has_edge = bool(written) or any(host.base_url and host.demand is None for host in patient.hosts)
    if compiled is None or not has_edge:
        return found
    return [*found, *await _around(compiled.listeners, own)]


def of_network(text: str, own: Sequence[str]) -> Finding:
    """One line of the list. Threat: everybody in it says of themselves, and of anybody, where they come from."""
    if text == "unix":
        return _ABOUT.ok(text, "trusted_unix", "edges by a Unix socket, whose file says who may open it")
    network = parse_network(text)
    if network.prefixlen == 0:
        return _ABOUT.fail(text, "trusted_everybody", "everybody is believed about their own address", _NAMED)
    private, public = _WIDEST[network.version]
    is_private = not is_public(network.network_address)
    mine = [address for address in own if _is_in(address, network)]
    if network.prefixlen < (private if is_private else public) and not network.is_loopback:
        also = f", this machine ({mine[0]}) too" if mine else ""
        return _ABOUT.warn(
            text,
            "trusted_wide",
            f"{network.num_addresses} addresses are believed{also}",
            f"{_NAMED}: whoever has another of these can give any address as theirs",
        )
    if network.is_loopback:
        return _ABOUT.ok(text, "trusted_loopback", "an edge on this machine; so is every program of it")
    if mine:
        return _ABOUT.ok(
            text, "trusted_own", f"this machine ({mine[0]}) is in it, and so every program of it"
        )
    return _ABOUT.ok(text, "trusted_good", "narrow enough")


def _is_in(address: str, network: IPv4Network | IPv6Network) -> bool:
    with suppress(ValueError):
        found = parse_network(address)
        return found.version == network.version and found.network_address in network
    return False


def own_addresses() -> tuple[str, ...]:
    """Those that this machine has towards others; nothing is sent to find out."""
    found: dict[str, None] = {}
    for family, nowhere in _NOWHERE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((nowhere, 9))
            found[probe.getsockname()[0]] = None
    return tuple(found)


async def _around(listeners: Sequence[ListenAddress], own: Sequence[str]) -> list[Finding]:
    return [
        of_listener(at, address, is_open=await _is_open(address, at.port))
        for at in listeners
        if not at.is_loopback
        for address in ((at.host,) if at.host not in ("0.0.0.0", "::") else own[:1])  # noqa: S104 - what is listened on
    ]


def of_listener(at: ListenAddress, address: str, *, is_open: bool) -> Finding:
    """A listener for people behind an edge that others can reach, too."""
    detail = (
        f"who connects to {address}:{at.port} comes around the edge"
        if is_open
        else "it listens on an address of others' network, though an edge stands before it"
    )
    return _EDGE.warn(
        str(at),
        "edge_around",
        detail,
        "listen on 127.0.0.1 or a Unix socket, or let a firewall admit the edge alone: what the edge adds or "
        "refuses (TLS, limits, logs) doesn't hold there",
    )


async def _is_open(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(address, port)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True
