"""Metadata and key sets: how often the provider is asked, and what is kept while it can't be."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from vestibule.errors import ProviderError, ProviderInvalid, ProviderUnavailable
from vestibule.fetch import Answer
from vestibule.protocol.address import OUTSIDE
from vestibule.protocol.key_set import KEYS_MAX
from vestibule.protocol.oidc import discovery_url
from vestibule.service.keys import (
    DOCUMENT_MAX_BYTES,
    FRESH_S,
    OUTSIDE_MAX,
    OUTSIDE_MAX_BYTES,
    STALE_S,
    KeySets,
)

ISSUER = "https://op.example"
JWKS = f"{ISSUER}/jwks"


class Provider:
    """A provider's published documents, and how often each was asked for."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.documents: dict[str, Any] = {
            discovery_url(ISSUER): {"issuer": ISSUER, "jwks_uri": JWKS},
            JWKS: {"keys": [{"kid": "1", "kty": "RSA"}]},
        }
        self.asked: list[str] = []
        self.vias: list[str] = []
        self.gate: asyncio.Event | None = None
        self.fails: ProviderError | None = None
        self.status = 200
        self.headers: dict[str, str] = {}
        self.keys = KeySets(self, mono=lambda: self.now)

    async def __call__(self, url: str, *, via: str = "") -> Answer:
        self.asked.append(url)
        self.vias.append(via)
        if self.gate:
            await self.gate.wait()
        if self.fails:
            raise self.fails
        document = self.documents[url]
        body = document if isinstance(document, bytes) else msgspec.json.encode(document)
        return Answer(self.status, self.headers, body, url)

    def rotate(self, kid: str) -> None:
        self.documents[JWKS] = {"keys": [{"kid": kid, "kty": "RSA"}]}


@pytest.fixture
def provider() -> Provider:
    return Provider()


async def test_nothing_is_fetched_before_it_is_needed_and_then_once(provider: Provider) -> None:
    assert provider.asked == []
    for _ in range(5):
        assert (await provider.keys.metadata(ISSUER))["jwks_uri"] == JWKS
        assert await provider.keys.keys(JWKS, "1") == ({"kid": "1", "kty": "RSA"},)
    assert provider.asked == [discovery_url(ISSUER), JWKS]


