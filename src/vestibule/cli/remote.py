"""What all commands share that ask a running gateway: where it is, with what token, how answers and errors are told."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
import msgspec

from vestibule.admin_client import AdminClient
from vestibule.admin_link import TIMEOUT_S
from vestibule.cli.table import Column, table
from vestibule.client import SessionClient
from vestibule.errors import Invalid, VestibuleError
from vestibule.model import Secret

SOCKET = "admin.sock"
TOKEN = "VESTIBULE_ADMIN_TOKEN"  # noqa: S105 - the name of a variable
STATE = "VESTIBULE_GATEWAY_STATE"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN_RE = re.compile(r"([0-9]{1,9})(s|m|h|d|w)")

TAKES_ID = {"ignore_unknown_options": True}
"""Settings of commands that are given ids, some of which begin with a dash."""

P = ParamSpec("P")
T = TypeVar("T")


class Span(click.ParamType[int]):
    """A span of time, in seconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """`7d`, `12h` → seconds."""
        if isinstance(value, int):
            return value
        found = _SPAN_RE.fullmatch(value)
        if found is None or not int(found[1]):
            self.fail('write a span of time: "30m", "12h", "7d"', param, ctx)
        return int(found[1]) * _UNITS[found[2]]


class Remote:
    """The gateway that is asked, and how answers are printed."""

    def __init__(self, where: str, token: Secret | None, *, as_json: bool = False) -> None:
        """Raises ValueError for what is no place of an API."""
        self.client = AdminClient(where, token)
        self.as_json = as_json
        self._where = where
        self._token = token
        self._sessions: SessionClient | None = None

    @property
    def sessions(self) -> SessionClient:
        """The client of sessions."""
        if self._sessions is None:
            self._sessions = SessionClient(self._where, self._token or "", timeout_s=TIMEOUT_S)
        return self._sessions

    def close(self) -> None:
        """Let go of the gateway."""
        if self._sessions is not None:
            self._sessions.close()

    def show(self, value: Any, text: Callable[[], str]) -> None:
        """Print the value as JSON where that is wanted, else the text."""
        click.echo(to_json(value) if self.as_json else text())

    def show_list(self, values: Iterator[T], columns: tuple[Column, ...], limit: int, none: str) -> None:
        """Print a list: a table, or *none*; JSON has the same items. *limit* 0: all of them."""
        found = list(islice(values, limit + 1)) if limit else list(values)
        has_more = bool(limit) and len(found) > limit
        shown = found[:limit] if limit else found
        self.show(shown, lambda: table(shown, columns) if shown else none)
        if has_more:
            click.echo(f"These are the first {limit}; --limit 0 lists all.", err=True)

    def done(self, message: str, value: Any = None) -> None:
        """Say what was done."""
        self.show({} if value is None else value, lambda: message)


def asks_gateway(command: Callable[..., None]) -> Callable[..., None]:
    """The command with `--admin`, `--state` and `--json`; it is given a `Remote`, and its errors are told."""

    @reaches_gateway
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @functools.wraps(command)
    def asking(remote: Remote, *args: Any, as_json: bool, **options: Any) -> None:
        remote.as_json = as_json
        command(remote, *args, **options)

    return asking


def reaches_gateway(command: Callable[..., None]) -> Callable[..., None]:
    """The command with `--admin` and `--state`; it is given a `Remote`, and its errors are told."""

    @click.option(
        "--admin",
        metavar="URL",
        help=f"Where the admin API is: unix:PATH or http://127.0.0.1:9000; its token stands in {TOKEN}.",
    )
    @click.option(
        "--state",
        type=click.Path(path_type=Path, file_okay=False),
        help="State directory of the gateway, in which its socket is. [default: state]",
    )
    @functools.wraps(command)
    def reaching(*args: Any, admin: str | None, state: Path | None, **options: Any) -> None:
        name = click.get_current_context().command_path
        try:
            with contextlib.closing(_remote(admin, state)) as remote:
                command(remote, *args, **options)
        except VestibuleError as error:
            for line in _told(error):
                click.echo(f"{name}: {line}", err=True)
            sys.exit(1)

    return reaching


def _remote(admin: str | None, state: Path | None) -> Remote:
    if admin and state:
        raise click.UsageError("--admin and --state both say where the gateway is: write one of them")
    where = admin or f"unix:{(state or Path(os.environ.get(STATE) or 'state')) / SOCKET}"
    token = os.environ.get(TOKEN, "")
    # Who can open the socket needs none, and no other program that answers there should get one.
    given = Secret(token) if token and not where.startswith("unix:") else None
    try:
        return Remote(where, given)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--admin") from None


def _told(error: VestibuleError) -> Iterable[str]:
    """One line for each thing that is wrong, with what to do next."""
    if isinstance(error, Invalid):
        for path, message in error.faults:
            yield f"{path}: {message}" if path else message
    elif error.status == 401:
        what = "a token is needed" if error.code == "admin_token_required" else error.message
        yield f"{what}: put one into {TOKEN}; `vestibule tokens create NAME` on the gateway's machine prints one"
    elif error.code == "scope_missing":
        yield f"{error.message}: `vestibule tokens create NAME --scope …` on the gateway's machine prints another"
    elif error.code in {"internal_error", "store_unavailable"} and error.detail:
        yield f"{error.message} ({error.detail})"
    else:
        yield error.message


def to_json(value: Any) -> str:
    """Pretty JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def day(at: Any) -> str:
    """The date alone, for tables."""
    return f"{at:%Y-%m-%d}" if at else "-"


def minute(at: Any) -> str:
    """Date and time in UTC, to the minute."""
    return f"{at:%Y-%m-%d %H:%M}" if at else "-"


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what can't be undone. Raises click.Abort on no, UsageError where nobody can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to confirm: add --yes")
    click.confirm(question, abort=True)


def read_json(file: Any) -> Any:
    """The JSON object in a file. Raises VestibuleError."""
    name = getattr(file, "name", "<stdin>")
    try:
        value = msgspec.json.decode(file.read())
    except msgspec.DecodeError as exc:
        raise VestibuleError(f"{name} is no JSON: {exc}") from None
    if not isinstance(value, dict):
        raise VestibuleError(f"{name} holds no JSON object")
    return value
