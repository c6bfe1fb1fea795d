"""What the judge alone decides: whose credential counts, and how far it reaches."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.proxy.plane import HOSTS, Plane, request, switched
from tests.unit.proxy.test_lasting import ENDLESS
from vestibule.core.credential import Accepted, Issuer
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, Server
from vestibule.core.rule import rule
from vestibule.errors import ClientError, CredentialRefused, TooManyTries
from vestibule.model import Bounds, Caller, Identity

pytestmark = pytest.mark.usefixtures("both_downstreams")

BACKEND = Backend(servers=(Server(host="127.0.0.1", port=9000),))
ANYONE = policy_of(allow=(rule("anyone"),), sign_in=frozenset({"google", "ci"}))
API = Host(
    name=b"api.example",
    title="API",
    clients={"google": "google"},
    sign_in=("google",),
    issuers=("ci",),
    takes_callers=True,
    accepts=Accepted(issuers=(Issuer(name="ci"),)),
    routes={
        b"": Route(prefix=b"", backend=BACKEND, policy=ANYONE),
        b"/read": Route(
            prefix=b"/read",
            backend=BACKEND,
            policy=policy_of(allow=(rule("token", "read"),), issuers=frozenset({"ci"})),
        ),
        b"/jobs": Route(prefix=b"/jobs", backend=BACKEND, policy=ANYONE, needs_caller=True),
    },
    depth=1,
)
ROBOT = Caller(
    id="t1",
    kind="jwt",
    identities=(Identity(client="ci", issuer="https://ci", subject="robot", login="robot"),),
)


@pytest.fixture
def plane(loop):
    plane = Plane(loop, hosts=(*HOSTS, API))
    plane.callers.known[b"Bearer good"] = ROBOT
    plane.callers.known[b"Bearer bad"] = CredentialRefused("no")
    plane.callers.known[b"Bearer expired"] = CredentialRefused("it has expired")
    return plane


def get(plane: Plane, path: bytes, *lines: bytes, method: bytes = b"GET", cookie: str = ""):
    return plane.get(path, *lines, host=b"api.example", method=method, cookie=cookie)


def test_an_accepted_credential_lets_in_and_is_not_forwarded(plane):
    for _ in range(3):  # loaded, then from what is known, then from what is kept
        assert get(plane, b"/a", b"Authorization: Bearer good").status == 200
        sent = plane.backend.requests[-1]
        assert sent.value(b"authorization") is None
        assert sent.value(b"user-login") == b"robot"
        assert sent.value(b"proxy-session") is None
    assert plane.traffic.ring[-1].session_id == "jwt:t1"


def test_a_credential_wins_over_a_cookie(plane):
    handle = plane.sign_in(at="api.example", login="ada")
    assert get(plane, b"/a", b"Authorization: Bearer good", cookie=handle).status == 200
    assert plane.backend.requests[-1].value(b"user-login") == b"robot"


def test_a_refused_credential_never_falls_back_to_the_cookie(plane):
    handle = plane.sign_in(at="api.example")
    answer = get(plane, b"/a", b"Authorization: Bearer bad", cookie=handle)
    assert (answer.status, answer.value(b"code")) == (401, b"invalid_token")
    assert plane.backend.connections == []


def test_a_credential_of_somebody_else_is_the_backends(plane):
    handle = plane.sign_in(at="api.example")
    assert get(plane, b"/a", b"Authorization: Digest x", cookie=handle).status == 200
    assert plane.backend.requests[-1].value(b"authorization") == b"Digest x"


def test_a_host_that_takes_no_credentials_looks_at_none(plane):
    assert plane.get(b"/public", b"Authorization: Bearer bad").status == 200
    assert plane.backend.requests[-1].value(b"authorization") == b"Bearer bad"


def test_where_a_token_is_needed_a_session_is_nobody(plane):
    handle = plane.sign_in(at="api.example")
    answer = get(plane, b"/jobs/1", cookie=handle)
    assert (answer.status, answer.value(b"code")) == (401, b"token_required")
    assert get(plane, b"/jobs/1", b"Authorization: Bearer good", cookie=handle).status == 200


def test_where_a_token_is_needed_another_credential_is_nobody(plane):
    """Threat: a token of the same host that is good elsewhere on it, where rules would be content with any."""
    other = Identity(client="other", issuer="https://other", subject="1")
    plane.callers.known[b"Bearer other"] = replace(ROBOT, identities=(other,), scopes=frozenset({"read"}))
    answer = get(plane, b"/jobs/1", b"Authorization: Bearer other")
    assert (answer.status, answer.value(b"code")) == (401, b"token_required")


@pytest.mark.parametrize(("client", "status"), [("ci", 200), ("other", 403)])
def test_scopes_count_where_the_word_of_who_gave_them_does(plane, client, status):
    identity = Identity(client=client, issuer="https://i", subject="1")
    plane.callers.known[b"Bearer other"] = replace(ROBOT, identities=(identity,), scopes=frozenset({"read"}))
    assert get(plane, b"/read", b"Authorization: Bearer other").status == status


@pytest.mark.parametrize(("methods", "status"), [({b"GET", b"HEAD"}, 403), (set(), 101)])
def test_a_token_that_may_only_read_opens_no_websocket(plane, methods, status):
    """Threat: an app that takes orders by WebSocket, which is asked for by GET."""
    plane.callers.known[b"Bearer some"] = replace(ROBOT, bounds=Bounds(methods=frozenset(methods)))
    upgrade = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    plane.backend.answers = switched
    answer = get(plane, b"/a", b"Authorization: Bearer some", *upgrade, key)
    assert answer.status == status
    assert bool(plane.backend.requests) == (status == 101)


def test_a_401_says_which_credentials_are_taken(plane):
    asked = b'Bearer realm="api.example"'
    assert get(plane, b"/jobs/1").value(b"www-authenticate") == asked
    assert get(plane, b"/a").value(b"www-authenticate") == asked
    refused = get(plane, b"/a", b"Authorization: Bearer expired")
    assert refused.value(b"www-authenticate") == (
        b'Bearer realm="api.example", error="invalid_token", error_description="it has expired"'
    )


def test_too_many_tries_are_told_when_to_come_again(plane):
    plane.callers.known[b"Bearer bad"] = TooManyTries(wait_s=12.3)
    answer = get(plane, b"/a", b"Authorization: Bearer bad")
    assert (answer.status, answer.value(b"retry-after")) == (429, b"13")


def test_the_gateways_own_paths_look_at_cookies_only(plane):
    get(plane, b"/@/session", b"Authorization: Bearer bad")
    assert plane.control.visits[-1].session is None


def test_out_of_its_bounds_a_credential_is_refused(plane):
    narrow = Bounds(host="api.example", prefixes=(b"/a",), methods=frozenset({b"GET"}))
    plane.callers.known[b"Bearer good"] = replace(ROBOT, bounds=narrow)
    assert get(plane, b"/a/b", b"Authorization: Bearer good").status == 200
    for path, method in ((b"/ab", b"GET"), (b"/a", b"POST")):
        answer = get(plane, path, b"Authorization: Bearer good", method=method)
        assert (answer.status, answer.value(b"code")) == (403, b"out_of_bounds")


def test_a_stream_ends_when_its_credential_is_revoked(plane, loop):
    plane.backend.answers = lambda _request: ENDLESS
    client = plane.client().send(request(b"/events", b"Authorization: Bearer good", host=b"api.example"))
    plane.backend.look()
    for is_revoked in (False, True):
        if is_revoked:
            plane.callers.known[b"Bearer good"] = ClientError("no", code="invalid_token", status=401)
        loop.run(plane.lasting.sweep, loop.time() + (20 if is_revoked else 10))
        loop.settle()
        assert client.is_ended is is_revoked
