"""`python -m bench.scale`: a million live sessions in each store, and what they cost.

Bytes a session, look-ups from the store and from the cache, the start with them there, a sweep of those that expired,
and requests of 10,000 people out of the million beside those of 1,000 in all. Each store's server is started here and
stopped again; SQLite and PostgreSQL sync as they do in use.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench import kept
from bench.kept import Place
from bench.load import run as load
from bench.process import BenchError, Cores, Process, answers, raise_file_limit
from bench.servers import Stage
from vestibule.core.record import Vault
from vestibule.service.sessions import Sessions
from vestibule.store import keyfile
from vestibule.store.base import Store
from vestibule.store.changes import Changes

LOOKED_UP = 5_000
EXPIRED_SHARE = 0.1
BATCH_ROWS = 200
TICK_S = 0.001
COOKIES = Path(__file__).with_name("cookies.lua")


def main(argv: list[str]) -> int:
    """Measure each store in turn; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--number", type=int, default=1_000_000, help="how many sessions")
    parser.add_argument("--active", type=int, default=10_000, help="of how many people the requests come")
    parser.add_argument("--few", type=int, default=1_000, help="how many there are where there are few")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--store", action="append", choices=sorted(kept.PLACES), default=[])
    arguments = parser.parse_args(argv)
    raise_file_limit()
    for name in arguments.store or sorted(kept.PLACES):
        with tempfile.TemporaryDirectory(prefix="vestibule-scale-") as directory, ExitStack() as stack:
            try:
                _measure(kept.PLACES[name](Path(directory), stack), Path(directory), arguments)
            except BenchError as error:
                print(f"bench: {error}", file=sys.stderr)
                return 1
    return 0


def _measure(place: Place, directory: Path, arguments: argparse.Namespace) -> None:
    say = _Sayer(place.name)
    key_file = directory / "vestibule.key"
    vault = Vault(keyfile.read_or_create(key_file))
    handles = asyncio.run(_at_the_store(place, vault, arguments, say))
    (directory / "stage").mkdir()
    with Stage(directory / "stage", Cores()) as stage:
        block = place.block.replace("store {\n", f'store {{\n  key_file = "{key_file}"\n')
        _through_the_gateway(stage, block, handles, arguments, say)


