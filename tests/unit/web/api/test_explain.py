"""`/explain`: for nobody, for a person by session or by what was said last, and what can't be asked."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from tests.unit.web.api.desk import ApiDesk
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, RouteTable, routes_of
from vestibule.core.rule import rule
from vestibule.model import Device, Identity
from vestibule.service.offer import Offer

SIGN_IN = frozenset({"google"})


def made(prefix: bytes, *allow: str, place: str) -> Route:
    rules = tuple(rule(*text.split(":", 1), text=text) for text in allow)
    return Route(
        prefix=prefix,
        backend=Backend(internal="echo"),
        policy=policy_of(allow=rules, sign_in=SIGN_IN),
        place=place,
    )


def host(name: bytes, *routes: Route) -> Host:
    table, depth = routes_of(routes)
    return Host(
        name=name,
        title="",
        clients={"google": "google"},
        sign_in=("google",),
        routes=table,
        depth=depth,
        place="app.hcl:1",
    )


TABLE = RouteTable(
    (
        host(
            b"app.example.com",
            made(b"", "domain:example.com", place="app.hcl:3"),
            made(b"/admin", "group:admins", "network:10.0.0.0/8", place="app.hcl:7"),
        ),
    )
)


@pytest.fixture
def api() -> ApiDesk:
    desk = ApiDesk()
    desk.registry._offer = Offer(TABLE, {})
    return desk


def ask(api: ApiDesk, path: str, **asked: str) -> dict[str, Any]:
    query = urlencode({"url": f"https://app.example.com{path}", **asked})
    reply = api.call("GET", f"/explain?{query}")
    assert reply.status == 200, reply.json
    found: dict[str, Any] = reply.json
    return found


def signed_in(api: ApiDesk, number: int, *, at: str = "app.example.com", **fields: Any) -> str:
    """The id of a user with a session."""
    user = api.person(number)
    identity = Identity(
        client="google", issuer="https://a.example", subject=str(number), email=user.email, **fields
    )
    api.now += 1
    api.do(
        api.sessions.start(
            host=at,
            user_id=user.id,
            identities=(identity,),
            clients=("google",),
            device=Device(),
            now=api.now,
        )
    )
    return user.id


def test_nobody_is_sent_to_sign_in(api: ApiDesk):
    told = ask(api, "/")
    assert (told["who"], told["user_id"], told["answer"], told["status"]) == ("nobody", "", "sign_in", 302)
    assert told["change"] == "sign in by google; sign in with a verified address in example.com"


def test_a_person_is_known_by_their_newest_session(api: ApiDesk):
    signed_in(api, 1, groups=("staff",))
    user_id = signed_in(api, 1, groups=("admins",))
    told = ask(api, "/admin/x", **{"as": user_id}, method="POST", address="10.0.0.7")
    assert (told["answer"], told["status"], told["who"]) == ("in", None, "p1@example.com")
    assert (told["known_by"], told["method"]) == ("their session at app.example.com", "POST")
    assert [(one["rule"], one["saw"], one["verdict"]) for one in told["conditions"]] == [
        ("group:admins", "groups: admins by google", "holds"),
        ("network:10.0.0.0/8", "10.0.0.7", "holds"),
    ]


def test_a_session_at_this_host_counts_before_a_newer_one_elsewhere(api: ApiDesk):
    user_id = signed_in(api, 1, groups=("admins",))
    signed_in(api, 1, at="other.example.com")
    assert ask(api, "/", **{"as": user_id})["known_by"] == "their session at app.example.com"


def test_without_a_session_a_person_is_known_by_what_was_said_last(api: ApiDesk):
    user = api.person(1)
    told = ask(api, "/", **{"as": user.email})
    assert told["user_id"] == user.id
    assert told["known_by"] == "what providers said of them last: they have no session"


def test_a_person_who_is_blocked_is_nobody(api: ApiDesk):
    user_id = signed_in(api, 1)
    api.do(api.people.set_disabled(user_id, True, api.now))
    told = ask(api, "/", **{"as": user_id})
    assert (told["answer"], told["known_by"]) == ("sign_in", "blocked: nobody can be signed in as them")


@pytest.mark.parametrize("who", ["p1@example.com", "P1@example.com", "p1", "P1"])
def test_a_person_is_found_by_address_and_login(api: ApiDesk, who: str):
    user_id = signed_in(api, 1)
    signed_in(api, 11)
    assert ask(api, "/", **{"as": who})["user_id"] == user_id


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ({"url": "https://app.example.com/", "as": "eve@example.com"}, 404, "nobody here is eve@example.com"),
        ({"url": "https://app.example.com/", "as": "9nUtJjTbUu5pxGhRkhwUSw"}, 404, "nobody here is 9nUt"),
        ({"url": "https://else.example.com/"}, 404, "there is no host else.example.com here"),
        ({"url": "https://app.example.com/a%2fb"}, 422, "?url: the address of the request is malformed"),
        ({"url": "https://app.example.com/", "method": "get"}, 422, "?method"),
        ({"url": "https://app.example.com/", "address": "10.1"}, 422, "?address: is no IP address"),
        ({"url": "https://app.example.com/", "user": "x"}, 422, "there is no such parameter"),
        ({}, 422, "?url: is missing"),
    ],
)
def test_what_can_not_be_asked_is_told(api: ApiDesk, query: dict[str, str], status: int, said: str):
    reply = api.call("GET", f"/explain?{urlencode(query)}")
    assert reply.status == status
    assert said in reply.json["detail"] or said in str(reply.json.get("faults"))


def test_two_people_of_one_login_have_to_be_told_apart(api: ApiDesk):
    for number in (1, 2):
        api.person(number, login="sam")
    reply = api.call("GET", "/explain?url=app.example.com&as=sam")
    assert reply.status == 409
    assert "2 users are sam" in reply.json["detail"]


def test_nothing_is_asked_without_a_token(api: ApiDesk):
    reply = api.call("GET", "/explain?url=app.example.com", is_owner=False, address="127.0.0.1")
    assert reply.status == 401
