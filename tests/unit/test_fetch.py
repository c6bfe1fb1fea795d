"""Outgoing HTTP: where it may go, what it takes back. No sockets: the transport and the resolver are scripted.

`tests/real/test_fetch.py` shows the same over sockets.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from vestibule.errors import ProviderInvalid, ProviderUnavailable
from vestibule.fetch import (
    BODY_MAX_BYTES,
    Address,
    Fetcher,
    Guard,
    Incoming,
    Request,
    checked_url,
    unwrapped,
)
from vestibule.protocol.address import is_public

ISSUER = "https://op.example"


class Scripted:
    """An answer with a body in pieces."""

    def __init__(self, status: int, headers: Mapping[str, str], pieces: list[bytes]) -> None:
        self.status = status
        self.headers = headers
        self.pieces = pieces
        self.read = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.read += 1
            yield piece


class Wire:
    """A transport that answers from a table and keeps what was sent; `hangs` never answers."""

    def __init__(self, answers: Mapping[str, Scripted] | None = None, *, hangs: bool = False) -> None:
        self.answers = answers or {}
        self.hangs = hangs
        self.sent: list[Request] = []
        self.is_closed = False

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Incoming]:
        self.sent.append(request)
        if self.hangs:
            await asyncio.Event().wait()
        yield self.answers.get(str(request.url), Scripted(200, {}, [b"{}"]))

    async def close(self) -> None:
        self.is_closed = True


class Names:
    """A resolver from a table; each further look-up of a name gives the next entry."""

    def __init__(self, **table: list[str] | list[list[str]]) -> None:
        self.table = {name.replace("_", "."): list(found) for name, found in table.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> tuple[Address, ...]:
        self.asked.append(host)
        if host not in self.table:
            raise OSError("no such name")
        found = self.table[host]
        if found and isinstance(found[0], list):
            found = found.pop(0) if len(found) > 1 else found[0]
        return tuple(ipaddress.ip_address(text) for text in found)  # type: ignore[arg-type]


PUBLIC_OP = {"op_example": ["203.0.114.5"], "api_example": ["198.52.0.7"], "evil_example": ["10.0.0.5"]}


def fetcher(wire: Wire, **names: list[str] | list[list[str]]) -> Fetcher:
    return Fetcher(transport=wire, resolve=Names(**{**PUBLIC_OP, **names}))


NOT_PUBLIC = [
    "192.88.99.1",
    "3fff::1",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.1.2.3",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::127.0.0.1",
    "::10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::",
    "2001:0:7f00:1:0:0:80ff:fffe",
    "fc00::1",
    "fd00:ec2::254",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "2001:2::1",
    "2001:10::1",
]

ARE_PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.167.255.255",
    "203.0.114.1",
    "223.255.255.254",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_an_address_inside_any_network_is_not_public(text: str) -> None:
    assert not is_public(unwrapped(ipaddress.ip_address(text)))


@pytest.mark.parametrize("text", ARE_PUBLIC)
def test_an_address_of_the_internet_is_public(text: str) -> None:
    assert is_public(unwrapped(ipaddress.ip_address(text)))


@pytest.mark.parametrize(
    ("guard", "text", "admitted"),
    [
        (Guard.LOOPBACK, "127.0.0.1", True),
        (Guard.LOOPBACK, "::1", True),
        (Guard.LOOPBACK, "::ffff:127.0.0.1", True),
        (Guard.LOOPBACK, "10.0.0.1", False),
        (Guard.LOOPBACK, "8.8.8.8", False),
        (Guard.TRUSTED, "10.0.0.1", True),
        (Guard.TRUSTED, "127.0.0.1", True),
        (Guard.TRUSTED, "fd00::1", True),
        (Guard.TRUSTED, "8.8.8.8", True),
        (Guard.TRUSTED, "169.254.169.254", False),
        (Guard.TRUSTED, "::ffff:169.254.169.254", False),
        (Guard.TRUSTED, "fe80::1", False),
        (Guard.TRUSTED, "0.0.0.0", False),
        (Guard.TRUSTED, "224.0.0.1", False),
        (Guard.PUBLIC, "8.8.8.8", True),
        (Guard.PUBLIC, "10.0.0.1", False),
    ],
)
def test_each_mode_admits_its_own(guard: Guard, text: str, admitted: bool) -> None:
    assert guard.admits(ipaddress.ip_address(text)) is admitted


STRANGE_URLS = [
    "",
    "op.example",
    "//op.example/x",
    "ftp://op.example/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:25/",
    "javascript:alert(1)",
    "unix:/run/x.sock",
    "https://",
    "https:///path",
    "https://user@op.example/",
    "https://user:secret@op.example/",
    "https://op.example#@evil.example/",
    "https://op.example/#x",
    "https://op.example\\@evil.example/",
    "https://op.example/ x",
    "https://op.example/\r\nHost: evil",
    "https://op.example/\x00",
    "https://op.example:0/",
    "https://op.example:99999/",
    "https://op.example:abc/",
    "https://[fe80::1%25eth0]/",
    "https://[::1",
    "https://b\u00fccher.example/",
    "https://\uff11\uff12\uff17.0.0.1/",
    "https://" + "a" * 300 + ".example/",
    "https://op.example%2f@evil.example/",
]


@pytest.mark.parametrize("raw", STRANGE_URLS)
async def test_a_url_no_provider_has_is_never_called(raw: str) -> None:
    wire = Wire()
    with pytest.raises((ProviderInvalid, ProviderUnavailable)):
        await fetcher(wire).get(raw)
    assert wire.sent == []


def test_a_good_url_is_what_is_connected_to() -> None:
    assert str(checked_url("https://op.example:8443/a?b=c")) == "https://op.example:8443/a?b=c"


# Each of these names the loopback or the metadata service in some spelling that a system's resolver understands.
SPELLINGS = {
    "127.0.0.1": "127.0.0.1",
    "127.1": "127.0.0.1",
    "127.0.1": "127.0.0.1",
    "2130706433": "127.0.0.1",
    "0x7f.1": "127.0.0.1",
    "0x7f000001": "127.0.0.1",
    "0177.0.0.1": "127.0.0.1",
    "017700000001": "127.0.0.1",
    "0": "0.0.0.0",
    "0.0.0.0": "0.0.0.0",
    "localhost": "127.0.0.1",
    "localhost.": "127.0.0.1",
    "localtest.example": "127.0.0.1",
    "[::1]": "::1",
    "[::]": "::",
    "[::ffff:127.0.0.1]": "::ffff:127.0.0.1",
    "[::ffff:7f00:1]": "::ffff:7f00:1",
    "[0:0:0:0:0:ffff:127.0.0.1]": "::ffff:127.0.0.1",
    "[::127.0.0.1]": "::7f00:1",
    "[64:ff9b::169.254.169.254]": "64:ff9b::a9fe:a9fe",
    "[2002:7f00:1::]": "2002:7f00:1::",
    "169.254.169.254": "169.254.169.254",
    "0xa9fea9fe": "169.254.169.254",
    "2852039166": "169.254.169.254",
    "metadata.google.internal": "169.254.169.254",
    "instance-data": "169.254.169.254",
    "[fd00:ec2::254]": "fd00:ec2::254",
    "10.1.2.3": "10.1.2.3",
    "192.168.1.1": "192.168.1.1",
    "172.16.0.1": "172.16.0.1",
    "100.64.0.1": "100.64.0.1",
    "printer.local": "192.168.1.9",
}


@pytest.mark.parametrize(("host", "address"), SPELLINGS.items(), ids=SPELLINGS.keys())
@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_a_public_issuers_document_cannot_lead_inside(scheme: str, host: str, address: str) -> None:
    wire = Wire()
    names = {host: [address], "op.example": ["203.0.114.5"]}
    resolve = Names()
    resolve.table = names  # type: ignore[assignment]
    with pytest.raises(ProviderInvalid):
        await Fetcher(transport=wire, resolve=resolve).get(f"{scheme}://{host}/keys", via=ISSUER)
    assert wire.sent == []


async def test_one_inner_address_among_public_ones_refuses_the_name() -> None:
    wire = Wire()
    with pytest.raises(ProviderInvalid, match="may not be called"):
        await fetcher(wire, mixed_example=["8.8.8.8", "127.0.0.1"]).get("https://mixed.example/", via=ISSUER)
    assert wire.sent == []


async def test_the_connection_goes_to_the_addresses_that_were_checked() -> None:
    """A name that changes its address between check and connection gains nothing: it is resolved once."""
    wire = Wire()
    rebinding = fetcher(wire, rebind_example=[["8.8.8.8"], ["127.0.0.1"]])
    await rebinding.get("https://rebind.example/keys", via=ISSUER)
    assert wire.sent[0].addresses == (ipaddress.ip_address("8.8.8.8"),)
    with pytest.raises(ProviderInvalid):
        await rebinding.get("https://rebind.example/keys", via=ISSUER)


async def test_what_the_operator_wrote_may_be_private() -> None:
    wire = Wire()
    answer = await fetcher(wire, idp_corp=["10.0.0.8"]).get("https://idp.corp/x")
    assert answer.status == 200
    assert wire.sent[0].guard is Guard.TRUSTED


async def test_a_private_issuers_document_may_name_private_hosts() -> None:
    wire = Wire()
    await fetcher(wire, idp_corp=["10.0.0.8"], keys_corp=["10.0.0.9"]).get(
        "https://keys.corp/k", via="https://idp.corp"
    )
    assert wire.sent[0].guard is Guard.TRUSTED


async def test_the_issuers_own_host_is_as_free_as_the_issuer() -> None:
    wire = Wire()
    await fetcher(wire).get("https://op.example/keys", via=ISSUER)
    assert wire.sent[0].guard is Guard.TRUSTED


@pytest.mark.parametrize(
    ("url", "via", "address", "allowed"),
    [
        ("http://localhost:9000/x", "", "127.0.0.1", True),
        ("http://127.0.0.1:9000/x", "", "127.0.0.1", True),
        ("http://localhost:9000/x", "http://localhost:9000", "127.0.0.1", True),
        ("http://idp.corp/x", "", "10.0.0.1", False),
        ("http://op.example/x", "", "203.0.114.5", False),
        ("http://op.example/x", "https://op.example", "203.0.114.5", False),
    ],
)
async def test_plain_http_goes_to_loopback_only(  # a table
    *, url: str, via: str, address: str, allowed: bool
) -> None:
    wire = Wire()
    call = fetcher(wire, localhost=["127.0.0.1"], idp_corp=["10.0.0.1"]).get(url, via=via)
    if allowed:
        await call
        assert wire.sent[0].guard is Guard.LOOPBACK
    else:
        with pytest.raises(ProviderInvalid):
            await call
        assert wire.sent == []


def redirect(to: str, status: int = 302) -> Scripted:
    return Scripted(status, {"location": to}, [b""])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirected_get_is_followed(status: int) -> None:
    wire = Wire({f"{ISSUER}/a": redirect("/b", status)})
    answer = await fetcher(wire).get(f"{ISSUER}/a")
    assert answer.url == f"{ISSUER}/b"


async def test_at_most_three_redirects_are_followed() -> None:
    wire = Wire({f"{ISSUER}/{n}": redirect(f"/{n + 1}") for n in range(9)})
    with pytest.raises(ProviderInvalid, match="too often"):
        await fetcher(wire).get(f"{ISSUER}/0")
    assert len(wire.sent) == 4


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/",
        "https://127.0.0.1/",
        "https://evil.example/",
        "http://op.example/x",
        "https://user@op.example/",
        "ftp://op.example/",
        "file:///etc/passwd",
        "mailto:a@b.example",
        "https://[::1",
        "//10.0.0.1/",
        "",
    ],
)
async def test_a_redirect_is_checked_like_any_url_from_elsewhere(target: str) -> None:
    wire = Wire({f"{ISSUER}/a": redirect(target)})
    with pytest.raises(ProviderInvalid):
        await fetcher(wire).get(f"{ISSUER}/a")
    assert len(wire.sent) == 1


async def test_credentials_do_not_follow_a_redirect_to_another_origin() -> None:
    wire = Wire({f"{ISSUER}/a": redirect("https://api.example/b"), f"{ISSUER}/c": redirect("/d")})
    await fetcher(wire).get(f"{ISSUER}/a", headers={"Authorization": "Bearer canary", "X-Key": "canary"})
    assert "canary" not in str(wire.sent[1].headers)
    await fetcher(wire).get(f"{ISSUER}/c", headers={"Authorization": "Bearer canary"})
    assert wire.sent[3].headers["authorization"] == "Bearer canary"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_post_is_never_redirected(status: int) -> None:
    wire = Wire({f"{ISSUER}/token": redirect("/elsewhere", status)})
    with pytest.raises(ProviderInvalid):
        await fetcher(wire).post_form(f"{ISSUER}/token", b"code=canary")
    assert len(wire.sent) == 1


async def test_a_form_is_sent_as_one() -> None:
    wire = Wire()
    await fetcher(wire).post_form(f"{ISSUER}/token", b"a=b", headers={"Authorization": "Basic x"})
    assert (wire.sent[0].method, wire.sent[0].body) == ("POST", b"a=b")
    assert wire.sent[0].headers["content-type"] == "application/x-www-form-urlencoded"
    assert wire.sent[0].headers["authorization"] == "Basic x"


async def test_a_body_is_read_up_to_the_cap_and_no_further() -> None:
    endless = Scripted(200, {}, [b"x" * 65536] * 1000)
    with pytest.raises(ProviderInvalid, match="too large"):
        await fetcher(Wire({f"{ISSUER}/a": endless})).get(f"{ISSUER}/a")
    assert endless.read == BODY_MAX_BYTES // 65536 + 1


async def test_a_body_of_just_the_cap_is_taken() -> None:
    full = Scripted(200, {}, [b"x" * BODY_MAX_BYTES])
    answer = await fetcher(Wire({f"{ISSUER}/a": full})).get(f"{ISSUER}/a")
    assert len(answer.body) == BODY_MAX_BYTES


async def test_a_compressed_body_is_refused_since_it_was_not_asked_for() -> None:
    bomb = Scripted(200, {"content-encoding": "gzip"}, [b"\x1f\x8b"])
    with pytest.raises(ProviderInvalid):
        await fetcher(Wire({f"{ISSUER}/a": bomb})).get(f"{ISSUER}/a")


async def test_a_provider_that_hangs_is_given_up_on() -> None:
    hanging = Fetcher(transport=Wire(hangs=True), resolve=Names(**PUBLIC_OP), deadline_s=0.01)
    with pytest.raises(ProviderUnavailable, match="in time"):
        await hanging.get(f"{ISSUER}/a")


async def test_a_name_that_does_not_resolve_is_unavailable() -> None:
    with pytest.raises(ProviderUnavailable):
        await fetcher(Wire()).get("https://nowhere.example/")
    with pytest.raises(ProviderUnavailable):
        await fetcher(Wire(), empty_example=[]).get("https://empty.example/")


async def test_closing_closes_the_connections() -> None:
    wire = Wire()
    await fetcher(wire).close()
    assert wire.is_closed
