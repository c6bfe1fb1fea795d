"""Two organisations that name one issuer, with the same people there: neither's provider signs in a person of the other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.real.house import CONFIGURATION, House, build
from tests.real.openid import client
from vestibule.admin_link import TIMEOUT_S, Link

pytestmark = pytest.mark.real

ROUTES = """  route "/acme/" {
    access {
      allow = ["org:acme"]
    }
  }
  route "/beta/" {
    access {
      allow = ["org:beta"]
    }
  }
  route "/mail/" {
    access {
      allow = ["email:alice@example.com"]
    }
  }
  route "/open/" {"""


@pytest.fixture
async def house(ports, api, openid, gateway) -> House:
    text = CONFIGURATION.replace('  route "/open/" {', ROUTES)
    text = text.replace('sign_in = ["op"]', 'sign_in = ["op", "*"]')
    text = text.replace("gateway {\n", 'gateway {\n  fetch_allow = ["127.0.0.0/8"]\n', 1)
    return await build(ports=ports, api=api, openid=openid, gateway=gateway, configuration=text)


@pytest.fixture
def admin(house: House, openid) -> Link:
    """Both organisations; the domain of all addresses is the first one's."""
    names = ("acme", "beta")
    provider = openid(*(client(name, f"{house.origin}/@{name}.op/callback") for name in names))
    link = Link(f"unix:{house.gateway.directory / 'state' / 'admin.sock'}", timeout_s=TIMEOUT_S)
    for name in names:
        settings: dict[str, Any] = {
            "client_id": name,
            "client_secret": f"{name}-secret",
            "issuer_url": provider.issuer,
            "scopes": ["openid", "email", "profile"],
        }
        link.call("POST", "/orgs", {"slug": name, "name": name.title()})
        document = {
            "id": f"{name}.op",
            "provider_type": "oidc",
            "email_domains": ["example.com"],
            "openid_config": settings,
        }
        link.call("POST", f"/orgs/{name}/identity-providers", document)
    link.call("POST", "/orgs/acme/domains", {"domain": "example.com"})
    link.call("POST", "/orgs/acme/domains/example.com/confirm")
    return link


async def test_the_same_account_at_the_same_issuer_is_two_people(house, admin):
    async with house.browser() as own, house.browser() as other:
        assert (await own.get("/@acme.op/signin?login_hint=alice&rd=/", follow=True)).status == 200
        assert (await other.get("/@beta.op/signin?login_hint=alice&rd=/", follow=True)).status == 200
        theirs, others = await own.who(), await other.who()
        assert theirs is not None
        assert others is not None
        assert theirs["user"]["id"] != others["user"]["id"]
        assert (theirs["user"]["email"], others["user"]["email"]) == ("alice@example.com", "")
        assert [(await own.get(path)).status for path in ("/acme/", "/beta/", "/mail/")] == [200, 403, 200]
        assert [(await other.get(path)).status for path in ("/acme/", "/beta/", "/mail/")] == [403, 200, 403]
        # Whatever else they were made a member of: who comes by a provider of one is of that one.
        admin.call("PUT", f"/orgs/acme/members/{others['user']['id']}", {"roles": ["admin"]})
        assert (await other.get("/acme/")).status == 403
        # Who is taken out is out at the next request, also with the session by the organisation's own provider.
        admin.call("DELETE", f"/orgs/acme/members/{theirs['user']['id']}")
        assert [(await own.get(path)).status for path in ("/acme/", "/mail/")] == [403, 200]
        assert (await own.get("/@acme.op/signin?login_hint=alice&rd=/", follow=True)).status == 200
        assert (await own.get("/acme/")).status == 200


async def test_the_page_lists_none_and_finds_them_by_link_and_address(house, admin):
    del admin
    async with house.browser() as browser:
        page = await browser.get("/@/signin")
        assert page.status == 200
        assert "/@op/signin" in page.text
        assert "/@acme." not in page.text
        assert "/@beta." not in page.text
        assert 'name="login_hint"' in page.text
        found = await browser.get("/@/signin?find=1&login_hint=ann%40example.com")
        assert (found.status, "/@acme.op/signin" in found.text, "/@beta." in found.text) == (200, True, False)
        unknown = await browser.get("/@/signin?find=1&login_hint=ann%40nobody.example")
        assert (unknown.status, "/@acme." in unknown.text) == (200, False)
        led = await browser.get("/@/signin?org=beta&rd=/")
        assert led.status in (302, 303)
        assert led.location.query["client_id"] == "beta"
