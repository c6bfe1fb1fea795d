"""What the block `tracing` may hold."""

from __future__ import annotations

from typing import ClassVar

from vestibule.config.shape import Node
from vestibule.config.value import Share
from vestibule.model import Secret

WHOLE = Share(1.0)


class TraceHeader(Node, kw_only=True):
    """A header that the collector wants to see."""

    LABEL: ClassVar[str] = "the header's name"
    REQUIRED: ClassVar[tuple[str, ...]] = ("value",)

    value: Secret = Secret("")
    """What it holds: `"${env("COLLECTOR_KEY")}"`."""


class Tracing(Node, kw_only=True):
    """Spans of requests, sign-ins and calls for an OpenTelemetry collector, by OTLP over HTTP.

    Takes the extra `otel` (`pip install 'vestibule[otel]'`). Without the block, `OTEL_EXPORTER_OTLP_ENDPOINT` in the
    environment does the same. May be split like `gateway`. See [metrics.md](metrics.md#traces).
    """

    REQUIRED: ClassVar[tuple[str, ...]] = ("endpoint",)

    endpoint: str = ""
    """Where the collector is: `"http://127.0.0.1:4318"`; to a URL without a path `/v1/traces` is added."""
    header: tuple[TraceHeader, ...] = ()
    """A header for it; any number of blocks."""
    sample: Share = WHOLE
    """Which part of all traces is sent, from `0` to `1` (1): `0.1` is a tenth. What belongs together is sent or left
    out together."""
    service_name: str = ""
    """What the gateway is called there (`vestibule`)."""
