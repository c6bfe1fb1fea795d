"""What other sites, other hosts' sessions and people in the traffic do to the admin pages: each attack as rows."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import aiohttp
import pytest

from tests.browser.office import NAVIGATION, Office, open_office

pytestmark = pytest.mark.real

CANARY = "<script>canary()</script>"
_FORM_TOKEN = re.compile(r'name="form_token" value="([^"]*)"')


@pytest.fixture(params=[1, 2], ids=["one process", "workers"])
async def office(ports, state_dir, request) -> AsyncIterator[Office]:
    async with open_office(ports, state_dir / "office", workers=request.param) as office:
        yield office


class Operator:
    """A browser in which Olga is signed in to the pages."""

    def __init__(self, office: Office, session: aiohttp.ClientSession) -> None:
        self.office = office
        self.session = session

    async def get(self, target: str, **headers: str) -> tuple[int, str]:
        """A page, and where it ended."""
        return await self._ask("GET", target, None, {**NAVIGATION, **headers})

    async def post(self, target: str, fields: dict[str, str], **headers: str) -> tuple[int, str]:
        """A form, as a page of ours sends it, but for the headers."""
        sent = {**NAVIGATION, "Sec-Fetch-Site": "same-origin", "Origin": self.office.url, **headers}
        return await self._ask("POST", target, fields, {name: value for name, value in sent.items() if value})

    async def form_token(self, path: str) -> str:
        _, text = await self.get(path)
        found = _FORM_TOKEN.search(text)
        assert found, text
        return unescape(found[1])

    async def id_of(self, name: str) -> str:
        _, text = await self.get(f"/people?text={name}")
        found = re.search(r'href="/people/([\w-]{22})"', text)
        assert found, text
        return found[1]

    async def _ask(self, method: str, target: str, data: Any, headers: dict[str, str]) -> tuple[int, str]:
        async with self.session.request(
            method, f"{self.office.url}{target}", data=data, headers=headers, allow_redirects=False
        ) as answer:
            return answer.status, await answer.text()


async def operator(office: Office) -> Operator:
    session = await office.visitor()
    await office.sign_in(session, "ops", office.url)
    found = Operator(office, session)
    assert (await found.get("/people"))[0] == 200
    return found


def handle_in(session: aiohttp.ClientSession, port: int) -> str:
    [cookie] = [one for one in session.cookie_jar if one.key == f"vestibule-{port}"]
    return cookie.value


async def test_other_sites_can_have_nothing_done(office: Office) -> None:
    alice = await office.visitor("alice")
    olga = await operator(office)
    path = f"/people/{await olga.id_of('alice')}"
    token = await olga.form_token(path)
    attacks: list[tuple[dict[str, str], dict[str, str]]] = [
        ({"form_token": token}, {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}),
        ({"form_token": token}, {"Origin": office.shop, "Sec-Fetch-Site": "cross-site"}),
        (
            {"form_token": token},
            {"Origin": f"http://localhost:{office.gateway.port}", "Sec-Fetch-Site": "same-site"},
        ),
        ({"form_token": token}, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}),
        ({"form_token": token}, {"Origin": "", "Sec-Fetch-Site": ""}),
        ({"form_token": token}, {"Origin": "", "Sec-Fetch-Site": "none"}),
        ({}, {}),
        ({"form_token": token[:-2] + "AA"}, {}),
    ]
    for fields, headers in attacks:
        assert (headers, (await olga.post(f"{path}/block", fields, **headers))[0]) == (headers, 403)
    assert (await olga.get(f"{path}/block"))[0] == 405
    for dest in ("iframe", "script", "image", "empty"):
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": dest}
        assert (dest, (await olga.get(path, **headers))[0]) == (dest, 403)
    assert await office.get(alice, "/basket") == 200

    # And by a form of ours it is done, in her name.
    assert (await olga.post(f"{path}/block", {"form_token": token}))[0] == 303
    assert await office.get(alice, "/basket") == 302
    _, audit = await olga.get("/audit")
    assert f"user {await olga.id_of('ops')}" in audit


async def test_no_other_name_leads_here(office: Office) -> None:
    olga = await operator(office)
    for host in ("evil.example", "localhost.evil.example", "0.0.0.0", "admin"):
        for path in ("/", "/people", "/sign-in", "/@/signin", "/static/admin.css"):
            assert (host, path, (await olga.get(path, Host=host))[0]) == (host, path, 403)
    port = office.url.rpartition(":")[2]
    nobody = await office.visitor()
    for host in (f"admin:{port}", "localhost", f"localhost:{port}"):
        async with nobody.get(
            f"http://127.0.0.1:{office.gateway.port}/people", headers={"Host": host}
        ) as answer:
            assert (host, answer.status) == (host, 421)


async def test_a_session_of_another_host_is_no_operators(office: Office) -> None:
    port = office.url.rpartition(":")[2]
    for person in ("alice", "ops"):
        session = await office.visitor(person)
        handle = handle_in(session, office.gateway.port)
        nobody = Operator(office, await office.visitor())
        status, text = await nobody.get("/people", Cookie=f"vestibule-{port}={handle}")
        assert (person, status, "alice@example.com" in text) == (person, 302, False)


async def test_an_operators_session_is_good_at_the_pages_alone(office: Office) -> None:
    olga = await operator(office)
    handle = handle_in(olga.session, int(office.url.rpartition(":")[2]))
    nobody = await office.visitor()
    headers = {**NAVIGATION, "Cookie": f"vestibule-{office.gateway.port}={handle}"}
    async with nobody.get(f"{office.shop}/basket", headers=headers, allow_redirects=False) as answer:
        assert answer.status == 302
    # The API takes tokens, and no cookie.
    assert (await olga.get("/api/v1/users"))[0] == 401


async def test_who_is_not_allowed_gets_nothing_and_who_is_blocked_is_out_at_once(office: Office) -> None:
    session = await office.visitor()
    async with session.get(f"{office.url}/@/signin?login_hint=bob&rd=/people", headers=NAVIGATION) as answer:
        assert answer.status == 403
    bob = Operator(office, session)
    for path in ("/", "/people", "/traffic", "/traffic/live", "/live", "/tokens/new"):
        status, text = await bob.get(path)
        assert (path, status, "olga" in text.lower()) == (path, 403, False)
    assert (await bob.post("/tokens/new", {"name": "mine"}))[0] == 403

    olga = await operator(office)
    path = f"/people/{await olga.id_of('ops')}"
    assert (await olga.post(f"{path}/block", {"form_token": await olga.form_token(path)}))[0] == 303
    assert (await olga.get("/people"))[0] == 302
    assert (await olga.get("/traffic/live", Accept="text/event-stream"))[0] in {302, 401}


async def test_a_service_can_not_make_itself_an_operator(office: Office) -> None:
    olga = await operator(office)
    user_id = await olga.id_of("ops")
    bearer = {"Authorization": f"Bearer {office.token('shop', '--scope', 'sessions:write')}"}
    service = await office.visitor()
    for host in (f"admin:{office.url.rpartition(':')[2]}", "localhost", "admin"):
        body = {"user_id": user_id, "host": host}
        async with service.post(f"{office.url}/api/v1/sessions", json=body, headers=bearer) as answer:
            assert (host, answer.status) == (host, 422), await answer.text()


async def test_nobody_is_sent_on_to_other_places(office: Office) -> None:
    session = await office.visitor()
    for wanted in ("https://evil.example/", "//evil.example/", "/\\evil.example", office.shop):
        params = {"login_hint": "ops", "rd": wanted}
        async with session.get(f"{office.url}/@/signin", params=params, headers=NAVIGATION) as answer:
            assert str(answer.url).startswith(office.url), answer.url
    # Nor from the apps to the pages.
    alice = await office.visitor()
    params = {"login_hint": "alice", "rd": f"{office.url}/people"}
    async with alice.get(f"{office.shop}/@/signin", params=params, headers=NAVIGATION) as answer:
        assert str(answer.url).startswith(office.shop), answer.url


async def test_what_people_bring_along_stays_text(office: Office) -> None:
    evil = await office.visitor("evil", agent=f"{CANARY}\"'><img src=x onerror=canary()>")
    nobody = await office.visitor(agent=CANARY)
    for target in (f"/{CANARY}", "/%3Cscript%3Ecanary()%3C/script%3E", "/open/'\"><svg/onload=canary()>"):
        await office.get(evil, target)
        await office.get(nobody, target)
    olga = await operator(office)
    user_id = await olga.id_of("elsewhere")
    _, sessions = await olga.get("/sessions?text=elsewhere")
    found = re.search(r'href="/sessions/([\w-]{22})"', sessions)
    assert found, sessions
    pages = [
        *(
            "/traffic",
            "/traffic?text=%3Cscript%3Ecanary()",
            "/people?text=%22%3E%3Cscript%3E",
            "/sessions",
            "/audit",
        ),
        *(f"/people/{user_id}", f"/sessions/{found[1]}", f"/traces/{CANARY}", f"/{CANARY}"),
    ]
    for path in pages:
        _, text = await olga.get(path)
        for name, inside in re.findall(r"<(script|img|svg)\b([^>]*)", text):
            assert not re.search("canary|onerror|onload", inside), (path, name)
        assert "<script>" not in text, path


async def test_the_pages_on_a_host_let_in_whom_its_rules_let_in(office: Office) -> None:
    ops = f"http://ops.example.com:{office.gateway.port}"
    nobody, bob, olga = [await office.visitor() for _ in range(3)]
    assert await office.get(nobody, "/people", ops) == 302
    assert await office.get(nobody, "/static/admin.css", ops) == 302
    async with bob.get(f"{ops}/@/signin?login_hint=bob&rd=/people", headers=NAVIGATION) as answer:
        assert answer.status == 403
    await office.sign_in(olga, "ops", ops)
    async with olga.get(f"{ops}/people?text=bob", headers=NAVIGATION) as answer:
        text = await answer.text()
        assert answer.status == 200
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    [user_id] = set(re.findall(r'href="/people/([\w-]{22})"', text))
    # No API there, nor a way in by a token.
    assert await office.get(olga, "/api/v1/users", ops) == 404
    async with olga.get(f"{ops}/people/{user_id}", headers=NAVIGATION) as answer:
        found = _FORM_TOKEN.search(await answer.text())
    assert found
    for origin, status in (("http://evil.example", 403), (office.url, 403), (ops, 303)):
        fields, headers = {"form_token": unescape(found[1])}, {"Origin": origin}
        url = f"{ops}/people/{user_id}/block"
        async with olga.post(url, data=fields, headers=headers, allow_redirects=False) as answer:
            assert (origin, answer.status) == (origin, status)


async def test_what_is_live_ends_with_the_sign_in(office: Office) -> None:
    olga = await operator(office)
    path = f"/people/{await olga.id_of('ops')}"
    token = await olga.form_token(path)
    async with olga.session.get(
        f"{office.url}/traffic/live", headers={"Accept": "text/event-stream"}
    ) as stream:
        assert stream.status == 200
        first = await stream.content.readuntil(b"\n\n")
        assert json.loads(first.removeprefix(b"data: ")) == []
        assert (await olga.post(f"{path}/sign-out", {"form_token": token}))[0] == 303
        await stream.content.read()  # its end
    assert (await olga.get("/people"))[0] == 302
