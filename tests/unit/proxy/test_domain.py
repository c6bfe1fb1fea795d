"""Hosts of a domain at the data plane: whose session counts where, and whose cookies are the gateway's."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.proxy.plane import HOSTS, NOW_AT, RING, Plane, host, ok, request, route
from tests.unit.proxy.test_lasting import ENDLESS
from vestibule.core import session_token
from vestibule.core.domain import Domain
from vestibule.model import Device

pytestmark = pytest.mark.usefixtures("both_downstreams")

SHARED = Domain(
    name="hall.example",
    auth=b"auth.hall.example",
    auth_url="https://auth.hall.example",
    shares_cookie=True,
    cookie="X-Hall",
)
TOKENS = replace(SHARED, is_token=True)
HANDED = replace(SHARED, shares_cookie=False, cookie="")


def placed(domain: Domain) -> tuple:
    """Two hosts of the domain, and one that is not in it."""
    names = (b"app.hall.example", b"wiki.hall.example")
    cookies = frozenset({b"x-hall"})
    inside = [
        replace(
            host(name, route(), base_url=f"https://{name.decode()}"),
            domain=domain,
            realm=domain.realm,
            shared_cookies=cookies,
        )
        for name in names
    ]
    return (*inside, *(replace(other, shared_cookies=cookies) for other in HOSTS))


def asked(
    value: str, name: bytes = b"app.hall.example", cookie: bytes = b"X-Hall", target: bytes = b"/"
) -> bytes:
    return request(target, b"Cookie: a=1; " + cookie + b"=" + value.encode() + b"; b=2", host=name)


def sent(plane: Plane, data: bytes):
    client = plane.client().send(data)
    plane.loop.settle()
    plane.backend.look()
    return client.answer()


@pytest.fixture
def plane(loop) -> Plane:
    return Plane(loop, hosts=placed(SHARED))


# -- one cookie -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"app.hall.example", b"wiki.hall.example"])
def test_the_domains_session_is_good_on_each_of_its_hosts(plane, name):
    handle = plane.sign_in(at=".hall.example")
    assert sent(plane, asked(handle, name)).status == 200
    assert plane.backend.request.value(b"user-email") == b"ada@app.example"
    assert plane.backend.request.value(b"cookie") == b"a=1; b=2"


def test_it_is_good_on_no_other_host_and_no_other_hosts_is_good_there(plane):
    shared, own = plane.sign_in(at=".hall.example"), plane.sign_in(at="app.hall.example")
    assert sent(plane, request(b"/", cookie=shared)).status == 401
    assert sent(plane, asked(own)).status == 401
    assert plane.backend.requests == []


def test_a_cookie_of_one_host_is_none_of_the_domains(plane):
    handle = plane.sign_in(at=".hall.example")
    assert sent(plane, asked(handle, cookie=b"__Host-vestibule")).status == 401


@pytest.mark.parametrize("cookie", [b"X-Hall", b"x-hall", b"X-HALL"])
def test_no_backend_of_another_host_is_shown_it_in_any_spelling(plane, cookie):
    """Browsers send it to every host below the domain, also to those of a domain of their own."""
    handle = plane.sign_in(at="app.example")
    line = b"Cookie: " + cookie + b"=secret; a=1"
    assert sent(plane, request(b"/public", line, cookie=handle)).status == 200
    assert b"secret" not in plane.backend.got


@pytest.mark.parametrize("cookie", [b"X-Hall=evil; Domain=hall.example", b"x-hall=evil", b"=X-Hall=evil"])
def test_no_backend_sets_it(plane, cookie):
    """Threat: session fixation by an app of the domain."""
    plane.backend.answers = lambda _: ok(b"x", b"Set-Cookie: " + cookie, b"Set-Cookie: a=1")
    answer = sent(plane, asked(plane.sign_in(at=".hall.example")))
    assert [value for name, value in answer.fields if name.lower() == b"set-cookie"] == [b"a=1"]


def test_two_of_its_name_count_as_none_and_both_are_taken_back(plane):
    """S4: which of two comes first is the attacker's choice."""
    handle = plane.sign_in(at=".hall.example").encode()
    line = b"Cookie: X-Hall=" + handle + b"; X-Hall=planted"
    answer = sent(plane, request(b"/", line, b"Sec-Fetch-Mode: navigate", host=b"app.hall.example"))
    assert answer.status == 302
    cleared = [value for name, value in answer.fields if name.lower() == b"set-cookie"]
    assert [b"Domain=hall.example" in value for value in cleared] == [True, False]
    assert all(value.startswith(b"X-Hall=; ") and b"Max-Age=0" in value for value in cleared)


