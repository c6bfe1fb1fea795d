"""Certificates ordered and renewed, at stand-ins of authorities, with the clock in hand."""

from __future__ import annotations

import pytest

from tests.helpers.vault import RING
from tests.unit.service.authority import LIFE_S, Fetching, StandIn
from vestibule.core.acme import Acme, ExternalAccount, Proof
from vestibule.core.certificate import Source
from vestibule.core.event import Event
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import NotFound
from vestibule.model import Secret
from vestibule.observe.log import Log
from vestibule.service import acme_seal
from vestibule.service.acme import EVERY_S, FAILURES_MAX, ORDERS_MAX, Acmes
from vestibule.service.acme_order import ORDER_MAX_S, Tables
from vestibule.service.acme_proof import Proofs
from vestibule.service.acme_shown import Showing
from vestibule.service.shelf import Shelf
from vestibule.store import memory
from vestibule.store.changes import Changes

NOW = 1_800_000_000.0
NAME = "app.example.com"
DAY = 86_400.0


class Told:
    """Events that were told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def tell(self, *events: Event) -> bool:
        self.events += events
        return True

    def of(self, action: str) -> list[Event]:
        return [one for one in self.events if one.action == action]


class Desk:
    """Processes on one store, with two authorities and a clock."""

    def __init__(self) -> None:
        self.now = NOW
        self.store = memory.Store()
        self.changes = Changes()
        self.one, self.two = (StandIn(f"https://{name}", lambda: self.now) for name in ("one", "two"))
        self.told = Told()
        self.shelves: list[Shelf] = []
        self.showing = self.process((NAME,))
        self.fence = 1

    def process(self, names: tuple[str, ...], ring: KeyRing = RING) -> Showing:
        """What another process shows."""
        self.shelves.append(Shelf())
        showing = self.following(names, ring)
        showing.begin()
        return showing

    def following(self, names: tuple[str, ...], ring: KeyRing = RING) -> Showing:
        """What the last of these processes will show by another configuration, once it is in force."""
        return Showing(
            names,
            self.store.certificates,
            self.store.acme_proofs,
            ring=ring,
            shelf=self.shelves[-1],
            changes=self.changes,
            log=Log(),
            now=lambda: self.now,
        )

    def acmes(self, names: tuple[str, ...] = (NAME,), **config: object) -> Acmes:
        """Who orders."""
        acme = Acme(names=names, directories=("https://one/dir", "https://two/dir"), **config)
        tables = Tables(self.store.acme_accounts, self.store.acme_orders, self.store.certificates)
        common = {
            "ring": RING,
            "changes": self.changes,
            "log": Log(),
            "now": lambda: self.now,
            "sleep": self.sleep,
        }
        return Acmes(
            acme,
            tables,
            Proofs(self.store.acme_proofs, None, **common),
            self.store.tries,
            fetcher=Fetching(self.one, self.two),
            events=self.told,
            show=self.showing.look,
            share=lambda: 0.0,
            **common,
        )

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def turn(self, acmes: Acmes, after_s: float = 0.0) -> None:
        self.now += after_s
        await acmes.turn(self.now, self.fence)

    async def certificate(self) -> object:
        """What is shown for the name, once all is read."""
        await self.showing.load()
        return self.shelves[0].find(NAME)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_name_without_a_certificate_gets_one_which_is_told_and_shown(desk):
    await desk.turn(desk.acmes())
    found = await desk.certificate()
    assert (found.names, found.source) == ((NAME,), Source.ACME)
    assert [(one.action, one.host, one.outcome) for one in desk.told.events] == [
        ("certificate.issued", NAME, "ok")
    ]
    assert await desk.store.acme_orders.all() == ()
    assert await desk.store.acme_proofs.pending(0.0) == ()


async def test_it_is_shown_while_the_authority_looks_by_every_process_and_not_after(desk):
    other = desk.process((NAME,))
    seen = []
    desk.one.looks = lambda name, kind, token: seen.append(token) or "processing"
    acmes = desk.acmes()
    await desk.turn(acmes)
    await other.load()
    (token,) = seen
    shown = other.answer(token.encode())
    assert shown is not None
    assert shown.startswith(token.encode() + b".")
    assert other.answer(b"another-token-aaaaaaaaaaaaaaaaaaaaaa") is None
    desk.now += 7200
    assert other.answer(token.encode()) is None


async def test_by_tls_it_is_shown_as_a_certificate(desk):
    desk.one.looks = lambda name, kind, token: "processing"
    await desk.turn(desk.acmes(proofs=(Proof.TLS_ALPN_01,)))
    await desk.showing.load()
    assert desk.shelves[0].challenge(NAME).names == (NAME,)
    assert desk.shelves[0].find(NAME) is None
    await desk.store.acme_proofs.clear(NAME)
    await desk.showing.load()
    assert desk.shelves[0].challenge(NAME) is None


async def test_nothing_is_done_while_nothing_is_due(desk):
    acmes = desk.acmes()
    await desk.turn(acmes)
    before = desk.one.counts.copy()
    await desk.turn(acmes, 5)
    assert desk.one.counts - before == {}


async def test_rows_are_read_when_something_is_due_or_told_and_else_once_a_minute(desk, monkeypatch):
    acmes = desk.acmes()
    await acmes.turn(0.0, 1)
    reads, real = [], desk.store.certificates.all

    async def counted():
        reads.append(desk.now)
        return await real()

    monkeypatch.setattr(desk.store.certificates, "all", counted)
    for _ in range(13):  # of five seconds each
        await acmes.turn(0.0, 1)
        desk.now += EVERY_S
    mine = [at for at in reads if at >= NOW]
    assert len(mine) <= 3  # it may be asked for suggestions once
    before = len(reads)
    await acmes.turn(0.0, 2)  # another had the lease meanwhile
    assert len(reads) > before
    before = len(desk.one.ordered)
    await desk.acmes().renew(NAME)  # by another process
    await acmes.turn(0.0, 2)
    assert len(desk.one.ordered) == before + 1


async def test_it_is_renewed_before_two_thirds_of_its_life_and_says_what_it_replaces(desk):
    desk.one.window = (NOW + 80 * DAY, NOW + 81 * DAY)
    acmes = desk.acmes()
    await desk.turn(acmes)
    first = await desk.certificate()
    desk.one.window = None
    acmes = desk.acmes()
    await desk.turn(acmes, DAY)
    await desk.turn(acmes, LIFE_S * 2 / 3 - DAY)
    assert (await desk.certificate()).fingerprint != first.fingerprint
    assert len(desk.told.of("certificate.renewed")) == 1


async def test_it_is_renewed_when_the_authority_suggests(desk):
    desk.one.window = (NOW + 80 * DAY, NOW + 81 * DAY)
    acmes = desk.acmes()
    await desk.turn(acmes)
    await desk.turn(acmes, 1)
    desk.one.window = (NOW - DAY, NOW)
    await desk.turn(acmes, 3601)
    assert not desk.told.of("certificate.renewed")
    await desk.turn(acmes, 1)
    assert len(desk.told.of("certificate.renewed")) == 1
    assert desk.one.ordered[1]["replaces"].startswith("AQEBAQEBAQEBAQEBAQEBAQEBAQE.")


async def test_an_authority_that_takes_no_word_of_what_is_replaced_issues_all_the_same(desk):
    desk.one.window = (NOW - DAY, NOW)
    acmes = desk.acmes()
    await desk.turn(acmes)
    await desk.turn(acmes, 1)
    desk.one.refuse["newOrder"] = (409, "alreadyReplaced", {})
    await desk.turn(acmes, 1)
    assert len(desk.told.of("certificate.renewed")) == 1
    assert "replaces" not in desk.one.ordered[-1]


async def test_a_renewal_that_is_refused_for_another_reason_is_not_ordered_twice(desk):
    desk.one.window = (NOW - DAY, NOW)
    acmes = desk.acmes()
    await desk.turn(acmes)
    await desk.turn(acmes, 1)
    asked = desk.one.counts["newOrder"]
    desk.one.refuse["newOrder"] = (403, "rejectedIdentifier", {})
    await desk.turn(acmes, 1)
    assert desk.one.counts["newOrder"] == asked + 1


async def test_a_suggestion_that_cannot_be_had_changes_nothing(desk):
    acmes = desk.acmes()
    await desk.turn(acmes)
    (before,) = await desk.store.certificates.all()
    desk.one.is_down = True
    await desk.turn(desk.acmes(), 1)
    (after,) = await desk.store.certificates.all()
    assert (after.renew_at, after.ask_at) == (before.renew_at, desk.now + 3600)


@pytest.mark.parametrize(("said", "asked_s"), [("1", 60.0), ("7200", 7200.0), ("99999999", DAY)])
async def test_it_is_asked_for_suggestions_as_often_as_it_says_within_bounds(desk, said, asked_s):
    desk.one.window, desk.one.asked_again = (NOW + 50 * DAY, NOW + 51 * DAY), said
    acmes = desk.acmes()
    await desk.turn(acmes)
    await desk.turn(acmes, 1)
    (kept,) = await desk.store.certificates.all()
    assert kept.ask_at == desk.now + asked_s


async def test_half_of_all_nonces_may_be_bad(desk):
    desk.one.eats_nonces = 5
    await desk.turn(desk.acmes())
    assert await desk.certificate() is not None


async def test_an_authority_that_takes_no_nonce_at_all_is_given_up(desk):
    desk.one.eats_nonces = 10_000
    await desk.turn(desk.acmes())
    assert desk.told.events[0].detail["directory"] == "https://two/dir"
    assert sum(desk.one.counts.values()) < 20


# -- what goes wrong ----------------------------------------------------------------------------


async def test_a_name_that_fails_waits_and_the_other_proof_is_tried(desk):
    desk.one.looks = lambda name, kind, token: "invalid" if kind == "http-01" else "valid"
    acmes = desk.acmes()
    await desk.turn(acmes)
    (failed,) = desk.told.of("certificate.failed")
    assert failed.outcome == "refused"
    assert (failed.detail["code"], failed.detail["proof"], failed.detail["failures"]) == (
        "connection",
        "http-01",
        1,
    )
    assert "port 80" in failed.detail["advice"]
    assert await desk.store.acme_proofs.pending(0.0) == ()
    await desk.turn(acmes, 55)
    assert len(desk.one.ordered) == 1
    await desk.turn(acmes, 10)
    assert desk.told.of("certificate.issued")[0].detail["proof"] == "tls-alpn-01"


async def test_a_name_that_is_refused_waits_as_long_as_the_authority_says(desk):
    desk.one.refuse["newOrder"] = (403, "rejectedIdentifier", {"retry-after": "7200"})
    acmes = desk.acmes()
    await desk.turn(acmes)
    (failed,) = desk.told.of("certificate.failed")
    assert (failed.detail["code"], failed.detail["next_at"]) == ("rejectedIdentifier", NOW + 7200)
    await desk.turn(acmes, 7100)
    assert desk.one.ordered == desk.two.ordered == []
    await desk.turn(acmes, 100)
    assert desk.told.of("certificate.issued")


async def test_who_fails_for_a_day_has_ordered_a_few_times(desk):
    desk.one.looks = desk.two.looks = lambda name, kind, token: "invalid"
    acmes = desk.acmes()
    for _ in range(24 * 60):
        await desk.turn(acmes, 60)
    assert len(desk.told.of("certificate.failed")) <= 12


async def test_what_failed_by_another_configuration_is_tried_at_once(desk):
    desk.one.looks = lambda name, kind, token: "invalid"
    await desk.turn(desk.acmes())
    desk.one.looks = lambda name, kind, token: "valid"
    await desk.turn(desk.acmes(), 1)
    assert len(desk.one.ordered) == 1
    await desk.turn(desk.acmes(email="other@example.com"), 1)
    assert desk.told.of("certificate.issued")


async def test_the_old_one_serves_on_while_a_renewal_fails(desk):
    acmes = desk.acmes()
    await desk.turn(acmes)
    first = await desk.certificate()
    desk.one.looks = desk.two.looks = lambda name, kind, token: "invalid"
    await desk.turn(acmes, LIFE_S * 0.7)
    assert desk.told.of("certificate.failed")
    assert await desk.certificate() == first


async def test_an_authority_that_is_down_rests_and_the_next_one_is_asked_at_once(desk):
    desk.one.is_down = True
    await desk.turn(desk.acmes())
    assert desk.told.events[0].detail["directory"] == "https://two/dir"
    assert not desk.told.of("certificate.failed")


async def test_where_all_are_down_the_name_waits_for_the_first_to_rest_no_more(desk):
    desk.one.is_down = desk.two.is_down = True
    acmes = desk.acmes()
    await desk.turn(acmes)
    (failed,) = desk.told.of("certificate.failed")
    assert (failed.detail["code"], failed.detail["failures"]) == ("unreachable", 0)
    desk.one.is_down = False
    await desk.turn(acmes, 299)
    assert not desk.told.of("certificate.issued")
    await desk.turn(acmes, 2)
    assert desk.told.of("certificate.issued")


async def test_a_limit_is_respected_by_whoever_goes_on(desk):
    desk.one.refuse["newOrder"] = (429, "rateLimited", {"retry-after": "1800"})
    desk.two.is_down = True
    await desk.turn(desk.acmes())
    assert desk.told.of("certificate.failed")[0].detail["code"] in ("rateLimited", "unreachable")
    asked = desk.one.counts["newOrder"]
    for _ in range(29):
        await desk.turn(desk.acmes(), 60)  # a new process each time: it stands in the store
    assert desk.one.counts["newOrder"] == asked
    await desk.turn(desk.acmes(), 120)
    assert desk.told.of("certificate.issued")


async def test_an_account_that_is_unknown_there_is_made_anew_once(desk):
    acmes = desk.acmes()
    await desk.turn(acmes)
    desk.one.accounts.clear()
    await acmes.renew(NAME)
    await desk.turn(acmes)
    assert desk.told.of("certificate.renewed")
    assert len(desk.one.accounts) == 1


async def test_an_authority_that_forgets_every_account_rests(desk):
    desk.one.refuse["order"] = (401, "unauthorized", {})
    acmes = desk.acmes()
    desk.one.looks = lambda name, kind, token: desk.one.accounts.clear() or "processing"
    await desk.turn(acmes)
    assert desk.one.counts["newAccount"] <= 3
    assert desk.told.of("certificate.issued")[0].detail["directory"] == "https://two/dir"


async def test_an_external_account_is_the_first_authoritys_alone(desk):
    external = ExternalAccount(key_id="kid", hmac_key=Secret("c2VjcmV0"))
    await desk.turn(desk.acmes(external_account=external))
    (account,) = await desk.store.acme_accounts.all()
    kept = acme_seal.opened(account.directory, account.sealed, acme_seal.Account, RING)
    assert kept.external == "kid"
    assert desk.one.bindings[0]["protected"]
    desk.one.is_down = True
    await desk.turn(desk.acmes(("other.example.com",), external_account=external))
    assert desk.two.bindings == [None]


async def test_another_external_account_makes_another_account(desk):
    await desk.turn(desk.acmes())
    external = ExternalAccount(key_id="kid", hmac_key=Secret("c2VjcmV0"))
    await desk.turn(desk.acmes((NAME, "other.example.com"), external_account=external))
    await desk.turn(desk.acmes((NAME, "third.example.com"), external_account=external))
    assert [bool(one) for one in desk.one.bindings] == [False, True]


async def test_an_authority_that_wants_another_name_proven_is_shown_nothing(desk):
    """Threat: it has a certificate of its own ordered with our proof."""
    desk.one.wants = "victim.example.com"
    await desk.turn(desk.acmes())
    assert desk.one.counts["challenge"] == 0
    assert desk.told.of("certificate.issued")[0].detail["directory"] == "https://two/dir"


async def test_a_wildcard_without_a_way_to_set_records_is_told(desk):
    await desk.turn(desk.acmes(("*.example.com",)))
    assert desk.told.of("certificate.failed")[0].detail["code"] == "dnsMissing"


async def test_an_order_that_never_ends_is_given_up(desk):
    desk.one.looks = lambda name, kind, token: "processing"
    acmes = desk.acmes()
    for _ in range(int(ORDER_MAX_S / 60) + 10):
        await desk.turn(acmes, 60)
    assert len(desk.one.ordered) >= 1
    assert desk.told.of("certificate.issued")[0].detail["directory"] == "https://two/dir"


# -- several ------------------------------------------------------------------------------------


async def test_another_process_goes_on_with_an_order_where_it_was_left(desk):
    desk.one.looks = lambda name, kind, token: "processing"
    await desk.turn(desk.acmes())
    order = next(iter(desk.one._orders.values()))
    order["challenge"], order["status"] = "valid", "ready"
    await desk.turn(desk.acmes(), 10)
    assert desk.told.of("certificate.issued")
    assert len(desk.one.ordered) == 1


async def test_a_challenge_that_was_over_before_it_was_told_of_is_no_failure(desk, monkeypatch):
    """Who was stopped had told of it, and the authority looked while the next one made ready to tell of it again."""

    def over(url: str, path: str, _payload: object, _jwk: object) -> object:
        order = desk.one._orders[path.split("/")[1]]
        order["challenge"], order["status"] = "valid", "ready"
        return desk.one._problem(url, 400, "malformed")

    monkeypatch.setattr(desk.one, "_challenge", over)
    await desk.turn(desk.acmes())
    assert desk.told.of("certificate.issued")
    assert not desk.told.of("certificate.failed")
    assert len(desk.one.ordered) == 1


async def test_an_authority_that_takes_no_word_of_a_challenge_is_told_twice_and_then_given_up(
    desk, monkeypatch
):
    told = []

    def refuses(url: str, _path: str, _payload: object, _jwk: object) -> object:
        told.append(url)
        return desk.one._problem(url, 400, "malformed")

    monkeypatch.setattr(desk.one, "_challenge", refuses)
    await desk.turn(desk.acmes())
    assert len(told) == 2
    assert desk.told.of("certificate.failed")[0].detail["code"] == "malformed"


async def test_who_is_overtaken_changes_nothing_and_is_no_fault(desk):
    desk.one.looks = lambda name, kind, token: "processing"
    desk.fence = 5
    await desk.turn(desk.acmes())
    desk.fence = 4
    await desk.turn(desk.acmes(), 60)
    assert not desk.told.events
    (row,) = await desk.store.acme_orders.all()
    assert row.fence == 5


async def test_so_many_orders_there_are_in_three_hours(desk):
    for _ in range(ORDERS_MAX):
        await desk.store.tries.add("acme", b"orders", NOW, 3 * 3600.0)
    acmes = desk.acmes()
    await desk.turn(acmes)
    assert desk.one.ordered == []
    await desk.turn(acmes, 3 * 3600.0)
    assert len(desk.one.ordered) == 1


async def test_where_too_much_fails_only_renewals_of_what_is_well_go_on(desk):
    acmes = desk.acmes()
    await desk.turn(acmes)
    for _ in range(FAILURES_MAX):
        await desk.store.tries.add("acme", b"failures", desk.now, 3600.0)
    both = desk.acmes((NAME, "new.example.com"))
    await both.renew(NAME)
    await desk.turn(both)
    assert [one.host for one in desk.told.events] == [NAME, NAME]


async def test_nor_do_renewals_that_have_failed_go_on_then(desk):
    acmes = desk.acmes()
    await desk.turn(acmes)
    desk.one.looks = lambda name, kind, token: "invalid"
    await acmes.renew(NAME)
    await desk.turn(acmes)
    for _ in range(FAILURES_MAX):
        await desk.store.tries.add("acme", b"failures", desk.now, 3600.0)
    ordered = len(desk.one.ordered)
    await desk.turn(acmes, 70)
    assert len(desk.one.ordered) == ordered
    await desk.turn(acmes, 3600)
    assert len(desk.one.ordered) == ordered + 1


async def test_who_has_no_certificate_comes_before_who_has_one(desk):
    names = tuple(f"a{number}.example.com" for number in range(9))
    await desk.turn(desk.acmes(names))
    acmes = desk.acmes((*names, "new.example.com"))
    for name in names:
        await acmes.renew(name)
    before = len(desk.one.ordered)
    await desk.turn(acmes)
    ordered = [one["identifiers"][0]["value"] for one in desk.one.ordered[before:]]
    assert len(ordered) == 10
    assert ordered.index("new.example.com") < 6  # some are ordered side by side


async def test_a_name_that_is_no_longer_wanted_is_shown_no_more_once_that_is_in_force(desk):
    await desk.turn(desk.acmes())
    assert await desk.certificate() is not None
    following = desk.following(())
    await following.load()
    assert desk.shelves[0].find(NAME) is not None
    desk.showing.retire()
    following.begin()
    assert desk.shelves[0].find(NAME) is None


async def test_a_name_that_is_wanted_again_is_shown_once_that_is_in_force(desk):
    await desk.turn(desk.acmes())
    before, following = desk.process(()), desk.following((NAME,))
    await before.load()
    await following.load()
    assert desk.shelves[-1].find(NAME) is None
    before.retire()
    following.begin()
    assert desk.shelves[-1].find(NAME) is not None


async def test_a_configuration_before_takes_nothing_away_from_the_next(desk):
    before, following = desk.process(("other.example.com",)), desk.following((NAME,))
    await following.load()
    before.retire()
    following.begin()
    await desk.turn(desk.acmes())
    await following.load()
    await before.load()
    assert desk.shelves[-1].find(NAME) is not None


async def test_what_hears_of_a_certificate_after_it_was_retired_reads_nothing(desk):
    desk.showing.retire()
    await desk.turn(desk.acmes())
    assert desk.showing._reading is None


async def test_what_others_order_on_the_same_store_is_not_shown(desk):
    await desk.turn(desk.acmes())
    other = desk.process(("other.example.com",))
    await other.load()
    assert list(desk.shelves[-1]) == []


async def test_names_that_were_wanted_once_are_forgotten_a_month_after_their_end(desk):
    await desk.turn(desk.acmes())
    other = desk.acmes(("other.example.com",))
    await desk.turn(other, LIFE_S + 29 * DAY)
    assert {row.name for row in await desk.store.certificates.all()} == {NAME, "other.example.com"}
    await desk.turn(other, 2 * DAY)
    assert {row.name for row in await desk.store.certificates.all()} == {"other.example.com"}


async def test_what_another_key_sealed_is_neither_shown_nor_lost(desk):
    await desk.turn(desk.acmes())
    stranger = desk.process((NAME,), KeyRing((Key("other", b"o" * 32),)))
    await stranger.load()
    assert desk.shelves[-1].find(NAME) is None
    assert len(await desk.store.certificates.all()) == 1


async def test_a_row_put_in_anothers_place_is_not_shown(desk):
    """Threat: who writes the database, and would have another's certificate shown."""
    await desk.turn(desk.acmes(("other.example.com",)))
    (row,) = await desk.store.certificates.all()
    await desk.store.certificates.delete("other.example.com", 1)
    await desk.store.certificates.put(
        type(row)(**{**{f: getattr(row, f) for f in row.__struct_fields__}, "name": NAME})
    )
    assert await desk.certificate() is None


