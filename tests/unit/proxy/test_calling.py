"""The calling interface: who may call, what goes out, and that nothing goes out otherwise."""

from __future__ import annotations

import json

import pytest

from tests.unit.proxy.conftest import Client, PlainListener
from tests.unit.proxy.plane import NOW_AT, RING, FakeBackend, Plane, ok, request
from vestibule.core.call import (
    Applied,
    Call,
    Location,
    Operation,
    SecretCredential,
    SessionCredential,
    TokenCredential,
)
from vestibule.core.handle import seal_handle
from vestibule.core.listener import ListenAddress
from vestibule.core.route import Server
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import CredentialGone, ProviderInvalid, ProviderUnavailable, StoreError
from vestibule.model import Device, Secret, Tokens
from vestibule.observe.traffic import Kind
from vestibule.proxy.calling import Calling

PERSON = SessionCredential(client="google", clients={"app.example": "google"})
BEARER = Applied(location=Location.HEADER, name="Authorization", credential=PERSON, prefix="Bearer ")
IN_QUERY = Applied(location=Location.QUERY, name="access_token", credential=PERSON)
SECRET = Applied(
    location=Location.HEADER, name="X-Api-Key", credential=SecretCredential(name="k", value=Secret("s3cret"))
)
OWN = Applied(
    location=Location.HEADER, name="Authorization", credential=TokenCredential(source="own"), prefix="Bearer "
)


class FakeGrants:
    """Tokens by number: each refresh gives the next one."""

    def __init__(self) -> None:
        self.number = 1
        self.cached = True
        self.error: Exception | None = None
        self.refreshes = 0

    @property
    def tokens(self) -> Tokens:
        return Tokens(access_token=Secret(f"token-{self.number}"))

    def peek(self, session_id: str, client: str) -> Tokens | None:
        return self.tokens if self.cached and self.error is None else None

    async def access_token(self, session, client: str, *, rejected: Secret | None = None) -> Tokens:
        assert client == "google"
        if self.error is not None:
            raise self.error
        if rejected == self.tokens.access_token:
            self.number += 1
            self.refreshes += 1
        return self.tokens

    async def token(self, source: str, *, rejected: Secret | None = None) -> Tokens:
        """As `service.tokens.OwnTokens`."""
        return await self.access_token(None, "google", rejected=rejected)


class Api:
    """A calling interface with an API behind it."""

    def __init__(self, loop, *applied: Applied, **fields) -> None:
        self.plane = plane = Plane(loop)
        self.loop = loop
        self.api = loop.network["api.example", 443] = FakeBackend(loop)
        self.grants = FakeGrants()
        applied = applied or (BEARER,)
        fields.setdefault("needs_session", any(isinstance(a.credential, SessionCredential) for a in applied))
        fields.setdefault("endpoint", Server(host="api.example", port=443, tls=True))
        call = Call(
            id="api",
            listen=ListenAddress(host="127.0.0.1", port=7001),
            authority="api.example",
            applied=applied,
            hosts=frozenset({"app.example"}),
            **fields,
        )
        self.calling = Calling(
            call,
            sessions=plane.sessions,
            rechecks=plane.rechecks,
            grants=self.grants,
            tokens=self.grants,
            ring=RING,
            pools=plane.pools,
            answers=plane.answers,
            traffic=plane.traffic,
            log=plane.log,
            now=plane.now,
        )
        self.listener = PlainListener(self.calling, loop)
        self.listener.slashes = True
        plane.sign_in()
        self.handle = self.sealed()

    def sealed(
        self, *, ring: KeyRing = RING, session: str = "", host: str = "app.example", expires_at=NOW_AT + 60
    ) -> bytes:
        return seal_handle(ring, session or self.plane.session.id, host, expires_at, nonce=b"n" * 12).encode()

    def send(self, data: bytes) -> Client:
        client = Client(self.loop, self.listener, ("127.0.0.1", 5000)).send(data)
        self.api.look()
        return client

    def get(self, target: bytes = b"/v1", *lines: bytes, handle: bytes | None = None, **fields):
        handle = self.handle if handle is None else handle
        if handle:
            lines = (*lines, b"Proxy-Session: " + handle)
        fields.setdefault("host", b"127.0.0.1:7001")
        return self.send(request(target, *lines, **fields)).answer()


