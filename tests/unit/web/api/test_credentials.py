"""`/sessions/ID/credentials`: names of clients with a slash, and what an answer may be kept by."""

from __future__ import annotations

import pytest

from tests.unit.web.api.desk import NOW, ApiDesk
from vestibule.core import session as rules
from vestibule.model import Secret, Session, Tokens

TOKENS = Tokens(access_token=Secret("CANARY-access-0123456789"), refresh_token=Secret("CANARY-refresh"))
WHY = {"reason": "ticket 4711"}


@pytest.fixture
def held(api: ApiDesk) -> ApiDesk:
    """A session that holds credentials at two clients."""
    session = Session(
        id="s1", host="app.example.com", created_at=NOW, seen_at=NOW, expires_at=NOW + 86400, idle_s=86400.0
    )

    async def made() -> None:
        await api.store.sessions.create(session, rules.hash_of("s1"))
        for client in ("google", "app.example.com/own"):
            await api.grants.keep(session, client, TOKENS, NOW)

    api.do(made())
    return api


def test_a_list_has_no_token(held: ApiDesk) -> None:
    answer = held.call("GET", "/sessions/s1/credentials")
    assert [one["client"] for one in answer.json] == ["app.example.com/own", "google"]
    assert answer.json[0]["shown"] == "CANA…"
    assert "CANARY" not in answer.text
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("written", ["google", "app.example.com/own", "app.example.com%2Fown"])
def test_one_is_told_by_its_whole_name(held: ApiDesk, written: str) -> None:
    client = written.replace("%2F", "/")
    answer = held.call("POST", f"/sessions/s1/credentials/{written}/reveal", WHY)
    assert (answer.status, answer.json["client"]) == (200, client)
    assert answer.json["access_token"] == "CANARY-access-0123456789"
    assert answer.json["refresh_token"] == "CANARY-refresh"
    assert answer.json["id_token"] is None
    assert answer.headers["cache-control"] == "no-store"
    [event] = held.call("GET", "/audit?action=credential.revealed").json["items"]
    assert (event["detail"]["client"], event["detail"]["reason"]) == (client, "ticket 4711")
    assert "CANARY" not in held.written.getvalue()


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "  a "}, {"reason": 7}, {"reason": "x" * 501}]
)
def test_without_a_reason_it_is_422(held: ApiDesk, body: dict[str, object]) -> None:
    answer = held.call("POST", "/sessions/s1/credentials/google/reveal", body)
    assert answer.status == 422
    assert "CANARY" not in answer.text
    assert held.call("GET", "/audit?action=credential.revealed").json["items"] == []


@pytest.mark.parametrize(
    "path",
    ["s1/credentials/github/reveal", "s2/credentials/google/reveal", "s1/credentials/x/y/z/reveal"],
)
def test_what_is_not_there_is_404(held: ApiDesk, path: str) -> None:
    assert held.call("POST", f"/sessions/{path}", WHY).status == 404


def test_nobody_reveals_by_get(held: ApiDesk) -> None:
    assert held.call("GET", "/sessions/s1/credentials/google/reveal").status == 405
