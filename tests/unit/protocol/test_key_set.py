"""A set of public keys: what is taken of it, and what is none."""

from __future__ import annotations

import pytest

from vestibule.protocol.document import DocumentError
from vestibule.protocol.key_set import KEYS_MAX, keys_of

KEY = {"kty": "EC", "crv": "P-256", "kid": "one"}


def test_the_keys_are_taken_and_what_is_none_is_left_out() -> None:
    assert keys_of({"keys": [KEY, "two", None, 3], "spiffe_sequence": 12}) == (KEY,)
    assert keys_of({"keys": []}) == ()
    assert len(keys_of({"keys": [KEY] * KEYS_MAX})) == KEYS_MAX


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ([KEY], "answer_shape"),
        (None, "answer_shape"),
        ({}, "keys_missing"),
        ({"keys": {"one": KEY}}, "keys_missing"),
        ({"keys": [KEY] * (KEYS_MAX + 1)}, "keys_too_many"),
    ],
    ids=["a list", "nothing", "no keys", "keys by name", "too many"],
)
def test_what_is_no_key_set_is_told_apart(document: object, code: str) -> None:
    with pytest.raises(DocumentError) as caught:
        keys_of(document)
    assert caught.value.code == code
    assert "one" not in str(caught.value)
