"""What is checked of the block `tracing`, and what it and the environment come to.

Spec: OpenTelemetry specification, "OpenTelemetry Protocol Exporter" and "Environment Variable Specification", as far as
they are about traces by OTLP over HTTP. The block goes before the environment.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from yarl import URL

from vestibule.config import schema
from vestibule.config.place import Place, Report
from vestibule.core.outgoing import checked_url
from vestibule.core.tracing import Tracing
from vestibule.errors import ProviderInvalid
from vestibule.model import Secret
from vestibule.protocol.address import is_loopback

PATH: Final = "/v1/traces"
_NEEDED: Final = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
_INSTALL: Final = "takes what isn't installed: pip install 'vestibule[otel]'"
_SAMPLERS: Final = ("always_on", "always_off", "traceidratio")
_FOR_TRACES: Final = "OTEL_EXPORTER_OTLP_TRACES_"
_FOR_ALL: Final = "OTEL_EXPORTER_OTLP_"


def check_tracing(config: schema.Config, report: Report) -> None:
    """All that is wrong with the block goes to *report*."""
    node = config.tracing
    if node is None:
        return
    if not is_installed():
        report.fault(node.block.place, f"`tracing` {_INSTALL}")
    if not node.has("endpoint"):
        return
    try:
        url = checked_url(node.endpoint)
    except ProviderInvalid:
        report.fault(node.at("endpoint"), "is no URL of a collector: http://127.0.0.1:4318")
        return
    if url.scheme == "http" and not is_loopback(url.raw_host or ""):
        report.warn(
            node.at("endpoint"), "what is sent by plain http can be read on its way: ids, paths, addresses"
        )


def tracing_of(config: schema.Config, environ: Mapping[str, str], report: Report) -> Tracing | None:
    """Where spans go; None: nowhere. What is wrong with the environment goes to *report*."""
    node = config.tracing
    if node is None:
        return _surrounding(environ, report)
    return Tracing(
        endpoint=_whole(node.endpoint),
        headers=tuple((one.label, one.value) for one in node.header),
        sample=node.sample,
        service_name=node.service_name or environ.get("OTEL_SERVICE_NAME", "") or "vestibule",
    )


def is_installed() -> bool:
    """True where the extra `otel` is."""
    return all(importlib.util.find_spec(name) is not None for name in _NEEDED)


def _surrounding(environ: Mapping[str, str], report: Report) -> Tracing | None:
    """As the environment of programs that are traced has it; without an endpoint there, nothing."""
    endpoint = environ.get(f"{_FOR_TRACES}ENDPOINT", "")
    variable = f"{_FOR_TRACES}ENDPOINT" if endpoint else f"{_FOR_ALL}ENDPOINT"
    base = environ.get(f"{_FOR_ALL}ENDPOINT", "")
    is_off = (
        environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environ.get("OTEL_TRACES_EXPORTER") == "none"
    )
    if is_off or not (endpoint or base):
        return None
    place = Place(variable)
    if not is_installed():
        report.fault(place, _INSTALL)
    try:
        checked_url(endpoint or base)
    except ProviderInvalid:
        report.fault(place, "is no URL of a collector: http://127.0.0.1:4318")
    headers = environ.get(f"{_FOR_TRACES}HEADERS") or environ.get(f"{_FOR_ALL}HEADERS", "")
    return Tracing(
        endpoint=endpoint or base.rstrip("/") + PATH,
        headers=_headers(headers),
        sample=_share(environ, report),
        service_name=environ.get("OTEL_SERVICE_NAME", "") or "vestibule",
    )


def _whole(endpoint: str) -> str:
    return endpoint.rstrip("/") + PATH if URL(endpoint).path in {"", "/"} else endpoint


def _headers(written: str) -> tuple[tuple[str, Secret], ...]:
    """`name=value,name=value`, percent-encoded."""
    pairs = (part.partition("=") for part in written.split(",") if "=" in part)
    return tuple((unquote(name.strip()), Secret(unquote(value.strip()))) for name, _, value in pairs)


def _share(environ: Mapping[str, str], report: Report) -> float:
    """Of `OTEL_TRACES_SAMPLER`: with a parent or without, the share is the same here."""
    sampler = environ.get("OTEL_TRACES_SAMPLER", "").removeprefix("parentbased_")
    if sampler and sampler not in _SAMPLERS:
        report.fault(Place("OTEL_TRACES_SAMPLER"), f"is one of {', '.join(_SAMPLERS)}")
    if sampler != "traceidratio":
        return 0.0 if sampler == "always_off" else 1.0
    try:
        share = float(environ.get("OTEL_TRACES_SAMPLER_ARG") or 1.0)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        report.fault(Place("OTEL_TRACES_SAMPLER_ARG"), "is a number from 0 to 1: 0.1")
        return 0.0
    return share
