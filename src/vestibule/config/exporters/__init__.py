"""Configurations of edge proxies that ask this gateway, one template an edge.

What they have in common, all of it from the configuration, is worked out in `plan`; a template says how one edge is
told. Each is safe as printed: every name that a backend believes is overwritten, the place where the edge asks is
nobody else's, what the gateway answers instead of a backend goes to the client whole, and a gateway that can't be
asked lets nothing pass.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from minijinja import Environment

from vestibule.config.compile import Compiled
from vestibule.config.exporters.plan import plan_of

#: edge → the files it wants, by their usual names
EDGES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "nginx": ("nginx.conf",),
        "caddy": ("Caddyfile",),
        "traefik": ("traefik.yaml",),
        "envoy": ("envoy.yaml",),
        "haproxy": ("haproxy.cfg", "vestibule.lua"),
    }
)
_HERE = Path(__file__).parent
_LONGEST_VARIABLE: Final = 46
"""Of nginx's, in the hash of 64 bytes that it has where nobody made it larger."""


def export(edge: str, compiled: Compiled) -> dict[str, str]:
    """The files of this edge, by name. Raises ConfigError for what it can't be told."""
    plan = plan_of(edge, compiled)
    return {name: _environment().render_template(f"{name}.j2", plan=plan) for name in EDGES[edge]}


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=lambda name: (_HERE / name).read_text("utf-8"),
        auto_escape_callback=lambda _name: False,
        undefined_behavior="strict",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        filters={"variable": _variable},
    )


def _variable(name: str) -> str:
    """Nginx's variable for a header's value, short enough for nginx as it comes."""
    whole = "vestibule_" + name.lower().replace("-", "_")
    if len(whole) <= _LONGEST_VARIABLE:
        return whole
    return f"{whole[: _LONGEST_VARIABLE - 9]}_{zlib.crc32(whole.encode()):08x}"
