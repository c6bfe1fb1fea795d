"""What each edge is answered: by who asks, for what kind of request, and never what its contract doesn't know."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from msgspec.structs import replace

from tests.unit.proxy.forward.stand import (
    ENVOY,
    HAPROXY,
    NAVIGATION,
    NGINX,
    SOCKET,
    WAYS,
    XHR,
    Stand,
    Way,
    code_of,
)
from tests.unit.proxy.plane import HOSTS
from tests.unit.proxy.test_domain import SHARED, placed
from tests.unit.proxy.test_serving import BAD, FRONT, GOOD, KEYS, OPEN, ROBOT, ROOT
from vestibule.core.inject import FAMILIES, names
from vestibule.errors import ClientError, CredentialRefused
from vestibule.model import Caller, Identity
from vestibule.observe.traffic import Kind

WAY = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
KINDS = {
    "navigation": (b"GET", NAVIGATION),
    "navigation by HEAD": (b"HEAD", NAVIGATION),
    "fetch": (b"GET", XHR),
    "nothing said": (b"GET", ()),
    "form": (b"POST", NAVIGATION),
    "POST of a program": (b"POST", XHR),
    "PUT": (b"PUT", XHR),
    "DELETE": (b"DELETE", XHR),
    "PATCH": (b"PATCH", XHR),
    "PROPFIND": (b"PROPFIND", ()),
    "OPTIONS": (b"OPTIONS", ()),
    "CORS preflight": (b"OPTIONS", (b"Origin: https://b.example", b"Access-Control-Request-Method: PUT")),
    "WebSocket": (b"GET", SOCKET),
    "WebSocket with Upgrade": (b"GET", (*SOCKET, b"Connection: Upgrade", b"Upgrade: websocket")),
}
KIND = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def stand(loop):
    return Stand(loop)


def ask(stand: Stand, way: Way, kind: str, target: bytes = b"/a?b=c&d", **more):
    method, lines = KINDS[kind]
    return stand.ask(way, target, *lines, method=method, **more)


@KIND
@WAY
def test_nobody_is_sent_to_sign_in(stand, way, kind):
    answer = ask(stand, way, kind)
    sign_in = b"http://app.example/@/signin"
    if not way.passes_bodies:
        assert answer.status == 401
        assert answer.value(b"location") == sign_in + b"?rd=" + quote("/a?b=c&d", safe="/").encode()
        assert answer.value(b"www-authenticate")
        assert answer.body == b""
    elif kind.startswith("navigation"):
        assert answer.status == 302
        assert answer.value(b"location") == sign_in + b"?rd=" + quote("/a?b=c&d", safe="/").encode()
    else:
        assert answer.status == 401
        assert answer.value(b"location") is None
        assert answer.value(b"www-authenticate")
        if kind != "form":  # for whose sender there is a page
            assert (code_of(answer), sign_in in answer.body) == ("sign_in_required", True)
    assert answer.value(b"cache-control") == b"no-store"


@KIND
@WAY
def test_who_may_passes_and_is_named(stand, way, kind):
    handle = stand.plane.sign_in(name="Ada", groups=("a", "b"))
    answer = ask(stand, way, kind, cookie=handle)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.value(b"user-email") == b"ada@app.example"
    assert answer.value(b"user-name") == b"Ada"
    assert answer.value(b"user-groups") == b"a,b"
    assert answer.value(b"proxy-session")
    assert answer.value(b"cache-control") == b"no-store"
    assert answer.value(b"content-length") == b"0"


@KIND
@WAY
def test_who_may_not_is_refused_and_never_sent_to_sign_in(stand, way, kind):
    answer = ask(stand, way, kind, b"/admin/x", cookie=stand.plane.sign_in())
    assert answer.status == 403
    assert answer.value(b"location") is None
    assert answer.values(b"user-email") == []
    if not way.passes_bodies or kind == "fetch":
        assert code_of(answer) == "not_allowed"
    elif kind == "navigation":
        assert answer.value(b"content-type").startswith(b"text/html")


@WAY
def test_on_a_public_route_everybody_passes_and_nobody_is_named_by_every_header(stand, way):
    answer = stand.ask(way, b"/public/x", b"User-Id: root", b"X-Forwarded-User: root")
    assert answer.status == 200
    found = stand.plane.judge._views.of(b"app.example", stand.plane.listener).host
    for name in names(found):
        assert answer.value(name.encode()) == b"", name


@WAY
def test_the_same_headers_come_whoever_asks(stand, way):
    cookies = {"": "", "known": stand.plane.sign_in()}
    told = [
        [name for name, _ in stand.ask(way, b"/public", cookie=cookie).fields if name.lower() != b"date"]
        for cookie in cookies.values()
    ]
    assert told[0] == told[1]
    assert len(set(told[0])) == len(told[0])


@WAY
def test_the_rules_look_at_the_method_of_the_request_itself(stand, way):
    """The hole of edges that always ask by GET: a rule for GET that lets POST pass."""
    assert stand.ask(way, b"/get").status == 200
    answer = stand.ask(way, b"/get", *XHR, method=b"POST")
    if way.passes_bodies:
        assert (answer.status, answer.value(b"allow")) == (405, b"GET, HEAD")
    else:
        assert answer.status == 403
    assert code_of(answer) == "method_not_allowed"


@pytest.mark.parametrize(
    "path", [b"/@/signin", b"/@/session", b"/@google/callback", b"/@/validate", b"/@/healthz"]
)
@WAY
def test_paths_of_the_gateways_own_are_not_asked_about(stand, way, path):
    answer = stand.ask(way, path, *XHR, cookie=stand.plane.sign_in())
    assert (answer.status, code_of(answer)) == (403, "own_path")


@WAY
def test_a_host_of_nobodys_is_refused(stand, way):
    answer = stand.ask(way, b"/", *XHR, host=b"evil.example")
    assert (answer.status, code_of(answer)) == (421 if way.passes_bodies else 403, "unknown_host")


@WAY
def test_a_host_that_is_only_asked_about(stand, way):
    handle = stand.plane.sign_in(at="asked.example")
    assert stand.ask(way, host=b"asked.example", cookie=handle).status == 200
    answer = stand.ask(way, b"/x", *NAVIGATION, host=b"asked.example:8443")
    assert answer.value(b"location") == b"https://asked.example/@/signin?rd=/x"


@WAY
def test_while_the_store_is_away_nobody_passes(stand, way):
    handle = stand.plane.sign_in()
    stand.plane.away.is_away = True
    answer = stand.ask(way, b"/", *XHR, cookie="A" * len(handle))
    assert (answer.status, code_of(answer)) == (503, "store_unavailable")
    assert answer.value(b"set-cookie") is None


@WAY
def test_two_cookies_of_our_name_are_none_and_cleared_once(stand, way):
    handle = stand.plane.sign_in()
    twice = b"Cookie: vestibule-80=%s; vestibule-80=%s" % (handle.encode(), handle.encode())
    answer = stand.ask(way, b"/", *NAVIGATION, twice)
    assert answer.status == (302 if way.passes_bodies else 401)
    assert answer.value(b"set-cookie").startswith(b"vestibule-80=;")


@WAY
def test_s4_of_two_cookies_of_a_domain_the_planted_one_is_cleared_by_edges_that_hand_on_one(loop, way):
    """nginx hands on one `Set-Cookie`: were it the domain's, the two would come again and again."""
    stand = Stand(loop, hosts=placed(SHARED))
    handle = stand.plane.sign_in(at=".hall.example").encode()
    twice = b"Cookie: X-Hall=" + handle + b"; X-Hall=planted"
    answer = stand.ask(way, b"/a", *NAVIGATION, twice, host=b"app.hall.example")
    cleared = [value for name, value in answer.fields if name.lower() == b"set-cookie"]
    assert [b"Domain=" in value for value in cleared] == ([True, False] if way.passes_bodies else [False])
    alone = stand.ask(way, b"/a", b"Cookie: X-Hall=" + handle, host=b"app.hall.example")
    assert (alone.status, alone.value(b"set-cookie")) == (200, None)


