"""Base64 for URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.protocol import base64url


@given(st.binary(max_size=100))
def test_what_was_encoded_is_decoded(raw: bytes) -> None:
    text = base64url.encode(raw)
    assert base64url.decode(text) == raw
    assert not set(text) & set("+/=")


@pytest.mark.parametrize(
    "text", ["QQ==", "QQ=", "QR", "Q", "Q Q", "QQ\n", "Q+", "Q/", "é", "QUFB=", "Q.Q", "\x00"]
)
def test_another_spelling_is_none(text: str) -> None:
    assert base64url.decode(text) is None


@given(st.text(max_size=20))
def test_any_text_has_one_spelling_or_none(text: str) -> None:
    raw = base64url.decode(text)
    assert raw is None or base64url.encode(raw) == text
