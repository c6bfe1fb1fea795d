"""What came before is found again, and never takes more than its share."""

from __future__ import annotations

import pytest

from vestibule.protocol.familiar import Familiar


def test_what_was_kept_is_there():
    known = Familiar[int](1000, each_bytes=10)
    known.keep(b"a", 1)
    known.keep(b"b", 2)
    known.keep(b"a", 3)
    assert dict(known) == {b"a": 3, b"b": 2}


@pytest.mark.parametrize("key_bytes", [1, 30, 90])
def test_whatever_comes_it_holds_no_more_than_its_limit(key_bytes):
    known = Familiar[int](500, each_bytes=10)
    for number in range(1000):
        known.keep(b"%0*d" % (key_bytes, number), number)
        assert sum(len(key) + 10 for key in known) <= 500
        assert known


def test_putting_the_same_again_takes_nothing_more():
    known = Familiar[int](100, each_bytes=10)
    known.keep(b"other", 0)
    for _ in range(1000):
        known.keep(b"same", 1)
    assert set(known) == {b"other", b"same"}


def test_after_it_was_emptied_all_of_it_is_free():
    known = Familiar[int](100, each_bytes=10)
    for _ in range(3):
        for number in range(5):
            known.keep(b"%d" % number, number)
        assert len(known) == 5
        known.clear()
