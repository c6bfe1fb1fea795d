"""What every `store.base.Changes` does."""

from __future__ import annotations

import pytest

from vestibule.store.changes import Changes


@pytest.fixture(params=[False, True], ids=["alone", "one of several"])
def changes(request):
    return Changes(is_shared=request.param)


def test_a_change_reaches_every_listener_of_its_kind_before_publish_returns(changes):
    heard = []
    changes.subscribe("session", lambda key: heard.append(("first", key)))
    changes.subscribe("session", lambda key: heard.append(("second", key)))
    changes.subscribe("user", lambda key: heard.append(("user", key)))
    changes.publish("session", "s1")
    assert heard == [("first", "s1"), ("second", "s1")]
    changes.publish("user", "u1")
    assert heard[2:] == [("user", "u1")]


def test_nobody_need_listen(changes):
    changes.publish("session", "s1")


def test_what_is_alone_is_always_current():
    assert Changes().is_current(0.0)
    assert Changes().is_current(1e9)


def test_one_of_several_never_knows_whether_it_is():
    assert not Changes(is_shared=True).is_current(0.0)
    assert not Changes(is_shared=True).is_current(1e9)
