"""`python -m bench.reload`: what clients lose while the configuration is reloaded, beside nginx and Caddy in one run.

Clients ask over TLS all the time, some on a connection of its own for each request, some on one that they keep. Lost is
what got no answer: a connection that was refused, or closed without a word after a request was sent. An answer that
says `Connection: close` loses nothing; who is told so opens another. Meanwhile the configuration is written anew and
reloaded, again and again, each time another one. The worst latency is that of one request, its connection and
handshake included where it is new; beside it that of the same clients without reloads. Clients and backend have a core
of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import ssl
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from bench import edge, program

NEW, REUSED = 3, 5
PAUSE_S = 0.2
FIRST_KIB = 1
ASKED = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
ASKED_ONCE = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Seen(msgspec.Struct):
    """What clients of one kind have seen."""

    asked: int = 0
    lost: int = 0
    worst_s: float = 0.0

    def note(self, began: float, *, is_lost: bool) -> None:
        """One request more."""
        self.asked += 1
        self.lost += is_lost
        self.worst_s = max(self.worst_s, time.monotonic() - began)


class Round(NamedTuple):
    """What clients of each kind have seen in one round."""

    quiet: dict[str, Seen]
    loud: dict[str, Seen]
    each_s: float
    """What one reload takes."""


def main(argv: list[str]) -> int:
    """Measure; the exit code."""
    parser = program.options("reload", __doc__, rounds=4, seconds=3)
    parser.add_argument("--reloads", type=int, default=25, help="in each round (default 25)")
    arguments = parser.parse_args(argv)
    return program.run("reload", lambda directory: _measure(directory, arguments))


def _measure(directory: Path, arguments: argparse.Namespace) -> None:
    found: dict[str, list[Round]] = {}
    with edge.staged(directory) as stage:
        for _ in range(arguments.rounds):
            for name in edge.SUBJECTS:
                found.setdefault(name, []).append(_round(stage, name, arguments))
    for name, rounds in found.items():
        for kind in ("new", "reused"):
            _say(name, kind, rounds)
        print(
            f"{name:10} a reload takes {median(one.each_s for one in rounds) * 1000:.0f} ms "
            f"({min(one.each_s for one in rounds) * 1000:.0f} to {max(one.each_s for one in rounds) * 1000:.0f}); "
            f"{arguments.reloads * arguments.rounds} of them",
            flush=True,
        )


def _say(name: str, kind: str, rounds: list[Round]) -> None:
    asked = sum(one.loud[kind].asked for one in rounds)
    lost = sum(one.loud[kind].lost for one in rounds)
    worst = [one.loud[kind].worst_s for one in rounds]
    quiet = [one.quiet[kind].worst_s for one in rounds]
    lost_before = sum(one.quiet[kind].lost for one in rounds)
    print(
        f"{name:10} {kind:6}: {lost:4} of {asked:7,} lost, {lost / asked * 10_000:.2f} in 10,000 "
        f"({lost_before} without reloads); worst {max(worst) * 1000:.1f} ms, "
        f"without reloads {max(quiet) * 1000:.1f} ms, {program.ratios(worst, quiet)} times",
        flush=True,
    )


def _round(stage: edge.Stage, name: str, arguments: argparse.Namespace) -> Round:
    with edge.running(stage, name, body_kib=FIRST_KIB) as subject:

        async def run() -> Round:
            quiet = await _asked(stage, subject.port, asyncio.sleep(arguments.seconds))
            began = time.monotonic()
            loud = await _asked(stage, subject.port, _reloaded(stage, name, subject, arguments.reloads))
            return Round(quiet, loud, (time.monotonic() - began) / arguments.reloads - PAUSE_S)

        return asyncio.run(run())


async def _reloaded(stage: edge.Stage, name: str, running: edge.Running, reloads: int) -> None:
    subject = edge.SUBJECTS[name]
    for number in range(1, reloads + 1):
        path = subject.write(stage, running.port, FIRST_KIB + number)
        await asyncio.to_thread(subject.reload, stage, running.process, path)
        await asyncio.sleep(PAUSE_S)


# -- who asks ----------------------------------------------------------------------------------


async def _asked(stage: edge.Stage, port: int, meanwhile: Coroutine[None, None, None]) -> dict[str, Seen]:
    """What clients have seen until that was over."""
    found, over = {"new": Seen(), "reused": Seen()}, asyncio.Event()
    context = ssl.create_default_context(cafile=stage.directory / "cert.pem")
    clients = [
        asyncio.ensure_future(work(port, context, found[kind], over))
        for kind, work, number in (("new", _opens, NEW), ("reused", _keeps, REUSED))
        for _ in range(number)
    ]
    await meanwhile
    over.set()
    await asyncio.gather(*clients)
    return found


async def _opens(port: int, context: ssl.SSLContext, seen: Seen, over: asyncio.Event) -> None:
    while not over.is_set():
        began, answer = time.monotonic(), b""
        try:
            reader, writer = await _opened(port, context)
            try:
                answer = await _answer(reader, writer, ASKED_ONCE)
            finally:
                writer.close()
        except (OSError, asyncio.IncompleteReadError):
            pass
        seen.note(began, is_lost=not answer.startswith(b"HTTP/1.1 200"))


async def _keeps(port: int, context: ssl.SSLContext, seen: Seen, over: asyncio.Event) -> None:
    writer: asyncio.StreamWriter | None = None
    while not over.is_set():
        began, answer = time.monotonic(), b""
        try:
            if writer is None:
                reader, writer = await _opened(port, context)
                began = time.monotonic()
            answer = await _answer(reader, writer, ASKED)
        except (OSError, asyncio.IncompleteReadError):
            pass
        seen.note(began, is_lost=not answer.startswith(b"HTTP/1.1 200"))
        if writer is not None and (not answer or b"connection: close" in answer.lower()):
            writer.close()
            writer = None


async def _opened(port: int, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: bytes) -> bytes:
    """The head of the answer; its body is read, too."""
    writer.write(asked)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    await reader.readexactly(int(length[1]) if length else 0)
    return head


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
