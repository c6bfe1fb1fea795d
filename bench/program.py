"""What every measurement has: options, a directory that goes with it, an end that leaves nothing running."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from types import FrameType

from bench.process import BenchError, raise_file_limit


def options(name: str, doc: str | None, *, rounds: int = 3, seconds: float = 5) -> argparse.ArgumentParser:
    """The options that all have: how many rounds, and how long one load takes."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=doc)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"turns each has (default {rounds})")
    parser.add_argument("--seconds", type=type(seconds), default=seconds, help=f"of load (default {seconds})")
    return parser


def run(name: str, measure: Callable[[Path], None]) -> int:
    """Measure in a directory of its own; the exit code."""
    raise_file_limit()
    signal.signal(signal.SIGTERM, _ended)
    try:
        with tempfile.TemporaryDirectory(prefix=f"vestibule-{name}-") as directory:
            measure(Path(directory))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def spread(values: Sequence[float]) -> str:
    """The median of ratios, with the lowest and the highest."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Round by round: what both suffered in a round cancels out."""
    return spread([mine / other for mine, other in zip(ours, theirs, strict=True)])


def _ended(_signal: int, _frame: FrameType | None) -> None:
    """An end that unwinds: all that was started is stopped on the way."""
    sys.exit(128 + signal.SIGTERM)
