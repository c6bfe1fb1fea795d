"""`python -m bench.slow`: what others notice of 5,000 clients who are slow on purpose, beside nginx and Caddy.

Eight connections ask as fast as they can, before and while slowhttptest holds the others open, which send their heads
slowly (H), their bodies slowly (B, to a backend that reads them), or read an answer of 64 KiB slowly (X). They are
signed in where the gateway asks for it: who isn't has an answer at once, and is no trouble. The ratio is of the p99 of
the eight. How many of the slow ones were open, before and after, stands beside it: who is hung up on is no load.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import load, program
from bench.process import Cores, Process, needed
from bench.servers import Stage
from bench.sides import SIDES, Side

GOOD = 8
WITHIN_S = 3.0
WARM_S = 4
MODES = {
    "H": ("/", ("-H",)),
    "B": ("/body", ("-B", "-s", "65536")),
    "X": ("/long", ("-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32")),
}


class Seen(NamedTuple):
    """One round of one way to be slow."""

    alone_ms: float
    beside_ms: float
    before: int
    """How many slow connections were open when the measurement of the others began."""
    after: int
    """How many were left at its end: a subject hangs up on who is too slow."""


class Slow:
    """slowhttptest, under way."""

    def __init__(self, stage: Stage, side: Side, mode: str, arguments: argparse.Namespace) -> None:
        path, options = MODES[mode]
        # It shares a core with the eight; who is slow is no load of theirs elsewhere, so it gives way to them.
        argv = ["nice", "-n", "19", needed("slowhttptest", "slowhttptest"), *options, "-j", side.cookie]
        argv += ["-c", str(arguments.slow), "-r", str(arguments.slow), "-i", "5", "-x", "24", "-p", "3"]
        argv += ["-l", str(arguments.seconds + 60), "-u", side.url + path]
        self.process = Process(
            argv, core=stage.cores.load, log=stage.directory / "slow.log", cwd=stage.directory
        )
        self.wanted = arguments.slow

    def held(self) -> int:
        """How many connections it has open; it ends, with 0, when the last is closed."""
        count = 0
        with suppress(OSError):
            for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
                with suppress(OSError):
                    count += str(descriptor.readlink()).startswith("socket:")
        return count

    def wait(self) -> None:
        """Returns once it has all it can get: all, or no more for so long."""
        most, grew_at = 0, time.monotonic()
        while most < self.wanted and time.monotonic() - grew_at < WITHIN_S:
            held = self.held()
            if held > most:
                most, grew_at = held, time.monotonic()
            time.sleep(0.1)


def main(argv: list[str]) -> int:
    """Measure; the exit code."""
    parser = program.options("slow", __doc__, seconds=2)
    parser.add_argument("--slow", type=int, default=5000, help="so many who are slow (default 5000)")
    arguments = parser.parse_args(argv)
    return program.run("slow", lambda directory: _measure(directory, arguments))


def _measure(directory: Path, arguments: argparse.Namespace) -> None:
    found: dict[tuple[str, str], list[Seen]] = {}
    with Stage(directory, Cores()) as stage:
        for _ in range(arguments.rounds):
            for name, start in SIDES.items():
                with start(stage) as side:
                    # What a program still does after its start is nobody's slowness: a first measurement isn't kept.
                    _p99_ms(stage, side, WARM_S)
                    alone_ms = _p99_ms(stage, side, arguments.seconds)
                    for mode in MODES:
                        with _slow(stage, side, mode, arguments) as slow:
                            before = slow.held()
                            beside_ms = _p99_ms(stage, side, arguments.seconds)
                            seen = Seen(alone_ms, beside_ms, before, slow.held())
                        found.setdefault((name, mode), []).append(seen)
    for (name, mode), rounds in found.items():
        print(
            f"{name:10} slow {mode}: p99 {median(one.alone_ms for one in rounds):.2f} ms alone, "
            f"{median(one.beside_ms for one in rounds):.2f} ms beside {min(one.before for one in rounds):,} "
            f"(in the end {min(one.after for one in rounds):,}); "
            f"{program.ratios([one.beside_ms for one in rounds], [one.alone_ms for one in rounds])} times",
            flush=True,
        )


def _p99_ms(stage: Stage, side: Side, seconds: int) -> float:
    """Of those who ask as fast as they can."""
    return load.run(
        f"{side.url}/",
        side.headers,
        core=stage.cores.load,
        subject=side.process,
        seconds=seconds,
        connections=GOOD,
    ).p99_ms


@contextmanager
def _slow(stage: Stage, side: Side, mode: str, arguments: argparse.Namespace) -> Iterator[Slow]:
    slow = Slow(stage, side, mode, arguments)
    try:
        slow.wait()
        yield slow
    finally:
        slow.process.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
