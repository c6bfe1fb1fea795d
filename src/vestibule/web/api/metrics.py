"""`/metrics`: what is counted, as Prometheus reads it.

Spec: Prometheus text format 0.0.4; OpenMetrics 1.0, where it is asked for by Accept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from starlette.responses import Response

from vestibule.observe.meter import Family, Meter
from vestibule.observe.metrics import COUNTED, SEEN, Values
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors

router = APIRouter(tags=["metrics"])
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Done.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get("/metrics", operation_id="readMetrics", response_class=Response, responses=errors() | _TEXT)
async def read(at: At, request: Request) -> Response:
    """All metrics, for Prometheus; which there are, `docs/metrics.md` says.

    With `Accept: application/openmetrics-text` as OpenMetrics.
    """
    metrics = at.office.metrics
    seen = await metrics.look()
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry_of(metrics.meter, seen)), headers={"content-type": content_type})


def registry_of(meter: Meter, seen: Mapping[str, Values]) -> CollectorRegistry:
    """What is shown: this process's own standard metrics, what is counted, and what was just looked at."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_Ours(meter, seen))
    return registry


class _Ours(Collector):
    def __init__(self, meter: Meter, seen: Mapping[str, Values]) -> None:
        self._meter = meter
        self._seen = seen

    def collect(self) -> Iterator[Metric]:
        for family in COUNTED:
            series = self._meter.series(family)
            yield _histogram(family, series) if family.kind == "histogram" else _counter(family, series)
        for family in SEEN:
            yield _gauge(family, self._seen.get(family.name, {}))


def _counter(family: Family, series: Iterator[tuple[tuple[str, ...], list[float]]]) -> Metric:
    found = CounterMetricFamily(family.name, family.told, labels=family.labels)
    for labels, (value,) in series:
        found.add_metric(labels, value)
    if not family.labels and not found.samples:
        found.add_metric((), 0.0)  # from the first scrape on, so that its first step is seen
    return found


def _gauge(family: Family, values: Values) -> Metric:
    found = GaugeMetricFamily(family.name, family.told, labels=family.labels)
    for labels, value in values.items():
        found.add_metric(labels, value)
    return found


def _histogram(family: Family, series: Iterator[tuple[tuple[str, ...], list[float]]]) -> Metric:
    found = HistogramMetricFamily(family.name, family.told, labels=family.labels)
    bounds = [*map(floatToGoString, family.bounds), "+Inf"]
    for labels, (*counts, total) in series:
        buckets = list(zip(bounds, accumulate(counts), strict=True))
        found.add_metric(labels, buckets, total)
    return found
