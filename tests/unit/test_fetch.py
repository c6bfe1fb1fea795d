"""Outgoing HTTP: where it may go, what it takes back. No sockets: the transport and the resolver are scripted.

`tests/real/test_fetch.py` shows the same over sockets.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from tests.spellings import SPELLINGS, TRICKS
from vestibule.core.outgoing import Guard
from vestibule.errors import ProviderInvalid, ProviderUnavailable
from vestibule.fetch import BODY_MAX_BYTES, Fetcher, Incoming, Request
from vestibule.protocol.address import OUTSIDE, Address, Networks

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


def redirect(to: str, status: int = 302) -> Scripted:
    return Scripted(status, {"location": to}, [b""])


def resolving(host: str, address: str) -> Names:
    """The names of the table, and this odd one, as a resolver may hear it."""
    resolve = Names(**PUBLIC_OP)
    resolve.table |= {name: [address] for name in (host, host.lower(), host.lower().strip("[]"))}
    return resolve


LEARNED = {"from a document": ISSUER, "from outside": OUTSIDE}


@pytest.mark.parametrize(("host", "address"), SPELLINGS.items(), ids=SPELLINGS.keys())
@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("via", LEARNED.values(), ids=LEARNED.keys())
async def test_a_learned_url_cannot_lead_inside(via: str, scheme: str, host: str, address: str) -> None:
    wire = Wire()
    closed = Fetcher(transport=wire, resolve=resolving(host, address))
    for call in (
        closed.get(f"{scheme}://{host}/keys", via=via),
        closed.get(f"{scheme}://{host}:8443/keys?a=b", via=via),
        closed.post_form(f"{scheme}://{host}/token", b"code=canary", via=via),
        closed.send("DELETE", f"{scheme}://{host}/token", b"{}", via=via),
    ):
        with pytest.raises(ProviderInvalid) as told:
            await call
        assert told.value.code in {"address_refused", "http_refused", "url_refused"}
    assert wire.sent == []


@pytest.mark.parametrize(("host", "address"), SPELLINGS.items(), ids=SPELLINGS.keys())
@pytest.mark.parametrize("via", ["", *LEARNED.values()], ids=["written", *LEARNED])
async def test_a_redirect_cannot_lead_inside(via: str, host: str, address: str) -> None:
    for target in (f"https://{host}/", f"http://{host}/", f"//{host}/x"):
        wire = Wire({f"{ISSUER}/a": redirect(target)})
        with pytest.raises(ProviderInvalid):
            await Fetcher(transport=wire, resolve=resolving(host, address)).get(f"{ISSUER}/a", via=via)
        assert [str(request.url) for request in wire.sent] == [f"{ISSUER}/a"]


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("via", ["", *LEARNED.values()], ids=["written", *LEARNED])
async def test_a_url_that_two_readers_read_as_two_is_not_called(via: str, trick: str) -> None:
    wire = Wire()
    for scheme in ("https", "http"):
        with pytest.raises((ProviderInvalid, ProviderUnavailable)):
            await fetcher(wire).get(f"{scheme}://{trick}", via=via)
    assert wire.sent == []


ALLOWED = {
    "10.1.2.3": "10.1.2.3",
    "[::ffff:10.1.2.3]": "::ffff:10.1.2.3",
    "keys.corp": "10.0.0.9",
    "KEYS.corp.": "10.0.0.9",
    "[fd00::9]": "fd00::9",
}


@pytest.mark.parametrize(("host", "address"), ALLOWED.items(), ids=ALLOWED.keys())
@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("via", LEARNED.values(), ids=LEARNED.keys())
async def test_a_learned_url_may_lead_into_the_networks_the_operator_allows(
    via: str, scheme: str, host: str, address: str
) -> None:
    wire = Wire()
    allow = Networks.parse(["10.0.0.0/8", "fd00::/8"])
    await Fetcher(transport=wire, resolve=resolving(host, address), allow=allow).get(
        f"{scheme}://{host}/keys", via=via
    )
    assert wire.sent[0].addresses == (ipaddress.ip_address(address),)


@pytest.mark.parametrize(
    ("scheme", "addresses", "code"),
    [
        ("https", ["10.0.0.9", "192.168.1.1"], "address_refused"),
        ("https", ["8.8.8.8", "127.0.0.1"], "address_refused"),
        ("http", ["10.0.0.9", "8.8.8.8"], "http_refused"),
        ("http", ["8.8.8.8"], "http_refused"),
    ],
)
async def test_a_name_is_allowed_when_all_its_addresses_are(
    scheme: str, addresses: list[str], code: str
) -> None:
    wire = Wire()
    closed = Fetcher(transport=wire, resolve=Names(keys_corp=addresses), allow=Networks.parse(["10.0.0.0/8"]))
    with pytest.raises(ProviderInvalid) as told:
        await closed.get(f"{scheme}://keys.corp/", via=OUTSIDE)
    assert told.value.code == code
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


WRITTEN = {
    "https://idp.corp/x": ["10.0.0.8"],
    "http://idp.corp:8080/x": ["10.0.0.8"],
    "http://localhost:9000/x": ["127.0.0.1", "::1"],
    "http://127.0.0.1:9000/x": ["127.0.0.1"],
    "https://[fd00::1]/x": ["fd00::1"],
    "http://op.example/x": ["203.0.114.5"],
    "http://169.254.169.254/x": ["169.254.169.254"],
    "http://0.0.0.0:9000/x": ["0.0.0.0"],
}


@pytest.mark.parametrize(("url", "addresses"), WRITTEN.items(), ids=WRITTEN.keys())
async def test_what_the_operator_wrote_may_be_any_address(url: str, addresses: list[str]) -> None:
    wire = Wire()
    await fetcher(wire, idp_corp=["10.0.0.8"], localhost=["127.0.0.1", "::1"]).get(url)
    assert wire.sent[0].guard is Guard.WRITTEN
    assert [str(address) for address in wire.sent[0].addresses] == addresses


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "0.0.0.0", "fe80::1"])
async def test_a_name_the_operator_wrote_does_not_lead_to_the_clouds_secrets(address: str) -> None:
    wire = Wire()
    with pytest.raises(ProviderInvalid) as told:
        await fetcher(wire, idp_corp=[address]).get("http://idp.corp/x")
    assert told.value.code == "address_refused"
    assert wire.sent == []


@pytest.mark.parametrize(
    ("url", "via", "code"),
    [
        ("https://keys.corp/k", "https://idp.corp", "address_refused"),
        ("http://keys.corp/k", "http://idp.corp", "http_refused"),
        ("http://idp.corp/k", "https://idp.corp", "http_refused"),
        ("http://127.0.0.1:9000/k", "http://localhost:9000", "http_refused"),
        ("https://10.0.0.8/k", "https://idp.corp", "address_refused"),
    ],
)
async def test_a_private_issuers_document_names_its_own_host_or_a_public_one(
    url: str, via: str, code: str
) -> None:
    wire = Wire()
    names = {"idp_corp": ["10.0.0.8"], "keys_corp": ["10.0.0.9"], "localhost": ["127.0.0.1"]}
    with pytest.raises(ProviderInvalid) as told:
        await fetcher(wire, **names).get(url, via=via)
    assert told.value.code == code
    assert wire.sent == []
    await fetcher(wire, **names).get("https://op.example/k", via=via)
    await fetcher(wire, **names).get("https://idp.corp:8443/k", via="https://idp.corp")
    assert [request.guard for request in wire.sent] == [Guard.PUBLIC, Guard.WRITTEN]


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
