"""Filters and paths of attributes (RFC 7644 sections 3.4.2.2 and 3.10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.protocol.scim_error import ScimError
from vestibule.protocol.scim_filter import (
    DEPTH_MAX,
    TERMS_MAX,
    Compare,
    Place,
    equalities,
    holds,
    listed,
    read_filter,
    read_path,
)
from vestibule.protocol.scim_schema import ENTERPRISE, GROUPS, USER, USERS

ANN = {
    "id": "2819c223",
    "externalId": "00u1",
    "userName": "bjensen@example.com",
    "name": {"familyName": "O'Malley", "givenName": "Bärbel"},
    "title": "Tour Guide",
    "userType": "Employee",
    "active": True,
    "emails": [
        {"value": "bjensen@example.com", "type": "work", "primary": True},
        {"value": "babs@jensen.org", "type": "home"},
    ],
    "meta": {"lastModified": "2011-05-13T04:42:34Z"},
    ENTERPRISE: {"department": "Tours", "manager": {"value": "m1"}},
}

#: those of the book first
MEETS = [
    'userName eq "bjensen@example.com"',
    'USERNAME Eq "BJENSEN@EXAMPLE.COM"',
    'name.familyName co "O\'Malley"',
    'userName sw "B"',
    f'{USER}:userName sw "b"',
    "title pr",
    'meta.lastModified gt "2011-05-12T04:42:34Z"',
    'meta.lastModified ge "2011-05-13T04:42:34Z"',
    'title pr and userType eq "Employee"',
    'title pr or userType eq "Intern"',
    'userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")',
    'userType ne "Intern" and not (emails co "example.net")',
    'emails[type eq "work" and value co "@example.com"]',
    'emails[type eq "work"] or emails[type eq "pager"]',
    "active eq true",
    'active eq "True"',
    "active ne false",
    'nickName ne "x"',
    "nickName eq null",
    "title ne null",
    f'{ENTERPRISE}:department eq "tours"',
    f'{ENTERPRISE.upper()}:manager.value eq "m1"',
    f'{ENTERPRISE}:manager eq "m1"',
    'emails.type eq "HOME"',
    'name.givenName eq "B\\u00e4rbel"',
    'userName ew ".COM"',
    'userName lt "c"',
    "not (nickName pr)",
    "(((userName pr)))and(title pr)",
]
MISSES = [
    'userName eq "bjensen"',
    'id eq "2819C223"',
    'externalId eq "00U1"',
    "nickName pr",
    'emails[type eq "home" and primary eq true]',
    'emails.value ne "babs@jensen.org"',
    'nickName eq "x" or userType eq "Intern"',
    # `and` binds more than `or`
    "nickName pr and title pr or nickName pr",
    f"{ENTERPRISE}:division pr",
    'userName gt "c"',
]
WRONG = [
    "",
    "userName",
    "userName eq",
    'userName eq "x',
    "userName eq 'x'",
    "userName eq x",
    'userName is "x"',
    'userName eq "x" and',
    'userName eq "x" title pr',
    '(userName eq "x"',
    'userName eq "x")',
    "emails[type pr",
    "not userName pr",
    'active gt "x"',
    "active gt true",
    "active co true",
    "userName eq 1",
    "userName gt null",
    'nobody eq "x"',
    'password eq "x"',
    'name eq "x"',
    'emails.nothing eq "x"',
    "emails[nothing pr]",
    'userName[value eq "x"]',
    'urn:x:y:department eq "x"',
    'userName eq "\\ud800"',
    "a" * 100_000,
]


@pytest.mark.parametrize("text", MEETS)
def test_a_filter_is_met(text):
    assert holds(read_filter(text), ANN, USERS)


@pytest.mark.parametrize("text", MISSES)
def test_a_filter_is_missed(text):
    assert not holds(read_filter(text), ANN, USERS)


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_filter_is_told(text):
    with pytest.raises(ScimError) as told:
        holds(read_filter(text), ANN, USERS)
    assert (told.value.status, told.value.scim_type) == (400, "invalidFilter")


def test_a_filter_is_neither_nested_nor_long_without_end():
    deep = "(" * DEPTH_MAX + "title pr" + ")" * DEPTH_MAX
    assert holds(read_filter(deep), ANN, USERS)
    for text in (f"({deep})", " or ".join(["title pr"] * (TERMS_MAX + 1))):
        with pytest.raises(ScimError):
            read_filter(text)


@given(st.text(alphabet='eqnotandprle "()[].:$\\truefals', max_size=60))
def test_whatever_comes_is_read_or_refused(text):
    try:
        met = holds(read_filter(text), ANN, USERS)
    except ScimError:
        return
    assert met in (True, False)


@pytest.mark.parametrize(
    ("text", "place", "is_chosen"),
    [
        ("userName", Place("userName"), False),
        ("name.familyName", Place("name", "familyName"), False),
        ('emails[type eq "work"].value', Place("emails", "value"), True),
        ('members[value eq "a]b"]', Place("members"), True),
        (f"{ENTERPRISE}:manager", Place("manager", urn=ENTERPRISE), False),
        (f"{ENTERPRISE}:manager.value", Place("manager", "value", ENTERPRISE), False),
        (f'{USER}:emails[type eq "work"].value', Place("emails", "value", USER), True),
    ],
)
def test_a_path_is_read(text, place, is_chosen):
    path = read_path(text)
    assert path.place == place
    assert (path.chosen is not None) is is_chosen


@pytest.mark.parametrize(
    "text",
    ["", "a b", "emails[", 'emails[type eq "x"', 'emails[type eq "x"]value', "a..b", "1a", "emails[]", "]"],
)
def test_what_is_no_path_is_told(text):
    with pytest.raises(ScimError) as told:
        read_path(text)
    assert told.value.scim_type in ("invalidPath", "invalidFilter")


def test_what_an_index_can_answer_is_known():
    terms = equalities(read_filter('userName eq "a" and active eq true'))
    assert terms == (Compare(Place("userName"), "eq", "a"), Compare(Place("active"), "eq", True))
    assert equalities(read_filter('userName eq "a" or active eq true')) is None
    assert listed(read_filter('value eq "a" or value eq "b"')) == ("a", "b")
    assert listed(read_filter('value eq "a" and value eq "b"')) is None


def test_members_are_compared_by_value():
    group = {"displayName": "Devs", "members": [{"value": "A1"}, {"value": "b2"}]}
    assert holds(read_filter('members eq "A1"'), group, GROUPS)
    assert not holds(read_filter('members.value eq "a1"'), group, GROUPS)
