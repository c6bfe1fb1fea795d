"""What edges say of a request: all of it, once, or nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vestibule.errors import BadRequest
from vestibule.protocol.h1 import RequestHead, parse_request_head
from vestibule.proxy.forward import ext_authz, forward, validate
from vestibule.proxy.forward.question import Asked

METHOD, PROTO, HOST, URI = (
    b"X-Forwarded-Method: POST",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: app.example",
    b"X-Forwarded-Uri: /a?b",
)
FORWARDED = (METHOD, PROTO, HOST, URI)
O_METHOD, O_URL = b"X-Original-Method: POST", b"X-Original-URL: https://app.example/a?b"
ORIGINAL = (O_METHOD, O_URL)
POST_A = Asked(b"POST", b"/a?b", b"app.example")


def head(
    *lines: bytes, first: bytes = b"GET /@/x HTTP/1.1", host: bytes = b"edge.example:4181"
) -> RequestHead:
    return parse_request_head(b"\r\n".join((first, b"Host: " + host, *lines)))


@pytest.mark.parametrize(
    ("read", "lines"),
    [
        pytest.param(validate.read, ORIGINAL, id="nginx"),
        pytest.param(validate.read, tuple(reversed(ORIGINAL)), id="nginx, in another order"),
        pytest.param(validate.read, (*ORIGINAL, PROTO, HOST), id="nginx, with what proxies say anyway"),
        pytest.param(validate.read, FORWARDED, id="HAProxy"),
        pytest.param(
            validate.read, tuple(line.lower().replace(b"post", b"POST") for line in FORWARDED), id="lower"
        ),
        pytest.param(validate.read, (METHOD, PROTO, HOST, b"X-Forwarded-URI: /a?b"), id="HAProxy's URI"),
        pytest.param(forward.read, FORWARDED, id="Traefik"),
        pytest.param(forward.read, (METHOD, b"x-forwarded-proto: WSS", HOST, URI), id="Traefik's wss"),
        pytest.param(
            forward.read, (*FORWARDED, b"X-Original-URL: https://evil.example/public"), id="not its own"
        ),
        pytest.param(forward.read, (*FORWARDED, b"X_Forwarded_Uri: /public"), id="another spelling"),
    ],
)
def test_a_whole_set_is_read(read: Callable[[RequestHead], Asked], lines: tuple[bytes, ...]):
    assert read(head(*lines)) == POST_A


def test_envoy_says_it_by_the_request_itself():
    found = ext_authz.read(head(first=b"PUT /@/ext_authz/a?b HTTP/1.1", host=b"app.example:8443"))
    assert found == Asked(b"PUT", b"/a?b", b"app.example:8443")
    found = ext_authz.read(head(*FORWARDED, *ORIGINAL, first=b"GET /@/ext_authz/ HTTP/1.1"))
    assert found == Asked(b"GET", b"/", b"edge.example:4181")


@pytest.mark.parametrize("read", [validate.read, forward.read], ids=["validate", "forward"])
@pytest.mark.parametrize("missing", range(4))
def test_half_a_set_is_refused(read: Callable[[RequestHead], Asked], missing: int):
    """Attack H6: what the edge did not set is the client's."""
    rest = [line for number, line in enumerate(FORWARDED) if number != missing]
    for lines in (rest, [*rest, FORWARDED[missing].partition(b":")[0] + b":"]):
        with pytest.raises(BadRequest):
            read(head(*lines))


@pytest.mark.parametrize("read", [validate.read, forward.read], ids=["validate", "forward"])
@pytest.mark.parametrize("line", FORWARDED)
def test_one_of_them_twice_is_refused(read: Callable[[RequestHead], Asked], line: bytes):
    for again in (line, line.lower(), line.partition(b":")[0].upper() + b": /public"):
        for lines in ((*FORWARDED, again), (again, *FORWARDED)):
            with pytest.raises(BadRequest):
                read(head(*lines))


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((), id="nothing"),
        pytest.param((O_METHOD,), id="no address"),
        pytest.param((O_URL,), id="no method"),
        pytest.param((*ORIGINAL, O_URL), id="two addresses"),
        pytest.param((*ORIGINAL, b"x-original-method: GET"), id="two methods"),
        pytest.param((O_METHOD, *FORWARDED), id="half of one and the other"),
        pytest.param((O_URL, *FORWARDED), id="the other half"),
        pytest.param((*ORIGINAL, *FORWARDED), id="both"),
        pytest.param((*ORIGINAL, METHOD), id="a method of the client's"),
        pytest.param((*ORIGINAL, URI), id="an address of the client's"),
        pytest.param((O_METHOD, b"X-Original-URL: /a?b"), id="no host"),
        pytest.param((O_METHOD, b"X-Original-URL: ftp://app.example/"), id="another scheme"),
        pytest.param((O_METHOD, b"X-Original-URL: app.example/"), id="no scheme"),
        pytest.param((METHOD, b"X-Forwarded-Proto: ftp", HOST, URI), id="another scheme told"),
        pytest.param((METHOD, b"X-Forwarded-Proto: https, http", HOST, URI), id="two schemes told"),
        pytest.param((b"X-Forwarded-Method: ", PROTO, HOST, URI), id="an empty method"),
    ],
)
def test_what_validate_can_not_be_sure_of_is_refused(lines: tuple[bytes, ...]):
    with pytest.raises(BadRequest):
        validate.read(head(*lines))


@pytest.mark.parametrize(
    "target",
    [
        b"/@/ext_authz/../healthz",
        b"/@/ext_authz/%2e%2e/healthz",
        b"/@/ext_authz/../../public",
        b"/@/ext_authz//public",
        b"/@/ext_authz/a/./b",
        b"/@//ext_authz/public",
        b"/@/ext_authz/%61",
        b"http://edge.example:4181/@/ext_authz/public",
    ],
)
def test_a_path_that_only_looks_like_an_envoys_is_refused(target: bytes):
    with pytest.raises(BadRequest):
        ext_authz.read(head(first=b"GET " + target + b" HTTP/1.1"))
