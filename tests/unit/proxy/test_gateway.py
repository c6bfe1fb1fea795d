"""The request path: which host, which session, the decision, and what the backend is told."""

from __future__ import annotations

import itertools
import json

import pytest
from msgspec.structs import replace

from tests.unit.proxy.client_h2 import H2Client
from tests.unit.proxy.plane import NOW_AT, RING, Plane, host, ok, request, route, switched
from tests.unit.proxy.test_relay import HANDSHAKE
from vestibule.core.handle import open_handle
from vestibule.core.route import Backend
from vestibule.errors import ProviderUnavailable
from vestibule.proxy.view import Views

NAVIGATE = b"Sec-Fetch-Mode: navigate"


pytestmark = pytest.mark.usefixtures("both_downstreams")


@pytest.fixture
def plane(loop) -> Plane:
    return Plane(loop)


# -- hosts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"app.example", b"APP.example", b"app.example.", b"app.example:8080"])
def test_a_host_is_found_by_its_name_in_any_spelling(plane, name):
    assert plane.get(b"/public", host=name).status == 200


@pytest.mark.parametrize(
    "name", [b"evil.example", b"app.example.evil.example", b"127.0.0.1", b"[::1]", b"xapp.example"]
)
def test_an_unknown_host_is_421_and_nothing_goes_out(plane, name):
    answer = plane.get(b"/public", host=name)
    assert (answer.status, answer.value(b"code")) == (421, b"unknown_host")
    assert plane.backend.connections == []


def test_names_made_up_by_clients_are_not_counted_one_by_one(plane):
    """Threat: memory that grows with every Host a client thinks of."""
    for at in range(20):
        plane.get(b"/", host=b"evil-%d.example" % at)
    assert len({record.name for record in plane.traffic.ring}) == 1


def test_an_absolute_target_is_served_as_its_path(plane):
    answer = plane.exchange(request(b"http://app.example/public/a?b=c"))
    assert answer.status == 200
    assert plane.backend.request.target == b"/public/a?b=c"


# -- what was decided on is what is forwarded ----------------------------------------------------------------------

PATHS = {
    b"/public/../x": b"/x",
    b"/public/%2e%2e/x": b"/x",
    b"/public/.%2E/./x": b"/x",
    b"/x/../public/a": b"/public/a",
    b"//public//a": b"/public/a",
    b"/public/%61?q=%2e%2E/..": b"/public/a?q=%2e%2E/..",
}


@pytest.mark.parametrize(("raw", "seen"), PATHS.items(), ids=[path.decode() for path in PATHS])
def test_the_decision_and_the_backend_see_one_path(plane, raw, seen):
    answer = plane.get(raw)
    if seen.startswith(b"/public"):
        assert plane.backend.request.target == seen
    else:
        assert answer.status == 401
        assert plane.backend.connections == []


@pytest.mark.parametrize(
    "path", [b"/public;x/admin", b"/admin;x/y", b"/public/..;/admin", b"/@;x/signin", b"/;/admin"]
)
def test_a_path_with_two_meanings_is_refused(plane, path):
    handle = plane.sign_in()
    assert plane.get(path, cookie=handle).status == 400
    assert plane.backend.connections == []


# -- the decision --------------------------------------------------------------------------------------------------


def test_nobody_gets_to_a_protected_path(plane):
    assert plane.get(b"/a").status == 401
    assert plane.backend.connections == []


def test_a_signed_in_person_gets_there(plane):
    assert plane.get(b"/a", cookie=plane.sign_in()).body == b"from /a"


def test_another_person_does_not(plane):
    answer = plane.get(b"/admin/x", cookie=plane.sign_in())
    assert (answer.status, answer.value(b"code")) == (403, b"not_allowed")
    assert plane.get(b"/admin/x", cookie=plane.sign_in("ROOT@app.example")).status == 200
    assert len(plane.backend.requests) == 1


def test_a_browser_is_sent_to_sign_in_and_back(plane):
    answer = plane.get(b"/a%20b?x=1&y=%2F#"[:-1], NAVIGATE)
    assert answer.status == 302
    assert answer.value(b"location") == b"http://app.example/@/signin?rd=/a%2520b%3Fx%3D1%26y%3D%252F"
    assert answer.value(b"cache-control") == b"no-store"
    assert answer.values(b"set-cookie") == []


