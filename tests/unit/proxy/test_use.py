"""A new route table while requests come: providers of the database join and leave, paths are theirs and are not."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.proxy.plane import HOSTS, Plane, host, request, route
from vestibule.core.route import RouteTable, joined_by
from vestibule.core.rule import Rule

pytestmark = pytest.mark.usefixtures("both_downstreams")

APP = replace(host(b"app.example", route(sign_in=frozenset()), sign_in=()), takes_more=True)
ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nlines\r\n"


@pytest.fixture
def plane(loop):
    return Plane(loop, hosts=[APP, *HOSTS[1:]])


def use(plane: Plane, more: dict[str, str]) -> None:
    """What the registry does."""
    plane.loop.run(plane.gateway.use, joined_by(RouteTable([APP, *HOSTS[1:]]), more))
    plane.loop.settle()


def test_a_request_waits_for_the_providers_of_the_database(plane):
    handle = plane.sign_in()
    client = plane.client().send(request(b"/a", cookie=handle))
    plane.loop.settle()
    assert plane.backend.requests == []
    assert client.answers() == []
    use(plane, {"google": ""})
    plane.backend.look()
    (answer,) = client.answers(b"GET")
    assert answer.status == 200
    assert plane.backend.request.value(b"User-Email") == b"ada@app.example"


def test_a_request_does_not_wait_for_ever(plane):
    client = plane.client().send(request(b"/a"))
    plane.loop.settle()
    plane.loop.advance(11.0)
    (answer,) = client.answers(b"GET")
    assert (answer.status, answer.value(b"Code")) == (503, b"store_unavailable")


def test_a_host_that_takes_no_more_waits_for_nobody(plane):
    assert plane.get(b"/a", host=b"other.example").status == 401


def test_nobody_can_sign_in_yet_where_no_provider_has_joined(plane):
    use(plane, {})
    answer = plane.get(b"/a", b"Sec-Fetch-Mode: navigate")
    assert (answer.status, answer.value(b"Code")) == (503, b"no_sign_in_yet")
    assert answer.value(b"Location") is None


def test_a_provider_that_leaves_takes_its_people_along(plane):
    handle = plane.sign_in()
    use(plane, {"google": ""})
    assert plane.get(b"/a", cookie=handle).status == 200
    use(plane, {"okta": ""})
    assert plane.get(b"/a", cookie=handle).status == 401
    assert len(plane.backend.requests) == 1
    use(plane, {"google": ""})
    assert plane.get(b"/a", cookie=handle).status == 200


def test_a_stream_of_somebody_who_is_let_in_no_more_is_broken_off(plane):
    handle = plane.sign_in()
    use(plane, {"google": "", "okta": ""})
    plane.backend.answers = lambda _request: ENDLESS
    client = plane.client().send(request(b"/events", cookie=handle))
    plane.backend.look()
    use(plane, {"google": ""})
    assert not client.is_ended
    use(plane, {"okta": ""})
    assert client.is_ended


def test_a_stream_ends_when_its_person_is_told_otherwise(loop):
    """Not only on a new table: a group that was lost counts for what is under way, too."""
    admins = route(allow=(Rule(kind="group", value="admins", text="group:admins"),))
    plane = Plane(loop, hosts=[host(b"app.example", admins)])
    handle = plane.sign_in(groups=("admins",))
    plane.backend.answers = lambda _request: ENDLESS
    client = plane.client().send(request(b"/events", cookie=handle))
    plane.backend.look()

    def out(session):
        (known,) = session.identities
        return replace(session, identities=(replace(known, groups=()),))

    loop.wait(plane.sessions.update(plane.session.id, out))
    loop.settle()
    assert client.is_ended


def test_what_the_backend_is_told_follows_the_table(plane):
    handle = plane.sign_in()
    use(plane, {"google": ""})
    plane.get(b"/a", cookie=handle)
    assert plane.backend.requests[-1].value(b"Proxy-Provider") == b"google"
    wider = replace(APP, clients={"corp": "google"}, sign_in=("google",), routes=route_for("google"))
    plane.loop.run(plane.gateway.use, joined_by(RouteTable([wider]), {}))
    plane.get(b"/a", cookie=handle)
    assert plane.backend.requests[-1].value(b"Proxy-Provider") == b"corp"


def route_for(client: str):
    return host(b"app.example", route(sign_in=frozenset({client}))).routes


@pytest.mark.parametrize(
    ("target", "is_own"),
    [
        (b"/auth", True),
        (b"/auth?code=1&state=2", True),
        (b"/auth/", False),
        (b"/auth/x", False),
        (b"/author", False),
        (b"/@okta/callback", True),
        (b"/@other/callback", False),
    ],
)
def test_a_path_that_a_provider_registered_is_the_gateways(plane, target, is_own):
    use(plane, {"okta": "app.example/auth"})
    answer = plane.get(target)
    assert (answer.value(b"Own") == b"yes") is is_own
    use(plane, {})
    assert plane.get(target).value(b"Own") is None


def test_a_registered_path_has_one_meaning(plane):
    use(plane, {"okta": "https://app.example/auth"})
    assert plane.get(b"/auth;x=1").status == 400


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [
        (b"/@/healthz", b"GET", 200),
        (b"/@/healthz?x=1", b"HEAD", 200),
        (b"/@/healthz", b"POST", 421),
        (b"/@/healthz/", b"GET", 421),
        (b"/", b"GET", 421),
    ],
)
def test_a_platform_may_look_under_any_name_whether_the_process_answers(plane, target, method, status):
    assert plane.get(target, host=b"10.0.0.7:8000", method=method).status == status