@pytest.fixture
def api(loop) -> Api:
    return Api(loop)


# -- refusals: nothing goes out ----------------------------------------------------------------------------------

OTHER_RING = KeyRing((Key("k1", b"o" * 32),))
REFUSED_HANDLES = {
    "none": (lambda api: b"", "handle_missing"),
    "nonsense": (lambda api: b"nonsense", "handle_invalid"),
    "not base64": (lambda api: b"%%%", "handle_invalid"),
    "another key's": (lambda api: api.sealed(ring=OTHER_RING), "handle_invalid"),
    "changed": (lambda api: api.handle[:-2] + b"AA", "handle_invalid"),
    "cut": (lambda api: api.handle[:20], "handle_invalid"),
    "too long": (lambda api: api.handle * 20, "handle_invalid"),
    "expired": (lambda api: api.sealed(expires_at=NOW_AT), "handle_expired"),
    "another host's": (lambda api: api.sealed(host="other.example"), "handle_foreign"),
    "an unknown session's": (lambda api: api.sealed(session="unknown"), "session_ended"),
}


@pytest.mark.parametrize(("handle", "code"), REFUSED_HANDLES.values(), ids=REFUSED_HANDLES)
def test_a_call_without_a_good_handle_is_401_and_nothing_goes_out(api, handle, code):
    answer = api.get(handle=handle(api))
    assert (answer.status, answer.value(b"code"), answer.value(b"kind")) == (401, code.encode(), b"json")
    assert json.loads(answer.body)["reason"]
    assert api.api.connections == []


def test_two_handles_are_none(api):
    answer = api.get(b"/v1", b"Proxy-Session: " + api.handle)
    assert answer.value(b"code") == b"handle_invalid"
    assert api.api.connections == []


@pytest.mark.parametrize("name", [b"proxy_session", b"Proxy.Session", b"PROXY_SESSION"])
def test_a_handle_in_another_spelling_is_none(api, name):
    answer = api.get(b"/v1", name + b": " + api.handle, handle=b"")
    assert answer.value(b"code") == b"handle_missing"


def test_a_session_that_ended_calls_no_more(api, loop):
    assert api.get().status == 200
    loop.wait(api.plane.sessions.end(api.plane.session.id))
    assert api.get().value(b"code") == b"session_ended"
    assert len(api.api.requests) == 1


def test_a_session_of_another_host_is_not_the_handles(api):
    """Threat: a handle sealed for one host with the session of another."""
    api.plane.sign_in(at="other.example")
    assert api.get(handle=api.sealed()).value(b"code") == b"session_ended"
    assert api.api.connections == []


@pytest.mark.parametrize(
    "line",
    [
        b"Origin: http://evil.example",
        b"Origin: null",
        b"origin: http://127.0.0.1:7001",
        b"Sec-Fetch-Site: none",
        b"SEC-FETCH-MODE: cors",
    ],
)
def test_a_browser_may_not_call(api, line):
    answer = api.get(b"/v1", line)
    assert (answer.status, answer.value(b"code")) == (403, b"browser_call")
    assert api.api.connections == []


@pytest.mark.parametrize(
    "name", [b"evil.example", b"127.0.0.2", b"localhost.evil.example", b"app.example", b"api.example"]
)
def test_a_foreign_host_is_403(api, name):
    answer = api.get(host=name)
    assert (answer.status, answer.value(b"code")) == (403, b"foreign_host")
    assert api.api.connections == []


@pytest.mark.parametrize("name", [b"localhost", b"LOCALHOST:7001", b"127.0.0.1", b"[::1]:7001"])
def test_loopback_names_are_its_own(api, name):
    assert api.get(host=name).status == 200