def test_a_program_is_told_where_to_sign_in(plane):
    answer = plane.get(b"/a", method=b"POST")
    assert (answer.status, answer.value(b"code")) == (401, b"sign_in_required")
    assert json.loads(answer.body)["sign_in"] == "http://app.example/@/signin"


def test_the_way_to_sign_in_comes_from_the_configuration_never_from_host(loop):
    plane = Plane(loop, hosts=(host(b"app.example", route(), base_url="https://app.example"),))
    answer = plane.get(b"/a", NAVIGATE, host=b"app.example:6666")
    assert answer.value(b"location").startswith(b"https://app.example/@/signin?")


def test_a_host_without_sign_in_says_no(plane):
    answer = plane.get(b"/a", host=b"closed.example")
    assert (answer.status, answer.value(b"code")) == (403, b"no_sign_in")


def test_a_method_that_the_route_does_not_list_is_405(plane):
    assert plane.get(b"/get/a").status == 200
    for method in (b"POST", b"DELETE", b"OPTIONS", b"PROPFIND"):
        answer = plane.get(b"/get/a", method=method)
        assert (answer.status, answer.value(b"code")) == (405, b"method_not_allowed")
        assert answer.value(b"allow") == b"GET, HEAD"
    assert len(plane.backend.requests) == 1


@pytest.mark.parametrize("name", [b"X-HTTP-Method-Override", b"x-http-method", b"X_Method_Override"])
def test_a_method_can_not_be_overridden(plane, name):
    plane.get(b"/get/a", name + b": DELETE")
    assert [value for _, value in plane.backend.request.fields if value == b"DELETE"] == []


# -- sessions ------------------------------------------------------------------------------------------------------


def test_a_handle_is_looked_up_once_and_then_known(plane):
    handle = plane.sign_in()
    assert plane.get(b"/a", cookie=handle).status == 200
    plane.away.is_away = True
    assert plane.get(b"/a", cookie=handle).status == 200


def test_a_session_of_another_host_counts_as_none(plane):
    handle = plane.sign_in(at="other.example")
    assert plane.get(b"/a", cookie=handle).status == 401
    assert plane.get(b"/a", cookie=handle, host=b"other.example").status == 200
    plane.get(b"/public", cookie=handle)
    assert plane.backend.requests[-1].values(b"user-id") == []


@pytest.mark.parametrize("handle", [b"x" * 43, b"", b"short", b'"quoted"', b"\xff" * 43], ids=repr)
def test_a_made_up_handle_is_nobody(plane, handle):
    assert plane.get(b"/a", b"Cookie: vestibule-80=" + handle).status == 401


def test_two_cookies_of_ours_count_as_none_and_are_cleared(plane):
    handle = plane.sign_in().encode()
    for line in (
        b"vestibule-80=" + handle + b"; vestibule-80=" + b"x" * 43,
        b"vestibule-80=%b; vestibule-80=%b" % (handle, handle),
    ):
        assert plane.get(b"/a", b"Cookie: " + line).status == 401
        answer = plane.get(b"/a", NAVIGATE, b"Cookie: " + line)
        assert answer.status == 302
        [cleared] = answer.values(b"set-cookie")
        assert cleared.startswith(b"vestibule-80=;")
        assert b"Max-Age=0" in cleared
    assert (
        plane.get(b"/a", b"Cookie: vestibule-80=" + handle, b"Cookie: vestibule-80=" + handle).status == 401
    )
    assert plane.backend.connections == []


def test_an_ended_session_is_nobody_at_once(plane, loop):
    handle = plane.sign_in()
    assert plane.get(b"/a", cookie=handle).status == 200
    loop.wait(plane.sessions.end(plane.session.id))
    assert plane.get(b"/a", cookie=handle).status == 401


