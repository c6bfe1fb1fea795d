"""The admin pages that manage something, against who means harm: other sites, tokens of little scope, texts of others."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from html import unescape
from typing import Any

import aiohttp
import pytest

from tests.ports import Ports
from vestibule.admin_client import AdminClient
from vestibule.web.admin.table import MANAGING

pytestmark = pytest.mark.real

HCL = """
gateway {
  http = ["127.0.0.1:{port}"]
}
admin {
  listen = "127.0.0.1:ADMIN"
}
host "localhost" {
  backend = "internal:echo"
  sign_in = ["*"]
  access {
    allow = ["anyone"]
  }
}
"""
CANARY = """x'"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"""
OKTA: dict[str, Any] = {
    "id": "okta",
    "provider_type": "oidc",
    "title": CANARY,
    "email_domains": ["example.com"],
    "openid_config": {
        "client_id": CANARY,
        "client_secret": "hunter2-of-okta",
        "issuer_url": "https://example.okta.com",
        "allowed_groups": [CANARY],
        "claims": {"name": CANARY},
    },
}
_TOKEN_RE = re.compile(r'name="form_token" value="([^"]*)"')


class Visitor:
    """A browser at the pages, as far as requests go."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self.base = base
        self._session = session

    async def get(self, path: str) -> tuple[int, str]:
        """Status and page."""
        async with self._session.get(self.base + path, allow_redirects=False) as answer:
            return answer.status, await answer.text()

    async def form_token(self, path: str) -> str:
        """Of a form on that page."""
        _, text = await self.get(path)
        found = _TOKEN_RE.search(text)
        return unescape(found[1]) if found else ""

    async def post(self, path: str, fields: Mapping[str, str], **headers: str) -> tuple[int, str]:
        """A form of this site, unless the headers say otherwise."""
        usual = {"Origin": self.base, "Sec-Fetch-Site": "same-origin"}
        sent = usual | {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.post(
            self.base + path, data=fields, headers=sent, allow_redirects=False
        ) as answer:
            return answer.status, await answer.text()

    async def sign_in(self, token: str) -> None:
        """By a token."""
        fields = {"form_token": await self.form_token("/sign-in"), "token": token}
        status, text = await self.post("/sign-in", fields)
        assert status == 303, text


class Pages:
    """A gateway with its admin pages."""

    def __init__(self, base: str, client: AdminClient) -> None:
        self.base = base
        self.client = client
        self._sessions: list[aiohttp.ClientSession] = []

    async def visitor(self, *scopes: str) -> Visitor:
        """Somebody signed in by a token with these scopes; none: everything."""
        session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        self._sessions.append(session)
        visitor = Visitor(self.base, session)
        await visitor.sign_in(self.client.create_token("visitor", scopes=scopes).token or "")
        return visitor

    async def close(self) -> None:
        """All leave."""
        for session in self._sessions:
            await session.close()


@pytest.fixture
async def pages(gateway, ports: Ports) -> AsyncIterator[Pages]:
    admin = ports.take()
    running = gateway(HCL.replace("ADMIN", str(admin)))
    client = AdminClient(f"unix:{running.directory / 'state' / 'admin.sock'}")
    pages = Pages(f"http://127.0.0.1:{admin}", client)
    yield pages
    await pages.close()


def kept(client: AdminClient) -> tuple[Any, ...]:
    """All that a form could have changed."""
    return (
        [dict(one) for one in client.providers()],
        sorted(one.id for one in client.invitations()),
        sorted(one.id for one in client.tokens()),
        client.levels(),
    )


def posts(client: AdminClient) -> dict[str, str]:
    """Every address that changes something, with what there is in its places."""
    client.create_provider(OKTA)
    invitation = client.invite(email="bob@example.com", note=CANARY)
    token = client.create_token(CANARY, scopes=("audit:read",))
    ids = {"providers": "okta", "invitations": invitation.id, "tokens": token.id}
    found = {}
    for path, handlers in MANAGING.items():
        if "POST" in handlers:
            noun = path.split("/")[1]
            found[path] = re.sub(r"\{\w+\}", ids.get(noun, "none"), path)
    return found


FIELDS = {
    "provider_type": "github",
    "typed": "okta",
    "email": "eve@example.com",
    "by": "email",
    "name": "eve",
    "kind": "all",
    "level.level": "debug",
    "email_domains": "example.com",
    "client_id": "Iv1",
    "title": "Eve",
}


async def test_no_form_but_one_that_was_shown_to_this_very_person_changes_anything(pages: Pages) -> None:
    paths = posts(pages.client)
    owner, other = await pages.visitor(), await pages.visitor()
    others = await other.form_token("/tokens/new")
    own = await owner.form_token("/tokens/new")
    before = kept(pages.client)
    for path in paths.values():
        for token in ("", others, own[:-2], "AAAA"):
            status, _ = await owner.post(path, {**FIELDS, "form_token": token})
            assert status == 403, (path, token)
        for headers in (
            {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
            {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
            {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        ):
            status, _ = await owner.post(path, {**FIELDS, "form_token": own}, **headers)
            assert status == 403, (path, headers)
    assert kept(pages.client) == before


async def test_who_may_only_read_sees_no_button_and_changes_nothing(pages: Pages) -> None:
    paths = posts(pages.client)
    reader = await pages.visitor(
        "users:read", "providers:read", "audit:read", "traffic:read", "configuration:read"
    )
    offered = {}
    for path in ("/providers", "/providers/okta", "/invitations", "/hosts", "/audit", "/log", "/app-tokens"):
        status, text = await reader.get(path)
        assert status == 200, (path, text)
        main = text.partition("<main")[2]
        words = (
            "Add a provider",
            "Try it out",
            "Change<",
            "Switch off",
            "Delete<",
            "Invite",
            "Withdraw",
            ">Set<",
        )
        offered[path] = [word for word in words if word in main]
    assert {path: words for path, words in offered.items() if words and words != ["Invite"]} == {}
    assert "Invite somebody" not in (await reader.get("/invitations"))[1]
    token = await reader.form_token("/log")
    before = kept(pages.client)
    for path in paths.values():
        status, text = await reader.post(path, {**FIELDS, "form_token": token})
        assert status in {403, 404}, (path, status, text)
    assert kept(pages.client) == before


@pytest.mark.parametrize(
    "path", ["/providers", "/invitations", "/tokens", "/audit", "/configuration", "/hosts"]
)
async def test_what_a_token_has_no_scope_for_it_sees_nothing_of(pages: Pages, path: str) -> None:
    visitor = await pages.visitor("sessions:introspect")
    status, text = await visitor.get(path)
    assert status == 403
    assert "lacks the scope" in text


async def test_a_token_makes_none_that_may_do_more_than_itself(pages: Pages) -> None:
    visitor = await pages.visitor("tokens:write", "audit:read")
    status, text = await visitor.get("/tokens/new")
    assert status == 200
    assert 'value="all"' not in text
    assert 'value="users:write"' not in text
    token = await visitor.form_token("/tokens/new")
    for fields in ({"kind": "all"}, {"kind": "scoped", "scopes": "users:write"}):
        status, text = await visitor.post("/tokens/new", {"form_token": token, "name": "more", **fields})
        assert status == 403
        assert "vst_admin_" not in text.partition("<main")[2]
    assert "more" not in [one.name for one in pages.client.tokens()]


async def test_texts_of_others_are_shown_as_texts_wherever_they_stand(pages: Pages) -> None:
    posts(pages.client)
    pages.client.update_provider("okta", {"openid_config": {"allowed_groups": [CANARY, "more"]}})
    owner = await pages.visitor()
    for path in (
        "/providers",
        "/providers/okta",
        "/providers/okta/edit",
        "/providers/okta/disable",
        "/providers/okta/delete",
        "/invitations?state=all",
        "/tokens",
        "/hosts",
        "/audit",
        *[f"/audit/{one.id}?at={one.at}".replace("+", "%2B") for one in pages.client.audit()][:8],
        "/explain?url=" + "http://localhost/%3Cscript%3Ealert(1)%3C/script%3E",
        "/invitations?email=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "/audit?actor=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "/app-tokens?text=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
    ):
        status, text = await owner.get(path)
        assert status in {200, 422}, (path, text)
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path
        assert "x49" not in text, path
        assert "hunter2" not in text, path
    assert "&lt;script&gt;alert(1)" in (await owner.get("/providers/okta"))[1]


async def test_a_secret_is_never_shown_again_not_even_to_who_has_just_typed_it(pages: Pages) -> None:
    owner = await pages.visitor()
    token = await owner.form_token("/new-provider?type=oidc")
    fields = {
        "form_token": token,
        "provider_type": "oidc",
        "email_domains": "b@",
        "client_id": "typed-and-kept",
        "client_secret": "hunter2-typed",
        "private_key": "hunter2-key",
    }
    status, text = await owner.post("/new-provider", fields)
    assert status == 422
    assert "typed-and-kept" in text
    assert "hunter2" not in text


async def test_a_change_that_leads_a_secret_elsewhere_is_told_at_the_secret(pages: Pages) -> None:
    pages.client.create_provider({**OKTA, "title": "Okta"})
    owner = await pages.visitor()
    _, form = await owner.get("/providers/okta/edit")
    fields = {
        "form_token": await owner.form_token("/providers/okta/edit"),
        "version": re.findall(r'name="version" value="(\d+)"', form)[0],
        "enabled": "yes",
        "title": "Okta",
        "email_domains": "example.com",
        "client_id": "other",
        "issuer": "https://elsewhere.example.com",
    }
    status, text = await owner.post("/providers/okta/edit", fields)
    assert status == 422
    assert "must be written again" in text
    kept_url = pages.client.provider("okta")["openid_config"]["issuer_url"]
    assert kept_url == "https://example.okta.com"
