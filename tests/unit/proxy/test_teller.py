"""What a backend is told of who asks, as it gets it: which families, what is signed, and for how long."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from tests.unit.proxy.plane import ANYONE, PUBLIC, Plane, host, route
from vestibule.core.assertion import LIFE_S, REUSE_S
from vestibule.core.domain import Domain
from vestibule.core.route import KEYS_PATH, POMERIUM_KEYS_PATH, Telling
from vestibule.model import Caller, Identity
from vestibule.protocol.jose import verify

pytestmark = pytest.mark.usefixtures("both_downstreams")

SIGNED = Telling(assertion=True)
KEYS, POMERIUM_KEYS = KEYS_PATH.encode(), POMERIUM_KEYS_PATH.encode()


def telling(prefix: bytes, told: Telling, allow=ANYONE):
    return replace(route(prefix, allow), telling=told)


APP = replace(
    host(
        b"app.example",
        route(),
        telling(b"/signed", SIGNED),
        telling(b"/open", SIGNED, PUBLIC),
        telling(b"/authelia", Telling(families=("authelia",))),
        telling(b"/also", Telling(families=("authelia",))),
        telling(b"/pomerium", Telling(families=("pomerium",))),
    ),
    families=("authelia", "pomerium"),
    callbacks={POMERIUM_KEYS: ()},
)


@pytest.fixture
def plane(loop) -> Plane:
    return Plane(loop, hosts=(APP, host(b"other.example", route())))


@pytest.fixture
def keyed(plane) -> Plane:
    """With a key to sign with."""
    plane.loop.wait(plane.assertions.begin())
    return plane


def got(plane: Plane, path: bytes, *lines: bytes, cookie: str = "") -> dict[str, str]:
    """The header of the request that reached the backend."""
    answer = plane.get(path, *lines, **({"cookie": cookie} if cookie else {}))
    assert answer.status == 200, answer.body
    return {name.decode().lower(): value.decode() for name, value in plane.backend.requests[-1].fields}


def key_set(plane: Plane, path: bytes = KEYS) -> list[dict]:
    answer = plane.get(path)
    assert answer.status == 200
    return json.loads(answer.body)["keys"]


def read(plane: Plane, token: str) -> dict:
    return verify(token, key_set(plane), algorithms=["ES256"]).claims


# -- families -------------------------------------------------------------------------------------


def test_each_route_tells_as_it_says(plane):
    handle = plane.sign_in(login="ada")
    assert "remote-user" not in got(plane, b"/a", cookie=handle)
    told = got(plane, b"/authelia", cookie=handle)
    assert (told["remote-user"], told["user-login"]) == ("ada", "ada")
    assert "remote-user" not in got(plane, b"/a", cookie=handle)


def test_a_client_that_sends_the_same_again_gets_each_routes_own(plane):
    """Header lines are kept for a client that sends the same ones; they are this route's no more on another."""
    handle = plane.sign_in(login="ada")
    for _ in range(4):
        for path, told in ((b"/a", False), (b"/authelia", True), (b"/also", True), (b"/a", False)):
            assert ("remote-user" in got(plane, path, cookie=handle)) is told, path


def test_a_header_the_family_has_no_value_for_is_not_the_clients(plane):
    """attacks.md H3."""
    handle = plane.sign_in()
    told = got(plane, b"/authelia", b"Remote-Groups: admin", b"Remote_Name: root", cookie=handle)
    assert not {"remote-groups", "remote-name", "remote_name"} & told.keys()


def test_a_caller_is_told_of_by_families_too(plane):
    identity = Identity(client="google", issuer="https://google", subject="1", login="deploy")
    plane.callers.known[b"Bearer t"] = Caller(id="c1", kind="jwt", identities=(identity,))
    table = [replace(APP, takes_callers=True)]
    plane = Plane(plane.loop, hosts=table)
    plane.callers.known[b"Bearer t"] = Caller(id="c1", kind="jwt", identities=(identity,))
    told = got(plane, b"/authelia", b"Authorization: Bearer t")
    assert told["remote-user"] == "deploy"
    assert not {"proxy-session", "proxy-provider", "authorization"} & told.keys()


# -- what is signed -----------------------------------------------------------------------------------


def test_the_assertion_says_who_asks_to_this_host(keyed):
    handle = keyed.sign_in(login="ada")
    claims = read(keyed, got(keyed, b"/signed", cookie=handle)["proxy-assertion"])
    assert (claims["iss"], claims["aud"]) == ("http://app.example", "app.example")
    assert (claims["sub"], claims["email"]) == ("u1", "ada@app.example")
    assert "proxy-assertion" not in got(keyed, b"/a", cookie=handle)


