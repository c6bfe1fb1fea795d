"""The demo's people: whom a hint means, and what each scope tells of them."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from vestibule.demo.people import BY_LOGIN, PEOPLE, find, portrait_svg


@pytest.mark.parametrize(
    ("hint", "login"),
    [
        ("alice", "alice"),
        ("Alice@Example.com", "alice"),
        (" bob ", "bob"),
        ("alice@example.net", None),
        ("nobody", None),
        ("", None),
    ],
)
def test_a_hint_means_a_login_or_an_address(hint, login):
    assert find(hint) is (BY_LOGIN[login] if login else None)


@pytest.mark.parametrize(
    ("scopes", "claims"),
    [
        (("openid",), {"sub"}),
        (("openid", "profile"), {"sub", "name", "preferred_username"}),
        (("openid", "email"), {"sub", "email", "email_verified"}),
        (("openid", "groups"), {"sub", "groups"}),
    ],
)
def test_a_scope_tells_its_own_claims(scopes, claims):
    assert set(BY_LOGIN["alice"].claims(scopes)) == claims


def test_one_address_is_not_verified():
    assert [person.login for person in PEOPLE if not person.claims(("email",))["email_verified"]] == ["erin"]


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.login)
def test_a_portrait_is_an_image_with_a_name(person):
    root = ET.fromstring(portrait_svg(person))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("aria-label") == person.name
