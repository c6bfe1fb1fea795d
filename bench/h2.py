"""`python -m bench.h2`: requests a second over HTTP/2 and TLS, beside nginx and Caddy on the same core in the same run.

h2load asks over eight connections, ten requests at a time on each, with the headers that a browser sends; each subject
passes them on to the same nginx over HTTP/1.1. HTTP/1.1 over TLS stands beside it, with eighty connections.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import edge, program
from bench.process import BenchError, needed

HEADERS = (
    "user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
    "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-encoding: gzip, deflate, br, zstd",
    "accept-language: en-GB,en;q=0.9",
    "cookie: theme=dark; _ga=GA1.1.123456789.1700000000",
    'sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24"',
    "sec-ch-ua-mobile: ?0",
    "sec-fetch-dest: document",
    "sec-fetch-mode: navigate",
    "sec-fetch-site: none",
    "upgrade-insecure-requests: 1",
)
PROTOCOLS = {"h2": ("-c8", "-m10"), "h1": ("-c80", "-m1", "--h1")}


class Measured(NamedTuple):
    """One run of h2load."""

    requests_per_s: float
    per_cpu_s: float
    """Requests for each second of processor time that the subject took."""


def main(argv: list[str]) -> int:
    """Measure; the exit code."""
    arguments = program.options("h2", __doc__).parse_args(argv)
    return program.run("h2", lambda directory: _measure(directory, arguments))


def _measure(directory: Path, arguments: argparse.Namespace) -> None:
    found: dict[tuple[str, str], list[Measured]] = {}
    with edge.staged(directory) as stage:
        for _ in range(arguments.rounds):
            for name in edge.SUBJECTS:
                with edge.running(stage, name) as subject:
                    for protocol in PROTOCOLS:
                        runs = found.setdefault((name, protocol), [])
                        runs.append(_loaded(stage, subject, protocol, arguments.seconds))
    for (name, protocol), runs in found.items():
        beside = found["nginx", protocol]
        rate = [run.requests_per_s for run in runs]
        each = [run.per_cpu_s for run in runs]
        print(
            f"{name:10} {protocol}: {median(rate):9,.0f} requests/s, "
            f"to nginx {program.ratios(rate, [run.requests_per_s for run in beside])}; "
            f"{median(each):9,.0f} per CPU s, to nginx {program.ratios(each, [run.per_cpu_s for run in beside])}",
            flush=True,
        )


def _loaded(stage: edge.Stage, subject: edge.Running, protocol: str, seconds: float) -> Measured:
    argv = ["taskset", "-c", str(stage.cores.load), needed("h2load", "nghttp2-client"), f"-D{seconds}"]
    argv += ["--warm-up-time=1", *PROTOCOLS[protocol]]
    for header in HEADERS:
        argv += ["-H", header]
    before = subject.process.cpu_s()
    done = subprocess.run([*argv, subject.url], capture_output=True, text=True, check=False)
    cpu_s = subject.process.cpu_s() - before
    rate = re.search(r"finished in [0-9.]+m?s, ([0-9.]+) req/s", done.stdout)
    good = re.search(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", done.stdout)
    if rate is None or good is None or not int(good[1]):
        raise BenchError(f"h2load said:\n{done.stdout}{done.stderr}")
    # The processor time is that of the warm-up too.
    return Measured(float(rate[1]), float(rate[1]) * (seconds + 1) / cpu_s)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
