"""The admin pages that manage something, as an operator uses them: clicks in Chromium, and what people get by them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.axe import barriers
from tests.browser.managed import NARROW, TOO_WIDE, WIDE, Desk, Managed, manage, operator
from tests.ports import Ports
from vestibule.admin_client import AdminClient
from vestibule.errors import VestibuleError
from vestibule.model import Secret

pytestmark = [pytest.mark.browser, pytest.mark.real]


@pytest.fixture
def managed(openid, gateway, ports: Ports) -> Managed:
    return manage(openid, gateway, ports)


@pytest.fixture
async def desk(browser: Browser, managed: Managed) -> AsyncIterator[Desk]:
    desk = await operator(browser, managed)
    yield desk
    assert [line for line in desk.complaints.heard if "Failed to load resource" not in line] == []
    await desk.context.close()


async def said(page: Page, text: str) -> None:
    await expect(page.get_by_role("status").filter(has_text=text)).to_be_visible()


def rewrite(managed: Managed, *changes: tuple[str, str]) -> None:
    """Other text in the gateway's file, which must be there."""
    text = managed.gateway.file.read_text("utf-8")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    managed.gateway.file.write_text(text, "utf-8")


async def add_desk(page: Page, managed: Managed) -> None:
    """The provider is added by its form, and stands at its page."""
    await page.goto(f"{managed.admin}/new-provider?type=oidc")
    await page.get_by_label("ID optional").first.fill("desk")
    await page.get_by_label("E-mail domains").fill("example.com")
    await page.get_by_label("Title").fill("The desk")
    await page.get_by_label("Issuer").fill(managed.provider.issuer)
    await page.get_by_label("Client ID", exact=True).fill("desk")
    await page.get_by_label("Client secret").fill("desk-secret")
    await page.get_by_role("button", name="Add it").click()
    await said(page, "The desk is added.")


async def come(browser: Browser, managed: Managed, button: str, person: str) -> Page:
    """Somebody at the app, who signs in by this button."""
    context = await browser.new_context(locale="en-GB")
    page = await context.new_page()
    await page.goto(f"{managed.app}/hello")
    await page.get_by_role("link", name=button).click()
    await page.get_by_role("link", name=person).click()
    return page


