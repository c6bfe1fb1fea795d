"""Where spans go, and which requests have some."""

from __future__ import annotations

import msgspec

from vestibule.model import Secret

_ALL = 1 << 64


class Tracing(msgspec.Struct, frozen=True, kw_only=True):
    """A collector that is told of requests."""

    endpoint: str
    """The whole URL that spans are posted to."""
    headers: tuple[tuple[str, Secret], ...] = ()
    sample: float = 1.0
    service_name: str = "vestibule"

    def takes(self, trace_id: str) -> bool:
        """True where the trace is among those sent: all that belongs to one, or nothing of it.

        By the same bits of its id as OpenTelemetry's own samplers (`TraceIdRatioBased`), so that programs with the same
        share leave out the same ones.
        """
        return int(trace_id[16:], 16) < round(self.sample * _ALL)
