"""What is measured, one function a thing; in each round every subject has its turn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import msgspec

from bench import load, visitor
from bench.figures import OURS, Figure
from bench.process import BenchError, Process, accepts, answers
from bench.servers import BIG_BYTES, Stage

WARM_UP_S = 1.0
BUSY = 0.9
"""A subject that used less of its core was waiting for somebody: another process, or too little load."""
TRIES = 4
SAMPLE_S = 0.02
STALL_S = 1.0
"""Whoever takes a big body takes nothing for so long, so that what is buffered on the way shows."""
MIB = 1 << 20


class Subject(msgspec.Struct, kw_only=True):
    """A server under measurement, ready, and what a signed-in client sends it."""

    name: str
    process: Process
    url: str
    cookie: str

    def headers(self, kind: str) -> list[str]:
        """The header lines of a request, but for Host."""
        if kind == "bare":
            return [f"Cookie: {self.cookie}"]
        return [*load.BROWSER, f"Cookie: {self.cookie}; theme=dark"]


class Bench(msgspec.Struct, kw_only=True):
    """One run."""

    stage: Stage
    rounds: int
    seconds: float
    connections: int
    oauth2_proxy: Path | None
    vouch: Path | None
    subjects: dict[str, Subject] = {}


@contextlib.contextmanager
def subjects(bench: Bench) -> Iterator[None]:
    """All subjects running and signed in to. nginx gets the same cookie as Vestibule, and does nothing with it."""
    stage, ports = bench.stage, bench.stage.ports
    with ExitStack() as stack:
        ours = stage.vestibule()
        stack.callback(ours.stop)
        stage.wait_vestibule(ours)
        url = f"http://127.0.0.1:{ports.vestibule}"
        cookie = asyncio.run(visitor.sign_in(f"{url}/@/signin?login_hint={visitor.PERSON}&rd=/", at="/"))
        bench.subjects[OURS] = Subject(name=OURS, process=ours, url=url, cookie=cookie)
        nginx = stage.nginx()
        stack.callback(nginx.stop)
        nginx.wait_until(lambda: accepts(ports.nginx))
        url = f"http://127.0.0.1:{ports.nginx}"
        bench.subjects["nginx"] = Subject(name="nginx", process=nginx, url=url, cookie=cookie)
        if bench.oauth2_proxy is not None:
            other = stage.oauth2_proxy(bench.oauth2_proxy)
            stack.callback(other.stop)
            other.wait_until(lambda: answers(ports.other, "/ping") == 200)
            url = f"http://127.0.0.1:{ports.other}"
            cookie = asyncio.run(visitor.sign_in(f"{url}/oauth2/start?rd=/", at="/"))
            bench.subjects["oauth2-proxy"] = Subject(
                name="oauth2-proxy", process=other, url=url, cookie=cookie
            )
        if bench.vouch is not None:
            other = stage.vouch(bench.vouch)
            stack.callback(other.stop)
            other.wait_until(lambda: answers(ports.vouch, "/healthcheck") == 200)
            url = f"http://127.0.0.1:{ports.vouch}"
            cookie = asyncio.run(visitor.sign_in(f"{url}/login?url={url}/validate", at="/validate"))
            bench.subjects["vouch"] = Subject(name="vouch", process=other, url=url, cookie=cookie)
        yield


def proxies(bench: Bench) -> list[tuple[str, Subject]]:
    """The subjects that proxy: Vouch only answers edges."""
    return [(name, subject) for name, subject in bench.subjects.items() if name != "vouch"]


# -- requests a second ----------------------------------------------------------------------------


def proxy_bare(bench: Bench) -> list[Figure]:
    """A small answer through the proxy, with a session, and Host and Cookie only."""
    asked = {name: (s.url + "/", s.headers("bare")) for name, s in proxies(bench)}
    return loaded(bench, "proxy, signed in, bare request", asked, "0.6 of nginx, 8 x oauth2-proxy")


def proxy_browser(bench: Bench) -> list[Figure]:
    """The same with the fifteen headers a browser sends."""
    asked = {name: (s.url + "/", s.headers("browser")) for name, s in proxies(bench)}
    return loaded(bench, "proxy, signed in, browser's headers", asked, "0.5 of nginx, 8 x oauth2-proxy")


def proxy_varied(bench: Bench) -> list[Figure]:
    """The browser's headers, and an address and a Referer that were never sent before."""
    asked = {name: (s.url + "/", s.headers("browser")) for name, s in proxies(bench)}
    return loaded(bench, "proxy, signed in, no request like another", asked, script=load.VARIED)


