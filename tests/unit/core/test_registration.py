"""Who is let in and who becomes a user: tables."""

from __future__ import annotations

import pytest

from vestibule.core.registration import (
    ANSWER_MAX_CHARS,
    LOGIN_MAX_CHARS,
    NAME_MAX_CHARS,
    WAYS,
    Filled,
    Join,
    Known,
    Make,
    Question,
    Refuse,
    Rules,
    admission,
    filled,
    is_allowed_domain,
    registered,
)
from vestibule.model import Identity, User

ALICE = Identity(client="google", issuer="https://a", subject="1", email="alice@example.com")
NAMELESS = Identity(client="github", issuer="https://b", subject="2")
CORP = ("example.com", "example.org")


def code_of(step: object) -> str:
    return step.code if isinstance(step, Refuse) else type(step).__name__


# Admission


@pytest.mark.parametrize(
    ("way", "all_users", "is_invited", "expected"),
    [
        ("auto", True, False, "Make"),
        ("auto", True, True, "Make"),
        ("auto", False, False, "not_invited"),
        ("auto", False, True, "Make"),
        ("form", True, False, "Ask"),
        ("form", True, True, "Ask"),
        ("form", False, False, "not_invited"),
        ("form", False, True, "Ask"),
        ("invite", True, False, "not_invited"),
        ("invite", True, True, "Make"),
        ("invite", False, False, "not_invited"),
        ("invite", False, True, "Make"),
        ("closed", True, False, "registration_closed"),
        ("closed", True, True, "registration_closed"),
        ("closed", False, True, "registration_closed"),
    ],
)
def test_a_newcomer(way: str, all_users: bool, is_invited: bool, expected: str) -> None:
    rules = Rules(registration=way, allow_all_users=all_users)
    step = admission(ALICE, rules, is_known=False, invitation_id="i" if is_invited else "")
    assert code_of(step) == expected
    if isinstance(step, Make):
        assert step.invitation_id == ("i" if is_invited else "")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("all_users", [True, False])
def test_whoever_is_known_is_in_whatever_is_said_of_newcomers(way: str, all_users: bool) -> None:
    rules = Rules(registration=way, allow_all_users=all_users)
    assert admission(NAMELESS, rules, is_known=True) == Known()


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("identity", [NAMELESS, ALICE])
def test_the_domain_check_holds_for_everybody(identity: Identity, is_known: bool) -> None:
    rules = Rules(allowed_domains=("corp.example",), link_verified_emails=True)
    step = admission(identity, rules, is_known=is_known, owners=("u",), invitation_id="i", is_filled=True)
    assert code_of(step) == "domain_not_allowed"


def test_a_form_that_was_sent_is_not_asked_for_again() -> None:
    rules = Rules(registration="form")
    assert admission(ALICE, rules, is_known=False, is_filled=True, invitation_id="i") == Make("i")


@pytest.mark.parametrize(
    ("identity", "allowed", "owners", "expected"),
    [
        pytest.param(ALICE, True, ("u",), Join("u"), id="one owner"),
        pytest.param(ALICE, True, ("u", "v"), Make(), id="two: nobody knows which"),
        pytest.param(ALICE, True, (), Make(), id="none"),
        pytest.param(ALICE, False, ("u",), Make(), id="the operator does not believe addresses"),
        pytest.param(NAMELESS, True, ("u",), Make(), id="no verified address"),
    ],
)
def test_an_address_joins_only_where_allowed_verified_and_certain(
    identity: Identity, allowed: bool, owners: tuple[str, ...], expected: object
) -> None:
    assert admission(identity, Rules(link_verified_emails=allowed), is_known=False, owners=owners) == expected


def test_a_further_account_of_a_user_is_no_newcomer() -> None:
    rules = Rules(registration="closed", allow_all_users=False, link_verified_emails=True)
    assert admission(ALICE, rules, is_known=False, owners=("u",)) == Join("u")


