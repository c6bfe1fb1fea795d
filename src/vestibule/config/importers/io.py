"""IO's configuration in our own words: the text stays as it is, but for the names that are written otherwise here.

Both of IO's dialects load as they are. What has no equivalent yet becomes a comment, and never lets more people in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from lark import Token

from vestibule.config.grammar import SyntaxFault, tokens_of, tree_of
from vestibule.config.importers.note import About, Imported, Notes
from vestibule.config.importers.source import Source, check_size
from vestibule.errors import ConfigError


class Edit(msgspec.Struct, frozen=True, order=True):
    """A part of the text, and what stands there instead."""

    start: int
    end: int
    text: str


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A block or an attribute, and where it stands."""

    name: str
    start: int
    end: int
    name_end: int
    label: str = ""
    value: Token | None = None
    """Of an attribute whose value is one token."""
    inside: tuple[Part, ...] | None = None
    """Of a block."""


def import_io(sources: Sequence[Source]) -> Imported:
    """IO's texts with our names. Raises ConfigError where one can't be read."""
    notes = Notes()
    texts = []
    faults: list[str] = []
    variables: dict[str, str] = {}
    for one in sources:
        try:
            check_size(one)
            tree_of(one.text)
            texts.append(_rewritten(_Context(one, notes, variables)))
        except SyntaxFault as exc:
            faults.append(f"{one.name}:{exc.line}:{exc.column}: {exc.message}")
        except ConfigError as exc:
            faults += exc.faults
    if faults:
        raise ConfigError(tuple(faults))
    told = notes.in_order()
    return Imported("\n".join(text.rstrip("\n") + "\n" for text in texts), told)


def _rewritten(context: _Context) -> str:
    text = context.source.text
    out = []
    end = 0
    for edit in sorted(_edits(_Parts(text).all(), "", context)):
        out += [text[end : edit.start], edit.text]
        end = edit.end
    return "".join([*out, text[end:]])


class _Parts:
    """Reads blocks and attributes off the tokens."""

    def __init__(self, text: str) -> None:
        self.tokens = [token for token in tokens_of(text) if token.type != "_NEWLINE"]
        self.at = 0

    def all(self) -> tuple[Part, ...]:
        """Those up to the brace that closes them, or the end."""
        found = []
        while self.at < len(self.tokens) and self.tokens[self.at].type != "_RBRACE":
            found.append(self.part())
        return tuple(found)

    def part(self) -> Part:
        name = self.take()
        if self.tokens[self.at].type == "_EQ":
            self.take()
            first, last = self.value()
            value = first if first is last else None
            return _part(name, last, value=value)
        label = ""
        while self.tokens[self.at].type != "LBRACE":
            label = str(self.take()).strip('"')
        self.take()
        inside = self.all()
        return _part(name, self.take(), label=label, inside=inside)

    def value(self) -> tuple[Token, Token]:
        first = last = self.take()
        depth = first.type in _OPENING
        if not depth and self.at < len(self.tokens) and self.tokens[self.at].type == "_LPAR":
            last, depth = self.take(), True
        count = int(depth)
        while count:
            last = self.take()
            count += (last.type in _OPENING) - (last.type in _CLOSING)
        return first, last

    def take(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]


_OPENING: Final = frozenset({"LBRACE", "LSQB", "_LPAR"})
_CLOSING: Final = frozenset({"_RBRACE", "_RSQB", "_RPAR"})


def _part(
    name: Token,
    last: Token,
    *,
    label: str = "",
    value: Token | None = None,
    inside: tuple[Part, ...] | None = None,
) -> Part:
    return Part(
        name=str(name),
        start=_start(name),
        name_end=_end(name),
        end=_end(last),
        label=label,
        value=value,
        inside=inside,
    )


def _start(token: Token) -> int:
    return int(token.start_pos or 0)


def _end(token: Token) -> int:
    return int(token.end_pos or 0)


# -- what is written otherwise ----------------------------------------------------------------

#: block, then attribute or block in it → its name here
_RENAMED: Final[Mapping[tuple[str, str], str]] = {
    ("", "ingress"): "host",
    ("", "calling"): "call",
    ("", "serve"): "serving",
    ("", "service_account_key"): "service_account",
    ("host", "calling"): "call",
    ("host", "oauth_client"): "oauth",
    ("call", "target"): "endpoint",
}
_CREDENTIAL: Final = (
    'with gateway { https = ["0.0.0.0:443"] } certificates come by themselves; for files of your own write '
    "tls_certificate and tls_key into the host"
)
#: what has no equivalent, and why
_GONE: Final[Mapping[tuple[str, str], str]] = {
    ("", "license"): "nothing here needs one",
    ("", "user"): "nobody signs in by SSH: `vestibule users` is for people, the admin API for programs",
    ("", "credential"): _CREDENTIAL,
    ("host", "atproto"): "nobody signs in with ATProto yet",
    ("host", "atproto_client"): "nobody signs in with ATProto yet",
    ("host", "credential"): _CREDENTIAL,
    ("serving", "atproto_auth"): "nobody signs in with ATProto yet",
}
#: attributes that hold a secret
_SECRETS: Final = frozenset({("oauth", "client_secret"), ("secret", "value"), ("service_account", "key")})
_PLAIN_PORT: Final = re.compile(r'"([A-Za-z0-9.-]+):(?!443")([0-9]+)"')
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1"})


