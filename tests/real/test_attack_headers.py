"""Attacks by header (attacks.md section H) that must fail, with every family of names switched on."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from urllib.parse import unquote

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.real import raw
from tests.real.api import Seen
from tests.real.house import Browser, House
from tests.real.rogue import Rogue
from tests.real.siege import cookies_of, sign_in
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {
  http = ["127.0.0.1:{port}"]
}
provider "op" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "app-secret"
  claims        = { groups = "groups", team = "team", squads = "squads" }
}
host "app.example.com" {
  backend          = "127.0.0.1:BACKEND"
  sign_in          = ["op"]
  identity_headers = ["oauth2-proxy", "vouch", "authelia", "pomerium"]
  assertion        = true
  access { allow = ["anyone"] }
  route "/open/" {
    access { allow = ["public"] }
  }
  route "/plain/" {
    identity_headers = []
    assertion        = false
    access { allow = ["public"] }
  }
  route "/closed/" {
    access { allow = ["email:root@corp.example"] }
  }
}
"""
NAMES = (
    *("Proxy-Session", "Proxy-Provider", "Proxy-Assertion", "User-Id", "User-Login", "User-Name"),
    *("User-Email", "User-Groups", "User-Orgs", "User-Did", "User-Handle"),
    *(f"X-Forwarded-{name}" for name in ("User", "Email", "Groups", "Preferred-Username", "Access-Token")),
    *(f"X-Auth-Request-{name}" for name in ("User", "Email", "Groups", "Preferred-Username")),
    *("X-Vouch-User", "X-Vouch-Success", "X-Vouch-IdP-Claims-Groups", "X-Vouch-IdP-Claims-Team"),
    *("X-Vouch-IdP-Claims-Anything", "X-Vouch-Token"),
    *("Remote-User", "Remote-Groups", "Remote-Name", "Remote-Email"),
    *("X-Pomerium-Jwt-Assertion", "X-Pomerium-Claim-Email", "X-Pomerium-Claim-Team"),
    *("X-Pomerium-Claim-Anything", "Gap-Auth", "X-Io-Session"),
)
PATHS = ("/open/a", "/plain/a", "/a", "/closed/a", "/@/session")
LINES_AT_ONCE = 60


@dataclasses.dataclass
class Stage:
    """A house, and somebody signed in there."""

    house: House
    op: Rogue
    browser: Browser

    @property
    def cookie(self) -> str:
        """What the browser of who is signed in sends."""
        return "; ".join(f"{name}={value}" for name, value in cookies_of(self.browser).items())

    async def ask(self, path: str, lines: Sequence[str], *, cookie: str = "") -> raw.Answer:
        """The answer to these very header lines."""
        own = [f"Cookie: {cookie}"] if cookie else []
        head = [f"GET {path} HTTP/1.1", f"Host: app.example.com:{self.house.gateway.port}", *lines, *own]
        async with raw.connect(self.house.gateway.port) as connection:
            return await connection.ask("\r\n".join([*head, "Connection: close", "", ""]).encode("latin-1"))

    async def told(self, **claims: object) -> Seen:
        """What the app is told of somebody of whom the provider says this."""
        self.op.claims = {"sub": "alice", "email": "alice@corp.example", **claims}
        async with self.house.browser() as browser:
            await sign_in(browser)
            return await browser.seen_by_app("/")


@pytest.fixture
async def stage(ports, api, gateway) -> AsyncIterator[Stage]:
    async with Rogue(ports.take()) as op, new_visitor() as client:
        app = await api()
        text = CONFIGURATION.replace("ISSUER", op.issuer).replace("BACKEND", str(app.port))
        house = House(gateway(text), op, app, app, 0)  # type: ignore[arg-type] # it stands in for OpenId
        house.client = client
        op.claims = {"sub": "alice", "email": "alice@corp.example"}
        op.userinfo = {"sub": "alice"}
        async with house.browser() as browser:
            await sign_in(browser)
            yield Stage(house, op, browser)


def spellings(name: str) -> list[str]:
    """Every mix of separators in three cases."""
    parts = name.split("-")
    mixed = []
    for separators in itertools.product("-_.", repeat=len(parts) - 1):
        text = "".join(a + b for a, b in itertools.zip_longest(parts, separators, fillvalue=""))
        mixed += [text, text.lower(), text.upper()]
    return list(dict.fromkeys(mixed))


def spoofed(names: Iterable[str]) -> Iterable[list[str]]:
    """Header lines of these names, as many as a head holds at once."""
    lines = [f"{name}: SPOOFED" for name in names]
    for begin in range(0, len(lines), LINES_AT_ONCE):
        yield lines[begin : begin + LINES_AT_ONCE]


async def test_h1_no_identity_header_of_a_clients_reaches_the_app_on_any_route(stage: Stage) -> None:
    for path in PATHS:
        for cookie in ("", stage.cookie):
            for lines in spoofed(form(name) for name in NAMES for form in (str, str.lower, str.upper)):
                answer = await stage.ask(path, lines, cookie=cookie)
                assert answer.status < 500
                assert b"SPOOFED" not in answer.head + answer.body
    assert stage.house.app.seen
    assert "SPOOFED" not in str(stage.house.app.seen)


async def test_h2_nor_does_any_spelling_of_one(stage: Stage) -> None:
    every = [spelling for name in NAMES for spelling in spellings(name)]
    odd = [
        "X~Forwarded~User",
        "USER+ID",
        "remote!user",
        "X'Vouch'User",
        "proxy|assertion",
        "X^Pomerium^Claim^Email",
    ]
    for path in ("/plain/a", "/a"):
        for lines in spoofed([*every, *odd]):
            answer = await stage.ask(path, lines, cookie=stage.cookie)
            assert answer.status == 200
    assert "SPOOFED" not in str(stage.house.app.seen)


