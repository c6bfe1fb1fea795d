"""The table of codes and the languages: complete, and every page of it whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import pytest

from tests.unit.web.asgi import PAGES, Inert
from vestibule import errors
from vestibule.config.page import languages
from vestibule.core import policy
from vestibule.core.rule import LISTED
from vestibule.core.wording import PROGRAM, places_of
from vestibule.web.pages import Scene
from vestibule.web.texts import TEXTS, known_code

WAYS = {"again", "home", "sign_in", "switch", "other_way", "sign_out", "account"}
SCENE = Scene(request_id="req-0123", host="forum", who="Alice", rd="/a", again="/b", other_ways=True)
LANGUAGES = languages()
ENGLISH = LANGUAGES["en"]


#: ClientError itself is only raised with a code of its own
ERRORS = [
    error
    for error in vars(errors).values()
    if isinstance(error, type)
    and issubclass(error, errors.VestibuleError)
    and error is not errors.ClientError
    and error
    is not errors.IssueError  # told to operators by log and API, in the authority's words; no page has it
]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_has_words_with_its_status(error: type[errors.VestibuleError]) -> None:
    assert TEXTS[error.code].status == error.status


@pytest.mark.parametrize("code", errors.FlowError.CODES)
def test_every_way_a_flow_ends_badly_leads_back_to_sign_in(code: str) -> None:
    assert ("again", "sign_in_again") in TEXTS[code].actions
    page = Inert(PAGES.error(0, code, scene=SCENE).body.decode())
    assert "/b" in page.links


def test_every_code_of_the_policy_has_words() -> None:
    source = Path(policy.__file__).read_text("utf-8")
    codes = {code: int(status) for status, code in re.findall(r'Deny\((\d+), "(\w+)"', source)}
    assert codes
    assert {code: TEXTS[code].status for code in codes} == codes


@pytest.mark.parametrize("code", TEXTS)
@pytest.mark.parametrize("tag", LANGUAGES)
def test_each_page_says_what_happened_and_what_to_do(tag: str, code: str) -> None:
    text, language = TEXTS[code], LANGUAGES[tag]
    assert {way for way, _ in text.actions} <= WAYS
    page = PAGES.error(
        0, code, scene=Scene(request_id="req-0123", host="forum", who="Alice", other_ways=True, languages=tag)
    )
    assert page.status == text.status
    assert ("content-language", tag) in page.headers
    read = Inert(page.body.decode())
    assert f'<html lang="{tag}" dir="ltr">' in page.body.decode()
    words = " ".join("".join(read.words).split())
    name = f"{text.section}.{code}"
    said = [f"{name}.title", f"{name}.text", *(f"action.{label}" for _, label in text.actions)]
    if language.says(f"{name}.hint"):
        said.append(f"{name}.hint")
    assert [key for key in said if " ".join(language.say(key).split()) not in words] == []
    assert " ".join(language.say("page.reference", id="req-0123").split()) in words
    assert read.tags.count("h1") == 1


@pytest.mark.parametrize(
    ("code", "status", "same_as"),
    [
        pytest.param("not_found", 0, "not_found", id="known"),
        pytest.param("bad_header", 400, "bad_request", id="a code of the parser"),
        pytest.param("too_many_headers", 431, "header_too_large", id="431"),
        pytest.param("whatever", 404, "not_found", id="404"),
        pytest.param("whatever", 405, "method_not_allowed", id="405"),
        pytest.param("whatever", 413, "body_too_large", id="413"),
        pytest.param("whatever", 414, "target_too_long", id="414"),
        pytest.param("whatever", 418, "odd", id="418"),
        pytest.param("whatever", 421, "unknown_host", id="421"),
        pytest.param("whatever", 502, "backend_unavailable", id="502"),
        pytest.param("whatever", 503, "unavailable", id="503"),
        pytest.param("whatever", 504, "backend_timeout", id="504"),
        pytest.param("whatever", 500, "internal_error", id="500"),
        pytest.param("whatever", 0, "internal_error", id="nothing known"),
    ],
)
def test_an_unknown_code_gets_the_words_of_its_status(code: str, status: int, same_as: str) -> None:
    assert known_code(code, status) == same_as


def test_an_unknown_4xx_keeps_its_status() -> None:
    assert PAGES.error(418, "teapot").status == 418
    assert PAGES.problem(418, "teapot").status == 418


# -- languages --------------------------------------------------------------------------------


def test_the_languages_are_those_that_were_asked_for() -> None:
    assert set(LANGUAGES) >= {"en", "de", "fr", "es", "pt", "ja", "zh-CN"}


@pytest.mark.parametrize("tag", LANGUAGES)
def test_each_language_says_everything_with_its_places(tag: str) -> None:
    """The loader has refused a file that does not; here stands that it looked."""
    words = LANGUAGES[tag].words
    assert {key: places_of(text) for key, text in words.items()} == {
        key: places_of(text) for key, text in ENGLISH.words.items()
    }


@pytest.mark.parametrize("tag", sorted(set(LANGUAGES) - {"en"}))
def test_no_language_repeats_the_english(tag: str) -> None:
    words = LANGUAGES[tag].words
    same = [key for key, text in words.items() if text == ENGLISH.words[key] and not key.startswith(PROGRAM)]
    assert same == []


@pytest.mark.parametrize("tag", LANGUAGES)
def test_words_are_set_as_people_set_them(tag: str) -> None:
    """No straight quotes, no double spaces, no space at an end; French has its own rules of spacing."""
    words = {key: text for key, text in LANGUAGES[tag].words.items() if not key.startswith(PROGRAM)}
    assert [key for key, text in words.items() if re.search(r"['\"]|  |^\s|\s$|\.\.\.", text)] == []
    if tag == "fr":
        assert [
            key for key, text in words.items() if re.search(r"[^\u00a0\u202f][;?!]|[^\u00a0] :", text)
        ] == []


def test_every_code_in_a_language_is_one_of_the_table() -> None:
    said = {key.split(".")[1] for key in ENGLISH.words if key.startswith(("error.", PROGRAM))}
    assert said == set(TEXTS)


#: kinds of rules that a page can say a refusal came from: all there are
RULES = {"decides", "no_email", "anyone", "email", "domain", "user", "claim", "network", "token", *LISTED}


def test_every_text_is_said_somewhere() -> None:
    """What no page says need not be written in seven languages; `form.` is for whoever makes a form."""
    package = files("vestibule.web")
    heard = "\n".join([*_texts(package), *_texts(package / "templates")])
    labels = {label for text in TEXTS.values() for _, label in text.actions}
    unheard = []
    for key in ENGLISH.words:
        section, _, name = key.partition(".")
        page, _, part = key.rpartition(".")
        is_heard = (
            section in {"error", "program", "form"}
            or f'"{key}"' in heard
            or (section == "rule" and name in RULES)
            or (section == "action" and (name in labels or f'"{name}"' in heard))
            or (part in {"title", "text", "hint"} and f'"{page}"' in heard)
        )
        if not is_heard:
            unheard.append(key)
    assert unheard == []


def _texts(folder: Traversable) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.name.endswith((".py", ".html")):
            yield entry.read_text("utf-8")
