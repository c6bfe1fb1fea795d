"""What a `branding` block may hold; the rest of a configuration stands in `config.schema`."""

from __future__ import annotations

from collections.abc import Mapping

from vestibule.config.shape import Node
from vestibule.config.value import Colour, FilePath, LanguageTag


class Branding(Node, kw_only=True):
    """How the gateway's own pages look: sign-in, errors, what else it shows to people.

    At top level it holds for all hosts, and may be split like `gateway`; each attribute that a host's own block
    sets goes before. Pages whose request reached no host of yours stay plain.
    """

    title: str = ""
    """What the site is called on its pages, instead of the host's name."""
    text: str = ""
    """The sentence of the sign-in page, in all languages; to write it in each, use `languages`."""
    banner: str = ""
    """A notice above the buttons of the sign-in page, as in `"Authorised use only"`."""
    footer: str = ""
    """Plain text at the foot of every page."""
    footer_links: Mapping[str, str] = {}
    """Links beside it: `{ "Privacy" = "https://example.com/privacy" }`; http, https and mailto."""
    logo: FilePath = FilePath("")
    """An image instead of our mark: svg, png, jpg, webp or gif, up to 256 KiB. `"-"`: no image at all."""
    dark_logo: FilePath = FilePath("")
    """`logo` where people prefer dark pages."""
    marks: Mapping[str, str] = {}
    """Images on the sign-in buttons, by the client's ID: `{ "corp" = "corp.svg" }`. Known kinds have one."""
    accent: Colour = Colour("")
    """Colour of buttons and mark, `"#1f5a52"`; the text on it is black or white, whichever reads better."""
    background: Colour = Colour("")
    """Colour of the page."""
    dark_accent: Colour = Colour("")
    """`accent` where people prefer dark pages. Without it: a lighter `accent`."""
    dark_background: Colour = Colour("")
    """`background` where people prefer dark pages."""
    templates: FilePath = FilePath("")
    """Directory of whole templates (`signin.html`, `base.html` …) instead of ours; what is not there stays
    ours."""
    languages: FilePath = FilePath("")
    """Directory of language files (`nl.json`): of ours, with what you say otherwise; of further ones, whole."""
    language: LanguageTag = LanguageTag("en")
    """The language for browsers that ask for none of those there are."""
