"""The hosts of an imported configuration: what they are called, where people sign in, what listens."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec

from vestibule.config.importers.note import About, Notes
from vestibule.config.place import Unfit
from vestibule.config.value import host_name, listener, network
from vestibule.core.domain import is_within
from vestibule.core.listener import ListenAddress
from vestibule.protocol.address import is_loopback

PLACEHOLDER = "app.example.com"
_LOOPBACK = ("127.0.0.1", "::1")


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Hosts, and where people sign in."""

    hosts: tuple[str, ...]
    """Canonical names of the hosts with an app."""
    auth_host: str = ""
    """Where people of all of them sign in; empty: at each."""
    domain: str = ""
    """Whose hosts they are, where there is an `auth_host`."""
    scheme: str = "https"
    port: int | None = None
    """Of their public URLs, where it isn't the usual one."""

    def public_url(self, host: str) -> str:
        """As people see it; empty for a host of this machine of which no port is known: they see it as it listens."""
        return "" if is_loopback(host) and self.port is None else self.url(host)

    def url(self, host: str) -> str:
        """Scheme and host, and the port where it isn't the usual one."""
        return f"{self.scheme}://{host}" + (f":{self.port}" if self.port else "")


class Seen(msgspec.Struct, frozen=True):
    """A URL that people see."""

    scheme: str
    host: str
    """Canonical; empty where there is none."""
    port: int | None
    path: str


def seen(url: str) -> Seen:
    """The parts of a URL as it was written."""
    parts = urlsplit(url)
    try:
        host: str = host_name(parts.hostname or "") if parts.hostname else ""
        port = parts.port
    except (Unfit, ValueError):
        return Seen(parts.scheme, "", None, parts.path)
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    return Seen(parts.scheme, host, None if port == usual else port, parts.path)


def names_of(written: Iterable[str]) -> tuple[str, ...]:
    """Those of these names that are names of single hosts, canonical, each once."""
    found: dict[str, None] = {}
    for name in written:
        try:
            found[host_name(re.sub(r":[0-9*]+$", "", name))] = None
        except Unfit:
            continue
    return tuple(found)


def domain_around(host: str, domains: Iterable[str]) -> str:
    """The longest of these cookie domains that the host is in; empty where it is in none."""
    bare = (domain.strip().lstrip("*.").partition(":")[0].lower() for domain in domains)
    return max((domain for domain in bare if domain and is_within(host, domain)), key=len, default="")


def listen(written: str, usual: str, about: str, notes: Notes, *, is_plain: bool) -> ListenAddress:
    """The address to listen on, as near to what was written as it can be. `is_plain`: some host has no https."""
    text = re.sub(r"^https?://", "", written.strip()) or usual
    text = re.sub(r"^unix:/*", "unix:/", text).partition(",mode=")[0]
    text = f"0.0.0.0{text}" if text.startswith(":") else text  # noqa: S104 - as the other program means it
    try:
        found = listener(text)
    except Unfit as exc:
        notes.add(About.DO, about, f"{exc}; {usual} was taken")
        found = listener(usual)
    if found.is_loopback or found.path or not is_plain:
        return found
    notes.add(
        About.CHANGED,
        about,
        f"people come by plain http here, so that it listens on loopback alone: 127.0.0.1:{found.port}. For others an "
        "edge in front must speak TLS",
    )
    return ListenAddress(host="127.0.0.1", port=found.port)


def believed_edges(product: str, notes: Notes) -> tuple[str, ...]:
    """Whom to believe about clients, where *product* believed everybody: edges on this machine."""
    notes.add(
        About.DO,
        "trusted_proxies",
        f"{product} believed everybody about where a request comes from; this believes edges on this machine. Write "
        "the addresses of yours, where they are elsewhere",
    )
    return _LOOPBACK


def networks(written: Iterable[str], about: str, notes: Notes) -> tuple[str, ...]:
    """Those that are addresses or ranges."""
    found = []
    for one in written:
        try:
            found.append(str(network(one)))
        except Unfit as exc:
            notes.add(About.DO, about, f"{exc}: left out")
    return tuple(found)
