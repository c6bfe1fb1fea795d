"""Basic and Bearer credentials: one reading or none."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.model import Secret
from vestibule.protocol import basic
from vestibule.protocol.basic import Basic


def b64(text: str | bytes) -> bytes:
    return base64.b64encode(text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", ("Aladdin", "open sesame")),
        (b"Basic dGVzdDoxMjPCow==", ("test", "123£")),
        (b"BASIC  " + b64("a:b"), ("a", "b")),
        (b"Basic " + b64("a:b:c:"), ("a", "b:c:")),
        (b"Basic " + b64(":b"), ("", "b")),
        (b"Basic " + b64("a:"), ("a", "")),
        (b"Basic " + b64(" Alice :b"), (" Alice ", "b")),
        *(
            (value, None)
            for value in (
                b"",
                b"Basic",
                b"Basic ",
                b"Basic=" + b64("a:b"),
                b"Basic" + b64("a:b"),
                b" Basic " + b64("a:b"),
                b"Basic " + b64("a:b") + b" ",
                b"Basic " + b64("a:b") + b", x",
                b"Basic " + b64("ab"),
                b"Basic YTpi=",
                b"Basic YTp",
                b"Basic YTo",
                b"Basic YTp=",
                b"Basic YR==",
                b"Basic YTpiYx==",
                b"Basic YT-_",
                b"Basic \xff",
                b"Basic " + b64(b"a:\xe9"),
                b"Basic " + b64("a:b\n"),
                b"Basic " + b64("a\0:b"),
                b"Basic " + b64("a:\x7f"),
                b"Basic " + b64("a:\x85"),
                b"Bearer " + b64("a:b"),
                b"Basic " + b64("a:" + "x" * basic.MAX_BYTES),
            )
        ),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_basic_credentials(value: bytes, expected: tuple[str, str] | None) -> None:
    assert basic.parse_basic(value) == (expected and Basic(expected[0], Secret(expected[1])))


def test_the_password_is_not_shown() -> None:
    assert "sesame" not in repr(basic.parse_basic(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="))


@given(
    st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters=":")),
    st.text(st.characters(exclude_categories=("Cc", "Cs"))),
)
def test_what_is_built_is_read(user: str, password: str) -> None:
    value = basic.build_basic(user, Secret(password)).reveal().encode()
    assert basic.parse_basic(value) == Basic(user, Secret(password))


@given(st.binary(max_size=40))
def test_no_bytes_end_in_anything_but_none_or_credentials(raw: bytes) -> None:
    for value in (raw, b"Basic " + raw, b"Basic " + b64(raw)):
        found = basic.parse_basic(value)
        assert found is None or value.endswith(b64(f"{found.user}:{found.password.reveal()}"))


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (b"Bearer mF_9.B5f-4.1JqM", "mF_9.B5f-4.1JqM"),
        (b"bearer  a~+/==", "a~+/=="),
        (b"Bearer", None),
        (b"Bearer ", None),
        (b"Bearera", None),
        (b" Bearer a", None),
        (b"Bearer a b", None),
        (b"Bearer a,b", None),
        (b'Bearer "a"', None),
        (b"Bearer a=b", None),
        (b"Bearer =", None),
        (b"Bearer \xc3\xa9", None),
        (b"Bearer a\n", None),
        (b"Token a", None),
        (b"Basic YTpi", None),
        (b"Bearer " + b"a" * basic.MAX_BYTES, None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_bearer_credentials(value: bytes, token: str | None) -> None:
    assert basic.parse_bearer(value) == (token and Secret(token))


def test_what_cannot_be_sent_is_not_built() -> None:
    assert basic.build_bearer(Secret("a|b")).reveal() == "Bearer a|b"
    for token in ("", "a b", "a\r\nX: y", "é"):
        with pytest.raises(ValueError, match="visible ASCII"):
            basic.build_bearer(Secret(token))
    for user, password in (("a:b", "c"), ("a\n", "c"), ("a", "c\0")):
        with pytest.raises(ValueError, match="without colon"):
            basic.build_basic(user, Secret(password))


def test_challenges() -> None:
    assert basic.challenge("Basic", realm="app", charset="UTF-8") == 'Basic realm="app", charset="UTF-8"'
    assert basic.challenge("Bearer") == "Bearer"
    assert basic.challenge("Bearer", realm='a"\\b') == 'Bearer realm="a\\"\\\\b"'
    with pytest.raises(ValueError, match="ASCII"):
        basic.challenge("Bearer", realm="a\r\nX: y")
