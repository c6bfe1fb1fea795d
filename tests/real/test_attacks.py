"""Attacks on sign-in, sessions and sign-out that must fail, against the running product."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from tests.real.house import NAVIGATION, Page
from tests.real.siege import Siege, besieged, cookies_of, handle_cookie, sign_in

pytestmark = pytest.mark.real

FOREIGN = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/%09/evil.example",
    "/%5cevil.example",
    "/%2f/evil.example",
    "/%2F%2Fevil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/%2e%2e//evil.example",
    "/x/..//evil.example",
    "/;//evil.example",
    " //evil.example",
    "https://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "hTTp://evil.example/",
    "http://app.example.com:PORT@evil.example/",
    "http://app.example.com:PORT\\@evil.example/",
    "http://app.example.com.evil.example:PORT/",
    "http://evil.example:PORT/",
    "http://other.example.com:1/",
    "https://other.example.com/",
    "http://other.example.com:PORT:80/",
    "http://app.example.com\uff0fevil.example:PORT/",
    "http://\uff41pp.example.com:PORT/",
    "http://0x7f.1/",
    "javascript:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,x",
    "/%0d%0aLocation:%20https://evil.example",
    "/x\r\nLocation: https://evil.example",
]


@pytest.fixture
async def siege(ports, api, gateway) -> AsyncIterator[Siege]:
    async with besieged(ports, api, gateway) as siege:
        yield siege


def stays(siege: Siege, page: Page) -> bool:
    """True when the answer leads nowhere but to this host, as every browser reads it."""
    location = page.headers.get("Location")
    if location is None:
        return not re.search(r'(?:href|action|src)="(?!/[^/\\]|/")', page.text)
    return (location.startswith("/") and location[1:2] not in ("/", "\\")) or location.startswith(
        f"{siege.origin}/"
    )


async def ask(
    siege: Siege, target: str, *, host: str = "app.example.com", method: str = "GET", **headers: str
):
    """One request with these headers and no cookie jar: status, Location, Set-Cookie, text."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
        url = URL(f"{siege.gateway.url}{target}", encoded=True)
        given = {"Host": f"{host}:{siege.gateway.port}", **NAVIGATION, **headers}
        async with client.request(method, url, headers=given, allow_redirects=False) as answer:
            cookies = answer.headers.getall("Set-Cookie", [])
            return answer.status, answer.headers.get("Location", ""), cookies, await answer.text()


# -- open redirects ---------------------------------------------------------------------------------


async def test_s1_no_return_address_leads_away(siege: Siege) -> None:
    async with siege.browser() as browser:
        await sign_in(browser)
        wrong: list[object] = []
        for raw in FOREIGN:
            foreign = raw.replace("PORT", str(siege.gateway.port))
            for sent in (quote(foreign, safe=""), quote(quote(foreign, safe=""), safe="")):
                for path in ("/@/signin", "/@/signout", "/@evil/signout", "/@/signedout", "/@inline/signout"):
                    page = await browser.get(f"{path}?rd={sent}", **{"Sec-Fetch-Site": "cross-site"})
                    wrong += [] if stays(siege, page) else [(path, foreign, page.headers.get("Location"))]
                page = await browser.get(f"/@op/signin?rd={sent}")
                page = await browser.get((await browser.get(page.location)).location)
                wrong += [] if page.status == 303 and stays(siege, page) else [("callback", foreign)]
        assert wrong == []
        assert (await browser.who()) is not None
    async with siege.browser() as browser:
        for raw in FOREIGN:
            foreign = quote(raw.replace("PORT", str(siege.gateway.port)), safe="")
            page = await browser.get(f"/@/signout?rd={foreign}")
            assert page.status == 303
            assert stays(siege, page), raw


async def test_s1_a_configured_host_may_be_returned_to_and_nothing_near_it(siege: Siege) -> None:
    async with siege.browser() as browser:
        other = f"http://other.example.com:{siege.gateway.port}/a?b=//evil.example#c"
        assert str((await sign_in(browser, rd=other)).headers["Location"]) == other


# -- the flow ---------------------------------------------------------------------------------------