def test_what_was_told_of_a_person_is_told_no_more_once_the_session_has_changed_or_ended(plane, loop):
    """The same header lines come again: what was made of them before is not what is true now."""
    handle = plane.sign_in()

    def told() -> list[bytes]:
        plane.get(b"/public", cookie=handle)
        request = plane.backend.requests[-1]
        return [*request.values(b"user-id"), *request.values(b"proxy-provider")]

    assert told() == told() == [b"u1", b"google"]
    loop.wait(plane.sessions.update(plane.session.id, lambda session: replace(session, clients=())))
    assert told() == [b"u1"]
    loop.wait(plane.sessions.end(plane.session.id))
    assert told() == []


def test_an_expired_session_is_nobody(plane):
    handle = plane.sign_in()
    assert plane.get(b"/a", cookie=handle).status == 200
    plane.at = plane.session.expires_at + 1
    assert plane.get(b"/a", cookie=handle).status == 401


def test_a_store_that_is_away_is_503_and_touches_no_cookie(plane):
    handle = plane.sign_in()
    plane.away.is_away = True
    for path in (b"/a", b"/public", b"/@/signin"):
        answer = plane.get(path, NAVIGATE, cookie=handle)
        assert (answer.status, answer.value(b"code")) == (503, b"store_unavailable")
        assert answer.value(b"retry-after") is not None
        assert answer.values(b"set-cookie") == []
    assert plane.backend.connections == []
    assert plane.control.visits == []
    plane.away.is_away = False
    assert plane.get(b"/a", cookie=handle).status == 200


def test_a_client_that_leaves_while_its_session_is_looked_up_costs_nothing(plane, loop):
    handle = plane.sign_in()
    plane.away.gate = loop.create_future()
    plane.client().send(request(b"/a", cookie=handle)).transport.lose()
    loop.run(plane.away.gate.set_result, None)
    assert plane.backend.connections == []


# -- nothing fails open --------------------------------------------------------------------------------------------


class Broken:
    """Whatever is asked of it fails."""

    def __getattr__(self, name):
        raise RuntimeError("broken " + name)


@pytest.mark.parametrize(
    "step", ["judge._views", "judge._sessions", "gateway._teller", "gateway._pools", "traffic_none"]
)
def test_an_exception_at_any_step_is_a_refusal(plane, step):
    handle = plane.sign_in()
    owner, _, name = step.partition(".")
    if not name:
        plane.away.fault = RuntimeError("broken store")
    else:
        setattr(getattr(plane, owner), name, Broken())
    answer = plane.get(b"/a", cookie=handle)
    assert (answer.status, answer.value(b"code")) == (500, b"internal_error")
    assert plane.backend.connections == []
    [fault] = [line for line in plane.log_lines if line["event"] == "fault"]
    assert fault["id"] == json.loads(answer.body)["id"]
    assert handle not in plane.log_text.getvalue()


def test_a_policy_that_can_not_be_read_lets_nobody_through(plane):
    views: Views = plane.judge._views
    view = views.of(b"app.example", plane.listener)
    view.host = replace(view.host, routes=Broken(), depth=1)
    assert plane.get(b"/public").status == 500
    assert plane.backend.connections == []


def test_a_fault_of_the_control_plane_has_an_id_and_no_details(plane):
    plane.control.error = RuntimeError("secret details")
    answer = plane.get(b"/@/signin")
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert "secret details" in plane.log_text.getvalue()
    plane.control.error = ProviderUnavailable("down")
    assert plane.get(b"/@/signin").status == 503


# -- the gateway's own paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "own"),
    [
        (b"/@/signin", True),
        (b"/@/", True),
        (b"/@google/callback", True),
        (b"/@google/", True),
        (b"/@google", False),
        (b"/@alice/post", False),
        (b"/@Google/callback", False),
        (b"/public/@/signin", False),
        (b"/%40/signin", False),
        (b"/x/../@/signin", True),
    ],
)
def test_own_paths_go_to_the_control_plane_and_all_others_do_not(plane, path, own):
    answer = plane.get(path)
    assert (answer.values(b"own") == [b"yes"]) is own
    assert len(plane.control.visits) == own
    assert plane.backend.connections == [] or path.startswith(b"/public")


