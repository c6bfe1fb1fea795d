"""`vestibule keys`: the ring that seals and signs; the running gateway takes what is changed here by itself."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from vestibule.cli.remote import Span, minute, to_json
from vestibule.cli.table import Column, table
from vestibule.config.compile import Compiled, compile_config
from vestibule.config.load import load
from vestibule.core.rotation import DELAY_S, free_at, retired, rotated
from vestibule.core.seal import Key, in_order
from vestibule.errors import ConfigError, StoreError
from vestibule.observe import clock
from vestibule.opening import change_keys, keys_of, new_key

C = TypeVar("C", bound=Callable[..., Any])

_ELSEWHERE = (
    "the keys stand in VESTIBULE_SESSION_KEY: write a new one behind the others, after a comma, wherever the gateway "
    "runs, and restart; then put it in front of them, and restart"
)


class _Listed(msgspec.Struct, frozen=True):
    """A key as it is shown: never its secret."""

    id: str
    state: str
    active_at: datetime | None
    """When it began to seal, or will; None: nobody wrote it down."""
    free_at: datetime | None
    """From when on nothing needs it; None: nobody knows, or it seals."""


_COLUMNS = (
    Column("ID", lambda key: key.id),
    Column("STATE", lambda key: key.state),
    Column("SEALS FROM", lambda key: minute(key.active_at)),
    Column("NEEDED UNTIL", lambda key: minute(key.free_at)),
)


class _FailureError(Exception):
    """The command can't be done; its text says why, and what to do."""


def _files(command: C) -> C:
    argument = click.argument("files", nargs=-1, metavar="[FILE.hcl]…", type=click.Path(path_type=Path))
    decorated: C = argument(command)
    return decorated


@click.group()
def keys() -> None:
    """List, rotate and retire the keys that sessions and credentials are sealed with.

    Commands read the configuration the gateway runs on: these files, or without any the environment.
    """


@keys.command("list")
@_files
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_keys(files: tuple[Path, ...], *, as_json: bool) -> None:
    """List the keys: which one seals, and until when the others are needed."""
    with _told():
        compiled, now = _compiled(files), clock.now()
        found = in_order(keys_of(compiled), now)
        shown = [_listed(key, found, _longest_s(compiled), now) for key in found]
        click.echo(to_json({"keys": shown}) if as_json else table(shown, _COLUMNS))


@keys.command()
@_files
@click.option(
    "--delay",
    "delay_s",
    type=Span(),
    default=int(DELAY_S),
    help='How long until it seals: in that time every process has to have it. [default: "60s"]',
)
@click.option("--now", "at_once", is_flag=True, help="Let it seal at once: the old one has leaked.")
def rotate(files: tuple[Path, ...], *, delay_s: int, at_once: bool) -> None:
    """Add a key that soon seals in place of the one that does; the old ones go on opening.

    A gateway that runs takes it within seconds. Where it runs on other machines, too, copy the key file there before
    the new key seals.
    """
    with _told():
        compiled = _compiled(files)
        new = new_key(clock.now() + (0 if at_once else delay_s))
        _change(compiled, lambda known: rotated(known, new))
        click.echo(
            f"{new.id} seals from {minute(_date(new.active_at))} UTC on; the keys before it go on opening."
        )


@keys.command()
@click.argument("key_id", metavar="ID")
@_files
@click.option(
    "--force", is_flag=True, help="Also where it is needed: what it sealed is lost, and people sign in again."
)
def retire(key_id: str, files: tuple[Path, ...], *, force: bool) -> None:
    """Take a key away that nothing needs any more: nobody opens what it sealed."""
    with _told():
        compiled, now = _compiled(files), clock.now()

        def without(known: tuple[Key, ...]) -> tuple[Key, ...]:
            if all(key.id != key_id for key in known):
                raise _FailureError(f"there is no key {key_id[:32]}; `vestibule keys list` shows them")
            if in_order(known, now)[0].id == key_id:
                raise _FailureError(f"{key_id} is the key that seals: `vestibule keys rotate` first")
            shown = next(_listed(key, known, _longest_s(compiled), now) for key in known if key.id == key_id)
            if shown.state == "needed" and not force:
                until = (
                    f"until {minute(shown.free_at)} UTC" if shown.free_at else "for a time nobody wrote down"
                )
                raise _FailureError(
                    f"{key_id} may be needed {until}: sessions and credentials that it sealed live on. --force "
                    "takes it away now: their people sign in again"
                )
            return retired(known, key_id)

        _change(compiled, without)
        click.echo(f"{key_id} is retired.")


def _listed(key: Key, found: tuple[Key, ...], longest_s: float, now: float) -> _Listed:
    until = free_at(found, key.id, longest_s)
    if key is in_order(found, now)[0]:
        state = "seals"
    elif key.active_at > now:
        state = "waits"
    else:
        state = "needed" if now < until else "free"
    return _Listed(key.id, state, _date(key.active_at), _date(until) if state in {"needed", "free"} else None)


def _longest_s(compiled: Compiled) -> float:
    """How long the longest session may live that anybody has a say in."""
    hosts = compiled.table.hosts.values()
    spans = (compiled.lifetimes.span, *(span for host in hosts for span in (host.span, *host.spans.values())))
    ends = (end for span in spans for end in (span.absolute_s, span.kept_absolute_s))
    return max(end for end in ends if end < math.inf)


def _compiled(files: tuple[Path, ...]) -> Compiled:
    return compile_config(load(files, os.environ))


def _change(compiled: Compiled, changed: Callable[[tuple[Key, ...]], tuple[Key, ...]]) -> None:
    if compiled.session_key is not None:
        raise _FailureError(_ELSEWHERE)
    try:
        change_keys(compiled, changed)
    except ValueError as exc:
        raise _FailureError(str(exc)) from exc


def _date(at: float) -> datetime | None:
    return datetime.fromtimestamp(at, UTC) if 0 < at < math.inf else None


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Faults as lines, and exit code 1."""
    try:
        yield
    except ConfigError as exc:
        lines = [str(fault) for fault in exc.faults]
    except StoreError as exc:
        lines = [exc.message]
    except _FailureError as exc:
        lines = [str(exc)]
    else:
        return
    for line in lines:
        click.echo(f"{click.get_current_context().command_path}: {line}", err=True)
    sys.exit(1)
