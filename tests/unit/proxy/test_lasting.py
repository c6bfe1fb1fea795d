"""Answers that last end with their session, whichever way it ends."""

from __future__ import annotations

import pytest

from tests.unit.proxy.plane import Plane, request, switched
from vestibule.core.tls import ClientCertificate, Handshake
from vestibule.errors import ProviderUnavailable
from vestibule.proxy.lasting import Lasting
from vestibule.service.app_tokens import CREDENTIAL
from vestibule.service.sessions import SESSION
from vestibule.store.base import EVERYTHING

pytestmark = pytest.mark.usefixtures("both_downstreams")

ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nlines\r\n"
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n"
)
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"


@pytest.fixture
def plane(loop):
    return Plane(loop)


def open_answer(plane, answer: bytes, handle: str):
    """A client whose answer has begun and goes on."""
    plane.backend.answers = lambda _request: answer
    client = plane.client().send(request(b"/events", cookie=handle))
    plane.backend.look()
    return client


def test_a_sign_out_ends_an_event_stream_as_streams_end(plane, loop):
    client = open_answer(plane, STREAM, plane.sign_in())
    assert not client.is_ended
    loop.wait(plane.sessions.end(plane.session.id))
    loop.settle()
    assert client.answer().body == b"data:"
    assert plane.backend.open == []


def test_a_sign_out_breaks_off_what_could_be_taken_for_whole(plane, loop):
    client = open_answer(plane, ENDLESS, plane.sign_in())
    loop.wait(plane.sessions.end(plane.session.id))
    loop.settle()
    assert client.is_ended
    assert plane.backend.open == []


@pytest.mark.parametrize("after_s", [8 * 86400.0, 25 * 3600.0], ids=["absolute end", "idle end"])
def test_a_stream_ends_when_its_session_expires(plane, loop, after_s):
    client = open_answer(plane, ENDLESS, plane.sign_in())
    plane.at += after_s
    loop.run(plane.lasting.sweep, loop.time() + 10)
    loop.settle()
    assert client.is_ended


def test_a_stream_goes_on_while_its_session_lives(plane, loop):
    client = open_answer(plane, STREAM, plane.sign_in())
    plane.at += 60
    loop.run(plane.lasting.sweep, loop.time() + 10)
    loop.settle()
    assert not client.is_ended


@pytest.mark.parametrize("kind", [SESSION, CREDENTIAL])
def test_where_changes_may_have_been_missed_the_next_sweep_looks_at_all(plane, loop, kind):
    client = open_answer(plane, ENDLESS, plane.sign_in())
    loop.run(plane.lasting.sweep, loop.time() + 10)
    loop.wait(plane.store.sessions.delete(plane.session.id))  # by another process, which is not heard
    heard = {SESSION: plane.lasting.session_changed, CREDENTIAL: plane.lasting.credential_changed}
    loop.run(plane.sessions._forget, EVERYTHING)
    loop.run(plane.lasting.sweep, loop.time() + 10.1)
    loop.settle()
    assert not client.is_ended
    loop.run(heard[kind], EVERYTHING)
    loop.run(plane.lasting.sweep, loop.time() + 10.2)
    loop.settle()
    assert client.is_ended


def test_a_store_that_is_away_ends_nothing_until_the_grace_is_over(plane, loop):
    """Threat: a stream that goes on for as long as nobody can say that its session has ended."""
    client = open_answer(plane, ENDLESS, plane.sign_in())
    plane.away.is_away = True
    loop.run(plane.changes.publish, "session", plane.session.id)
    loop.settle()
    assert not client.is_ended
    plane.lasting._grace_s = 0.0
    loop.run(plane.lasting.sweep, loop.time() + 10)
    loop.settle()
    assert client.is_ended


def test_a_store_that_came_back_in_time_begins_the_grace_anew(plane, loop):
    client = open_answer(plane, STREAM, plane.sign_in())
    plane.away.is_away = True
    loop.run(plane.changes.publish, "session", plane.session.id)
    loop.settle()
    plane.away.is_away = False
    loop.run(plane.lasting.sweep, loop.time() + 10)
    loop.settle()
    assert plane.lasting._unknown_since == {}
    assert not client.is_ended


def test_an_answer_of_known_length_is_let_finish(plane, loop):
    client = open_answer(plane, WHOLE, plane.sign_in())
    loop.wait(plane.sessions.end(plane.session.id))
    loop.settle()
    assert not client.is_ended


