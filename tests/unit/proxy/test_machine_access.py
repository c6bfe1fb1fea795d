"""A machine's access token: let in by its own rules alone, at one host, while it is in the configuration."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.proxy.plane import ANYONE, HOSTS, NOW_AT, PUBLIC, RING, Plane, host, request, route
from tests.unit.proxy.test_lasting import ENDLESS
from vestibule.core.access import Access, seal
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, RouteTable, Server
from vestibule.core.rule import rule

pytestmark = pytest.mark.usefixtures("both_downstreams")

NAME = b"deploy.example"
BACKEND = Backend(servers=(Server(host="127.0.0.1", port=9000),))
PEOPLE = frozenset({"google"})
DEPLOY = rule("machine", "deploy", text="machine:deploy")
SITE: Host = replace(
    host(
        NAME,
        route(allow=(DEPLOY,)),
        route(b"/anyone", ANYONE),
        route(b"/public", PUBLIC),
        route(b"/scoped", (rule("token", "write"),)),
        route(b"/unscoped", (rule("token", "delete"),)),
        route(b"/other", (rule("machine", "nightly"),)),
        route(b"/people", (rule("email", "root@app.example"),)),
        Route(prefix=b"/fresh", backend=BACKEND, policy=policy_of(allow=(DEPLOY,), max_age_s=60.0)),
        Route(prefix=b"/denied", backend=BACKEND, policy=policy_of(allow=(DEPLOY,), deny=(DEPLOY,))),
        Route(
            prefix=b"/both",
            backend=BACKEND,
            policy=policy_of(allow=None, all=(DEPLOY, rule("token", "write"))),
        ),
    ),
    takes_access=True,
    machines={"deploy": frozenset({"read", "write"}), "nightly": frozenset()},
)
HERE = (*HOSTS, SITE)


@pytest.fixture
def plane(loop) -> Plane:
    return Plane(loop, hosts=HERE)


def token(**fields: Any) -> bytes:
    said = {
        "host": "deploy.example",
        "app": "deploy",
        "machine": "deploy",
        "subject": "repo:acme/app",
        "scopes": ("write",),
        "issued_at": NOW_AT,
        "expires_at": NOW_AT + 900,
    }
    text = seal(RING, Access(**{**said, **fields}), nonce=b"n" * 12)
    return b"Authorization: Bearer " + text.encode()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/", 200),
        (b"/scoped", 200),
        (b"/both", 200),
        (b"/public", 200),
        (b"/fresh", 200),
        (b"/anyone", 403),
        (b"/unscoped", 403),
        (b"/other", 403),
        (b"/people", 403),
        (b"/denied", 403),
    ],
)
def test_it_is_let_in_where_a_rule_names_it_or_a_scope_of_its_own(plane: Plane, path: bytes, status: int):
    assert plane.get(path, token(), host=NAME).status == status


def test_the_backend_is_told_which_machine_and_of_no_person(plane: Plane):
    forged = b"Proxy-Machine: root"
    assert plane.get(b"/a", token(), forged, host=NAME).status == 200
    sent = plane.backend.requests[-1]
    assert sent.value(b"proxy-machine") == b"deploy"
    assert sent.value(b"proxy-machine-subject") == b"repo:acme/app"
    assert plane.traffic.ring[-1].person == "deploy"
    for name in (b"authorization", b"user-id", b"user-email", b"proxy-session"):
        assert sent.value(name) is None
    assert plane.get(b"/public", forged, host=NAME).status == 200
    assert plane.backend.requests[-1].value(b"proxy-machine") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"machine": "gone", "app": "gone"},
        {"host": "app.example"},
        {"expires_at": NOW_AT},
        {"session_id": "s1"},
    ],
    ids=["out of the configuration", "another host", "expired", "a session's, too"],
)
def test_a_token_that_is_not_good_any_more_is_401(plane: Plane, fields: dict[str, Any]):
    for path in (b"/", b"/public"):
        assert plane.get(path, token(**fields), host=NAME).status == 401


def test_a_scope_that_it_has_no_more_counts_no_more(plane: Plane):
    assert plane.get(b"/unscoped", token(scopes=("delete",)), host=NAME).status == 403
    fewer = replace(SITE, machines={"deploy": frozenset({"read"})})
    plane.judge.use(RouteTable((*HOSTS, fewer)))
    assert plane.get(b"/scoped", token(), host=NAME).status == 403
    assert plane.get(b"/", token(), host=NAME).status == 200
    plane.judge.use(RouteTable((*HOSTS, replace(SITE, machines={}))))
    assert plane.get(b"/", token(), host=NAME).status == 401


def test_a_persons_session_is_no_machine(plane: Plane):
    cookie = plane.sign_in("root@app.example", at="deploy.example")
    assert plane.get(b"/", host=NAME, cookie=cookie).status == 403


def test_one_that_was_given_for_a_key_is_good_while_the_key_is(plane: Plane):
    shown = token(key="k1")
    assert plane.get(b"/", shown, host=NAME).status == 401
    plane.callers.live_keys = {"k1"}
    assert plane.get(b"/", shown, host=NAME).status == 200
    plane.callers.keys_are_away = True
    assert plane.get(b"/", shown, host=NAME).status == 503


@pytest.mark.parametrize(
    ("fields", "names", "status"),
    [
        ({"id": "t1"}, {"token:t1"}, 200),
        ({"id": "t1"}, set(), 401),
        ({"id": "t1"}, {"t1"}, 401),
        ({"id": "t1", "key": "k1"}, {"token:t1", "k1"}, 200),
        ({"id": "t1", "key": "k1"}, {"k1"}, 401),
        ({"id": "t1", "key": "k1"}, {"token:t1"}, 401),
    ],
)
def test_one_that_was_revoked_itself_is_good_no_more(plane: Plane, fields, names, status):
    plane.callers.live_keys = names
    assert plane.get(b"/", token(**fields), host=NAME).status == status


def swept(plane: Plane, after_s: float = 10.0) -> None:
    plane.loop.run(plane.lasting.sweep, plane.loop.time() + after_s)
    plane.loop.settle()


@pytest.mark.parametrize("end", ["the key", "the machine", "the token"])
def test_what_lasts_ends_with_it(plane: Plane, end: str):
    plane.callers.live_keys = {"k1"}
    plane.backend.answers = lambda _request: ENDLESS
    client = plane.client().send(request(b"/events", token(key="k1"), host=NAME))
    plane.loop.settle()
    plane.backend.look()
    swept(plane)
    assert not client.is_ended
    if end == "the key":
        plane.callers.live_keys = set()
        plane.loop.run(plane.lasting.credential_changed, "machine:k1")
    elif end == "the machine":
        plane.loop.run(plane.judge.use, RouteTable((*HOSTS, replace(SITE, machines={}))))
    else:
        plane.at += 900.0
        swept(plane, 20.0)
    plane.loop.settle()
    assert client.is_ended
