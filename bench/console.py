"""`python -m bench.console`: how soon `vestibule top` is there, how often it draws, and what it costs the gateway.

The console runs in a terminal of 160 columns and 50 lines that this program plays. The gateway answers so many requests
a second, by turns with a console that looks on and without: what a request costs it in processor time is compared.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median

from bench.process import BenchError, Cores, Process, accepts, free_ports, raise_file_limit

_CONFIGURATION = """\
gateway {{
  http  = ["127.0.0.1:{port}"]
  state = "{state}"
}}

host "127.0.0.1" {{
  backend    = "static:{files}"
  public_url = "http://127.0.0.1:{port}"
  access {{
    allow = ["public"]
  }}
}}
"""
_SIZE = struct.pack("HHHH", 50, 160, 0, 0)
_TURN_S = 0.01
_CONNECTIONS = 4
_FRAME_GAP_S = 0.02
"""What is written with less time between is one frame."""


class Terminal:
    """A console in a terminal; `stamps` are the moments at which it wrote."""

    def __init__(self, state: Path) -> None:
        self.began = time.perf_counter()
        self.first_s = 0.0
        self.stamps: list[float] = []
        self._seen = b""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, _SIZE)
        argv = [sys.executable, "-m", "vestibule", "top", "--state", str(state)]
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self._process = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self._ours = ours
        threading.Thread(target=self._read, daemon=True).start()

    def wait(self, timeout_s: float = 20.0) -> None:
        """Until its first screen is there. Raises BenchError."""
        end = time.perf_counter() + timeout_s
        while not self.first_s:
            if time.perf_counter() > end or self._process.poll() is not None:
                raise BenchError(f"no screen: {self._seen[-500:]!r}")
            time.sleep(0.002)

    def frames_per_s(self, begin: float, end: float) -> float:
        """How often it drew between two moments."""
        times = [at for at in self.stamps if begin <= at < end]
        pairs = pairwise(times)
        return sum(later - before > _FRAME_GAP_S for before, later in pairs) / (end - begin)

    def cpu_s(self) -> float:
        """Processor time that it has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Away."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _read(self) -> None:
        while True:
            try:
                select.select([self._ours], [], [])
                data = os.read(self._ours, 1 << 16)
            except OSError:
                return
            now = time.perf_counter()
            self.stamps.append(now)
            if not self.first_s:
                self._seen += data
                # The border of the traffic: all panes have been drawn.
                if b"traffic" in self._seen:
                    self.first_s = now - self.began


def _load(port: int, per_s: int, stopped: threading.Event) -> None:
    """So many requests a second, a few connections with some at once on each."""
    request = b"GET /page.html HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(_CONNECTIONS)]
    each = max(int(per_s * _TURN_S / _CONNECTIONS), 1)
    due = time.perf_counter()
    while not stopped.is_set():
        for one in sockets:
            one.sendall(request * each)
        for one in sockets:
            answered = 0
            while answered < each:
                answered += one.recv(1 << 16).count(b"HTTP/1.1 200")
        due += _TURN_S
        time.sleep(max(due - time.perf_counter(), 0))
    for one in sockets:
        one.close()


@contextmanager
def _loaded(port: int, per_s: int) -> Iterator[None]:
    stopped = threading.Event()
    thread = threading.Thread(target=_load, args=(port, per_s, stopped))
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def main(argv: list[str]) -> int:
    """Measure, and print; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.console", description=__doc__)
    parser.add_argument("--per-s", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args(argv)
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="vestibule-console-") as directory, ExitStack() as stack:
        try:
            _measure(Path(directory), stack, arguments)
        except BenchError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    return 0


def _gateway(directory: Path, stack: ExitStack) -> tuple[Process, int, Path]:
    [port] = free_ports(1)
    files, state = directory / "files", directory / "state"
    files.mkdir()
    (files / "page.html").write_text("x" * 100, "ascii")
    file = directory / "console.hcl"
    file.write_text(_CONFIGURATION.format(port=port, state=state, files=files), "utf-8")
    argv = [sys.executable, "-m", "vestibule", "serve", str(file)]
    process = Process(argv, core=Cores().subject, log=directory / "gateway.log")
    stack.callback(process.stop)
    process.wait_until(lambda: accepts(port) and (state / "admin.sock").exists())
    return process, port, state


def _measure(directory: Path, stack: ExitStack, arguments: argparse.Namespace) -> None:
    gateway, port, state = _gateway(directory, stack)
    firsts = []
    for _ in range(arguments.rounds):
        terminal = Terminal(state)
        terminal.wait()
        terminal.stop()
        firsts.append(terminal.first_s)
    print(f"first screen: {median(firsts):.2f} s ({min(firsts):.2f} to {max(firsts):.2f})")
    alone, watched, frames, console = [], [], [], []
    with _loaded(port, arguments.per_s):
        time.sleep(2)
        for _ in range(arguments.rounds):
            alone.append(_busy(gateway, arguments.seconds))
            terminal = Terminal(state)
            terminal.wait()
            time.sleep(2)
            before, begin = terminal.cpu_s(), time.perf_counter()
            watched.append(_busy(gateway, arguments.seconds))
            end = time.perf_counter()
            frames.append(terminal.frames_per_s(begin, end))
            console.append((terminal.cpu_s() - before) / (end - begin))
            terminal.stop()
    more = median(watched) - median(alone)
    print(
        f"gateway at {arguments.per_s:,}/s: {median(alone):.1%} of a core alone, {median(watched):.1%} watched"
    )
    print(f"looking on takes {more:.1%} of its core")
    print(f"console: {median(frames):.1f} frames/s, {median(console):.0%} of a core")


def _busy(gateway: Process, seconds: float) -> float:
    """How much of its core the gateway uses."""
    before, begin = gateway.cpu_s(), time.perf_counter()
    time.sleep(seconds)
    return (gateway.cpu_s() - before) / (time.perf_counter() - begin)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
