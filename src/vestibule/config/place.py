"""Where something stands in a configuration, and what is wrong with it there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import msgspec


class Unfit(ValueError):
    """A value can't work; the message says what to write, and begins with the value or a verb."""


class Place(msgspec.Struct, frozen=True, order=True):
    """A place in a file, counted from 1; `line` 0 where there is no file: `file` then names the variable."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    @property
    def short(self) -> str:
        """File and line, for a mention inside a sentence."""
        return f"{self.file}:{self.line}" if self.line else self.file


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong, or risky; its text says what to do."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class Report:
    """Collects what is wrong and what is risky, so that all of it is told at once."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []
        self.broken: set[str] = set()
        """Names of what is there but at fault: who refers to them is told nothing more."""

    def fault(self, place: Place, message: str) -> None:
        """Note something that keeps the configuration from being used."""
        self.faults.append(Fault(place, message))

    def warn(self, place: Place, message: str) -> None:
        """Note something legal that the operator should know."""
        self.warnings.append(Fault(place, message))


def in_order(faults: list[Fault], files: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The faults as lines, each once: by file as given, then by place."""
    rank = {file: number for number, file in enumerate(files)}
    ordered = sorted(faults, key=lambda f: (rank.get(f.place.file, len(rank)), f.place))
    return tuple(dict.fromkeys(str(fault) for fault in ordered))


def nearest(name: str, known: Iterable[str]) -> str:
    """A suggestion to end a sentence with; empty when nothing is like it."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""
