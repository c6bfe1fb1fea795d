"""A collector of spans: takes OTLP over HTTP as protobuf, and shows what stands below what."""

from __future__ import annotations

import asyncio
import dataclasses
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclasses.dataclass(frozen=True)
class Span:
    """One span, as it came."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    told: dict[str, Any]


class Collector:
    """Keeps `spans`, the requests' `headers` and `bodies`; `status` is what it answers."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.spans: list[Span] = []
        self.headers: list[dict[str, str]] = []
        self.bodies = b""
        self.services: set[str] = set()
        self.status = 200
        self._port = port
        application = web.Application(client_max_size=1 << 26)
        application.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def until(self, count: int, kind: str = "") -> list[Span]:
        """The spans whose `vestibule.kind` this is, once there are so many."""
        async with asyncio.timeout(60):
            while (
                len(found := [one for one in self.spans if one.told.get("vestibule.kind", "") == kind])
                < count
            ):
                await asyncio.sleep(0.02)
        return found

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.bodies += body
        for whole in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.services |= {
                one.value.string_value for one in whole.resource.attributes if one.key == "service.name"
            }
            self.spans += [_span(span) for scope in whole.scope_spans for span in scope.spans]
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, status=self.status, content_type="application/x-protobuf")


def _span(span: Any) -> Span:
    told = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
    kind = span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_")
    return Span(span.name, kind, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), told)