class _Context(msgspec.Struct, frozen=True):
    """What an edit may look at, and where it tells."""

    source: Source
    notes: Notes
    variables: dict[str, str]
    """For secrets that stood in the files themselves, with what was written."""


def _edits(
    parts: Sequence[Part], around: str, context: _Context, inside: tuple[str, ...] = ()
) -> Iterator[Edit]:
    """Every change; *around* is the block they stand in, by its name here, *inside* the labels around them."""
    for part in parts:
        name = _RENAMED.get((around, part.name), part.name)
        if (
            part.inside is not None
            and not part.label
            and around == ""
            and part.name in ("ingress", "calling")
        ):
            yield _removed(part, "general blocks have nothing to set here", context)
        elif (around, name) in _GONE:
            yield _removed(part, _GONE[around, name], context)
            continue
        elif name != part.name:
            yield Edit(part.start, part.name_end, name)
            about = f"is `{name}` here; either loads"
            context.notes.add(About.CHANGED, part.name, about)
        if part.inside is not None:
            yield from _edits(part.inside, name, context, (*inside, part.label) if part.label else inside)
            yield from _closed(part, name, context)
        elif part.value is not None:
            yield from _values(part, name, around, context, inside)


def _removed(part: Part, why: str, context: _Context) -> Edit:
    context.notes.add(About.NONE, part.name, f"{why}; it became a comment")
    text = context.source.text[part.start : part.end]
    return Edit(
        part.start, part.end, "".join(f"# {line}\n" for line in text.splitlines()).rstrip("\n") + "\n"
    )


def _closed(part: Part, name: str, context: _Context) -> Iterator[Edit]:
    """What a block needs where a way to sign in is gone: nobody who was kept out may come in."""
    names = [child.name for child in part.inside or ()]
    if "access" in names:
        return
    if name == "serving" and "atproto_auth" in names:
        yield Edit(part.end - 1, part.end - 1, "  access {\n    allow = []\n  }\n")
        about = f"nobody gets into `{part.label}`: write into `allow` who may"
        context.notes.add(About.DO, "atproto_auth", about)
    elif (
        name == "host"
        and {"atproto", "atproto_client"} & set(names)
        and not {"oauth", "oauth_client"} & set(names)
    ):
        yield Edit(part.end - 1, part.end - 1, '  access {\n    allow = ["public"]\n  }\n')
        about = f"everybody reaches the app of `{part.label}`, as before, and nobody can sign in"
        context.notes.add(About.DO, part.label, about)


def _values(part: Part, name: str, around: str, context: _Context, inside: tuple[str, ...]) -> Iterator[Edit]:
    token = part.value
    assert token is not None
    start, end, text = _start(token), _end(token), str(token)
    if (around, name) in _SECRETS and "${" not in text and not text.startswith('"YOUR-'):
        yield Edit(start, end, f'"${{env("{_variable(part, around, inside, context)}")}}"')
    elif name == "backend" and text == '"internal:httpbin"':
        context.notes.add(About.CHANGED, "internal:httpbin", "is `internal:echo` here")
        yield Edit(start, end, '"internal:echo"')
    elif name == "backend" and text.startswith('"nomad:'):
        about = (
            "services are not looked up: name the server itself, host:port, in the place of the empty folder"
        )
        context.notes.add(About.DO, text.strip('"'), about)
        yield Edit(start, end, '"static:empty"')
    elif (around, name) == ("call", "endpoint"):
        found = _PLAIN_PORT.fullmatch(text)
        if found is not None and found[1] not in _LOOPBACK:
            about = f"IO calls {found[1]}:{found[2]} by plain http, as is written out here; https is safer"
            context.notes.add(About.CHANGED, part.name, about)
            yield Edit(start, end, f'"http://{found[1]}:{found[2]}"')


def _variable(part: Part, around: str, inside: tuple[str, ...], context: _Context) -> str:
    """The variable for a secret that stood in the file itself: named for its block, and for its host where it must."""
    line = context.source.text.count("\n", 0, part.start) + 1
    text = str(part.value)
    for labels in (inside[-1:], inside, (*inside, str(line))):
        variable = re.sub(r"[^A-Z0-9]+", "_", "_".join((*labels, part.name)).upper()).strip("_")
        if context.variables.setdefault(variable, text) == text:
            break
    where = f"{context.source.name}:{line}"
    about = f"to what stood as {around}.{part.name} at {where}: a secret is not printed"
    context.notes.add(About.SET, variable, about)
    return variable


def is_as_it_was(sources: Sequence[Source], found: Imported) -> bool:
    """True where nothing had to be written otherwise."""
    return found.hcl == "\n".join(one.text.rstrip("\n") + "\n" for one in sources)
