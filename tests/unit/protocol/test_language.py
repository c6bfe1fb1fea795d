"""Which language is answered in: RFC 9110 section 12.5.4, RFC 4647 section 3.4."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.protocol.language import HEADER_LIMIT_CHARS, TAG_RE, negotiate

THERE = {"en": "en", "de": "de", "fr": "fr", "pt": "pt", "zh": "zh-CN", "zh-hans": "zh-CN", "zh-cn": "zh-CN"}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param("", "en", id="nothing said"),
        pytest.param("de", "de", id="the language itself"),
        pytest.param("DE", "de", id="in capitals"),
        pytest.param("de-AT", "de", id="a region"),
        pytest.param("pt-BR,pt;q=0.9,en;q=0.8", "pt", id="as a browser sends it"),
        pytest.param("zh", "zh-CN", id="a language that another tag serves"),
        pytest.param("zh-CN", "zh-CN", id="the tag itself"),
        pytest.param("zh-Hans-CN", "zh-CN", id="script and region"),
        pytest.param("zh-TW", "zh-CN", id="shortened until something is there"),
        pytest.param("de-x-bavarian", "de", id="a lone letter goes with what follows it"),
        pytest.param("nl, de", "de", id="the first wish is not there"),
        pytest.param("fr;q=0.3, de;q=0.7", "de", id="weights"),
        pytest.param("de, fr", "de", id="the earlier of two alike"),
        pytest.param("fr, de-CH", "fr", id="the earlier, not the more exact"),
        pytest.param("nl-NL", "en", id="nothing fits"),
        pytest.param("*", "en", id="anything"),
        pytest.param("nl, *;q=0.5", "en", id="else anything"),
        pytest.param("*, de;q=0.5", "en", id="anything first"),
        pytest.param("de;q=0, fr;q=0.1", "fr", id="refused"),
        pytest.param("de;q=0, de-AT", "en", id="refused with all its regions"),
        pytest.param("de;q=0.000", "en", id="refused alone"),
        pytest.param("en;q=0, *, de;q=0.1", "de", id="anything but the default"),
        pytest.param("de;q=2, fr", "fr", id="a weight that is none"),
        pytest.param("de;q=, fr", "fr", id="an empty weight"),
        pytest.param("de;x=1, fr", "fr", id="a parameter that is no weight"),
        pytest.param("de ; q=0.5 , fr ;q=0.9", "fr", id="spaces"),
        pytest.param(",,;q=1,de", "de", id="empty pieces"),
        pytest.param("d_e, fr", "fr", id="no language tag"),
        pytest.param("../../etc/passwd", "en", id="a path"),
        pytest.param("nl," * HEADER_LIMIT_CHARS + "de", "en", id="too long to be read to its end"),
    ],
)
def test_the_language_of_an_answer(accept: str, expected: str) -> None:
    assert negotiate(accept, THERE, "en") == expected


@given(st.text())
def test_whatever_is_sent_the_answer_is_a_language_there_is(accept: str) -> None:
    assert negotiate(accept, THERE, "en") in set(THERE.values())


@pytest.mark.parametrize("tag", ["de", "pt-BR", "zh-Hans-CN", "sr-Latn"])
def test_tags(tag: str) -> None:
    assert TAG_RE.fullmatch(tag)


@pytest.mark.parametrize("tag", ["", "d", "de_AT", "de-", "../de", "de.json", "deutschland"])
def test_what_is_no_tag(tag: str) -> None:
    assert not TAG_RE.fullmatch(tag)
