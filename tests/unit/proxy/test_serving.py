"""Servings: by their own port for programs of this machine, and behind hosts that lead to them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.proxy.conftest import Client, PlainListener
from tests.unit.proxy.plane import ANYONE, HOSTS, PUBLIC, Plane, host, request, route
from tests.unit.proxy.test_lasting import ENDLESS
from vestibule.core.credential import Accepted, PasswordFile
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, RouteTable, Server, serving_name
from vestibule.core.rule import rule
from vestibule.errors import CredentialRefused
from vestibule.model import Caller, Identity
from vestibule.proxy.serving import ServingPort

pytestmark = pytest.mark.usefixtures("both_downstreams")

BACKEND = Backend(servers=(Server(host="127.0.0.1", port=9000),))
ROBOT = Caller(
    id="k1",
    kind="basic",
    identities=(Identity(client="keys", issuer="keys", subject="robot", login="robot", name="robot"),),
)
GOOD, BAD = b"Authorization: Basic good", b"Authorization: Basic bad"


def serving(id_: str, *, policy, issuers: tuple[str, ...] = (), takes: bool = False) -> Host:
    return Host(
        name=serving_name(id_),
        title=id_,
        clients={},
        issuers=issuers,
        takes_callers=takes,
        accepts=Accepted(passwords=PasswordFile(name="keys")) if takes else Accepted(),
        base_url="http://localhost:4700",
        routes={b"": Route(prefix=b"", backend=BACKEND, policy=policy)},
    )


OPEN = serving("open", policy=policy_of(allow=PUBLIC), issuers=("google",))
KEYS = serving(
    "keys",
    policy=policy_of(allow=(rule("anyone"),), issuers=frozenset({"keys"})),
    issuers=("keys",),
    takes=True,
)
ROOT = serving(
    "root",
    policy=policy_of(allow=(rule("email", "root@app.example"),), sign_in=frozenset({"google"})),
    issuers=("google",),
)
SCOPED = serving(
    "scoped",
    policy=policy_of(allow=(rule("token", "write"),), issuers=frozenset({"keys"})),
    issuers=("keys",),
    takes=True,
)
CI = Host(
    name=b"ci.example",
    title="ci",
    clients={},
    issuers=("ci",),
    takes_callers=True,
    routes={
        b"": Route(
            prefix=b"",
            policy=policy_of(allow=(rule("anyone"),), issuers=frozenset({"ci"})),
            backend=Backend(serving="scoped"),
        )
    },
)
FRONT = host(
    b"front.example",
    route(b"", ANYONE, backend=Backend(serving="open")),
    route(b"/keys", PUBLIC, backend=Backend(serving="keys")),
    route(b"/both", ANYONE, backend=Backend(serving="keys")),
    route(b"/root", ANYONE, backend=Backend(serving="root")),
    route(b"/perhaps", PUBLIC, backend=Backend(serving="root")),
    base_url="https://front.example",
)


@pytest.fixture
def plane(loop):
    plane = Plane(loop, hosts=(*HOSTS, FRONT, CI, OPEN, KEYS, ROOT, SCOPED))
    plane.callers.known[b"Basic good"] = ROBOT
    plane.callers.known[b"Basic bad"] = CredentialRefused("no", code="bad_credentials")
    return plane


def front(plane: Plane, path: bytes, *lines: bytes, cookie: str = "", method: bytes = b"GET"):
    if cookie:
        lines = (*lines, b"Cookie: __Host-vestibule=" + cookie.encode())
    return plane.get(path, *lines, host=b"front.example", method=method)


def port(plane: Plane, id_: str, *lines: bytes, name: bytes = b"localhost:4700"):
    listener = PlainListener(ServingPort(id_, plane.gateway), plane.loop)
    client = Client(plane.loop, listener, ("127.0.0.1", 40000)).send(request(b"/a", *lines, host=name))
    plane.backend.look()
    return client.answer()


# -- by its own port --------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"localhost:4700", b"127.0.0.1:4700", b"[::1]:4700", b"any.localhost"])
def test_a_program_of_this_machine_gets_through(plane, name: bytes) -> None:
    assert port(plane, "open", name=name).status == 200
    sent = plane.backend.request
    assert sent.value(b"host") == name
    assert sent.value(b"user-name") is None


def test_by_a_key_the_backend_is_told_who_it_is(plane) -> None:
    assert port(plane, "keys", GOOD).status == 200
    sent = plane.backend.request
    assert (sent.value(b"user-name"), sent.value(b"authorization")) == (b"robot", None)
    assert plane.traffic.ring[-1].session_id == "basic:k1"


@pytest.mark.parametrize(("lines", "code"), [((), b"token_required"), ((BAD,), b"bad_credentials")])
def test_without_a_key_it_is_401(plane, lines, code) -> None:
    answer = port(plane, "keys", *lines)
    assert (answer.status, answer.value(b"code")) == (401, code)
    assert answer.value(b"www-authenticate").startswith(b"Basic ")
    assert plane.backend.connections == []


@pytest.mark.parametrize("name", [b"app.example", b"evil.example:4700", b"192.0.2.7:4700", b"serving"])
def test_it_answers_to_loopback_s_names_alone(plane, name: bytes) -> None:
    """Threat: DNS rebinding, and a host of this gateway asked for by a port that isn't its own."""
    answer = port(plane, "open", name=name)
    assert (answer.status, answer.value(b"code")) == (403, b"foreign_host")
    assert plane.backend.connections == []


