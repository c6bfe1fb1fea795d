"""A session's handle as bearer: the same session under the same rules, without a cookie, and never beside one."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.proxy.forward.stand import NGINX, TRAEFIK, Stand, code_of
from tests.unit.proxy.plane import ANYONE, HOSTS, NOW_AT, RING, Plane, host, request, route, switched
from tests.unit.proxy.test_lasting import ENDLESS
from tests.unit.proxy.test_relay import HANDSHAKE
from tests.unit.proxy.test_serving import OPEN, ROOT
from vestibule.core import session_token
from vestibule.core.domain import Domain
from vestibule.core.route import Backend
from vestibule.core.rule import Rule
from vestibule.errors import CredentialRefused
from vestibule.model import Caller, Identity

pytestmark = pytest.mark.usefixtures("both_downstreams")

NAME = b"phone.example"
ROOT_ONLY = (Rule(kind="email", value="root@app.example", text="email:root@app.example"),)
PHONE = replace(
    host(
        NAME,
        route(),
        route(b"/admin", ROOT_ONLY),
        route(b"/open", ANYONE, backend=Backend(serving="open")),
        route(b"/root", ANYONE, backend=Backend(serving="root")),
    ),
    session_bearer=True,
)
SHARED = Domain(name="hall.example", auth=b"auth.hall.example", shares_cookie=True)
HALL = replace(host(b"app.hall.example", route()), domain=SHARED, realm=SHARED.realm, session_bearer=True)


@pytest.fixture
def plane(loop) -> Plane:
    return Plane(loop, hosts=(*HOSTS, PHONE, HALL, OPEN, ROOT))


def bearer(text: str | bytes) -> bytes:
    return b"Authorization: Bearer " + (text.encode() if isinstance(text, str) else text)


def token(handle: str, realm: str = "phone.example") -> str:
    audience = session_token.audience_of(realm)
    return session_token.write(RING, handle, domain=audience, now=NOW_AT, expires_at=NOW_AT + 60)


def get(
    plane: Plane, path: bytes, *lines: bytes, name: bytes = NAME, method: bytes = b"GET", cookie: str = ""
):
    return plane.get(path, *lines, host=name, method=method, cookie=cookie)


FORMS = pytest.mark.parametrize("form", [str, token], ids=["handle", "JWT"])


@FORMS
def test_it_is_the_session_and_does_not_go_on(plane, form):
    shown = bearer(form(plane.sign_in(at="phone.example")))
    for _ in range(3):  # loaded, then from the cache, then from the lines that are kept
        assert get(plane, b"/a", shown).status == 200
        sent = plane.backend.requests[-1]
        assert sent.value(b"authorization") is None
        assert sent.value(b"user-email") == b"ada@app.example"
        assert sent.value(b"proxy-session")
    assert plane.traffic.ring[-1].session_id == plane.session.id


@FORMS
def test_the_rules_are_the_same(plane, form):
    assert get(plane, b"/admin", bearer(form(plane.sign_in(at="phone.example")))).status == 403
    root = plane.sign_in("root@app.example", at="phone.example")
    assert get(plane, b"/admin", bearer(form(root)), method=b"POST").status == 200


def ended(plane: Plane) -> str:
    handle = plane.sign_in(at="phone.example")
    plane.loop.wait(plane.sessions.end(plane.session.id))
    return handle


WRONG = {
    "a handle of nobody": lambda plane: "x" * 43,
    "a handle of another host": lambda plane: plane.sign_in(),
    "a token for another host": lambda plane: token(plane.sign_in(at="phone.example"), "app.example"),
    "a token with a handle of another host": lambda plane: token(plane.sign_in()),
    "a token that somebody changed": lambda plane: token(plane.sign_in(at="phone.example"))[:-4] + "AAAA",
    "a session that has ended": ended,
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_one_is_refused_whatever_cookie_comes_with_it(plane, wrong):
    shown = WRONG[wrong](plane)
    cookie = plane.sign_in(at="phone.example")
    answer = get(plane, b"/a", bearer(shown), b"Sec-Fetch-Mode: navigate", cookie=cookie)
    assert (answer.status, answer.value(b"code")) == (401, b"session_invalid")
    assert answer.value(b"www-authenticate").startswith(
        b'Bearer realm="phone.example", error="invalid_token"'
    )
    assert plane.backend.connections == []
    assert shown not in plane.log_text.getvalue()


def test_of_a_bearer_and_a_cookie_the_bearer_decides_and_neither_goes_on(plane):
    cookie = plane.sign_in("root@app.example", at="phone.example")
    shown = plane.sign_in(at="phone.example")
    assert get(plane, b"/admin", bearer(shown), cookie=cookie).status == 403
    assert get(plane, b"/a", bearer(shown), b"Cookie: x=1", cookie=cookie).status == 200
    assert plane.backend.request.value(b"user-email") == b"ada@app.example"
    assert cookie.encode() not in plane.backend.got
    assert shown.encode() not in plane.backend.got


def test_where_it_is_not_taken_it_is_the_backends(plane):
    handle = plane.sign_in()
    assert plane.get(b"/public", bearer(handle)).status == 200
    assert plane.backend.request.value(b"authorization") == b"Bearer " + handle.encode()
    assert plane.get(b"/a", bearer(handle)).status == 401


@pytest.mark.parametrize(
    "value", [b"Bearer short", b"Bearer a.b.c", b"Basic " + b"x" * 43, b"Bearer " + b"x" * 44]
)
def test_what_is_no_handle_is_the_backends(plane, value):
    cookie = plane.sign_in(at="phone.example")
    assert get(plane, b"/a", b"Authorization: " + value, cookie=cookie).status == 200
    assert plane.backend.request.value(b"authorization") == value


def test_a_domains_session_is_good_at_each_of_its_hosts(plane):
    handle = plane.sign_in(at=".hall.example")
    for shown in (handle, token(handle, ".hall.example")):
        assert get(plane, b"/", bearer(shown), name=b"app.hall.example").status == 200


def test_it_holds_at_the_gateways_own_paths(plane):
    handle = plane.sign_in(at="phone.example")
    assert get(plane, b"/@/session", bearer(handle)).status == 200
    assert plane.control.visits[-1].session.id == plane.session.id
    assert get(plane, b"/@/session", bearer("x" * 43)).status == 401


def test_it_holds_at_a_serving_by_the_rules_of_both(plane):
    plane.callers.known[b"Bearer " + b"k" * 43] = CredentialRefused("no")
    handle = plane.sign_in(at="phone.example")
    assert get(plane, b"/open", bearer(handle)).status == 200
    assert plane.backend.request.value(b"authorization") is None
    assert get(plane, b"/root", bearer(handle)).status == 403


def test_a_store_that_is_away_signs_nobody_out(plane):
    handle = plane.sign_in(at="phone.example")
    plane.away.is_away = True
    assert get(plane, b"/a", bearer(handle)).status == 503


def test_a_websocket_by_bearer_ends_with_its_session(plane, loop):
    plane.backend.answers = switched
    handle = plane.sign_in(at="phone.example")
    client = plane.client().send(request(b"/ws", bearer(handle), *HANDSHAKE, host=NAME))
    plane.backend.look()
    assert not client.is_ended
    loop.wait(plane.sessions.end(plane.session.id))
    loop.settle()
    assert client.is_ended


def test_a_stream_by_bearer_ends_with_its_session(plane, loop):
    plane.backend.answers = lambda _request: ENDLESS
    handle = plane.sign_in(at="phone.example")
    client = plane.client().send(request(b"/events", bearer(token(handle)), host=NAME))
    plane.backend.look()
    loop.wait(plane.sessions.end(plane.session.id))
    loop.settle()
    assert client.is_ended


def test_other_credentials_are_told_apart(loop):
    plane = Plane(loop, hosts=(*HOSTS, replace(PHONE, takes_callers=True, issuers=("ci",))))
    robot = Identity(client="ci", issuer="https://ci", subject="robot", login="robot")
    plane.callers.known[b"Bearer vst_app_x"] = Caller(id="t", kind="app_token", identities=(robot,))
    handle = plane.sign_in(at="phone.example")
    assert get(plane, b"/a", bearer(handle)).status == 200
    get(plane, b"/a", b"Authorization: Bearer vst_app_x")
    assert plane.traffic.ring[-1].session_id == "app_token:t"


@pytest.mark.parametrize("way", [NGINX, TRAEFIK], ids=lambda way: way.name)
@FORMS
def test_edges_let_it_pass_and_do_not_hand_it_on(loop, way, form):
    stand = Stand(loop, hosts=(*HOSTS, PHONE))
    handle = stand.plane.sign_in(at="phone.example")
    for _ in range(2):
        answer = stand.ask(way, b"/a", bearer(form(handle)), host=NAME)
        assert (answer.status, answer.value(b"authorization")) == (200, b"")
        assert answer.value(b"user-email") == b"ada@app.example"
    answer = stand.ask(way, b"/a", bearer("x" * 43), host=NAME)
    assert (answer.status, code_of(answer)) == (401, "session_invalid")
