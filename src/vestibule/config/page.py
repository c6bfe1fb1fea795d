"""What the pages come with: our own words and templates, read from the package once.

They stand with the pages (`web/languages`, `web/templates`), but what an operator changes of them is checked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import msgspec

from vestibule.core.wording import ENGLISH, Language, english_of, language_of

_WEB = files("vestibule") / "web"


@cache
def languages() -> Mapping[str, Language]:
    """Our own languages by tag, English first. Raises WordingError for one that is not whole."""
    found = {
        entry.name.removesuffix(".json"): msgspec.json.decode(entry.read_bytes())
        for entry in (_WEB / "languages").iterdir()
        if entry.name.endswith(".json")
    }
    english = english_of(found.pop(ENGLISH))
    others = {tag: language_of(tag, data, english.words) for tag, data in sorted(found.items())}
    return {ENGLISH: english, **others}


@cache
def templates() -> Mapping[str, str]:
    """Our own templates by name."""
    folder = _WEB / "templates"
    return {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.is_file()}
