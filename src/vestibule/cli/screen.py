"""The one screen that a person at a terminal sees when the gateway is ready."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from vestibule import __version__
from vestibule.cli.table import plain
from vestibule.config.facts import Facts, HostFacts
from vestibule.observe.outlet import AUTO, STDERR, Outlet

_LABEL: Final = 11
_HOSTS_MAX: Final = 12
_WARNINGS_MAX: Final = 6
_WIDTHS: Final = (60, 120)


def is_wanted(outlet: Outlet, *, asked: bool | None, is_terminal: bool) -> bool:
    """Whether to show it: where it was `asked` for, or somebody sits there and reads no lines made for programs."""
    if asked is not None:
        return asked
    is_for_programs = outlet.output == STDERR and outlet.format not in (AUTO, "console")
    return is_terminal and not is_for_programs


def show(facts: Facts, warnings: Sequence[str], files: Sequence[str]) -> None:
    """Write it to stderr, at once and whole."""
    width = min(max(shutil.get_terminal_size((80, 24)).columns, _WIDTHS[0]), _WIDTHS[1])
    colours = os.isatty(2) and not os.environ.get("NO_COLOR")
    click.echo("\n".join(lines(facts, warnings, files, width)), err=True, color=colours)


def lines(facts: Facts, warnings: Sequence[str], files: Sequence[str], width: int) -> Iterator[str]:
    """The lines of it."""
    yield ""
    yield f"  {click.style(f'Vestibule {__version__} is ready', bold=True)}"
    yield ""
    yield from _rows("Listens", facts.people, width)
    yield from _hosts(facts.hosts, width)
    yield from _rows("TLS", [", ".join(facts.certificates)] if facts.certificates else [], width)
    yield from _rows("Edges ask", facts.edges, width)
    yield from _rows("Calls", [f"{name}: {at} → {api}" for name, at, api in facts.calls], width)
    yield from _rows("Servings", [f"{name}: {at}" for name, at in facts.servings], width)
    yield from _rows("Providers", [", ".join(facts.providers) or "none of files"], width)
    yield from _rows("Admin", map(_near, facts.admin), width)
    yield from _rows("State", [_near(facts.state)], width)
    yield from _rows("Keys", [_near(facts.keys)], width)
    yield from _rows(
        "Store", [_near(facts.store), *([f"sessions: {facts.sessions}"] if facts.sessions else [])], width
    )
    yield from _rows("Workers", [str(facts.workers)] if facts.workers > 1 else [], width)
    yield ""
    yield from _to_fix(warnings, width)
    name = " ".join(map(_near, files))
    yield from textwrap.wrap(
        f"vestibule doctor{f' {name}' if name else ''} tries all of it; vestibule top shows traffic; Ctrl-C stops it",
        width - 2,
        initial_indent="  ",
        subsequent_indent="  ",
        break_on_hyphens=False,
    )
    yield ""


def _rows(label: str, texts: Iterator[str] | Sequence[str] | map[str], width: int) -> Iterator[str]:
    for number, text in enumerate(texts):
        head = label if number == 0 else ""
        wrapped = textwrap.wrap(
            plain(text), width - _LABEL - 4, break_on_hyphens=False, break_long_words=True
        ) or [""]
        for at, line in enumerate(wrapped):
            shown = f"{head:<{_LABEL}}" if at == 0 else " " * _LABEL
            yield f"  {click.style(shown, dim=True)} {line}"


def _hosts(hosts: Sequence[HostFacts], width: int) -> Iterator[str]:
    longest = max((len(host.url) for host in hosts[:_HOSTS_MAX]), default=0)
    texts = [f"{host.url:<{longest}}  {_who(host)}" for host in hosts[:_HOSTS_MAX]]
    if len(hosts) > _HOSTS_MAX:
        texts.append(f"and {len(hosts) - _HOSTS_MAX} more")
    room = width - _LABEL - 4
    for number, text in enumerate(texts):
        head = f"{'Hosts' if number == 0 else '':<{_LABEL}}"
        shown = plain(text) if len(text) <= room else f"{plain(text)[: room - 1]}…"
        yield f"  {click.style(head, dim=True)} {shown}"


def _who(host: HostFacts) -> str:
    by = ", ".join(host.providers)
    if host.is_public:
        return f"public; {by}" if by else "public"
    return by or "nobody signs in"


def _to_fix(warnings: Sequence[str], width: int) -> Iterator[str]:
    if not warnings:
        return
    yield f"  {click.style('To look at', fg='yellow', bold=True)}"
    for warning in warnings[:_WARNINGS_MAX]:
        wrapped = textwrap.wrap(plain(warning), width - 6, break_on_hyphens=False)
        yield from (f"  {'-' if at == 0 else ' '} {line}" for at, line in enumerate(wrapped))
    if len(warnings) > _WARNINGS_MAX:
        yield f"    and {len(warnings) - _WARNINGS_MAX} more, which `vestibule check` lists"
    yield ""


def _near(path: str) -> str:
    """A path as it is written from here, where that is shorter."""
    scheme, colon, rest = path.rpartition(":")
    here = str(Path.cwd())
    return f"{scheme}{colon}{rest.removeprefix(f'{here}/')}" if rest.startswith(f"{here}/") else path
