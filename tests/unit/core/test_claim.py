"""Claims read by name: dotted paths, texts that can be shown, lists that are lists or a refusal."""

from __future__ import annotations

from typing import Any

import pytest

from vestibule.core.claim import (
    ENTRIES_MAX,
    LISTS,
    at,
    further,
    identity_of,
    is_number,
    lists_of,
    subject_of,
    text_of,
    texts_of,
    with_lists,
)
from vestibule.errors import ProviderInvalid


@pytest.mark.parametrize(
    ("document", "path", "value"),
    [
        ({"a": 1}, "a", 1),
        ({"a": {"b": {"c": 1}}}, "a.b.c", 1),
        ({"a.b": 1, "a": {"b": 2}}, "a.b", 1),
        ({"https://example.com/roles": ["x"]}, "https://example.com/roles", ["x"]),
        ({"https://example.com": {"roles": ["x"]}}, "https://example.com.roles", ["x"]),
        ({"resource_access": {"my.app": {"roles": ["x"]}}}, "resource_access.my.app.roles", ["x"]),
        ({"a": "text"}, "a.b", None),
        ({"a": ["x"]}, "a.0", None),
        ({}, "a", None),
        ({}, "", None),
    ],
)
def test_a_path_leads_into_objects(document: Any, path: str, value: Any) -> None:
    assert at(document, path) == value


@pytest.mark.parametrize("value", [None, 5, ["a"], "a\nb", "a\x00", {"a": 1}])
def test_a_claim_that_cannot_be_shown_is_empty(value: object) -> None:
    assert text_of(value) == ""


def test_a_list_has_each_string_once_and_no_empty_one() -> None:
    assert texts_of(["a", "", "b", "a"], "groups") == ("a", "b")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("admins", id="text"),
        pytest.param({"a": 1}, id="object"),
        pytest.param(5, id="number"),
        pytest.param(True, id="true"),
        pytest.param(["a", 5], id="a number among them"),
        pytest.param([["a"]], id="a list in the list"),
        pytest.param(["a", None], id="null among them"),
        pytest.param(["a", "b\nc"], id="a line end"),
        pytest.param(["g"] * (ENTRIES_MAX + 1), id="too many"),
    ],
)
def test_a_list_of_another_shape_is_a_refusal_and_never_no_groups(value: object) -> None:
    with pytest.raises(ProviderInvalid) as caught:
        texts_of(value, "groups")
    assert caught.value.code == "claim_invalid"
    assert "groups" in caught.value.detail


def test_a_bare_text_is_a_list_of_one_where_that_is_customary() -> None:
    assert texts_of("admins", "group", is_lone_text=True) == ("admins",)


def test_what_the_document_does_not_speak_of_is_unknown() -> None:
    mapping = {"groups": "groups", "orgs": "orgs", "roles": ""}
    document = {"groups": [], "orgs": None, "roles": ["x"]}
    assert lists_of(document, mapping) == {"groups": ()}
    identity = identity_of(document, mapping, client="op", issuer="i", subject="s", email="")
    assert identity.groups == ()
    assert identity.unknown == tuple(name for name in LISTS if name != "groups")


def test_lists_learned_later_are_known_from_then_on() -> None:
    identity = identity_of({}, {}, client="op", issuer="i", subject="s", email="")
    identity = with_lists(identity, orgs=("a",), teams=())
    assert identity.orgs == ("a",)
    assert set(identity.unknown) == {"groups", "projects", "repos", "roles"}


def test_other_names_are_further_claims() -> None:
    mapping = {"team": "org.team", "groups": "groups", "login": "upn", "n": "nonce", "gone": "gone"}
    document = {"org": {"team": "blue"}, "groups": ["g"], "upn": "u", "nonce": "x"}
    assert further(document, mapping) == {"team": "blue"}


def test_what_no_store_can_hold_is_not_kept() -> None:
    assert further({"x": "\ud800", "y": 1}, {"x": "x", "y": "y"}) == {"y": 1}


@pytest.mark.parametrize(
    ("document", "path", "subject"),
    [
        ({"sub": "a", "id": 5}, "", "a"),
        ({"id": 5}, "", "5"),
        ({"id": 0}, "", "0"),
        ({"uid": 7, "sub": "a"}, "uid", "7"),
        ({"data": {"id": "x"}}, "data.id", "x"),
    ],
)
def test_a_subject_is_text_or_a_whole_number(document: Any, path: str, subject: str) -> None:
    assert subject_of(document, path) == subject


@pytest.mark.parametrize(
    "document", [{}, {"sub": ""}, {"sub": True}, {"sub": 1.5}, {"sub": None}, {"sub": ["a"]}, {"sub": "a\nb"}]
)
def test_nothing_else_is_a_subject(document: Any) -> None:
    with pytest.raises(ProviderInvalid):
        subject_of(document)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("0", True), ("0815", True), ("", False), ("-1", False), ("1.0", False), ("１", False), ("²", False)],
)
def test_a_number_is_ascii_digits(text: str, is_one: bool) -> None:
    assert is_number(text) is is_one