def test_a_configured_name_is_too(loop):
    assert Api(loop, names=frozenset({"apis.internal"})).get(host=b"apis.internal").status == 200


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (CredentialGone("gone"), 401, "credential_gone"),
        (CredentialGone("none", code="no_credential"), 401, "no_credential"),
        (ProviderUnavailable("down"), 503, "provider_unavailable"),
        (ProviderInvalid("no", code="refresh_sub"), 502, "provider_invalid"),
        (StoreError("away"), 503, "store_unavailable"),
        (RuntimeError("boom"), 500, "internal_error"),
    ],
    ids=["gone", "never given", "provider down", "provider lies", "store away", "a fault"],
)
def test_without_a_credential_nothing_goes_out(api, error, status, code):
    api.grants.error = error
    answer = api.get()
    assert (answer.status, answer.value(b"code"), answer.value(b"kind")) == (status, code.encode(), b"json")
    assert api.api.connections == []


def test_a_store_that_is_away_is_503(api):
    api.plane.away.is_away = True
    assert api.get().status == 503
    assert api.api.connections == []


def test_a_client_this_host_does_not_know_is_refused(loop):
    foreign = SessionCredential(client="google", clients={"other.example": "google"})
    api = Api(loop, Applied(location=Location.HEADER, name="Authorization", credential=foreign))
    assert api.get().status == 401
    assert api.api.connections == []


def test_only_operations_lets_nothing_else_through(loop):
    operations = (Operation(id="list", method=b"GET", segments=(b"v1", b"things")),)
    api = Api(loop, operations=operations, only_operations=True)
    assert api.get(b"/v1/things").status == 200
    for target in (b"/v1/other", b"/v1/things/1", b"/v1"):
        assert api.get(target).value(b"code") == b"operation_unknown"
    assert api.get(b"/v1/things", method=b"DELETE").value(b"code") == b"operation_unknown"
    assert len(api.api.requests) == 1
    assert api.plane.traffic.ring[0].decision == "list"


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "ключ"], ids=repr)
@pytest.mark.parametrize("location", Location)
def test_a_credential_that_would_break_out_of_its_place_does_not(loop, value, location):
    secret = SecretCredential(name="k", value=Secret(value))
    api = Api(loop, Applied(location=location, name="X-Key", credential=secret))
    answer = api.get()
    if location is Location.QUERY:
        assert answer.status == 200
        assert len(api.api.request.values(b"host")) == 1
    else:
        assert answer.status == 500
        assert api.api.connections == []
    assert b"X-Evil: 1" not in api.api.got
    assert value not in api.plane.log_text.getvalue()


# -- what goes out -----------------------------------------------------------------------------------------------


def test_the_credential_goes_out_in_its_header_and_the_handle_does_not(api):
    answer = api.get(b"/v1/things?a=b", b"Accept: application/json")
    assert answer.body == b"from /v1/things?a=b"
    got = api.api.request
    assert got.value(b"authorization") == b"Bearer token-1"
    assert got.values(b"host") == [b"api.example"]
    assert got.value(b"accept") == b"application/json"
    assert {name.lower() for name, _ in got.fields} == {b"host", b"accept", b"authorization", b"traceparent"}
    assert api.handle not in api.api.got
    assert api.api.last.get_extra_info("name") == "api.example"


@pytest.mark.parametrize(
    "line", [b"Authorization: Bearer mine", b"authorization: Basic eDp5", b"AUTHORIZATION: x"]
)
def test_what_the_caller_put_there_is_replaced(api, line):
    api.get(b"/v1", line)
    assert api.api.request.values(b"authorization") == [b"Bearer token-1"]


def test_another_spelling_of_the_credentials_header_is_replaced_too(loop):
    api = Api(loop, SECRET)
    api.get(b"/v1", b"X_API_KEY: mine", b"x-api-key: mine", b"X.Api.Key: mine")
    assert api.api.request.values(b"x-api-key") == [b"s3cret"]
    assert b"mine" not in api.api.got


