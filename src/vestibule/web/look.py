"""How pages look and speak: templates, words and files together, from which any page is rendered."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import minijinja
from minijinja import Environment, Markup, TemplateError

from vestibule.config import page
from vestibule.core.branding import OURS, OURS_DARK, Branding, Picture, Scheme, palette
from vestibule.core.wording import Language, Wording, fill
from vestibule.web.assets import Assets

_LOGO, _DARK_LOGO, _COLOURS = "logo", "dark-logo", "colours.css"
_MARK = "mark-"
#: how the engine says what is wrong, and in which template and line
_CAUSE_RE = re.compile(r"^(?:caused by: )?(\w.*) \(in ([\w.-]+):([0-9]+)\)$", re.MULTILINE)


class BrokenTemplate(ValueError):
    """A template of the operator's that can't be rendered: `file:line:1: what is wrong`."""


class Look:
    """One look of the pages, of one branding; made once, shared by all requests."""

    def __init__(self, branding: Branding, assets: Assets) -> None:
        self.branding = branding
        self._ours_only = assets
        self.assets = assets.with_files(dict(_files(branding)))
        self.wording = Wording(
            {**page.languages(), **{language.tag: language for language in branding.languages}}.values(),
            branding.language,
        )
        self._ours = _environment(page.templates(), self.assets)
        self._theirs = self._ours
        if branding.templates:
            self._theirs = _environment({**page.templates(), **branding.templates}, self.assets)
        self._brand = _brand(branding, self.assets)

    def render(
        self,
        template: str,
        language: Language,
        context: Mapping[str, Any],
        *,
        failed: Callable[[str], None] | None = None,
    ) -> str:
        """The page as HTML. Every value in *context* is escaped where it is shown.

        Templates have `say(NAME, PLACE=VALUE…)` for a text of the language, `strong(…)` and `code(…)` for one
        with its values marked so, `asset(NAME)` for the address of a static file, and `brand`. Where one of the
        operator's fails, `failed` is told and ours is shown. Raises BrokenTemplate without `failed`.
        """
        values = {
            "lang": language.tag,
            "dir": language.direction,
            "say": language.say,
            "strong": _marked(language, "strong"),
            "code": _marked(language, "code"),
            "time": _marked(language, "time"),
            "brand": self._brand,
            **context,
        }
        try:
            body: str = self._theirs.render_template(template, **values)
        except Exception as error:
            if self._theirs is self._ours:
                raise
            broken = BrokenTemplate(_said(error, template, self.branding))
            if failed is None:
                raise broken from error
            failed(str(broken))
            body = self._ours.render_template(template, **values)
        # The engine escapes `/` as well, which in our quoted attributes only makes addresses unreadable.
        return body.replace("&#x2f;", "/")

    def mark_url(self, kind: str, client: str = "") -> str:
        """The address of the mark on a client's button, empty where there is none."""
        picture = self.branding.marks.get(client)
        return (
            self.assets.url(f"{_MARK}{client}.{picture.extension}")
            if picture
            else self._ours_only.mark_url(kind)
        )


def _said(error: Exception, template: str, branding: Branding) -> str:
    if isinstance(error, TemplateError) and (causes := _CAUSE_RE.findall(str(error))):
        # What went wrong in an included or extended template comes last.
        message, name, line = causes[-1]
        return f"{branding.templates_at}/{name}:{line}:1: {message}"
    what = f"there is no text or file {error}" if isinstance(error, KeyError) else repr(error)
    return f"{branding.templates_at}/{template}: {what}"


def _environment(templates: Mapping[str, str], assets: Assets) -> Environment:
    return Environment(  # type: ignore[call-overload,no-any-return] # its stubs know no "semi_strict"
        templates=dict(templates),
        # Strict, but a name that is not there may be asked for in an `if`.
        undefined_behavior="semi_strict",
        auto_escape_callback=lambda _name: "html",
        trim_blocks=True,
        lstrip_blocks=True,
        globals={"asset": assets.url},
    )


def _files(branding: Branding) -> dict[str, bytes]:
    """The static files that this branding adds to ours."""
    found = {
        f"{_MARK}{client}.{picture.extension}": picture.body for client, picture in branding.marks.items()
    }
    for name, logo in ((_LOGO, branding.logo), (_DARK_LOGO, branding.dark_logo)):
        if logo is not None:
            found[f"{name}.{logo.extension}"] = logo.body
    if style := colours_of(branding):
        found[_COLOURS] = style.encode()
    return found


def colours_of(branding: Branding) -> str:
    """A stylesheet with the branding's colours; empty where they are ours."""
    schemes = {
        "light": palette(branding.light, is_dark=False),
        "dark": palette(branding.dark, is_dark=True),
    }
    return "".join(_rule(name, properties) for name, properties in schemes.items() if properties)


def _rule(scheme: str, properties: Mapping[str, str]) -> str:
    lines = "".join(f"    --{name}: {value};\n" for name, value in properties.items())
    return f"@media (prefers-color-scheme: {scheme}) {{\n  :root {{\n{lines}  }}\n}}\n"


def _brand(branding: Branding, assets: Assets) -> dict[str, Any]:
    """What every template sees of the branding."""

    def picture(name: str, found: Picture | None) -> str:
        return assets.url(f"{name}.{found.extension}") if found is not None else ""

    return {
        "logo": picture(_LOGO, branding.logo),
        "dark_logo": picture(_DARK_LOGO, branding.dark_logo),
        "shows_mark": branding.shows_mark,
        "colours": assets.url(_COLOURS) if colours_of(branding) else "",
        "ground": _ground(branding.light, OURS),
        "dark_ground": _ground(branding.dark, OURS_DARK),
        "banner": branding.banner,
        "footer": branding.footer,
        "links": [{"label": label, "href": href} for label, href in branding.footer_links],
    }


def _ground(scheme: Scheme, ours: Scheme) -> str:
    return scheme.background or ours.background


def _marked(language: Language, tag: str) -> Callable[..., Markup]:
    """`say`, with each value in an element, which also keeps its writing direction apart from the sentence's."""

    def marked(key: str, **values: str) -> Markup:
        shown = {
            name: f'<{tag} dir="auto">{minijinja.escape(value)}</{tag}>' for name, value in values.items()
        }
        return Markup(fill(str(minijinja.escape(language.words[key])), shown))

    return marked
