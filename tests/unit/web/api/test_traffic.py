"""Recent requests, as the API tells them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.unit.web.api.desk import NOW, ApiDesk
from vestibule.admin_model import Node
from vestibule.observe.traffic import Kind, Record
from vestibule.web.api.traffic import row_of, tree_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
ASKED = Record(
    NOW,
    Kind.HOST,
    b"app.example.com",
    b"GET",
    b"/a/\xff",
    200,
    0.0125,
    address="192.0.2.7",
    session_id="s1",
    decision="email:ada@example.com",
    request_id="r1",
    bytes_out=10,
    route=b"/a",
    backend_s=0.01,
    user_id="u1",
    person="ada@example.com",
    provider="google",
    span=TRACE + "b7ad6b7169203331",
)
REFUSED = Record(NOW + 1, Kind.HOST, b"other.example.com", b"POST", b"/x", 403, 0.001, decision="not_allowed")
LEFT = Record(NOW + 2, Kind.CALL, b"google", b"GET", b"/v1", 0, 0.001, session_id="s2")
ASKED_ABOUT = Record(
    NOW + 3, Kind.EDGE, b"app.example.com", b"GET", b"/", 200, 0.0, edge="validate 127.0.0.1"
)
ALL = (ASKED, REFUSED, LEFT, ASKED_ABOUT)


@pytest.fixture
def filled(api: ApiDesk) -> ApiDesk:
    for record in ALL:
        api.traffic.add(record)
    return api


def test_a_request_is_told_whole(filled):
    answer = filled.call("GET", "/traffic?name=app.example.com&kind=host").json
    assert answer == {
        "items": [
            {
                "seq": 1,
                "at": "2027-01-15T08:00:00Z",
                "kind": "host",
                "name": "app.example.com",
                "method": "GET",
                "path": "/a/\\xff",
                "route": "/a",
                "status": 200,
                "took_ms": 12.5,
                "backend_ms": 10.0,
                "bytes_out": 10,
                "address": "192.0.2.7",
                "session_id": "s1",
                "user_id": "u1",
                "person": "ada@example.com",
                "provider": "google",
                "decision": "email:ada@example.com",
                "request_id": "r1",
                "trace_id": TRACE,
                "span_id": "b7ad6b7169203331",
                "parent_id": "",
                "edge": "",
            }
        ],
        "last_seq": 4,
    }


@pytest.mark.parametrize(
    ("query", "seqs"),
    [
        ("", [4, 3, 2, 1]),
        ("?limit=2", [4, 3]),
        ("?after=2", [4, 3]),
        ("?after=9", []),
        ("?kind=edge", [4]),
        ("?name=example.com", [4, 2, 1]),
        ("?status=403", [2]),
        ("?status=2xx", [4, 1]),
        ("?status=0", [3]),
        ("?person=ADA", [1]),
        ("?person=u1", [1]),
        ("?session_id=s2", [3]),
        ("?decision=allowed", [2]),
        ("?text=192.0.2", [1]),
        ("?text=POST", [2]),
        ("?text=r1&status=2xx", [1]),
        ("?text=nothing", []),
    ],
)
def test_requests_are_found_by_what_is_known_of_them(filled, query, seqs):
    assert [row["seq"] for row in filled.call("GET", f"/traffic{query}").json["items"]] == seqs


@pytest.mark.parametrize(
    "query", ["?status=x", "?status=9xx", "?limit=0", "?limit=1001", "?after=-1", "?no=1"]
)
def test_what_is_asked_wrongly_is_told(filled, query):
    assert filled.call("GET", f"/traffic{query}").status == 422


# -- traces ------------------------------------------------------------------------------------------------------


def row(span: str, parent: str = "", *, at: float = NOW, trace: str = TRACE):
    record = Record(at, Kind.HOST, b"a", b"GET", b"/", 200, 0.5, span=trace + span, parent_id=parent)
    return row_of(1, record)


def shape(nodes: tuple[Node, ...]) -> list:
    return [(node.row.span_id, shape(node.children)) for node in nodes]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([row("a")], [("a", [])]),
        (
            [row("c", "b"), row("b", "a", at=NOW + 1), row("d", "a"), row("a", "unknown")],
            [("a", [("d", []), ("b", [("c", [])])])],
        ),
        ([row("a", "a")], [("a", [])]),
        ([row("a", "b"), row("b", "a", at=NOW + 1)], [("a", []), ("b", [])]),
        ([row("b", at=NOW + 1), row("a")], [("a", []), ("b", [])]),
    ],
    ids=["alone", "a tree, the first first", "its own parent", "a circle", "two"],
)
def test_what_was_caused_stands_below_its_cause(rows, found):
    assert shape(tree_of(rows)) == found


def test_a_chain_of_any_length_is_a_tree(filled):
    for number in range(900):
        parent = f"{number - 1:016x}" if number else ""
        filled.traffic.add(
            Record(
                NOW,
                Kind.CALL,
                b"a",
                b"GET",
                b"/",
                200,
                0.1,
                span="1" * 32 + f"{number:016x}",
                parent_id=parent,
            )
        )
    assert filled.call("GET", f"/traces/{'1' * 32}").status == 200


def test_a_trace_is_told_by_its_id(filled):
    answer = filled.call("GET", f"/traces/{TRACE}")
    assert [root["row"]["request_id"] for root in answer.json["roots"]] == ["r1"]
    assert filled.call("GET", f"/traces/{'2' * 32}").status == 404
    assert filled.call("GET", "/traces/nothing").status == 422


# -- as they come ------------------------------------------------------------------------------------------------


class Listening:
    """Who reads the stream."""

    def __init__(self, desk: ApiDesk, query: str = "", asked: dict[str, Any] | None = None) -> None:
        self.desk = desk
        self.asked = asked or {}
        self.query = query
        self.got: list[dict] = []
        self.ended = False
        self.left = asyncio.Event()

    async def run(self) -> None:
        sent = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive():
            if sent:
                return sent.pop()
            await self.left.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            for event in bytes(message.get("body", b"")).split(b"\n\n"):
                if event:
                    self.got.append(json.loads(event.removeprefix(b"data: ")))

        await self.desk.app(
            self.desk.scope("GET", f"/traffic/stream{self.query}", **self.asked), receive, send
        )
        self.ended = True


def watched(desk: ApiDesk, story, query: str = "", asked: dict[str, Any] | None = None) -> Listening:
    """What a listener got while the story went on."""

    async def run() -> Listening:
        listening = Listening(desk, query, asked)
        task = asyncio.create_task(listening.run())
        while not listening.got:
            await asyncio.sleep(0)
        await story(listening)
        listening.left.set()
        await task
        return listening

    return asyncio.run(run())


async def rows(listening: Listening, count: int) -> None:
    while sum(map(len, listening.got)) < count:
        await asyncio.sleep(0.01)


def test_a_stream_tells_of_what_comes_and_of_nothing_before(filled):
    async def story(listening: Listening) -> None:
        for record in (ASKED, REFUSED):
            filled.traffic.add(record)
        await rows(listening, 2)

    got = [row["seq"] for batch in watched(filled, story).got for row in batch]
    assert got == [5, 6]


def test_a_stream_has_what_is_wanted_alone(filled):
    async def story(listening: Listening) -> None:
        for record in (ASKED, REFUSED):
            filled.traffic.add(record)
        await rows(listening, 1)

    assert [row["status"] for batch in watched(filled, story, "?status=4xx").got for row in batch] == [403]


def test_a_stream_ends_with_the_program(filled):
    async def story(listening: Listening) -> None:
        filled.closing.set()
        while not listening.ended:
            await asyncio.sleep(0.01)

    assert watched(filled, story).ended


@pytest.mark.parametrize("is_quiet", [True, False])
def test_a_stream_ends_for_whoever_may_listen_no_more(filled, monkeypatch, is_quiet):
    """Threat: a token that was revoked, and goes on being told who opens what, as long as something is opened."""
    monkeypatch.setattr("vestibule.web.api.traffic.SILENCE_S", 0.2)
    token, secret = filled.do(filled.tokens.create("watcher", None, NOW, scopes=("traffic:read",)))
    query = {"is_owner": False, "headers": {"authorization": f"Bearer {secret.reveal()}"}}

    async def story(listening: Listening) -> None:
        await filled.tokens.revoke(token.id)
        while not listening.ended:
            if not is_quiet:
                filled.traffic.add(ASKED)
            await asyncio.sleep(0.02)

    assert watched(filled, story, asked=query).ended


def test_who_comes_when_many_listen_already_is_to_come_again(filled, monkeypatch):
    """Threat: hundreds that listen, by a token that may do nothing else."""
    monkeypatch.setattr("vestibule.web.api.office.STREAMS_MAX", 1)
    statuses: list[int] = []

    async def story(listening: Listening) -> None:
        statuses.append((await filled.ask("GET", "/traffic/stream")).status)

    watched(filled, story)
    assert statuses == [429]
    assert watched(filled, nothing_more).got, "a place that was left is free again"


def test_one_token_listens_a_few_times_and_keeps_no_other_from_it(filled, monkeypatch):
    monkeypatch.setattr("vestibule.web.api.office.STREAMS_OF_ONE", 1)
    monkeypatch.setattr("vestibule.web.api.traffic.SILENCE_S", 0.2)
    ((token, secret), (_, other)) = (
        filled.do(filled.tokens.create(name, None, NOW, scopes=("traffic:read",)))
        for name in ("few", "other")
    )
    statuses: list[int] = []

    def asked_by(text) -> dict:
        return {"is_owner": False, "headers": {"authorization": f"Bearer {text.reveal()}"}}

    async def story(listening: Listening) -> None:
        statuses.append((await filled.ask("GET", "/traffic/stream", **asked_by(secret))).status)
        await filled.tokens.revoke(token.id)
        while not listening.ended:
            filled.traffic.add(ASKED)
            await asyncio.sleep(0.02)

    watched(filled, story, asked=asked_by(secret))
    assert statuses == [429]
    assert watched(filled, nothing_more, asked=asked_by(other)).got


async def nothing_more(_listening: Listening) -> None:
    """Leave."""


def test_a_number_beyond_all_that_are_given_is_refused(filled):
    assert filled.call("GET", f"/traffic?after={10**30}").status == 422
    assert filled.call("GET", f"/traffic?after={2**53}").json["items"] == []