async def test_s2_login_csrf_and_session_swap(siege: Siege) -> None:
    """Mallory's callback in the victim's browser; Mallory's code with the victim's own state."""
    async with siege.browser() as mallory, siege.browser() as victim:
        page = await mallory.get("/@evil/signin")
        callback = (await mallory.get(page.location)).location
        assert (await victim.get(callback)).status == 400
        assert await victim.who() is None
        await sign_in(victim)
        before = cookies_of(victim)
        assert (await victim.get(callback)).status == 400
        assert cookies_of(victim) == before
        assert (await victim.who() or {})["user"]["email"] == "alice@corp.example"
        assert siege.evil.counts["/token"] == 0


async def test_no_bit_of_state_or_cookie_can_be_changed(siege: Siege) -> None:
    async with siege.browser() as browser:
        page = await browser.get("/@op/signin?rd=/open/")
        callback = (await browser.get(page.location)).location
        [(name, value)] = cookies_of(browser).items()
        state = callback.query["state"]

        async def tried(state: str, cookie: str) -> tuple[int, str]:
            target = f"/@op/callback?code=x&state={quote(state, safe='')}"
            status, to, _, _ = await ask(siege, target, Cookie=cookie)
            return status, to

        for at in range(0, len(state), 7):
            changed = state[:at] + ("A" if state[at] != "A" else "B") + state[at + 1 :]
            assert (await tried(changed, f"{name}={value}"))[0] == 400
        for at in range(0, len(value), 11):
            changed = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
            assert (await tried(state, f"{name}={changed}"))[0] == 400
        payload, _, mac = value.partition(".")
        flow = json.loads(base64.urlsafe_b64decode(payload + "=="))
        flow[4] = "https://evil.example/"
        forged = base64.urlsafe_b64encode(json.dumps(flow).encode()).rstrip(b"=").decode()
        for cookie in (
            f"{name}={forged}.{mac}",
            f"{name}={payload}.",
            f"{name}={payload}",
            f"{name}={value}; {name}={value}",
            f"{name}={value}; {name}=x",
            f'{name}="{value}"',
            f"{name[:-1]}x={value}",
            f"{name.upper()}={value}",
            f"x={value}",
        ):
            assert (await tried(state, cookie))[0] == 400, cookie
        for state_ in (state + "=", state + "%00", " " + state, state[:-1], state.swapcase(), ""):
            assert (await tried(state_, f"{name}={value}"))[0] == 400
        assert siege.provider.counts["/token"] == 0
        assert (await browser.get(callback)).status == 303


async def test_a_flow_ends_on_its_own_host_once(siege: Siege) -> None:
    async with siege.browser() as browser:
        page = await browser.get("/@op/signin?rd=/open/")
        callback = (await browser.get(page.location)).location
        cookie = "; ".join(f"{name}={value}" for name, value in cookies_of(browser).items())
        target = f"/@op/callback?{callback.query_string}"
        status, _, set_cookies, _ = await ask(siege, target, host="other.example.com", Cookie=cookie)
        assert status == 400
        assert not any("vestibule" in line and "-flow-" not in line for line in set_cookies)
        together = await asyncio.gather(*(ask(siege, target, Cookie=cookie) for _ in range(10)))
        assert sorted(status for status, *_ in together) == [303] + [400] * 9
        assert siege.provider.counts["/token"] == 1
        assert (await ask(siege, target, Cookie=cookie))[0] == 400


async def test_a_head_request_or_a_form_ends_no_flow(siege: Siege) -> None:
    async with siege.browser() as browser:
        page = await browser.get("/@op/signin")
        callback = (await browser.get(page.location)).location
        # A form is only ever parked, and here the parameters stand in the address instead.
        for method, status in (("HEAD", 405), ("PUT", 405), ("POST", 400)):
            async with browser.session.request(method, callback, allow_redirects=False) as answer:
                assert answer.status == status
        assert siege.provider.counts["/token"] == 0
        assert (await browser.get(callback)).status == 303


async def test_forty_sign_ins_at_once_leave_sixteen_cookies_and_a_way_in(siege: Siege) -> None:
    async with siege.browser() as browser:
        for _ in range(40):
            await browser.get(f"/@op/signin?rd=/open/{'x' * 200}")
        assert len(cookies_of(browser)) <= 16
        assert (await sign_in(browser, rd="/open/")).status == 303
        assert await browser.who() is not None


