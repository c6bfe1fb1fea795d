"""What a change of an organisation tells, and to whom."""

from __future__ import annotations

import pytest

from vestibule.core.organisation import Organisation
from vestibule.errors import Conflict, Invalid, NotFound
from vestibule.model import Account, User
from vestibule.service.affiliated import AFFILIATION, ORGANISATION
from vestibule.service.organisations import DOMAINS_MAX, NotProven, Organisations, text_of
from vestibule.store.base import EVERYTHING
from vestibule.store.changes import Changes
from vestibule.store.memory import Store

NOW = 1_800_000_000.0


class World:
    """Organisations over a store in memory, and what was told."""

    def __init__(self) -> None:
        self.store = Store()
        self.told: list[tuple[str, str]] = []
        self.texts: dict[str, tuple[str, ...]] = {}
        changes = Changes()
        for kind in (AFFILIATION, ORGANISATION):
            changes.subscribe(kind, lambda key, kind=kind: self.told.append((kind, key)))
        kept = self.store.organisations
        self.orgs = Organisations(kept, changes, sources=(kept,), texts=self._texts)

    async def _texts(self, name: str) -> tuple[str, ...]:
        return self.texts.get(name, ())

    async def acme(self) -> Organisation:
        for name in ("u1", "u2"):
            user = User(id=name, created_at=NOW)
            await self.store.people.register(
                user, Account(issuer="i", subject=name, user_id=name, client="c")
            )
        return await self.orgs.create("acme", "Acme", NOW)


@pytest.fixture
def world() -> World:
    return World()


async def test_every_change_of_who_is_in_what_is_told(world):
    acme = await world.acme()
    group = await world.orgs.create_group(acme, "ops", NOW)
    assert world.told == [(ORGANISATION, acme.id)]
    for change in (
        world.orgs.put_member(acme, "u1", ["admin"], NOW),
        world.orgs.add_to_group(acme, group.id, "u1"),
        world.orgs.drop_from_group(acme, group.id, "u1"),
        world.orgs.put_member(acme, "u1", [], NOW),
        world.orgs.drop_member(acme, "u1"),
    ):
        world.told.clear()
        await change
        assert world.told == [(AFFILIATION, "u1")]


async def test_who_was_in_a_group_that_goes_is_told_of(world):
    acme = await world.acme()
    group = await world.orgs.create_group(acme, "ops", NOW)
    for user in ("u1", "u2"):
        await world.orgs.put_member(acme, user, None, NOW)
        await world.orgs.add_to_group(acme, group.id, user)
    world.told.clear()
    await world.orgs.delete_group(acme, group.id)
    assert world.told == [(AFFILIATION, "u1"), (AFFILIATION, "u2")]
    world.told.clear()
    await world.orgs.delete("acme")
    assert world.told == [(ORGANISATION, acme.id), (AFFILIATION, EVERYTHING)]


async def test_what_is_not_there_is_told_so(world):
    acme = await world.acme()
    for change in (
        world.orgs.get("beta"),
        world.orgs.delete("beta"),
        world.orgs.drop_member(acme, "u1"),
        world.orgs.member(acme, "u1"),
        world.orgs.delete_group(acme, "g"),
        world.orgs.in_group(acme, "g", None),
        world.orgs.drop_domain(acme, "x.example"),
        world.orgs.prove_domain(acme, "x.example", NOW),
    ):
        with pytest.raises(NotFound):
            await change


@pytest.mark.parametrize("roles", [[""], ["a" * 101], ["a\nb"], [str(number) for number in range(21)]])
async def test_roles_that_cannot_be(world, roles):
    acme = await world.acme()
    with pytest.raises(Invalid):
        await world.orgs.put_member(acme, "u1", roles, NOW)


async def test_a_domain_is_proven_by_the_very_text(world):
    acme = await world.acme()
    domain = await world.orgs.add_domain(acme, "acme.example", NOW)
    place = "_vestibule-verification.acme.example"
    for text in ("", text_of(domain)[:-1], f"x{text_of(domain)}", domain.token):
        world.texts[place] = (text,)
        with pytest.raises(NotProven):
            await world.orgs.prove_domain(acme, "acme.example", NOW)
    world.texts[place] = ("other", text_of(domain))
    assert (await world.orgs.prove_domain(acme, "acme.example", NOW)).verified_by == "dns"
    assert await world.orgs.owner_of("acme.example") == acme


async def test_a_domain_that_another_has_proven_is_not_had(world):
    acme = await world.acme()
    beta = await world.orgs.create("beta", "Beta", NOW)
    for org in (acme, beta):
        await world.orgs.add_domain(org, "x.example", NOW)
    await world.orgs.vouch_for_domain(acme, "x.example", NOW)
    with pytest.raises(Conflict):
        await world.orgs.vouch_for_domain(beta, "x.example", NOW)


async def test_domains_are_not_without_end(world):
    acme = await world.acme()
    for number in range(DOMAINS_MAX):
        await world.orgs.add_domain(acme, f"d{number}.example", NOW)
    with pytest.raises(Conflict):
        await world.orgs.add_domain(acme, "one-more.example", NOW)
