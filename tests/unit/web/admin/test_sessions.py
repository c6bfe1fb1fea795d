"""The page of sessions: whose are shown."""

from __future__ import annotations

import html
import re

from tests.unit.web.admin.hall import Hall
from tests.unit.web.api.desk import NOW
from vestibule.core import session as rules
from vestibule.model import Session
from vestibule.observe.traffic import Kind, Record


def seen(hall: Hall, session_id: str, *, exists: bool = True) -> None:
    """A session of no account, and a request that was made with it."""
    if exists:
        made = Session(
            id=session_id,
            host="app.example.com",
            created_at=NOW,
            seen_at=NOW,
            expires_at=NOW + 86400,
            idle_s=86400.0,
        )
        hall.desk.do(hall.desk.store.sessions.create(made, rules.hash_of(session_id)))
    hall.desk.traffic.add(
        Record(NOW, Kind.HOST, b"app.example.com", b"GET", b"/", 200, 0.1, session_id=session_id)
    )


def test_sessions_of_no_account_are_shown_as_far_as_they_were_seen():
    hall = Hall()
    seen(hall, "s1")
    seen(hall, "s1", exists=False)
    seen(hall, "gone", exists=False)
    shown = hall.get("/sessions").text
    assert shown.count('href="/sessions/s1"') == 1
    assert "nobody’s" in shown
    assert "gone" not in shown
    assert hall.get("/sessions/s1").status == 200


def test_they_are_looked_for_by_host_and_not_by_name():
    hall = Hall()
    seen(hall, "s1")
    assert 'href="/sessions/s1"' in hall.get("/sessions?host=app.example.com").text
    for query in ("host=other.example.com", "text=nobody"):
        assert 'href="/sessions/s1"' not in hall.get(f"/sessions?{query}").text


def test_a_hosts_are_shown_page_by_page_and_where_those_of_its_domains_are():
    hall = Hall()
    for number in range(51):
        seen(hall, f"s{number:02d}")
    made = Session(
        id="wide",
        host=".example.com",
        created_at=NOW,
        seen_at=NOW,
        expires_at=NOW + 86400,
        idle_s=86400.0,
    )
    hall.desk.do(hall.desk.store.sessions.create(made, rules.hash_of("wide")))
    first = hall.get("/sessions?host=app.example.com").text
    assert first.count(">Show</a>") == 50
    assert 'href="/sessions?host=.example.com"' in first
    [older] = re.findall(r'href="(/sessions\?[^"]*cursor=[^"]*)"', first)
    rest = hall.get(html.unescape(older)).text
    assert rest.count(">Show</a>") == 1
    assert "cursor=" not in rest
    assert 'href="/sessions/wide"' in hall.get("/sessions?host=.example.com").text
