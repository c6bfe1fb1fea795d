"""What a certificate authority is shown that asks for a token of ours; all other tokens are the backend's."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from tests.unit.proxy.plane import PUBLIC, Plane, host, request, route
from vestibule.core.tls import USUAL, Demand
from vestibule.proxy.challenge import KNOWN_S, Challenges

TOKEN = b"our-token-aaaaaaaaaaaaaaaaaaaaaaaaa"
PATH = b"/.well-known/acme-challenge/"
HOSTS = (
    host(b"app.example", route(b"", PUBLIC)),
    host(b"closed.example", route(b"")),
    replace(host(b"tls.example", route(b"", PUBLIC), base_url="https://tls.example"), demand=USUAL),
    replace(host(b"tls-closed.example", route(b""), base_url="https://tls-closed.example"), demand=USUAL),
    replace(
        host(b"mutual.example", route(b"", PUBLIC)), demand=Demand(client_ca_pem=b"ours", authority="aa")
    ),
)

pytestmark = pytest.mark.usefixtures("both_downstreams")


BACKENDS_OWN = PATH + b"a-token-of-the-backends-own-aaaaaaaaa"


class Ours:
    """Proofs of one order."""

    def __init__(self, *, are_known: bool = True) -> None:
        self.read = asyncio.Event()
        if are_known:
            self.read.set()

    @property
    def are_known(self) -> bool:
        return self.read.is_set()

    def answer(self, token: bytes) -> bytes | None:
        return token + b".thumbprint" if token == TOKEN and self.are_known else None

    async def known(self) -> None:
        await self.read.wait()


@pytest.fixture
def proofs(request) -> Ours:
    return Ours(are_known=getattr(request, "param", True))


@pytest.fixture
def plane(loop, proofs) -> Plane:
    plane = Plane(loop, hosts=HOSTS)
    plane.gateway._challenges = Challenges(proofs)
    return plane


@pytest.mark.parametrize("name", [b"app.example", b"closed.example", b"tls.example"])
def test_a_token_of_ours_is_answered_at_every_host_by_plain_http_and_unasked_who(plane, name):
    answer = plane.get(PATH + TOKEN, host=name)
    assert (answer.status, answer.body) == (200, TOKEN + b".thumbprint")
    assert answer.value(b"content-type") == b"text/plain"
    assert answer.value(b"cache-control") == b"no-store"
    assert plane.backend.connections == []


def test_it_stands_in_the_records_as_the_gateways_own(plane):
    plane.get(PATH + TOKEN, host=b"app.example")
    (record,) = plane.traffic.ring
    assert (record.name, record.decision) == (b"app.example", "own")


@pytest.mark.parametrize(
    "path",
    [
        BACKENDS_OWN,
        PATH,
        PATH + TOKEN + b"/more",
        b"/.well-known/" + TOKEN,
        b"/x/.well-known/acme-challenge/" + TOKEN,
        b"/.well-known/acme-challenge",
        b"/.hidden",
    ],
)
def test_everything_else_there_is_the_backends(plane, path):
    assert plane.get(path, host=b"app.example").status == 200
    assert plane.backend.request.target == path


def test_a_token_is_answered_at_no_name_that_is_not_configured(plane):
    assert plane.get(PATH + TOKEN, host=b"stranger.example").status == 421


def test_a_token_of_the_backends_reaches_it_by_plain_http_where_all_else_is_sent_to_https(plane):
    own = BACKENDS_OWN
    assert plane.get(own, host=b"tls.example").status == 200
    assert plane.backend.request.target == own
    for path in (b"/", own + b"/more", PATH, PATH + b"short"):
        assert plane.get(path, host=b"tls.example").status == 308


def test_a_token_of_the_backends_opens_nothing(plane):
    own = BACKENDS_OWN
    assert {plane.get(own, host=name).status for name in (b"closed.example", b"tls-closed.example")} <= {
        303,
        401,
        403,
    }
    assert plane.get(own, host=b"mutual.example").status == 308
    assert plane.backend.connections == []


# -- before it is known which are ours -------------------------------------------------------------

unread = pytest.mark.parametrize("proofs", [False], indirect=True, ids=["unread"])


@unread
def test_until_ours_are_known_who_asks_waits_and_is_shown_ours_then(plane, proofs):
    client = plane.client().send(request(PATH + TOKEN))
    assert client.answers() == []
    plane.loop.run(proofs.read.set)
    (answer,) = client.answers()
    assert (answer.status, answer.body) == (200, TOKEN + b".thumbprint")
    assert plane.backend.connections == []


@unread
def test_a_token_of_the_backends_reaches_it_once_ours_are_known(plane, proofs):
    client = plane.client().send(request(BACKENDS_OWN))
    assert (client.answers(), plane.backend.connections) == ([], [])
    plane.loop.run(proofs.read.set)
    plane.backend.look()
    assert [answer.status for answer in client.answers()] == [200]
    assert plane.backend.request.target == BACKENDS_OWN


@unread
@pytest.mark.parametrize("path", [b"/", PATH, PATH + b"short", b"/.well-known/other"])
def test_nothing_else_waits_for_them(plane, path):
    assert plane.get(path).status == 200


@unread
def test_where_they_stay_unknown_it_is_unavailable_and_the_backend_is_not_asked(plane):
    client = plane.client().send(request(PATH + TOKEN))
    plane.loop.advance(KNOWN_S)
    assert [answer.status for answer in client.answers()] == [503]
    assert plane.backend.connections == []


@unread
def test_who_leaves_while_it_waits_is_not_sent_on(plane, proofs):
    client = plane.client().send(request(BACKENDS_OWN))
    client.transport.lose()
    plane.loop.run(proofs.read.set)
    assert plane.backend.connections == []