async def test_fifty_who_ask_at_once_cost_one_fetch(provider: Provider) -> None:
    provider.gate = asyncio.Event()
    waiting = [asyncio.create_task(provider.keys.keys(JWKS)) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    provider.gate.set()
    assert len(set(map(str, await asyncio.gather(*waiting)))) == 1
    assert provider.asked == [JWKS]


async def test_the_fetch_goes_on_when_the_first_who_asked_leaves(provider: Provider) -> None:
    provider.gate = asyncio.Event()
    first = asyncio.create_task(provider.keys.keys(JWKS))
    second = asyncio.create_task(provider.keys.keys(JWKS))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    provider.gate.set()
    assert await second
    assert provider.asked == [JWKS]


async def test_a_genuine_new_key_is_there_at_once(provider: Provider) -> None:
    await provider.keys.keys(JWKS, "1")
    provider.rotate("2")
    assert (await provider.keys.keys(JWKS, "2"))[0]["kid"] == "2"


async def test_ten_thousand_made_up_key_ids_cost_one_fetch_in_half_a_minute(provider: Provider) -> None:
    await provider.keys.keys(JWKS, "1")
    dice = random.Random(1)
    for _ in range(10_000):
        await provider.keys.keys(JWKS, dice.randbytes(8).hex())
    assert len(provider.asked) == 2
    provider.now += 30.0
    for _ in range(100):
        await provider.keys.keys(JWKS, dice.randbytes(8).hex())
    assert len(provider.asked) == 3


async def test_made_up_key_ids_of_one_provider_do_not_hold_up_another(provider: Provider) -> None:
    other = "https://other.example/jwks"
    provider.documents[other] = {"keys": [{"kid": "a"}]}
    await provider.keys.keys(JWKS, "made-up")
    await provider.keys.keys(other, "a")
    provider.documents[other] = {"keys": [{"kid": "b"}]}
    assert (await provider.keys.keys(other, "b"))[0]["kid"] == "b"


async def test_a_document_is_looked_at_again_after_an_hour(provider: Provider) -> None:
    await provider.keys.keys(JWKS)
    provider.now += FRESH_S - 1
    await provider.keys.keys(JWKS)
    assert len(provider.asked) == 1
    provider.now += 1
    provider.rotate("2")
    assert (await provider.keys.keys(JWKS))[0]["kid"] == "2"


@pytest.mark.parametrize(
    "failure",
    [ProviderUnavailable("down"), ProviderInvalid("HTML instead of JSON")],
    ids=["down", "talks nonsense"],
)
async def test_known_keys_are_good_for_a_day_while_the_provider_fails(
    provider: Provider, failure: ProviderError
) -> None:
    await provider.keys.keys(JWKS, "1")
    provider.fails = failure
    provider.now += STALE_S - 1
    assert (await provider.keys.keys(JWKS, "1"))[0]["kid"] == "1"
    provider.now += 2
    with pytest.raises(ProviderError):
        await provider.keys.keys(JWKS, "1")


async def test_a_failing_provider_is_asked_at_most_twice_a_minute_while_there_are_old_keys(
    provider: Provider,
) -> None:
    await provider.keys.keys(JWKS, "1")
    provider.fails = ProviderUnavailable("down")
    provider.now += FRESH_S
    for _ in range(100):
        await provider.keys.keys(JWKS, "1")
    assert len(provider.asked) == 2


async def test_a_provider_that_comes_back_is_used_at_once_when_nothing_is_known(provider: Provider) -> None:
    provider.fails = ProviderUnavailable("down")
    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            await provider.keys.metadata(ISSUER)
    provider.fails = None
    assert (await provider.keys.metadata(ISSUER))["issuer"] == ISSUER


async def test_an_unknown_key_while_the_provider_is_down_leaves_the_known_ones(provider: Provider) -> None:
    await provider.keys.keys(JWKS, "1")
    provider.fails = ProviderUnavailable("down")
    assert (await provider.keys.keys(JWKS, "2"))[0]["kid"] == "1"


@pytest.mark.parametrize("issuer", ["https://evil.example", ISSUER + "/", "", None, 5])
async def test_metadata_that_names_another_issuer_is_not_taken_and_not_kept(
    provider: Provider, issuer: object
) -> None:
    provider.documents[discovery_url(ISSUER)] = {"issuer": issuer}
    with pytest.raises(ProviderInvalid) as caught:
        await provider.keys.metadata(ISSUER)
    assert caught.value.code == "wrong_issuer"
    provider.documents[discovery_url(ISSUER)] = {"issuer": ISSUER}
    assert await provider.keys.metadata(ISSUER) == {"issuer": ISSUER}


async def test_whose_metadata_it_is_may_be_for_the_asker_to_look_at(provider: Provider) -> None:
    provider.documents["https://op.example/corp"] = {"issuer": "https://op.example/1234"}
    found = await provider.keys.metadata("", "https://op.example/corp")
    assert found == {"issuer": "https://op.example/1234"}


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://op.example", "https://op.example/.well-known/openid-configuration"),
        ("https://op.example/", "https://op.example/.well-known/openid-configuration"),
        ("https://op.example/realms/a", "https://op.example/realms/a/.well-known/openid-configuration"),
    ],
)
def test_metadata_stands_below_the_issuer(issuer: str, url: str) -> None:
    assert discovery_url(issuer) == url


async def test_one_bad_key_does_not_spoil_the_others(provider: Provider) -> None:
    provider.documents[JWKS] = {"keys": [5, None, "x", {"kid": "good"}, []]}
    assert await provider.keys.keys(JWKS, "good") == ({"kid": "good"},)


BAD_SETS: dict[str, tuple[str, object]] = {
    "no keys": ("keys_missing", {}),
    "keys is no list": ("keys_missing", {"keys": {"a": 1}}),
    "a list": ("answer_shape", []),
    "HTML": ("answer_unreadable", b"<html>not found</html>"),
    "empty": ("answer_unreadable", b""),
    "invalid UTF-8": ("answer_unreadable", b'{"keys": ["\xff"]}'),
    "twice": ("answer_unreadable", b'{"keys": [], "keys": []}'),
    "too many keys": ("keys_too_many", {"keys": [{"kid": str(n)} for n in range(KEYS_MAX + 1)]}),
    "too large": ("answer_too_large", b'{"keys": [], "x": "' + b"x" * DOCUMENT_MAX_BYTES + b'"}'),
}


@pytest.mark.parametrize(("code", "document"), BAD_SETS.values(), ids=BAD_SETS.keys())
async def test_a_set_that_is_none_is_the_providers_fault(
    provider: Provider, code: str, document: object
) -> None:
    provider.documents[JWKS] = document
    with pytest.raises(ProviderInvalid) as caught:
        await provider.keys.keys(JWKS, "1")
    assert caught.value.code == code