@WAY
def test_a_page_of_another_site_opens_no_socket(stand, way):
    """Attack P7: browsers send cookies along, and ask no CORS."""
    handle = stand.plane.sign_in()
    for origin, status in ((b"http://app.example", 200), (b"http://evil.example", 403), (b"null", 403)):
        assert stand.ask(way, b"/", *SOCKET, b"Origin: " + origin, cookie=handle).status == status


@WAY
def test_a_callers_own_credential_counts(loop, way):
    hosts = tuple(replace(one, takes_callers=True) for one in HOSTS)
    stand = Stand(loop, hosts=hosts)
    robot = Identity(client="google", issuer="https://google", subject="2", email="bot@app.example")
    stand.plane.callers.known[b"Bearer good"] = Caller(id="t", kind="jwt", identities=(robot,))
    stand.plane.callers.known[b"Bearer bad"] = ClientError("no", code="invalid_token", status=401)
    answer = stand.ask(way, b"/", b"Authorization: Bearer good")
    assert (answer.status, answer.value(b"user-email")) == (200, b"bot@app.example")
    answer = stand.ask(way, b"/", *XHR, b"Authorization: Bearer bad", cookie=stand.plane.sign_in())
    assert (answer.status, code_of(answer)) == (401, "invalid_token")


@pytest.mark.parametrize("agent", [b"GoogleHC/1.0", b"kube-probe/1.27", b"ELB-HealthChecker/2.0"])
@WAY
def test_a_health_checks_name_opens_nothing(stand, way, agent):
    """Attack CVE-2026-34457: 200 on any path for the User-Agent of a platform."""
    assert stand.ask(way, b"/", b"User-Agent: " + agent).status == 401


