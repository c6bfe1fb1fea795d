"""Branded pages: what the operator chose shows, nothing of it runs, and a broken template breaks no page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.unit.web.asgi import XSS, Inert
from vestibule.config.page import languages, templates
from vestibule.core.branding import Branding, Picture, Scheme
from vestibule.core.wording import language_of
from vestibule.errors import ConfigError
from vestibule.web.blocks import Choice
from vestibule.web.look import BrokenTemplate
from vestibule.web.page import Page
from vestibule.web.pages import Pages, Scene
from vestibule.web.rehearsal import SAMPLES, rehearse

SVG = Picture(b'<svg xmlns="http://www.w3.org/2000/svg"/>', "svg")
PNG = Picture(b"\x89PNG\r\n\x1a\n", "png")
FULL = Branding(
    text="Use your work account.",
    banner="Authorised use only",
    footer="© Acme",
    footer_links=(("Privacy", "https://a.example/p?a=b&c=d"), ("Help", "mailto:help@a.example")),
    logo=PNG,
    dark_logo=SVG,
    marks={"corp": SVG},
    light=Scheme(accent="#7a1fa2", background="#eef0f7"),
    dark=Scheme(accent="#d29be6", background="#101225"),
)
CORP = Choice(title="Corp", href="/@corp/signin", client="corp", kind="oidc")
OUTSIDE = re.compile(r' href="(?:https?:|mailto:)[^"]*"')


def scene(branding: Branding, languages: str = "") -> Scene:
    return Scene(request_id="req-0123", host="Acme", branding=branding, languages=languages)


def signin(branding: Branding, pages: Pages | None = None, languages: str = "") -> str:
    return (pages or Pages()).signin([CORP], scene(branding, languages)).body.decode()


def test_the_sign_in_page_shows_what_the_operator_says() -> None:
    text = signin(FULL)
    words = "".join(Inert(OUTSIDE.sub("", text)).words)
    assert all(said in words for said in (FULL.text, FULL.banner, FULL.footer, "Privacy", "Help"))
    assert "Choose how" not in words
    assert '<a href="https://a.example/p?a=b&amp;c=d" dir="auto">Privacy</a>' in text
    assert '<a href="mailto:help@a.example" dir="auto">Help</a>' in text
    assert 'class="mark"' not in text


def test_the_notice_above_the_buttons_is_the_sign_in_pages_and_the_foot_is_every_pages() -> None:
    text = Pages().error(404, "not_found", scene=scene(FULL)).body.decode()
    assert "Authorised" not in text
    assert "Privacy" in text


def test_what_the_operator_brought_is_served_under_names_of_their_own() -> None:
    pages = Pages()
    names = re.findall(r'"(/@/static/[^"]+)"', signin(FULL, pages))
    kinds = {re.sub(r"\.[0-9a-f]{12}", "", name.rpartition("/")[2]) for name in names}
    assert kinds == {"vestibule.css", "colours.css", "logo.png", "dark-logo.svg", "mark-corp.svg"}
    for name in names:
        assert pages.static(name, scene(FULL)) is not None
        is_theirs = "vestibule" not in name
        assert (pages.static(name) is None) is is_theirs, "of this host only"
    logo = next(name for name in names if "/logo" in name)
    found = pages.static(logo, scene(FULL))
    assert found is not None
    assert (found.body, dict(found.headers)["content-type"]) == (PNG.body, "image/png")


def test_a_file_of_the_operators_runs_nothing() -> None:
    pages = Pages()
    [name] = re.findall(r'"(/@/static/dark-logo[^"]+)"', signin(FULL, pages))
    found = pages.static(name, scene(FULL))
    assert found is not None
    policy = dict(found.headers)["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "script" not in policy
    assert "sandbox" in policy


def test_colours_come_as_a_stylesheet_and_never_in_the_page() -> None:
    pages = Pages()
    text = signin(FULL, pages)
    assert "<style" not in text
    assert "style=" not in text
    [name] = re.findall(r'"(/@/static/colours[^"]+)"', text)
    found = pages.static(name, scene(FULL))
    assert found is not None
    light, dark = found.body.decode().split("@media")[1:]
    assert "(prefers-color-scheme: light)" in light
    assert "--accent: #7a1fa2;" in light
    assert "(prefers-color-scheme: dark)" in dark
    assert "--ground: #101225;" in dark
    assert 'content="#eef0f7"' in text
    assert 'content="#101225"' in text


def test_no_picture_means_none_of_ours_either() -> None:
    text = signin(Branding(shows_mark=False))
    assert "<svg" not in text
    assert 'rel="icon"' not in text


def test_a_page_of_no_host_is_nobodys() -> None:
    page = Pages().error(421, "unknown_host", scene=Scene(branding=FULL))
    assert "Acme" not in page.body.decode()
    assert "/@/static/" not in page.body.decode()


def test_languages_of_the_operators_are_spoken() -> None:
    ours = languages()
    german = language_of("de", {"signin": {"title": "Herein"}}, ours["en"].words, ours["de"])
    dutch = language_of("nl", {"language": {"name": "Nederlands"}}, ours["en"].words, ours["en"])
    spoken = Branding(languages=(german, dutch), language="nl")
    assert "Herein" in signin(spoken, languages="de")
    assert '<html lang="nl"' in signin(spoken)
    assert '<html lang="fr"' in signin(spoken, languages="fr")


@pytest.mark.parametrize("text", XSS)
def test_nothing_the_operator_writes_becomes_markup(text: str) -> None:
    words = language_of(
        "en",
        {"page": {"signed_in_as": f"{text.replace('{', '').replace('}', '')} {{who}}"}},
        languages()["en"].words,
        languages()["en"],
    )
    written = Branding(text=text, banner=text, footer=text, footer_links=((text, "/ok"),), languages=(words,))
    Inert(Pages().signin([CORP], Scene(host=text, who=text, branding=written)).body.decode())


# -- templates --------------------------------------------------------------------------------


def branded(**templates: str) -> Branding:
    return Branding(
        templates={f"{name}.html": text for name, text in templates.items()}, templates_at="/etc/pages"
    )


def test_a_whole_template_stands_in_for_ours() -> None:
    own = branded(
        signin="<!doctype html><title>{{ host }}</title>{{ say('signin.title') }}|{{ choices[0].href }}"
    )
    assert signin(own) == "<!doctype html><title>Acme</title>Sign in|/@corp/signin"
    assert "Nothing is here" in Pages().error(404, "not_found", scene=scene(own)).body.decode()


def test_a_template_may_build_on_ours_and_change_all_pages() -> None:
    own = branded(base="<!doctype html><main><h1>{{ title }}</h1>{% block content %}{% endblock %}</main>")
    assert signin(own).startswith("<!doctype html><main><h1>Sign in</h1>")


def test_values_are_escaped_in_the_operators_templates_too() -> None:
    own = branded(signin="<!doctype html>{{ host }}")
    page = Pages().signin([CORP], Scene(host="<b>", branding=own))
    assert page.body == b"<!doctype html>&lt;b&gt;"


BROKEN = [
    pytest.param(
        branded(signin="\n{{ nothing }}"),
        "/etc/pages/signin.html:2:1: undefined value: `nothing` is undefined",
        id="a name there is not",
    ),
    pytest.param(
        branded(signin='{% include "foot.html" %}', foot="\n\n{{ 1 / 0 }}"),
        "/etc/pages/foot.html:3:1: ",
        id="in a part of it",
    ),
    pytest.param(
        branded(signin='{{ say("no.such") }}'),
        "/etc/pages/signin.html: there is no text or file 'no.such'",
        id="a text there is not",
    ),
    pytest.param(
        branded(signin='{{ asset("x.css") }}'),
        "/etc/pages/signin.html: there is no text or file 'x.css'",
        id="a file there is not",
    ),
]


@pytest.mark.parametrize(("own", "said"), BROKEN)
def test_a_template_that_fails_is_told_of_and_ours_is_shown(own: Branding, said: str) -> None:
    heard: list[str] = []
    assert "Continue with Corp" in signin(own, Pages(failed=heard.append))
    assert len(heard) == 1
    assert heard[0].startswith(said)


@pytest.mark.parametrize(("own", "said"), BROKEN)
def test_a_rehearsal_finds_what_would_fail(own: Branding, said: str) -> None:
    with pytest.raises(ConfigError) as told:
        rehearse([own, own])
    assert [fault for fault in told.value.faults if not fault.startswith(said)] == []
    with pytest.raises(BrokenTemplate):
        signin(own)


def test_a_rehearsal_of_templates_that_work_says_nothing() -> None:
    rehearse([FULL, branded(signin='{% extends "base.html" %}{% block content %}{{ text }}{% endblock %}')])


def test_no_template_reaches_the_program_behind_it() -> None:
    """Threat: a template is data, also one that a stranger wrote."""
    for reached in (
        "say.__globals__",
        "say.__self__",
        "title.__class__",
        "brand.__class__",
        "asset.__self__",
    ):
        with pytest.raises(BrokenTemplate, match="undefined"):
            signin(branded(signin=f"{{{{ {reached} }}}}"))


# -- all pages --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("branding", [Branding(), FULL], ids=["plain", "branded"])
def test_every_sample_is_a_whole_page(name: str, branding: Branding) -> None:
    page: Page = SAMPLES[name](Pages(), Scene(request_id="x", host="a", who="Alice", branding=branding))
    text = page.body.decode()
    read = Inert(OUTSIDE.sub("", text))
    assert read.tags.count("h1") == read.tags.count("main") == 1
    assert len(re.findall(r' id="([^"]+)"', text)) == len(set(re.findall(r' id="([^"]+)"', text)))


def test_the_template_and_the_words_in_the_docs_work() -> None:
    page = (Path(__file__).parents[3] / "docs" / "branding.md").read_text("utf-8")
    [template] = re.findall(r"```html\n(.*?)```", page, re.DOTALL)
    words = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    german = language_of("de", words, languages()["en"].words, languages()["de"])
    own = Branding(templates={"signin.html": template}, languages=(german,))
    rehearse([own])
    text = signin(own, languages="de")
    assert "Bitte melden Sie sich mit Ihrem Firmenkonto an." in text
    assert "Weiter mit Corp" in text


def test_every_template_of_ours_is_in_the_docs() -> None:
    page = (Path(__file__).parents[3] / "docs" / "branding.md").read_text("utf-8")
    assert [name for name in templates() if f"`{name}`" not in page] == []
