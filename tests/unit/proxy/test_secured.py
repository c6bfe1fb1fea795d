"""Over which connections a host is served (421), who is sent to https, and what browsers are told of it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.proxy.conftest import Client
from tests.unit.proxy.plane import PUBLIC, Plane, host, ok, request, route
from vestibule.core.listener import Met
from vestibule.core.policy import policy_of
from vestibule.core.rule import Rule
from vestibule.core.tls import USUAL, ClientCertificate, Demand, Handshake
from vestibule.proxy.downstream_h1 import H1Connection

DAY_S = 86_400
OURS = Demand(client_ca_pem=b"ours", authority="aa")
ALICE = ClientCertificate(subject="CN=alice", common_name="alice", authority="aa", good_until_at=2e9)


def tls_host(name: bytes, demand: Demand | None, hsts_s: int = 0):
    made = host(name, route(b"", PUBLIC), base_url=f"https://{name.decode()}" if demand else "")
    return replace(made, demand=demand, hsts_s=hsts_s)


HOSTS = (
    tls_host(b"plain.test", None),
    host(b"edge.test", route(b"", PUBLIC), base_url="https://edge.test"),
    tls_host(b"a.test", USUAL, 365 * DAY_S),
    tls_host(b"b.test", USUAL),
    tls_host(b"m.test", OURS, DAY_S),
)
NAMES = ("a.test", "b.test", "m.test")
TO_A = Handshake(server_name=b"a.test", names=NAMES, demand=USUAL)
TO_M = Handshake(server_name=b"m.test", names=NAMES, demand=OURS, client=ALICE)


@pytest.fixture
def plane(loop) -> Plane:
    return Plane(loop, hosts=HOSTS, trusted=("192.0.2.99",))


class Over(Client):
    """A client whose connection was made so."""

    def __init__(self, plane: Plane, tls: Handshake | None, peer: str = "192.0.2.7") -> None:
        super().__init__(plane.loop, plane.listener)
        self.connection = H1Connection(plane.listener, Met(peer, tls))
        self.transport = plane.loop.connect(self.connection, (peer, 40000))
        self.plane = plane

    def get(self, name: bytes, path: bytes = b"/", *lines: bytes, method: bytes = b"GET"):
        self.send(request(path, *lines, host=name, method=method))
        self.plane.loop.settle()
        self.plane.backend.look()
        return self.answer(method)


@pytest.mark.parametrize(
    ("tls", "name", "status"),
    [
        (TO_A, b"a.test", 200),
        (TO_A, b"b.test", 200),
        (TO_A, b"m.test", 421),
        (TO_A, b"plain.test", 421),
        (TO_M, b"m.test", 200),
        (TO_M, b"a.test", 421),
        (replace(TO_M, client=None), b"m.test", 421),
        (replace(TO_M, client=replace(ALICE, authority="bb")), b"m.test", 421),
        (replace(TO_M, client=replace(ALICE, good_until_at=1.0)), b"m.test", 421),
        (replace(TO_A, names=("a.test",)), b"b.test", 421),
        (None, b"plain.test", 200),
        (None, b"edge.test", 200),  # tls = "off": an edge in front has its URL, and comes without TLS
        (TO_A, b"edge.test", 421),
    ],
)
def test_host_and_handshake_must_agree(plane, tls, name, status):
    answer = Over(plane, tls).get(name)
    assert answer.status == status
    assert bool(plane.backend.requests) is (status == 200)
    if status == 421:
        assert answer.value(b"code") == b"misdirected"


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"DELETE"])
@pytest.mark.parametrize("name", [b"a.test", b"A.test:80", b"m.test"])
def test_who_comes_without_tls_is_sent_to_https_and_keeps_path_and_method(plane, method, name):
    answer = Over(plane, None).get(name, b"/x%20y?next=http://evil.test", method=method)
    host_name = name.lower().partition(b":")[0]
    assert answer.status == 308
    assert answer.value(b"location") == b"https://" + host_name + b"/x%20y?next=http://evil.test"
    assert answer.value(b"strict-transport-security") is None
    assert b"no-store" in answer.value(b"cache-control")
    assert plane.backend.requests == []


def test_a_trusted_edge_is_not_sent_away_but_for_a_host_that_demands_certificates(plane):
    assert Over(plane, None, "192.0.2.99").get(b"a.test").status == 200
    assert Over(plane, None, "192.0.2.99").get(b"m.test").status == 421


@pytest.mark.parametrize("path", [b"/@/healthz", b"/@/readyz"])
def test_platforms_that_look_after_the_program_are_answered_without_tls(plane, path):
    assert Over(plane, None).get(b"a.test", path).status == 200
    assert (
        Over(plane, None).get(b"m.test", path).status == 308
    )  # nothing of it is for who shows no certificate


# -- HSTS --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [b"/", b"/@/account", b"/%2e%2e/x"], ids=["backend", "own", "refused"])
def test_browsers_are_told_to_come_by_tls_alone(plane, path):
    answer = Over(plane, TO_A).get(b"a.test", path)
    assert answer.value(b"strict-transport-security") == b"max-age=31536000"


def test_what_a_backend_says_of_it_itself_stays(plane):
    said = b"max-age=63072000; includeSubDomains"
    plane.backend.answers = lambda _request: ok(b"", b"strict-Transport-Security: " + said)
    answer = Over(plane, TO_A).get(b"a.test")
    assert answer.values(b"strict-transport-security") == [said]


@pytest.mark.parametrize(
    ("tls", "name"), [(None, b"plain.test"), (replace(TO_A, server_name=b"b.test"), b"b.test")]
)
def test_nobody_else_is_told(plane, tls, name):
    assert Over(plane, tls).get(name).value(b"strict-transport-security") is None


# -- the certificate as somebody -----------------------------------------------------------------------

BUILDER = Rule(kind="certificate", value="builder", text="certificate:builder")
ANN = Rule(kind="email", value="ann@example.com", text="email:ann@example.com")


def certified(*allow: Rule, every: tuple[Rule, ...] = (), deny: tuple[Rule, ...] = (), people: bool = True):
    sign_in = frozenset({"google"}) if people else frozenset()
    policy = policy_of(allow=allow or None, all=every, deny=deny, sign_in=sign_in)
    made = host(b"m.test", replace(route(b""), policy=policy), sign_in=tuple(sign_in))
    return replace(made, demand=OURS, base_url="https://m.test")


def over(loop, served, client: ClientCertificate) -> Over:
    return Over(Plane(loop, hosts=(served,)), replace(TO_M, client=client))


ROBOT = replace(
    ALICE, subject="CN=builder,O=Example", common_name="builder", uris=("spiffe://x/b",), der=b"der"
)


@pytest.mark.parametrize(
    "value", ["builder", "CN=builder,O=Example", "uri:spiffe://x/b"], ids=["common name", "subject", "URI"]
)
def test_who_shows_a_certificate_that_a_rule_names_gets_in_and_the_backend_sees_it(loop, value):
    served = certified(Rule(kind="certificate", value=value, text=f"certificate:{value}"))
    client = over(loop, served, ROBOT)
    assert client.get(b"m.test", b"/", b"Client-Cert: :Zm9yZ2Vk:").status == 200
    assert client.plane.backend.request.values(b"client-cert") == [b":ZGVy:"]
    record = client.plane.traffic.since(0)[-1][1]
    assert (record.person, record.provider) == ("builder", "certificate")


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("other", "CN=other"),
        ("CN=builder,O=Example", "CN=CN\\=builder\\,O\\=Example"),
        ("uri:spiffe://x/b", "CN=x"),
    ],
    ids=["another", "a common name like a subject", "a common name like a URI"],
)
@pytest.mark.parametrize("value", ["builder", "CN=builder,O=Example", "uri:spiffe://x/b"])
def test_another_certificate_of_the_authority_does_not(loop, value, name, subject):
    served = certified(Rule(kind="certificate", value=value, text="r"), people=False)
    shown = replace(ROBOT, common_name=name, subject=subject, uris=())
    assert over(loop, served, shown).get(b"m.test").status == 403


def test_where_a_certificate_is_not_enough_people_are_asked_to_sign_in(loop):
    assert over(loop, certified(BUILDER, every=(ANN,)), ROBOT).get(b"m.test").status == 401
    assert over(loop, certified(ANN), ROBOT).get(b"m.test").status == 401


def test_a_rule_on_anyone_means_people_who_signed_in(loop):
    anyone = Rule(kind="anyone", text="anyone")
    assert over(loop, certified(anyone), ROBOT).get(b"m.test").status == 401


def test_a_denied_certificate_is_denied(loop):
    public = Rule(kind="public", text="public")
    assert over(loop, certified(public, deny=(BUILDER,)), ROBOT).get(b"m.test").status == 403
    assert over(loop, certified(public, deny=(BUILDER,)), ALICE).get(b"m.test").status == 200


def test_two_certificates_of_one_address_are_never_taken_for_each_other(loop):
    """Threat: header lines that were made for one client are sent on for another with the same request."""
    plane = Plane(loop, hosts=(certified(Rule(kind="public", text="public")),))
    for der in (b"one", b"two", b"one"):
        assert Over(plane, replace(TO_M, client=replace(ROBOT, der=der))).get(b"m.test").status == 200
    seen = [request.value(b"client-cert") for request in plane.backend.requests]
    assert seen == [b":b25l:", b":dHdv:", b":b25l:"]


def test_a_backend_that_is_not_to_be_told_is_not_and_nobody_else_tells_it(loop):
    served = replace(certified(BUILDER), tells_certificate=False)
    client = over(loop, served, ROBOT)
    assert client.get(b"m.test", b"/", b"Client-Cert: :Zm9yZ2Vk:").status == 200
    assert client.plane.backend.request.values(b"client-cert") == []


def test_nobody_else_says_who_shows_a_certificate(plane):
    Over(plane, TO_A).get(b"a.test", b"/", b"Client-Cert: :Zm9yZ2Vk:", b"Client_Cert_Chain: x")
    assert plane.backend.request.value(b"client-cert") is None
    assert plane.backend.request.value(b"client_cert_chain") is None
