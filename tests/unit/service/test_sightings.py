"""What is kept of how providers did, and what says nothing of them."""

from __future__ import annotations

import pytest

from vestibule.errors import ProviderInvalid, ProviderRefused, ProviderUnavailable
from vestibule.providers.kit import Discovery, Get, Keys
from vestibule.service.sightings import CLIENTS_MAX, TEXT_MAX_CHARS, Sighting, Sightings

NOW = 1_800_000_000.0


def sightings() -> Sightings:
    return Sightings(lambda: NOW)


def test_nothing_is_known_of_who_was_not_asked() -> None:
    assert sightings().of("google") == Sighting()


def test_what_was_asked_for_and_how_it_ended_is_kept_by_client() -> None:
    seen = sightings()
    seen.asks("google", Discovery("https://a.example", "", ""), "")
    seen.asks("google", Keys("https://a.example/keys"), "https://a.example")
    seen.asks("google", Get(url="https://a.example/me"), "")
    seen.well("google")
    assert seen.of("google") == Sighting(
        discovery=("https://a.example", "", ""),
        keys=("https://a.example/keys", "https://a.example"),
        ok_at=NOW,
    )
    assert seen.of("okta") == Sighting()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ProviderUnavailable("it can't be reached", detail="a.example: refused"),
            "it can't be reached: a.example: refused",
        ),
        (ProviderInvalid("the ID token is bad"), "the ID token is bad"),
        (ProviderRefused("invalid_client"), "the provider answered: invalid_client"),
        (ProviderUnavailable("x" * 1000), "x" * TEXT_MAX_CHARS),
    ],
    ids=["away", "wrong", "client", "long"],
)
def test_a_provider_s_fault_is_kept(error, words) -> None:
    seen = sightings()
    seen.wrong("google", error)
    assert (seen.of("google").error, seen.of("google").error_at) == (words, NOW)


@pytest.mark.parametrize("code", ["invalid_grant", "access_denied", "login_required"])
def test_that_a_person_was_refused_is_no_fault_of_the_provider_s(code) -> None:
    seen = sightings()
    seen.wrong("google", ProviderRefused(code))
    assert seen.of("google") == Sighting()


def test_what_is_no_client_s_is_not_kept_and_there_is_an_end() -> None:
    seen = sightings()
    seen.well("")
    seen.wrong("", ProviderInvalid("x"))
    for number in range(CLIENTS_MAX + 1):
        seen.well(f"c{number}")
    assert seen.of("") == seen.of("c0") == Sighting()
    assert seen.of(f"c{CLIENTS_MAX}").ok_at == NOW