async def test_what_an_older_key_sealed_is_sealed_anew(desk):
    await desk.turn(desk.acmes())
    ring = KeyRing((Key("new", b"n" * 32), *RING.keys))
    await acme_seal.reseal(desk.store.acme_accounts, desk.store.certificates, ring)
    alone = desk.process((NAME,), KeyRing(ring.keys[:1]))
    await alone.load()
    assert desk.shelves[-1].find(NAME) is not None


# -- for operators ------------------------------------------------------------------------------


async def test_the_state_of_a_name_says_what_was_wrong_and_when_it_is_tried_again(desk):
    acmes = desk.acmes()
    (state,) = await acmes.states()
    assert (state.name, state.failures, state.not_after_at, state.next_at) == (NAME, 0, None, None)
    desk.one.looks = lambda name, kind, token: "invalid"
    await desk.turn(acmes)
    (state,) = await acmes.states()
    assert (state.failures, state.failed_at, state.next_at) == (1, desk.now, desk.now + 60)
    assert state.failure.code == "connection"
    await acmes.renew(NAME)
    desk.one.looks = lambda name, kind, token: "valid"
    await desk.turn(acmes)
    (state,) = await acmes.states()
    assert (state.failures, state.failure, state.directory) == (0, None, "https://one/dir")
    assert state.not_after_at is not None


async def test_only_what_is_ordered_here_can_be_renewed(desk):
    with pytest.raises(NotFound):
        await desk.acmes().renew("stranger.example.com")
