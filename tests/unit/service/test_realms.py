"""Which providers are offered: those for everybody, or those of the organisation that is meant."""

from __future__ import annotations

import pytest

from vestibule.service.confined import Realm, meant, realm_of

REALMS = {
    "github": None,
    "acme.okta": Realm("acme", frozenset({"acme.example", "acme.test"})),
    "beta": Realm("beta", frozenset({"beta.example"})),
    "gamma": Realm("gamma", frozenset()),
}


@pytest.mark.parametrize(
    ("hints", "offered"),
    [
        ({}, ["github"]),
        ({"login_hint": "ann@acme.example"}, ["acme.okta"]),
        ({"login_hint": "ANN@ACME.TEST "}, ["acme.okta"]),
        ({"login_hint": "ann@beta.example"}, ["beta"]),
        ({"login_hint": "ann@sub.acme.example"}, ["github"]),
        ({"login_hint": "ann@nobody.example"}, ["github"]),
        ({"login_hint": "acme"}, ["github"]),
        ({"login_hint": ""}, ["github"]),
        ({"org": "beta"}, ["beta"]),
        ({"org": "gamma"}, ["gamma"]),
        ({"org": "delta"}, ["github"]),
        ({"org": "delta", "login_hint": "ann@acme.example"}, ["github"]),
        ({"org": "beta", "login_hint": "ann@acme.example"}, ["beta"]),
    ],
)
def test_who_is_offered_what(hints, offered):
    assert meant(REALMS, hints) == offered


def test_an_operators_provider_is_for_everybody():
    assert realm_of(object()) is None