def test_a_cookie_as_credential_replaces_the_callers(loop):
    secret = SecretCredential(name="k", value=Secret("sid=1"))
    api = Api(loop, Applied(location=Location.HEADER, name="Cookie", credential=secret))
    api.get(b"/v1", b"Cookie: sid=mine")
    assert api.api.request.values(b"cookie") == [b"sid=1"]


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        (b"/v1", b"/v1?access_token=token-1"),
        (b"/v1?", b"/v1?access_token=token-1"),
        (b"/v1?a=b", b"/v1?a=b&access_token=token-1"),
        (b"/v1?access_token=mine&a=b", b"/v1?a=b&access_token=token-1"),
        (b"/v1?a=b&access_token&access_token=", b"/v1?a=b&access_token=token-1"),
        (b"/v1?%61ccess_token=mine", b"/v1?access_token=token-1"),
    ],
)
def test_the_credential_goes_out_in_the_query(loop, target, sent):
    api = Api(loop, IN_QUERY)
    api.get(target)
    assert api.api.request.target == sent
    assert "token-1" not in api.plane.log_text.getvalue()
    assert not any("token-1" in str(record) for record in api.plane.traffic.ring)


def test_what_goes_into_a_query_is_escaped(loop):
    secret = SecretCredential(name="k", value=Secret("a&b=c d#é"))
    api = Api(loop, Applied(location=Location.QUERY, name="k&y", credential=secret))
    api.get(b"/v1")
    assert api.api.request.target == b"/v1?k%26y=a%26b%3Dc%20d%23%C3%A9"


def test_several_credentials_go_out_together(loop):
    api = Api(loop, BEARER, SECRET)
    api.get()
    assert (api.api.request.value(b"authorization"), api.api.request.value(b"x-api-key")) == (
        b"Bearer token-1",
        b"s3cret",
    )


def test_the_apps_own_credentials_need_no_handle(loop):
    for applied in (SECRET, OWN):
        api = Api(loop, applied)
        assert api.get(handle=b"").status == 200
        assert api.handle not in api.api.got


def test_the_gateways_headers_stay_here(api):
    api.get(
        b"/v1",
        b"User-Id: 1",
        b"X-Forwarded-For: 1.2.3.4",
        b"x_real_ip: 1.2.3.4",
        b"Forwarded: for=1",
        b"User-Email: a@b",
    )
    names = {name.lower() for name, _ in api.api.request.fields}
    assert names == {b"host", b"authorization", b"traceparent"}


def test_an_api_path_keeps_its_slashes(api):
    api.get(b"/v1//a/b%2Fc")
    assert api.api.request.target == b"/v1//a/b%2Fc"


def test_a_body_streams_to_the_api(api):
    client = api.send(
        request(
            b"/v1", b"Proxy-Session: " + api.handle, b"Content-Length: 5", method=b"POST", host=b"localhost"
        )
        + b"he"
    )
    assert api.api.got.endswith(b"he")
    client.send(b"llo")
    api.api.look()
    assert client.answer().status == 200


def test_the_connection_to_the_api_is_used_again(api):
    for _ in range(3):
        api.get()
    assert len(api.api.connections) == 1


