"""Who may ask, where, and what an edge is believed about."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.helpers.messages import Message
from tests.unit.protocol.test_url import REFUSED, REWRITTEN
from tests.unit.proxy.conftest import Client
from tests.unit.proxy.forward.stand import (
    CADDY,
    ENVOY,
    LOCAL,
    NGINX,
    WAYS,
    XHR,
    Stand,
    Way,
    code_of,
)
from tests.unit.proxy.plane import HOSTS, host, request, route
from vestibule.core.policy import policy_of
from vestibule.core.route import RouteTable
from vestibule.core.rule import rule
from vestibule.errors import ClientError
from vestibule.proxy.forward import edges

WAY = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
STRANGER = ("127.0.0.2", 40000)
NEAR = replace(
    host(b"near.example", route()),
    routes={
        b"": replace(
            route(), policy=policy_of(allow=(rule("public"),), all=(rule("network", "192.0.2.0/24"),))
        )
    },
)


def on_the_gateway(stand: Stand, way: Way, target: bytes = b"/public", **more) -> Message:
    """The same question on the listener for people."""
    peer = more.pop("peer", LOCAL)
    data = way.question(
        more.pop("method", b"GET"), target, more.pop("host", b"app.example"), more.pop("lines", ())
    )
    return Client(stand.loop, stand.plane.listener, peer).send(data).answer(data.partition(b" ")[0])


# -- who may ask -------------------------------------------------------------------------------


@WAY
def test_a_trusted_proxy_asks_on_the_listener_for_people_under_any_host(loop, way):
    stand = Stand(loop, trusted=["127.0.0.1"])
    assert on_the_gateway(stand, way).status == 200
    answer = on_the_gateway(stand, way, b"/", host=b"other.example")
    assert answer.status in (401, 302)


@WAY
def test_somebody_else_is_told_the_setting_and_nothing_more(loop, way):
    """Attacks CVE-2026-40575, H6: what a client may say of itself opens nothing."""
    stand = Stand(loop, trusted=["127.0.0.1"])
    for target in (b"/public", b"/admin", b"/@/x"):
        answer = on_the_gateway(stand, way, target, peer=STRANGER)
        assert answer.status == 403
        assert answer.body.count(b"\n") == 1
        assert b"gateway.trusted_proxies, where 127.0.0.2 does not" in answer.body
        assert {name.lower() for name, _ in answer.fields} == {
            b"content-type",
            b"cache-control",
            b"content-length",
        }
    assert {record.decision for record in stand.plane.traffic.ring} == {"untrusted_edge"}


@WAY
def test_on_a_listener_that_others_reach_the_list_decides(loop, way):
    stand = Stand(loop, trusted=["127.0.0.1"], is_closed=False)
    assert stand.ask(way, b"/public").status == 200
    assert stand.ask(way, b"/public", peer=STRANGER).status == 403


@WAY
def test_on_a_listener_of_this_machine_whoever_connects_is_an_edge(loop, way):
    stand = Stand(loop)
    for peer in (LOCAL, STRANGER, "/run/edge.sock"):
        assert stand.ask(way, b"/public", peer=peer).status == 200


def test_nothing_else_is_on_the_edges_listener(loop):
    stand = Stand(loop)
    for target in (b"/", b"/@/signin", b"/public", b"/@/validate/x", b"/@/ext_authz", b"/@/forward/"):
        answer = stand.send(request(target))
        assert (answer.status, code_of(answer)) == (404, "not_found")
    assert stand.send(request(b"/@/healthz")).body == b"ok\n"
    assert stand.plane.backend.connections == []


def test_a_broken_question_is_refused_on_the_wire(loop):
    stand = Stand(loop)
    answer = stand.send(b"GET /@/validate HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert answer.status == 400


# -- what it is believed about -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        pytest.param([b"X-Forwarded-For: 192.0.2.7"], "192.0.2.7", id="told"),
        pytest.param([b"X-Forwarded-For: 6.6.6.6, 192.0.2.7"], "192.0.2.7", id="told behind a lie"),
        pytest.param([b"X-Forwarded-For: 192.0.2.7", b"X-Forwarded-For: 6.6.6.6"], "6.6.6.6", id="two lines"),
        pytest.param(
            [b"X-Forwarded-For: 192.0.2.9, 10.0.0.1"], "192.0.2.9", id="through another trusted one"
        ),
        pytest.param([b"Forwarded: for=192.0.2.7"], "192.0.2.7", id="by Forwarded"),
        pytest.param([b"X-Forwarded-For: unknown"], "", id="unknown"),
        pytest.param([b"X-Real-IP: 192.0.2.7"], "", id="by another name"),
        pytest.param([], "", id="not told"),
    ],
)
@pytest.mark.parametrize("peer", [LOCAL, "/run/edge.sock"], ids=["TCP", "Unix socket"])
def test_the_client_is_who_the_edge_says_and_never_the_edge_itself(loop, lines, address, peer):
    stand = Stand(loop, trusted=["10.0.0.0/8"], hosts=(*HOSTS, NEAR))
    said = (b"X-Original-Method: GET", b"X-Original-URL: https://near.example/")
    for _ in range(3):
        answer = stand.send(request(b"/@/validate", *said, *lines), peer=peer)
        assert stand.plane.traffic.ring[-1].address == address
        assert answer.status == (200 if address.startswith("192.0.2.") else 403)


def test_what_one_peer_said_is_not_believed_of_another(loop):
    stand = Stand(loop, trusted=["127.0.0.1"])
    for _ in range(4):
        assert on_the_gateway(stand, NGINX).status == 200
        assert on_the_gateway(stand, NGINX, peer=STRANGER).status == 403


@WAY
def test_what_came_before_is_not_taken_for_another_method_or_address(loop, way):
    stand = Stand(loop)
    for _ in range(4):
        assert stand.ask(way, b"/get").status == 200
        assert stand.ask(way, b"/get", *XHR, method=b"POST").status in (403, 405)
        assert stand.ask(way, b"/", *XHR).status == 401
        assert stand.ask(way, b"/public").status == 200


def test_what_is_remembered_is_bounded(loop, monkeypatch):
    monkeypatch.setattr(edges, "KNOWN_MAX", 3)
    monkeypatch.setattr(edges, "GRANTED_MAX", 2)
    stand = Stand(loop, trusted=["10.0.0.0/8"], is_closed=False)
    for number in range(8):
        for _ in range(3):
            stand.ask(NGINX, b"/public", b"X: %d" % number, peer=(f"10.0.0.{number}", 1))
    stand.plane.sign_in()
    assert len(stand.edges._known) <= 3
    assert len(stand.edges._peers) <= 3
    assert len(stand.edges._clients) <= 3
    stand.edges._clients.clear()
    assert stand.ask(NGINX, b"/public", b"X-Forwarded-For: " + b"a" * 600, peer=("10.0.0.1", 1)).status == 200
    assert not stand.edges._clients
    assert len(stand.edges._granted) <= 2


@pytest.mark.parametrize(
    "path",
    [
        b"/@//validate",
        b"/x/../@/validate",
        b"/./@/forward",
        b"/@/%66orward",
        b"//@/forward",
    ],
)
def test_h6_the_address_of_a_question_itself_has_one_spelling(loop, path):
    """An edge that keeps people from `/@/forward` lets `/@//forward` through, and the gateway trusts that edge."""
    stand = Stand(loop, trusted=["127.0.0.1"])
    way = NGINX if b"validate" in path else CADDY
    data = way.question(b"GET", b"/public", b"app.example", ())
    for asked in (stand.listener, stand.plane.listener):
        answer = Client(loop, asked, LOCAL).send(data).answer(b"GET")
        assert answer.status == 200
        spelt = data.replace(b"GET /@/" + path.rpartition(b"/")[2].replace(b"%66", b"f"), b"GET " + path, 1)
        answer = Client(loop, asked, LOCAL).send(spelt).answer(b"GET")
        assert answer.status in (400, 403, 404), path
        assert answer.value(b"proxy-session") is None


# -- addresses that can be read in two ways ----------------------------------------------------


def not_canonical() -> list[bytes]:
    return sorted({raw for raw, _ in REWRITTEN} | set(REFUSED))


@pytest.mark.parametrize("way", [NGINX, CADDY], ids=lambda way: way.name)
def test_an_address_that_is_not_canonical_never_passes(loop, way):
    """Attacks P1, CVE-2021-32637: whoever holds the request forwards it as it came, whatever was decided on."""
    open_to_all = host(b"app.example", route(b"", (rule("public"),)))
    stand = Stand(loop, hosts=(open_to_all,))
    assert stand.ask(way, b"/a/b;c?d=%20").status == 200
    # A header's value has no controls and no white space around it; nginx has no address without a slash in front.
    wrong = [raw for raw in not_canonical() if not set(raw) & set(b"\r\n\0") and raw == raw.strip()]
    wrong = [raw for raw in wrong if way is CADDY or raw[:1] == b"/"]
    assert len(wrong) > 150
    for raw in wrong:
        assert stand.ask(way, raw).status in (400, 403, 414), raw


def test_an_address_that_is_not_canonical_never_passes_at_envoy(loop):
    open_to_all = host(b"app.example", route(b"", (rule("public"),)))
    stand = Stand(loop, hosts=(open_to_all,), trusted=["127.0.0.1"])
    for raw in [*not_canonical(), b"/../healthz", b"/../../@/healthz", b"/%2e%2e/healthz", b"/../validate"]:
        if set(raw) & set(b"\r\n\0 ") or raw[:1] != b"/":
            continue
        for answer in (stand.ask(ENVOY, raw), on_the_gateway(stand, ENVOY, raw)):
            assert answer.status in (400, 403, 404, 414), raw
    assert stand.plane.control.visits == []
    assert stand.plane.backend.connections == []


@WAY
def test_an_address_of_two_meanings_is_refused(loop, way):
    stand = Stand(loop)
    answer = stand.ask(way, b"/admin;x/y", *XHR, cookie=stand.plane.sign_in())
    assert answer.status in (400, 403)


@pytest.mark.parametrize(
    "named", [b"APP.example", b"app.example.", b"app.example:443", b"App.Example.:8443"], ids=bytes.decode
)
@WAY
def test_a_host_has_one_meaning_in_every_spelling(loop, way, named):
    stand = Stand(loop)
    assert stand.ask(way, b"/public", host=named).status == 200
    answer = stand.ask(way, b"/admin", *XHR, host=named, cookie=stand.plane.sign_in())
    assert (answer.status, code_of(answer)) == (403, "not_allowed")


@pytest.mark.parametrize(
    "named",
    [
        b"app.example, evil.example",
        b"u@app.example",
        b"app.example?",
        b"127.1",
        b"[::1%25eth0]",
        b"app%2eexample",
    ],
)
@pytest.mark.parametrize("way", [NGINX, CADDY], ids=lambda way: way.name)
def test_a_host_that_can_be_read_in_two_ways_is_refused(loop, way, named):
    """Attack P3."""
    data = way.question(b"GET", b"/public", b"app.example", ())
    data = data.replace(b"https://app.example", b"https://" + named)
    data = data.replace(b"X-Forwarded-Host: app.example", b"X-Forwarded-Host: " + named)
    assert Stand(loop).send(data).status in (400, 403, 421)


# -- answers that are given again --------------------------------------------------------------


def again(stand: Stand, **more) -> Message:
    """The answer to a question that came several times before."""
    for _ in range(3):
        answer = stand.ask(NGINX, b"/a", **more)
    return answer


def test_other_hosts_or_rules_are_in_force_at_once(loop):
    stand = Stand(loop)
    handle = stand.plane.sign_in()
    assert again(stand, cookie=handle).status == 200
    stand.plane.gateway.use(RouteTable(HOSTS))
    assert again(stand, cookie=handle).status == 200
    nobody = host(b"app.example", route(b"", (rule("email", "root@app.example"),)))
    stand.plane.gateway.use(RouteTable((nobody,)))
    assert stand.ask(NGINX, b"/a", cookie=handle).status == 403
    stand.plane.gateway.use(RouteTable((HOSTS[1],)))
    assert stand.ask(NGINX, b"/a", cookie=handle).status == 403


def test_who_is_to_be_asked_about_is_asked_about(loop):
    stand = Stand(loop)
    handle = stand.plane.sign_in()
    assert again(stand, cookie=handle).status == 200
    stand.plane.rechecks.due.add(stand.plane.session.id)
    assert stand.ask(NGINX, b"/a", cookie=handle).status == 401
    assert stand.plane.rechecks.asked == 1


def test_who_is_somebody_else_by_now_is_judged_as_that(loop):
    stand = Stand(loop)
    handle = stand.plane.sign_in()
    assert again(stand, cookie=handle).status == 200
    stand.loop.wait(
        stand.plane.sessions.update(stand.plane.session.id, lambda one: replace(one, identities=()))
    )
    assert stand.loop.wait(stand.plane.sessions.load(handle)) is not None  # it is in the cache as it is now
    assert stand.ask(NGINX, b"/a", cookie=handle).status == 401


def test_a_handle_is_given_out_for_half_of_its_life(loop):
    stand = Stand(loop)
    handle = stand.plane.sign_in()
    first = again(stand, cookie=handle).value(b"proxy-session")
    stand.plane.at += 1700
    assert again(stand, cookie=handle).value(b"proxy-session")
    stand.plane.at += 200
    assert again(stand, cookie=handle).value(b"proxy-session") != first


def test_who_asks_all_day_stays_signed_in(loop):
    stand = Stand(loop)
    handle = stand.plane.sign_in()
    for _ in range(60):
        stand.plane.at += 3600
        assert again(stand, cookie=handle).status == 200
        stand.loop.wait(stand.plane.sessions.flush())


def test_a_session_that_ends_by_itself_is_over(loop):
    stand = Stand(loop)
    handle = stand.plane.sign_in()
    assert again(stand, cookie=handle).status == 200
    stand.plane.at += 25 * 3600
    assert stand.ask(NGINX, b"/a", cookie=handle).status == 401


def test_a_credential_of_a_callers_own_is_asked_about_each_time(loop):
    stand = Stand(loop, hosts=tuple(replace(one, takes_callers=True) for one in HOSTS))
    handle = stand.plane.sign_in()
    lines = (b"Authorization: Bearer x",)
    for _ in range(3):
        assert stand.ask(NGINX, b"/a", *lines, cookie=handle).status == 200
    stand.plane.callers.known[b"Bearer x"] = ClientError("no", code="invalid_token", status=401)
    assert stand.ask(NGINX, b"/a", *lines, cookie=handle).status == 401
