"""Providers of the database beside those of the configuration: in force at once, and never at each other's cost."""

from __future__ import annotations

import io
import json
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.unit.service.conftest import Away
from vestibule.config.row import read_row, section_of
from vestibule.core.domain import Domain
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, RouteTable, routes_of
from vestibule.core.rule import Rule
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import Conflict, Invalid, NotFound, ProviderUnavailable
from vestibule.model import Secret
from vestibule.observe.log import Log
from vestibule.providers.base import Finding
from vestibule.providers.google import GoogleConfig
from vestibule.providers.oidc import OidcConfig
from vestibule.service import registry
from vestibule.service.offer import Offer
from vestibule.service.registry import Registry
from vestibule.store.base import ProviderRow

RING = KeyRing((Key("k1", b"k" * 32),))
GOOGLE = GoogleConfig(name="google", client_id="id-1", client_secret=Secret("hunter2"))
INSIDE = OidcConfig(name="closed.example/corp", client_id="id-2", issuer="https://corp.example")


def host(name: str, clients: dict[str, str], *, takes_more: bool, base_url: str = "") -> Host:
    sign_in = frozenset(clients.values())
    deny = (Rule(kind="group", value="okta/bad", text="group:okta/bad"),)
    policy = policy_of(allow=(Rule(kind="anyone", text="anyone"),), deny=deny, sign_in=sign_in)
    routes, depth = routes_of(
        Route(prefix=prefix, backend=Backend(internal="echo"), policy=policy) for prefix in (b"", b"/admin")
    )
    return Host(
        name=name.encode(),
        title=name,
        clients=clients,
        sign_in=tuple(clients.values()),
        takes_more=takes_more,
        base_url=base_url,
        routes=routes,
        depth=depth,
    )


OPEN = host("open.example", {"google": "google"}, takes_more=True, base_url="https://open.example")
CLOSED = host("closed.example", {"corp": "closed.example/corp"}, takes_more=False)


def okta(**more: Any) -> dict[str, Any]:
    return {
        "id": "okta",
        "provider_type": "oidc",
        "email_domains": ["example.com"],
        "openid_config": {
            "client_id": "id-3",
            "client_secret": "swordfish",
            "issuer": "https://okta.example",
        },
        **more,
    }


def github(**more: Any) -> dict[str, Any]:
    return {
        "provider_type": "github",
        "email_domains": ["example.com"],
        "github_config": {"client_id": "id-4", "client_secret": "swordfish", "allowed_orgs": ["a"]},
        **more,
    }


