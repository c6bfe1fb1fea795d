"""Routes that ask for a fresh sign-in: people are led to sign in again, programs are told what is asked."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.proxy.forward.stand import NAVIGATION, NGINX, TRAEFIK, XHR, Stand, code_of
from tests.unit.proxy.plane import ANYONE, HOSTS, NOW_AT, Plane, host, request, route
from tests.unit.proxy.test_lasting import ENDLESS
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Route, Server
from vestibule.core.rule import rule
from vestibule.model import Caller, Identity

pytestmark = pytest.mark.usefixtures("both_downstreams")

HOUR = 3600.0
BACKEND = Backend(servers=(Server(host="127.0.0.1", port=9000),))
POLICY = policy_of(allow=ANYONE, sign_in=frozenset({"google"}), max_age_s=HOUR)
ROOT = policy_of(allow=(rule("email", "root@app.example"),), sign_in=frozenset({"google"}), max_age_s=HOUR)
NAME = b"bank.example"
BANK = replace(
    host(
        NAME,
        route(),
        Route(prefix=b"/pay", backend=BACKEND, policy=POLICY),
        Route(prefix=b"/root", backend=BACKEND, policy=ROOT),
    ),
    asks_when=True,
    session_bearer=True,
)
ASKED = b'Bearer realm="bank.example", error="insufficient_user_authentication"'


@pytest.fixture
def plane(loop) -> Plane:
    return Plane(loop, hosts=(*HOSTS, BANK))


def get(plane: Plane, path: bytes, *lines: bytes, method: bytes = b"GET", cookie: str = ""):
    return plane.get(path, *lines, host=NAME, method=method, cookie=cookie)


def signed_in(plane: Plane, ago_s: float) -> str:
    return plane.sign_in(at="bank.example", signed_in_at=NOW_AT - ago_s)


def test_a_fresh_sign_in_gets_there_and_an_old_one_to_all_else(plane):
    assert get(plane, b"/pay", cookie=signed_in(plane, 5.0)).status == 200
    old = signed_in(plane, HOUR)
    assert get(plane, b"/", cookie=old).status == 200
    assert get(plane, b"/pay", cookie=old).status == 401
    assert len(plane.backend.requests) == 2


def test_it_gets_too_old_while_it_is_used(plane):
    handle = signed_in(plane, 0.0)
    assert get(plane, b"/pay", cookie=handle).status == 200
    plane.at += HOUR
    assert get(plane, b"/pay", cookie=handle).status == 401
    assert get(plane, b"/", cookie=handle).status == 200


def test_a_browser_is_led_to_sign_in_and_back(plane):
    answer = get(plane, b"/pay?to=ann", b"Sec-Fetch-Mode: navigate", cookie=signed_in(plane, HOUR))
    assert answer.status == 302
    assert answer.value(b"location") == b"http://bank.example/@/signin?rd=/pay%3Fto%3Dann"


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE"])
def test_what_changes_something_is_not_led_on(plane, method):
    answer = get(plane, b"/pay", b"Sec-Fetch-Mode: navigate", method=method, cookie=signed_in(plane, HOUR))
    assert (answer.status, answer.value(b"code")) == (401, b"sign_in_too_old")


@pytest.mark.parametrize("by", ["cookie", "bearer"])
def test_a_program_is_told_what_is_asked(plane, by):
    handle = signed_in(plane, HOUR)
    shown = {"cookie": handle} if by == "cookie" else {}
    lines = (b"Authorization: Bearer " + handle.encode(),) if by == "bearer" else ()
    answer = get(plane, b"/pay", *lines, **shown)
    assert (answer.status, answer.value(b"code")) == (401, b"sign_in_too_old")
    asked = answer.value(b"www-authenticate")
    assert asked.startswith(ASKED)
    assert asked.endswith(b', max_age="3600"')
    assert plane.log_lines[-1]["code"] == "sign_in_too_old"


def test_a_bearer_is_never_led_to_a_page(plane):
    shown = b"Authorization: Bearer " + signed_in(plane, HOUR).encode()
    assert get(plane, b"/pay", shown, b"Sec-Fetch-Mode: navigate").status == 401


def test_whom_the_rules_refuse_is_not_asked_to_sign_in_again(plane):
    assert get(plane, b"/root", cookie=signed_in(plane, HOUR)).status == 403


@pytest.mark.parametrize(("ago_s", "status"), [(5.0, 200), (HOUR, 401)])
def test_a_token_counts_by_its_own_time(loop, ago_s, status):
    open_to = policy_of(allow=ANYONE, issuers=frozenset({"ci"}), max_age_s=HOUR)
    bank = replace(BANK, takes_callers=True, routes={b"": Route(prefix=b"", backend=BACKEND, policy=open_to)})
    plane = Plane(loop, hosts=(*HOSTS, bank))
    robot = Identity(client="ci", issuer="https://ci", subject="r", signed_in_at=NOW_AT)
    plane.callers.known[b"Bearer t"] = Caller(
        id="t", kind="jwt", identities=(robot,), signed_in_at=NOW_AT - ago_s
    )
    answer = get(plane, b"/", b"Authorization: Bearer t", b"Sec-Fetch-Mode: navigate")
    assert answer.status == status
    if status == 401:
        assert answer.value(b"www-authenticate").startswith(ASKED)


def test_what_lasts_ends_when_the_sign_in_is_too_old(plane, loop):
    plane.backend.answers = lambda _request: ENDLESS
    client = plane.client().send(request(b"/pay", cookie=signed_in(plane, 0.0), host=NAME))
    plane.backend.look()
    loop.run(plane.lasting.sweep, loop.time() + 10)
    loop.settle()
    assert not client.is_ended
    plane.at += HOUR
    loop.run(plane.lasting.sweep, loop.time() + 20)
    loop.settle()
    assert client.is_ended


# -- edges --------------------------------------------------------------------------------------


@pytest.fixture
def stand(loop) -> Stand:
    return Stand(loop, hosts=(*HOSTS, BANK))


@pytest.mark.parametrize("way", [NGINX, TRAEFIK], ids=lambda way: way.name)
def test_what_an_edge_was_answered_before_is_not_said_again(stand, way):
    handle = stand.plane.sign_in(at="bank.example", signed_in_at=NOW_AT)
    for _ in range(2):
        assert stand.ask(way, b"/pay", *XHR, host=NAME, cookie=handle).status == 200
    stand.plane.at += HOUR
    assert stand.ask(way, b"/pay", *XHR, host=NAME, cookie=handle).status == 401


def test_nginx_is_told_where_signing_in_begins(stand):
    handle = stand.plane.sign_in(at="bank.example", signed_in_at=NOW_AT - HOUR)
    answer = stand.ask(NGINX, b"/pay", *NAVIGATION, host=NAME, cookie=handle)
    assert (answer.status, answer.value(b"location")) == (401, b"http://bank.example/@/signin?rd=/pay")


def test_other_edges_lead_people_on_and_tell_programs(stand):
    handle = stand.plane.sign_in(at="bank.example", signed_in_at=NOW_AT - HOUR)
    assert stand.ask(TRAEFIK, b"/pay", *NAVIGATION, host=NAME, cookie=handle).status == 302
    answer = stand.ask(TRAEFIK, b"/pay", *XHR, host=NAME, cookie=handle)
    assert (answer.status, code_of(answer)) == (401, "sign_in_too_old")
    assert answer.value(b"www-authenticate").startswith(ASKED)
