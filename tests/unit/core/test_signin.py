"""What a finished flow means."""

from __future__ import annotations

import msgspec
import pytest

from vestibule.core.signin import (
    AddCredentials,
    Adopt,
    Enter,
    Refuse,
    Renew,
    Replace,
    Widen,
    adopted,
    next_step,
    renewed,
    signed_out_of,
    widened,
    without_account,
    without_own,
)
from vestibule.model import Identity, Session

ALICE = Identity(client="op", issuer="https://op.example", subject="alice")
ALICE_AGAIN = Identity(client="op", issuer="https://op.example", subject="alice", name="Alice")
BOB = Identity(client="op", issuer="https://op.example", subject="bob")
OCTOCAT = Identity(client="github", issuer="https://github.com", subject="1")


def session(*identities: Identity, clients: tuple[str, ...] = ("op",), user_id: str = "") -> Session:
    return Session(
        id="s",
        host="h",
        created_at=0,
        seen_at=0,
        expires_at=9,
        idle_s=9,
        identities=identities,
        clients=clients,
        user_id=user_id or ("u" if identities else ""),
    )


NOBODY = None
CREDENTIALS = session()
ALICE_HERE = session(ALICE)

STEPS = {
    "credentials, nobody": (NOBODY, None, True, Enter(None)),
    "credentials, credentials": (CREDENTIALS, None, True, AddCredentials()),
    "credentials, person": (ALICE_HERE, None, True, AddCredentials()),
    "credentials of a client that signs nobody in, nobody": (NOBODY, None, False, Enter(None)),
    "person, nobody": (NOBODY, ALICE, True, Enter(ALICE)),
    "person, credentials": (CREDENTIALS, ALICE, True, Adopt(ALICE)),
    "the same person": (ALICE_HERE, ALICE_AGAIN, True, Renew(ALICE_AGAIN)),
    "another person": (ALICE_HERE, BOB, True, Replace(BOB)),
    "another issuer's account": (ALICE_HERE, OCTOCAT, True, AddCredentials()),
    "identity that doesn't count here, nobody": (NOBODY, OCTOCAT, False, Enter(None)),
    "identity that doesn't count here, person": (ALICE_HERE, OCTOCAT, False, AddCredentials()),
    "identity that doesn't count here, same account": (ALICE_HERE, ALICE_AGAIN, False, AddCredentials()),
}


@pytest.mark.parametrize(("here", "identity", "signs_in", "step"), STEPS.values(), ids=STEPS.keys())
def test_the_step_follows_from_who_is_here_and_what_came(
    *, here: Session | None, identity: Identity | None, signs_in: bool, step: object
) -> None:
    assert next_step(here, identity, signs_in=signs_in) == step


ALICE_BY_OP2 = Identity(client="op2", issuer=ALICE.issuer, subject=ALICE.subject)
WANTED = {
    "another issuer's account": (ALICE_HERE, OCTOCAT, True, Widen(OCTOCAT)),
    "the same account by another client": (ALICE_HERE, ALICE_BY_OP2, True, Widen(ALICE_BY_OP2)),
    "the same account by the same client": (ALICE_HERE, ALICE_AGAIN, True, Renew(ALICE_AGAIN)),
    "another person of the issuer": (ALICE_HERE, BOB, True, Replace(BOB)),
    "nobody": (NOBODY, OCTOCAT, True, Enter(OCTOCAT)),
    "credentials": (CREDENTIALS, OCTOCAT, True, Adopt(OCTOCAT)),
    "credentials only": (ALICE_HERE, None, True, AddCredentials()),
    "identity that doesn't count here": (ALICE_HERE, OCTOCAT, False, AddCredentials()),
}


@pytest.mark.parametrize(("here", "identity", "signs_in", "step"), WANTED.values(), ids=WANTED.keys())
def test_where_another_identity_is_wanted_it_counts(
    *, here: Session | None, identity: Identity | None, signs_in: bool, step: object
) -> None:
    assert next_step(here, identity, signs_in=signs_in, is_wanted=True) == step


def test_widening_adds_what_another_client_says_of_the_person() -> None:
    found = widened(msgspec.structs.replace(ALICE_HERE, check_at=7.0), OCTOCAT, now=5.0, check_at=9.0)
    assert (found.identities, found.user_id) == ((ALICE, OCTOCAT), "u")
    assert (found.signed_in_at, found.check_at) == (5.0, 7.0)
    assert widened(found, OCTOCAT, now=6.0, check_at=0.0).identities == (ALICE, OCTOCAT)


def test_what_was_handed_on_stays_without_its_own() -> None:
    left = without_own(session(OCTOCAT, clients=("github",), user_id="u"), "github")
    assert (left.identities, left.clients, left.user_id) == ((), (), "u")


def test_a_second_account_of_the_persons_issuer_is_never_mixed_in() -> None:
    step = next_step(ALICE_HERE, BOB, signs_in=False)
    assert isinstance(step, Refuse)
    assert step.code == "other_person"


def test_adopting_makes_the_session_one_persons() -> None:
    found = adopted(CREDENTIALS, ALICE, "u9", now=5.0, check_at=9.0)
    assert found == msgspec.structs.replace(session(ALICE, user_id="u9"), signed_in_at=5.0, check_at=9.0)


def test_renewing_replaces_what_the_client_said_and_adds_nothing() -> None:
    found = renewed(ALICE_HERE, ALICE_AGAIN, now=5.0, check_at=9.0)
    assert (found.identities, found.signed_in_at, found.check_at) == ((ALICE_AGAIN,), 5.0, 9.0)
    same_person_elsewhere = Identity(client="op2", issuer=ALICE.issuer, subject=ALICE.subject)
    found = renewed(ALICE_HERE, same_person_elsewhere, now=5.0, check_at=9.0)
    assert found.identities == (ALICE,)


def test_signing_out_of_the_last_client_ends_the_session() -> None:
    assert signed_out_of(ALICE_HERE, "op") is None
    assert signed_out_of(session(ALICE, clients=()), "op") is None


def test_signing_out_of_one_client_takes_its_credentials_and_its_identity() -> None:
    left = signed_out_of(session(ALICE, clients=("op", "drive")), "op")
    assert left == session(clients=("drive",))
    left = signed_out_of(session(ALICE, clients=("op", "drive")), "drive")
    assert left == session(ALICE, clients=("op",))


def test_signing_out_of_a_client_that_is_not_there_changes_nothing() -> None:
    assert signed_out_of(ALICE_HERE, "github") == ALICE_HERE


def test_an_account_that_is_taken_away_takes_its_identity_and_the_last_one_the_person() -> None:
    other = Identity(client="op2", issuer="https://other.example", subject="9")
    here = session(ALICE, other)
    left = without_account(here, other.issuer, other.subject)
    assert (left.identities, left.user_id) == ((ALICE,), here.user_id)
    assert without_account(here, ALICE.issuer, "somebody else's") == here
    gone = without_account(ALICE_HERE, ALICE.issuer, ALICE.subject)
    assert (gone.identities, gone.user_id) == ((), "")
