"""`make bench`: measures the product beside nginx, and beside oauth2-proxy and Vouch where their binaries are given.

Everything is on loopback. The subject has one core, the load and the backend the other; the subjects take turns in
each round, so that what changes on the machine meanwhile meets them all.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from bench import checks, parts
from bench.figures import Figure, as_json, as_table
from bench.parts import Bench, subjects
from bench.process import BenchError, Cores, raise_file_limit
from bench.servers import Stage

PARTS = {**parts.PARTS, **checks.PARTS}


def main(argv: list[str]) -> int:
    """Measure, print the table; the exit code."""
    arguments = _arguments(argv)
    raise_file_limit()
    figures: list[Figure] = []
    try:
        with tempfile.TemporaryDirectory(prefix="vestibule-bench-") as name:
            _measure(arguments, Path(name), figures)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        if figures:
            print(f"\n{_machine()}\n\n{as_table(figures)}", end="")
        if figures and arguments.json:
            Path(arguments.json).write_bytes(as_json(figures) + b"\n")
    return 0


def _measure(arguments: argparse.Namespace, directory: Path, figures: list[Figure]) -> None:
    names = [name for name in PARTS if not arguments.parts or name in arguments.parts]
    with Stage(directory, Cores()) as stage:
        bench = Bench(
            stage=stage,
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            connections=arguments.connections,
            oauth2_proxy=arguments.oauth2_proxy,
            vouch=arguments.vouch,
        )
        for name in names:
            print(f"{name} …", file=sys.stderr, flush=True)
            part, wants_subjects = PARTS[name]
            # Each part has processes of its own: memory that was freed would hide what is taken next.
            with subjects(bench) if wants_subjects else nullcontext():
                figures += part(bench)


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    busy = os.getloadavg()[0]
    return f"{model}, {cores} cores, Python {platform.python_version()}, load {busy:.1f}"


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all when none is named"
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns each subject has (default 5)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of load a turn (default 4)")
    parser.add_argument("--connections", type=int, default=5000, help="idle ones (default 5000)")
    parser.add_argument("--oauth2-proxy", type=Path, metavar="PATH", help="its binary, to be measured too")
    parser.add_argument("--vouch", type=Path, metavar="PATH", help="Vouch Proxy's binary, the same")
    parser.add_argument("--json", metavar="FILE", help="write all rounds there")
    arguments = parser.parse_args(argv)
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return arguments