class Probing:
    """A driver that answers every flow with one finding, or an error."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.trusted: list[bool] = []

    async def run(self, flow, *, trusted=True, about=""):
        flow.close()
        self.trusted.append(trusted)
        if self.error is not None:
            raise self.error
        return (Finding(what="keys", ok=True),)


class Desk:
    """A registry, and what it hands on."""

    def __init__(self, store, *, ring: KeyRing = RING, hosts: tuple[Host, ...] = (OPEN, CLOSED)) -> None:
        self.rows = Away(store.identity_providers)
        self.offers: list[Offer] = []
        self.ended: list[str] = []
        self.log_text = io.StringIO()
        self.driver = Probing()
        self.at = 1_800_000_000.0
        configs = {"google": GOOGLE, "closed.example/corp": INSIDE}
        self.registry = Registry(
            rows=self.rows,
            keys=ring,
            driver=self.driver,
            table=RouteTable(hosts),
            configs=configs,
            providers={name: config.open() for name, config in configs.items()},
            use=self.offers.append,
            end_sessions=self.end_sessions,
            log=Log(self.log_text, now=lambda: self.at),
            base_urls=lambda host: (host.base_url or f"http://{host.name.decode()}:8000",),
            now=lambda: self.at,
        )

    async def end_sessions(self, client: str) -> None:
        """Whose sessions the registry has had ended."""
        self.ended.append(client)

    @property
    def ids(self) -> list[str]:
        """Who signs people in at the open host now."""
        return list(self.offers[-1].table.hosts[b"open.example"].sign_in)

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_text.getvalue().splitlines()]

    async def edit(self, provider_id: str, **fields: Any) -> None:
        """What somebody does in SQL."""
        row = await self.rows.get(provider_id)
        await self.rows.update(msgspec.structs.replace(row, **fields), row.version)


@pytest.fixture
def desk(store) -> Desk:
    return Desk(store)


# -- in force ---------------------------------------------------------------------------------


async def test_what_is_created_is_in_force_on_return(desk):
    shown = await desk.registry.create(okta(title="Work"))
    assert (shown.id, shown.title, shown.source, shown.faults) == ("okta", "Work", "database", ())
    assert desk.ids == ["google", "okta"]
    offer = desk.offers[-1]
    assert offer.providers["okta"].is_trusted is False
    open_host, closed = offer.table.hosts[b"open.example"], offer.table.hosts[b"closed.example"]
    assert open_host.clients == {"google": "google", "okta": "okta"}
    assert all("okta" in route.policy.sign_in for route in open_host.routes.values())
    assert closed == CLOSED
    assert desk.registry.offer is offer


async def test_a_host_knows_what_its_rows_are_and_which_claims_they_keep(desk):
    """By which backends are told of people in other products' names."""
    document = okta()
    document["openid_config"]["claims"] = {"groups": "groups", "team": "app.team"}
    await desk.registry.create(document)
    await desk.registry.create(github())
    found = desk.offers[-1].table.hosts[b"open.example"]
    assert (found.kinds, found.kept_claims) == ({"okta": "oidc", "github": "github"}, ("team",))


async def test_a_rule_finds_the_provider_it_names_once_that_is_there(desk):
    await desk.registry.reload()
    (rule,) = desk.offers[-1].table.hosts[b"open.example"].routes[b"/admin"].policy.deny
    assert (rule.provider, rule.value) == ("", "okta/bad")
    await desk.registry.create(okta())
    (rule,) = desk.offers[-1].table.hosts[b"open.example"].routes[b"/admin"].policy.deny
    assert (rule.provider, rule.value) == ("okta", "bad")


async def test_a_rule_goes_on_to_mean_a_provider_that_is_disabled(desk):
    await desk.registry.create(okta())
    await desk.registry.disable("okta")
    (rule,) = desk.offers[-1].table.hosts[b"open.example"].routes[b"/admin"].policy.deny
    assert (rule.provider, rule.value) == ("okta", "bad")


async def test_disabled_and_deleted_are_out_of_force_on_return(desk):
    await desk.registry.create(okta())
    shown = await desk.registry.disable("okta")
    assert (shown.enabled, shown.document["enabled"]) == (False, False)
    assert desk.ids == ["google"]
    assert "okta" not in desk.offers[-1].providers
    assert (await desk.registry.enable("okta")).enabled
    assert desk.ids == ["google", "okta"]
    await desk.registry.delete("okta")
    assert desk.ids == ["google"]
    with pytest.raises(NotFound):
        await desk.registry.get("okta")


@pytest.mark.parametrize(
    ("patch", "ends"),
    [
        ({"title": "Work"}, False),
        ({"enabled": False}, False),
        ({"openid_config": {"scopes": ["openid"]}}, False),
        ({"openid_config": {"client_secret": "new"}}, False),
        ({"openid_config": {"client_id": "id-4", "client_secret": "s"}}, True),
        ({"openid_config": {"issuer": "https://other.example", "client_secret": "s"}}, True),
        ({"email_domains": ["other.example"]}, True),
        ({"openid_config": {"claims": {"groups": "roles"}}}, True),
    ],
)
async def test_an_id_that_becomes_another_provider_takes_none_of_the_old_ones_people_along(desk, patch, ends):
    await desk.registry.create(okta())
    await desk.registry.patch("okta", patch)
    assert desk.ended == (["okta"] if ends else [])