async def test_a_provider_is_added_tried_out_and_offered_and_an_invited_person_comes_by_it(
    browser: Browser, managed: Managed, desk: Desk
) -> None:
    page = await desk.open("/providers")
    await page.get_by_role("link", name="Add a provider").click()
    await page.get_by_role("link", name="OpenID Connect").click()

    # A form with something wrong: told at its field, and nothing typed is lost but the secret.
    await page.get_by_label("ID optional").first.fill("desk")
    await page.get_by_label("E-mail domains").fill("example.com\nbob@")
    await page.get_by_label("Title").fill("The desk")
    await page.get_by_label("Issuer").fill(managed.provider.issuer)
    await page.get_by_label("Client ID", exact=True).fill("desk")
    await page.get_by_label("Client secret").fill("desk-secret")
    await page.get_by_role("button", name="Add it").click()
    domains = page.get_by_label("E-mail domains")
    await expect(domains).to_have_attribute("aria-invalid", "true")
    await expect(domains).to_have_accessible_description(re.compile("line 2: is no bare domain"))
    await expect(page.get_by_label("Issuer")).to_have_value(managed.provider.issuer)
    await expect(page.get_by_label("Client secret")).to_have_value("")
    assert await barriers(page) == []
    await domains.fill("example.com")
    await page.get_by_label("Client secret").fill("desk-secret")
    await page.get_by_text("Everything else").click()
    await page.get_by_label("Scopes").fill("openid profile\nemail, groups")
    await page.get_by_role("button", name="Add it").click()
    await said(page, "The desk is added. Try it out, then offer it to people.")

    # Tried out: what was found, and what is to be registered.
    await page.get_by_role("button", name="Try it out").click()
    await expect(page.get_by_text("all is well")).to_be_visible()
    await expect(page.get_by_text("client credentials", exact=True)).to_be_visible()
    await expect(page.get_by_text(f"{managed.app}/@desk/callback").first).to_be_visible()
    assert await barriers(page) == []
    await page.get_by_role("button", name="Offer it to people").click()
    await said(page, "The desk is offered to people now.")

    # Bob, whom nobody has invited, and then somebody has.
    bob = await come(browser, managed, "The desk", "bob")
    await expect(bob.get_by_role("heading", level=1)).to_have_text("By invitation only")
    await bob.context.close()
    page = await desk.open("/invitations")
    await page.get_by_role("link", name="Invite somebody").click()
    await page.get_by_label("E-mail address").fill("bob@example.com")
    await page.get_by_label("Note").fill("new colleague")
    await page.get_by_label("Good for so many days").fill("many")
    await page.get_by_role("button", name="Invite").click()
    await expect(page.get_by_text("is a number of days")).to_be_visible()
    await expect(page.get_by_label("Note")).to_have_value("new colleague")
    await page.get_by_label("Good for so many days").fill("3")
    await page.get_by_role("button", name="Invite").click()
    await said(page, "bob@example.com is invited")
    bob = await come(browser, managed, "The desk", "bob")
    await expect(bob.get_by_text("bob@example.com").first).to_be_visible()
    await bob.context.close()
    page = await desk.open("/invitations?state=used")
    await expect(page.get_by_role("row").filter(has_text="bob@example.com")).to_contain_text("used")

    # Why he may not go where admins may.
    page = await desk.open("/hosts")
    await page.get_by_role("link", name="Explain a decision at app.localhost/admin/").click()
    await page.get_by_label("As whom").fill("bob@example.com")
    await page.get_by_role("button", name="Explain").click()
    await expect(page.get_by_role("heading", name="It is refused.")).to_be_visible()
    rule = page.get_by_role("row").filter(has_text="group:admins")
    await expect(rule).to_contain_text("fails")
    await expect(rule).to_contain_text("staff, all")
    await expect(rule).to_contain_text("have admins among one's groups")
    await expect(rule).to_contain_text("vestibule.hcl:")
    assert await barriers(page) == []

    # The trail has all of it, with what was before and after.
    page = await desk.open("/audit")
    for action in ("provider.created", "provider.enabled", "invitation.created", "session.created"):
        await expect(page.get_by_role("link", name=action, exact=True).first).to_be_visible()
    await page.get_by_role("combobox", name="What").fill("provider.enabled")
    await page.get_by_role("button", name="Show").click()
    await page.get_by_role("link", name="provider.enabled", exact=True).click()
    changed = page.get_by_role("row").filter(has=page.get_by_text("enabled", exact=True))
    await expect(changed).to_contain_text("no")
    await expect(changed).to_contain_text("yes")
    await expect(page.get_by_role("main").get_by_text("token operator")).to_be_visible()
    assert await barriers(page) == []
    await page.get_by_role("link", name="Audit").last.click()
    await page.get_by_role("link", name="Verify").click()
    await expect(page.get_by_text("Every row is what was written")).to_be_visible()
    await page.get_by_role("link", name="Audit").last.click()
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Export").click()
    copy = await (await downloading.value).path()
    assert '"provider.enabled"' in copy.read_text("utf-8")


async def test_a_token_is_made_shown_once_used_and_revoked(managed: Managed, desk: Desk) -> None:
    page = await desk.open("/tokens")
    await page.get_by_role("link", name="Make a token").click()
    await page.get_by_label("Name").fill("dashboard")
    await page.get_by_role("button", name="Make it").click()
    await expect(page.get_by_text("tick at least one")).to_be_visible()
    await expect(page.get_by_label("Name")).to_have_value("dashboard")
    assert await barriers(page) == []
    await page.get_by_label("audit:read").check()
    await page.get_by_role("button", name="Make it").click()
    await expect(page.get_by_text("It is shown this once")).to_be_visible()
    assert await barriers(page) == []
    token = await page.locator(".secret code").inner_text()

    program = AdminClient(managed.admin, Secret(token))
    assert next(iter(program.audit())).action == "token.created"
    with pytest.raises(VestibuleError, match="users:read"):
        list(program.users())
    await page.get_by_role("link", name="I have it").click()
    assert token not in await page.content()
    await page.get_by_role("link", name="Revoke dashboard").click()
    assert await barriers(page) == []
    await page.get_by_role("button", name="Revoke it").click()
    await said(page, "The token dashboard is revoked.")
    with pytest.raises(VestibuleError, match="revoked"):
        list(program.audit())


async def test_a_token_that_a_person_made_is_found_and_revoked(
    browser: Browser, managed: Managed, desk: Desk
) -> None:
    managed.client.invite(email="alice@example.com")
    alice = await (await browser.new_context(locale="en-GB")).new_page()
    await alice.goto(f"{managed.app}/@/account")
    await alice.get_by_role("link", name="alice").click()
    await alice.get_by_role("link", name="Make an app token").click()
    await alice.get_by_label("Name").fill("laptop")
    await alice.get_by_role("button", name="Make the token").click()
    await expect(alice.get_by_role("heading", name="Your app token")).to_be_visible()
    await alice.context.close()

    page = await desk.open("/app-tokens")
    await page.get_by_label("Name, login or address of a person").fill("alice@")
    await page.get_by_role("button", name="Find").click()
    await expect(page.get_by_role("row").filter(has_text="laptop")).to_contain_text("app.localhost")
    assert await barriers(page) == []
    await page.get_by_role("link", name="Revoke laptop").click()
    assert await barriers(page) == []
    await page.get_by_role("button", name="Revoke it").click()
    await said(page, "The token laptop of alice@example.com is revoked.")
    await expect(page.get_by_text("No app tokens.")).to_be_visible()


