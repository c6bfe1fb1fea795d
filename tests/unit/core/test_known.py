"""Who asks, as far as a backend may know."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.core.known import NOBODY, Known, known_of, person_of
from vestibule.core.route import Host
from vestibule.model import Caller, Identity, Session

HOST = Host(
    name=b"app.example",
    title="App",
    clients={"google": "google", "local": "app.example/local", "drive": "drive"},
    sign_in=("google", "app.example/local"),
    issuers=("ci",),
    kinds={"google": "google", "app.example/local": "github"},
)


def identity(client: str = "google", **fields) -> Identity:
    return Identity(client=client, issuer="https://issuer", subject="1", **fields)


def session(*identities: Identity, clients: tuple[str, ...] = ()) -> Session:
    return Session(
        id="s1",
        host="app.example",
        created_at=0.0,
        seen_at=0.0,
        expires_at=1.0,
        idle_s=1.0,
        user_id="u1",
        identities=identities,
        clients=clients,
        signed_in_at=7.0,
    )


def test_nobody_is_not_known():
    assert known_of(None, HOST) == NOBODY
    assert not NOBODY


def test_who_came_is_known_with_the_account_they_came_by():
    ada = identity(login="ada", email="ada@app.example", groups=("a",), claims={"team": "x"})
    assert known_of(session(ada, clients=("google", "drive")), HOST) == Known(
        user_id="u1",
        issuer="https://issuer",
        subject="1",
        kind="google",
        login="ada",
        email="ada@app.example",
        groups=("a",),
        claims={"team": "x"},
        providers=("google", "drive"),
        signed_in_at=7.0,
    )


def test_only_those_the_host_believes_say_who_somebody_is():
    assert known_of(session(identity("drive", login="eve", claims={"team": "root"})), HOST) == Known()
    known = known_of(session(identity("drive", groups=("root",)), identity("app.example/local")), HOST)
    assert (known.kind, known.groups) == ("github", ())


def test_a_caller_is_known_by_those_whose_word_counts_on_callers_too():
    caller = Caller(id="c1", kind="jwt", identities=(identity("ci"),), scopes=frozenset(("b", "a")))
    known = known_of(caller, HOST)
    assert (known.subject, known.user_id, known.scopes, known.providers) == ("1", "", ("a", "b"), ())
    assert known
    assert not known_of(replace(caller, identities=(identity("elsewhere"),)), HOST)


@pytest.mark.parametrize("field", ["login", "name", "email"])
def test_the_first_identity_that_says_something_is_heard(field):
    who = session(identity(), identity("app.example/local", **{field: "x"}), identity(**{field: "y"}))
    assert getattr(known_of(who, HOST), field) == "x"


def test_lists_are_merged_and_claims_are_the_firsts():
    known = known_of(
        session(
            identity(groups=("a", "b"), orgs=("o",), claims={"team": "x", "floor": 1}),
            identity("app.example/local", groups=("b", "c", ""), claims={"team": "y", "room": 2}),
        ),
        HOST,
    )
    assert (known.groups, known.orgs) == (("a", "b", "c"), ("o",))
    assert known.claims == {"team": "x", "floor": 1, "room": 2}


def test_texts_may_say_an_application_s_own_values_of_somebody_who_is_known_here():
    known = replace(session(identity()), attributes={"plan": "gold"})
    assert person_of(known, HOST).attributes == {"plan": "gold"}
    stranger = replace(session(identity("elsewhere")), attributes={"plan": "gold"})
    assert person_of(stranger, HOST) == person_of(None, HOST)
    assert person_of(Caller(id="c1", kind="jwt", identities=(identity("ci"),)), HOST).attributes == {}