# -- sessions ---------------------------------------------------------------------------------------


async def is_known(siege: Siege, cookie: str, host: str = "app.example.com") -> bool:
    return (await ask(siege, "/@/session", host=host, Cookie=cookie))[0] == 200


async def test_a_handle_is_good_on_its_host_in_its_one_spelling(siege: Siege) -> None:
    async with siege.browser() as browser:
        await sign_in(browser)
        name, handle = handle_cookie(siege, browser)
        seen = await browser.seen_by_app("/")
        assert handle not in str(seen)
        assert await is_known(siege, f"{name}={handle}")
        for cookie in (
            f"{name}={handle}; {name}={handle}",
            f"{name}=x; {name}={handle}",
            f"{name}={handle}; {name}=",
            f'{name}="{handle}"',
            f"{name.upper()}={handle}",
            f"{name}={handle}=",
            f"{name}={handle[:-1]}",
            f"{name}={handle}%00",
            f"{name}={seen.one('proxy-session')}",
            f"__Host-vestibule={handle}",
            f"__Host-{name}={handle}",
            f"a={name}={handle}",
            f"={name}={handle}",
            f"vestibule-1={handle}",
        ):
            assert not await is_known(siege, cookie), cookie
        assert not await is_known(siege, f"{name}={handle}", "other.example.com")
        status, to, _, _ = await ask(siege, "/", host="other.example.com", Cookie=f"{name}={handle}")
        assert (status, "/@/signin" in to) == (302, True)
        status, _, _, _ = await ask(siege, "/@/signout", host="other.example.com", Cookie=f"{name}={handle}")
        assert status == 303
        assert await is_known(siege, f"{name}={handle}")
        assert siege.app.seen[-1] is seen


async def test_s3_a_planted_handle_is_worth_nothing_after_the_sign_in(siege: Siege) -> None:
    """Threat: fixation, with a handle nobody made, one of credentials only, and one of another person."""
    async with siege.browser() as browser:
        made_up = "A" * 43
        browser.session.cookie_jar.update_cookies(
            {f"vestibule-{siege.gateway.port}": made_up}, URL(siege.origin)
        )
        await sign_in(browser)
        assert handle_cookie(siege, browser)[1] != made_up
    for planted in ("inline", "evil"):
        async with siege.browser() as mallory, siege.browser() as victim:
            siege.evil.claims = siege.evil.userinfo = {"sub": "mallory"}
            assert (await sign_in(mallory, planted)).status == 303
            name, handle = handle_cookie(siege, mallory)
            victim.session.cookie_jar.update_cookies({name: handle}, URL(siege.origin))
            siege.evil.claims = siege.evil.userinfo = {"sub": "victim", "email": "victim@corp.example"}
            assert (await sign_in(victim, "evil")).status == 303
            assert (await victim.who() or {})["user"]["email"] == "victim@corp.example"
            assert handle_cookie(siege, victim)[1] != handle
            assert await mallory.who() is None


async def test_a_planted_flow_cookie_puts_nobody_into_its_owners_session(siege: Siege) -> None:
    """Threat: session swap. Mallory's finished flow in the victim's browser, as if it were of another tab of theirs."""
    async with siege.browser() as mallory, siege.browser() as victim:
        page = await mallory.get("/@evil/signin")
        planted = cookies_of(mallory)
        assert (await mallory.get((await mallory.get(page.location)).location)).status == 303
        for client in ("op", "inline"):
            victim.session.cookie_jar.update_cookies(planted, URL(siege.origin))
            assert (await sign_in(victim, client)).status == 303
            assert (await victim.who() or {})["user"]["email"] == "alice@corp.example"
        assert (await mallory.who() or {})["providers"] == ["evil"]


