"""One request for a path of the gateway's own, as the gateway saw it: what the control plane is given."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from vestibule.core.route import Host, Site
from vestibule.model import Session


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, on which host, in which session; made by the gateway from the canonical head only."""

    host: Host
    site: Site
    session: Session | None
    address: str
    """The client's address (`protocol.forwarded`)."""
    user_agent: str
    request_id: str
    now: float
    root: str = ""
    """Below what the edge in front hands the gateway's own paths on, where it came that way: `/oauth2`."""
    wanted: tuple[str, ...] = ()
    """Where the person wanted to go, as an edge tells that was configured for another product; unchecked."""
    cookies: Mapping[str, str]
    """Cookies by name, a name sent twice left out. The session cookie is not among them."""
