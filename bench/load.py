"""Load by wrk: so many keep-alive connections, each asking again as soon as it is answered."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from bench.process import BenchError, needed

CONNECTIONS = 32
VARIED = Path(__file__).with_name("varied.lua")

_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36"
)

# What Chrome sends when a person opens a page; with Host, Connection and Cookie fifteen.
BROWSER = (
    "Connection: keep-alive",
    'sec-ch-ua: "Chromium";v="138", "Not=A?Brand";v="8", "Google Chrome";v="138"',
    "sec-ch-ua-mobile: ?0",
    'sec-ch-ua-platform: "Linux"',
    "Upgrade-Insecure-Requests: 1",
    f"User-Agent: {_AGENT}",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-User: ?1",
    "Sec-Fetch-Dest: document",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-GB,en-US;q=0.9,en;q=0.8",
)


class Busy(Protocol):
    """What is measured."""

    def cpu_s(self) -> float:
        """Processor time it has used."""

    @property
    def log(self) -> str:
        """The end of what it wrote."""


class Load(msgspec.Struct, kw_only=True):
    """What wrk saw."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    cpu: float
    """How much of its core the subject was busy: where it was waiting, something else was the narrow place."""


def run(
    url: str,
    headers: Sequence[str],
    *,
    core: int,
    subject: Busy,
    seconds: float,
    script: Path | None = None,
    connections: int = CONNECTIONS,
) -> Load:
    """Load a URL for so long; `script` makes the requests differ. Raises BenchError when an answer was not good."""
    argv = ["taskset", "-c", str(core), needed("wrk", "wrk"), "-t1", f"-c{connections}", f"-d{seconds:.0f}s"]
    if script is not None:
        argv += ["-s", str(script)]
    for header in headers:
        argv += ["-H", header]
    before = subject.cpu_s()
    done = subprocess.run([*argv, "--latency", url], capture_output=True, text=True, check=False)
    cpu = (subject.cpu_s() - before) / seconds
    out = done.stdout
    if done.returncode or "Non-2xx" in out or "Socket errors" in out:
        raise BenchError(f"wrk on {url}:\n{out}{done.stderr}\n{subject.log}")
    return Load(
        requests_per_s=float(_found(r"Requests/sec:\s+([0-9.]+)", out)),
        p50_ms=_ms(_found(r"(?m)^ +50% +(\S+)$", out)),
        p99_ms=_ms(_found(r"(?m)^ +99% +(\S+)$", out)),
        cpu=round(cpu, 3),
    )


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise BenchError(f"wrk said something else:\n{text}")
    return found[1]


def _ms(text: str) -> float:
    found = re.fullmatch(r"([0-9.]+)(us|ms|s)", text)
    if found is None:
        raise BenchError(f"wrk said {text!r} for a time")
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]
