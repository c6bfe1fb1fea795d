"""Values: what each kind takes and what it says to the rest."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.config import value
from vestibule.config.place import Unfit
from vestibule.config.rule import rule_of
from vestibule.config.value import KINDS
from vestibule.core.listener import ListenAddress


@pytest.mark.parametrize(
    ("data", "expected"),
    [("30s", 30.0), ("10m", 600.0), ("10 min", 600.0), ("24h", 86400.0), ("7d", 604800.0), ("1.5h", 5400.0), ("250ms", 0.25), (90, 90.0), (0.5, 0.5)],
)  # fmt: skip
def test_a_span_of_time(data: Any, expected: float) -> None:
    assert value.seconds(data) == expected


@pytest.mark.parametrize(
    "data", ["", "x", "10", "-1s", "0s", 0, -1, True, "1w", "9" * 12 + "d", float("nan"), float("inf")]
)
def test_no_span_of_time(data: Any) -> None:
    with pytest.raises(Unfit):
        value.seconds(data)


@pytest.mark.parametrize(("data", "expected"), [("0s", 0.0), ("0", 0.0), (0, 0.0), (0.0, 0.0), ("30s", 30.0)])
def test_a_span_of_time_that_may_be_nothing(data: Any, expected: float) -> None:
    assert value.seconds_or_none(data) == expected


@pytest.mark.parametrize("data", ["", "00", "-0s", False, -1])
def test_what_is_no_span_is_none_that_may_be_nothing_either(data: Any) -> None:
    with pytest.raises(Unfit):
        value.seconds_or_none(data)


@pytest.mark.parametrize(
    ("data", "expected"), [("0", 0), (0, 0), (10, 10), ("64KiB", 65536), ("10 MiB", 10 << 20), ("1GB", 10**9)]
)
def test_a_size(data: Any, expected: int) -> None:
    assert value.size(data) == expected


@pytest.mark.parametrize("data", ["", "10MB ps", -1, True, "1.5MiB", "10mib"])
def test_no_size(data: Any) -> None:
    with pytest.raises(Unfit):
        value.size(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("App.Example.", "app.example"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_host_name_is_canonical(data: str, expected: str) -> None:
    assert value.host_name(data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("https://App.Example/", "https://app.example"),
        ("HTTPS://app.example:443", "https://app.example"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://a.example:80", "http://a.example"),
    ],
)
def test_an_origin_has_one_spelling(data: str, expected: str) -> None:
    assert value.origin(data) == expected


@pytest.mark.parametrize("data", ["google", "g", "a-b.c_d~e", "A1", "x" * 64])
def test_an_id_that_can_stand_in_a_path(data: str) -> None:
    assert value.client_id(data) == data


@pytest.mark.parametrize(
    "data", ["", "a/b", "a b", "@a", "a,b", "a%b", ".", "..", "-a", "a-", "é", "x" * 65, "a\n"]
)
def test_an_id_that_can_not_stand_in_a_path(data: str) -> None:
    with pytest.raises(Unfit):
        value.client_id(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [("/admin/", b"/admin"), ("/admin", b"/admin"), ("/a/./b//c/", b"/a/b/c"), ("/%41", b"/A"), ("/é", None), ("/%C3%A9", b"/%C3%A9")],
)  # fmt: skip
def test_a_routes_path(data: str, expected: bytes | None) -> None:
    if expected is None:
        with pytest.raises(Unfit):
            value.prefix(data)
    else:
        assert value.prefix(data) == expected


@pytest.mark.parametrize(
    ("text", "kind", "canonical"),
    [
        ("public", "public", ""),
        ("anyone", "anyone", ""),
        ("email:Ann@Example.COM", "email", "ann@example.com"),
        ("email: ann@example.com ", "email", "ann@example.com"),
        ("domain:Example.COM.", "domain", "example.com"),
        ("domain:bücher.example", "domain", "xn--bcher-kva.example"),
    ],
)
def test_a_rule_is_canonical_and_keeps_its_text(text: str, kind: str, canonical: str) -> None:
    rule = rule_of(text)
    assert (rule.kind, rule.value, rule.text) == (kind, canonical, text)


TEXT_KINDS = [kind.convert for kind in KINDS.values() if kind.text]
SCALAR_KINDS = [kind.convert for kind in KINDS.values() if not kind.text]
MARKS = st.from_regex(r"[a-z:/.@0-9\[\]*{}-]{0,20}", fullmatch=True)


@given(st.sampled_from(TEXT_KINDS), st.text(max_size=20) | MARKS)
def test_every_text_is_taken_or_unfit(convert: Callable[[str], Any], text: str) -> None:
    with contextlib.suppress(Unfit):
        convert(text)


@given(st.sampled_from(SCALAR_KINDS), st.none() | st.text(max_size=5) | st.integers() | st.floats())
def test_every_scalar_is_taken_or_unfit(convert: Callable[[Any], Any], data: Any) -> None:
    with contextlib.suppress(Unfit):
        convert(data)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0.0.0.0:80", ListenAddress(host="0.0.0.0", port=80)),
        ("[::]:80", ListenAddress(host="::", port=80)),
        ("[::1]:443", ListenAddress(host="::1", port=443)),
        ("[0:0::1]:443", ListenAddress(host="::1", port=443)),
        ("localhost:8000", ListenAddress(host="127.0.0.1", port=8000)),
        ("unix:v.sock", ListenAddress(path="v.sock")),
        ("unix:/run/v.sock?mode=0660", ListenAddress(path="/run/v.sock", mode=0o660)),
        (
            "unix:/run/v.sock?group=www-data&mode=666",
            ListenAddress(path="/run/v.sock", mode=0o666, owner_group="www-data"),
        ),
        ("systemd:web", ListenAddress(systemd="web")),
        ("systemd:vestibule.socket", ListenAddress(systemd="vestibule.socket")),
    ],
)
def test_an_address_to_listen_on(written: str, expected: ListenAddress) -> None:
    assert value.listener(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        "",
        ":80",
        "[::1]",
        "[::1%lo]:80",
        "127.1:80",
        "unix:",
        "unix:v.sock?mode=0999",
        "unix:v.sock?mode=000",
        "unix:v.sock?mode=4755",
        "unix:v.sock?owner=root",
        "unix:v.sock?group=",
        "systemd:",
        "systemd:a:b",
        "systemd:a b",
    ],
)
def test_no_address_to_listen_on(written: str) -> None:
    with pytest.raises(Unfit):
        value.listener(written)
