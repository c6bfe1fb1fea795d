"""Calls to the API of a gateway, over its Unix socket or its port, as bytes: what the typed clients stand on.

The standard library's HTTP client and nothing heavy, so that a command starts fast and an app brings little along.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec

from vestibule.errors import ClientError, Invalid, VestibuleError
from vestibule.model import Secret

PREFIX: Final = "/api/v1"
TIMEOUT_S: Final = 60.0
ANSWER_MAX_BYTES: Final = 16 << 20
_REPEATABLE: Final = frozenset({"GET", "DELETE"})


class _Problem(msgspec.Struct, frozen=True):
    detail: str
    code: str
    id: str = ""
    faults: list[dict[str, str]] = []


class Link:
    """Calls one gateway; from any number of threads.

    Up to `keep` connections stay open for the calls that follow. What may not happen twice goes by a connection of its
    own, since of one that was idle it can't be told whether a call that failed was heard.
    """

    def __init__(self, where: str, token: Secret | None = None, *, timeout_s: float, keep: int = 0) -> None:
        """`where`: `unix:PATH`, `http://127.0.0.1:9000` or `https://…`. Raises ValueError for anything else.

        `timeout_s`: how long the gateway may leave one waiting.
        """
        self.where = where
        self._token = token
        self._connect = _connector(where, timeout_s)
        self._keep = keep
        self._idle: list[http.client.HTTPConnection] = []
        self._owner = os.getpid()
        self._lock = threading.Lock()

    def call(
        self, method: str, path: str, value: Any = None, *, if_match: str = "", repeatable: bool = False
    ) -> bytes:
        """The body of the answer. `path`: below `/api/v1`. `repeatable`: it may happen twice, though it is a POST.

        Raises VestibuleError: Invalid for what the API finds wrong, ClientError with its status and code for what else
        it refuses, and code `unreachable` where there is no API to ask.
        """
        headers = {"Accept": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.reveal()}"
        if if_match:
            headers["If-Match"] = if_match
        body = None if value is None else msgspec.json.encode(value)
        if body is not None:
            headers["Content-Type"] = "application/json"
        may_repeat = repeatable or method in _REPEATABLE
        kept = self._kept() if may_repeat else None
        if kept is not None:
            try:
                return self._on(kept, method, path, body, headers)
            except (OSError, http.client.HTTPException) as exc:
                if isinstance(exc, TimeoutError):
                    raise _unreachable(_why(self.where, exc)) from exc
        try:
            return self._on(self._connect(), method, path, body, headers)
        except (OSError, http.client.HTTPException) as exc:
            raise _unreachable(_why(self.where, exc)) from exc

    def stream(self, path: str, *, silence_s: float) -> Iterator[bytes]:
        """The data of server-sent events, one event after the other, by a connection of its own.

        `silence_s`: how long the gateway may say nothing at all. It ends by VestibuleError, or when it is closed.
        Spec: HTML, "Server-sent events", as far as this API uses them: `data:` lines and comments.
        """
        with self._asked(path, "text/event-stream", silence_s) as answer:
            yield from _events(answer)
            raise _unreachable(f"the gateway at {self.where} has ended the stream")

    def lines(self, path: str, *, silence_s: float) -> Iterator[bytes]:
        """The lines of an answer of any length, as they come, by a connection of its own; none is empty.

        `silence_s`: how long the gateway may say nothing. It ends by VestibuleError where the answer breaks off.
        """
        with self._asked(path, "application/x-ndjson", silence_s) as answer:
            while line := answer.readline(ANSWER_MAX_BYTES):
                if line.strip():
                    yield line

    @contextlib.contextmanager
    def _asked(self, path: str, wanted: str, silence_s: float) -> Iterator[http.client.HTTPResponse]:
        """An answer that comes bit by bit. Raises VestibuleError, also where it breaks off."""
        connection = self._connect()
        connection.timeout = silence_s
        headers = {"Accept": wanted}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.reveal()}"
        try:
            connection.request("GET", PREFIX + path, headers=headers)
            answer = connection.getresponse()
            if answer.status >= 300:
                raise refusal(self.where, answer.status, answer.read(ANSWER_MAX_BYTES))
            yield answer
        except (OSError, http.client.HTTPException) as exc:
            raise _unreachable(_why(self.where, exc)) from exc
        finally:
            connection.close()

    def decoded(self, body: bytes, of: Any) -> Any:
        """The body as a value of this type. Raises VestibuleError."""
        try:
            return msgspec.json.decode(body, type=of, dec_hook=_decoded)
        except msgspec.DecodeError as exc:
            raise _unreachable(
                f"what answers at {self.where} is no admin API of this version: {exc}"
            ) from None

    def close(self) -> None:
        """Close what is open; calls may go on afterwards."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __del__(self) -> None:
        """Who forgets to close it leaves nothing open."""
        if hasattr(self, "_idle"):  # not where the constructor raised
            self.close()

    def _on(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> bytes:
        """Raises OSError, HTTPException, VestibuleError."""
        is_whole = False
        try:
            connection.request(method, PREFIX + path, body, headers)
            answer = connection.getresponse()
            content = answer.read(ANSWER_MAX_BYTES)
            is_whole = answer.isclosed() and not answer.will_close
        finally:
            if not (is_whole and self._put_back(connection)):
                connection.close()
        if answer.status >= 300:
            raise refusal(self.where, answer.status, content)
        return content

    def _kept(self) -> http.client.HTTPConnection | None:
        """One that is open. Threat: a forked process that shares it, and reads the other's answer."""
        with self._lock:
            if self._owner != os.getpid():
                self._owner = os.getpid()
                self._idle = []
            return self._idle.pop() if self._idle else None

    def _put_back(self, connection: http.client.HTTPConnection) -> bool:
        with self._lock:
            if len(self._idle) >= self._keep or self._owner != os.getpid():
                return False
            self._idle.append(connection)
            return True


def _events(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """The data of each event; that of several lines is joined."""
    data: list[bytes] = []
    while line := answer.readline(ANSWER_MAX_BYTES):
        text = line.rstrip(b"\r\n")
        if text.startswith(b"data:"):
            data.append(text.removeprefix(b"data:").removeprefix(b" "))
        elif not text and data:
            yield b"\n".join(data)
            data = []


class _UnixConnection(http.client.HTTPConnection):
    """HTTP to a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def segment(text: str) -> str:
    """The text as one segment of a path."""
    return quote(text, safe="")


def refusal(where: str, status: int, content: bytes) -> VestibuleError:
    """What an answer that is an error says."""
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except msgspec.DecodeError:
        return _unreachable(f"what answers at {where} is no admin API (status {status})")
    if status == 422 and problem.faults:
        faults = tuple((fault.get("path", ""), fault.get("message", "")) for fault in problem.faults)
        return Invalid(faults)
    detail = f"id {problem.id}" if problem.id else ""
    return ClientError(problem.detail, code=problem.code, status=status, detail=detail)


def _connector(where: str, timeout_s: float) -> Callable[[], http.client.HTTPConnection]:
    """Makes connections. Raises ValueError."""
    if where.startswith("unix:") and where != "unix:":
        path = where.removeprefix("unix:")
        return lambda: _UnixConnection(path, timeout_s)
    parts = urlsplit(where)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("write unix:PATH, or a URL such as http://127.0.0.1:9000")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    host, port = parts.hostname, parts.port
    return lambda: kind(host, port, timeout=timeout_s)


def _decoded(of: type, value: Any) -> Any:
    if of is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError


def _why(where: str, exc: Exception) -> str:
    """What is in the way, and what to do."""
    path = where.removeprefix("unix:")
    is_socket = path != where
    if isinstance(exc, FileNotFoundError):
        return f"no gateway runs here: there is no {path}; start one, or say --state DIR or --admin URL"
    if isinstance(exc, PermissionError):
        return f"{path} is another user's: run this as the user that the gateway runs as"
    if isinstance(exc, ConnectionRefusedError):
        if is_socket:
            return f"the gateway that made {path} has ended: start it again"
        return f'nothing listens at {where}: start the gateway with admin {{ listen = "…" }}'
    if isinstance(exc, TimeoutError):
        return f"the gateway at {where} does not answer: look at its log"
    if isinstance(exc, http.client.RemoteDisconnected):
        return f"the gateway at {where} ended, or was started anew, before it answered: look at its log"
    if is_socket and isinstance(exc, OSError) and exc.errno is None:
        return f"the path {path} is too long for a Unix socket: go to a folder from which it is shorter"
    return f"the gateway at {where} can't be reached: {exc}"


def _unreachable(message: str) -> VestibuleError:
    return VestibuleError(message, code="unreachable", status=503)