# -- as a token -------------------------------------------------------------------------------


def written(handle: str, domain: str = "hall.example") -> str:
    return session_token.write(RING, handle, domain=domain, now=NOW_AT, expires_at=NOW_AT + 60)


def test_a_token_is_good_as_long_as_the_session_in_it(loop):
    plane = Plane(loop, hosts=placed(TOKENS))
    token = written(plane.sign_in(at=".hall.example"))
    assert sent(plane, asked(token)).status == 200
    assert token.encode() not in plane.backend.got
    loop.wait(plane.sessions.end(plane.session.id))
    assert sent(plane, asked(token)).status == 401


def test_nothing_else_is_good_in_its_place(loop):
    plane = Plane(loop, hosts=placed(TOKENS))
    handle = plane.sign_in(at=".hall.example")
    token = written(handle)
    for value in (handle, written(handle, "other.example"), token[:-2], token + "x", token.upper()):
        assert sent(plane, asked(value)).status == 401
    plain = Plane(loop, hosts=placed(SHARED))
    assert sent(plain, asked(written(plain.sign_in(at=".hall.example")))).status == 401


# -- handed on --------------------------------------------------------------------------------


def handed_on(plane: Plane) -> str:
    """The handle of a child on the app of who is signed in at the auth host."""
    plane.sign_in(at="auth.hall.example")
    device, now = Device(), plane.now()
    handed = plane.loop.wait(
        plane.sessions.hand_on(plane.session, host="app.hall.example", device=device, now=now)
    )
    assert handed is not None
    return handed[1]


def test_who_was_handed_on_is_known_by_what_the_auth_host_knows(loop):
    plane = Plane(loop, hosts=placed(HANDED))
    handle = handed_on(plane)
    assert sent(plane, asked(handle, cookie=b"__Host-vestibule")).status == 200
    assert plane.backend.request.value(b"user-email") == b"ada@app.example"
    assert plane.backend.request.value(b"proxy-provider") == b"google"
    assert sent(plane, asked(handle, b"wiki.hall.example", b"__Host-vestibule")).status == 401


def test_what_lasts_on_a_host_ends_with_the_sign_out_on_another(loop):
    plane = Plane(loop, hosts=placed(HANDED))
    handle = handed_on(plane)
    plane.backend.answers = lambda _request: ENDLESS
    client = plane.client().send(asked(handle, cookie=b"__Host-vestibule", target=b"/events"))
    loop.settle()
    plane.backend.look()
    assert not client.is_ended
    loop.wait(plane.sessions.end(plane.session.id))
    loop.settle()
    assert client.is_ended
    assert plane.backend.open == []


def test_what_lasts_ends_when_the_person_is_let_in_no_more(loop):
    """A group that is taken away at the auth host."""
    plane = Plane(loop, hosts=placed(HANDED))
    client = plane.client().send(asked(handed_on(plane), cookie=b"__Host-vestibule", target=b"/events"))
    plane.backend.answers = lambda _request: ENDLESS
    loop.settle()
    plane.backend.look()
    loop.wait(plane.sessions.update(plane.session.id, lambda session: replace(session, identities=())))
    loop.settle()
    assert client.is_ended
