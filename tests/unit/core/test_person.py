"""Who is who, and which address is believed."""

from __future__ import annotations

import pytest

from vestibule.core.person import (
    called,
    is_another_account,
    is_same_person,
    newcomer,
    primary_verified_email,
    shown,
    told_anew,
    verified_email,
)
from vestibule.model import Identity, Session, User


def identity(subject: str = "1", *, issuer: str = "https://op.example", **more: object) -> Identity:
    return Identity(client="op", issuer=issuer, subject=subject, **more)  # type: ignore[arg-type]


def session(*identities: Identity) -> Session:
    return Session(
        id="s", host="h", created_at=0, seen_at=0, expires_at=9, idle_s=9, identities=identities, user_id="u"
    )


GOOD = {
    "plain": ("alice@example.com", "alice@example.com"),
    "upper-case domain": ("alice@EXAMPLE.Com", "alice@example.com"),
    "local part keeps its case": ("Alice.B@example.com", "Alice.B@example.com"),
    "plus and dash": ("a+b-c_d@mail.example.co.uk", "a+b-c_d@mail.example.co.uk"),
    "all atext": ("!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~@example.com"),
    "punycode domain": ("a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
    "digits": ("007@0x.example", "007@0x.example"),
}

BAD = {
    "empty": "",
    "no at": "alice",
    "two at": "a@evil.com@corp.com",
    "quoted at": '"a@evil.com"@corp.com',
    "quoted local": '"a b"@corp.com',
    "empty local": "@corp.com",
    "empty domain": "a@",
    "one label": "a@localhost",
    "leading dot": ".a@corp.com",
    "trailing dot in local": "a.@corp.com",
    "two dots": "a..b@corp.com",
    "trailing dot in domain": "a@corp.com.",
    "empty label": "a@corp..com",
    "label starts with dash": "a@-corp.com",
    "label ends with dash": "a@corp-.com",
    "underscore in domain": "a@co_rp.com",
    "address literal": "a@[127.0.0.1]",
    "leading blank": " a@corp.com",
    "trailing blank": "a@corp.com ",
    "inner blank": "a b@corp.com",
    "line end": "a@corp.com\n",
    "header injection": "a@corp.com\r\nX-Admin: 1",
    "nul": "a\0@corp.com",
    "tab": "a\t@corp.com",
    "cyrillic a in domain": "a@c\u043erp.com",
    "cyrillic local": "\u0430lice@corp.com",
    "full-width at": "a\uff20corp.com",
    "full-width dot": "a@corp\uff0ecom",
    "zero-width": "a@cor\u200bp.com",
    "kelvin sign folds to k": "a@\u212aorp.com",
    "comma": "a,b@corp.com",
    "angle brackets": "<a@corp.com>",
    "display name": "A <a@corp.com>",
    "mailto": "mailto:a@corp.com",
    "semicolon list": "a@corp.com;b@corp.com",
    "percent route": "a%evil.com,@corp.com",
    "comment": "a(comment)@corp.com",
    "local too long": "a" * 65 + "@corp.com",
    "address too long": "a@"
    + "b" * 60
    + "."
    + "c" * 60
    + "."
    + "d" * 60
    + "."
    + "e" * 60
    + ".com"
    + "x" * 20,
    "label too long": "a@" + "b" * 64 + ".com",
}


@pytest.mark.parametrize(("raw", "canonical"), GOOD.values(), ids=GOOD.keys())
def test_one_plain_address_is_kept_with_its_domain_in_lower_case(raw: str, canonical: str) -> None:
    assert verified_email(raw, True) == canonical


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD.keys())
def test_anything_else_is_no_address(raw: str) -> None:
    assert verified_email(raw, True) == ""


@pytest.mark.parametrize(
    ("raw", "verified", "believed"),
    [
        ("a@b.example", True, "a@b.example"),
        ("a@b.example", False, ""),
        ("a@b.example", None, ""),
        ("a@b.example", "true", ""),
        ("a@b.example", "false", ""),
        ("a@b.example", 1, ""),
        (["a@b.example"], True, ""),
        (None, True, ""),
        ({"a": 1}, True, ""),
    ],
)
def test_only_the_json_value_true_verifies(raw: object, verified: object, believed: str) -> None:
    assert verified_email(raw, verified) == believed