def test_all_hosts_of_a_domain_have_one_issuer(loop):
    """The auth host's: so one address of keys does for all their apps."""
    domain = Domain(name="example", auth=b"auth.example", auth_url="http://auth.example")
    plane = Plane(loop, hosts=(replace(APP, domain=domain),))
    plane.loop.wait(plane.assertions.begin())
    token = got(plane, b"/signed", cookie=plane.sign_in())["proxy-assertion"]
    assert read(plane, token)["iss"] == "http://auth.example"


def test_an_assertion_that_a_client_sends_never_arrives(keyed):
    handle = keyed.sign_in()
    own = got(keyed, b"/signed", cookie=handle)["proxy-assertion"]
    assert "proxy-assertion" not in got(keyed, b"/open", b"Proxy-Assertion: " + own.encode())
    told = got(keyed, b"/signed", b"Proxy_Assertion: forged", b"proxy-assertion: forged", cookie=handle)
    assert told["proxy-assertion"] == own
    assert b"forged" not in keyed.backend.got


def test_of_nobody_nothing_is_signed(plane):
    assert "proxy-assertion" not in got(plane, b"/open")


def test_the_same_assertion_goes_along_for_a_minute_and_never_one_about_to_end(keyed):
    handle = keyed.sign_in()
    first = got(keyed, b"/signed", cookie=handle)["proxy-assertion"]
    for _ in range(3):
        assert got(keyed, b"/signed", cookie=handle)["proxy-assertion"] == first
    keyed.at += REUSE_S
    second = got(keyed, b"/signed", cookie=handle)["proxy-assertion"]
    assert second != first
    assert read(keyed, second)["exp"] == int(keyed.at + LIFE_S)


def test_routes_that_tell_differently_share_what_is_signed(keyed):
    handle = keyed.sign_in()
    assert (
        got(keyed, b"/signed", cookie=handle)["proxy-assertion"]
        == got(keyed, b"/open", cookie=handle)["proxy-assertion"]
    )


def test_pomeriums_backends_get_pomeriums_token(keyed):
    handle = keyed.sign_in(name="Ada", groups=("a", "b"))
    told = got(keyed, b"/pomerium", cookie=handle)
    claims = read(keyed, told["x-pomerium-jwt-assertion"])
    assert (claims["iss"], claims["aud"], claims["groups"]) == ("app.example", "app.example", ["a", "b"])
    assert told["x-pomerium-claim-groups"] == "a,b"
    assert "proxy-assertion" not in told


@pytest.mark.parametrize("path", [b"/signed", b"/open", b"/pomerium"])
def test_without_a_key_nothing_goes_to_a_backend_that_counts_on_one(plane, path):
    handle = plane.sign_in()
    answer = plane.get(path, cookie=handle)
    assert (answer.status, answer.value(b"code")) == (503, b"store_unavailable")
    assert plane.backend.connections == []
    assert plane.get(b"/a", cookie=handle).status == 200


# -- the keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"app.example", b"other.example"])
def test_every_host_shows_the_keys_to_anybody_for_a_short_time(keyed, name):
    answer = keyed.get(KEYS, host=name)
    assert answer.status == 200
    assert answer.value(b"content-type") == b"application/jwk-set+json"
    assert answer.value(b"cache-control") == b"public, max-age=300"
    assert answer.value(b"set-cookie") is None
    [key] = json.loads(answer.body)["keys"]
    assert key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert keyed.control.visits == []


def test_a_head_request_is_told_how_long_they_are(keyed):
    whole, head = keyed.get(KEYS), keyed.get(KEYS, method=b"HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.value(b"content-length") == b"%d" % len(whole.body)


def test_whoever_is_signed_in_sees_the_same(keyed):
    handle = keyed.sign_in()
    assert keyed.get(KEYS, cookie=handle).body == keyed.get(KEYS).body


def test_there_may_be_none(plane):
    assert key_set(plane) == []


def test_where_pomerium_is_known_its_own_path_shows_them(keyed):
    assert key_set(keyed, POMERIUM_KEYS) == key_set(keyed)
    handle = keyed.sign_in(at="other.example")
    assert keyed.get(POMERIUM_KEYS, host=b"other.example", cookie=handle).body == b"from " + POMERIUM_KEYS


@pytest.mark.parametrize("method", [b"POST", b"DELETE"])
def test_keys_are_only_read(keyed, method):
    answer = keyed.get(KEYS, method=method)
    assert keyed.control.visits or answer.status != 200