async def test_h2_nor_a_second_one_beside_the_gateways(stage: Stage) -> None:
    lines = [f"{name}: SPOOFED" for name in ("Remote-User", "remote-user", "Remote_User", "Remote-User")]
    await stage.ask("/a", lines, cookie=stage.cookie)
    seen = stage.house.app.seen[-1]
    assert [value for name, value in seen.headers if name.lower().startswith("remote-user")] == [
        "alice@corp.example"
    ]


async def test_h3_what_the_provider_does_not_say_a_client_does_not_say_instead(stage: Stage) -> None:
    """A person without groups, name or team, and a client that sends them."""
    absent = [
        *("User-Groups", "User-Name", "User-Orgs", "X-Forwarded-Groups", "X-Auth-Request-Groups"),
        *("Remote-Groups", "Remote-Name", "X-Vouch-IdP-Claims-Groups", "X-Vouch-IdP-Claims-Team"),
        *("X-Pomerium-Claim-Groups", "X-Pomerium-Claim-Name", "X-Pomerium-Claim-Team"),
    ]
    await stage.ask("/a", [f"{name}: admin" for name in absent], cookie=stage.cookie)
    seen = stage.house.app.seen[-1]
    assert seen.one("user-email") == seen.one("remote-email") == "alice@corp.example"
    assert [name for name in absent if seen.all(name)] == []


async def test_h4_a_connection_header_takes_no_identity_away(stage: Stage) -> None:
    """A next hop that obeys it would drop what the gateway has set."""
    names = [
        "X-Forwarded-User",
        "x-forwarded-user",
        "Remote-User",
        "User-Id",
        "X-Vouch-Success",
        "X-Pomerium-Claim-Email",
    ]
    values = [
        form for name in (*NAMES, *names) for form in (name, name.lower(), f"close, {name}", f"{name} , x")
    ]
    for value in values:
        answer = await stage.ask("/a", [f"Connection: {value}"], cookie=stage.cookie)
        assert answer.status == 400, value
    for value in ("Cookie", "Host", "Authorization", "Content-Length", "Origin", "Sec-Fetch-Mode"):
        assert (await stage.ask("/a", [f"Connection: {value}"], cookie=stage.cookie)).status == 400, value
    assert stage.house.app.seen == []
    await stage.ask("/a", ["Connection: X-Own", "X-Own: 1"], cookie=stage.cookie)
    assert stage.house.app.seen[-1].one("remote-user") == "alice@corp.example"
    assert stage.house.app.seen[-1].all("x-own") == []


NASTY = [
    "Zoë\r\nX-Admin: 1",
    "a\r\n\r\nGET /admin HTTP/1.1",
    "a\nb",
    "a\0b",
    "a\x0bb\x85c\u2028d",
    "a\r\n folded",
    " admin ",
    'x","admin',
    "%2Cadmin",
    "日本",
]


async def test_h7_no_claim_makes_a_header_line_or_an_item_of_a_list(stage: Stage) -> None:
    for nasty in NASTY:
        items = [nasty, "a,admin", "other"]
        groups = ["a,admin", ' "admin"', "%2Cadmin", "other"]
        seen = await stage.told(team=nasty, squads=items, groups=groups)
        assert not seen.all("x-admin")
        names = [name.lower() for name, _ in seen.headers]
        assert len(set(names)) == len(names)
        # Latin-1 is what servers make of bytes; they are UTF-8.
        told = {name.lower(): value.encode("latin-1").decode() for name, value in seen.headers}
        assert unquote(told["x-pomerium-claim-team"]) == unquote(told["x-vouch-idp-claims-team"]) == nasty
        assert [unquote(item) for item in told["x-pomerium-claim-squads"].split(",")] == items
        assert json.loads(f"[{told['x-vouch-idp-claims-squads']}]") == items
        for name in ("remote-groups", "x-forwarded-groups", "x-pomerium-claim-groups"):
            assert "admin" not in told[name].split(",")
            assert told[name].count(",") == 3


async def test_h7_lists_too_long_for_a_header_are_left_out_whole(stage: Stage) -> None:
    seen = await stage.told(groups=[f"group-{n}" for n in range(900)])
    assert seen.one("remote-user") == "alice@corp.example"
    assert [name for name, _ in seen.headers if name.lower().endswith("groups")] == []
    claims = await read(stage, seen.one("proxy-assertion"))
    assert "groups" not in claims


async def read(stage: Stage, token: str) -> dict[str, object]:
    """The claims of a token, checked with the keys the host shows."""
    async with aiohttp.ClientSession() as anybody:
        url = f"http://127.0.0.1:{stage.house.gateway.port}/@/jwks.json"
        headers = {"Host": f"app.example.com:{stage.house.gateway.port}"}
        async with anybody.get(url, headers=headers) as answer:
            keys = KeySet.import_key_set(await answer.json(content_type=None))
    return dict(jwt.decode(token, keys, algorithms=["ES256"]).claims)


async def test_an_assertion_is_good_for_one_host_and_is_no_other_token(stage: Stage) -> None:
    """attacks.md 1.3, CVE-2024-47616: a token of one kind taken for another."""
    seen = await stage.told()
    own, pomeriums = seen.one("proxy-assertion"), seen.one("x-pomerium-jwt-assertion")
    for token in (own, pomeriums):
        assert (await read(stage, token))["aud"] == "app.example.com"
        for line in (
            f"Authorization: Bearer {token}",
            f"Cookie: vestibule-{stage.house.gateway.port}={token}",
        ):
            answer = await stage.ask("/a", [line])
            assert answer.status in (302, 401), line
    assert own not in (await stage.ask("/plain/a", [], cookie=stage.cookie)).body.decode()
