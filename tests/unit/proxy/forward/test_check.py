"""Envoy's question by gRPC: decided like the request, and what nobody may send on is taken from it."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from tests.helpers.check_request import Answer, check, entry, field, read_answer
from tests.unit.protocol.test_headers import OWNED, spellings
from tests.unit.proxy.forward.stand import WITH_ASKED, Stand
from tests.unit.proxy.forward.test_edges import NEAR, not_canonical
from tests.unit.proxy.plane import HOSTS, host, route
from tests.unit.web.asgi import PAGES
from vestibule.core.inject import names
from vestibule.core.rule import rule
from vestibule.model import Caller, Identity
from vestibule.observe.traffic import Kind
from vestibule.proxy.forward.check import Checks
from vestibule.web.notices import Notices

NAVIGATION = {"accept": "text/html", "sec-fetch-mode": "navigate"}
XHR = {"accept": "application/json"}


class GrpcStand(Stand):
    """Envoy in front of the data plane."""

    def __init__(self, loop, **more) -> None:
        super().__init__(loop, **more)
        plane = self.plane
        self.checks = Checks(
            self.edges._verdicts, plane.judge.trusted, Notices(PAGES), plane.traffic, plane.log, now=plane.now
        )

    def check(self, path: str = "/", headers: dict[str, str] | None = None, **more) -> Answer:
        return self.send_message(check(path=path, headers=headers, **more))

    def send_message(self, message: bytes) -> Answer:
        return read_answer(self.loop.wait(self.checks.answer(message, self.plane.listener)))

    def cookie_of_nobody(self) -> dict[str, str]:
        """A handle the store has to be asked about."""
        return {"cookie": "vestibule-80=" + "A" * len(self.plane.sign_in())}

    def cookie(self, **more) -> dict[str, str]:
        return {"cookie": "vestibule-80=" + self.plane.sign_in(**more)}


@pytest.fixture
def stand(loop):
    return GrpcStand(loop)


def test_nobody_is_sent_to_sign_in(stand):
    answer = stand.check("/a?b", NAVIGATION)
    assert (answer.code, answer.status) == (7, 302)
    assert answer.headers["location"] == "http://app.example/@/signin?rd=/a%3Fb"
    answer = stand.check("/a?b", XHR, method="POST")
    assert (answer.code, answer.status) == (7, 401)
    assert json.loads(answer.body)["code"] == "sign_in_required"
    assert answer.headers["www-authenticate"]


def test_who_may_passes_and_is_named_by_every_header(stand):
    answer = stand.check("/a", {**stand.cookie(name="Ada"), "user-agent": "x"}, method="PUT")
    assert answer.code == 0
    assert answer.headers["user-email"] == "ada@app.example"
    assert answer.headers["user-name"] == "Ada"
    assert answer.headers["user-groups"] == ""
    assert set(answer.headers) == {name.lower() for name in names(HOSTS[0])}
    assert answer.for_client == {}


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        ("/admin", "GET", 403, "not_allowed"),
        ("/get", "POST", 405, "method_not_allowed"),
        ("/@/signin", "GET", 403, "own_path"),
        ("/admin;x/y", "GET", 400, "bad_target"),
    ],
)
def test_who_may_not_is_answered_in_the_backends_place(stand, path, method, status, code):
    answer = stand.check(path, {**XHR, **stand.cookie()}, method=method)
    assert (answer.code, answer.status, json.loads(answer.body)["code"]) == (7, status, code)


def test_while_the_store_is_away_nobody_passes(stand):
    cookie = stand.cookie()
    stand.plane.away.is_away = True
    answer = stand.check("/", {**XHR, "cookie": cookie["cookie"][:-5] + "AAAAA"})
    assert (answer.code, answer.status) == (7, 503)


@pytest.mark.parametrize("name", OWNED)
def test_a_header_that_only_the_gateway_sets_is_overwritten_or_removed(stand, name):
    """Attacks H1, H2: in every spelling, whoever asks."""
    for spelling in {text.lower() for text in spellings(name)}:
        for path in ("/public", "/"):
            answer = stand.check(path, {spelling: "SPOOFED", **(stand.cookie() if path == "/" else {})})
            assert answer.code == 0
            is_envoys = spelling in ("x-forwarded-for", "x-forwarded-proto")
            assert (spelling in answer.removed) is (spelling not in answer.headers and not is_envoys)
            assert "SPOOFED" not in answer.headers.values()


@pytest.mark.parametrize("name", ["x-http-method-override", "content_length", "proxy", "x_forwarded_for"])
def test_what_could_speak_past_the_decision_is_removed(stand, name):
    assert stand.check("/public", {name: "1"}).removed == [name]


def test_what_the_backend_needs_is_left(stand):
    answer = stand.check(
        "/public", {"te": "trailers", "accept": "*/*", "x-custom": "1", "authorization": "Digest x"}
    )
    assert answer.removed == []
    assert answer.headers["authorization"] == "Digest x"


def test_the_gateways_cookie_is_not_for_the_backend(stand):
    cookie = stand.cookie()["cookie"]
    answer = stand.check("/", {"cookie": f"a=b; {cookie}; c=d"})
    assert answer.headers["cookie"] == "a=b; c=d"
    assert "cookie" in stand.check("/", {"cookie": cookie}).removed


def test_a_credential_that_was_accepted_is_not_for_the_backend(loop):
    stand = GrpcStand(loop, hosts=tuple(replace(one, takes_callers=True) for one in HOSTS))
    robot = Identity(client="google", issuer="https://google", subject="2", email="bot@app.example")
    stand.plane.callers.known[b"Bearer good"] = Caller(id="t", kind="jwt", identities=(robot,))
    answer = stand.check("/", {"authorization": "Bearer good"})
    assert answer.headers["user-email"] == "bot@app.example"
    assert "authorization" in answer.removed
    assert (
        stand.check("/public", {"authorization": "Bearer other"}).headers["authorization"] == "Bearer other"
    )


@pytest.mark.parametrize(
    ("source", "told", "address"),
    [
        ("192.0.2.7", "6.6.6.6", "192.0.2.7"),
        ("::ffff:192.0.2.7", "", "192.0.2.7"),
        ("10.0.0.1", "6.6.6.6, 192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7, 10.0.0.1", "192.0.2.7"),
        ("", "192.0.2.7", ""),
    ],
)
def test_the_client_is_envoys_peer_or_who_stands_behind_a_trusted_one(loop, source, told, address):
    stand = GrpcStand(loop, trusted=["10.0.0.0/8"], hosts=(*HOSTS, NEAR))
    headers = {"x-forwarded-for": told} if told else {}
    answer = stand.check("/", headers, host="near.example", source=source)
    assert answer.code == (0 if address else 7)
    assert stand.plane.traffic.ring[-1].address == address


def test_a_page_of_another_site_opens_no_socket(stand):
    headers = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-key": "x", **stand.cookie()}
    assert stand.check("/", {**headers, "origin": "http://app.example"}).code == 0
    assert stand.check("/", {**headers, "origin": "http://evil.example"}).status == 403


def test_each_question_is_one_record_of_the_request_asked_about(stand):
    stand.check("/admin?secret=1", {**XHR, **stand.cookie()}, method="POST")
    [record] = stand.plane.traffic.ring
    assert (record.kind, record.name, record.method, record.path) == (
        Kind.EDGE,
        b"app.example",
        b"POST",
        b"/admin",
    )
    assert (record.status, record.decision, record.address) == (403, "not_allowed", "192.0.2.7")
    [line] = [line for line in stand.plane.log_lines if line["event"] == "refused"]
    assert (line["id"], line["listener"]) == (record.request_id, "forward_auth_grpc")


def test_a_host_that_is_only_asked_about(loop):
    stand = GrpcStand(loop, hosts=WITH_ASKED)
    answer = stand.check("/x", NAVIGATION, host="asked.example:443")
    assert answer.headers["location"] == "https://asked.example/@/signin?rd=/x"


def test_an_address_that_is_not_canonical_never_passes(loop):
    """Attacks P1, CVE-2021-39206: Envoy forwards what came, whatever was decided on."""
    stand = GrpcStand(loop, hosts=(host(b"app.example", route(b"", (rule("public"),))),))
    assert stand.check("/a/b;c?d").code == 0
    for raw in not_canonical():
        http = field(2, "GET") + field(4, raw) + field(5, "app.example") + field(6, "http")
        message = field(1, field(4, field(2, http)))
        assert stand.send_message(message).status in (400, 414), raw


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xff", id="no message"),
        pytest.param(check(method=""), id="no method"),
        pytest.param(check(method="TRACE"), id="TRACE"),
        pytest.param(check(method="GET /public"), id="a method with a path"),
        pytest.param(check(path=""), id="no path"),
        pytest.param(check(path="*"), id="no address of a host"),
        pytest.param(check(path="http://app.example/public"), id="an absolute address"),
        pytest.param(check(host=""), id="no host"),
        pytest.param(check(host="none.example"), id="an unknown host"),
        pytest.param(check(host="app.example, b"), id="two hosts"),
        pytest.param(check(host="app.example\r\nX: y"), id="a host with a line end"),
        pytest.param(check(scheme="ftp"), id="another scheme"),
        pytest.param(check(source="nowhere"), id="no address"),
        pytest.param(check(headers={"x": "a\r\nCookie: b"}), id="a value with a line end"),
        pytest.param(check(headers={"x\r\ncookie": "b"}), id="a name with a line end"),
        pytest.param(check(headers={"x y": "b"}), id="a name with a space"),
        pytest.param(check(headers={"x": "a\0b"}), id="a value with NUL"),
        pytest.param(check(headers={f"x{n}": "" for n in range(101)}), id="too many headers"),
        pytest.param(
            check(path="/public", http_more=field(3, entry("cookie", "b")) * 2), id="a header twice"
        ),
        pytest.param(check(path="/public", http_more=field(4, "/admin")), id="two paths"),
    ],
)
def test_what_is_no_good_question_lets_nobody_pass(stand, message):
    answer = stand.send_message(message)
    assert answer.code == 7
    assert 400 <= answer.status < 500
