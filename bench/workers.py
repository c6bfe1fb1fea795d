"""`python -m bench.workers`: one worker and two, beside nginx with one and two.

Nothing is pinned: with two cores, two workers share them with the load and the backend, so the ratio of requests a
second says as much of those. What one processor second of the gateway gives, alone and with two workers, says what a
machine with more cores would do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import msgspec

from bench import load, visitor
from bench.process import BenchError, Cores, Process, accepts, raise_file_limit
from bench.servers import Stage


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
    parser = argparse.ArgumentParser(prog="python -m bench.workers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args(argv)
    raise_file_limit()
    try:
        with tempfile.TemporaryDirectory(prefix="vestibule-workers-") as name:
            _measure(Path(name), arguments)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def _measure(directory: Path, arguments: argparse.Namespace) -> None:
    subjects: dict[str, Callable[[Stage, int], Iterator[tuple[Process, str, str]]]] = {
        "nginx": _nginx,
        "vestibule": _vestibule,
    }
    found: dict[tuple[str, int], list[Measured]] = {}
    with Stage(directory, AllCores()) as stage:
        for _ in range(arguments.rounds):
            for name, start in subjects.items():
                for workers in (1, 2):
                    with contextmanager(start)(stage, workers) as (process, url, cookie):
                        measured = _loaded(stage, process, url, cookie, arguments.seconds)
                    found.setdefault((name, workers), []).append(measured)
    for name in subjects:
        one, two = found[name, 1], found[name, 2]
        for workers, runs in ((1, one), (2, two)):
            rates, each = [run.requests_per_s for run in runs], [run.per_cpu_s for run in runs]
            print(
                f"{name:10} {workers} worker(s): {median(rates):9,.0f} requests/s, {median(each):9,.0f} per CPU s"
            )
        pairs = list(zip(one, two, strict=True))
        rate = [b.requests_per_s / a.requests_per_s for a, b in pairs]
        each = [b.per_cpu_s / a.per_cpu_s for a, b in pairs]
        print(
            f"{name:10} two to one: {median(rate):.2f} ({min(rate):.2f} to {max(rate):.2f}); "
            f"per CPU second {median(each):.2f} ({min(each):.2f} to {max(each):.2f})"
        )


def _loaded(stage: Stage, process: Process, url: str, cookie: str, seconds: float) -> Measured:
    before = process.cpu_s()
    ran = load.run(url, [f"Cookie: {cookie}"], core=stage.cores.load, subject=process, seconds=seconds)
    cpu_s = process.cpu_s() - before
    return Measured(ran.requests_per_s, ran.requests_per_s * seconds / cpu_s)


def _vestibule(stage: Stage, workers: int) -> Iterator[tuple[Process, str, str]]:
    process = stage.vestibule(f"workers-{workers}", f"gateway {{\n  workers = {workers}\n}}\n")
    with ExitStack() as stack:
        stack.callback(process.stop)
        stage.wait_vestibule(process)
        url = f"http://127.0.0.1:{stage.ports.vestibule}"
        cookie = asyncio.run(visitor.sign_in(f"{url}/@/signin?login_hint={visitor.PERSON}&rd=/", at="/"))
        yield process, f"{url}/", cookie


def _nginx(stage: Stage, workers: int) -> Iterator[tuple[Process, str, str]]:
    process = stage.nginx(workers)
    with ExitStack() as stack:
        stack.callback(process.stop)
        process.wait_until(lambda: accepts(stage.ports.nginx))
        yield process, f"http://127.0.0.1:{stage.ports.nginx}/", "a=b"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
