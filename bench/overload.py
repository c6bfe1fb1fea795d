"""`python -m bench.overload`: how much is still answered well when more is asked than can be, beside nginx and Caddy.

Thrice: whole sign-ins, with provider, code and session, of the gateway alone, for nginx and Caddy have none. As many a
second as there can be, a few at a time, are the best; then three times as many people come, by the clock, whatever
becomes of those before them. Good is who is signed in, and sees a page, within five seconds of coming. Nobody tries
again. Each round says how the others fared, and where they were refused.

Crowd: wrk, without TLS, with 64 connections and then with 4,096 that ask again as soon as they are answered. `pages`
are requests to a backend, of somebody signed in where it is the gateway's; `sign-ins` are begun sign-ins, which cost
the gateway many times as much. Good is 2xx and 3xx within two seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import NamedTuple

import aiohttp

from bench import program, visitor
from bench.process import BenchError, Cores, needed
from bench.servers import Stage
from bench.sides import SIDES, Side, vestibule

BEST, MANY = 64, 4096
TIMES = 3
IN_TIME_S = 2.0
AT_ONCE = 16
WARM_S = 3.0
SIGNED_IN_WITHIN_S = 5.0


class Asked(NamedTuple):
    """What the load saw in a second."""

    sent: float
    good: float
    refused: float
    """Told 503."""


class Case(NamedTuple):
    """What is asked of a subject."""

    name: str
    url: str
    headers: list[str]


Found = dict[tuple[str, str], list[tuple[Asked, Asked]]]


def main(argv: list[str]) -> int:
    """Measure; the exit code."""
    parser = program.options("overload", __doc__, seconds=4)
    parser.add_argument("--only", choices=("thrice", "crowd"), default=None)
    arguments = parser.parse_args(argv)
    return program.run("overload", lambda directory: _measure(directory, arguments))


def _measure(directory: Path, arguments: argparse.Namespace) -> None:
    if arguments.only != "thrice":
        (directory / "plain").mkdir()
        _measure_crowd(directory / "plain", arguments)
    if arguments.only != "crowd":
        (directory / "edge").mkdir()
        _measure_thrice(directory / "edge", arguments)


def _say(found: Found) -> None:
    for (name, case_name), runs in found.items():
        good = program.ratios([pressed.good for _, pressed in runs], [best.good for best, _ in runs])
        offered = program.ratios([pressed.sent for _, pressed in runs], [best.good for best, _ in runs])
        print(
            f"{name:10} {case_name:8} best {median(best.good for best, _ in runs):9,.0f}/s; asked {offered} times "
            f"as much: {median(pressed.good for _, pressed in runs):9,.0f}/s good, "
            f"{median(pressed.refused for _, pressed in runs):9,.0f}/s refused; goodput {good}",
            flush=True,
        )


# -- three times as many people ------------------------------------------------------------------


def _measure_thrice(directory: Path, arguments: argparse.Namespace) -> None:
    found: Found = {}
    with Stage(directory, Cores()) as stage:
        for _ in range(arguments.rounds):
            with vestibule(stage) as side:
                people = _People(side)
                asyncio.run(people.as_fast_as_they_can(WARM_S))
                best = asyncio.run(people.as_fast_as_they_can(arguments.seconds))
                pressed = asyncio.run(people.at_a_rate(TIMES * best.good, arguments.seconds))
            found.setdefault(("vestibule", "thrice"), []).append((best, pressed))
    _say(found)


class _People:
    """Those who sign in, each once, and look at one page then."""

    def __init__(self, side: Side) -> None:
        self._url = f"{side.url}/@/signin?login_hint={visitor.PERSON}&rd=/@/session"

    async def as_fast_as_they_can(self, seconds: float) -> Asked:
        """A few at a time, one after the other."""
        until_mono = time.monotonic() + seconds
        counts: Counter[str] = Counter()

        async def come(client: aiohttp.ClientSession) -> None:
            while time.monotonic() < until_mono:
                counts[await self._visit(client)] += 1

        async with visitor.browser() as client:
            await asyncio.gather(*(come(client) for _ in range(AT_ONCE)))
        return _asked_in(counts, seconds)

    async def at_a_rate(self, rate: float, seconds: float) -> Asked:
        """So many a second, whatever becomes of those before them."""
        counts: Counter[str] = Counter()

        async def come(client: aiohttp.ClientSession) -> None:
            counts[await self._visit(client)] += 1

        began = time.monotonic()
        async with visitor.browser() as client, asyncio.TaskGroup() as tasks:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(began + number / rate - time.monotonic())
                tasks.create_task(come(client))
        return _asked_in(counts, seconds)

    async def _visit(self, client: aiohttp.ClientSession) -> str:
        began = time.monotonic()
        try:
            await visitor.sign_in_by(client, self._url, at="/@/session")
        except visitor.Refused as refused:
            return f"refused at {refused}"
        except (BenchError, aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__
        return "good" if time.monotonic() - began <= SIGNED_IN_WITHIN_S else "late"


def _asked_in(counts: Counter[str], seconds: float) -> Asked:
    print("  " + ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())), flush=True)
    refused = sum(count for name, count in counts.items() if name.startswith("refused"))
    return Asked(counts.total() / seconds, counts["good"] / seconds, refused / seconds)


# -- a crowd -----------------------------------------------------------------------------------


def _measure_crowd(directory: Path, arguments: argparse.Namespace) -> None:
    found: Found = {}
    with Stage(directory, Cores()) as stage:
        for _ in range(arguments.rounds):
            for name, start in SIDES.items():
                with start(stage) as side:
                    for case in _cases(name, side):
                        best = _asked(stage, case, BEST, arguments.seconds)
                        pressed = _asked(stage, case, MANY, arguments.seconds)
                        found.setdefault((name, case.name), []).append((best, pressed))
    _say(found)


def _cases(name: str, side: Side) -> list[Case]:
    pages = Case("pages", f"{side.url}/", side.headers)
    return [pages, Case("sign-ins", f"{side.url}/@demo/signin", [])] if name == "vestibule" else [pages]


def _asked(stage: Stage, case: Case, connections: int, seconds: int) -> Asked:
    argv = ["taskset", "-c", str(stage.cores.load), needed("wrk", "wrk"), "-t1", f"-c{connections}"]
    argv += [f"-d{seconds}s", "--timeout", "2s"]
    for header in case.headers:
        argv += ["-H", header]
    done = subprocess.run([*argv, case.url], capture_output=True, text=True, check=False)
    sent = re.search(r"(\d+) requests in ([0-9.]+)s", done.stdout)
    if sent is None:
        raise BenchError(f"wrk said:\n{done.stdout}{done.stderr}")
    took_s = float(sent[2])
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    late = re.search(r"Socket errors: .* timeout (\d+)", done.stdout)
    bad = int(refused[1]) if refused else 0
    slow = int(late[1]) if late else 0
    return Asked(int(sent[1]) / took_s, (int(sent[1]) - bad - slow) / took_s, bad / took_s)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
