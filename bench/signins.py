"""`python -m bench.signins`: whole sign-ins a second, with each store.

Each is the dance as a browser does it: to the provider, back with a code, the code's exchange, the ID token's checks,
the session stored. The gateway has one core; the provider and the visitors share the other and are the narrow place
where the gateway had less than its core: then what a second of its processor gives is the figure to look at.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench import kept, visitor
from bench.process import BenchError, Cores, Process, raise_file_limit
from bench.servers import Stage
from vestibule.store import keyfile

AT_ONCE = 16


def main(argv: list[str]) -> int:
    """Measure each store in turn; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.signins", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--store", action="append", choices=sorted(kept.PLACES), default=[])
    arguments = parser.parse_args(argv)
    raise_file_limit()
    for name in arguments.store or sorted(kept.PLACES):
        with tempfile.TemporaryDirectory(prefix="vestibule-signins-") as directory, ExitStack() as stack:
            try:
                _measure(name, Path(directory), stack, arguments)
            except BenchError as error:
                print(f"bench: {error}", file=sys.stderr)
                return 1
    return 0


def _measure(name: str, directory: Path, stack: ExitStack, arguments: argparse.Namespace) -> None:
    key_file = directory / "vestibule.key"
    keyfile.read_or_create(key_file)
    place = kept.PLACES[name](directory, stack)
    block = place.block.replace("store {\n", f'store {{\n  key_file = "{key_file}"\n')
    (directory / "stage").mkdir()
    with Stage(directory / "stage", Cores()) as stage:
        process = stage.vestibule("signins", f"{block}gateway {{\n  workers = {arguments.workers}\n}}\n")
        with ExitStack() as own:
            own.callback(process.stop)
            stage.wait_vestibule(process)
            runs = [_run(stage, process, arguments.seconds) for _ in range(arguments.rounds)]
    rates, each, busy = zip(*runs, strict=True)
    print(
        f"{name:10} {median(rates):6,.0f} sign-ins/s ({min(rates):,.0f} to {max(rates):,.0f}), "
        f"{median(each):6,.0f} per CPU second of the gateway, which had {median(busy):.0%} of a core",
        flush=True,
    )


def _run(stage: Stage, process: Process, seconds: float) -> tuple[float, float, float]:
    before, began = process.cpu_s(), time.monotonic()
    done = asyncio.run(_swarm(f"http://127.0.0.1:{stage.ports.vestibule}", began + seconds))
    took_s, cpu_s = time.monotonic() - began, process.cpu_s() - before
    return done / took_s, done / cpu_s, cpu_s / took_s


async def _swarm(url: str, until_mono: float) -> int:
    """How many signed in by then."""
    done = 0

    async def visit() -> None:
        nonlocal done
        while time.monotonic() < until_mono:
            await visitor.sign_in(
                f"{url}/@/signin?login_hint={visitor.PERSON}&rd=/@/session", at="/@/session"
            )
            done += 1

    await asyncio.gather(*(visit() for _ in range(AT_ONCE)))
    return done


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
