"""Regular expressions on paths, as prefixes of paths where they mean that.

Only what a route can say is taken: whole segments from the beginning. Everything else is told, not guessed.
"""

from __future__ import annotations

import itertools
import re
from enum import Enum

import msgspec

from vestibule.config.place import Unfit
from vestibule.config.value import prefix


class Fit(Enum):
    """How the routes compare with the expression, the best first."""

    EXACT = "exact"
    NARROWER = "narrower"
    """Some paths that the expression takes are in none of them."""
    BARE = "bare"
    """They hold the path without its last slash, too: `/public` for `^/public/`."""
    WIDER = "wider"
    """They hold paths that the expression doesn't take."""


class Prefixes(msgspec.Struct, frozen=True):
    """Paths of routes, each with a last slash; `/` is the whole host."""

    paths: tuple[str, ...]
    fit: Fit


#: what may stand behind the text of an expression, longest first, and how the route of that text compares with it
_ENDS = {
    "(?:/.*)?$": Fit.EXACT,
    "(/.*)?$": Fit.EXACT,
    "(?:/|$)": Fit.EXACT,
    "(/|$).*": Fit.EXACT,
    "(/|$)": Fit.EXACT,
    "($|/)": Fit.EXACT,
    "/?.*": Fit.NARROWER,
    "/.+$": Fit.WIDER,
    "/.*$": Fit.BARE,
    "/?$": Fit.WIDER,
    "/*$": Fit.WIDER,
    "/.*": Fit.BARE,
    "/.+": Fit.WIDER,
    ".*$": Fit.NARROWER,
    "/*": Fit.NARROWER,
    "/$": Fit.WIDER,
    ".*": Fit.NARROWER,
    "$": Fit.WIDER,
    "/": Fit.BARE,
    "": Fit.NARROWER,
}
_EVERYTHING = frozenset({"", "/", ".*", ".*$", "/.*", "/.*$", "/?.*", "(/.*)?$"})
#: a `|` outside of groups
_TOP = re.compile(r"\|(?![^()]*\))")
_MAX_PATHS = 32
_META = frozenset("^$*+?()[]{}|\\")


def prefixes_of(expression: str) -> Prefixes | None:
    """The routes that an expression, looked for anywhere in a path, means; None where routes can't say it."""
    found = [_prefixes(part) for part in _TOP.split(expression)]
    whole = [one for one in found if one is not None]
    if len(whole) < len(found):
        return None
    paths = dict.fromkeys(itertools.chain.from_iterable(one.paths for one in whole))
    return Prefixes(tuple(paths), max((one.fit for one in whole), key=list(Fit).index))


def _prefixes(expression: str) -> Prefixes | None:
    is_anchored = expression.startswith("^")
    rest = expression.removeprefix("^")
    if rest in _EVERYTHING:
        return Prefixes(("/",), Fit.EXACT)
    end = next((end for end in _ENDS if rest.endswith(end) and not rest.endswith("\\" + end)), "")
    found = _literals(rest[: len(rest) - len(end)])
    if found is None:
        return None
    texts, is_exact = found
    fit = _ENDS[end]
    if any(text.endswith("/") for text in texts):
        if _ENDS[end] is not Fit.NARROWER:
            return None
        fit = Fit.BARE
    if fit is Fit.EXACT and not (is_anchored and is_exact):
        fit = Fit.NARROWER
    if not all(map(_is_route, texts)):
        return None
    return Prefixes(tuple(dict.fromkeys(f"{text.rstrip('/')}/" for text in texts)), fit)


def _is_route(text: str) -> bool:
    """True for the path of a route as it stands: brought to its one form it would be another expression's."""
    try:
        return prefix(text).decode() == text.removesuffix("/") and not text.startswith("/@")
    except Unfit:
        return False


def _literals(expression: str) -> tuple[tuple[str, ...], bool] | None:
    """The texts that characters and groups of alternatives stand for; False where they stand for further ones, too."""
    parts: list[tuple[str, ...]] = []
    is_exact = True
    position = 0
    while position < len(expression):
        char = expression[position]
        if char == "\\":
            char = expression[position + 1 : position + 2]
            if not char or char.isalnum():
                return None
            parts.append((char,))
            position += 2
        elif char == "(":
            end = expression.find(")", position)
            inside = expression[position + 1 : end].removeprefix("?:")
            choices = [_literals(part) for part in inside.split("|")]
            whole = [choice for choice in choices if choice is not None]
            if end < 0 or len(whole) < len(choices):
                return None
            parts.append(tuple(itertools.chain.from_iterable(texts for texts, _ in whole)))
            is_exact = is_exact and all(exact for _, exact in whole)
            position = end + 1
        elif char in _META:
            return None
        else:
            is_exact = is_exact and char != "."  # any character; the route is on the full stop alone
            parts.append((char,))
            position += 1
        if expression[position : position + 1] in tuple("*+?{"):
            return None
    count = 1
    for part in parts:
        count *= len(part)
    if count > _MAX_PATHS:
        return None
    return tuple("".join(choice) for choice in itertools.product(*parts)), is_exact