@WAY
def test_each_question_is_one_record_of_the_request_asked_about(stand, way):
    stand.ask(way, b"/admin?secret=1", method=b"POST", cookie=stand.plane.sign_in())
    [record] = stand.plane.traffic.ring
    assert (record.kind, record.name, record.method, record.path) == (
        Kind.EDGE,
        b"app.example",
        b"POST",
        b"/admin",
    )
    assert (record.status, record.decision, record.address) == (403, "not_allowed", "192.0.2.7")
    assert record.session_id == stand.plane.session.id
    [line] = [line for line in stand.plane.log_lines if line["event"] == "refused"]
    assert (line["path"], line["method"], line["listener"]) == ("/admin", "POST", "forward_auth")
    assert line["id"] == record.request_id


@WAY
def test_where_nothing_changed_an_answer_is_given_again(stand, way):
    handle = stand.plane.sign_in()
    _, *others = [stand.ask(way, b"/a", cookie=handle) for _ in range(4)]
    assert all(other == others[0] for other in others)
    assert [record.decision for record in stand.plane.traffic.ring] == ["anyone"] * 4
    stand.loop.wait(stand.plane.sessions.end(stand.plane.session.id))
    assert stand.ask(way, b"/a", cookie=handle).status == 401


def test_head_is_answered_like_get_without_a_body(stand):
    for target, status in ((b"/", 401), (b"/public", 200)):
        data = HAPROXY.question(b"GET", target, b"app.example", ()).replace(b"GET /@", b"HEAD /@")
        answer = stand.send(data, method=b"HEAD")
        assert (answer.status, answer.body) == (status, b"")
        assert bool(answer.value(b"location")) is (status == 401)


def test_a_question_with_a_body_is_answered(stand):
    data = ENVOY.question(b"POST", b"/public", b"app.example", ()).replace(
        b"Content-Length: 0", b"Content-Length: 5"
    )
    assert stand.send(data + b"hello").status == 200


def test_nginx_knows_no_other_status(stand):
    seen = set()
    for target in (b"/", b"/public", b"/admin", b"/get", b"/@/x", b"/a%00", b"//", b"/small"):
        for method in (b"GET", b"POST", b"TRACE", b"BREW"):
            for host in (b"app.example", b"closed.example", b"none.example", b"", b"a,b"):
                seen.add(stand.ask(NGINX, target, method=method, host=host).status)
    assert seen == {200, 401, 403}