def test_an_upgrade_is_not_for_calls(api):
    api.get(b"/v1", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    assert api.api.request.values(b"upgrade") == []


def test_a_credential_that_is_not_at_hand_is_waited_for(api):
    api.grants.cached = False
    assert api.get().status == 200
    assert api.api.request.value(b"authorization") == b"Bearer token-1"


# -- 401: once more, where that is safe --------------------------------------------------------------------------


def picky(good: bytes):
    """An API that takes one token only."""

    def answers(got):
        if got.value(b"authorization") == b"Bearer " + good:
            return ok(b"yes")
        return b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nold!"

    return answers


@pytest.mark.parametrize("method", [b"GET", b"DELETE", b"PUT", b"OPTIONS"])
def test_a_rejected_token_is_refreshed_and_the_call_repeated(api, method):
    api.api.answers = picky(b"token-2")
    assert api.get(method=method).body == b"yes"
    assert api.grants.refreshes == 1
    assert [got.value(b"authorization") for got in api.api.requests] == [b"Bearer token-1", b"Bearer token-2"]


def test_a_streamed_401_is_repeated_too(api):
    def answers(got):
        if len(api.api.requests) > 1:
            return ok(b"yes")
        return b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nold!\r\n"

    api.api.answers = answers
    assert api.get().body == b"yes"


def test_it_is_repeated_once_only(api):
    api.api.answers = picky(b"never")
    answer = api.get()
    assert (answer.status, answer.body) == (401, b"old!")
    assert len(api.api.requests) == 2


@pytest.mark.parametrize(
    "fields",
    [{"method": b"POST"}, {"method": b"PATCH"}, {"method": b"PUT", "body": b"x"}],
    ids=["POST", "PATCH", "PUT with body"],
)
def test_what_may_have_been_done_is_not_repeated_but_refreshed_for_the_next(api, fields):
    api.api.answers = picky(b"token-2")
    answer = api.get(**fields)
    assert (answer.status, answer.body) == (401, b"old!")
    assert api.grants.refreshes == 1
    assert len(api.api.requests) == 1
    assert api.get().body == b"yes"


def test_a_401_with_nothing_but_a_fixed_secret_is_the_callers(loop):
    api = Api(loop, SECRET)
    api.api.answers = picky(b"never")
    assert api.get().status == 401
    assert len(api.api.requests) == 1


def test_the_apps_own_token_is_refreshed_too(loop):
    api = Api(loop, OWN)
    api.api.answers = picky(b"token-2")
    assert api.get(handle=b"").body == b"yes"


def test_a_refresh_that_is_refused_says_so(api):
    def answers(got):
        api.grants.error = CredentialGone("sign in again")
        return b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"

    api.api.answers = answers
    answer = api.get()
    assert (answer.status, answer.value(b"code")) == (401, b"credential_gone")


def test_an_api_that_is_down_is_502_as_json(api):
    api.api.refuses = True
    answer = api.get()
    assert (answer.status, answer.value(b"kind")) == (502, b"json")


def test_a_broken_request_is_refused_as_json(api):
    client = api.send(b"GET / HTTP/1.1\r\n\r\n")
    answer = client.answer()
    assert (answer.status, answer.value(b"kind")) == (400, b"json")
    assert client.is_ended


def test_each_call_has_a_record_without_secrets(api):
    api.get(b"/v1?q=private")
    [record] = api.plane.traffic.ring
    assert (record.kind, record.name, record.path, record.status, record.session_id) == (
        Kind.CALL,
        b"api",
        b"/v1",
        200,
        api.plane.session.id,
    )
    text = str(record) + api.plane.log_text.getvalue()
    assert "private" not in text
    assert "token-1" not in text
    assert api.handle.decode() not in text


def test_a_session_that_is_due_is_checked_before_a_call_goes_out(api):
    api.plane.rechecks.due.add(api.plane.session.id)
    assert api.get().status == 401
    assert api.plane.rechecks.asked == 1
    assert api.api.connections == []
    api.plane.rechecks.answer = api.plane.session
    assert api.get().status == 200


def test_a_session_that_comes_to_be_due_while_all_is_at_hand_is_checked(api):
    assert api.get().status == 200
    assert api.get().status == 200
    api.plane.rechecks.due.add(api.plane.session.id)
    assert api.get().status == 401
    assert api.plane.rechecks.asked == 1


# -- one sign-in for several hosts ------------------------------------------------------------


def test_a_handle_of_a_session_of_a_whole_domain_is_good(loop):
    api = Api(loop, realms={"app.example": ".example"})
    api.plane.sign_in(at=".example")
    assert api.get(handle=api.sealed()).status == 200
    assert api.api.request.value(b"authorization") == b"Bearer token-1"
    api.plane.sign_in(at="app.example")
    assert json.loads(api.get(handle=api.sealed()).body)["code"] == "session_ended"


def test_what_was_handed_on_calls_with_its_parents_credentials(loop):
    api = Api(loop)
    parent = api.plane.session
    api.plane.sign_in(at="auth.example")
    device, now = Device(), api.plane.now()
    child, handle = loop.wait(
        api.plane.sessions.hand_on(api.plane.session, host="app.example", device=device, now=now)
    )
    loop.wait(api.plane.sessions.load(handle))
    asked: list[str] = []
    peek = api.grants.peek
    api.grants.peek = lambda owner, client: asked.append(owner) or peek(owner, client)
    assert api.get(handle=api.sealed(session=child.id)).status == 200
    assert asked == [api.plane.session.id]
    assert parent.id not in asked