async def test_s6_a_signed_out_session_is_dead_everywhere_within_a_second(siege: Siege) -> None:
    async with siege.browser() as browser:
        await sign_in(browser)
        name, old = handle_cookie(siege, browser)
        await sign_in(browser)  # a new handle; the old one is honoured for a moment
        handles = [old, handle_cookie(siege, browser)[1]]
        caller = (await browser.seen_by_app("/")).one("proxy-session")
        async with siege.call(caller) as answer:
            assert answer.status == 200
        await browser.get("/@/signout")
        assert not [handle for handle in handles if await is_known(siege, f"{name}={handle}")]
        calls = len(siege.api.seen)
        async with siege.call(caller) as answer:
            assert answer.status == 401
        assert len(siege.api.seen) == calls


async def test_signing_in_elsewhere_leaves_one_person_in_the_session(siege: Siege) -> None:
    """With another issuer's account: credentials, never an identity; with another of the same: a new session."""
    async with siege.browser() as browser:
        await sign_in(browser)
        alice = await browser.seen_by_app("/")
        assert (await sign_in(browser, "evil")).status == 303
        seen = await browser.seen_by_app("/")
        assert seen.one("user-id") == alice.one("user-id")
        assert seen.one("user-email") == "alice@corp.example"
        assert seen.one("proxy-provider") == "op,evil"
        siege.provider.claims = {"sub": "bob", "email": "bob@corp.example"}
        siege.provider.userinfo = {"sub": "bob"}
        name, old = handle_cookie(siege, browser)
        assert (await sign_in(browser)).status == 303
        seen = await browser.seen_by_app("/")
        assert seen.one("user-email") == "bob@corp.example"
        assert seen.one("proxy-provider") == "op"
        assert not await is_known(siege, f"{name}={old}")
        async with siege.call(alice.one("proxy-session")) as answer:
            assert answer.status == 401


# -- sign-out ---------------------------------------------------------------------------------------

OWN = "http://app.example.com:PORT"
SIGN_OUTS = [
    ("GET", {"Sec-Fetch-Site": "cross-site"}, False),
    ("GET", {"Sec-Fetch-Site": "same-site"}, False),
    ("GET", {"Sec-Fetch-Site": ""}, False),
    ("GET", {"Sec-Fetch-Site": "same-origin, cross-site"}, False),
    ("GET", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "image"}, False),
    ("GET", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "iframe"}, False),
    ("GET", {"Sec-Fetch-Site": "none", "Sec-Purpose": "prefetch"}, False),
    ("HEAD", {"Sec-Fetch-Site": "same-origin"}, False),
    ("POST", {}, False),
    ("POST", {"Origin": "https://evil.example"}, False),
    ("POST", {"Origin": "null", "Sec-Fetch-Site": "cross-site"}, False),
    ("POST", {"Origin": "null", "Sec-Fetch-Site": "none"}, False),
    ("POST", {"Origin": "http://other.example.com:PORT", "Sec-Fetch-Site": "same-site"}, False),
    ("POST", {"Origin": "http://app.example.com"}, False),
    ("POST", {"Origin": "https://app.example.com:PORT"}, False),
    ("POST", {"Origin": OWN + ".evil.example"}, False),
    ("POST", {"Origin": OWN.upper()}, False),
    ("POST", {"Referer": OWN + "/"}, False),
    ("PUT", {"Origin": OWN}, False),
    ("GET", {"Sec-Fetch-Site": "same-origin"}, True),
    ("GET", {"Sec-Fetch-Site": "none"}, True),
    ("POST", {"Origin": OWN}, True),
    ("POST", {"Origin": "null", "Sec-Fetch-Site": "same-origin"}, True),
]


@pytest.mark.parametrize("path", ["/@/signout", "/@op/signout"])
async def test_no_other_site_signs_anybody_out(siege: Siege, path: str) -> None:
    for method, headers, acts in SIGN_OUTS:
        async with siege.browser() as browser:
            await sign_in(browser)
            name, handle = handle_cookie(siege, browser)
            given = {name: value.replace("PORT", str(siege.gateway.port)) for name, value in headers.items()}
            status, _, set_cookies, _ = await ask(
                siege, path, method=method, Cookie=f"{name}={handle}", **given
            )
            assert status < 500
            assert await is_known(siege, f"{name}={handle}") != acts, (method, headers)
            assert acts or not set_cookies


# -- decisions --------------------------------------------------------------------------------------