async def test_the_sessions_of_a_deleted_provider_end(desk):
    await desk.registry.create(okta())
    await desk.registry.delete("okta")
    assert desk.ended == ["okta"]


async def test_rows_stand_in_the_order_in_which_they_came(desk):
    for number, row_id in enumerate(("b", "a", "c")):
        desk.at += number
        await desk.registry.create(
            okta(id=row_id, openid_config={"client_id": row_id, "issuer": "https://x.example"})
        )
    assert desk.ids == ["google", "b", "a", "c"]


async def test_what_another_process_changed_is_seen_by_the_next_look(store, desk):
    other = Desk(store)
    await other.registry.reload()
    await desk.registry.create(okta())
    await other.registry.look()
    assert other.ids == ["google", "okta"]
    count = len(other.offers)
    await other.registry.look()
    assert len(other.offers) == count


async def test_while_the_store_is_away_what_is_known_stays_in_force(desk):
    await desk.registry.create(okta())
    desk.rows.is_away = True
    for _ in range(3):
        await desk.registry.look()
    assert desk.ids == ["google", "okta"]
    assert [line["event"] for line in desk.log] == ["providers_unread"]


async def test_an_unchanged_row_keeps_its_provider(desk):
    await desk.registry.create(okta())
    first = desk.offers[-1].providers["okta"]
    await desk.registry.create(github())
    assert desk.offers[-1].providers["okta"] is first
    await desk.registry.patch("okta", {"title": "Other"})
    assert desk.offers[-1].providers["okta"] is not first


async def test_a_redirect_url_of_a_row_becomes_a_path_of_its_host(desk):
    document = okta()
    document["openid_config"]["redirect_url"] = "open.example/auth"
    shown = await desk.registry.create(document)
    assert shown.redirect_urls == ("https://open.example/auth",)
    assert desk.offers[-1].table.hosts[b"open.example"].callbacks == {b"/auth": ("okta",)}
    await desk.registry.disable("okta")
    assert desk.offers[-1].table.hosts[b"open.example"].callbacks == {}


# -- secrets ----------------------------------------------------------------------------------


async def test_a_row_without_a_secret_shares_its_path_with_nobody(desk):
    """O7: another's code would come back as an answer of a server that anybody names."""
    shared = {"redirect_url": "https://open.example/auth"}
    await desk.registry.create(github(github_config={**github()["github_config"], **shared}))
    me = {"provider_type": "indieauth", "email_domains": ["example.com"], "indieauth_config": shared}
    with pytest.raises(Invalid) as caught:
        await desk.registry.create(me)
    assert "has no secret" in dict(caught.value.faults)["indieauth_config.redirect_url"]
    own = {"redirect_url": "https://open.example/me"}
    await desk.registry.create({**me, "indieauth_config": own})
    # Nor by a way around the check.
    row = await desk.rows.get("indieauth")
    await desk.edit("indieauth", config=row.config.replace("/me", "/auth"))
    await desk.registry.reload()
    assert "indieauth" not in desk.ids
    assert "has no secret" in str((await desk.registry.get("indieauth")).faults)


async def test_secrets_are_sealed_and_never_shown(desk):
    shown = await desk.registry.create(okta())
    assert shown.secrets == ("openid_config.client_secret",)
    assert "swordfish" not in repr(shown) + repr(await desk.registry.list())
    row = await desk.rows.get("okta")
    assert b"swordfish" not in row.config.encode() + row.sealed
    assert desk.offers[-1].providers["okta"]._config.client_secret.reveal() == "swordfish"


async def test_a_patch_without_the_secret_keeps_it(desk):
    await desk.registry.create(okta())
    await desk.registry.patch("okta", {"openid_config": {"client_id": "id-9"}})
    config = desk.offers[-1].providers["okta"]._config
    assert (config.client_id, config.client_secret.reveal()) == ("id-9", "swordfish")


