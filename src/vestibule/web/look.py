"""How pages look and speak: templates, words and files together, from which any page is rendered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

import minijinja
from minijinja import Environment, Markup

from vestibule.core.wording import Language, Wording, fill
from vestibule.web.assets import Assets


class Look:
    """One look of the pages; made once, shared by all requests."""

    def __init__(self, assets: Assets, wording: Wording, templates: Mapping[str, str]) -> None:
        self.assets = assets
        self.wording = wording
        self._environment = Environment(  # type: ignore[call-overload] # its stubs know no "semi_strict"
            templates=dict(templates),
            # Strict, but a name that is not there may be asked for in an `if`.
            undefined_behavior="semi_strict",
            auto_escape_callback=lambda _name: "html",
            trim_blocks=True,
            lstrip_blocks=True,
            globals={"asset": assets.url},
        )

    def render(self, template: str, language: Language, **context: Any) -> str:
        """The page as HTML. Every value in *context* is escaped where it is shown.

        Templates have `say(NAME, PLACE=VALUE…)` for a text of the language, `strong(…)` and `code(…)` for one
        with its values marked so, and `asset(NAME)` for the address of a static file.
        """
        body: str = self._environment.render_template(
            template,
            lang=language.tag,
            dir=language.direction,
            say=language.say,
            strong=_marked(language, "strong"),
            code=_marked(language, "code"),
            **context,
        )
        # The engine escapes `/` as well, which in our quoted attributes only makes addresses unreadable.
        return body.replace("&#x2f;", "/")


def _marked(language: Language, tag: str) -> Callable[..., Markup]:
    """`say`, with each value in an element, which also keeps its writing direction apart from the sentence's."""

    def marked(key: str, **values: str) -> Markup:
        shown = {
            name: f'<{tag} dir="auto">{minijinja.escape(value)}</{tag}>' for name, value in values.items()
        }
        return Markup(fill(str(minijinja.escape(language.words[key])), shown))

    return marked


def templates() -> dict[str, str]:
    """Our own templates by name."""
    folder = files("vestibule.web") / "templates"
    return {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.is_file()}
