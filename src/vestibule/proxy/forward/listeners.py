"""The listeners that are for edges alone."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterable, Iterator

from vestibule.core.listener import ListenAddress
from vestibule.proxy.exchange import Listener as Site
from vestibule.proxy.forward.check import Checks
from vestibule.proxy.forward.edges import Edges, OwnListener
from vestibule.proxy.listener import Listener, Listening


def edge_listeners(
    http: Iterable[ListenAddress], grpc: Iterable[ListenAddress], edges: Edges, checks: Checks, site: Site
) -> Iterator[Listening]:
    """Where edges ask by HTTP, and by gRPC; `site`: by which people reach hosts without a `public_url`."""
    clock = asyncio.get_running_loop().time
    for at in http:
        yield Listener(at, OwnListener(edges, site, is_closed=at.is_loopback), clock=clock)
    for at in grpc:
        transport = importlib.import_module("vestibule.proxy.forward.grpc")
        listener: Listening = transport.GrpcListener(at, checks, site)
        yield listener
