"""What is kept, and what is forgotten first."""

from __future__ import annotations

from vestibule.core.recent import Recent


def test_what_was_put_in_longest_ago_is_forgotten_first():
    recent: Recent[str, int] = Recent(2)
    for number, key in enumerate("abc"):
        recent.put(key, number)
    assert list(recent.items()) == [("b", 1), ("c", 2)]


def test_what_is_put_in_again_is_young_again():
    recent: Recent[str, int] = Recent(2)
    for number, key in enumerate("abac"):
        recent.put(key, number)
    assert list(recent.items()) == [("a", 2), ("c", 3)]


def test_what_is_looked_up_grows_no_younger():
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)
    assert "a" not in recent
