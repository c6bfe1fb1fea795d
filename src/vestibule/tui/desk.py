"""What all screens have in common: the gateway, what is remembered of its traffic, and what it said last."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from vestibule.admin_model import CallState, EdgeState, HostState, Overview
from vestibule.tui.feed import Feed
from vestibule.tui.gateway import Gateway
from vestibule.tui.ring import Ring


class Desk:
    """One console's."""

    def __init__(self, gateway: Gateway, now: Callable[[], datetime]) -> None:
        self.gateway = gateway
        self.now = now
        self.ring = Ring()
        self.feed = Feed(gateway.admin, now)
        self.overview: Overview | None = None
        self.overview_at: datetime | None = None
        """When it was told."""
        self.hosts: tuple[HostState, ...] = ()
        self.calls: tuple[CallState, ...] = ()
        self.edges: tuple[EdgeState, ...] = ()

    def url_of(self, host: str, path: str) -> str:
        """Where a path of a host is, for who asks why."""
        urls = next((one.urls for one in self.hosts if one.name == host), ())
        return (urls[0].rstrip("/") if urls else f"https://{host}") + path