async def test_what_was_shown_can_be_put_back_and_keeps_its_secret(desk):
    shown = await desk.registry.create(okta())
    await desk.registry.replace("okta", {**shown.document, "title": "New", "version": 7})
    config = desk.offers[-1].providers["okta"]._config
    assert (config.title, config.client_secret.reveal()) == ("New", "swordfish")


@pytest.mark.parametrize("way", ["patch", "replace"])
async def test_null_drops_a_secret(desk, way):
    shown = await desk.registry.create(okta())
    if way == "patch":
        await desk.registry.patch("okta", {"openid_config": {"client_secret": None}})
    else:
        settings = {**shown.document["openid_config"], "client_secret": None}
        await desk.registry.replace("okta", {**shown.document, "openid_config": settings})
    assert (await desk.registry.get("okta")).secrets == ()
    assert not desk.offers[-1].providers["okta"]._config.client_secret


async def test_a_new_secret_takes_the_old_ones_place(desk):
    await desk.registry.create(okta())
    await desk.registry.patch("okta", {"openid_config": {"client_secret": "opensesame"}})
    assert desk.offers[-1].providers["okta"]._config.client_secret.reveal() == "opensesame"


async def test_a_kept_secret_is_not_sent_to_another_address(desk):
    await desk.registry.create(okta())
    elsewhere = {"issuer": "https://evil.example"}
    with pytest.raises(Invalid) as caught:
        await desk.registry.patch("okta", {"openid_config": elsewhere})
    ((path, message),) = caught.value.faults
    assert path == "openid_config.client_secret"
    assert message.startswith("must be written again")
    moved = await desk.registry.patch("okta", {"openid_config": {**elsewhere, "client_secret": "mine"}})
    assert moved.document["openid_config"]["issuer"] == "https://evil.example"
    assert desk.offers[-1].providers["okta"]._config.client_secret.reveal() == "mine"


async def test_a_sealed_secret_is_good_in_its_own_row_only(desk):
    await desk.registry.create(okta())
    await desk.registry.create(github())
    row = await desk.rows.get("okta")
    await desk.edit("github", sealed=row.sealed)
    await desk.registry.look()
    assert desk.ids == ["google", "okta"]
    (fault,) = (await desk.registry.get("github")).faults
    assert "sealed with another key" in fault[1]


# -- conflicts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (okta(), "taken"),
        (okta(id="other"), "duplicate"),
        (okta(id="google"), "taken"),
        (
            {
                "provider_type": "google",
                "email_domains": ["a.example"],
                "google_config": {"client_id": "id-9", "client_secret": "x"},
            },
            "taken",
        ),
        (
            {
                "id": "google2",
                "provider_type": "google",
                "email_domains": ["a.example"],
                "google_config": {"client_id": "id-1", "client_secret": "x"},
            },
            "duplicate",
        ),
        (
            okta(id="corp", openid_config={"client_id": "id-2", "issuer": "https://corp.example"}),
            "duplicate",
        ),
    ],
    ids=[
        "another row's ID",
        "another row's client",
        "the configuration's ID",
        "an ID by default that is taken",
        "the configuration's client",
        "the client of a host",
    ],
)
async def test_an_id_or_a_client_that_is_there_already_is_a_conflict(desk, document, code):
    await desk.registry.create(okta())
    with pytest.raises(Conflict) as caught:
        await desk.registry.create(document)
    assert (caught.value.code, caught.value.status) == (code, 409)
    assert desk.ids == ["google", "okta"]


async def test_several_of_one_type_are_told_apart_by_their_ids(desk):
    await desk.registry.create(okta())
    await desk.registry.create(
        okta(id="okta-eu", openid_config={"client_id": "id-3", "issuer": "https://eu.example"})
    )
    assert desk.ids == ["google", "okta", "okta-eu"]


async def test_a_change_that_would_make_a_twin_is_a_conflict(desk):
    await desk.registry.create(okta())
    await desk.registry.create(
        okta(id="b", openid_config={"client_id": "b", "issuer": "https://okta.example"})
    )
    with pytest.raises(Conflict) as caught:
        await desk.registry.patch("b", {"openid_config": {"client_id": "id-3"}})
    assert caught.value.code == "duplicate"