def test_what_has_ended_is_forgotten(plane, loop):
    client = open_answer(plane, STREAM, plane.sign_in())
    plane.backend.last.receive(b"0\r\n\r\n")
    loop.settle()
    assert not client.transport.is_closing()
    assert plane.lasting._by_session == {}


@pytest.mark.parametrize(
    ("answer", "goes_on"),
    [("still in", True), (None, False), (ProviderUnavailable("it can't be asked"), False)],
    ids=["still in", "put out", "not to be asked for too long"],
)
def test_a_stream_goes_on_as_long_as_its_provider_lets_the_person_in(plane, loop, answer, goes_on):
    client = open_answer(plane, ENDLESS, plane.sign_in())
    plane.rechecks.due.add(plane.session.id)
    plane.rechecks.answer = plane.session if answer == "still in" else answer
    loop.run(plane.lasting.sweep, loop.time() + 10)
    loop.settle()
    assert plane.rechecks.asked == 1
    assert client.is_ended is not goes_on


# -- other rules -----------------------------------------------------------------------------------


def test_what_lasts_is_looked_at_by_the_next_rules_when_these_begin_and_not_before(plane, loop):
    client = open_answer(plane, ENDLESS, plane.sign_in())
    following = Lasting(plane.sessions, plane.rechecks, book=plane.lasting.book)
    following.allows = lambda _exchange, _session: False
    following.look()
    following.session_changed(plane.session.id)
    loop.settle()
    assert not client.is_ended
    following.begin()
    loop.settle()
    assert client.is_ended
    assert plane.lasting.book.by_session == {}


def test_what_goes_on_by_the_next_rules_ends_with_its_session_all_the_same(plane, loop):
    client = open_answer(plane, ENDLESS, plane.sign_in())
    following = Lasting(plane.sessions, plane.rechecks, book=plane.lasting.book)
    plane.changes.subscribe(SESSION, following.session_changed)
    following.begin()
    loop.settle()
    assert not client.is_ended
    loop.wait(plane.sessions.end(plane.session.id))
    loop.settle()
    assert client.is_ended


def test_what_begins_to_last_by_rules_that_are_gone_is_looked_at_at_once(plane, loop):
    following = Lasting(plane.sessions, plane.rechecks, book=plane.lasting.book)
    following.allows = lambda _exchange, _session: False
    following.begin()
    client = open_answer(plane, ENDLESS, plane.sign_in())
    loop.settle()
    assert client.is_ended


def test_a_stream_that_everybody_may_have_ends_when_the_next_rules_want_to_know_who_it_is(plane, loop):
    plane.backend.answers = lambda _request: ENDLESS
    client = plane.client().send(request(b"/public/events"))
    plane.backend.look()
    assert not client.is_ended
    following = Lasting(plane.sessions, plane.rechecks, book=plane.lasting.book)
    following.allows = lambda _exchange, session: session is not None
    following.begin()
    loop.settle()
    assert client.is_ended
    assert plane.lasting.book.by_nobody == set()


# -- client certificates ---------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["a session", "nobody", "a session nobody can tell of"])
def test_what_lasts_ends_with_the_client_certificate_it_came_by(plane, loop, who):
    """Threat: a stream by a certificate of an hour that goes on for a year."""
    plane.backend.answers = lambda _request: ENDLESS
    came = request(b"/public/e") if who == "nobody" else request(b"/events", cookie=plane.sign_in())
    client = plane.client().send(came)
    plane.backend.look()
    (exchange,) = (one for connection in plane.listener.open for one in connection.under_way())
    shown = ClientCertificate(subject="CN=alice", good_until_at=plane.at + 60)
    exchange.tls = Handshake(client=shown)
    plane.lasting.allows = lambda _exchange, _session: True
    plane.away.is_away = who == "a session nobody can tell of"
    loop.run(plane.lasting.sweep, loop.time() + 10)
    loop.settle()
    assert not client.is_ended
    plane.at += 60
    loop.run(plane.lasting.sweep, loop.time() + 20)
    loop.settle()
    assert client.is_ended
    assert plane.backend.open == []
    assert (plane.lasting.book.by_session, plane.lasting.book.by_nobody) == ({}, set())


def test_a_websocket_ends_with_its_session(plane, loop):
    plane.backend.answers = switched
    lines = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Origin: http://app.example")  # fmt: skip
    client = plane.client().send(request(b"/ws", *lines, cookie=plane.sign_in()))
    plane.backend.look()
    assert not client.is_ended
    assert len(plane.backend.open) == 1
    loop.wait(plane.sessions.end(plane.session.id))
    loop.settle()
    assert client.is_ended
    assert plane.backend.open == []