@pytest.mark.parametrize(
    ("raw", "believed"),
    [
        ("a@corp.com", "a@corp.com"),
        ("a@CORP.com", "a@CORP.com".lower()),
        ("a@sub.corp.com", ""),
        ("a@xcorp.com", ""),
    ],
)
def test_a_provider_is_believed_within_its_own_domains(raw: str, believed: str) -> None:
    assert verified_email(raw, True, email_domains=("corp.com",)) == believed


def test_a_person_is_issuer_and_subject_never_an_address() -> None:
    alice = identity("1", email="a@corp.com")
    assert is_same_person(alice, identity("1", email="new@corp.com"))
    assert not is_same_person(alice, identity("1", issuer="https://other.example", email="a@corp.com"))
    assert not is_same_person(alice, identity("2", email="a@corp.com"))


def test_another_subject_of_the_same_issuer_is_another_account() -> None:
    here = session(identity("1"))
    assert is_another_account(here, identity("2"))
    assert not is_another_account(here, identity("1"))
    assert not is_another_account(here, identity("2", issuer="https://other.example"))


def test_a_newcomer_is_named_by_login_when_nothing_better_is_told() -> None:
    assert newcomer(identity(login="al"), "u1", 5.0) == User(
        id="u1", created_at=5.0, seen_at=5.0, name="al", login="al"
    )


def test_what_a_provider_no_longer_says_stays() -> None:
    user = User(id="u", created_at=1.0, seen_at=9.0, name="Alice", login="al", email="a@corp.com")
    assert told_anew(user, identity(), 9.0) == user
    assert told_anew(user, identity(name="Al", email="b@corp.com"), 9.0).name == "Al"


def test_what_the_person_chose_is_not_told_anew_and_only_the_name_is_shown() -> None:
    """Threat: rules look at logins and addresses, so nobody gives themselves one here."""
    user = User(
        id="u", created_at=1.0, name="Chosen", login="chosen", profile={"name": "Chosen", "login": "chosen"}
    )
    told = told_anew(user, identity(name="Told", login="told"), 9.0)
    assert (told.name, told.login) == ("Chosen", "chosen")
    seen = shown(identity(name="Told", login="told", email="a@corp.com"), user)
    assert (seen.name, seen.login, seen.email) == ("Chosen", "told", "a@corp.com")
    assert shown(identity(name="Told"), User(id="u", created_at=1.0, name="Old")).name == "Told"


def test_a_name_that_the_provider_says_once_is_told_ever_after() -> None:
    user = User(id="u", created_at=1.0, name="Zoë")
    assert shown(identity(), user).name == "Zoë"
    assert shown(identity(name="Al"), user).name == "Al"
    assert shown(identity(), User(id="u", created_at=1.0)) == identity()


@pytest.mark.parametrize(
    ("addresses", "believed"),
    [
        ([{"email": "a@one.example", "primary": True, "verified": True}], "a@one.example"),
        ([{"email": "a@one.example", "primary": True, "verified": False}], ""),
        ([{"email": "a@one.example", "primary": 1, "verified": True}], ""),
        ([{"email": "a@two.example", "primary": True, "verified": True}], ""),
        (
            [
                {"email": "a@one.example", "primary": False, "verified": True},
                {"email": "b@one.example", "primary": True, "verified": False},
            ],
            "",
        ),
        ([], ""),
    ],
    ids=[
        "primary",
        "not verified",
        "not quite primary",
        "another domain",
        "no other takes its place",
        "none",
    ],
)
def test_of_several_addresses_the_primary_one_counts(
    addresses: list[dict[str, object]], believed: str
) -> None:
    assert primary_verified_email(addresses, email_domains=("one.example",)) == believed


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"email": "a@example.com", "login": "al", "name": "Al"}, "a@example.com"),
        ({"login": "al", "name": "Al"}, "al"),
        ({"name": "Al"}, "Al"),
        ({}, ""),
    ],
)
def test_operators_know_somebody_by_the_first_there_is(known: dict[str, str], said: str):
    assert called(Identity(client="op", issuer="https://op", subject="1", **known)) == said
    assert called(User(id="u", created_at=0.0, **known)) == said
