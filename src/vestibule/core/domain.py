"""One sign-in for all hosts of a domain: where people sign in, and what their browsers hold.

People sign in at one host of the domain, its auth host. With `handoff` each other host is handed a session of its own,
good there alone; with one cookie for the domain, all hosts look at the same session, whose realm is the domain's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec


class Domain(msgspec.Struct, frozen=True, kw_only=True):
    """A domain whose hosts share their sign-in."""

    name: str
    """Canonical: the hosts of this name and below are its, but for those of a domain below it."""
    auth: bytes
    """Name of the host where people sign in for all of them."""
    auth_url: str = ""
    """Its `public_url`, without trailing slash; empty: made from the listener."""
    shares_cookie: bool = False
    """One session cookie for all hosts; else each is handed a session of its own."""
    cookie: str = ""
    """The name of that one, where the operator chose it."""
    is_token: bool = False
    """That one holds a signed token (`core.session_token`) instead of the bare handle."""

    @property
    def realm(self) -> str:
        """What a session must be good for, as `Session.host` has it; empty: each host for itself.

        No host has such a name, so that one's own session is never good for all.
        """
        return f".{self.name}" if self.shares_cookie else ""

    @property
    def cookie_domain(self) -> str:
        """What the one cookie is set for; empty: the host that sets it, since browsers take no name without a dot."""
        return self.name if self.shares_cookie and "." in self.name else ""

    def cookie_name(self, port: int, *, secure: bool) -> str:
        """The name of the one cookie on this port; no other cookie of the gateway's has it."""
        return self.cookie or ("__Secure-vestibule" if secure else f"vestibule-{port}-domain")


D = TypeVar("D")


def is_within(host: str, domain: str) -> bool:
    """True for the domain's own name and those below it; both canonical."""
    return f".{host}".endswith(f".{domain}")


def realms_of(host: str) -> tuple[str, ...]:
    """What sessions that are good at this host may be good for, as `Session.host` has it: itself, then domains.

    Which of these domains there are, it doesn't know. Of such a realm (`.example.com`): it alone.
    """
    if not host or host.startswith("."):
        return (host,)
    labels = host.split(".")
    return (host, *("." + ".".join(labels[first:]) for first in range(len(labels))))


def domain_of(host: str, domains: Iterable[tuple[str, D]]) -> D | None:
    """Of these (name, value), the value of the longest domain that the host is in; None where it is in none."""
    fitting = [(name, value) for name, value in domains if is_within(host, name)]
    return max(fitting, key=lambda found: len(found[0]))[1] if fitting else None
