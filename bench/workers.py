"""`python -m bench.workers`: one worker and two, beside nginx with one and two.

Nothing is pinned: with two cores, two workers share them with the load and the backend, so the ratio of requests a
second says as much of those. What one processor second of the gateway gives, alone and with two workers, says what a
machine with more cores would do.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from statistics import median

import msgspec

from bench import load, program, sides
from bench.process import Cores
from bench.servers import Stage
from bench.sides import Side


class AllCores(Cores):
    """Whoever runs takes any core."""

    def __init__(self) -> None:
        self.load = self.subject = ",".join(map(str, sorted(os.sched_getaffinity(0))))  # type: ignore[assignment] # taskset takes a list


class Measured(msgspec.Struct):
    """One run of the load."""

    requests_per_s: float
    per_cpu_s: float
    """Requests for each second of processor time that the subject took."""


def main(argv: list[str]) -> int:
    """Measure; the exit code."""
    arguments = program.options("workers", __doc__, seconds=3.0).parse_args(argv)
    return program.run("workers", lambda directory: _measure(directory, arguments))


def _measure(directory: Path, arguments: argparse.Namespace) -> None:
    found: dict[tuple[str, int], list[Measured]] = {}
    with Stage(directory, AllCores()) as stage:
        for _ in range(arguments.rounds):
            for workers in (1, 2):
                with sides.nginx(stage, workers) as side:
                    found.setdefault(("nginx", workers), []).append(_loaded(stage, side, arguments.seconds))
            for workers in (1, 2):
                block = f"gateway {{\n  workers = {workers}\n}}\n"
                with sides.vestibule(stage, f"workers-{workers}", block) as side:
                    found.setdefault(("vestibule", workers), []).append(
                        _loaded(stage, side, arguments.seconds)
                    )
    for name in ("nginx", "vestibule"):
        one, two = found[name, 1], found[name, 2]
        for workers, runs in ((1, one), (2, two)):
            rates, each = [run.requests_per_s for run in runs], [run.per_cpu_s for run in runs]
            print(
                f"{name:10} {workers} worker(s): {median(rates):9,.0f} requests/s, {median(each):9,.0f} per CPU s"
            )
        rate = program.ratios([run.requests_per_s for run in two], [run.requests_per_s for run in one])
        per_cpu = program.ratios([run.per_cpu_s for run in two], [run.per_cpu_s for run in one])
        print(f"{name:10} two to one: {rate}; per CPU second {per_cpu}")


def _loaded(stage: Stage, side: Side, seconds: float) -> Measured:
    before = side.process.cpu_s()
    ran = load.run(f"{side.url}/", side.headers, core=stage.cores.load, subject=side.process, seconds=seconds)
    cpu_s = side.process.cpu_s() - before
    return Measured(ran.requests_per_s, ran.requests_per_s * seconds / cpu_s)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
