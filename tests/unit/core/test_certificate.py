"""Certificates and the names they cover."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.core.certificate import (
    DAY_S,
    Alarm,
    Certificate,
    Source,
    alarm_of,
    is_local_name,
    is_public_name,
)
from vestibule.model import Secret


def certificate(*names: str) -> Certificate:
    return Certificate(
        names=names,
        chain_pem=b"",
        key_pem=Secret("key"),
        not_before_at=100.0,
        not_after_at=200.0,
        source=Source.FILE,
        fingerprint="",
    )


@pytest.mark.parametrize(
    ("names", "asked", "is_covered"),
    [
        pytest.param(("a.example.com",), "a.example.com", True, id="its own name"),
        pytest.param(("*.example.com",), "a.example.com", True, id="a wildcard"),
        pytest.param(("*.example.com",), "a.b.example.com", False, id="two labels are not one"),
        pytest.param(("*.example.com",), "example.com", False, id="a wildcard is not its parent"),
        pytest.param(("*.com",), "example.com", False, id="a whole top-level domain is nobody's"),
        pytest.param(("127.0.0.1",), "127.0.0.1", True, id="an address"),
        pytest.param(("a.example.com",), "b.example.com", False, id="another name"),
    ],
)
def test_a_certificate_covers_its_names_and_what_one_wildcard_label_stands_for(names, asked, is_covered):
    assert certificate(*names).covers(asked) is is_covered


@pytest.mark.parametrize(("at", "lives"), [(99.9, False), (100.0, True), (199.9, True), (200.0, False)])
def test_a_certificate_lives_between_its_dates(at, lives):
    assert certificate("a").lives(at) is lives


@pytest.mark.parametrize(
    ("life_days", "left_days", "expected"),
    [
        pytest.param(90, 31, None, id="a month and more"),
        pytest.param(90, 30, Alarm.MONTH, id="a month"),
        pytest.param(90, 7.5, Alarm.MONTH, id="more than a week"),
        pytest.param(90, 7, Alarm.WEEK, id="a week"),
        pytest.param(90, 1, Alarm.DAY, id="a day"),
        pytest.param(90, 0, Alarm.ENDED, id="over"),
        pytest.param(90, -3, Alarm.ENDED, id="long over"),
        pytest.param(47, 29, None, id="short ones have no month"),
        pytest.param(47, 6, Alarm.WEEK, id="but a week"),
        pytest.param(6, 5, None, id="of a week's ones most is left"),
        pytest.param(6, 0.9, Alarm.DAY, id="of a week's ones a day"),
        pytest.param(1, 0.4, None, id="one for a day has no alarm"),
        pytest.param(1, 0, Alarm.ENDED, id="but when it is over"),
    ],
)
def test_an_alarm_goes_off_a_month_a_week_and_a_day_before_the_end(
    life_days: float, left_days: float, expected: Alarm | None
):
    until_at = 1_000_000.0 + life_days * DAY_S
    one = replace(certificate("a"), not_before_at=1_000_000.0, not_after_at=until_at)
    assert alarm_of(one, until_at - left_days * DAY_S) is expected


@pytest.mark.parametrize(
    ("name", "is_public", "is_local"),
    [
        ("app.example.com", True, False),
        ("localhost", False, True),
        ("app.localhost", False, True),
        ("app.test", False, True),
        ("a.b.internal", False, True),
        ("router.home.arpa", False, True),
        ("printer.local", False, True),
        ("1.0.10.in-addr.arpa", False, False),
        ("mytest", False, False),
        ("box", False, False),
        ("x.onion", False, False),
        ("nottest.com", True, False),
        ("127.0.0.1", False, True),
        ("10.1.2.3", False, True),
        ("[::1]", False, True),
        ("::1", False, True),
        ("8.8.8.8", False, False),
        ("192.0.2.1", False, False),
    ],
)
def test_names_are_somebodys_or_nobodys(name: str, is_public: bool, is_local: bool):
    assert (is_public_name(name), is_local_name(name)) == (is_public, is_local)