@pytest.mark.parametrize(
    "lines",
    [
        (b"Origin: https://evil.example",),
        (b"Origin: null",),
        (b"Sec-Fetch-Site: cross-site",),
        (b"Sec-Fetch-Site: same-site",),
    ],
)
def test_no_web_page_calls_it(plane, lines) -> None:
    answer = port(plane, "open", *lines)
    assert (answer.status, answer.value(b"code")) == (403, b"foreign_page")
    assert plane.backend.connections == []


@pytest.mark.parametrize("lines", [(b"Origin: http://localhost:4700",), (b"Sec-Fetch-Site: same-origin",)])
def test_a_page_of_its_own_does(plane, lines) -> None:
    assert port(plane, "open", *lines).status == 200


def test_no_other_listener_has_it(plane) -> None:
    """Threat: a name that leads past a host, straight to what stands behind."""
    for name in (b"open", b"localhost", b"serving.localhost"):
        assert plane.get(b"/a", host=name).status == 421
    assert plane.get(b"/a", host=b"serving:open").status == 400


def test_what_a_client_says_of_people_is_gone(plane) -> None:
    port(plane, "open", b"User-Name: root", b"X-Forwarded-User: root")
    assert plane.backend.request.value(b"user-name") is None
    assert plane.backend.request.value(b"x-forwarded-user") is None


# -- behind a host ----------------------------------------------------------------------------


def test_who_the_host_lets_in_is_told_to_the_serving_s_backend(plane) -> None:
    handle = plane.sign_in(at="front.example", login="ada")
    assert front(plane, b"/a", cookie=handle).status == 200
    sent = plane.backend.request
    assert (sent.target, sent.value(b"host")) == (b"/a", b"front.example")
    assert (sent.value(b"user-login"), sent.value(b"x-forwarded-proto")) == (b"ada", b"https")


def test_who_the_host_keeps_out_gets_no_further(plane) -> None:
    assert front(plane, b"/a").status == 401
    assert plane.backend.connections == []


def test_a_key_counts_behind_a_host_that_takes_none(plane) -> None:
    assert front(plane, b"/keys", GOOD).status == 200
    assert plane.backend.request.value(b"user-name") == b"robot"
    assert plane.backend.request.value(b"authorization") is None


@pytest.mark.parametrize(("lines", "code"), [((), b"token_required"), ((BAD,), b"bad_credentials")])
def test_without_a_key_it_ends_there(plane, lines, code) -> None:
    answer = front(plane, b"/keys", *lines)
    assert (answer.status, answer.value(b"code")) == (401, code)
    assert answer.value(b"www-authenticate").startswith(b"Basic ")
    assert plane.backend.connections == []


def test_both_must_let_in(plane) -> None:
    handle = plane.sign_in(at="front.example", login="ada")
    assert front(plane, b"/both", GOOD).status == 401
    assert front(plane, b"/both", cookie=handle).status == 401
    assert plane.backend.connections == []
    assert front(plane, b"/both", GOOD, cookie=handle).status == 200
    assert plane.backend.request.value(b"user-name") == b"robot"


@pytest.mark.parametrize(("email", "status"), [("root@app.example", 200), ("ada@app.example", 403)])
def test_rules_of_the_serving_see_who_is_signed_in_at_the_host(plane, email: str, status: int) -> None:
    handle = plane.sign_in(email, at="front.example")
    for path in (b"/root", b"/perhaps"):
        assert front(plane, path, cookie=handle).status == status


def test_who_must_be_known_there_signs_in_at_the_host(plane) -> None:
    answer = front(plane, b"/perhaps", b"Sec-Fetch-Mode: navigate")
    assert (answer.status, answer.value(b"location")) == (302, b"https://front.example/@/signin?rd=/perhaps")


