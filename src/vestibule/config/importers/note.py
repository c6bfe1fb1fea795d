"""What an importer gives back: the text, and what it has to say about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

import msgspec

from vestibule.config.write import Block, Comment, render, variables_of


class About(Enum):
    """What a note is about, in the order in which notes are told."""

    SET = "Set before the start"
    DO = "Look at this"
    CHANGED = "Done another way here"
    NONE = "No equivalent"
    UNKNOWN = "Not known: nothing was done about it"


class Note(msgspec.Struct, frozen=True):
    """One thing to know about what was imported."""

    about: About
    name: str
    """The option as it was written, the variable to set, the block to look at."""
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


class Imported(msgspec.Struct, frozen=True):
    """A configuration that was made out of another program's."""

    hcl: str
    notes: tuple[Note, ...]


class Notes:
    """Collects notes; each is told once."""

    def __init__(self) -> None:
        self._notes: dict[Note, None] = {}

    def add(self, about: About, name: str, text: str) -> None:
        """Note this."""
        self._notes[Note(about, name, text)] = None

    def tells(self, about: About, name: str) -> bool:
        """True where something of this name was noted."""
        return any(note.about is about and note.name == name for note in self._notes)

    def in_order(self) -> tuple[Note, ...]:
        """By what they are about, then as they came."""
        return tuple(note for about in About for note in self._notes if note.about is about)


def imported(head: str, items: list[Block | Comment], notes: Notes) -> Imported:
    """The text: what it is, the configuration, the notes as comments at its end."""
    for name in dict.fromkeys(variables_of(item for item in items if isinstance(item, Block))):
        if not notes.tells(About.SET, name):
            notes.add(About.SET, name, "was named in what was imported")
    told = notes.in_order()
    return Imported(render([Comment(head), *items, *_as_comments(told)]), told)


def _as_comments(notes: tuple[Note, ...]) -> Iterator[Comment]:
    groups: Mapping[About, list[Note]] = {
        about: [note for note in notes if note.about is about] for about in About
    }
    for about, group in groups.items():
        if group:
            yield Comment("\n".join([f"{about.value}:", *(f"- {note}" for note in group)]))
