"""HCL text to a tree in which every block, attribute and value knows its place.

`${env("NAME")}` and `${file("PATH")}` are replaced here, once; what they give is not looked at again.
`$${` is a plain `${`. Nothing else is computed: any other expression is a fault. `{claim.team}` is
plain text here.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from lark import Token, Tree

from vestibule.config.grammar import SyntaxFault, tree_of
from vestibule.config.place import Place, Report


class Value(msgspec.Struct, frozen=True, gc=False):
    """A value: `data` is text, int, float, bool, None, a tuple of values or a dict of values by key."""

    data: Any
    place: Place
    written: str = ""
    """As it stands in the file, where something in it was put in by `env` or `file`; else empty."""
    names: tuple[str, ...] = ()
    """Of the variables that were."""

    def __repr__(self) -> str:
        return f"Value({type(self.data).__name__} at {self.place})"  # never the data: it may be a secret


class Attribute(msgspec.Struct, frozen=True, gc=False):
    """`name = value`."""

    name: str
    value: Value
    place: Place


class Block(msgspec.Struct, frozen=True, gc=False):
    """`type "label" … { attributes and blocks }`; a whole file is a block without type."""

    type: str
    place: Place
    labels: tuple[Value, ...] = ()
    attributes: Mapping[str, Attribute] = {}
    blocks: tuple[Block, ...] = ()


class Source(msgspec.Struct, frozen=True):
    """What a file is read with."""

    file: Path
    environ: Mapping[str, str]


#: given for a value that is at fault already, so that one mistake is told once
BROKEN = "\0broken"


def parse(text: str, source: Source, report: Report) -> Block:
    """The whole text as one block. Faults go to *report*; after one of syntax the block is empty."""
    reader = _Reader(source, report)
    try:
        tree = tree_of(text)
    except SyntaxFault as exc:
        report.fault(Place(reader.file, exc.line, exc.column), exc.message)
        return Block("", Place(reader.file, 1, 1))
    try:
        attributes, blocks = reader.body(_tree(tree.children[0]))
    except RecursionError:
        report.fault(Place(reader.file, 1, 1), "the blocks or lists in this file are nested too deeply")
        return Block("", Place(reader.file, 1, 1))
    return Block("", Place(reader.file, 1, 1), (), attributes, blocks)


_HEREDOC_PARTS = re.compile(r"\$\$\{|%%\{|\$\{[^{}\n]*\}?|%\{")
_TEXT_PARTS = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)|" + _HEREDOC_PARTS.pattern, re.DOTALL)
_CALL = re.compile(r'\$\{\s*([A-Za-z_]\w*)\s*\(\s*"((?:[^"\\]|\\.)*)"\s*\)\s*\}\Z')
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_CONSTANTS = {"true": True, "false": False, "null": None}
_ONLY = 'only env("NAME") and file("PATH") are replaced here; a plain `${` is written `$${`'


class _Reader:
    """Turns one file's parse tree into blocks and values."""

    def __init__(self, source: Source, report: Report) -> None:
        self.source = source
        self.file = str(source.file)
        self.report = report
        self.called: list[tuple[str, str]] = []
        """Functions that were worked out in the value that is being read, with what each was given."""

    def body(self, tree: Tree[Token]) -> tuple[dict[str, Attribute], tuple[Block, ...]]:
        attributes: dict[str, Attribute] = {}
        blocks: list[Block] = []
        for child in tree.children:
            node = _tree(child)
            name = _token(node.children[0])
            place = self.place(name)
            if node.data == "block":
                blocks.append(self.block(str(name), place, node))
                continue
            value = self.value(node.children[1])
            first = attributes.get(str(name))
            if first is not None:
                self.report.fault(place, f"`{name}` stands here twice; the first is at {first.place.short}")
                continue
            attributes[str(name)] = Attribute(str(name), value, place)
        return attributes, tuple(blocks)

    def block(self, name: str, place: Place, node: Tree[Token]) -> Block:
        labels = tuple(self.value(label, label=True) for label in node.children[1:-2])
        attributes, blocks = self.body(_tree(node.children[-1]))
        return Block(name, place, labels, attributes, blocks)

    def value(self, node: Tree[Token] | Token, *, label: bool = False) -> Value:
        if isinstance(node, Token):
            self.called.clear()
            data = self.scalar(node, label=label)
            if not self.called:
                return Value(data, self.place(node))
            return Value(data, self.place(node), _as_one_line(node), self.names())
        if node.data == "call":
            return self.bare_call(node)
        place = self.place(_token(node.children[0]))
        if node.data == "tuple":
            return Value(tuple(self.value(item) for item in node.children[1:]), place)
        return Value(self.object(node), place)

    def scalar(self, token: Token, *, label: bool) -> Any:
        match token.type:
            case "STRING":
                return self.text(token[1:-1], self.place(token), offset=1, parts=_TEXT_PARTS)
            case "INT_LITERAL":
                return int(token)
            case "FLOAT_LITERAL":
                return float(token)
            case "HEREDOC":
                return self.heredoc(token)
        if label:
            return str(token)
        if token not in _CONSTANTS:
            # Not shown: it may be a secret without its quotes.
            self.report.fault(self.place(token), 'this is no value; a text stands in double quotes: "…"')
            return BROKEN
        return _CONSTANTS[token]

    def object(self, node: Tree[Token]) -> dict[str, Value]:
        items: dict[str, Value] = {}
        for child in node.children[1:]:
            element = _tree(child)
            token = _token(element.children[0])
            key = self.scalar(token, label=True)
            if key in items:
                self.report.fault(self.place(token), f"`{key}` stands here twice")
                continue
            items[key] = self.value(element.children[1])
        return items

    def heredoc(self, token: Token) -> str:
        first, _, rest = str(token).partition("\n")
        body = rest[: rest.rfind("\n") + 1]
        if first.startswith("<<-"):
            body = textwrap.dedent(body)
        return self.text(body, self.place(token), offset=0, parts=_HEREDOC_PARTS)

    def text(self, raw: str, place: Place, *, offset: int, parts: re.Pattern[str]) -> str:
        """The text with its escapes and interpolations worked out."""
        if "\\" not in raw and "{" not in raw:
            return raw
        out: list[str] = []
        end = 0
        for match in parts.finditer(raw):
            out.append(raw[end : match.start()])
            end = match.end()
            at = Place(place.file, place.line, place.column + offset + match.start()) if offset else place
            out.append(self.part(match.group(), at))
        out.append(raw[end:])
        whole = "".join(out)
        return BROKEN if BROKEN in whole else whole

    def part(self, part: str, place: Place) -> str:
        if part.startswith("\\"):
            return self.escape(part[1:], place)
        if part in ("$${", "%%{"):
            return part[1:]
        if part == "%{":
            self.report.fault(place, "`%{` is not worked out here; a plain `%{` is written `%%{`")
            return BROKEN
        call = _CALL.match(part)
        if call is None:
            self.report.fault(place, f"`{part}` can't be worked out: {_ONLY}")
            return BROKEN
        argument = re.sub(r"\\(.)", r"\1", call.group(2))
        return self.call(call.group(1), argument, place)

    def escape(self, code: str, place: Place) -> str:
        if code in _ESCAPES:
            return _ESCAPES[code]
        if len(code) > 1 and (number := int(code[1:], 16)) < 0x110000 and not 0xD800 <= number < 0xE000:
            return chr(number)
        self.report.fault(place, rf"`\{code}` is no escape; there are \n \r \t \" \\ \uNNNN \UNNNNNNNN")
        return BROKEN

    def bare_call(self, node: Tree[Token]) -> Value:
        name = _token(node.children[0])
        place = self.place(name)
        arguments = [self.value(child) for child in node.children[1:]]
        if len(arguments) != 1 or not isinstance(arguments[0].data, str):
            self.report.fault(place, f"`{name}(…)` can't be worked out: {_ONLY}")
            return Value(BROKEN, place)
        self.called.clear()
        data, argument = self.call(str(name), arguments[0].data, place), arguments[0]
        written = argument.written or f'"{argument.data}"'
        names = self.names() if not argument.written else argument.names
        return Value(data, place, f"{name}({written})", names)

    def names(self) -> tuple[str, ...]:
        """Of the variables that were put in."""
        return tuple(argument for name, argument in self.called if name == "env")

    def call(self, name: str, argument: str, place: Place) -> str:
        if BROKEN in argument:
            return BROKEN
        self.called.append((name, argument))
        if name == "env":
            return self.environment(argument, place)
        if name == "file":
            return self.contents(argument, place)
        self.report.fault(place, f"`{name}(…)` can't be worked out: {_ONLY}")
        return BROKEN

    def environment(self, name: str, place: Place) -> str:
        value = self.source.environ.get(name)
        if value is None:
            self.report.fault(place, f"the environment variable {name} is not set")
            return BROKEN
        return value

    def contents(self, name: str, place: Place) -> str:
        path = self.source.file.parent / name
        try:
            return path.read_text("utf-8").removesuffix("\n").removesuffix("\r")
        except OSError as exc:
            self.report.fault(place, f"the file {path} can't be read: {exc.strerror or exc}")
        except ValueError:
            self.report.fault(place, f"the file {path} is not UTF-8 text")
        return BROKEN

    def place(self, token: Token) -> Place:
        return Place(self.file, int(token.line or 0), int(token.column or 0))


def _as_one_line(token: Token) -> str:
    """A text, or what stands in a heredoc, as it is written between double quotes."""
    if token.type != "HEREDOC":
        return str(token)
    body = str(token).partition("\n")[2].rpartition("\n")[0]
    # Quotes inside of a function's brackets stay as they are: nobody reads this but people.
    return f'"{body}"'.replace("\n", "\\n")


def _tree(node: Tree[Token] | Token) -> Tree[Token]:
    """The grammar says that a tree stands here."""
    assert isinstance(node, Tree)
    return node


def _token(node: Tree[Token] | Token) -> Token:
    """The grammar says that a token stands here."""
    assert isinstance(node, Token)
    return node