def static(bench: Bench) -> list[Figure]:
    """A file of 4 KiB, for whoever is signed in."""
    asked = {
        name: (f"{bench.subjects[name].url}/static/page.html", bench.subjects[name].headers("browser"))
        for name in (OURS, "nginx")
    }
    return loaded(bench, "a static file of 4 KiB, browser's headers", asked)


def calling(bench: Bench) -> list[Figure]:
    """A call of the API with the person's token, by the handle the backend got."""
    ours, nginx = bench.subjects[OURS], bench.subjects["nginx"]
    request = urllib.request.Request(f"{ours.url}/handle", headers={"Cookie": ours.cookie})
    with urllib.request.urlopen(request, timeout=10) as answer:
        handle = answer.read().decode("ascii")
    headers = ["Accept: application/json", f"Proxy-Session: {handle}"]
    asked = {
        OURS: (f"http://127.0.0.1:{bench.stage.ports.call}/call/me", headers),
        "nginx": (f"{nginx.url}/call/me", headers),
    }
    return loaded(bench, "calling interface, session's token", asked)


def loaded(
    bench: Bench,
    name: str,
    asked: Mapping[str, tuple[str, Sequence[str]]],
    bar: str = "",
    *,
    script: Path | None = None,
    processes: Mapping[str, load.Busy] | None = None,
) -> list[Figure]:
    """Requests a second of each, by the clock and by processor time; `processes` where not the subject's own."""
    core = bench.stage.cores.load
    figure = Figure(name=name, unit="requests/s", values={key: [] for key in asked}, bar=bar)
    busy = Figure(name=f"{name}, by processor time", unit="requests/s", values={key: [] for key in asked})
    details: dict[str, list[load.Load]] = {key: [] for key in asked}
    for warm in (True, *[False] * bench.rounds):
        for key, (url, headers) in asked.items():
            process = (processes or {}).get(key) or bench.subjects[key].process
            if warm:
                load.run(url, headers, core=core, subject=process, seconds=WARM_UP_S, script=script)
            else:
                seen = _undisturbed(
                    url, headers, core=core, subject=process, seconds=bench.seconds, script=script
                )
                figure.values[key].append(seen.requests_per_s)
                busy.values[key].append(seen.requests_per_s / seen.cpu)
                details[key].append(seen)
    figure.notes = {key: msgspec.to_builtins(value) for key, value in details.items()}
    return [figure, busy]


def _undisturbed(
    url: str,
    headers: Sequence[str],
    *,
    core: int,
    subject: load.Busy,
    seconds: float,
    script: Path | None = None,
) -> load.Load:
    """A turn in which the subject had its core to itself; else, after some tries, the one that came nearest."""
    tries = []
    for _ in range(TRIES):
        tries.append(load.run(url, headers, core=core, subject=subject, seconds=seconds, script=script))
        if tries[-1].cpu >= BUSY:
            break
    return max(tries, key=lambda seen: seen.cpu)


# -- big bodies -----------------------------------------------------------------------------------


def bodies(bench: Bench) -> list[Figure]:
    """1 GiB down and up: how fast, and how much memory it adds while it passes, with a taker that stalls first."""
    figures = []
    with (bench.stage.files / "big").open(
        "rb"
    ) as big:  # into the page cache, so that no first one pays for it
        while big.read(MIB):
            pass
    for name, transfer in (("down", _download), ("up", _upload)):
        speed = Figure(name=f"a body of 1 GiB {name}", unit="MiB/s", values={})
        added = Figure(
            name=f"a body of 1 GiB {name}, memory added",
            unit="MiB (PSS)",
            values={},
            higher_is_better=False,
            bar="at most 16",
        )
        for _ in range(min(3, bench.rounds)):
            for key in (OURS, "nginx"):
                subject = bench.subjects[key]
                with _highest(subject.process) as pss:
                    began = time.monotonic()
                    transfer(subject)
                    took = time.monotonic() - began - STALL_S
                speed.values.setdefault(key, []).append(BIG_BYTES / MIB / took)
                added.values.setdefault(key, []).append((max(pss) - pss[0]) / MIB)
        figures += [speed, added]
    return figures


def _download(subject: Subject) -> None:
    with _connected(subject) as connection:
        connection.sendall(_request(subject, "GET /big"))
        buffer = bytearray(MIB)
        head = connection.recv(65536)
        head, _, body = head.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise BenchError(f"{subject.name} answers {head!r}")
        got = len(body)
        time.sleep(STALL_S)
        while got < BIG_BYTES:
            count = connection.recv_into(buffer)
            if not count:
                raise BenchError(f"{subject.name} broke off after {got} bytes")
            got += count