def test_a_visit_says_who_asks(plane):
    handle = plane.sign_in()
    plane.get(b"/@/session", b"User-Agent: Test/\t1", b"Cookie: a=b; vestibule-80-flow-1=f", cookie=handle)
    [visit] = plane.control.visits
    assert visit.session == plane.session
    assert (visit.address, visit.user_agent, visit.site.base_url) == (
        "192.0.2.7",
        "Test/1",
        "http://app.example",
    )
    assert visit.cookies == {"a": "b", "vestibule-80-flow-1": "f"}
    assert visit.request_id


def test_a_visit_of_another_hosts_session_has_none(plane):
    plane.get(b"/@/session", cookie=plane.sign_in(at="other.example"))
    assert plane.control.visits[0].session is None


# -- what the backend is told --------------------------------------------------------------------------------------

OWNED = (
    *(
        "Proxy-Session",
        "Proxy-Provider",
        "Proxy-Assertion",
        "User-Id",
        "User-Login",
        "User-Name",
        "User-Email",
    ),
    *("User-Groups", "User-Orgs", "User-Did", "User-Handle", "X-Forwarded-For", "X-Forwarded-Proto"),
    *("X-Forwarded-Host", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Port"),
    *("X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Preferred-Username"),
    *(
        "X-Forwarded-Access-Token",
        "X-Auth-Request-User",
        "X-Auth-Request-Email",
        "X-Auth-Request-Access-Token",
    ),
    *(
        "X-Vouch-User",
        "X-Vouch-Idp-Claims-Sub",
        "Remote-User",
        "Remote-Groups",
        "Remote-Name",
        "Remote-Email",
    ),
    *("X-Pomerium-Claim-Email", "X-Pomerium-Jwt-Assertion", "X-Real-IP", "Forwarded", "X-Original-URL"),
    *("X-Original-Method", "X-Rewrite-URL", "GAP-Auth", "GAP-Signature"),
)


def spellings(name: str) -> list[bytes]:
    """Every mix of separators in three cases."""
    parts = name.split("-")
    mixed = []
    for separators in itertools.product("-_.", repeat=len(parts) - 1):
        text = "".join(a + b for a, b in itertools.zip_longest(parts, separators, fillvalue=""))
        mixed += [text, text.lower(), text.upper()]
    return [text.encode() for text in dict.fromkeys(mixed)]


@pytest.mark.parametrize("path", [b"/public", b"/a", b"/echo"])
@pytest.mark.parametrize("name", OWNED)
def test_what_a_client_sends_in_our_names_never_reaches_a_backend(plane, name, path):
    handle = plane.sign_in()
    sent = spellings(name)
    for begin in range(0, len(sent), 80):
        lines = (spelling + b": SPOOFED" for spelling in sent[begin : begin + 80])
        answer = plane.get(path, *lines, cookie=handle)
        assert b"SPOOFED" not in plane.backend.got
        assert b"SPOOFED" not in answer.body


@pytest.mark.parametrize(
    "name", [b"X~Forwarded~User", b"USER+ID", b"user|id", b"Proxy'Session", b"remote!user"]
)
def test_nor_in_odder_spellings(plane, name):
    plane.get(b"/public", name + b": SPOOFED")
    assert b"SPOOFED" not in plane.backend.got


def test_names_that_only_look_alike_pass(plane):
    plane.get(
        b"/public", b"User-Ideas: 1", b"User-Agent: x", b"X-Forwardedness: 2", b"Authorization: Bearer mine"
    )
    got = plane.backend.request
    assert (got.value(b"user-ideas"), got.value(b"x-forwardedness")) == (b"1", b"2")
    assert got.value(b"authorization") == b"Bearer mine"


def test_the_person_is_told(plane):
    handle = plane.sign_in(login="ada", name="Zoë, A", groups=("a,b", "c"))
    plane.get(b"/a", cookie=handle)
    got = plane.backend.request
    assert got.value(b"user-id") == b"u1"
    assert got.value(b"user-login") == b"ada"
    assert got.value(b"user-name") == b"Zo%C3%AB,%20A"
    assert got.value(b"user-groups") == b"a%2Cb,c"
    assert got.value(b"proxy-provider") == b"google"
    opened = open_handle(RING, got.value(b"proxy-session"), NOW_AT)
    assert (opened.session_id, opened.host) == (plane.session.id, "app.example")


def test_nobody_is_told_of_nobody(plane):
    plane.get(b"/public")
    names = {name.lower() for name, _ in plane.backend.request.fields}
    of_client = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded"}
    assert names == {b"host", b"traceparent"} | of_client


def test_two_people_with_the_same_headers_are_told_apart(plane):
    ada, root = plane.sign_in("ada@app.example"), plane.sign_in("root@app.example")
    client = plane.client()
    for handle in (ada, root, ada, root):
        client.send(request(b"/a", cookie=handle))
        plane.backend.look()
    client.send(request(b"/public"))
    plane.backend.look()
    emails = [got.values(b"user-email") for got in plane.backend.requests]
    assert emails == [[b"ada@app.example"], [b"root@app.example"]] * 2 + [[]]


def test_a_handle_for_calls_is_renewed_before_it_ends(plane):
    handle = plane.sign_in()
    for later in (0, 1000, 2000, 3700):
        plane.at = NOW_AT + later
        plane.get(b"/a", cookie=handle)
        opened = open_handle(RING, plane.backend.requests[-1].value(b"proxy-session"), plane.at + 1700)
        assert opened.session_id == plane.session.id


def test_our_cookies_stay_here_and_the_others_pass(plane):
    handle = plane.sign_in().encode()
    plane.get(
        b"/a",
        b"Cookie: a=1; vestibule-80=" + handle + b"; b=2; __Host-vestibule=x; VESTIBULE-80-flow-9=y",
        b"Cookie: c=3; vestibule-8000=z",
    )
    assert plane.backend.request.values(b"cookie") == [b"a=1; b=2; c=3"]
    assert handle not in plane.backend.got


def test_a_cookie_header_of_ours_alone_is_gone(plane):
    plane.get(b"/a", cookie=plane.sign_in())
    assert plane.backend.request.values(b"cookie") == []


TOKENS = (
    *("host", "Host", "HOST", "content-length", "cookie", "Cookie", "authorization", "expect", "connection"),
    *("User-Id", "user-id", "USER-ID", "user_id", "User.Name", "user-email", "User-Groups", "proxy-session"),
    *(
        "Proxy-Provider",
        "proxy_assertion",
        "X-Forwarded-For",
        "x-forwarded-user",
        "X_Forwarded_Host",
        "forwarded",
    ),
    *("X-Real-IP", "x-auth-request-user", "remote-user", "Remote_Groups", "x-pomerium-jwt-assertion"),
    *("x-vouch-user", "x-original-url", "X-Rewrite-URL"),
)


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize(
    "around", [b"%b", b"close, %b", b"%b,keep-alive", b"\t%b "], ids=["bare", "after", "before", "tab"]
)
def test_connection_can_not_remove_what_the_gateway_sets(plane, token, around):
    handle = plane.sign_in()
    answer = plane.get(b"/a", b"Connection: " + around % token.encode(), cookie=handle)
    assert answer.status == 400
    assert plane.backend.connections == []


# -- who the client is ---------------------------------------------------------------------------------------------

SPOOF = (
    b"X-Forwarded-For: 10.9.9.9",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: evil.example",
    b"Forwarded: for=10.9.9.9",
)


def test_an_untrusted_peer_is_the_client_whatever_it_says(plane):
    plane.get(b"/public", *SPOOF)
    got = plane.backend.request
    assert got.values(b"x-forwarded-for") == [b"192.0.2.7"]
    assert got.values(b"x-forwarded-proto") == [b"http"]
    assert got.values(b"x-forwarded-host") == [b"app.example"]
    assert got.values(b"forwarded") == [b"for=192.0.2.7;host=app.example;proto=http"]
    assert plane.traffic.ring[-1].address == "192.0.2.7"


def test_a_trusted_peer_is_believed(loop):
    plane = Plane(loop, trusted=("192.0.2.0/24",))
    plane.get(b"/public", b"X-Forwarded-For: 203.0.113.9, 198.51.100.4", b"X-Forwarded-Proto: https")
    got = plane.backend.request
    assert got.value(b"x-forwarded-for") == b"203.0.113.9, 198.51.100.4, 192.0.2.7"
    assert got.value(b"x-forwarded-proto") == b"https"
    assert plane.traffic.ring[-1].address == "198.51.100.4"


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        (("192.0.2.7", 1), "192.0.2.0/24"),
        (("::ffff:192.0.2.7", 1), "192.0.2.0/24"),
        ("", "unix"),
    ],
    ids=["IPv4", "IPv4 in IPv6", "Unix socket"],
)
def test_what_a_trusted_peer_says_of_one_client_is_not_told_of_the_next(loop, peer, trusted):
    plane = Plane(loop, trusted=(trusted,))
    for client in (b"203.0.113.1", b"203.0.113.2"):
        plane.get(b"/public", b"X-Forwarded-For: " + client, peer=peer)
        assert plane.traffic.ring[-1].address.encode() == client
        assert plane.backend.requests[-1].value(b"x-forwarded-for").startswith(client + b",")
    plane.get(b"/public", peer=peer)
    assert b"203.0.113" not in plane.backend.requests[-1].value(b"x-forwarded-for")


