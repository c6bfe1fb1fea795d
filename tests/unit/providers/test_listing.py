"""Lists in pages: read to the end or not at all, and never asked for elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.providers.player import play, reply
from vestibule.errors import ProviderInvalid, ProviderUnavailable
from vestibule.model import Secret
from vestibule.providers.kit import Get, Reply
from vestibule.providers.listing import (
    PAGES_MAX,
    Next,
    by_link,
    by_member,
    by_token,
    listed,
    object_at,
    only_page,
)

URL = "https://api.example/v1/groups?limit=2"
TOKEN = Secret("at-1")


def link(target: str) -> str:
    return f'<https://api.example/first>; rel="first", <{target}>; rel="next"'


def read(*answers: Any, **options: Any) -> tuple[list[str], list[str]]:
    """The names found, and the URLs asked."""
    found, asked = play(listed(URL, TOKEN, **options), *answers)
    assert all(isinstance(ask, Get) and ask.bearer == TOKEN for ask in asked)
    return [entry["name"] for entry in found], [ask.url for ask in asked if isinstance(ask, Get)]


NEXT = "https://api.example/v1/groups?page=2"
WAYS: dict[str, tuple[dict[str, Any], Reply, Reply, str]] = {
    "Link header": (
        {},
        reply([{"name": "a"}], link=link(NEXT)),
        reply([{"name": "b"}], link='<https://api.example/v1/groups?page=1>; rel="prev"'),
        NEXT,
    ),
    "next": (
        {"items": "values", "following": by_member("next")},
        reply({"values": [{"name": "a"}], "next": NEXT}),
        reply({"values": [{"name": "b"}]}),
        NEXT,
    ),
    "a relative next": (
        {"items": "values", "following": by_member("next")},
        reply({"values": [{"name": "a"}], "next": "/v1/groups?page=2"}),
        reply({"values": [{"name": "b"}], "next": None}),
        NEXT,
    ),
    "nextLink": (
        {"items": "value", "following": by_member("@odata.nextLink")},
        reply({"value": [{"name": "a"}], "@odata.nextLink": NEXT}),
        reply({"value": [{"name": "b"}]}),
        NEXT,
    ),
    "nextPageToken": (
        {"items": "groups", "following": by_token("nextPageToken", "pageToken"), "may_lack": True},
        reply({"groups": [{"name": "a"}], "nextPageToken": "t&2"}),
        reply({"groups": [{"name": "b"}], "nextPageToken": ""}),
        "https://api.example/v1/groups?limit=2&pageToken=t%262",
    ),
}


@pytest.mark.parametrize(("options", "first", "second", "url"), WAYS.values(), ids=WAYS.keys())
def test_a_list_is_read_to_its_last_page(options: Any, first: Reply, second: Reply, url: str) -> None:
    assert read(first, second, **options) == (["a", "b"], [URL, url])


def test_a_token_takes_the_place_of_the_one_before() -> None:
    options: dict[str, Any] = {"items": "g", "following": by_token("n", "t")}
    pages = [reply({"g": [], "n": "1"}), reply({"g": [], "n": "2"}), reply({"g": []})]
    assert read(*pages, **options)[1] == [URL, f"{URL}&t=1", f"{URL}&t=2"]


@pytest.mark.parametrize(
    ("header", "following"),
    [
        ("", None),
        ('<https://a/2>; rel="next"', "https://a/2"),
        ("<https://a/2>; rel=next", "https://a/2"),
        ('<https://a/2>; title="x"; rel="last next"', "https://a/2"),
        ('<https://a/1>; rel="prev", <https://a/2>; REL="NEXT"', "https://a/2"),
        ('<https://a/1>; rel="nextish"', None),
        ('<https://a/1>; title="rel=next"', None),
        ("https://a/2; rel=next", None),
    ],
)
def test_a_link_header_names_the_next_page(header: str, following: str | None) -> None:
    assert by_link(URL, reply([], link=header), []) == following


@pytest.mark.parametrize("options", [{}, {"following": only_page}])
def test_a_list_may_be_one_page(options: Any) -> None:
    assert read(reply([{"name": "a"}]), **options) == (["a"], [URL])


def test_what_is_left_out_is_empty_only_where_the_api_is_known_to_leave_it_out() -> None:
    assert read(reply({}), items="groups", may_lack=True, following=only_page) == ([], [URL])
    with pytest.raises(ProviderInvalid):
        read(reply({}), items="groups", following=only_page)


ELSEWHERE = (
    "https://evil.example/v1/groups",
    "https://api.example.evil.example/v1/groups",
    "//evil.example/v1/groups",
    "http://api.example/v1/groups",
    "https://api.example:8443/v1/groups",
    "https://api.example@evil.example/",
    "https://user@api.example/v1/groups?page=2",
    "https:\\\\evil.example/",
    "https://[evil",
    "ftp://api.example/",
    "javascript:alert(1)",
)


@pytest.mark.parametrize("target", ELSEWHERE)
@pytest.mark.parametrize("is_header", [True, False], ids=["in a header", "in a member"])
def test_a_next_page_elsewhere_does_not_get_the_token(target: str, is_header: bool) -> None:
    page = reply([{"name": "a"}], link=link(target)) if is_header else reply({"values": [], "next": target})
    options: Any = {} if is_header else {"items": "values", "following": by_member("next")}
    with pytest.raises(ProviderInvalid) as caught:
        read(page, **options)
    assert caught.value.code == "list_elsewhere"


@pytest.mark.parametrize("target", [5, True, ["x"], {"href": NEXT}])
@pytest.mark.parametrize("following", [by_member("next"), by_token("next", "page")], ids=["URL", "token"])
def test_a_next_page_of_the_wrong_type_is_no_end(target: Any, following: Next) -> None:
    with pytest.raises(ProviderInvalid):
        read(reply({"values": [], "next": target}), items="values", following=following)


def test_the_same_origin_may_be_written_with_its_port() -> None:
    first = reply([{"name": "a"}], link=link("https://API.example:443/v1/groups?page=2"))
    assert read(first, reply([]))[0] == ["a"]


def test_pages_that_lead_in_a_circle_are_no_list() -> None:
    with pytest.raises(ProviderInvalid) as caught:
        read(reply([], link=link(NEXT)), reply([], link=link(URL)))
    assert caught.value.code == "list_endless"


def test_a_list_without_end_is_given_up_on() -> None:
    pages = [reply([], link=link(f"{URL}&page={number}")) for number in range(PAGES_MAX)]
    with pytest.raises(ProviderInvalid) as caught:
        read(*pages)
    assert caught.value.code == "list_endless"


BAD_PAGES: dict[str, Any] = {
    "an error": reply({"message": "no"}, 404),
    "forbidden": reply({"message": "no"}, 403),
    "not signed in": reply({"message": "no"}, 401),
    "no list": reply({"message": "no"}),
    "null": reply(None),
    "HTML": reply(b"<html></html>", kind="text/html"),
    "HTML that calls itself JSON": reply(b"<html></html>"),
    "half of it": reply(b'[{"name": "b"}'),
    "texts in the list": reply(["b"]),
    "a redirect nobody follows": reply([], 304),
}


@pytest.mark.parametrize("bad", BAD_PAGES.values(), ids=BAD_PAGES.keys())
def test_a_page_that_fails_makes_the_whole_list_unknown(bad: Reply) -> None:
    with pytest.raises(ProviderInvalid):
        read(reply([{"name": "a"}], link=link(NEXT)), bad)


BAD_MEMBERS: tuple[Any, ...] = (
    [],
    {"values": None},
    {"values": {"name": "a"}},
    {"values": ["a"]},
    {},
    "a",
    5,
)


@pytest.mark.parametrize("page", BAD_MEMBERS)
def test_a_list_in_a_member_is_a_list_of_objects(page: Any) -> None:
    with pytest.raises(ProviderInvalid):
        read(reply(page), items="values", following=only_page)


LATER: dict[str, Any] = {
    "too many requests": reply({}, 429),
    "bad gateway": reply({}, 502),
    "GitHub's rate limit": reply({}, 403, **{"x-ratelimit-remaining": "0"}),
    "GitHub's secondary rate limit": reply({}, 403, **{"retry-after": "60"}),
    "no answer": ProviderUnavailable("down"),
}


@pytest.mark.parametrize("answer", LATER.values(), ids=LATER.keys())
def test_a_limit_and_an_outage_say_nothing_about_the_person(answer: Any) -> None:
    with pytest.raises(ProviderUnavailable):
        read(reply([{"name": "a"}], link=link(NEXT)), answer)
    with pytest.raises(ProviderUnavailable):
        play(object_at(URL, TOKEN), answer)


def test_a_rate_limit_that_is_not_reached_makes_a_refusal_no_outage() -> None:
    with pytest.raises(ProviderInvalid) as caught:
        play(object_at(URL, TOKEN), reply({}, 403, **{"x-ratelimit-remaining": "4999"}))
    assert caught.value.code == "api_refused"


def test_a_token_that_is_taken_no_more_is_told_from_a_question_that_is_refused() -> None:
    for status, code in ((401, "token_refused"), (403, "api_refused"), (404, "api_status")):
        with pytest.raises(ProviderInvalid) as caught:
            play(object_at(URL, TOKEN), reply({}, status))
        assert caught.value.code == code


@pytest.mark.parametrize("body", [[], "a", 5, None], ids=repr)
def test_an_object_is_an_object(body: Any) -> None:
    with pytest.raises(ProviderInvalid):
        play(object_at(URL, TOKEN), reply(body))


def test_that_there_is_no_list_is_an_answer_only_where_it_may_be_gone() -> None:
    assert read(reply({}, 404), may_be_gone=True) == ([], [URL])
    for answers in ([reply({}, 403)], [reply([], link=link(NEXT)), reply({}, 404)]):
        with pytest.raises(ProviderInvalid):
            read(*answers, may_be_gone=True)


def test_every_reply_is_looked_at_before_it_counts() -> None:
    seen: list[int] = []
    with pytest.raises(ProviderInvalid):
        read(reply([], link=link(NEXT)), reply({}, 403), look=lambda reply: seen.append(reply.status))
    assert seen == [200, 403]
