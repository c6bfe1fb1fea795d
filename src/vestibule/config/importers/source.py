"""The forms in which other programs are configured: environment files, command lines, TOML, YAML.

Which one a text is in is told by what stands in it. Nothing is run and nothing is looked up.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

import msgspec
import yaml

from vestibule.config.write import Env, Joined, Text
from vestibule.errors import ConfigError

#: Larger than any configuration, smaller than what a reader of YAML takes long for.
MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 50


class Source(msgspec.Struct, frozen=True):
    """A text and the name of the file it stood in."""

    name: str
    text: str

    def __repr__(self) -> str:
        return f"Source({self.name})"  # never the text: secrets stand in it


class Form(Enum):
    """How a text is written."""

    FLAGS = "command line"
    ENVIRONMENT = "environment"
    TOML = "TOML"
    YAML = "YAML"
    ADDRESSES = "list of addresses"


_VARIABLE_RE = re.compile(r"(?:export\s+|-e\s+|Environment=)?\"?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_TOML_RE = re.compile(r"[A-Za-z0-9_\"'.-]+\s*=|\[\[?[A-Za-z0-9_.\"' -]+\]\]?\s*(?:#.*)?$")
_YAML_RE = re.compile(r"(?:- )?[A-Za-z0-9_.\"'-]+:(?:\s|$)|- |---|\.\.\.|%YAML")
_ADDRESS_RE = re.compile(r"[^\s@=:\"']+@[^\s@=\"']+")
_FLAG_RE = re.compile(r"(?:-\s+)?[\"']?--?[A-Za-z]")
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
#: as a shell, envsubst and Kubernetes write it
_DOLLAR_RE = re.compile(rf"\$(?:\{{({_NAME})\}}|\(({_NAME})\)|({_NAME}))")


def form_of(source: Source, prefixes: tuple[str, ...]) -> Form | None:
    """The form of this text; `prefixes` are those of its environment variables. None: it can't be told."""
    lines = [line.strip() for line in source.text.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("#", ";"))]
    if not lines:
        return None
    if any(found and found[1].startswith(prefixes) for found in map(_VARIABLE_RE.match, lines)):
        return Form.ENVIRONMENT
    if any(_FLAG_RE.match(line) or re.search(r"\s--[a-z]", line) for line in lines):
        return Form.FLAGS
    if _YAML_RE.match(lines[0]):
        return Form.YAML
    if _TOML_RE.match(lines[0]):
        return Form.TOML
    if all(_ADDRESS_RE.fullmatch(line.partition(",")[0]) for line in lines):
        return Form.ADDRESSES
    return None


def check_size(source: Source) -> None:
    """Raise ConfigError for a text that is larger than any configuration."""
    if len(source.text) > MAX_BYTES:
        raise ConfigError((f"{source.name}: is larger than 1 MiB: that is no configuration",))


def variables_of(source: Source) -> Iterator[tuple[str, str]]:
    """Names and values of a file of environment variables, whoever's reader it is for: a shell, Docker, systemd."""
    for line in source.text.splitlines():
        found = _VARIABLE_RE.match(line.strip())
        if found is None or line.strip().startswith("#"):
            continue
        yield found[1], _unquoted(found[2].strip())


def _unquoted(text: str) -> str:
    for quote in "'\"":
        if text.startswith(quote):
            end = text.find(quote, 1)
            return text[1:end] if end > 0 else text[1:]
        if text.endswith(
            quote
        ):  # `Environment="NAME=value"`, of which the first quote stands before the name
            text = text[:-1]
    return text.partition(" #")[0].rstrip()


def words_of(source: Source) -> tuple[str, ...]:
    """The words of a command line, in one line or many, of a unit file, or of a list of arguments in YAML."""
    lines = []
    for line in source.text.splitlines():
        bare = line.strip()
        if bare.startswith("#"):
            continue
        bare = re.sub(r"^-\s+", "", bare)
        bare = re.sub(r"^ExecStart=", "", bare).rstrip("\\")
        lines.append(bare.rstrip(",").strip("[]") if bare.startswith(('"', "'", "[")) else bare)
    try:
        return tuple(shlex.split(" ".join(lines), comments=True))
    except ValueError as exc:
        raise ConfigError((f"{source.name}: can't be read as a command line: {exc}",)) from None


def toml_of(source: Source) -> Mapping[str, Any]:
    """The tables of a TOML file. Raises ConfigError."""
    try:
        return tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError((f"{source.name}: is no TOML: {exc}",)) from None
    except RecursionError:
        raise ConfigError((f"{source.name}: is no TOML that can be read",)) from None


def yaml_of(source: Source) -> Any:
    """What a YAML file says. Raises ConfigError."""
    try:
        _check_yaml(source)
        return yaml.safe_load(source.text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        problem = getattr(exc, "problem", None) or "it can't be read"
        raise ConfigError((f"{source.name}{place}: is no YAML: {problem}",)) from None
    except (ValueError, RecursionError):
        raise ConfigError((f"{source.name}: is no YAML that can be read",)) from None


def _check_yaml(source: Source) -> None:
    """Nothing, for what is soon read. Raises ConfigError, yaml.YAMLError.

    Threat: a few lines of aliases that stand for gigabytes, and lists within lists that take hours.
    """
    depth = 0
    for event in yaml.parse(source.text):
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError((f"{source.name}: write out what its `*aliases` stand for",))
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ConfigError((f"{source.name}: is nested deeper than any configuration",))


def with_references(text: str) -> Text:
    """The text with `$NAME`, `${NAME}` and `$(NAME)` as references to the environment."""
    pieces: list[str | Env] = []
    end = 0
    for found in _DOLLAR_RE.finditer(text):
        pieces += [text[end : found.start()], Env(found[1] or found[2] or found[3])]
        end = found.end()
    pieces.append(text[end:])
    whole = tuple(piece for piece in pieces if piece)
    if len(whole) == 1:
        return whole[0]
    return Joined(whole) if len(whole) > 1 else ""
