"""The sign-in page where organisations have providers of their own."""

from __future__ import annotations

import pytest

from tests.unit.web.asgi import Desk
from vestibule.service.outcome import Choice


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.signin.realms = frozenset({"github"})
    return desk


def offer(desk: Desk, *names: str) -> None:
    """Have these offered."""
    choices = tuple(Choice(name, name.title(), f"/@{name}/signin", name) for name in names)
    desk.signin.chooser = lambda _visit, **_more: choices  # type: ignore[method-assign]


def test_a_work_address_is_asked_for_beside_the_one_that_is_for_everybody(desk):
    offer(desk, "google")
    reply = desk.call("/@/signin?rd=/deep")
    assert reply.status == 200
    assert 'name="login_hint"' in reply.text
    assert '<input type="hidden" name="rd" value="/deep">' in reply.text
    assert "/@google/signin" in reply.text
    assert desk.signin.calls == []


def test_it_is_asked_for_where_there_is_nothing_else(desk):
    offer(desk)
    reply = desk.call("/@/signin")
    assert (reply.status, 'name="login_hint"' in reply.text) == (200, True)


def test_who_is_sent_with_an_organisation_goes_straight_on(desk):
    offer(desk, "github")
    reply = desk.call("/@/signin?org=acme")
    assert reply.status == 303
    assert len(desk.signin.calls) == 1


def test_who_filled_the_form_in_is_led_on_by_a_link(desk):
    offer(desk, "github")
    reply = desk.call("/@/signin?find=1&login_hint=ann%40acme.example")
    assert (reply.status, desk.signin.calls) == (200, [])
    assert "/@github/signin" in reply.text
    assert 'value="ann@acme.example"' in reply.text


def test_without_any_nobody_is_asked(desk):
    desk.signin.realms = frozenset()
    offer(desk, "google")
    assert desk.call("/@/signin").status == 303
