"""Languages: what one must say, what is wrong with one, which one a person gets."""

from __future__ import annotations

from typing import Any

import pytest

from vestibule.core.wording import Wording, WordingError, english_of, fill, language_of

ABOUT = {"name": "English", "direction": "ltr"}
ENGLISH = english_of(
    {
        "language": ABOUT,
        "signin": {"title": "Sign in", "continue": "Continue with {provider}"},
        "program": {"gone": {"title": "Gone"}},
    }
)
GERMAN = {
    "language": {"name": "Deutsch", "direction": "ltr"},
    "signin": {"title": "Anmelden", "continue": "Weiter mit {provider}"},
}


def german(**changes: Any) -> dict[str, Any]:
    return {**GERMAN, **changes}


def test_a_language_is_one_table_of_names() -> None:
    found = language_of("de", GERMAN, ENGLISH.words)
    assert (found.tag, found.name, found.direction) == ("de", "Deutsch", "ltr")
    assert found.say("signin.continue", provider="Google") == "Weiter mit Google"
    assert not found.says("signin.hint")


def test_what_programs_read_stays_english() -> None:
    assert language_of("de", GERMAN, ENGLISH.words).say("program.gone.title") == "Gone"


@pytest.mark.parametrize(
    ("tag", "data", "fault"),
    [
        pytest.param("de_AT", GERMAN, "`de_AT` is no language tag: de, pt-BR", id="tag"),
        pytest.param("de", [], "is no object: { … }", id="no object"),
        pytest.param("de", german(signin="x"), "there is no text `signin`", id="a text for an object"),
        pytest.param(
            "de", german(signin={"title": 1}), "`signin.title` is an object: { … }", id="a number for a text"
        ),
        pytest.param(
            "de", german(signin={"title": "x"}), "`signin.continue` is missing", id="a text is missing"
        ),
        pytest.param("de", german(more="x"), "there is no text `more`", id="a text too much"),
        pytest.param(
            "de",
            german(signin={"title": " ", "continue": "{provider}"}),
            "`signin.title` is empty",
            id="empty",
        ),
        pytest.param(
            "de",
            german(signin={"title": "x", "continue": "Weiter mit {anbieter}"}),
            "`signin.continue` must have the places of the English text: {provider}",
            id="another place",
        ),
        pytest.param(
            "de",
            german(signin={"title": "Anmelden {x}", "continue": "{provider}"}),
            "`signin.title` must have the places of the English text: none",
            id="a place too much",
        ),
        pytest.param("de", german(language={"direction": "ltr"}), "`language.name` is missing", id="name"),
        pytest.param(
            "de",
            german(language={"name": "x", "direction": "up"}),
            "`language.direction` is ltr or rtl",
            id="direction",
        ),
        pytest.param(
            "de",
            german(language={"name": "x", "direction": "ltr", "also": "zh"}),
            '`language.also` is a list of language tags: ["zh-Hans"]',
            id="also",
        ),
    ],
)
def test_each_fault_names_its_key(tag: str, data: Any, fault: str) -> None:
    with pytest.raises(WordingError) as told:
        language_of(tag, data, ENGLISH.words)
    assert fault in str(told.value).splitlines()


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(WordingError) as told:
        language_of("de", german(signin={}, more="x"), ENGLISH.words)
    assert len(str(told.value).splitlines()) == 3


def test_a_known_language_may_be_changed_in_part() -> None:
    base = language_of("de", GERMAN, ENGLISH.words)
    changed = language_of("de", {"signin": {"title": "Herein"}}, ENGLISH.words, base)
    assert changed.say("signin.title") == "Herein"
    assert changed.say("signin.continue", provider="x") == "Weiter mit x"
    assert changed.name == "Deutsch"


def test_english_may_be_changed_in_part() -> None:
    changed = language_of("en", {"signin": {"title": "Come in"}}, ENGLISH.words, ENGLISH)
    assert changed.say("signin.title") == "Come in"


def test_what_stands_in_a_value_is_no_place() -> None:
    assert fill("{who} and {what}", {"who": "{what}", "what": "x"}) == "{what} and x"


def test_a_language_serves_its_tag_and_what_it_names() -> None:
    chinese = language_of(
        "zh-CN", german(language={"name": "中文", "direction": "ltr", "also": ["zh"]}), ENGLISH.words
    )
    taiwan = language_of(
        "zh-TW",
        german(language={"name": "中文", "direction": "ltr", "also": ["zh-Hant", "zh-CN"]}),
        ENGLISH.words,
    )
    wording = Wording([ENGLISH, chinese, taiwan])
    tags = [wording.choose(accept).tag for accept in ("zh-HK", "zh-Hant-HK", "zh-CN", "nl")]
    assert tags == ["zh-CN", "zh-TW", "zh-CN", "en"]


def test_another_language_may_be_the_one_for_who_names_none() -> None:
    wording = Wording([ENGLISH, language_of("de", GERMAN, ENGLISH.words)], "de")
    assert wording.choose("").tag == "de"
    assert wording.choose("en-GB").tag == "en"
    assert wording.english() is ENGLISH