class _Sayer:
    """Prints a figure as soon as it is known."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, what: str, value: str) -> None:
        print(f"{self._name:10} {what:58} {value}", flush=True)


# -- the store alone --------------------------------------------------------------------------


async def _at_the_store(place: Place, vault: Vault, arguments: argparse.Namespace, say: _Sayer) -> list[str]:
    """Fill it, then look things up in it and sweep it; the handles that the requests will have."""
    store = await place.open(vault)
    people = await place.people()
    now = time.time()
    before = place.size_bytes()
    number, began = arguments.number, time.monotonic()
    handles = await kept.fill(store, people, number, keep=max(arguments.active, LOOKED_UP), now=now)
    took_s = time.monotonic() - began
    say("sessions made a second (durable, 256 at once)", f"{number / took_s:,.0f}")
    say("bytes a session", f"{(place.size_bytes() - before) / number:,.0f}")
    await _look_up(store, handles[:LOOKED_UP], say)
    say("memory of a cached session, bytes", f"{await _cached(store, handles[:LOOKED_UP]):,.0f}")
    await kept.fill(store, people, int(number * EXPIRED_SHARE), keep=0, now=now, idle_s=60.0)
    await _sweep(store, int(number * EXPIRED_SHARE), handles[:LOOKED_UP], now + 120.0, say)
    await store.close()
    return handles


async def _look_up(store: Store, handles: list[str], say: _Sayer) -> None:
    """One after the other, each for the first time; then again, from the cache."""
    sessions = Sessions(store.sessions, Changes(), capacity=len(handles))
    cold_us = []
    for handle in handles:
        began = time.perf_counter_ns()
        found = await sessions.load(handle)
        cold_us.append((time.perf_counter_ns() - began) / 1000)
        if found is None:
            raise BenchError("a session that was stored is not there")
    cached_us = []
    for handle in handles:
        began = time.perf_counter_ns()
        sessions.peek(handle)
        cached_us.append((time.perf_counter_ns() - began) / 1000)
    say("look-up in the store, p50 and p99, us", _percentiles(cold_us))
    say("look-up in the cache, p50 and p99, us", _percentiles(cached_us))


async def _cached(store: Store, handles: list[str]) -> float:
    """Bytes of memory that each cached session takes, its handles included."""
    sessions = Sessions(store.sessions, Changes(), capacity=len(handles))
    half = len(handles) // 2
    for handle in handles[:half]:  # what the first ones bring along once
        await sessions.load(handle)
    gc.collect()
    before = _resident_bytes()
    for handle in handles[half:]:
        await sessions.load(handle)
    gc.collect()
    return (_resident_bytes() - before) / (len(handles) - half)


async def _sweep(store: Store, number: int, handles: list[str], then: float, say: _Sayer) -> None:
    """Delete those that have expired by then, a batch at a time, while somebody else looks things up."""
    lags_ms: list[float] = []
    looked_us: list[float] = []
    over = asyncio.Event()
    beside = asyncio.gather(_tick(lags_ms, over), _look_on(store, handles, looked_us, over))
    began, swept = time.monotonic(), 0
    while (gone := await store.sessions.sweep(then, BATCH_ROWS)) > 0:
        swept += gone
    took_s = time.monotonic() - began
    over.set()
    await beside
    if swept < number:
        raise BenchError(f"{swept} of {number} went")
    say("sweep of a tenth of it, sessions a second", f"{swept / took_s:,.0f}")
    say(
        "pause of the event loop meanwhile, p99 and longest, ms",
        f"{_at(lags_ms, 0.99):.1f}, {max(lags_ms):.1f}",
    )
    say("look-up in the store meanwhile, p50 and p99, us", _percentiles(looked_us))


async def _tick(lags_ms: list[float], over: asyncio.Event) -> None:
    """How much later than it should this task gets its turn."""
    while not over.is_set():
        began = time.perf_counter()
        await asyncio.sleep(TICK_S)
        lags_ms.append((time.perf_counter() - began - TICK_S) * 1000)


async def _look_on(store: Store, handles: list[str], looked_us: list[float], over: asyncio.Event) -> None:
    sessions = Sessions(store.sessions, Changes(), capacity=1)
    while not over.is_set():
        for handle in handles:
            began = time.perf_counter_ns()
            await sessions.load(handle)
            looked_us.append((time.perf_counter_ns() - began) / 1000)
            await asyncio.sleep(TICK_S)
            if over.is_set():
                return


# -- through the gateway ----------------------------------------------------------------------


def _through_the_gateway(
    stage: Stage, block: str, handles: list[str], arguments: argparse.Namespace, say: _Sayer
) -> None:
    """The start, and requests of many and of few people."""
    began = time.monotonic()
    gateway = stage.vestibule("scale", block)
    with ExitStack() as stack:
        stack.callback(gateway.stop)
        gateway.wait_until(lambda: answers(stage.ports.vestibule, "/@/healthz") == 200)
        say("start until the whole program answers, s", f"{time.monotonic() - began:.2f}")
        many = _script(stage, "many", handles[: arguments.active])
        few = _script(stage, "few", handles[: arguments.few])
        ratios = []
        _load(stage, gateway, many, arguments.seconds)  # each is looked up once
        for _ in range(arguments.rounds):
            of_few = _load(stage, gateway, few, arguments.seconds)
            of_many = _load(stage, gateway, many, arguments.seconds)
            ratios.append(of_many / of_few)
        say(
            f"requests of {arguments.active:,} people to those of {arguments.few:,}, median (lowest to highest)",
            f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        )


def _script(stage: Stage, name: str, handles: list[str]) -> Path:
    """A wrk script whose requests come from these people in turn."""
    cookies = stage.directory / f"{name}.txt"
    port = stage.ports.vestibule
    cookies.write_text("".join(f"vestibule-{port}={handle}\n" for handle in handles), "ascii")
    script = stage.directory / f"{name}.lua"
    script.write_text(COOKIES.read_text("ascii").replace("COOKIES", str(cookies)), "ascii")
    return script


def _load(stage: Stage, gateway: Process, script: Path, seconds: float) -> float:
    url = f"http://127.0.0.1:{stage.ports.vestibule}/"
    return load(
        url, [], core=stage.cores.load, subject=gateway, seconds=seconds, script=script
    ).requests_per_s


# -- figures ----------------------------------------------------------------------------------


def _percentiles(values: list[float]) -> str:
    return f"{_at(values, 0.5):,.1f}, {_at(values, 0.99):,.1f}"


def _at(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
