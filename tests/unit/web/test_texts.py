"""The table of words: complete, and every page of it whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.web.asgi import PAGES, Inert
from vestibule import errors
from vestibule.core import policy
from vestibule.web.pages import Scene
from vestibule.web.texts import TEXTS, text_of

WAYS = {"again", "home", "sign_in", "switch", "other_way", "sign_out"}
SCENE = Scene(request_id="req-0123", host="forum", who="Alice", rd="/a", again="/b", other_ways=True)


#: ClientError itself is only raised with a code of its own
ERRORS = [
    error
    for error in vars(errors).values()
    if isinstance(error, type)
    and issubclass(error, errors.VestibuleError)
    and error is not errors.ClientError
]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_has_words_with_its_status(error: type[errors.VestibuleError]) -> None:
    assert TEXTS[error.code].status == error.status


@pytest.mark.parametrize("code", errors.FlowError.CODES)
def test_every_way_a_flow_ends_badly_leads_back_to_sign_in(code: str) -> None:
    assert ("again", "Sign in again") in TEXTS[code].actions
    page = Inert(PAGES.error(0, code, scene=SCENE).body.decode())
    assert "/b" in page.links


def test_every_code_of_the_policy_has_words() -> None:
    source = Path(policy.__file__).read_text("utf-8")
    codes = {code: int(status) for status, code in re.findall(r'Deny\((\d+), "(\w+)"', source)}
    assert codes
    assert {code: TEXTS[code].status for code in codes} == codes


@pytest.mark.parametrize("code", TEXTS)
def test_each_page_says_what_happened_and_what_to_do(code: str) -> None:
    text = TEXTS[code]
    assert {way for way, _ in text.actions} <= WAYS
    page = PAGES.error(0, code, scene=SCENE)
    assert page.status == text.status
    read = Inert(page.body.decode())
    words = " ".join("".join(read.words).split())
    assert text.title in words
    assert text.text in words
    assert text.hint in words
    assert "Reference: req-0123" in words
    assert all(label in words for _, label in text.actions)
    assert read.tags.count("h1") == 1


@pytest.mark.parametrize(
    ("code", "status", "same_as"),
    [
        pytest.param("bad_header", 400, "bad_request", id="a code of the parser"),
        pytest.param("too_many_headers", 431, "header_too_large", id="431"),
        pytest.param("whatever", 404, "not_found", id="404"),
        pytest.param("whatever", 405, "method_not_allowed", id="405"),
        pytest.param("whatever", 413, "body_too_large", id="413"),
        pytest.param("whatever", 414, "target_too_long", id="414"),
        pytest.param("whatever", 421, "unknown_host", id="421"),
        pytest.param("whatever", 502, "backend_unavailable", id="502"),
        pytest.param("whatever", 503, "unavailable", id="503"),
        pytest.param("whatever", 504, "backend_timeout", id="504"),
        pytest.param("whatever", 500, "internal_error", id="500"),
        pytest.param("whatever", 0, "internal_error", id="nothing known"),
    ],
)
def test_an_unknown_code_gets_the_words_of_its_status(code: str, status: int, same_as: str) -> None:
    assert text_of(code, status) is TEXTS[same_as]


def test_an_unknown_4xx_is_called_by_its_phrase() -> None:
    assert text_of("teapot", 418).title == "I'm a Teapot"
    assert text_of("odd", 499).title == "This request can’t be used"
    assert PAGES.error(418, "teapot").status == 418
