"""`python -m bench.tls`: handshakes a second, and what idle TLS connections cost, beside nginx and Caddy.

A handshake is counted with one request on its connection. Full ones are h2load's, by the hundred at once; resumed
ones a client's of Python, one after another, which is slower than any of the subjects: what counts there is the
processor time that the subject took. Idle connections have asked once, of a process that has done nothing else; what
one costs is by those that are still open. Meanwhile others come, one after another, and how long each takes, handshake
and answer, is what the others notice. Requests a second over connections that stay are `bench.h2`'s.
"""

from __future__ import annotations

import argparse
import re
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from bench import edge, program
from bench.process import BenchError, needed

AT_ONCE = 200
RUNS = 10
RESUMED = 1000
OTHERS = 500
OPENING = 4
ASKED = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Handshakes(NamedTuple):
    """Those of one round."""

    full_per_s: float
    full_per_cpu_s: float
    resumed_per_cpu_s: float


class Idle(NamedTuple):
    """What idle connections cost, and what others notice."""

    open: int
    """How many were there to the end; a machine that is slow to open them all meets the time-out of the first."""
    kib: float
    alone_ms: float
    """The p99 of others before."""
    meanwhile_ms: float


class Client:
    """Who connects to one of them."""

    def __init__(self, stage: edge.Stage, subject: edge.Running) -> None:
        self.core = stage.cores.load
        self.subject = subject
        self.process = subject.process
        self.context = ssl.create_default_context(cafile=stage.directory / "cert.pem")

    def connected(self, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
        """A connection that has asked once."""
        plain = socket.create_connection(("127.0.0.1", self.subject.port), timeout=20)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made = self.context.wrap_socket(plain, server_hostname="localhost", session=session)
        made.sendall(ASKED)
        if not made.recv(4096).startswith(b"HTTP/1.1 200"):
            raise BenchError("an answer that is none")
        return made

    def handshakes(self) -> Handshakes:
        """Full ones, then resumed ones."""
        return Handshakes(*self.full(), self.resumed())

    def full(self) -> tuple[float, float]:
        """Full handshakes: a second, and by second of processor time."""
        argv = ["taskset", "-c", str(self.core), needed("h2load", "nghttp2-client"), "--h1"]
        argv += [f"-n{AT_ONCE}", f"-c{AT_ONCE}", self.subject.url]
        took_s, before = 0.0, self.process.cpu_s()
        for _ in range(RUNS):
            said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
            found = re.search(r"finished in ([0-9.]+)(m?s)", said)
            if found is None or f" {AT_ONCE} 2xx" not in said:
                raise BenchError(f"h2load said:\n{said}")
            took_s += float(found[1]) / (1000 if found[2] == "ms" else 1)
        count = AT_ONCE * RUNS
        return count / took_s, count / (self.process.cpu_s() - before)

    def resumed(self) -> float:
        """Resumed handshakes by second of processor time."""
        with closing(self.connected()) as first:
            session = first.session
        before = self.process.cpu_s()
        for _ in range(RESUMED):
            with closing(self.connected(session)) as made:
                if not made.session_reused:
                    raise BenchError("a session that was not resumed")
                session = made.session
        return RESUMED / (self.process.cpu_s() - before)

    def idle(self, count: int) -> Idle:
        """So many connections, and others before and meanwhile."""
        alone_ms = self.others_ms()  # what is made once is made by then
        time.sleep(1)
        before = self.process.pss_bytes()
        with ExitStack() as stack:
            with ThreadPoolExecutor(OPENING) as pool:
                made = list(pool.map(lambda _: self.connected(), range(count)))
            for one in made:
                stack.enter_context(closing(one))
            time.sleep(1)
            held_bytes = self.process.pss_bytes() - before
            meanwhile_ms = self.others_ms()
            left = sum(_is_open(one) for one in made)
        if left < count * 0.9:
            raise BenchError(f"only {left} of {count} idle connections were still open")
        return Idle(left, held_bytes / left / 1024, alone_ms, meanwhile_ms)

    def others_ms(self) -> float:
        """The p99 of new connections with one request, in ms."""
        took = []
        for _ in range(OTHERS):
            began = time.perf_counter()
            self.connected().close()
            took.append((time.perf_counter() - began) * 1000)
        return quantiles(took, n=100)[98]


def main(argv: list[str]) -> int:
    """Measure; the exit code."""
    parser = program.options("tls", __doc__)
    parser.add_argument("--idle", type=int, default=10_000, help="so many idle connections (0: none)")
    arguments = parser.parse_args(argv)
    return program.run("tls", lambda directory: _measure(directory, arguments))


def _measure(directory: Path, arguments: argparse.Namespace) -> None:
    handshakes: dict[str, list[Handshakes]] = {}
    idle: dict[str, list[Idle]] = {}
    with edge.staged(directory) as stage:
        for _ in range(arguments.rounds):
            for name in edge.SUBJECTS:
                with edge.running(stage, name) as subject:
                    handshakes.setdefault(name, []).append(Client(stage, subject).handshakes())
                if arguments.idle:
                    with edge.running(stage, name) as subject:
                        idle.setdefault(name, []).append(Client(stage, subject).idle(arguments.idle))
    for name, runs in handshakes.items():
        _say_handshakes(name, runs, handshakes["nginx"])
    for name, seen in idle.items():
        ratio = program.ratios([one.meanwhile_ms for one in seen], [one.alone_ms for one in seen])
        print(
            f"{name:10} {min(one.open for one in seen):,} idle: {median(one.kib for one in seen):6.1f} KiB each "
            f"(at most {max(one.kib for one in seen):.1f}); p99 of others "
            f"{median(one.alone_ms for one in seen):.2f} ms before, "
            f"{median(one.meanwhile_ms for one in seen):.2f} ms meanwhile, {ratio} times",
            flush=True,
        )


def _say_handshakes(name: str, runs: list[Handshakes], beside: list[Handshakes]) -> None:
    ours, theirs = list(zip(*runs, strict=True)), list(zip(*beside, strict=True))
    full, by_cpu, resumed = (median(values) for values in ours)
    to_nginx = [program.ratios(mine, other) for mine, other in zip(ours, theirs, strict=True)]
    print(
        f"{name:10} full: {full:6,.0f} /s, to nginx {to_nginx[0]}; {by_cpu:6,.0f} per CPU s, to nginx "
        f"{to_nginx[1]}; resumed: {resumed:6,.0f} per CPU s, to nginx {to_nginx[2]}",
        flush=True,
    )


def _is_open(connection: ssl.SSLSocket) -> bool:
    """False where the other side has hung up."""
    connection.settimeout(0)
    try:
        return bool(connection.recv(1))
    except ssl.SSLWantReadError:
        return True
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