async def test_two_who_change_a_provider_lose_nothing(browser: Browser, managed: Managed, desk: Desk) -> None:
    page = desk.page
    await add_desk(page, managed)
    await page.get_by_role("link", name="Change").click()
    managed.client.update_provider("desk", {"title": "Their desk"})
    await page.get_by_label("Title").fill("My desk")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_contain_text("Somebody has changed it")
    title = page.get_by_label("Title")
    await expect(title).to_have_value("My desk")
    await expect(title).to_have_accessible_description(re.compile("There now: Their desk"))
    assert await barriers(page) == []
    assert managed.client.provider("desk")["title"] == "Their desk"
    await page.get_by_role("button", name="Save").click()
    await said(page, "My desk is changed.")
    kept = managed.client.provider("desk")
    assert (kept["title"], kept["secrets"]) == ("My desk", ["openid_config.client_secret"])


async def test_a_provider_is_deleted_by_who_types_its_id(managed: Managed, desk: Desk) -> None:
    page = desk.page
    await add_desk(page, managed)
    await page.get_by_role("link", name="Delete").click()
    await page.get_by_label("Type its ID").fill("dask")
    await page.get_by_role("button", name="Delete it").click()
    await expect(page.get_by_text("To delete it, type its ID: desk")).to_be_visible()
    await page.get_by_label("Type its ID").fill("desk")
    await page.get_by_role("button", name="Delete it").click()
    await said(page, "The desk is deleted.")
    assert [one["id"] for one in managed.client.providers()] == ["files"]


async def test_log_levels_are_turned_while_it_runs(managed: Managed, desk: Desk) -> None:
    page = await desk.open("/log")
    await page.get_by_label("proxy").select_option("debug")
    await page.get_by_role("button", name="Set").click()
    await said(page, "proxy: debug")
    assert managed.client.levels().components["proxy"] == "debug"
    await page.get_by_label("proxy").select_option("as all")
    await page.get_by_role("button", name="Set").click()
    await said(page, "proxy: as all others")
    assert managed.client.levels().components["proxy"] == ""


async def test_a_message_nobody_took_is_tried_again_or_thrown_away(managed: Managed, desk: Desk) -> None:
    managed.bury("evt_first", "evt_second")
    page = await desk.open("/dead-letters")
    first = page.get_by_role("row").filter(has_text="evt_first")
    await expect(first).to_contain_text("answered 503")
    assert await barriers(page) == []
    await first.get_by_role("link", name="Throw away: keys.rotated for ops").click()
    assert await barriers(page) == []
    await page.get_by_role("button", name="Throw it away").click()
    await said(page, "The message to ops is thrown away.")
    await page.get_by_role("button", name="Try again: keys.rotated for ops").click()
    await said(page, "The message to ops is tried again, for another day.")
    await expect(page.get_by_text("There is none")).to_be_visible()
    actions = [one.action for one in managed.client.audit()][:2]
    assert actions == ["message.retried", "message.discarded"]


async def test_what_the_files_say_now_is_shown_and_then_put_in_force(managed: Managed, desk: Desk) -> None:
    page = await desk.open("/configuration")
    await expect(page.get_by_text('client_secret = "***"')).to_be_visible()
    assert "files-secret" not in await page.content()
    rewrite(managed, ("group:admins", "group:owners"), ("files-secret", "other-secret"))
    await page.get_by_role("link", name="What would change").click()
    await expect(page.locator("pre .removed").filter(has_text="group:admins")).to_be_visible()
    await expect(page.locator("pre .added").filter(has_text="group:owners")).to_be_visible()
    await expect(page.locator("pre .added").filter(has_text='"***" (changed)')).to_be_visible()
    assert [word for word in ("files-secret", "other-secret") if word in await page.content()] == []
    assert await barriers(page) == []
    await page.get_by_role("button", name="Put it in force").click()
    await said(page, "In force (changed: provider files, host app.localhost).")
    await expect(page.get_by_text("group:owners")).to_be_visible()
    assert await barriers(page) == []
    assert next(iter(managed.client.audit())).action == "configuration.reloaded"


