"""What a `domain` block may hold."""

from __future__ import annotations

from typing import ClassVar

from vestibule.config.shape import Node
from vestibule.config.value import HostName


class Domain(Node, kw_only=True):
    """One sign-in for all hosts of a domain: those of its name and below, but for those of a `domain` below it.

    People sign in at `auth_host`, once. Callbacks of the providers at top level, account and registration pages are
    there alone, so each provider has one redirect URL to register. Signing out on one host signs out on all.
    """

    LABEL: ClassVar[str] = "the domain's name"
    REQUIRED: ClassVar[tuple[str, ...]] = ("auth_host",)

    auth_host: HostName = HostName("")
    """The host of the domain where people sign in, as in `"auth.example.com"`. It has no app. It needs no `host` block:
    without one it has every provider that stands at top level and in `sign_in` of a host of the domain, and scheme and
    port of their `public_url`."""
    sso: str = "handoff"
    """`handoff`: each host gets a session of its own, which ends with the one at `auth_host`. `cookie`: one session
    cookie for the whole domain, which every host of its name gets to see, this gateway's or not."""
    cookie: str = ""
    """Name of that cookie, as in `"X-Nuon-Auth"`. Without it `__Secure-vestibule` (`vestibule-PORT-domain` over plain
    http). Only with `sso = "cookie"`."""
    session_token: str = "opaque"  # noqa: S105 - says of what form it is
    """`jwt`: that cookie holds a signed JSON Web Token with the session's handle, instead of the handle alone; it ends
    with the session all the same. Only with `sso = "cookie"`."""
