"""The grammar of configuration files: python-hcl2's terminals under rules of our own, on lark (LALR).

The rules are HCL's without what a configuration may not hold: operators, `for`, splats, directives. Left out,
they cost nothing: the whole of python-hcl2's grammar takes over a second to build where its pickled
cache can't be written, and 1.2 s for 16,000 lines; this takes 0.08 s and 0.3 s, and needs no cache.

More is taken than by HashiCorp's grammar in one point: a block may stand on one line with several
attributes or blocks in it.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import cast

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

# A text is one token, its interpolations in it. An interpolation holds no braces, so `[^{}\n]*` ends it. Possessive
# repeats keep a text without its end from costing exponential time.
_GRAMMAR = r"""
%import hcl2 (NAME, LBRACE, LSQB)
%import hcl2.RBRACE -> _RBRACE
%import hcl2.RSQB -> _RSQB
%import hcl2.LPAR -> _LPAR
%import hcl2.RPAR -> _RPAR
%import hcl2.COMMA -> _COMMA
_EQ: "="
_COLON: ":"
_NEWLINE: /\n\s*/
INT_LITERAL: /-?[0-9]+/
FLOAT_LITERAL: /-?[0-9]+(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)/
STRING: /"(?:[^"\\$\n]++|\\.|\$\$\{|\$\{[^{}\n]*\}|\$(?!\{))*+"/
HEREDOC: /<<-?(?P<marker>[A-Za-z_][A-Za-z0-9._-]*)[ \t]*\r?\n(?:[^\n]*\n)*?[ \t]*(?P=marker)[ \t]*(?=\r?\n)/

%ignore /[ \t\r]+/
%ignore /#[^\n]*/
%ignore /\/\/[^\n]*/
%ignore /\/\*(?:[^*]|\*(?!\/))*\*\//

start: body
body: _NEWLINE* ((attribute | block) _NEWLINE*)*
attribute: NAME _EQ _value
block: NAME (NAME | STRING)* LBRACE body _RBRACE
_value: STRING | HEREDOC | INT_LITERAL | FLOAT_LITERAL | NAME | tuple | object | call
tuple: LSQB _NEWLINE* (_value _NEWLINE* _COMMA _NEWLINE*)* (_value _NEWLINE*)? _RSQB
object: LBRACE _NEWLINE* (element _NEWLINE* (_COMMA _NEWLINE*)?)* _RBRACE
element: (NAME | STRING) (_EQ | _COLON) _value
call: NAME _LPAR (_value (_COMMA _value)*)? _RPAR
"""

#: how a terminal is called in front of a person; several under one name are told once
_WORDS = {
    "NAME": "a name",
    "STRING": "a text in double quotes",
    "HEREDOC": "a text",
    "INT_LITERAL": "a number",
    "FLOAT_LITERAL": "a number",
    "LBRACE": "`{`",
    "LSQB": "`[`",
    "_RBRACE": "`}`",
    "_RSQB": "`]`",
    "_LPAR": "`(`",
    "_RPAR": "`)`",
    "_COMMA": "`,`",
    "_EQ": "`=`",
    "_COLON": "`:`",
    "_NEWLINE": "",
    "$END": "the end of the file",
}
_VALUE = frozenset({"STRING", "HEREDOC", "INT_LITERAL", "FLOAT_LITERAL", "NAME", "LSQB", "LBRACE"})
_OPERATORS = frozenset("+-*/%?<>!&|.([:=")


class SyntaxFault(Exception):
    """The text is not HCL: at `line` and `column`, in words."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.message = message


@functools.cache
def _parser() -> Lark:
    spec = importlib.util.find_spec("hcl2")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return Lark(_GRAMMAR, parser="lalr", import_paths=folders, maybe_placeholders=False)


def tree_of(text: str) -> Tree[Token]:
    """The parse tree; its tokens know line and column. Raises SyntaxFault."""
    try:
        return _parser().parse(text + "\n")
    except UnexpectedCharacters as exc:
        raise SyntaxFault(exc.line, exc.column, _character_message(text, exc)) from None
    except UnexpectedToken as exc:
        raise _token_fault(text, exc) from None


def tokens_of(text: str) -> tuple[Token, ...]:
    """Every token with where it begins and ends, of a text that `tree_of` takes."""
    return tuple(_parser().lex(text + "\n"))


def _character_message(text: str, exc: UnexpectedCharacters) -> str:
    start = cast("int", exc.pos_in_stream)  # lark declares it as None
    char = text[start : start + 1]
    if char == '"':
        return (
            'this text has no closing `"` on its line, or a `${` without its `}`; '
            "a text of several lines is written <<END … END"
        )
    if char == "'":
        return _QUOTES
    if _is_bare_text(text, start):
        return _bare(char)
    if text.startswith("<<", start):
        return "this text of several lines is never closed: its last line is the marker alone"
    if text.startswith("/*", start):
        return "this comment is never closed by `*/`"
    if char in _OPERATORS:
        return f"`{char}` can't stand here: nothing is computed, a value is written out, env(…) or file(…)"
    return f"`{char}` can't stand here; {_expectation(exc.allowed or set())}"


_QUOTES = 'texts stand in double quotes: "…"'


def _bare(char: str) -> str:
    return f"`{char}` can't stand here: nothing is computed, and {_QUOTES}"


def _is_bare_text(text: str, at: int) -> bool:
    """True inside what looks like a host name, address or path without quotes: `a.example`, `localhost:3000`."""
    return (
        text[at : at + 1] in set(".:/@") and text[at - 1 : at].isalnum() and text[at + 1 : at + 2].isalnum()
    )


def _token_fault(text: str, exc: UnexpectedToken) -> SyntaxFault:
    token, expected = exc.token, exc.accepts or exc.expected
    if token.type == "$END" or (token.start_pos or 0) >= len(text.rstrip()):
        opened = _unclosed(exc)
        if opened is not None:
            closing = "`]`" if opened.type == "LSQB" else "`}`"
            line, column = int(opened.line or 1), int(opened.column or 1)
            return SyntaxFault(line, column, f"what is opened here is never closed: its {closing} is missing")
    if token.type == "_RBRACE" and "_RBRACE" not in expected and "$END" in expected:
        return SyntaxFault(token.line, token.column, "this `}` closes nothing")
    if token.type == "_NEWLINE":
        return SyntaxFault(token.line, token.column, f"the line ends too early; {_expectation(expected)}")
    if token.type in ("_EQ", "_LPAR", "_COLON", "LSQB") and _VALUE.isdisjoint(expected):
        shown = str(token)
        return SyntaxFault(token.line, token.column, f"`{shown}` can't stand here; {_expectation(expected)}")
    if _is_bare_text(text, token.start_pos or 0):
        return SyntaxFault(token.line, token.column, _bare(str(token)[:1]))
    # A text is not shown: it may be a secret.
    shown = "a text" if token.type in {"STRING", "HEREDOC"} else f"`{token}`"
    return SyntaxFault(token.line, token.column, f"{shown} is not expected here; {_expectation(expected)}")


def _unclosed(exc: UnexpectedToken) -> Token | None:
    """The innermost bracket still open when the parser gave up."""
    state = getattr(exc.interactive_parser, "parser_state", None)
    stack = getattr(state, "value_stack", ())
    for value in reversed(stack):
        if isinstance(value, Token) and value.type in ("LBRACE", "LSQB"):
            return value
    return None


def _expectation(expected: set[str]) -> str:
    names = set(expected)
    words = []
    if names >= _VALUE - {"NAME"}:
        words.append("a value")
        names -= _VALUE
    words += [_WORDS[name] for name in _WORDS if name in names and _WORDS[name]]
    words = list(dict.fromkeys(words))
    if not words:
        return "this can't be read"
    return "expected " + (words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}")