async def test_a_version_that_is_old_is_a_conflict(desk):
    shown = await desk.registry.create(okta())
    newer = await desk.registry.patch("okta", {"title": "A"}, version=shown.version)
    assert newer.version == shown.version + 1
    for change in (
        desk.registry.patch("okta", {"title": "B"}, version=shown.version),
        desk.registry.replace("okta", okta(title="B"), version=shown.version),
        desk.registry.delete("okta", version=shown.version),
    ):
        with pytest.raises(Conflict) as caught:
            await change
        assert caught.value.code == "changed"
    assert (await desk.registry.get("okta")).title == "A"


async def test_somebody_faster_is_not_overwritten(desk):
    """Both changes count: the second is made on what the first left."""
    await desk.registry.create(okta())
    update, calls = desk.rows.update, []

    async def slow(row: ProviderRow, expect: int) -> bool:
        if not calls:
            calls.append(row)
            await desk.edit("okta", enabled=False)
        return await update(row, expect)

    desk.rows.update = slow
    shown = await desk.registry.patch("okta", {"title": "A"})
    assert (shown.title, shown.enabled) == ("A", False)


@pytest.mark.parametrize("patch", [{"id": "b"}, {"provider_type": "google"}])
async def test_id_and_type_stay(desk, patch):
    await desk.registry.create(okta())
    with pytest.raises(Invalid) as caught:
        await desk.registry.patch("okta", patch)
    assert "can't be changed" in caught.value.faults[0][1]


@pytest.mark.parametrize("way", ["patch", "replace", "delete", "disable", "enable"])
async def test_what_stands_in_the_configuration_stays_there(desk, way):
    more = ({"title": "x"},) if way in ("patch", "replace") else ()
    with pytest.raises(Conflict) as caught:
        await getattr(desk.registry, way)("google", *more)
    assert caught.value.code == "fixed"


@pytest.mark.parametrize("way", ["patch", "replace", "delete", "disable", "enable", "get", "test"])
async def test_what_is_not_there_is_not_found(desk, way):
    more = ({"title": "x"},) if way in ("patch", "replace") else ()
    with pytest.raises(NotFound):
        await getattr(desk.registry, way)("nobody", *more)


# -- rows that are malformed all the same -----------------------------------------------------