@WAY
def test_what_the_backend_gets_of_cookies_and_credentials_is_told(stand, way):
    """An edge hands the whole Cookie on otherwise, and every backend could act as the person anywhere."""
    handle = stand.plane.sign_in().encode()
    lines = (b"Cookie: theme=dark; vestibule-80=" + handle + b"; a=b", b"Authorization: Digest x")
    answer = stand.ask(way, b"/a", *lines)
    assert answer.status == 200
    assert answer.value(b"cookie") == b"theme=dark; a=b"
    assert answer.value(b"authorization") == b"Digest x"


@WAY
def test_h2_an_odd_spelling_that_an_edge_would_hand_on_is_refused(stand, way):
    handle = stand.plane.sign_in()
    for line in (b"User_Id: root", b"X-Forwarded_User: root", b"Remote.User: root"):
        assert stand.ask(way, b"/a", line, cookie=handle).status in (400, 403), line
    assert stand.ask(way, b"/a", b"User-Id: root", cookie=handle).status == 200


@WAY
def test_p2_p5_what_would_have_a_backend_act_on_something_else_is_refused(stand, way):
    """The edge hands these on: another method or address than was decided on, a tunnel that nobody is asked about."""
    handle = stand.plane.sign_in()
    for lines in (
        (b"X-HTTP-Method-Override: DELETE",),
        (b"x-method-override: DELETE",),
        (b"X-HTTP-Method: DELETE",),
        (b"X-Rewrite-URL: /admin",),
        (b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",),
        (b"Connection: upgrade", b"Upgrade: h2c"),
        (b"Connection: upgrade", b"Upgrade: websocket, h2c"),
    ):
        assert stand.ask(way, b"/a", *lines, cookie=handle).status in (400, 403), lines
    assert stand.ask(way, b"/a", cookie=handle).status == 200


@WAY
def test_a_serving_behind_the_host_is_asked_too(loop, way):
    """The edge has the serving's backend behind it, so without its rules nobody would ask for the key."""
    stand = Stand(loop, hosts=(*HOSTS, FRONT, OPEN, KEYS, ROOT))
    stand.plane.callers.known[b"Basic good"] = ROBOT
    stand.plane.callers.known[b"Basic bad"] = CredentialRefused("no", code="bad_credentials")
    handle = b"Cookie: __Host-vestibule=" + stand.plane.sign_in(at="front.example").encode()
    for lines in ((), (BAD,), (handle,)):
        assert stand.ask(way, b"/keys", *lines, host=b"front.example").status == 401
    answer = stand.ask(way, b"/keys", GOOD, host=b"front.example")
    assert (answer.status, answer.value(b"user-name"), answer.value(b"authorization")) == (200, b"robot", b"")
    assert stand.ask(way, b"/both", GOOD, host=b"front.example").status == 401
    for path, status in ((b"/a", 200), (b"/both", 401), (b"/root", 403)):
        for _again in range(3):
            assert stand.ask(way, path, handle, host=b"front.example").status == status


@WAY
def test_h2_a_claim_under_a_name_that_no_edge_was_told_of_is_refused(stand, way):
    """nginx and Traefik overwrite names, and know no beginnings of names: `X-Vouch-IdP-Claims-Role` would pass."""
    handle = stand.plane.sign_in()
    for name in (b"X-Vouch-IdP-Claims-Role", b"x-vouch-idp-claims-admin", b"X-Pomerium-Claim-Role"):
        assert stand.ask(way, b"/a", name + b": admin", cookie=handle).status in (400, 403), name
    told = [name for one in FAMILIES.values() for name, _ in one.headers]
    for name in told:
        if name.startswith(("X-Vouch-", "X-Pomerium-")):
            assert stand.ask(way, b"/a", name.encode() + b": admin", cookie=handle).status == 200, name
