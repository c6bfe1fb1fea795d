"""The words of the pages, in every language there is: what a language must say, and which one a person gets.

A language is a table from stable names (`signin.title`, `error.not_found.text`) to texts with places to fill in
(`{provider}`). English says which names there are, and which places each has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from vestibule.protocol.language import TAG_RE, negotiate

ENGLISH = "en"
#: for programs, which want the same words always
PROGRAM = "program."
#: of a language itself, beside its words
_NAME, _DIRECTION, _ALSO = "language.name", "language.direction", "language.also"
_DIRECTIONS = {"ltr", "rtl"}
_TOLD = 10
"""How many missing texts are named; who begins a language wants no two hundred lines."""
_PLACE_RE = re.compile(r"\{([a-z_]+)\}")


class WordingError(ValueError):
    """What is wrong in a language's file, one fault a line, each naming its key."""


class Language(msgspec.Struct, frozen=True, kw_only=True):
    """One language with all its words."""

    tag: str
    """As in `lang` and Content-Language: `de`, `zh-CN`."""
    name: str
    """In itself: `Deutsch`."""
    direction: str
    """`ltr` or `rtl`."""
    words: Mapping[str, str]
    also: tuple[str, ...] = ()
    """Further tags it serves: `zh` and `zh-Hans` are `zh-CN`'s."""

    def say(self, key: str, **values: str) -> str:
        """The text of this name with its places filled in. Raises KeyError for a name or place that is not."""
        return fill(self.words[key], values)

    def says(self, key: str) -> bool:
        """True where there is a text of this name."""
        return key in self.words


class Wording:
    """All languages, and the one for who asks for none of them."""

    def __init__(self, languages: Iterable[Language], default: str = ENGLISH) -> None:
        self.languages = {language.tag: language for language in languages}
        self.default = self.languages[default]
        self._ranges = {range_.lower(): tag for range_, tag in self._served()}

    def _served(self) -> Iterator[tuple[str, str]]:
        """Ranges and who serves them, the last word last: a language's own tag goes before what others serve."""
        yield from ((also, one.tag) for one in self.languages.values() for also in one.also)
        yield from ((tag, tag) for tag in self.languages)

    def choose(self, accept: str) -> Language:
        """The language for this Accept-Language value."""
        return self.languages[negotiate(accept, self._ranges, self.default.tag)]

    def english(self) -> Language:
        """The language of programs and of the log."""
        return self.languages[ENGLISH]


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with its places filled in, once: what stands in a value is never a place."""
    return _PLACE_RE.sub(lambda found: values[found[1]], text)


def places_of(text: str) -> frozenset[str]:
    """The names of a text's places."""
    return frozenset(_PLACE_RE.findall(text))


def language_of(tag: str, data: Any, model: Mapping[str, str], base: Language | None = None) -> Language:
    """A language from its file's JSON; *base*, where given, is the language it changes, and says what is not here.

    *model*: the words of English, which are the names that may stand here and, without *base*, must.
    Raises: WordingError with every fault.
    """
    faults: list[str] = []
    if not TAG_RE.fullmatch(tag):
        faults.append(f"`{tag}` is no language tag: de, pt-BR")
    found = dict(_flat(data, "", faults))
    also = found.pop(_ALSO, ())
    texts = {key: text for key, text in found.items() if isinstance(text, str)}
    about = {_NAME: base.name, _DIRECTION: base.direction} if base else {}
    about |= {key: texts.pop(key) for key in (_NAME, _DIRECTION) if key in texts}
    faults += _faults(texts, model, whole=base is None and tag != ENGLISH)
    faults += [f"`{key}` is missing" for key in (_NAME, _DIRECTION) if not about.get(key)]
    if about.get(_DIRECTION, "ltr") not in _DIRECTIONS:
        faults.append(f"`{_DIRECTION}` is ltr or rtl")
    if faults:
        raise WordingError("\n".join(faults))
    return Language(
        tag=tag,
        name=about[_NAME],
        direction=about[_DIRECTION],
        words={**(base.words if base else model), **texts},
        also=tuple(also) or (base.also if base else ()),
    )


def _flat(data: Any, prefix: str, faults: list[str]) -> Iterator[tuple[str, Any]]:
    """Nested objects as one, keys joined by dots."""
    if not isinstance(data, dict):
        faults.append("is no object: { … }" if not prefix else f"`{prefix}` is an object: {{ … }}")
        return
    for name, value in data.items():
        key = f"{prefix}.{name}" if prefix else name
        if key == _ALSO:
            if not (
                isinstance(value, list) and all(isinstance(x, str) and TAG_RE.fullmatch(x) for x in value)
            ):
                faults.append(f'`{key}` is a list of language tags: ["zh-Hans"]')
            else:
                yield key, value
        elif isinstance(value, str):
            yield key, value
        else:
            yield from _flat(value, key, faults)


def _faults(texts: Mapping[str, str], model: Mapping[str, str], *, whole: bool) -> Iterator[str]:
    for key, text in texts.items():
        if key not in model:
            yield f"there is no text `{key}`"
        elif not text.strip():
            yield f"`{key}` is empty"
        elif places_of(text) != places_of(model[key]):
            wanted = ", ".join(f"{{{place}}}" for place in sorted(places_of(model[key]))) or "none"
            yield f"`{key}` must have the places of the English text: {wanted}"
    if whole:
        missing = [key for key in model if key not in texts and not key.startswith(PROGRAM)]
        yield from (f"`{key}` is missing" for key in missing[:_TOLD])
        if len(missing) > _TOLD:
            yield f"and {len(missing) - _TOLD} more are missing"


def english_of(data: Any) -> Language:
    """English, by which the others are measured. Raises WordingError."""
    faults: list[str] = []
    words = {key: text for key, text in _flat(data, "", faults) if not key.startswith("language.")}
    if faults:
        raise WordingError("\n".join(faults))
    return language_of(ENGLISH, data, words)