def _upload(subject: Subject) -> None:
    with _connected(subject) as connection:
        connection.sendall(
            _request(subject, "PUT /sink", f"X-Stall: {STALL_S}", f"Content-Length: {BIG_BYTES}")
        )
        piece = bytes(MIB)
        for _ in range(BIG_BYTES // MIB):
            connection.sendall(piece)
        answer = b""
        while str(BIG_BYTES).encode() + b"\n" not in answer:
            more = connection.recv(65536)
            if not more:
                raise BenchError(f"{subject.name} answers {answer!r}")
            answer += more
        if not answer.startswith(b"HTTP/1.1 200"):
            raise BenchError(f"{subject.name} answers {answer!r}")


@contextlib.contextmanager
def _highest(process: Process) -> Iterator[list[int]]:
    """Samples of what the process holds; the first is from before."""
    samples = [process.pss_bytes()]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_S):
            samples.append(process.pss_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield samples
    finally:
        done.set()
        watcher.join()


# -- idle connections -----------------------------------------------------------------------------


def idle(bench: Bench) -> list[Figure]:
    """Keep-alive connections that have asked once and wait: what each costs."""
    figure = Figure(
        name=f"an idle keep-alive connection, of {bench.connections:,}",
        unit="KiB (PSS)",
        values={},
        higher_is_better=False,
        bar="at most 6",
    )
    for _, subject in proxies(bench):
        with ExitStack() as stack:  # what the first ones cost once is not what one costs
            for _ in range(100):
                stack.enter_context(_asked_once(subject))
        time.sleep(1.0)
        before = subject.process.pss_bytes()
        with ExitStack() as stack:
            for _ in range(bench.connections):
                stack.enter_context(_asked_once(subject))
            time.sleep(1.5)
            after = subject.process.pss_bytes()
        figure.values[subject.name] = [(after - before) / 1024 / bench.connections]
    return [figure]


def _asked_once(subject: Subject) -> socket.socket:
    connection = _connected(subject)
    connection.sendall(_request(subject, "GET /"))
    answer = connection.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise BenchError(f"{subject.name} answers {answer!r}")
    return connection


def _connected(subject: Subject) -> socket.socket:
    port = int(subject.url.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def _request(subject: Subject, line: str, *more: str) -> bytes:
    host = subject.url.removeprefix("http://")
    lines = [f"{line} HTTP/1.1", f"Host: {host}", *subject.headers("browser"), *more, "", ""]
    return "\r\n".join(lines).encode("ascii")


# -- start ----------------------------------------------------------------------------------------


def start(bench: Bench) -> list[Figure]:
    """From starting the process to its first answer; for ours, also to the first sign-in it begins."""
    stage, ports = bench.stage, bench.stage.ports
    first = Figure(name="start, nothing there yet", unit="s", values={}, higher_is_better=False, bar="1.5")
    later = Figure(name="start, state there", unit="s", values={}, higher_is_better=False, bar="1.5")
    busy = Figure(name="start, processor time", unit="s", values={}, higher_is_better=False)
    page = Figure(name="start, to the first sign-in begun", unit="s", values={}, higher_is_better=False)
    for number in range(bench.rounds):
        for figure in (first, later):
            begin = partial(stage.vestibule, f"start-{number}")
            process, took = _started(begin, ports.vestibule)
            figure.values.setdefault(OURS, []).append(took)
            busy.values.setdefault(OURS, []).append(process.cpu_s())
            began = time.monotonic() - took
            with contextlib.ExitStack() as stack:
                stack.callback(process.stop)
                stage.wait_vestibule(process)
                page.values.setdefault(OURS, []).append(time.monotonic() - began)
        process, took = _started(stage.nginx, ports.nginx)
        process.stop()
        later.values.setdefault("nginx", []).append(took)
        if bench.oauth2_proxy is not None:
            process, took = _started(partial(stage.oauth2_proxy, bench.oauth2_proxy), ports.other)
            process.stop()
            later.values.setdefault("oauth2-proxy", []).append(took)
    return [first, later, busy, page]


def _started(begin: Callable[[], Process], port: int) -> tuple[Process, float]:
    began = time.monotonic()
    process = begin()
    try:
        process.wait_until(lambda: answers(port) != 0, pause_s=0.002)
    except BaseException:
        process.stop()
        raise
    return process, time.monotonic() - began


#: By name: what it measures, and whether it wants the subjects running.
PARTS: dict[str, tuple[Callable[[Bench], list[Figure]], bool]] = {
    "bare": (proxy_bare, True),
    "browser": (proxy_browser, True),
    "varied": (proxy_varied, True),
    "static": (static, True),
    "calling": (calling, True),
    "bodies": (bodies, True),
    "idle": (idle, True),
    "start": (start, False),
}
