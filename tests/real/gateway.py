"""The product under test as a process: `python -m vestibule serve FILE`, as an operator starts it."""

from __future__ import annotations

import http.client
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.process import Process
from tests.real.postgres import PATIENT_S

_STORE = re.compile(r"^store \{\n.*?^\}", re.MULTILINE | re.DOTALL)
_ON_A_SERVER = re.compile(r"DATABASE_URL|REDIS_URL|postgresql|redis")


class Gateway:
    """A running gateway in a directory of its own: `vestibule.hcl`, and `state` unless the text says otherwise.

    It gives a PostgreSQL or Redis time, unless the text says how much: a test that is about a store that doesn't answer
    says so (`timeout = "250ms"` is what operators have).
    """

    def __init__(
        self,
        configuration: str,
        directory: Path,
        *,
        port: int,
        ca_file: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self.directory = directory
        self.file = directory / "vestibule.hcl"
        self.file.write_text(_STORE.sub(_patient, configuration, count=1), "utf-8")
        self._env = {"SSL_CERT_FILE": str(ca_file), "PYTHONUNBUFFERED": "1", **(env or {})}
        self.process = self._start()

    @property
    def url(self) -> str:
        """The listener's address; a test for a named host sends that name as Host."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it wrote to stdout and stderr, over all its starts."""
        return self.process.whole_log

    def wait(self) -> None:
        """Returns once it accepts, says `ready` and answers `GET /` with whatever it answers."""
        self.process.wait_port(self.port)
        self.process.wait_until(lambda: _answers(self.port), "answers GET /")
        self.process.wait_log("ready")

    def kill(self) -> None:
        """kill -9, at any moment."""
        self.process.kill()

    def start_again(self) -> None:
        """A new process on the same files, port and state, after `kill` or `stop`."""
        self.process = self._start()
        self.wait()

    def stop(self) -> None:
        """As an operator stops it: SIGTERM, and what doesn't end by that is killed."""
        self.process.stop()

    def pss_bytes(self) -> int:
        """Its proportional set size: what it really holds, shared pages counted once among those who share."""
        lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))

    def _start(self) -> Process:
        argv = [sys.executable, "-m", "vestibule", "serve", self.file]
        return Process(
            "vestibule", argv, cwd=self.directory, env=self._env, log=self.directory / "gateway.log"
        )


def _patient(store: re.Match[str]) -> str:
    block = store[0]
    if "timeout" in block or not _ON_A_SERVER.search(block):
        return block
    return f'{block.removesuffix("}")}  timeout = "{PATIENT_S:g}s"\n}}'


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