@pytest.mark.parametrize(
    ("email", "domains", "expected"),
    [
        ("a@example.com", CORP, True),
        ("a@example.org", CORP, True),
        ("a@EXAMPLE.com", CORP, True),
        ("a@sub.example.com", CORP, False),
        ("a@example.com.evil.example", CORP, False),
        ("a@evil-example.com", CORP, False),
        ("a@com", CORP, False),
        ("example.com", CORP, False),
        ("", CORP, False),
        ("", (), True),
        ("", ("*",), True),
        ("a@evil.example", ("*",), True),
        ("a@evil.example", (*CORP, "*"), True),
    ],
)
def test_the_whole_domain_counts(email: str, domains: tuple[str, ...], expected: bool) -> None:
    assert is_allowed_domain(email, domains) is expected


# The form

RULES = Rules(
    registration="form",
    questions=(
        Question(name="company", label="Company", required=True),
        Question(name="phone", label="Phone"),
    ),
    terms_url="https://example.com/terms",
)
GOOD = {"name": "Zoë Q.", "login": "zoe.q", "company": "ACME", "terms": "yes"}


def test_a_form_is_taken_trimmed_without_what_was_left_empty() -> None:
    form, faults = filled({**GOOD, "name": "  Zoë Q. ", "phone": " "}, RULES)
    assert faults == {}
    assert form == Filled(name="Zoë Q.", login="zoe.q", profile={"company": "ACME"})


@pytest.mark.parametrize(
    ("sent", "faults"),
    [
        ({"name": ""}, {"name": "missing"}),
        ({"name": "   "}, {"name": "missing"}),
        ({"name": "x" * (NAME_MAX_CHARS + 1)}, {"name": "too_long"}),
        ({"name": "a\nb"}, {"name": "invalid"}),
        ({"name": "a\x00b"}, {"name": "invalid"}),
        ({"name": "a\u202eb"}, {"name": "invalid"}),
        ({"login": ""}, {}),
        ({"login": "a b"}, {"login": "invalid"}),
        ({"login": "<a>"}, {"login": "invalid"}),
        ({"login": ".a"}, {"login": "invalid"}),
        ({"login": "a/../b"}, {"login": "invalid"}),
        ({"login": "zoë"}, {}),
        ({"login": "x" * (LOGIN_MAX_CHARS + 1)}, {"login": "too_long"}),
        ({"company": ""}, {"company": "missing"}),
        ({"company": "x" * (ANSWER_MAX_CHARS + 1)}, {"company": "too_long"}),
        ({"phone": "1\r\n2"}, {"phone": "invalid"}),
        ({"terms": ""}, {"terms": "not_accepted"}),
        ({"terms": "no"}, {"terms": "not_accepted"}),
        ({"terms": "true"}, {}),
        ({"name": "", "company": "", "terms": ""}, dict.fromkeys(("name", "company"), "missing") | {"terms": "not_accepted"}),
        ({"is_admin": "yes", "email": "root@corp.example", "id": "1"}, {}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_by_field(sent: dict[str, str], faults: dict[str, str]) -> None:
    form, found = filled({**GOOD, **sent}, RULES)
    assert found == faults
    assert set(form.profile) <= {"company", "phone"}


def test_without_terms_and_questions_a_name_is_enough() -> None:
    assert filled({"name": "Zoë"}, Rules(registration="form"))[1] == {}


def test_what_was_filled_in_stands_in_the_record_and_the_address_stays_the_providers() -> None:
    new = User(id="u", created_at=1.0, name="Told", login="told", email="alice@example.com")
    form = Filled(name="Chosen", login="", profile={"company": "ACME"})
    assert registered(new, form) == User(
        id="u",
        created_at=1.0,
        name="Chosen",
        login="told",
        email="alice@example.com",
        profile={"company": "ACME", "name": "Chosen"},
    )
