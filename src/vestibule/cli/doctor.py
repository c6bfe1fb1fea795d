"""`vestibule doctor`: tries the real thing, and says what to do."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import click

from vestibule.cli.remote import to_json
from vestibule.cli.table import plain
from vestibule.doctor.examination import examined
from vestibule.doctor.finding import Finding, Level, has_failed
from vestibule.doctor.patient import patient_of
from vestibule.errors import ConfigError

_WIDTHS: Final = (60, 120)
_MARKS: Final[dict[Level, str]] = {"ok": "ok  ", "skip": "-   ", "warn": "warn", "fail": "FAIL"}
_COLOURS: Final[dict[Level, str]] = {"ok": "green", "skip": "bright_black", "warn": "yellow", "fail": "red"}
_INDENT: Final = " " * 8


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE.hcl]…", type=click.Path(path_type=Path))
@click.option(
    "--stand-in",
    "stand_ins",
    multiple=True,
    metavar="HOST:PORT",
    help="Listen there for a moment in place of an app that is stopped, to see what its edge lets through.",
)
@click.option("--all", "shows_all", is_flag=True, help="Show what is well, too, one line each.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(files: tuple[Path, ...], stand_ins: tuple[str, ...], *, shows_all: bool, as_json: bool) -> None:
    """Try the real thing, and say of each finding what to do.

    Ports, names, certificates, the edge in front, providers and the redirect URLs to register there, backends, store,
    files, clocks. Nothing is changed, and what can be tried without a running gateway is. Exit code 1 when something
    has to be done.
    """
    for address in stand_ins:
        if not address.rpartition(":")[2].isdigit():
            raise click.BadParameter("write the app's HOST:PORT", param_hint="--stand-in")
    try:
        patient = patient_of(files, os.environ, stand_ins=stand_ins)
    except ConfigError as error:
        for fault in error.faults:
            click.echo(fault, err=True)
        sys.exit(1)
    found = asyncio.run(examined(patient))
    if as_json:
        click.echo(to_json({"ok": not has_failed(found), "findings": found}))
    else:
        width = min(max(shutil.get_terminal_size((100, 24)).columns, _WIDTHS[0]), _WIDTHS[1])
        for line in shown(found, width, shows_all=shows_all):
            click.echo(line)
    sys.exit(1 if has_failed(found) else 0)


def shown(found: Iterable[Finding], width: int, *, shows_all: bool = False) -> Iterator[str]:
    """The lines of the report: an area a paragraph, what is well in brief unless all is wanted."""
    findings = list(found)
    areas: dict[str, list[Finding]] = {}
    for one in findings:
        areas.setdefault(one.area, []).append(one)
    for area, each in areas.items():
        yield click.style(area.capitalize(), bold=True)
        for one in _worth_showing(each, shows_all=shows_all):
            yield from _lines(one, width)
        yield ""
    yield _sum(findings)


def _worth_showing(each: list[Finding], *, shows_all: bool) -> list[Finding]:
    """Of many that are well, those where something is still to be done, and how many there are."""
    well = [one for one in each if one.level == "ok" and not one.advice]
    if shows_all or len(well) <= 3:
        return each
    others = [one for one in each if one not in well]
    subjects = dict.fromkeys(one.subject for one in well)
    said = Finding(
        area=each[0].area,
        subject=f"{len(well)} more" if others else f"{len(well)}",
        level="ok",
        code="well",
        detail=f"all well: {', '.join(subjects)}",
    )
    return [*others, said]


def _lines(one: Finding, width: int) -> Iterator[str]:
    mark = click.style(_MARKS[one.level], fg=_COLOURS[one.level], bold=one.level == "fail")
    text = _near(f"{one.subject}: {one.detail}")
    wrapped = textwrap.wrap(text, width - 8, break_on_hyphens=False, break_long_words=False) or [""]
    yield f"  {mark}  {wrapped[0]}"
    yield from (f"{_INDENT}{line}" for line in wrapped[1:])
    if one.advice:
        for number, line in enumerate(
            textwrap.wrap(_near(one.advice), width - 11, break_on_hyphens=False, break_long_words=False)
        ):
            yield f"{_INDENT}{'→ ' if number == 0 else '  '}{line}"


def _near(text: str) -> str:
    """The text with paths as they are written from here."""
    return plain(text.replace(f"{Path.cwd()}/", ""))


def _sum(found: Iterable[Finding]) -> str:
    count = Counter(one.level for one in found)
    words = [
        f"{count['fail']} to do" if count["fail"] else "",
        f"{count['warn']} to look at" if count["warn"] else "",
        f"{count['ok']} well",
        f"{count['skip']} not looked at" if count["skip"] else "",
    ]
    text = ", ".join(word for word in words if word)
    return click.style(text, fg="red" if count["fail"] else "yellow" if count["warn"] else "green", bold=True)
