"""HCL text from values: what importers print and `vestibule up` writes.

The same values give the same text, and the reader of files (`config.hcl`) gives back what was written.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from vestibule.errors import ConfigError

WIDTH = 110
_VARIABLE_RE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


class Env(msgspec.Struct, frozen=True):
    """`${env("NAME")}`. Making one raises ConfigError for what is no name of a variable.

    Threat: an imported file whose "name" goes on as a configuration of its own.
    """

    name: str

    def __post_init__(self) -> None:
        if not _VARIABLE_RE.fullmatch(self.name):
            raise ConfigError((f"{self.name[:60]!r} is no name of an environment variable",))


class File(msgspec.Struct, frozen=True):
    """`${file("PATH")}`. Making one raises ConfigError for a path that can't be written there."""

    path: str

    def __post_init__(self) -> None:
        if not self.path.isprintable() or "{" in self.path or "}" in self.path:
            raise ConfigError(
                (f"{self.path[:60]!r} can't be written as a file's path here: rename the file",)
            )


class Joined(msgspec.Struct, frozen=True):
    """A text of several pieces."""

    pieces: tuple[str | Env | File, ...]


Text: TypeAlias = str | Env | File | Joined
Value: TypeAlias = Text | bool | int | Sequence[Text]


class Comment(msgspec.Struct, frozen=True):
    """Lines behind `#`, wrapped; a line that begins with blanks stays as it is."""

    text: str


class Block(msgspec.Struct, frozen=True):
    """`type "label" { attributes, then blocks }`."""

    type: str
    label: str = ""
    attributes: Mapping[str, Value] = {}
    inside: tuple[Block | Comment, ...] = ()
    comment: str = ""
    """Stands before it."""


def render(items: Iterable[Block | Comment]) -> str:
    """The text of a file, with an empty line between the blocks at top level."""
    return "\n".join("".join(f"{line}\n" for line in _lines(item)) for item in items)


def commented_out(block: Block) -> Comment:
    """The block as a comment, to be taken out of it by hand."""
    return Comment("\n".join(f"  {line}" for line in _lines(block)))


def variables_of(blocks: Iterable[Block]) -> Iterator[str]:
    """Names of the environment variables that the blocks name, in their order."""
    for block in blocks:
        for value in block.attributes.values():
            texts = (value,) if isinstance(value, str | bool | int | Env | File | Joined) else tuple(value)
            for text in texts:
                pieces = text.pieces if isinstance(text, Joined) else (text,)
                yield from (piece.name for piece in pieces if isinstance(piece, Env))
        yield from variables_of(child for child in block.inside if isinstance(child, Block))


def quoted(text: Text) -> str:
    """The text in double quotes."""
    pieces = text.pieces if isinstance(text, Joined) else (text,)
    return f'"{"".join(map(_piece, pieces))}"'


_SPECIAL = re.compile(r'["\\\x00-\x1f\x7f-\x9f\u2028\u2029]|[$%](?=\{)')
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "$": "$$", "%": "%%"}


def _piece(piece: str | Env | File) -> str:
    if isinstance(piece, Env):
        return f'${{env("{piece.name}")}}'
    if isinstance(piece, File):
        path = piece.path.replace("\\", "\\\\").replace('"', '\\"')
        return f'${{file("{path}")}}'
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found[0], f"\\u{ord(found[0]):04x}"), piece)


def _lines(item: Block | Comment) -> Iterator[str]:
    if isinstance(item, Comment):
        yield from _comment(item.text)
        return
    if item.comment:
        yield from _comment(item.comment)
    label = f" {quoted(item.label)}" if item.label else ""
    if not item.attributes and not item.inside:
        yield f"{item.type}{label} {{}}"
        return
    yield f"{item.type}{label} {{"
    yield from (f"  {line}" for line in _attributes(item.attributes))
    for number, child in enumerate(item.inside):
        if number or item.attributes:
            yield ""
        yield from (f"  {line}" if line else "" for line in _lines(child))
    yield "}"


def _attributes(attributes: Mapping[str, Value]) -> Iterator[str]:
    longest = max(map(len, attributes), default=0)
    for name, value in attributes.items():
        yield from f"{name:<{longest}} = {_value(value)}".splitlines()


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str | Env | File | Joined):
        return quoted(value)
    items = [quoted(item) for item in value]
    line = f"[{', '.join(items)}]"
    if len(line) < WIDTH - 30:
        return line
    return "\n".join(["[", *(f"  {item}," for item in items), "]"])


def _comment(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if not line or line.startswith(" "):
            yield f"#{line}".rstrip()
        else:
            yield from textwrap.wrap(
                line,
                WIDTH - 8,
                initial_indent="# ",
                subsequent_indent="#   " if line.startswith("- ") else "# ",
                break_long_words=False,
                break_on_hyphens=False,
            )
