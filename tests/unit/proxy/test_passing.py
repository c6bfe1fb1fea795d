"""Routes that say more than where requests go: paths, header lines, preflights, origins, and what caches may keep."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import msgspec
import pytest

from tests.unit.proxy.forward.stand import WAYS, Stand
from tests.unit.proxy.plane import ANYONE, HOSTS, PUBLIC, Plane, host, ok, request, route
from vestibule.core.passage import Heading, Passage, Rewrite, preflight_policy
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route
from vestibule.core.rule import rule
from vestibule.core.template import parse
from vestibule.model import Caller, Identity

pytestmark = pytest.mark.usefixtures("both_downstreams")


def passing(prefix: bytes, allow=ANYONE, **fields) -> Route:
    return msgspec.structs.replace(route(prefix, allow), passage=Passage(**fields))


def heading(name: str, value: str | None = None) -> Heading:
    return Heading(name=name, value=None if value is None else parse(value))


TEAM = heading("X-Team", "{claim.team}")


def hosts(*routes: Route, base_url: str = "") -> tuple[Host, ...]:
    return (host(b"app.example", route(), *routes, base_url=base_url), *HOSTS[1:])


def stage(loop, *routes: Route) -> Plane:
    return Plane(loop, hosts=hosts(*routes))


# -- headers towards the backend --------------------------------------------------------------------


def test_a_header_of_the_persons_claims_is_set_and_the_clients_own_is_not(loop):
    plane = stage(loop, passing(b"/a", headers=(TEAM,)))
    handle = plane.sign_in(claims={"team": "blue"})
    plane.get(b"/a", b"X-Team: red", b"x_team: red", b"X.TEAM: red", cookie=handle)
    got = plane.backend.request
    assert got.values(b"x-team") == [b"blue"]
    assert [value for name, value in got.fields if b"eam" in name.lower()] == [b"blue"]


def test_h3_without_a_value_it_is_left_out_and_the_clients_own_is_still_removed(loop):
    plane = stage(loop, passing(b"/a", PUBLIC, headers=(TEAM,)))
    plane.get(b"/a", b"X-Team: red")
    assert plane.backend.request.values(b"x-team") == []


def test_what_the_gateway_tells_can_be_kept_from_a_backend(loop):
    removed = tuple(heading(name) for name in ("User-Email", "X-Forwarded-For", "Cookie", "Authorization"))
    plane = stage(loop, passing(b"/a", headers=removed))
    handle = plane.sign_in()
    plane.get(b"/a", b"Authorization: Bearer x", b"Cookie: theme=dark; vestibule-80=" + handle.encode())
    got = plane.backend.request
    for name in (b"user-email", b"x-forwarded-for", b"cookie", b"authorization"):
        assert got.values(name) == []
    assert got.values(b"user-id") == [b"u1"]


def test_what_is_set_stands_instead_of_what_came_and_of_what_a_family_says(loop):
    plane = stage(loop, passing(b"/a", headers=(heading("Authorization", "Basic c2VydmljZQ=="),)))
    handle = plane.sign_in()
    plane.get(b"/a", b"Authorization: Bearer the-clients", cookie=handle)
    assert plane.backend.request.values(b"authorization") == [b"Basic c2VydmljZQ=="]


def test_p4_what_a_route_sets_cannot_come_behind_the_body(loop):
    plane = stage(loop, passing(b"/a", PUBLIC, headers=(TEAM,)))
    sent = request(b"/a", b"Transfer-Encoding: chunked", method=b"POST")
    plane.exchange(sent + b"1\r\nx\r\n0\r\nX_Team: red\r\nChecksum: 1\r\n\r\n")
    (trailer,) = plane.backend.request.trailers
    assert (trailer[0].lower(), trailer[1]) == (b"checksum", b"1")


def test_the_host_is_the_one_that_is_written_and_the_clients_own_is_still_told(loop):
    plane = stage(loop, passing(b"/a", PUBLIC, host_line=b"Host: app.internal"))
    plane.get(b"/a")
    got = plane.backend.request
    assert (got.values(b"host"), got.values(b"x-forwarded-host")) == ([b"app.internal"], [b"app.example"])


LINES = (b"User-Agent: a browser", b"Accept: */*")


def test_h1_routes_never_get_each_others_block_though_the_same_lines_come(loop):
    """Blocks of header lines are kept by the lines that came: not one of another route, person or host may go out."""
    plane = stage(
        loop,
        passing(b"/team", headers=(TEAM,)),
        passing(b"/name", headers=(heading("X-Name", "{user.login}"), heading("User-Email"))),
        passing(b"/path", headers=(heading("X-Path", "{path}"),)),
        passing(b"/host", host_line=b"Host: app.internal"),
        passing(b"/slow", answer_s=5.0),
    )
    handle = plane.sign_in(login="ada", claims={"team": "blue"})
    for _ in range(4):
        for target in (b"/plain", b"/team", b"/name", b"/path/1", b"/host", b"/slow", b"/path/2", b"/team"):
            plane.backend.requests.clear()
            plane.get(target, *LINES, cookie=handle)
            got = plane.backend.request
            assert got.values(b"x-team") == ([b"blue"] if target == b"/team" else [])
            assert got.values(b"x-name") == ([b"ada"] if target == b"/name" else [])
            assert got.values(b"user-email") == ([] if target == b"/name" else [b"ada@app.example"])
            assert got.values(b"x-path") == ([target] if target.startswith(b"/path") else [])
            assert got.values(b"host") == [b"app.internal" if target == b"/host" else b"app.example"]


def test_h1_nobody_gets_a_block_that_was_made_for_somebody(loop):
    plane = stage(loop, passing(b"/a", PUBLIC, headers=(TEAM,)))
    handle = plane.sign_in(claims={"team": "blue"})
    for _ in range(3):
        plane.backend.requests.clear()
        plane.get(b"/a", *LINES, cookie=handle)
        plane.get(b"/a", *LINES)
        assert [got.values(b"x-team") for got in plane.backend.requests] == [[b"blue"], []]


def test_only_the_word_of_the_hosts_own_providers_counts(loop):
    plane = stage(loop, passing(b"/a", PUBLIC, headers=(TEAM, heading("X-Id", "{user.id}"))))
    foreign = Identity(client="elsewhere", issuer="https://e", subject="1", claims={"team": "root"})
    plane.callers.known[b"Bearer t"] = Caller(id="t", kind="jwt", identities=(foreign,), user_id="u9")
    plane.gateway.use(
        plane.judge._table.__class__(
            msgspec.structs.replace(one, takes_callers=True) for one in plane.judge._table.hosts.values()
        )
    )
    plane.get(b"/a", b"Authorization: Bearer t")
    got = plane.backend.request
    assert (got.values(b"x-team"), got.values(b"x-id"), got.values(b"authorization")) == ([], [], [])


HOSTILE = "a\r\nX-Admin: 1\r\n\r\nGET /admin HTTP/1.1\r\n"


@pytest.mark.parametrize("value", [HOSTILE, "{user.id}", "{claim.other}", '${env("X")}', "a\0b", "Zoë"])
def test_h7_a_claim_makes_no_header_line_and_is_expanded_by_nobody(loop, value):
    plane = stage(loop, passing(b"/a", headers=(TEAM,), answer_headers=(TEAM,)))
    handle = plane.sign_in(claims={"team": value, "other": "secret"})
    answer = plane.get(b"/a", cookie=handle)
    got = plane.backend.request
    for message in (got, answer):
        (sent,) = message.values(b"x-team")
        assert message.values(b"x-admin") == []
        assert b"secret" not in sent
        assert b"u1" not in sent


def test_h7_what_a_path_holds_is_expanded_by_nobody(loop):
    plane = stage(loop, passing(b"/a", PUBLIC, headers=(heading("X-Path", "{path}"),)))
    plane.get(b"/a/{user.id}%7Bhost%7D?q={claim.team}")
    assert plane.backend.request.values(b"x-path") == [b"/a/%7Buser.id%7D%7Bhost%7D"]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_an_edge_that_asks_is_told_what_the_route_sets_and_on_other_routes_that_it_is_empty(loop, way):
    asked = host(
        b"asked.example",
        route(backend=Backend()),
        passing(b"/a", headers=(TEAM, heading("User-Email"))),
        base_url="https://asked.example",
    )
    stand = Stand(loop, hosts=(msgspec.structs.replace(asked, header_names=("X-Team",)), *HOSTS[1:]))
    handle = stand.plane.sign_in(at="asked.example", claims={"team": "blue"})
    for target, team, email in (
        (b"/a", b"blue", b""),
        (b"/b", b"", b"ada@app.example"),
        (b"/a", b"blue", b""),
    ):
        answer = stand.ask(way, target, b"X-Team: red", cookie=handle, host=b"asked.example")
        assert answer.status == 200
        assert (answer.values(b"x-team"), answer.values(b"user-email")) == ([team], [email])


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_an_edge_is_told_the_credentials_that_are_to_go_on(loop, way):
    asked = host(
        b"asked.example",
        passing(b"", headers=(heading("Authorization", "Basic c2VydmljZQ=="), heading("Cookie"))),
        base_url="https://asked.example",
    )
    stand = Stand(loop, hosts=(asked, *HOSTS[1:]))
    handle = stand.plane.sign_in(at="asked.example")
    lines = (b"Authorization: Bearer the-clients", b"Cookie: theme=dark")
    answer = stand.ask(way, b"/a", *lines, cookie=handle, host=b"asked.example")
    assert answer.values(b"authorization") == [b"Basic c2VydmljZQ=="]
    assert answer.values(b"cookie") == [b""]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_an_edge_is_told_to_pass_on_nobodys_credentials_with_a_preflight(loop, way):
    asked = host(b"asked.example", preflighted(prefix=b""), base_url="https://asked.example")
    stand = Stand(loop, hosts=(asked, *HOSTS[1:]))
    handle = stand.plane.sign_in(at="asked.example")
    lines = (*ASKS, b"Authorization: Bearer the-clients", b"Cookie: theme=dark")
    answer = stand.ask(way, b"/a", *lines, cookie=handle, host=b"asked.example", method=b"OPTIONS")
    assert answer.status == 200
    for name in (b"authorization", b"cookie", b"user-id", b"proxy-session"):
        assert answer.values(name) == [b""]


# -- headers towards the client ---------------------------------------------------------------------


def test_headers_of_an_answer_are_set_and_removed_whole_or_in_pieces(loop):
    headings = (heading("X-Frame-Options", "DENY"), heading("Server"), heading("X-Who", "{user.login}"))
    plane = stage(loop, passing(b"/a", answer_headers=headings))
    handle = plane.sign_in(login="ada")
    lines = (b"Server: app/1", b"x-frame-options: ALLOWALL", b"X-Other: 1")
    whole = ok(b"hello", *lines)
    pieces = b"HTTP/1.1 200 OK\r\n" + b"\r\n".join((*lines, b"Transfer-Encoding: chunked", b"", b""))
    pieces += b"5\r\nhello\r\n0\r\nServer: late\r\nChecksum: 1\r\n\r\n"
    for answered in (whole, pieces, whole):
        plane.backend.answers = lambda _, answered=answered: answered
        answer = plane.get(b"/a", cookie=handle)
        assert answer.body == b"hello"
        assert answer.values(b"x-frame-options") == [b"DENY"]
        assert answer.values(b"server") == []
        assert (answer.values(b"x-who"), answer.values(b"x-other")) == ([b"ada"], [b"1"])
        assert all(name != b"Server" for name, _ in answer.trailers)


def test_the_gateways_own_answers_are_as_they_are(loop):
    shown = (heading("Cache-Control", "public, max-age=60"), heading("Vary"))
    plane = stage(loop, passing(b"/a", answer_headers=shown))
    assert plane.get(b"/a").values(b"cache-control") == []  # a plain answer of the test's own
    handle = plane.sign_in()
    plane.backend.refuses = True
    assert plane.get(b"/a", cookie=handle).values(b"cache-control") == []


# -- the path ---------------------------------------------------------------------------------------


def test_the_backend_gets_the_path_without_the_prefix_and_the_record_keeps_the_one_asked_for(loop):
    plane = stage(loop, passing(b"/a", PUBLIC, rewrite=Rewrite(cut=b"/a", put=parse("/v2"))))
    plane.get(b"/a/x?y=/a/")
    assert plane.backend.request.target == b"/v2/x?y=/a/"
    assert plane.traffic.ring[-1].path == b"/a/x"


def test_people_are_led_to_what_is_theirs(loop):
    plane = stage(loop, passing(b"/a", rewrite=Rewrite(cut=b"/a", put=parse("/teams/{claim.team}"))))
    handle = plane.sign_in(claims={"team": "blue"})
    plane.get(b"/a/x", cookie=handle)
    assert plane.backend.request.target == b"/teams/blue/x"


@pytest.mark.parametrize("team", [None, "", "..", "../admin", "a/b", ".", "%2e%2e", "..;x"])
def test_p1_who_has_no_usable_value_is_led_nowhere(loop, team):
    plane = stage(loop, passing(b"/a", rewrite=Rewrite(cut=b"/a", put=parse("/teams/{claim.team}"))))
    handle = plane.sign_in(claims={} if team is None else {"team": team})
    answer = plane.get(b"/a/x", cookie=handle)
    assert (answer.status, answer.value(b"code")) == (403, b"claim_missing")
    assert plane.backend.requests == []


def test_nobody_is_asked_to_sign_in_where_the_path_needs_somebody(loop):
    plane = stage(loop, passing(b"/a", PUBLIC, rewrite=Rewrite(cut=b"/a", put=parse("/teams/{claim.team}"))))
    assert plane.get(b"/a/x").status == 401
    answer = plane.get(b"/a/x", b"Sec-Fetch-Mode: navigate")
    assert answer.status == 302
    assert plane.backend.requests == []


# -- times ------------------------------------------------------------------------------------------


def test_a_backend_that_is_silent_for_longer_than_the_route_says_is_504(loop):
    plane = stage(loop, passing(b"/a", PUBLIC, answer_s=5.0))
    plane.backend.answers = lambda _: None
    client = plane.client().send(request(b"/a"))
    plane.backend.look()
    for _ in range(8):
        loop.advance(1)
        loop.run(plane.pools.sweep, loop.time())
    answer = client.answer()
    assert (answer.status, answer.value(b"code")) == (504, b"backend_timeout")


def test_a_backend_that_does_not_take_the_connection_is_504(loop):
    plane = stage(loop, passing(b"/a", PUBLIC, connect_s=2.0))
    plane.backend.is_silent = True
    client = plane.client().send(request(b"/a"))
    loop.advance(3)
    assert client.answer().status == 504


# -- preflights -------------------------------------------------------------------------------------

ASKS = (b"Origin: https://spa.example", b"Access-Control-Request-Method: PUT")


def preflighted(allow: Iterable = ANYONE, *, prefix: bytes = b"/api", **fields) -> Route:
    made = route(prefix, tuple(allow), **fields)
    return msgspec.structs.replace(made, preflight=preflight_policy(made.policy))


@pytest.mark.parametrize("credential", [b"Bearer mine", b"Basic b3Ro"])
def test_a_preflight_passes_unasked_and_without_a_credential(loop, credential):
    plane = stage(loop, preflighted())
    handle = plane.sign_in()
    credentials = (b"Authorization: " + credential, b"Cookie: theme=dark")
    answer = plane.get(b"/api", *ASKS, *credentials, cookie=handle, method=b"OPTIONS")
    got = plane.backend.request
    assert answer.status == 200
    assert (got.values(b"origin"), got.method) == ([b"https://spa.example"], b"OPTIONS")
    for name in (b"cookie", b"authorization", b"user-id", b"proxy-session", b"user-email"):
        assert got.values(name) == []
    assert got.values(b"x-forwarded-for") == [b"192.0.2.7"]


@pytest.mark.parametrize(
    ("method", "lines"),
    [
        (b"OPTIONS", ()),
        (b"OPTIONS", ASKS[:1]),
        (b"OPTIONS", ASKS[1:]),
        (b"GET", ASKS),
        (b"PUT", ASKS),
        (b"POST", (*ASKS, b"X-Http-Method-Override: OPTIONS")),
    ],
)
def test_p2_what_is_no_preflight_is_decided_on_as_ever(loop, method, lines):
    plane = stage(loop, preflighted())
    assert plane.get(b"/api", *lines, method=method).status == 401
    assert plane.backend.requests == []


def test_p2_a_preflights_lines_open_nothing_for_what_follows(loop):
    """Header blocks are kept by the lines that came: a GET with those of a preflight is still a GET."""
    plane = stage(loop, preflighted())
    handle = plane.sign_in()
    for _ in range(3):
        plane.backend.requests.clear()
        plane.get(b"/api", *ASKS, cookie=handle, method=b"OPTIONS")
        plane.get(b"/api", *ASKS, cookie=handle)
        first, second = plane.backend.requests
        assert (first.values(b"user-id"), second.values(b"user-id")) == ([], [b"u1"])
    assert plane.get(b"/api", *ASKS).status == 401


@pytest.mark.parametrize(
    ("target", "status"),
    [(b"/other", 401), (b"/api2", 401), (b"/@/session", 200), (b"/api/../other", 401)],
    ids=repr,
)
def test_a_preflight_passes_only_where_that_is_written(loop, target, status):
    plane = stage(loop, preflighted())
    answer = plane.get(target, *ASKS, method=b"OPTIONS")
    assert answer.status == status
    assert plane.backend.requests == []


def test_networks_hold_for_preflights_too(loop):
    near, far = rule("network", "192.0.2.0/24"), rule("network", "198.51.100.0/24")
    assert stage(loop, preflighted((*ANYONE, near))).get(b"/api", *ASKS, method=b"OPTIONS").status == 200
    assert stage(loop, preflighted((*ANYONE, far))).get(b"/api", *ASKS, method=b"OPTIONS").status == 403
    made = route(b"/api")
    denied = policy_of(allow=ANYONE, deny=(near, rule("email", "a@b.example")), sign_in=frozenset({"google"}))
    made = msgspec.structs.replace(made, policy=denied, preflight=preflight_policy(denied))
    assert stage(loop, made).get(b"/api", *ASKS, method=b"OPTIONS").status == 403


def test_a_preflight_passes_though_the_route_lists_other_methods(loop):
    plane = stage(loop, preflighted(methods=frozenset({b"GET"})))
    assert plane.get(b"/api", *ASKS, method=b"OPTIONS").status == 200
    assert plane.get(b"/api", method=b"OPTIONS").status == 405


# -- WebSockets ---------------------------------------------------------------------------------------

KEY = base64.b64encode(bytes(16))
OPENS = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: " + KEY,
)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://app.example", 101),
        ("https://spa.example", 101),
        ("https://SPA.example", 101),
        ("https://spa.example:444", 403),
        ("http://spa.example", 403),
        ("https://spa.example.evil.example", 403),
        ("https://evil.example", 403),
        ("https://sub.spa.example", 403),
        ("http://other.example", 403),
        ("null", 403),
        ("https://spa.example https://evil.example", 403),
        ("", 101),
    ],
)
def test_p7_a_websocket_opens_from_the_hosts_own_origin_or_a_listed_one(loop, origin, status):
    plane = stage(loop, passing(b"/ws", origins=frozenset({"https://spa.example"})))
    handle = plane.sign_in()
    lines = (*OPENS, *([f"Origin: {origin}".encode()] if origin else []))
    plane.backend.answers = lambda _: None
    client = plane.client().send(request(b"/ws", *lines, cookie=handle))
    plane.backend.look()
    assert bool(plane.backend.requests) == (status == 101)
    if status == 403:
        assert client.answer().value(b"code") == b"foreign_origin"


@pytest.mark.parametrize("line", [b"Cookie: app=session", b"Authorization: Basic eDp5"])
def test_p7_a_foreign_page_cannot_use_the_apps_own_credentials_on_a_public_route_either(loop, line):
    plane = stage(loop, route(b"/ws", PUBLIC))
    answer = plane.get(b"/ws", *OPENS, b"Origin: https://evil.example", line)
    assert (answer.status, answer.value(b"code")) == (403, b"foreign_origin")


# -- caches -------------------------------------------------------------------------------------------

SAID = {
    "nothing": (b"", b"private"),
    "public": (b"public, max-age=60", b"private, max-age=60"),
    "for caches": (b"s-maxage=60", b"private"),
    "for some time": (b"max-age=60", b"private, max-age=60"),
    "asked for again": (b"no-cache", b"private, no-cache"),
    "private": (b"private, max-age=60", b"private, max-age=60"),
    "never": (b"no-store", b"no-store"),
}


def answered(said: bytes, *, pieces: bool) -> bytes:
    lines = [b"Cache-Control: " + said] if said else []
    if not pieces:
        return ok(b"hello", *lines, b"ETag: 1")
    head = b"\r\n".join((b"HTTP/1.1 200 OK", *lines, b"ETag: 1", b"Transfer-Encoding: chunked", b"", b""))
    return head + b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize("pieces", [False, True], ids=["whole", "in pieces"])
@pytest.mark.parametrize(("said", "told"), SAID.values(), ids=SAID)
def test_p8_what_only_some_may_see_no_shared_cache_may_keep(loop, said, told, pieces):
    plane = stage(loop)
    handle = plane.sign_in()
    plane.backend.answers = lambda _: answered(said, pieces=pieces)
    for _ in range(3):
        answer = plane.get(b"/a", cookie=handle)
        assert answer.values(b"cache-control") == [told]
        assert (answer.body, answer.values(b"etag")) == (b"hello", [b"1"])


@pytest.mark.parametrize("line", [b"X-Accel-Expires: 60", b"Surrogate-Control: max-age=60"])
def test_p8_what_overrules_cache_control_does_not_pass_where_only_some_may_see_it(loop, line):
    plane = stage(loop, route(b"/public", PUBLIC))
    handle = plane.sign_in()
    plane.backend.answers = lambda _: ok(b"", b"Cache-Control: private", line)
    name = line.partition(b":")[0]
    assert plane.get(b"/a", cookie=handle).values(name) == []
    assert plane.get(b"/public").values(name) == [line.partition(b": ")[2]]


@pytest.mark.parametrize("pieces", [False, True], ids=["whole", "in pieces"])
@pytest.mark.parametrize("said", [said for said, _ in SAID.values()], ids=SAID)
def test_p8_what_all_may_see_is_the_backends_to_say_and_of_a_person_private_if_it_says_nothing(
    loop, said, pieces
):
    plane = stage(loop, route(b"/public", PUBLIC))
    handle = plane.sign_in()
    plane.backend.answers = lambda _: answered(said, pieces=pieces)
    kept = [said] if said else []
    assert plane.get(b"/public").values(b"cache-control") == kept
    assert plane.get(b"/public", cookie=handle).values(b"cache-control") == (kept or [b"private"])


@pytest.mark.parametrize(
    "status", [b"200 OK", b"301 Moved Permanently", b"404 Not Found", b"304 Not Modified"]
)
def test_p8_no_status_is_kept_by_shared_caches(loop, status):
    plane = stage(loop)
    handle = plane.sign_in()
    plane.backend.answers = lambda _: b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n"
    assert plane.get(b"/a", cookie=handle).values(b"cache-control") == [b"private"]


def test_what_the_operator_says_of_caches_holds(loop):
    plane = stage(loop, passing(b"/a", answer_headers=(heading("Cache-Control", "public, max-age=60"),)))
    handle = plane.sign_in()
    assert plane.get(b"/a", cookie=handle).values(b"cache-control") == [b"public, max-age=60"]


def test_h8_a_backend_that_was_asked_for_by_another_name_leads_to_the_site_people_know(loop):
    routes = (passing(b"/a", PUBLIC, host_line=b"Host: app.internal"), passing(b"/b", PUBLIC, answer_s=5.0))
    plane = stage(loop, *routes)
    plane.backend.answers = lambda _: ok(b"", b"Location: http://app.internal/login?rd=/a")
    assert plane.get(b"/a").values(b"location") == [b"http://app.example/login?rd=/a"]
    assert plane.get(b"/b").values(b"location") == [b"http://app.internal/login?rd=/a"]


@pytest.mark.parametrize("name", ["X-Accel-Redirect", "X-Sendfile"])
def test_h8_a_backend_leads_no_edge_to_its_internal_places(loop, name):
    plane = stage(loop, route(b"/public", PUBLIC))
    plane.backend.answers = lambda _: ok(b"", f"{name}: /internal/secret".encode())
    assert plane.get(b"/public").values(name.encode()) == []


def test_h8_a_backend_sets_no_cookie_of_ours_with_headings_or_without(loop):
    plane = stage(loop, passing(b"/a", answer_headers=(heading("X-A", "b"),)))
    handle = plane.sign_in()
    cookies = (b"Set-Cookie: vestibule-80=evil", b"Set-Cookie: __Host-vestibule=evil", b"Set-Cookie: app=1")
    plane.backend.answers = lambda _: ok(b"", *cookies)
    assert plane.get(b"/a", cookie=handle).values(b"set-cookie") == [b"app=1"]
