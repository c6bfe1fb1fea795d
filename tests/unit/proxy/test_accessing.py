"""An app's access token: its session under the same rules, at one host, for minutes, and never a backend's to see."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.proxy.forward.stand import NGINX, TRAEFIK, Stand, code_of
from tests.unit.proxy.plane import ANYONE, HOSTS, NOW_AT, PUBLIC, RING, Plane, host, request, route, switched
from tests.unit.proxy.test_lasting import ENDLESS
from tests.unit.proxy.test_relay import HANDSHAKE
from vestibule.core.access import Access, seal
from vestibule.core.credential import Accepted, PasswordFile
from vestibule.core.domain import Domain
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, RouteTable, Server
from vestibule.core.rule import rule
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import ProviderUnavailable
from vestibule.model import Session

pytestmark = pytest.mark.usefixtures("both_downstreams")

NAME = b"phone.example"
BACKEND = Backend(servers=(Server(host="127.0.0.1", port=9000),))
PEOPLE = frozenset({"google"})
APPS = {"ios": frozenset({"read", "write"}), "other": frozenset({"read"})}
OPEN = host(b"serving:open", route(sign_in=frozenset(), allow=PUBLIC), sign_in=())
READERS = replace(
    host(
        b"serving:readers",
        Route(prefix=b"", backend=BACKEND, policy=policy_of(allow=(rule("token", "read"),), issuers=PEOPLE)),
    ),
    takes_callers=True,
)
PHONE = replace(
    host(
        NAME,
        route(),
        route(b"/public", PUBLIC),
        route(b"/admin", (rule("email", "root@app.example"),)),
        route(b"/read", (rule("token", "read"),)),
        route(b"/write", (rule("token", "write"),)),
        route(b"/delete", (rule("token", "delete"),)),
        route(b"/nobody", (rule("token", "read"),), sign_in=frozenset({"okta"})),
        route(b"/readers", ANYONE, backend=Backend(serving="readers")),
        Route(prefix=b"/fresh", backend=BACKEND, policy=policy_of(allow=ANYONE, sign_in=PEOPLE, max_age_s=60.0)),
        Route(prefix=b"/jobs", backend=BACKEND, policy=policy_of(allow=ANYONE, sign_in=PEOPLE), needs_caller=True),
    ),
    takes_access=True,
    apps=APPS,
)  # fmt: skip
SHARED = Domain(name="hall.example", auth=b"auth.hall.example", shares_cookie=True)
HALL = replace(
    host(b"app.hall.example", route()), domain=SHARED, realm=SHARED.realm, takes_access=True, apps=APPS
)
ALL = (*HOSTS, PHONE, HALL, READERS)


@pytest.fixture
def plane(loop) -> Plane:
    return Plane(loop, hosts=ALL)


def app_session(plane: Plane, *, at: str = "phone.example", app: str = "ios", **fields: Any) -> Session:
    """A session of an app, with the scopes `read` and `write`, that nobody has asked for yet."""
    fields = {"signed_in_at": NOW_AT, **fields}
    plane.sign_in(at=at, **fields)
    session = plane.loop.wait(
        plane.sessions.update(
            plane.session.id, lambda one: replace(one, app=app, scopes=("read", "write"), clients=())
        )
    )
    assert session is not None
    return session


def token(session: Session, *, ring: KeyRing = RING, **fields: Any) -> str:
    said = {
        "host": "phone.example",
        "app": session.app,
        "session_id": session.id,
        "scopes": session.scopes,
        "expires_at": NOW_AT + 600,
    }
    return seal(ring, Access(**{**said, **fields}), nonce=b"n" * 12)


def bearer(text: str) -> bytes:
    return b"Authorization: Bearer " + text.encode()


def basic(user: str, password: str) -> bytes:
    return b"Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode())


def get(
    plane: Plane, path: bytes, *lines: bytes, name: bytes = NAME, method: bytes = b"GET", cookie: str = ""
):
    return plane.get(path, *lines, host=name, method=method, cookie=cookie)


# -- a good one -------------------------------------------------------------------------------

FORMS = {
    "Bearer": bearer,
    "bearer and blanks": lambda shown: b"Authorization: bearer   " + shown.encode(),
    "password of Basic": lambda shown: basic("git", shown),
    "user of Basic": lambda shown: basic(shown, ""),
}


@pytest.mark.parametrize("form", FORMS)
def test_it_is_the_apps_session_and_does_not_go_on(plane, form):
    session = app_session(plane)
    shown = FORMS[form](token(session))
    for _ in range(3):  # loaded, then from the cache, then from the lines that are kept
        assert get(plane, b"/a", shown).status == 200
        sent = plane.backend.requests[-1]
        assert sent.value(b"authorization") is None
        assert sent.value(b"user-email") == b"ada@app.example"
        assert sent.value(b"proxy-session")
    assert plane.traffic.ring[-1].session_id == session.id


def test_a_session_that_is_known_is_asked_of_no_store(plane):
    shown = bearer(token(app_session(plane)))
    assert get(plane, b"/a", shown).status == 200
    plane.away.is_away = True
    assert get(plane, b"/b", shown).status == 200


def test_a_store_that_is_away_signs_nobody_out(plane):
    shown = bearer(token(app_session(plane)))
    plane.away.is_away = True
    assert get(plane, b"/a", shown).status == 503
    plane.away.is_away = False
    assert get(plane, b"/a", shown).status == 200


def test_a_domains_app_is_good_at_the_host_that_the_token_is_for(plane):
    session = app_session(plane, at=".hall.example")
    shown = bearer(token(session, host="app.hall.example"))
    assert get(plane, b"/", shown, name=b"app.hall.example").status == 200


def test_of_a_token_and_a_cookie_the_token_decides_and_neither_goes_on(plane):
    shown = token(app_session(plane))
    cookie = plane.sign_in("root@app.example", at="phone.example")
    assert get(plane, b"/admin", bearer(shown), cookie=cookie).status == 403
    assert get(plane, b"/a", bearer(shown), b"Cookie: x=1", cookie=cookie).status == 200
    assert plane.backend.request.value(b"user-email") == b"ada@app.example"
    assert cookie.encode() not in plane.backend.got
    assert shown.encode() not in plane.backend.got


def test_it_is_looked_at_where_nobody_needs_to_be_known_too(plane):
    assert get(plane, b"/public", bearer(token(app_session(plane)))).status == 200
    assert plane.backend.request.value(b"user-email") == b"ada@app.example"


# -- a wrong one ------------------------------------------------------------------------------


def ended(plane: Plane) -> str:
    session = app_session(plane)
    plane.loop.wait(plane.sessions.end(session.id))
    return token(session)


def known_and_ended(plane: Plane) -> str:
    session = app_session(plane)
    assert get(plane, b"/@/session", bearer(token(session))).status == 200
    plane.loop.wait(plane.sessions.end(session.id))
    return token(session)


def of_a_browser(plane: Plane, **fields: Any) -> str:
    plane.sign_in(at="phone.example")
    return token(plane.session, **fields)


STRANGE = KeyRing((Key("k1", b"x" * 32),))
WRONG = {
    "no token": lambda plane: "vst_at_",
    "made up": lambda plane: "vst_at_" + "A" * 100,
    "other characters": lambda plane: "vst_at_a.b.c",
    "something behind it": lambda plane: token(app_session(plane)) + ", x",
    "too long": lambda plane: "vst_at_" + "A" * 5000,
    "changed": lambda plane: token(app_session(plane))[:-4] + "AAAA",
    "another gateway's": lambda plane: token(app_session(plane), ring=STRANGE),
    "expired": lambda plane: token(app_session(plane), expires_at=NOW_AT),
    "for another host": lambda plane: token(app_session(plane), host="app.hall.example"),
    "a session of another host": lambda plane: token(app_session(plane, at="app.example")),
    "a session of another app": lambda plane: token(app_session(plane), app="other"),
    "an app that is gone": lambda plane: token(app_session(plane, app="gone")),
    "a browser's session": lambda plane: of_a_browser(plane, app="ios"),
    "a browser's session, and no app": of_a_browser,
    "no session": lambda plane: token(app_session(plane), session_id=""),
    "nobody's session": lambda plane: token(app_session(plane), session_id="x" * 22),
    "a session that has ended": ended,
    "a session that was known and has ended": known_and_ended,
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("path", [b"/a", b"/public", b"/readers", b"/@/session"])
def test_a_wrong_one_is_refused_whatever_cookie_comes_with_it(plane, wrong, path):
    shown = WRONG[wrong](plane)
    cookie = plane.sign_in(at="phone.example")
    visits = len(plane.control.visits)
    answer = get(plane, path, bearer(shown), b"Sec-Fetch-Mode: navigate", cookie=cookie)
    assert (answer.status, answer.value(b"code")) == (401, b"invalid_token")
    assert answer.value(b"www-authenticate").startswith(
        b'Bearer realm="phone.example", error="invalid_token", error_description="this access token'
    )
    assert (plane.backend.connections, len(plane.control.visits)) == ([], visits)
    assert shown not in plane.log_text.getvalue()


@pytest.mark.parametrize("path", [b"/", b"/public"])
@pytest.mark.parametrize("form", [bearer, lambda shown: basic("git", shown)], ids=["Bearer", "Basic"])
def test_at_a_host_that_takes_none_it_is_nobodys_and_no_backend_sees_it(plane, path, form):
    shown = token(app_session(plane, at="app.example"), host="app.example")
    cookie = plane.sign_in()
    answer = plane.get(path, form(shown), cookie=cookie)
    assert (answer.status, answer.value(b"code")) == (401, b"invalid_token")
    assert answer.value(b"www-authenticate").startswith(b'Bearer realm="app.example", error="invalid_token"')
    assert plane.backend.connections == []


@pytest.mark.parametrize("value", [b"Bearer vst_app_x", b"Bearer xvst_at_x", b"Digest vst_at_x", b"Bearer"])
def test_what_does_not_look_like_one_is_the_backends(plane, value):
    cookie = plane.sign_in(at="phone.example")
    assert get(plane, b"/a", b"Authorization: " + value, cookie=cookie).status == 200
    assert plane.backend.request.value(b"authorization") == value


def test_it_expires_while_it_is_known(plane):
    shown = bearer(token(app_session(plane)))
    plane.at = NOW_AT + 599.9
    assert get(plane, b"/a", shown).status == 200
    plane.at = NOW_AT + 600
    assert get(plane, b"/a", shown).status == 401


def test_an_app_that_leaves_the_configuration_is_out(plane, loop):
    shown = bearer(token(app_session(plane)))
    assert get(plane, b"/a", shown).status == 200
    loop.run(plane.gateway.use, RouteTable((*HOSTS, replace(PHONE, apps={"other": APPS["other"]}))))
    assert get(plane, b"/a", shown).status == 401


def test_tokens_under_a_key_that_was_taken_off_the_ring_are_out(loop, monkeypatch):
    ring = KeyRing((Key("k1", b"k" * 32),))
    monkeypatch.setattr("tests.unit.proxy.plane.RING", ring)
    plane = Plane(loop, hosts=ALL)
    shown = bearer(token(app_session(plane), ring=ring))
    assert get(plane, b"/a", shown).status == 200
    ring.use((Key("k2", b"j" * 32),))
    assert get(plane, b"/a", shown).status == 401


def test_the_handle_of_an_apps_session_is_no_cookie(plane):
    """Threat: what is good for scopes alone, used for everything."""
    handle = plane.sign_in(at="phone.example")
    loop = plane.loop
    loop.wait(plane.sessions.update(plane.session.id, lambda one: replace(one, app="ios")))
    assert get(plane, b"/a", cookie=handle).status == 401
    assert plane.backend.connections == []


# -- rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "asked", "status"),
    [
        (b"/read", ("read",), 200),
        (b"/read", ("write",), 403),
        (b"/read", (), 403),
        (b"/write", ("read", "write"), 200),
        (b"/delete", ("read", "delete"), 403),
        (b"/nobody", ("read",), 403),
        (b"/a", (), 200),
        (b"/admin", ("read",), 403),
        (b"/jobs/1", ("read",), 401),
        (b"/readers", ("read",), 200),
        (b"/readers", ("write",), 403),
    ],
)
def test_rules_see_the_person_and_the_scopes_of_the_token(plane, path, asked, status):
    shown = bearer(token(app_session(plane), scopes=asked))
    assert get(plane, path, shown).status == status
    assert all(sent.value(b"authorization") is None for sent in plane.backend.requests)


def test_a_scope_that_the_app_may_not_have_any_more_counts_no_more(plane):
    shown = bearer(token(app_session(plane, app="other"), scopes=("read", "write")))
    assert get(plane, b"/read", shown).status == 200
    assert get(plane, b"/write", shown).status == 403


def test_a_scope_that_the_session_has_not_counts_not(plane):
    session = app_session(plane)
    plane.loop.wait(plane.sessions.update(session.id, lambda one: replace(one, scopes=("read",))))
    shown = bearer(token(session, scopes=("read", "write")))
    assert get(plane, b"/read", shown).status == 200
    assert get(plane, b"/write", shown).status == 403


def test_a_cookie_has_no_scopes(plane):
    assert get(plane, b"/read", cookie=plane.sign_in(at="phone.example")).status == 403


def test_why_it_was_refused_is_logged_with_each_condition(plane):
    get(plane, b"/write", bearer(token(app_session(plane), scopes=("read",))))
    (line,) = [line for line in plane.log_lines if line.get("code") == "not_allowed"]
    assert line["conditions"]


def test_where_a_fresh_sign_in_is_asked_a_token_of_an_old_one_is_told_so(plane):
    assert get(plane, b"/fresh", bearer(token(app_session(plane)))).status == 200
    old = app_session(plane, signed_in_at=NOW_AT - 61)
    answer = get(plane, b"/fresh", bearer(token(old)))
    assert answer.status == 401
    assert b'error="insufficient_user_authentication"' in answer.value(b"www-authenticate")


@pytest.mark.parametrize(
    ("answer", "status"),
    [(None, 401), (ProviderUnavailable("not now"), 503)],
    ids=["out", "can't be asked"],
)
def test_it_is_asked_about_as_a_cookies_is(plane, answer, status):
    session = app_session(plane)
    plane.rechecks.due.add(session.id)
    plane.rechecks.answer = answer
    assert get(plane, b"/a", bearer(token(session))).status == status
    assert plane.rechecks.asked == 1
    plane.rechecks.answer = session
    assert get(plane, b"/a", bearer(token(session))).status == 200


# -- the gateway's own paths ------------------------------------------------------------------


@pytest.mark.parametrize("path", [b"/@/session", b"/@/account"])
def test_an_app_is_told_of_its_person(plane, path):
    session = app_session(plane)
    assert get(plane, path, bearer(token(session))).status == 200
    assert plane.control.visits[-1].session.id == session.id


def test_who_has_an_exchanged_one_is_told_who_it_is_and_nothing_of_the_account(plane):
    """Threat: a service that saw one assertion reads addresses, links and devices."""
    session = app_session(plane)
    for path, shown in ((b"/@/session", session), (b"/@/account", None)):
        assert get(plane, path, bearer(token(session, exchanged=True))).status == 200
        found = plane.control.visits[-1].session
        assert (found and found.id) == (shown and shown.id)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (b"POST", b"/@/account"),
        (b"POST", b"/@/account/delete"),
        (b"POST", b"/@/account/tokens"),
        (b"GET", b"/@/account/tokens"),
        (b"GET", b"/@/account/export"),
        (b"POST", b"/@/signout"),
        (b"GET", b"/@/signin"),
        (b"GET", b"/@/authorize"),
        (b"POST", b"/@/token"),
        (b"GET", b"/@google/signin"),
    ],
)
@pytest.mark.parametrize("shown", ["good", "vst_at_bad"])
def test_at_all_others_who_shows_one_is_nobody_whatever_cookie_comes_with_it(plane, method, path, shown):
    """Threat: an app that changes how its person signs in. And a program whose token has ended can get another."""
    text = token(app_session(plane)) if shown == "good" else shown
    cookie = plane.sign_in(at="phone.example")
    assert get(plane, path, bearer(text), method=method, cookie=cookie).status == 200
    assert plane.control.visits[-1].session is None


# -- edges ------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [NGINX, TRAEFIK], ids=lambda way: way.name)
def test_edges_let_it_pass_and_do_not_hand_it_on(loop, way):
    stand = Stand(loop, hosts=ALL)
    session = app_session(stand.plane)
    for path in (b"/a", b"/read", b"/readers"):
        answer = stand.ask(way, path, bearer(token(session)), host=NAME)
        assert (answer.status, answer.value(b"authorization")) == (200, b"")
        assert answer.value(b"user-email") == b"ada@app.example"
    wrong = token(session, host="other.example")
    for path in (b"/a", b"/public"):
        answer = stand.ask(way, path, bearer(wrong), host=NAME)
        assert (answer.status, code_of(answer)) == (401, "invalid_token")
    answer = stand.ask(way, b"/public", bearer(token(session)), host=b"app.example")
    assert (answer.status, code_of(answer)) == (401, "invalid_token")


# -- what lasts -------------------------------------------------------------------------------


def opened(plane: Plane, session: Session, path: bytes = b"/events", **fields: Any):
    """A client whose answer has begun and goes on."""
    plane.backend.answers = lambda _request: ENDLESS
    client = plane.client().send(request(path, bearer(token(session, **fields)), host=NAME))
    plane.backend.look()
    assert not client.is_ended
    return client


def swept(plane: Plane) -> None:
    plane.loop.run(plane.lasting.sweep, plane.loop.time() + 10)
    plane.loop.settle()


def test_a_websocket_ends_with_the_session(plane, loop):
    session = app_session(plane)
    plane.backend.answers = switched
    client = plane.client().send(request(b"/ws", bearer(token(session)), *HANDSHAKE, host=NAME))
    plane.backend.look()
    assert plane.backend.request.value(b"authorization") is None
    assert not client.is_ended
    loop.wait(plane.sessions.end(session.id))
    loop.settle()
    assert client.is_ended


@pytest.mark.parametrize(("after_s", "is_ended"), [(599.0, False), (600.0, True)])
@pytest.mark.parametrize("path", [b"/events", b"/read", b"/readers"])
def test_what_lasts_ends_with_the_token(plane, after_s, is_ended, path):
    """Threat: a WebSocket that goes on for weeks by a token that was good for minutes."""
    client = opened(plane, app_session(plane), path)
    plane.at += after_s
    swept(plane)
    assert client.is_ended is is_ended


def test_a_session_that_is_seen_meanwhile_lets_what_lasts_go_on(plane, loop):
    session = app_session(plane)
    client = opened(plane, session, b"/read")
    loop.wait(plane.sessions.update(session.id, lambda one: replace(one, rotation=1)))
    loop.settle()
    assert not client.is_ended


def test_it_ends_when_the_scope_is_taken_away(plane, loop):
    session = app_session(plane)
    client = opened(plane, session, b"/read")
    loop.wait(plane.sessions.update(session.id, lambda one: replace(one, scopes=("write",))))
    loop.settle()
    assert client.is_ended


def without(apps: dict[str, frozenset[str]]) -> tuple[Host, ...]:
    return (*HOSTS, replace(PHONE, apps=apps), READERS)


@pytest.mark.parametrize(
    "hosts",
    [without({"other": APPS["other"]}), without({"ios": frozenset({"write"})}), (*HOSTS, READERS)],
    ids=["the app", "its scope", "the host"],
)
def test_it_ends_with_what_leaves_the_configuration(plane, loop, hosts):
    client = opened(plane, app_session(plane), b"/read")
    loop.run(plane.gateway.use, RouteTable(hosts))
    loop.settle()
    assert client.is_ended


def test_a_password_file_is_shown_no_token(loop):
    passwords = replace(PHONE, takes_callers=True, accepts=Accepted(passwords=PasswordFile(name="htpasswd")))
    plane = Plane(loop, hosts=(*HOSTS, passwords))
    shown = basic("ada", token(app_session(plane)))
    plane.callers.known[shown.partition(b": ")[2]] = AssertionError("it was shown")
    assert get(plane, b"/a", shown).status == 200


# -- of apps that registered themselves, and exchanged ones -------------------------------------

REGISTERED = "registered-" + "x" * 43
AGENTS = replace(PHONE, name=b"agents.example", registers=True, registered_scopes=("read",))


@pytest.fixture
def agents(loop) -> Plane:
    return Plane(loop, hosts=(*ALL, AGENTS))


def asked(plane: Plane, path: bytes, text: str) -> int:
    return int(get(plane, path, bearer(text), name=b"agents.example").status)


def test_an_app_that_registered_itself_has_what_such_may_have(agents):
    session = app_session(agents, at="agents.example", app=REGISTERED)
    shown = token(session, host="agents.example")
    assert [asked(agents, path, shown) for path in (b"/a", b"/read", b"/write")] == [200, 200, 403]


@pytest.mark.parametrize(("path", "is_told"), [(b"/@/session", True), (b"/@/account", False)])
def test_an_app_that_registered_itself_does_not_read_the_account(agents, path, is_told):
    session = app_session(agents, at="agents.example", app=REGISTERED)
    cookie = agents.sign_in(at="agents.example")
    shown = bearer(token(session, host="agents.example"))
    assert get(agents, path, shown, name=b"agents.example", cookie=cookie).status == 200
    seen = agents.control.visits[-1].session
    assert (seen.id if seen else None) == (session.id if is_told else None)


@pytest.mark.parametrize("app", ["registered-x", "registered-" + "x" * 44, "nobody"])
def test_no_other_app_is_taken_for_one(agents, app):
    session = app_session(agents, at="agents.example", app=app)
    assert asked(agents, b"/a", token(session, host="agents.example")) == 401


def test_where_none_may_register_theirs_are_good_no_more(plane):
    session = app_session(plane, app=REGISTERED)
    assert get(plane, b"/a", bearer(token(session))).status == 401


def test_a_token_that_was_exchanged_is_of_the_session_of_the_app_it_was_exchanged_for(plane):
    session = app_session(plane)
    good = token(session, app="other", session_app="ios", scopes=("read",))
    assert get(plane, b"/read", bearer(good)).status == 200
    for wrong in ({"session_app": ""}, {"session_app": "another"}):
        assert (
            get(plane, b"/read", bearer(token(session, app="other", scopes=("read",), **wrong))).status == 401
        )


def test_a_token_of_a_browsers_session_is_good_for_its_scopes_and_for_that_alone(plane):
    plane.sign_in(at="phone.example")
    theirs = {"app": "ios", "of_browser": True}
    assert get(plane, b"/read", bearer(token(plane.session, **theirs, scopes=("read",)))).status == 200
    assert get(plane, b"/write", bearer(token(plane.session, **theirs, scopes=("read",)))).status == 403
    assert get(plane, b"/read", bearer(token(plane.session, **theirs, scopes=()))).status == 403
    assert get(plane, b"/read", bearer(token(plane.session, app="ios", scopes=("read",)))).status == 401
    assert get(plane, b"/read", bearer(token(plane.session, app="gone", of_browser=True))).status == 401


def test_a_token_of_a_browsers_session_is_not_one_of_an_apps(plane):
    shown = token(app_session(plane), of_browser=True, scopes=("read",))
    assert get(plane, b"/read", bearer(shown)).status == 401


@pytest.mark.parametrize(("after_s", "is_ended"), [(599.0, False), (600.0, True)])
def test_what_lasts_by_a_browsers_session_ends_with_the_token_too(plane, after_s, is_ended):
    plane.sign_in(at="phone.example")
    plane.backend.answers = lambda _request: ENDLESS
    shown = token(plane.session, app="ios", of_browser=True, scopes=("read",))
    client = plane.client().send(request(b"/read", bearer(shown), host=NAME))
    plane.backend.look()
    plane.at += after_s
    swept(plane)
    assert client.is_ended is is_ended