def test_o11_what_one_issuer_granted_is_not_the_word_of_the_serving_s(plane) -> None:
    """Threat: a token of an issuer that the host believes, with the scope that the serving's own issuer grants."""
    theirs = Caller(
        id="t1",
        kind="jwt",
        identities=(Identity(client="ci", issuer="ci", subject="robot"),),
        scopes=frozenset({"write"}),
    )
    both = replace(theirs, identities=(*theirs.identities, replace(theirs.identities[0], client="keys")))
    for name, caller, status in ((b"Bearer x", theirs, 403), (b"Bearer y", both, 200)):
        plane.callers.known[name] = caller
        assert plane.get(b"/a", b"Authorization: " + name, host=b"ci.example").status == status
    assert len(plane.backend.connections) == 1


def test_what_lasts_by_a_key_ends_when_the_key_is_gone(plane) -> None:
    client = plane.client()
    plane.backend.answers = lambda sent: ENDLESS
    client.send(request(b"/keys", GOOD, host=b"front.example"))
    plane.backend.look()
    assert not client.is_ended
    plane.callers.known[b"Basic good"] = CredentialRefused("gone", code="bad_credentials")
    plane.callers.loaded.clear()
    plane.loop.run(plane.gateway.use, RouteTable((*HOSTS, FRONT, OPEN, KEYS, ROOT)))
    plane.loop.settle()
    assert client.is_ended


def test_what_lasts_by_a_key_goes_on_while_the_key_is_good(plane) -> None:
    client = plane.client()
    plane.backend.answers = lambda sent: ENDLESS
    client.send(request(b"/keys", GOOD, host=b"front.example"))
    plane.backend.look()
    plane.loop.run(plane.gateway.use, RouteTable((*HOSTS, FRONT, OPEN, KEYS, ROOT)))
    plane.loop.settle()
    assert not client.is_ended


def test_what_lasts_by_a_session_ends_when_the_serving_lets_its_person_in_no_more(plane) -> None:
    """Threat: rules of a serving that are looked at once, when a stream begins."""
    client, handle = plane.client(), plane.sign_in("root@app.example", at="front.example")
    plane.backend.answers = lambda sent: ENDLESS
    client.send(request(b"/root", b"Cookie: __Host-vestibule=" + handle.encode(), host=b"front.example"))
    plane.backend.look()
    plane.loop.run(plane.gateway.use, RouteTable((*HOSTS, FRONT, OPEN, KEYS, ROOT)))
    plane.loop.settle()
    assert not client.is_ended
    policy = policy_of(allow=(rule("email", "boss@app.example"),), sign_in=frozenset({"google"}))
    other = serving("root", policy=policy, issuers=("google",))
    plane.loop.run(plane.gateway.use, RouteTable((*HOSTS, FRONT, OPEN, KEYS, other)))
    plane.loop.settle()
    assert client.is_ended


def test_what_lasts_by_a_token_ends_when_the_serving_takes_it_no_more(plane) -> None:
    client = plane.client()
    identity = Identity(client="ci", issuer="https://ci", subject="1")
    plane.callers.known[b"Bearer job"] = Caller(id="j", kind="jwt", identities=(identity,))
    plane.backend.answers = lambda sent: ENDLESS
    trusting, narrower = (
        serving(
            "scoped",
            policy=policy_of(allow=(rule(kind, *value),), issuers=frozenset({"ci"})),
            issuers=("ci",),
        )
        for kind, value in (("anyone", ()), ("token", ("write",)))
    )
    plane.loop.run(plane.gateway.use, RouteTable((*HOSTS, CI, trusting)))
    client.send(request(b"/a", b"Authorization: Bearer job", host=b"ci.example"))
    plane.backend.look()
    assert not client.is_ended
    plane.loop.run(plane.gateway.use, RouteTable((*HOSTS, CI, narrower)))
    plane.loop.settle()
    assert client.is_ended


def test_what_lasts_by_a_key_and_a_session_ends_with_the_session(plane) -> None:
    """Threat: who has signed out, and whose program still shows the key of the serving."""
    client, handle = plane.client(), plane.sign_in(at="front.example")
    plane.backend.answers = lambda sent: ENDLESS
    cookie = b"Cookie: __Host-vestibule=" + handle.encode()
    client.send(request(b"/both", GOOD, cookie, host=b"front.example"))
    plane.backend.look()
    plane.loop.run(plane.lasting.sweep, plane.loop.time() + 10)
    plane.loop.settle()
    assert not client.is_ended
    plane.loop.wait(plane.sessions.end(plane.session.id))
    plane.loop.run(plane.lasting.sweep, plane.loop.time() + 20)
    plane.loop.settle()
    assert client.is_ended
