"""Providers that mean harm, or are broken: nobody is signed in by what they say, and nothing else breaks."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from tests.real.house import Browser
from tests.real.lies import (
    by_another_key,
    by_public_key_as_secret,
    own_key,
    unsigned,
    with_a_claim_twice,
)
from tests.real.rogue import answering, signed_by_key
from tests.real.siege import Siege, besieged

pytestmark = pytest.mark.real


@pytest.fixture
async def siege(ports, api, gateway) -> AsyncIterator[Siege]:
    async with besieged(ports, api, gateway) as siege:
        yield siege


async def outcome(siege: Siege, client: str = "evil") -> tuple[int, dict[str, Any] | None]:
    """The status a new visitor ends at after that provider's flow, and who is signed in."""
    async with siege.browser() as browser:
        page = await browser.get(f"/@{client}/signin?rd=/open/", follow=True)
        return page.status, await browser.who()


def is_refused(result: tuple[int, Any]) -> bool:
    status, who = result
    return 400 <= status < 600 and status != 500 and who is None


NOW = int(time.time())
HEADERS: list[tuple[str, dict[str, Any], Any]] = [
    ("alg none", {"alg": "none"}, unsigned),
    ("alg NonE", {"alg": "NonE"}, unsigned),
    ("no alg", {"alg": None}, unsigned),
    ("HS256 with the public key", {}, by_public_key_as_secret),
    ("key of another", {}, by_another_key),
    ("key in the header", {"jwk": own_key()}, by_another_key),
    ("jku", {"jku": "http://127.0.0.1:1/jwks"}, by_another_key),
    ("x5u", {"x5u": "http://127.0.0.1:1/x"}, by_another_key),
    ("kid is a path", {"kid": "../../../../dev/null"}, by_public_key_as_secret),
    ("kid is SQL", {"kid": "x' UNION SELECT 'key"}, by_another_key),
    ("kid is a list", {"kid": ["one"]}, signed_by_key),
    ("crit", {"crit": ["exp"]}, signed_by_key),
    ("b64", {"b64": False}, signed_by_key),
    ("zip", {"zip": "DEF"}, signed_by_key),
    ("a logout token", {"typ": "logout+jwt"}, signed_by_key),
    ("an access token", {"typ": "at+jwt"}, signed_by_key),
    ("a claim twice", {}, with_a_claim_twice),
    ("an encrypted token", {}, lambda h, c: signed_by_key(h, c) + ".AA.AA"),
    ("line end behind", {}, lambda h, c: signed_by_key(h, c) + "\n"),
]
CLAIMS: list[dict[str, Any]] = [
    {"nonce": "another"},
    {"nonce": ""},
    {"nonce": ...},
    {"nonce": ["x"]},
    {"aud": "other"},
    {"aud": ["app", "other"]},
    {"aud": ["app", "other"], "azp": "other"},
    {"aud": [["app"]]},
    {"azp": "other"},
    {"iss": "https://accounts.google.com"},
    {"iss": ...},
    {"exp": NOW - 3600},
    {"exp": str(NOW + 3600)},
    {"exp": ...},
    {"iat": NOW + 3600},
    {"iat": NOW - 86400},
    {"nbf": NOW + 3600},
    {"sub": ""},
    {"sub": 1},
    {"sub": ["alice"]},
    {"sub": "alice\x00"},
    {"sub": "x" * 300},
    {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
]


async def test_no_forged_id_token_signs_anybody_in(siege: Siege) -> None:
    wrong: list[object] = []
    for what, header, sign in HEADERS:
        siege.evil.behave()
        siege.evil.header, siege.evil.sign = header, sign
        wrong += [what] if not is_refused(await outcome(siege)) else []
    for claims in CLAIMS:
        siege.evil.behave()
        siege.evil.claims = claims
        wrong += [claims] if not is_refused(await outcome(siege)) else []
    assert wrong == []
    siege.evil.behave()
    assert (await outcome(siege))[0] == 200
    assert '"fault"' not in siege.gateway.log


async def test_an_id_token_of_another_sign_in_is_not_taken(siege: Siege) -> None:
    kept: list[str] = []
    siege.evil.sign = lambda h, c: (kept.append(signed_by_key(h, c)), kept[0])[1]
    assert (await outcome(siege))[0] == 200
    assert is_refused(await outcome(siege))


ANSWERS: dict[str, Any] = {
    "nested without end": answering(b"[" * 100_000),
    "objects nested deep": answering(b'{"a":' * 9_000 + b"1" + b"}" * 9_000),
    "a page": answering(b"<html>login</html>", content_type="text/html"),
    "too large": answering(b" " * 3_000_000),
    "no text": answering(b"\xff\xfe{}"),
    "a list": answering(b"[]"),
    "failing": answering(b"", status=500),
    "to the cloud's secrets": answering(b"", status=307, Location="http://169.254.169.254/latest"),
    "compressed": answering(b"\x1f\x8b\x08" + bytes(30), **{"Content-Encoding": "gzip"}),
}


async def test_a_broken_answer_is_the_providers_fault(siege: Siege) -> None:
    wrong: list[object] = []
    for path in ("/token", "/me"):
        for what, answer in ANSWERS.items():
            siege.evil.behave()
            siege.evil.instead[path] = answer
            wrong += [(path, what)] if not is_refused(await outcome(siege)) else []
    assert wrong == []
    assert '"fault"' not in siege.gateway.log


PROVIDER = """
provider "pNUMBER" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "s"
}
"""
METADATA: list[dict[str, Any]] = [
    {"issuer": "https://accounts.google.com"},
    {"authorization_endpoint": "javascript:alert(1)"},
    {"authorization_endpoint": "http://login.evil.example/"},
    {"authorization_endpoint": "https://u:p@evil.example/"},
    {"token_endpoint": "http://10.0.0.1/token"},
    {"token_endpoint": "https://169.254.169.254/token"},
    {"token_endpoint": "https://[::ffff:169.254.169.254]/token"},
    {"token_endpoint": "https://0.0.0.0/token"},
    {"token_endpoint": "file:///etc/passwd"},
    {"jwks_uri": "https://169.254.169.254/jwks"},
    {"jwks_uri": "gopher://127.0.0.1/"},
    {"userinfo_endpoint": "https://169.254.169.254/me"},
    {"id_token_signing_alg_values_supported": ["none", "HS256"]},
]


async def test_metadata_that_lead_elsewhere_are_not_followed(siege: Siege) -> None:
    """Threat: server-side request forgery by a discovery document. One issuer each, since documents are kept."""
    cases: list[tuple[object, str, Any]] = [
        (changes, "/.well-known/openid-configuration", changes) for changes in METADATA
    ]
    cases += [(what, "/.well-known/openid-configuration", answer) for what, answer in ANSWERS.items()]
    cases += [(what, "/jwks", answer) for what, answer in ANSWERS.items()]
    siege.gateway.stop()
    blocks, names = "", []
    for number, (_, path, how) in enumerate(cases):
        issuer = f"{siege.evil.issuer}/{number}"
        blocks += PROVIDER.replace("NUMBER", str(number)).replace("ISSUER", issuer)
        names.append(f'"p{number}"')
        document = siege.evil.document() | {"issuer": issuer, "jwks_uri": f"{issuer}/jwks"}
        if isinstance(how, dict):
            document |= how
        siege.evil.instead[f"/{number}/.well-known/openid-configuration"] = answering(
            json.dumps(document).encode()
        )
        if not isinstance(how, dict):
            siege.evil.instead[f"/{number}{path}"] = how
    text = siege.gateway.file.read_text()
    text = text.replace('sign_in = ["op", "evil"]', f'sign_in = ["op", "evil", {", ".join(names)}]')
    siege.gateway.file.write_text(text + blocks)
    siege.gateway.start_again()
    wrong: list[object] = []
    for number, (what, path, _) in enumerate(cases):
        siege.evil.claims = {"iss": f"{siege.evil.issuer}/{number}"}
        wrong += [(what, path)] if not is_refused(await outcome(siege, f"p{number}")) else []
    assert wrong == []
    assert '"fault"' not in siege.gateway.log


async def test_made_up_key_ids_cost_the_provider_next_to_nothing(siege: Siege) -> None:
    siege.evil.sign = lambda h, c: by_another_key(h | {"kid": secrets.token_hex(8)}, c)
    for _ in range(15):
        assert is_refused(await outcome(siege))
    assert siege.evil.counts["/jwks"] <= 2
    assert siege.evil.counts["/.well-known/openid-configuration"] == 1


async def test_a_provider_that_hangs_holds_up_nobody_else(siege: Siege) -> None:
    hung = asyncio.Event()

    async def hang(_request: web.Request) -> web.StreamResponse:
        await hung.wait()
        return web.Response()

    siege.evil.instead["/token"] = hang
    waiting = [asyncio.create_task(outcome(siege)) for _ in range(10)]
    async with asyncio.timeout(60):
        while siege.evil.counts["/token"] < 10:
            await asyncio.sleep(0.02)
    assert (await outcome(siege, "op"))[0] == 200
    assert not all(one.done() for one in waiting)  # some hang still: it wasn't for their end that it came
    hung.set()
    assert all(map(is_refused, await asyncio.gather(*waiting)))


ADDRESSES: list[dict[str, Any]] = [
    {"email": "a@evil.example@corp.example"},
    {"email": "a@corp.example", "email_verified": False},
    {"email": "a@corp.example", "email_verified": "false"},
    {"email": "a@corp.example", "email_verified": "true"},
    {"email": "a@corp.example", "email_verified": 1},
    {"email": "a@corp.example", "email_verified": ...},
    {"email": "a@c\u043erp.example"},
    {"email": "a@\uff43orp.example"},
    {"email": "a@corp.example\u3002evil.example"},
    {"email": "a@evilcorp.example"},
    {"email": "a@sub.corp.example"},
    {"email": "a@corp.example."},
    {"email": "a@corp.example\n"},
    {"email": " a@corp.example"},
    {"email": '"a@corp.example"@evil.example'},
    {"email": "<a@corp.example>"},
    {"email": ["a@corp.example"]},
    {"email": {"value": "a@corp.example"}},
    {"email": "boss@other.example\x00"},
    {"email": "bo\u017fs@other.example"},
    {"email": "boss+@other.example"},
    {"hd": "corp.example", "groups": ["domain:corp.example"]},
]


async def test_no_address_passes_for_one_it_is_not(siege: Siege) -> None:
    for claims in ADDRESSES:
        siege.evil.behave()
        siege.evil.claims = claims
        async with siege.browser() as browser:
            assert (await browser.get("/@evil/signin?rd=/open/", follow=True)).status == 200, claims
            assert (await browser.get("/corp/")).status == 403, claims
    siege.evil.claims = {"email": "boss@OTHER.example"}
    async with siege.browser() as browser:
        assert (await browser.get("/@evil/signin?rd=/corp/", follow=True)).status == 200


HOSTILE = [
    {"name": "Z\r\nX-Admin: 1"},
    {"name": "a\x00b"},
    {"name": "\u2028\u202e\ufeff"},
    {"preferred_username": {"a": 1}},
    {"name": "N" * 9000},
    {"extra": "\ud800"},
    {"name": "<script>alert(1)</script>", "preferred_username": '"><img src=x>'},
]


async def test_hostile_claims_make_no_header_and_no_markup(siege: Siege) -> None:
    for claims in HOSTILE:
        siege.evil.behave()
        siege.evil.claims = claims
        async with siege.browser() as browser:
            assert (await browser.get("/@evil/signin?rd=/open/", follow=True)).status == 200
            seen = siege.app.seen[-1]
            assert seen.all("x-admin") == []
            assert len(seen.all("user-id")) == 1
            told = [value for name, value in seen.headers if name.lower().startswith("user-")]
            assert all(value.isascii() and value.isprintable() for value in told)
            page = await browser.get("/corp/")
            assert page.status == 403
            assert "<script>" not in page.text
            assert "<img" not in page.text


async def test_a_thousand_groups_are_told_whole_or_not_at_all(siege: Siege) -> None:
    siege.evil.userinfo = {"groups": [f"group-{number}" for number in range(1000)]}
    async with siege.browser() as browser:
        assert (await browser.get("/@evil/signin?rd=/open/", follow=True)).status == 200
        for groups in siege.app.seen[-1].all("user-groups"):
            assert groups.count(",") == 999


async def test_mixing_up_two_providers_gives_the_evil_one_nothing(siege: Siege) -> None:
    """Threat: mix-up (RFC 9700 section 4.4): code and state of one provider at the other's callback."""
    async with siege.browser() as browser:
        callback = await _callback(browser, "op")
        for client in ("evil", "inline", "app.example.com/inline", "app.example.com%2Finline", "OP", "op%20"):
            page = await browser.get(f"/@{client}/callback?{callback.query_string}")
            assert page.status in (400, 404) or page.location.path == "/@/signin", client
        stolen = await _callback(browser, "evil")
        page = await browser.get(f"/@op/callback?{stolen.query_string}")
        assert page.status == 400
        assert siege.evil.counts["/token"] == siege.provider.counts["/token"] == 0
        assert await browser.who() is None
        assert '"code":"flow_unknown"' in siege.gateway.log
        assert (await browser.get(callback)).status == 303
        assert (await browser.who() or {})["user"]["email"] == "alice@corp.example"


async def _callback(browser: Browser, client: str) -> Any:
    page = await browser.get(f"/@{client}/signin")
    return (await browser.get(page.location)).location
