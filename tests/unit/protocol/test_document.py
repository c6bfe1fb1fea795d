"""JSON as providers send it: read as one value, or not at all."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.protocol.document import DocumentError, json_of, without_twins

UNREADABLE = {
    "nothing": b"",
    "a page": b"<html></html>",
    "half": b'{"a": 1',
    "two": b"{}{}",
    "a member twice": b'{"sub": "eve", "sub": "alice"}',
    "a member twice, deep": b'{"a": [{"b": 1, "b": 1}]}',
    "a member twice, written in two ways": b'{"sub": 1, "s\\u0075b": 2}',
    "NaN": b'{"a": NaN}',
    "Infinity": b"[Infinity]",
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "half a surrogate pair": b'{"a": "\\ud800"}',
    "lists without end": b"[" * 1_000_000,
    "objects without end": b'{"a":' * 150_000,
    "lists deep in each other": b"[" * 100_000 + b"]" * 100_000,
    "a token in rubbish": b"canary{",
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_two_readers_might_read_as_two_is_not_read(body: bytes) -> None:
    with pytest.raises(DocumentError) as caught:
        json_of(body)
    assert caught.value.code == "answer_unreadable"
    assert "canary" not in f"{caught.value} {caught.value.__cause__}"


KINDS = [
    "",
    "application/json",
    "Application/JSON; charset=utf-8",
    "application/jwk-set+json",
    "application/vnd.github+json;v=3",
    "text/plain; charset=utf-8",
    "text/javascript",
    "application/octet-stream",
]


@pytest.mark.parametrize("kind", KINDS)
def test_json_is_read_under_the_names_it_is_found_by(kind: str) -> None:
    assert json_of(b'{"a": [1, null]}', kind) == {"a": [1, None]}


@pytest.mark.parametrize(
    "kind",
    [
        "text/html",
        "TEXT/HTML; charset=utf-8",
        "application/xml",
        "image/png",
        "multipart/form-data",
        "json",
        "text/x+json",
    ],
)
def test_what_is_sent_as_something_else_is_not_read_as_json(kind: str) -> None:
    """Threat: a page that anybody may put up at the provider's host."""
    with pytest.raises(DocumentError) as caught:
        json_of(b"{}", kind)
    assert caught.value.code == "answer_type"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(JSON)
def test_what_is_written_is_read(value: Any) -> None:
    assert json_of(msgspec.json.encode(value)) == value


def test_twins_are_no_object() -> None:
    assert without_twins([("a", 1), ("b", 2)]) == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match="twice"):
        without_twins([("a", 1), ("a", 1)])