async def test_files_with_faults_are_told_with_their_lines_and_change_nothing(
    managed: Managed, desk: Desk
) -> None:
    rewrite(managed, ("group:admins", "group:owners"))
    page = await desk.open("/configuration/difference")
    rewrite(managed, ("sign_in ", "sing_in "))
    await page.get_by_role("button", name="Put it in force").click()
    await expect(page.get_by_role("alert").first).to_contain_text("look at the difference again")
    faults = page.get_by_role("alert").filter(has_text="can’t be put in force")
    await expect(faults).to_contain_text("there is no attribute `sing_in`")
    await expect(faults).to_contain_text(f"{managed.gateway.file}:18:")
    await expect(page.get_by_role("button", name="Put it in force")).to_have_count(0)
    assert await barriers(page) == []
    await desk.open("/configuration")
    await expect(page.get_by_text("group:admins")).to_be_visible()


async def test_nothing_is_put_in_force_but_what_was_looked_at(managed: Managed, desk: Desk) -> None:
    rewrite(managed, ("group:admins", "group:owners"))
    page = await desk.open("/configuration/difference")
    rewrite(managed, ("group:owners", "group:others"))
    await page.get_by_role("button", name="Put it in force").click()
    await expect(page.get_by_role("alert")).to_contain_text("look at the difference again")
    await expect(page.locator("pre .added")).to_contain_text("group:others")
    assert "group:admins" in str(managed.client.configuration())
    await page.get_by_role("button", name="Put it in force").click()
    await said(page, "In force (changed: host app.localhost).")


@pytest.mark.parametrize(
    ("scheme", "viewport"),
    [
        pytest.param("light", WIDE, id="light"),
        pytest.param("dark", WIDE, id="dark"),
        pytest.param("light", NARROW, id="390 px"),
    ],
)
async def test_no_page_is_in_anybodys_way_nor_wider_than_the_window(browser, managed, scheme, viewport):
    client = managed.client
    client.create_provider(
        {
            "id": "desk",
            "provider_type": "oidc",
            "email_domains": ["example.com"],
            "openid_config": {
                "client_id": "desk",
                "client_secret": "desk-secret",
                "issuer": managed.provider.issuer,
                "claims": {"groups": "groups"},
            },
        }
    )
    invitation = client.invite(email="bob@example.com", note="A" * 90)
    client.invite(issuer="https://issuer.example", subject="s" * 60)
    token = client.create_token("deploy", 86400, scopes=("users:read", "audit:read"))
    managed.bury("evt_first")
    paths = [
        "/providers",
        "/new-provider",
        "/new-provider?type=apple",
        "/providers/desk",
        "/providers/files",
        "/providers/desk/edit",
        "/providers/desk/disable",
        "/providers/desk/delete",
        "/invitations?state=all",
        "/invitations/new?by=account",
        f"/invitations/{invitation.id}/withdraw",
        "/hosts",
        f"/explain?url={managed.app}/admin/",
        "/tokens",
        "/tokens/new",
        f"/tokens/{token.id}/revoke",
        "/app-tokens",
        "/machine-keys",
        "/machine-keys/new",
        "/held",
        "/certificates",
        "/audit",
        "/configuration",
        "/configuration/difference",
        "/log",
        "/dead-letters",
        "/audit/verify",
    ]
    desk = await operator(browser, managed, color_scheme=scheme, viewport=viewport)
    found = {}
    for path in paths:
        page = await desk.open(path)
        await expect(page.locator(".reference")).to_have_count(0)
        wide = await page.evaluate(TOO_WIDE)
        found[path] = [*await barriers(page), *(["wider than the window"] if wide else [])]
        if details := page.locator("details.fold"):
            for one in await details.all():
                await one.locator("summary").click()
            found[path] += await barriers(page)
    assert {path: lines for path, lines in found.items() if lines} == {}
    assert desk.complaints.heard == []
    await desk.context.close()


async def test_all_of_it_works_without_scripts(browser: Browser, managed: Managed) -> None:
    desk = await operator(browser, managed, java_script_enabled=False)
    page = desk.page
    await add_desk(page, managed)
    await page.get_by_role("button", name="Try it out").click()
    await expect(page.get_by_text("all is well")).to_be_visible()
    await expect(page.get_by_role("button", name="Copy")).to_have_count(0)
    await page.get_by_role("button", name="Offer it to people").click()
    await page.get_by_role("link", name="Switch off").click()
    await page.get_by_role("button", name="Switch it off").click()
    await said(page, "The desk is switched off.")
    await desk.context.close()