# -- limits --------------------------------------------------------------------------------------------------------


def test_a_body_above_the_routes_limit_is_413_before_anything_goes_out(plane):
    answer = plane.exchange(request(b"/small", b"Content-Length: 11", method=b"POST"))
    assert answer.status == 413
    assert plane.client_type is H2Client or answer.value(b"connection") == b"close"
    assert plane.backend.connections == []
    assert plane.exchange(request(b"/small", method=b"POST", body=b"x" * 10)).status == 200


def test_a_chunked_body_above_the_limit_breaks_off_at_the_backend(plane):
    client = plane.client().send(
        request(b"/small", b"Transfer-Encoding: chunked", method=b"POST") + b"5\r\nhello\r\n"
    )
    client.send(b"6\r\nhello!\r\n0\r\n\r\n")
    assert client.answer().status == 413
    assert plane.backend.open == []
    assert plane.backend.requests == []


# -- WebSocket -----------------------------------------------------------------------------------------------------


def socket(plane: Plane, handle: str, *lines: bytes):
    plane.backend.answers = switched
    client = plane.client().send(request(b"/ws", *HANDSHAKE, *lines, cookie=handle))
    plane.backend.look()
    return client


def test_a_page_of_another_site_opens_no_websocket_with_our_cookie(plane):
    handle = plane.sign_in()
    for origin in (
        b"http://evil.example",
        b"https://app.example",
        b"null",
        b"http://app.example.evil.example",
    ):
        assert socket(plane, handle, b"Origin: " + origin).answer().status == 403
    assert plane.backend.connections == []
    assert socket(plane, handle, b"Origin: http://app.example").answer().status == 101


