"""`branding` blocks: what they say of pages, which of two holds, what is wrong with their files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.config.conftest import Desk
from vestibule.config.branding import PICTURE_LIMIT_BYTES
from vestibule.config.compile import compile_config
from vestibule.config.page import languages
from vestibule.core.branding import PLAIN, Scheme, contrast, door_of
from vestibule.core.route import Host

SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'
#: of each type as much as tells it
PICTURES = {
    "svg": SVG.encode(),
    "png": b"\x89PNG\r\n\x1a\n....",
    "jpg": b"\xff\xd8\xff\xe0....",
    "jpeg": b"\xff\xd8\xff\xe0....",
    "webp": b"RIFF\x10\0\0\0WEBP",
    "gif": b"GIF89a....",
}


def configuration(general: str = "", own: str = "") -> str:
    return f"""
branding {{
{general}
}}
host "app.example.com" {{
  backend = "localhost:3000"
  access {{ allow = ["public"] }}
  branding {{
{own}
  }}
}}
host "other.example.com" {{
  backend = "localhost:3000"
  access {{ allow = ["public"] }}
}}
"""


@pytest.fixture
def hosts(desk: Desk) -> Callable[..., tuple[Host, Host]]:
    """The host with a block of its own, and the one without."""

    def hosts(general: str = "", own: str = "") -> tuple[Host, Host]:
        table = compile_config(desk.load(configuration(general, own))).table
        return table.hosts[b"app.example.com"], table.hosts[b"other.example.com"]

    return hosts


@pytest.fixture
def faults(desk: Desk) -> Callable[[str], list[str]]:
    """The faults of one general block."""
    return lambda inside: desk.faults(configuration(inside))


def test_without_a_block_pages_are_ours(desk: Desk) -> None:
    loaded = desk.load('host "app.example.com" { backend = "localhost:3000" access { allow = ["public"] } }')
    assert compile_config(loaded).table.hosts[b"app.example.com"].branding is PLAIN


def test_a_hosts_own_attributes_go_before_the_general_ones(hosts: Callable[..., tuple[Host, Host]]) -> None:
    own, other = hosts(
        'text = "general" banner = "general" accent = "#ABC" title = "General"',
        'text = "own" dark_background = "#101225"',
    )
    assert (own.branding.text, own.branding.banner, own.title) == ("own", "general", "General")
    assert (other.branding.text, other.branding.banner, other.title) == ("general", "general", "General")
    assert own.branding.light == Scheme(accent="#aabbcc")
    assert own.branding.dark.background == "#101225"
    assert other.branding.dark.background == ""


def test_hosts_without_a_block_share_one_look(desk: Desk) -> None:
    text = 'branding { text = "x" }' + "".join(
        f'host "{name}.example.com" {{ backend = "localhost:1" access {{ allow = ["public"] }} }}\n'
        for name in ("a", "b")
    )
    one, other = compile_config(desk.load(text)).table.hosts.values()
    assert one.branding is other.branding


def test_a_general_block_may_be_split(desk: Desk) -> None:
    loaded = desk.load(
        'branding { text = "x" }', 'branding { banner = "y" }' + configuration()[13:].lstrip("}\n ")
    )
    found = compile_config(loaded).table.hosts[b"other.example.com"].branding
    assert (found.text, found.banner) == ("x", "y")


def test_the_environment_can_brand(desk: Desk) -> None:
    loaded = desk.load(configuration(), environ={"VESTIBULE_BRANDING_BANNER": "Authorised use only"})
    assert compile_config(loaded).table.hosts[b"other.example.com"].branding.banner == "Authorised use only"


def test_links_lead_to_the_web_or_to_mail(hosts: Callable[..., tuple[Host, Host]]) -> None:
    own, _ = hosts('footer_links = { "Privacy" = "https://a.example/p" "Help" = "mailto:help@a.example" }')
    assert own.branding.footer_links == (
        ("Privacy", "https://a.example/p"),
        ("Help", "mailto:help@a.example"),
    )


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "/privacy",
        "//a.example",
        "https://",
        "mailto:",
        "https:// a",
    ],
)
def test_no_other_link_is_taken(faults: Callable[[str], list[str]], address: str) -> None:
    [fault] = faults(f'footer_links = {{ "x" = "{address}" }}')
    assert fault == f"v.hcl:3:16: `{address}` is no link: https://…, http://… or mailto:NAME@DOMAIN"


# -- pictures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", PICTURES)
def test_a_logo_is_read_from_beside_the_file(
    desk: Desk, hosts: Callable[..., tuple[Host, Host]], extension: str
) -> None:
    (desk.folder / f"logo.{extension}").write_bytes(PICTURES[extension])
    logo = hosts(f'logo = "logo.{extension}"')[1].branding.logo
    assert logo is not None
    assert (logo.body, logo.extension) == (PICTURES[extension], {"jpeg": "jpg"}.get(extension, extension))


@pytest.mark.parametrize(
    "text",
    [
        SVG,
        f'\ufeff<?xml version="1.0" encoding="UTF-8"?>\n<!-- made by hand -->\n{SVG}',
        f"<!-- first -->{SVG}",
        f'<!DOCTYPE svg PUBLIC "x">\n{SVG}',
    ],
    ids=["bare", "with a mark of its encoding", "with a comment", "with a document type"],
)
def test_a_drawing_may_begin_as_drawings_do(
    desk: Desk, hosts: Callable[..., tuple[Host, Host]], text: str
) -> None:
    (desk.folder / "logo.svg").write_text(text, "utf-8")
    assert hosts('logo = "logo.svg"')[1].branding.logo is not None


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        pytest.param("logo.svg", b"<html><svg>", "does not hold what its name says: it is no svg", id="html"),
        pytest.param(
            "logo.png", PICTURES["jpg"], "does not hold what its name says: it is no png", id="jpeg"
        ),
        pytest.param("logo.html", b"<html>", "is no picture: svg, png, jpg, webp, gif", id="another type"),
        pytest.param("logo.gif", b"", "does not hold what its name says: it is no gif", id="empty"),
    ],
)
def test_what_is_no_picture_is_a_fault(
    desk: Desk, faults: Callable[[str], list[str]], name: str, body: bytes, said: str
) -> None:
    (desk.folder / name).write_bytes(body)
    assert faults(f'logo = "{name}"') == [f"v.hcl:3:8: {name} {said}"]


def test_a_picture_that_is_missing_or_too_large_is_a_fault(
    desk: Desk, faults: Callable[[str], list[str]]
) -> None:
    (desk.folder / "large.png").write_bytes(PICTURES["png"].ljust(PICTURE_LIMIT_BYTES + 1))
    assert faults('logo = "large.png"') == ["v.hcl:3:8: large.png is larger than 256 KiB"]
    assert faults('marks = { "corp" = "no.svg" }') == [
        "v.hcl:3:9: no.svg can't be read: No such file or directory"
    ]


def test_a_dash_is_no_picture_at_all(desk: Desk, hosts: Callable[..., tuple[Host, Host]]) -> None:
    (desk.folder / "logo.svg").write_text(SVG)
    own, other = hosts('logo = "logo.svg"', 'logo = "-"')
    assert (own.branding.logo, own.branding.shows_mark) == (None, False)
    assert other.branding.logo is not None


def test_marks_are_by_client(desk: Desk, hosts: Callable[..., tuple[Host, Host]]) -> None:
    (desk.folder / "corp.svg").write_text(SVG)
    assert list(hosts('marks = { "corp" = "corp.svg" }')[0].branding.marks) == ["corp"]


# -- colours ----------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["red", "1f5a52", "#12", "#1234", "#ggg", "#fff;}"])
def test_a_colour_is_hexadecimal(faults: Callable[[str], list[str]], written: str) -> None:
    assert faults(f'accent = "{written}"') == [f'v.hcl:3:10: `{written}` is no colour: "#1f5a52"']


def test_an_accent_that_hardly_shows_is_warned_of_with_its_ratio(desk: Desk) -> None:
    said = desk.warnings(configuration('accent = "#ffe600"'))
    ratio = contrast("#ffe600", door_of(Scheme(), is_dark=False))
    assert said == [
        f"v.hcl:3:10: #ffe600 stands out from the page by {ratio:.1f}:1 only; buttons are hard to see below 3:1"
    ]
    assert desk.warnings(configuration('accent = "#7a1fa2" background = "#eef"')) == []
    assert len(desk.warnings(configuration('dark_accent = "#222222"'))) == 1


# -- templates --------------------------------------------------------------------------------


def folder(desk: Desk, name: str, **files: str) -> Path:
    path = desk.folder / name
    path.mkdir()
    for stem, text in files.items():
        (path / stem.replace("_", ".")).write_text(text, "utf-8")
    return path


def test_templates_are_read_by_name(desk: Desk, hosts: Callable[..., tuple[Host, Host]]) -> None:
    folder(desk, "pages", signin_html="{{ title }}", notes_txt="not a template")
    own, _ = hosts('templates = "pages"')
    assert dict(own.branding.templates) == {"signin.html": "{{ title }}"}
    assert own.branding.templates_at == str(desk.folder / "pages")


def test_a_template_that_is_broken_is_a_fault_at_its_line(
    desk: Desk, faults: Callable[[str], list[str]]
) -> None:
    folder(desk, "pages", signin_html="<p>\n{% if %}\n", base_html="{{ }}")
    assert faults('templates = "pages"') == [
        "pages/base.html:1:1: unexpected end of variable block",
        "pages/signin.html:2:1: unexpected end of block",
    ]


def test_a_template_no_page_has_is_warned_of(desk: Desk) -> None:
    folder(
        desk,
        "pages",
        sign_html="x",
        base_html='{% include "head.html" %}',
        head_html="",
    )
    assert desk.warnings(configuration('templates = "pages"')) == [
        "pages/sign.html: no page is called sign.html; did you mean `signin.html`?"
    ]


def test_a_directory_without_templates_is_warned_of(desk: Desk) -> None:
    folder(desk, "pages")
    [said] = desk.warnings(configuration('templates = "pages"'))
    assert said.startswith("v.hcl:3:13: no template is in pages: a")
    assert "signin.html" in said


@pytest.mark.parametrize("attribute", ["templates", "languages"])
def test_a_directory_must_be_there(faults: Callable[[str], list[str]], attribute: str) -> None:
    assert faults(f'{attribute} = "nowhere"') == ["v.hcl:3:13: there is no directory nowhere"]


# -- languages --------------------------------------------------------------------------------


def whole() -> dict[str, object]:
    """English as a file has it."""
    nested: dict[str, object] = {"language": {"name": "Nederlands", "direction": "ltr"}}
    for key, text in languages()["en"].words.items():
        if key.startswith("program."):
            continue
        at = nested
        *above, last = key.split(".")
        for name in above:
            at = at.setdefault(name, {})  # type: ignore[assignment] # objects down to the texts
        at[last] = text
    return nested


def test_a_language_can_be_added_and_be_the_first(
    desk: Desk, hosts: Callable[..., tuple[Host, Host]]
) -> None:
    folder(desk, "words", nl_json=json.dumps(whole()))
    own, _ = hosts('languages = "words" language = "nl"')
    assert [(one.tag, one.name) for one in own.branding.languages] == [("nl", "Nederlands")]
    assert own.branding.language == "nl"


def test_words_of_ours_can_be_changed_in_part(desk: Desk, hosts: Callable[..., tuple[Host, Host]]) -> None:
    folder(desk, "words", de_json='{"signin": {"title": "Herein"}}')
    [german] = hosts('languages = "words"')[0].branding.languages
    assert german.say("signin.title") == "Herein"
    assert german.say("action.home") == languages()["de"].say("action.home")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        pytest.param("de", "{", "is no JSON: Input data was truncated", id="no JSON"),
        pytest.param(
            "de", '{"signin": {"titel": "x"}}', "there is no text `signin.titel`", id="a misspelt key"
        ),
        pytest.param(
            "de",
            '{"signin": {"continue": "Los"}}',
            "`signin.continue` must have the places of the English text: {provider}",
            id="a place left out",
        ),
        pytest.param("n_l", "{}", "`n_l` is no language tag: de, pt-BR", id="no tag"),
    ],
)
def test_what_is_wrong_with_a_language_is_told_with_file_and_key(
    desk: Desk, faults: Callable[[str], list[str]], name: str, text: str, said: str
) -> None:
    (folder(desk, "words") / f"{name}.json").write_text(text)
    assert f"words/{name}.json: {said}" in faults('languages = "words"')


def test_a_language_of_ones_own_must_be_whole(desk: Desk, faults: Callable[[str], list[str]]) -> None:
    words = whole()
    del words["signin"]
    folder(desk, "words", nl_json=json.dumps(words))
    found = faults('languages = "words"')
    assert "words/nl.json: `signin.title` is missing" in found
    assert len(found) == len([key for key in languages()["en"].words if key.startswith("signin.")])


def test_the_language_for_all_others_is_one_there_is(faults: Callable[[str], list[str]]) -> None:
    [fault] = faults('language = "nl"')
    assert fault.startswith("v.hcl:3:12: there is no language `nl`; there are en, ")
