"""Where an outgoing request of the control plane may go: by who gave its URL, and by the address of its host.

=======  ===================================================  ================================================
guard    for                                                  connects to
=======  ===================================================  ================================================
WRITTEN  a URL in the operator's file or environment, and     any address that is written so; by a name any but
         any URL of that very host that it led to             link-local, multicast and "any"
PUBLIC   every other https URL: of another host in a          public Internet addresses, and those in `allow`
         discovery document or a redirect, of a database
         row, of a person's input
ALLOWED  every other http URL                                 addresses in `allow`
=======  ===================================================  ================================================

Plain http is for URLs that the operator wrote with it, their host, and `localhost`. `allow` is the operator's
`gateway { fetch_allow = […] }`: networks that whoever gives a URL may lead to.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from typing import Final

from yarl import URL

from vestibule.errors import ProviderInvalid
from vestibule.protocol.address import NO_NETWORKS, OUTSIDE, Address, Networks, is_loopback, is_public

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_HOST_MAX_CHARS: Final = 253
#: a last label that makes a host an address to C libraries and browsers (WHATWG URL, "ends in a number")
_NUMBER_RE: Final = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_USER_RE: Final = re.compile(r"//[^/@]*@")


class Guard(enum.Enum):
    """Which addresses a request may go to; see the module's table."""

    WRITTEN = "written"
    PUBLIC = "public"
    ALLOWED = "allowed"

    def admits(self, address: Address, allow: Networks = NO_NETWORKS) -> bool:
        """True when this guard lets a request go to the address, seen through its v6 disguises."""
        if str(address) in allow:
            return True
        if self is Guard.WRITTEN:
            real = unwrapped(address)
            return not (real.is_unspecified or real.is_multicast or real.is_link_local)
        return self is Guard.PUBLIC and is_public(address)


def guard_of(url: URL, via: str) -> Guard:
    """The guard of a URL that was come to in this way; `via` may name several URLs, with blanks between them.

    Threat: a hostile document or person who names a server that trusts this machine. The port may be another
    than the operator wrote: who has the host has its ports.
    """
    if not via:
        return Guard.WRITTEN
    led_by = () if via == OUTSIDE else (checked_url(one) for one in via.split())
    for written in led_by:
        is_its_scheme = url.scheme in {"https", written.scheme} or is_loopback(url.raw_host or "")
        if url.raw_host == written.raw_host and is_its_scheme:
            return Guard.WRITTEN
    return Guard.PUBLIC if url.scheme == "https" else Guard.ALLOWED


WHY_REFUSED: Final = {
    Guard.WRITTEN: "only its address itself, written in the URL, or fetch_allow leads there",
    Guard.PUBLIC: "the operator didn't write this URL, and the address is neither public nor in fetch_allow",
    Guard.ALLOWED: "the operator didn't write this URL, it is plain http, and the address is not in fetch_allow",
}


def checked_url(raw: str) -> URL:
    """The URL as it will be connected to. Raises ProviderInvalid for what no provider's URL has.

    Refused: other schemes, userinfo, fragments, a zone, controls and blanks, a host that isn't ASCII, and
    addresses in forms that only C libraries know (`127.1`, `0x7f.1`): some readers take them for names.
    """
    try:
        url = URL(raw)
        port = url.port
    except ValueError as exc:
        raise _strange(raw) from exc
    host = url.raw_host or ""
    strange = (
        url.scheme not in {"http", "https"}
        or not host
        or port == 0
        or len(host) > _HOST_MAX_CHARS
        or url.raw_user is not None
        or url.raw_password is not None
        or "#" in raw
        or "%" in host
        or "\\" in raw
        or any(ch <= " " or ch == "\x7f" for ch in raw)
        or not raw.isascii()
        or (_NUMBER_RE.fullmatch(host.rpartition(".")[2]) is not None and literal_of(url) is None)
        or (host.endswith(".") and _NUMBER_RE.fullmatch(host[:-1].rpartition(".")[2]) is not None)
    )
    if strange:
        raise _strange(raw)
    return url


def _strange(raw: str) -> ProviderInvalid:
    return ProviderInvalid(
        "the provider's URL is not one that may be called", detail=shown(raw), code="url_refused"
    )


def literal_of(url: URL) -> Address | None:
    """The address that stands in the URL in place of a name."""
    try:
        return ipaddress.ip_address(url.raw_host or "")
    except ValueError:
        return None


def shown(url: str | URL) -> str:
    """A URL as a log may have it: its query, and what stands before the host, can be what no log may hold."""
    return _USER_RE.sub("//***@", str(url).partition("?")[0])[:200]


def unwrapped(address: Address) -> Address:
    """The IPv4 address inside a mapped, NAT64, 6to4 or Teredo address; any other address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return address