MALFORMED = {
    "no JSON": {"config": "{"},
    "no object": {"config": "[]"},
    "no settings": {"config": "{}"},
    "no domains": {
        "config": json.dumps({section_of("oidc"): {"client_id": "a", "issuer": "https://a.example"}})
    },
    "leads inside": {
        "config": json.dumps(
            {
                "email_domains": ["a.example"],
                section_of("oidc"): {"client_id": "a", "issuer": "https://10.0.0.1"},
            }
        )
    },
    "unsealed": {"sealed": b"plain"},
    "another type": {"provider_type": "nonsense"},
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_row_is_left_out_and_told_of(desk, fields):
    await desk.registry.create(okta())
    await desk.registry.create(github())
    await desk.edit("okta", **fields)
    await desk.registry.look()
    assert desk.ids == ["google", "github"]
    shown = await desk.registry.get("okta")
    assert shown.faults
    assert {"okta", "github"} < {one.id for one in await desk.registry.list()}
    told = [line for line in desk.log if line["event"] == "provider_left_out"]
    assert [line["provider"] for line in told] == ["okta"]
    await desk.registry.reload()
    assert [line for line in desk.log if line["event"] == "provider_left_out"] == told
    assert "swordfish" not in desk.log_text.getvalue()


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_row_can_be_disabled_mended_and_deleted(desk, fields):
    await desk.registry.create(okta())
    await desk.edit("okta", **fields)
    assert not (await desk.registry.disable("okta")).enabled
    if "provider_type" not in fields:
        assert (await desk.registry.replace("okta", okta())).faults == ()
        assert desk.ids == ["google", "okta"]
    await desk.registry.delete("okta")
    assert desk.ids == ["google"]


async def test_a_row_whose_id_the_configuration_has_taken_since_is_left_out(desk, monkeypatch):
    await desk.registry.create(okta())
    with monkeypatch.context() as earlier:
        earlier.setattr(desk.registry, "_reserved", frozenset)
        twin = okta(id="google", openid_config={"client_id": "id-9", "issuer": "https://okta.example"})
        await desk.registry.create(twin)
        assert desk.offers[-1].providers["google"].is_trusted is False
    await desk.registry.reload()
    assert desk.ids == ["google", "okta"]
    assert desk.offers[-1].providers["google"].is_trusted is True


async def test_the_first_of_two_twins_counts(desk):
    await desk.registry.create(okta())
    twin = okta(id="twin", openid_config={"client_id": "other", "issuer": "https://okta.example"})
    await desk.registry.create(twin)
    row = await desk.rows.get("twin")
    await desk.edit("twin", config=row.config.replace("other", "id-3"))
    await desk.registry.look()
    assert desk.ids == ["google", "okta"]


async def test_a_kind_that_fails_when_it_is_opened_hurts_no_other(store, desk, monkeypatch):
    await desk.registry.create(okta())
    await desk.registry.create(github())
    fresh = Desk(store)

    def fail(document, **more):
        if document["id"] == "okta":
            raise ZeroDivisionError("secret text")
        return read_row(document, **more)

    monkeypatch.setattr(registry, "read_row", fail)
    await fresh.registry.reload()
    assert fresh.ids == ["google", "github"]
    assert "secret text" not in fresh.log_text.getvalue()


# -- listing and trying out -------------------------------------------------------------------


async def test_the_configurations_providers_are_listed_first(desk):
    await desk.registry.create(okta())
    first, second, third = await desk.registry.list()
    assert (first.id, first.source, first.redirect_urls) == (
        "google",
        "configuration",
        ("https://open.example/@google/callback",),
    )
    assert second.redirect_urls == ("http://closed.example:8000/@corp/callback",)
    assert (third.id, third.redirect_urls) == ("okta", ("https://open.example/@okta/callback",))
    assert "hunter2" not in repr((first, second))


async def test_in_a_domain_people_come_back_to_its_auth_host_alone(store):
    domain = Domain(name="hall.test", auth=b"auth.hall.test")
    clients = {"google": "google", "corp": "app.hall.test/corp"}
    auth = replace(host("auth.hall.test", {"google": "google"}, takes_more=True), domain=domain)
    app = replace(host("app.hall.test", clients, takes_more=True), domain=domain)
    desk = Desk(store, hosts=(auth, app))
    await desk.registry.create(okta())
    assert {found.id: found.redirect_urls for found in await desk.registry.list()} == {
        "google": ("http://auth.hall.test:8000/@google/callback",),
        "closed.example/corp": (),
        "okta": ("http://auth.hall.test:8000/@okta/callback",),
    }


async def test_trying_out_names_the_redirect_url_to_register(desk):
    await desk.registry.create(okta(enabled=False))
    first, second = await desk.registry.test("okta")
    assert (first.what, first.detail) == ("redirect URL", "https://open.example/@okta/callback")
    assert second.what == "keys"
    assert desk.driver.trusted == [False, False]
    await desk.registry.test("google")
    assert desk.driver.trusted == [False, False, True, True]


async def test_a_provider_that_fails_while_it_is_tried_out_is_a_finding(desk):
    await desk.registry.create(okta())
    desk.driver.error = ProviderUnavailable("no connection")
    *_, last = await desk.registry.test("okta")
    assert (last.ok, last.detail) == (False, "no connection")


async def test_a_faulty_row_can_not_be_tried_out(desk):
    await desk.registry.create(okta())
    await desk.edit("okta", config="{}")
    with pytest.raises(Invalid):
        await desk.registry.test("okta")