async def test_a_deny_rule_is_met_by_nobody_unknown(siege: Siege) -> None:
    """A public route with a deny: who can't be known is not let in."""
    assert (await ask(siege, "/not-eve/"))[0] == 302
    assert (await ask(siege, "/not-eve/", Accept="*/*", **{"Sec-Fetch-Mode": "cors"}))[0] == 401
    for email, status in (
        ("eve@evil.example", 403),
        ("EVE@EVIL.example", 403),
        (..., 403),
        ("x@y.example", 200),
    ):
        siege.evil.claims = {"email": email}
        async with siege.browser() as browser:
            await sign_in(browser, "evil")
            assert (await browser.get("/not-eve/")).status == status, email
    async with siege.browser() as browser:  # credentials only: still nobody
        await sign_in(browser, "inline")
        assert (await browser.get("/not-eve/")).status == 302
        assert (await browser.get("/")).status == 302


TARGETS: list[tuple[str, str, dict[str, str], set[int]]] = [
    ("POST", "/read/x", {}, {405}),
    ("HEAD", "/read/x", {}, {405}),
    ("get", "/read/x", {}, {400}),
    ("POST", "/read/x", {"X-HTTP-Method-Override": "GET"}, {405}),
    ("POST", "/read", {}, {405}),
    ("POST", "//read/x", {}, {405}),
    ("POST", "/open/../read/x", {}, {405}),
    ("POST", "/%72ead/x", {}, {405}),
    ("POST", "/read;a/x", {}, {400}),
    ("GET", "/open/../", {}, {302}),
    ("GET", "/open/..;/corp/", {}, {400}),
    ("GET", "/open/%2e%2e/corp/", {}, {302}),
    ("GET", "/open%2f..%2fcorp/", {}, {400}),
    ("GET", "/open/..%2fcorp/", {}, {400}),
    ("GET", "/open\\..\\corp", {}, {400}),
    ("GET", "/open/%252e%252e/corp/", {}, {400}),
    ("GET", "/openx", {}, {302}),
    ("GET", "/OPEN/", {}, {302}),
    ("GET", "/", {"X-Original-URL": "/open/", "X-Rewrite-URL": "/open/", "X-Forwarded-Uri": "/open/"}, {302}),
    ("GET", "/?x=/open/", {}, {302}),
    ("GET", "http://app.example.com:PORT/", {}, {302}),
    ("GET", "http://other.example.com:PORT/open/", {}, {400}),
]


async def test_p1_p2_no_spelling_of_a_target_gets_past_its_rule(siege: Siege) -> None:
    wrong: list[object] = []
    for method, target, headers, statuses in TARGETS:
        reader, writer = await asyncio.open_connection("127.0.0.1", siege.gateway.port)
        lines = [f"{method} {target} HTTP/1.1", "Host: app.example.com:PORT", "Accept: text/html"]
        lines += [
            "Content-Length: 0",
            "Connection: close",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        writer.write("\r\n".join([*lines, "", ""]).replace("PORT", str(siege.gateway.port)).encode())
        status = int((await reader.read()).split(b" ")[1])
        writer.close()
        wrong += [] if status in statuses else [(method, target, status)]
    assert wrong == []
    assert siege.app.seen == []


async def test_h6_s1_what_the_client_says_of_itself_changes_no_address_of_ours(siege: Siege) -> None:
    lies = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "Forwarded": "host=evil.example;proto=https",
        "X-Auth-Request-Redirect": "https://evil.example",
        "Referer": "https://evil.example/",
    }
    status, to, cookies, _ = await ask(siege, "/", **lies)
    assert (status, to) == (302, f"{siege.origin}/@/signin?rd=/")
    status, to, cookies, _ = await ask(siege, "/@op/signin", **lies)
    assert "evil.example" not in to
    assert to.startswith(siege.provider.issuer)
    parsed = SimpleCookie()
    for line in cookies:
        parsed.load(line)
    for morsel in parsed.values():
        assert (morsel["httponly"], morsel["samesite"], morsel["path"], morsel["domain"]) == (
            True,
            "Lax",
            "/",
            "",
        )
    assert (await ask(siege, "/", host="evil.example"))[0] == 421