def test_a_sign_out_ends_open_websockets_on_both_sides(plane, loop):
    client = socket(plane, plane.sign_in())
    other = socket(plane, plane.sign_in("root@app.example"))
    first = plane.session
    loop.wait(plane.sessions.end(first.id))
    assert not client.is_ended
    assert other.is_ended
    assert len(plane.backend.open) == 1
    client.send(b"still here")
    assert b"still here" in plane.backend.got


@pytest.mark.parametrize(
    "lines",
    [
        (b"Sec-WebSocket-Version: 12", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
        (b"Sec-WebSocket-Version: 13",),
        (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: short"),
    ],
    ids=["version", "no key", "short key"],
)
def test_a_bad_handshake_never_reaches_the_backend(plane, lines):
    if plane.client_type is H2Client:
        lines = (b"Sec-WebSocket-Version: 12",)  # the key is the gateway's own
    answer = plane.get(b"/public", b"Connection: Upgrade", b"Upgrade: websocket", *lines)
    assert answer.status in {400, 426}
    assert plane.backend.connections == []


def test_a_handshake_with_a_body_is_refused(plane):
    answer = plane.exchange(request(b"/public", *HANDSHAKE, b"Content-Length: 5"))
    assert answer.status == 400
    assert plane.backend.connections == []


# -- the record ----------------------------------------------------------------------------------------------------


def test_every_request_has_one_record(plane):
    handle = plane.sign_in()
    plane.get(b"/a?token=secret", cookie=handle)
    plane.get(b"/a")
    plane.exchange(b"GET / HTTP/1.1\r\n\r\n")
    plane.get(b"/@/signin")
    records = list(plane.traffic.ring)
    assert [record.status for record in records] == [200, 401, 400, 200]
    assert [record.decision for record in records] == ["anyone", "sign_in", "bad_host", "own"]
    assert records[0].session_id == plane.session.id
    assert (records[0].path, records[0].bytes_out) == (b"/a", len(b"from /a?token=secret"))
    assert not any("secret" in str(record) for record in records)


def test_a_client_that_left_has_a_record_too(plane):
    plane.backend.answers = lambda _: None
    plane.client().send(request(b"/public")).transport.lose()
    assert [record.status for record in plane.traffic.ring] == [0]


def test_a_refusal_has_an_id_that_is_in_the_log(plane):
    answer = plane.get(b"/admin", cookie=plane.sign_in())
    request_id = json.loads(answer.body)["id"]
    assert [line["code"] for line in plane.log_lines if line.get("id") == request_id] == ["not_allowed"]


def test_a_static_or_built_in_backend_gets_the_same_lines(loop):
    plane = Plane(loop, hosts=(host(b"app.example", route(backend=Backend(static_dir="/srv"))),))
    handle = plane.sign_in()
    body = plane.get(b"/a", b"X: y", b"User-Id: evil", cookie=handle).body
    assert b"User-Id: u1" in body
    assert b"x: y" in body.lower()
    assert b"evil" not in body


def test_an_answer_to_one_is_never_an_answer_to_another(plane):
    plane.backend.answers = lambda got: ok(got.value(b"user-email") or b"nobody")
    ada, root = plane.sign_in("ada@app.example"), plane.sign_in("root@app.example")
    clients = [plane.client() for _ in range(6)]
    for client, handle in zip(clients, (ada, root, "", ada, root, ""), strict=True):
        client.send(request(b"/public", cookie=handle))
    plane.backend.look()
    bodies = [client.answer().body for client in clients]
    assert bodies == [b"ada@app.example", b"root@app.example", b"nobody"] * 2


def due(plane) -> str:
    """A handle whose session must be checked with its provider first."""
    handle = plane.sign_in()
    plane.rechecks.due.add(plane.session.id)
    return handle


def test_a_session_that_is_due_is_checked_before_anything_is_passed_on(plane):
    handle = due(plane)
    plane.rechecks.answer = replace(plane.session, identities=())
    assert plane.get(b"/a", cookie=handle).status == 401
    assert plane.rechecks.asked == 1
    assert plane.backend.connections == []


def test_a_session_that_comes_to_be_due_while_it_is_at_hand_is_checked(plane):
    handle = plane.sign_in()
    assert plane.get(b"/a", cookie=handle).status == 200
    plane.rechecks.due.add(plane.session.id)
    assert plane.get(b"/a", cookie=handle).status == 401
    assert plane.rechecks.asked == 1


def test_what_the_provider_says_now_decides(plane):
    handle = due(plane)
    root = replace(plane.session.identities[0], email="root@app.example")
    plane.rechecks.answer = replace(plane.session, identities=(root,))
    assert plane.get(b"/admin", cookie=handle).status == 200


def test_somebody_whom_the_check_put_out_is_nobody(plane):
    handle = due(plane)
    assert plane.get(b"/a", cookie=handle).status == 401
    assert plane.backend.connections == []


def test_a_check_that_can_not_be_made_for_too_long_is_503_but_for_signing_out(plane):
    handle = due(plane)
    plane.rechecks.answer = ProviderUnavailable("it can't be asked")
    answer = plane.get(b"/a", NAVIGATE, cookie=handle)
    assert (answer.status, answer.value(b"code")) == (503, b"provider_unavailable")
    assert answer.values(b"set-cookie") == []
    assert plane.backend.connections == []
    plane.get(b"/@/signout", NAVIGATE, cookie=handle)
    assert plane.control.visits[-1].session.id == plane.session.id
