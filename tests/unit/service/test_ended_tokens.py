"""Revoked tokens of machines: known until they would have ended anyway, and no others with them."""

from __future__ import annotations

from vestibule.core.access import Access, token_id_in, token_name
from vestibule.service.ended_tokens import EndedTokens

TOKEN = Access(host="a.example", app="deploy", machine="deploy", id="one", expires_at=0.0)


async def test_one_is_ended_for_all_until_it_is_over(store, changes, clock):
    until = clock.now() + 60
    here, elsewhere = EndedTokens(store.parking, changes), EndedTokens(store.parking, changes)
    await here.end(Access(host="a.example", app="deploy", machine="deploy", id="one", expires_at=until))
    assert await elsewhere.is_ended(token_name("one"), clock.now())
    assert not await elsewhere.is_ended(token_name("two"), clock.now())
    assert not await elsewhere.is_ended(token_name("one"), until)


async def test_one_of_an_older_version_that_has_no_id_ends_by_itself(store, changes, clock):
    token = Access(host="a.example", app="deploy", machine="deploy", expires_at=clock.now() + 60)
    ended = EndedTokens(store.parking, changes)
    await ended.end(token)
    assert token.rests_on == ()
    assert not await ended.is_ended(token_name(""), clock.now())


def test_a_keys_name_is_never_taken_for_a_tokens():
    assert token_id_in(token_name("one")) == "one"
    assert [token_id_in(name) for name in ("one", "token", "key:one", "")] == ["", "", "", ""]
    assert Access(host="h", app="a", machine="m", key="k", id="i", expires_at=0.0).rests_on == (
        "k",
        "token:i",
    )
