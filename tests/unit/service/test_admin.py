"""Admin tokens: made, checked, revoked; and who tries wrong ones."""

from __future__ import annotations

import pytest

from vestibule.core.session import hash_of
from vestibule.errors import ClientError, StoreError
from vestibule.service.admin import FAILURES_MAX, SEEN_EVERY_S, WINDOW_S, AdminTokens
from vestibule.service.tries import SharedTries

NOW = 1_800_000_000.0
HERE = "127.0.0.1"


@pytest.fixture
def tokens(store) -> AdminTokens:
    return AdminTokens(store.admin_tokens)


async def test_a_token_is_good_and_kept_as_its_hash_only(tokens, store):
    token, bearer = await tokens.create("deploy", None, NOW)
    assert bearer.reveal().startswith("vst_admin_")
    assert await tokens.check(bearer.reveal(), HERE, NOW) == token
    assert await store.admin_tokens.by_hash(hash_of(bearer.reveal()), NOW) is not None
    assert bearer.reveal() not in repr([vars(one) for one in vars(store).values()])


async def test_two_tokens_are_never_the_same(tokens):
    made = [await tokens.create("a", None, NOW) for _ in range(2)]
    assert len({token.id for token, _ in made}) == len({bearer.reveal() for _, bearer in made}) == 2


async def test_an_expired_token_is_none(tokens):
    token, bearer = await tokens.create("deploy", 60.0, NOW)
    assert token.expires_at == NOW + 60
    assert await tokens.check(bearer.reveal(), HERE, NOW + 59) is not None
    with pytest.raises(ClientError) as caught:
        await tokens.check(bearer.reveal(), HERE, NOW + 60)
    assert (caught.value.status, caught.value.code) == (401, "admin_token_invalid")


async def test_a_revoked_token_is_none_at_once(tokens):
    token, bearer = await tokens.create("deploy", None, NOW)
    assert await tokens.revoke(token.id)
    assert not await tokens.revoke(token.id)
    with pytest.raises(ClientError):
        await tokens.check(bearer.reveal(), HERE, NOW)
    assert await tokens.list() == ()


class Counting:
    """The store, counting what it is asked."""

    def __init__(self, inner) -> None:
        self.inner = inner
        self.asked = 0
        self.seen_calls = 0

    async def by_hash(self, token_hash, now):
        self.asked += 1
        return await self.inner.by_hash(token_hash, now)

    async def seen(self, token_id, now):
        self.seen_calls += 1
        await self.inner.seen(token_id, now)

    async def create(self, token, token_hash):
        await self.inner.create(token, token_hash)


@pytest.fixture
def counting(store) -> Counting:
    return Counting(store.admin_tokens)


async def test_its_use_is_kept_once_a_minute(counting, store):
    tokens = AdminTokens(counting)
    _, bearer = await tokens.create("deploy", None, NOW)
    for second in range(int(SEEN_EVERY_S) + 1):
        await tokens.check(bearer.reveal(), HERE, NOW + second)
    assert counting.seen_calls == 2
    (token,) = await store.admin_tokens.list()
    assert token.seen_at == NOW + SEEN_EVERY_S


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "vst_admin_",
        "vst_admin_" + "a" * 42,
        "vst_admin_" + "a" * 44,
        "VST_ADMIN_" + "a" * 43,
        "a" * 53,
        "vst_admin_" + "é" * 43,
        "vst_admin_" + "a" * 42 + "\n",
        "vst_admin_" + "a" * 1_000_000,
    ],
    ids=lambda text: ascii(text[:16]),
)
async def test_what_can_be_no_token_asks_nobody(counting, text):
    with pytest.raises(ClientError):
        await AdminTokens(counting).check(text, HERE, NOW)
    assert counting.asked == 0


async def test_the_store_away_is_no_refusal_of_the_token(tokens, store, monkeypatch):
    async def away(token_hash, now):
        raise StoreError("away")

    monkeypatch.setattr(store.admin_tokens, "by_hash", away)
    with pytest.raises(StoreError):
        await tokens.check("vst_admin_" + "a" * 43, HERE, NOW)


async def test_many_wrong_tokens_from_an_address_are_not_looked_up_for_a_minute(counting):
    tokens = AdminTokens(counting)
    _, bearer = await tokens.create("deploy", None, NOW)
    for _ in range(FAILURES_MAX):
        with pytest.raises(ClientError) as caught:
            await tokens.check("vst_admin_" + "a" * 43, HERE, NOW)
        assert caught.value.status == 401
    with pytest.raises(ClientError) as caught:
        await tokens.check(bearer.reveal(), HERE, NOW + WINDOW_S - 1)
    assert (caught.value.status, caught.value.code) == (429, "too_many_tries")
    assert counting.asked == FAILURES_MAX
    assert await tokens.check(bearer.reveal(), "127.0.0.2", NOW), "other addresses are listened to"
    assert await tokens.check(bearer.reveal(), HERE, NOW + WINDOW_S), "and this one, after the minute"


async def test_wrong_tokens_keep_no_service_out_that_was_let_in_from_there(tokens):
    """Threat: on loopback all services of a machine have one address, and so has whoever wants them out."""
    token, bearer = await tokens.create("shop", None, NOW)
    await tokens.check(bearer.reveal(), HERE, NOW)
    for _ in range(FAILURES_MAX):
        with pytest.raises(ClientError):
            await tokens.check("vst_admin_" + "a" * 43, HERE, NOW)
    assert await tokens.check(bearer.reveal(), HERE, NOW)
    await tokens.revoke(token.id)
    with pytest.raises(ClientError) as caught:
        await tokens.check(bearer.reveal(), HERE, NOW)
    assert caught.value.code == "admin_token_invalid"
    with pytest.raises(ClientError) as caught:
        await tokens.check(bearer.reveal(), HERE, NOW)
    assert caught.value.code == "too_many_tries"


async def test_wrong_tokens_at_two_processes_are_one_count(store):
    one, two = (AdminTokens(store.admin_tokens, shared=SharedTries(store.tries)) for _ in range(2))
    for number in range(FAILURES_MAX):
        with pytest.raises(ClientError) as caught:
            await (one, two)[number % 2].check(f"wrong{number}", f"2001:db8::{number:x}", NOW)
        assert caught.value.code == "admin_token_invalid"
    _, bearer = await two.create("deploy", None, NOW)
    with pytest.raises(ClientError) as caught:
        await two.check(bearer.reveal(), "2001:db8::ffff", NOW)  # which wrote the last of them
    assert caught.value.code == "too_many_tries"
    assert await two.check(bearer.reveal(), "2001:db8:0:1::1", NOW)
    assert await two.check(bearer.reveal(), "2001:db8::ffff", NOW + WINDOW_S)