async def test_a_page_is_no_key_set_whatever_it_says(provider: Provider) -> None:
    """Threat: a page that anybody may put up at the provider's host."""
    provider.headers = {"content-type": "text/html"}
    with pytest.raises(ProviderInvalid) as caught:
        await provider.keys.keys(JWKS, "1")
    assert caught.value.code == "answer_type"
    provider.headers = {"content-type": "application/jwk-set+json"}
    assert await provider.keys.keys(JWKS, "1")


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, ProviderInvalid), (403, ProviderInvalid), (500, ProviderUnavailable), (429, ProviderUnavailable)],
)
async def test_only_200_is_a_document(provider: Provider, status: int, error: type[ProviderError]) -> None:
    provider.status = status
    with pytest.raises(error):
        await provider.keys.keys(JWKS)


async def test_the_fetcher_is_told_which_issuer_led_to_a_key_set(provider: Provider) -> None:
    await provider.keys.keys(JWKS, via=ISSUER)
    assert provider.vias == [ISSUER]


@pytest.mark.parametrize(
    ("first", "second"), [("", OUTSIDE), (OUTSIDE, ""), (ISSUER, "https://other.example")]
)
async def test_what_was_fetched_for_one_is_not_given_to_who_may_reach_less(
    provider: Provider, first: str, second: str
) -> None:
    """Threat: an issuer of the database that names the key set of a private one and gets it from the cache."""
    for via in (first, second, first, second):
        await provider.keys.keys(JWKS, via=via)
        await provider.keys.metadata(ISSUER, via=via)
    assert provider.vias == [first, first, second, second]


async def test_an_outsiders_wrong_metadata_are_forgotten_for_outsiders_alone(provider: Provider) -> None:
    await provider.keys.metadata(ISSUER)
    provider.documents[discovery_url(ISSUER)] = {"issuer": "https://evil.example"}
    with pytest.raises(ProviderInvalid):
        await provider.keys.metadata(ISSUER, via=OUTSIDE)
    assert await provider.keys.metadata(ISSUER) == {"issuer": ISSUER, "jwks_uri": JWKS}
    provider.documents[discovery_url(ISSUER)] = {"issuer": ISSUER}
    assert await provider.keys.metadata(ISSUER, via=OUTSIDE) == {"issuer": ISSUER}


async def test_urls_that_anybody_can_think_of_are_kept_up_to_a_number(provider: Provider) -> None:
    await provider.keys.keys(JWKS)
    for number in range(OUTSIDE_MAX):
        url = f"https://person{number}.example/jwks"
        provider.documents[url] = {"keys": []}
        await provider.keys.keys(url, via=OUTSIDE)
    await provider.keys.keys("https://person0.example/jwks", via=OUTSIDE)
    assert len(provider.asked) == OUTSIDE_MAX + 1
    await provider.keys.keys(JWKS, via=OUTSIDE)
    await provider.keys.keys("https://person1.example/jwks", via=OUTSIDE)
    assert len(provider.asked) == OUTSIDE_MAX + 3
    await provider.keys.keys(JWKS)
    assert len(provider.asked) == OUTSIDE_MAX + 3


async def test_large_documents_of_outsiders_are_kept_up_to_a_sum(provider: Provider) -> None:
    size = DOCUMENT_MAX_BYTES
    urls = [f"https://person{number}.example/metadata" for number in range(OUTSIDE_MAX_BYTES // size + 2)]
    for url in urls:
        provider.documents[url] = b"x" * size
        await provider.keys.document(url, via=OUTSIDE)
    asked = len(provider.asked)
    assert await provider.keys.document(urls[-1], via=OUTSIDE) == b"x" * size
    assert len(provider.asked) == asked
    await provider.keys.document(urls[0], via=OUTSIDE)
    assert len(provider.asked) == asked + 1
    kept = [url for url in urls if provider.keys.look_at_document(url, via=OUTSIDE).value is not None]
    assert len(kept) * size <= OUTSIDE_MAX_BYTES + size


async def test_how_it_stands_with_a_document_is_told_without_asking(provider: Provider) -> None:
    assert provider.keys.look_at_metadata(ISSUER).age_s is None
    await provider.keys.metadata(ISSUER)
    await provider.keys.keys(JWKS)
    provider.now += 10
    standing = provider.keys.look_at_metadata(ISSUER)
    assert (standing.value["issuer"], standing.age_s, standing.failed_s) == (ISSUER, 10.0, None)
    assert len(provider.keys.look_at_keys(JWKS).value) == 1
    provider.now += FRESH_S
    provider.fails = ProviderUnavailable("away")
    await provider.keys.metadata(ISSUER)
    standing = provider.keys.look_at_metadata(ISSUER)
    assert (standing.age_s, standing.failed_s) == (FRESH_S + 10, 0.0)
    assert provider.keys.look_at_metadata(ISSUER, via=OUTSIDE).value is None
    assert len(provider.asked) == 3
