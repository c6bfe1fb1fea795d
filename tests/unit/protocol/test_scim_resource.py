"""Resources as they come, as they are kept, and as they are shown."""

from __future__ import annotations

import pytest

from vestibule.protocol.scim_error import ScimError
from vestibule.protocol.scim_resource import accepted, places, shown
from vestibule.protocol.scim_schema import ENTERPRISE, GROUPS, USER, USERS

KEPT = {
    "id": "d1",
    "userName": "ann",
    "name": {"givenName": "Ann", "familyName": "Example"},
    "emails": [{"value": "a@x.example", "type": "work"}, {"value": "b@x.example", "type": "home"}],
    ENTERPRISE: {"department": "Tours", "division": "North"},
    "meta": {"resourceType": "User", "version": 'W/"1"'},
}


def test_a_resource_is_kept_under_canonical_names_and_without_what_nobody_may_write():
    body = {
        "schemas": [USER],
        "id": "mine",
        "USERNAME": "ann",
        "Active": "False",
        "password": "hunter2",
        "name": {"GIVENNAME": "Ann", "other": 1},
        "emails": {"value": "a@x.example", "primary": "true"},
        "groups": [{"value": "admins"}],
        "meta": {"created": "2020"},
        "nickName": None,
        "roles": [],
        "title": "x",
        ENTERPRISE.lower(): {"Manager": "m1", "department": "Tours"},
        "urn:other:extension": {"a": 1},
    }
    assert accepted(body, USERS) == {
        "userName": "ann",
        "active": False,
        "name": {"givenName": "Ann"},
        "emails": [{"value": "a@x.example", "primary": True}],
        "title": "x",
        ENTERPRISE: {"manager": {"value": "m1"}, "department": "Tours"},
    }


def test_members_are_told_once_each():
    body = {
        "displayName": "Devs",
        "members": [{"value": "a"}, {"value": "b", "display": "B"}, {"value": "a"}, "c"],
    }
    assert accepted(body, GROUPS)["members"] == [{"value": "a"}, {"value": "b"}, {"value": "c"}]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"userName": ""},
        {"userName": "  "},
        {"userName": 7},
        {"userName": "a\0"},
        {"userName": "a" * 10_000},
        {"userName": "a", "active": "yes"},
        {"userName": "a", "name": "Ann"},
        {"userName": "a", "emails": [7]},
        {"userName": "a", "emails": [{"value": "x", "primary": True}, {"value": "y", "primary": True}]},
        {"userName": "a", "x509Certificates": [{"value": "not base64!"}]},
        {"userName": "a", ENTERPRISE: "x"},
    ],
)
def test_what_a_person_can_not_be_is_told(body):
    with pytest.raises(ScimError) as told:
        accepted(body, USERS)
    assert told.value.scim_type == "invalidValue"


@pytest.mark.parametrize("body", [None, [], "x", 1])
def test_a_resource_is_an_object(body):
    with pytest.raises(ScimError) as told:
        accepted(body, USERS)
    assert told.value.scim_type == "invalidSyntax"


def test_all_of_it_is_shown_with_its_schemas():
    told = shown(KEPT, USERS)
    assert told["schemas"] == [USER, ENTERPRISE]
    assert {name: told[name] for name in KEPT} == KEPT
    assert shown({"userName": "a"}, USERS)["schemas"] == [USER]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("userName", {"userName"}),
        ("USERNAME, nothing", {"userName"}),
        (f"{USER}:userName,emails", {"userName", "emails"}),
        ("name.givenName", {"name"}),
        (f"{ENTERPRISE}:department", {ENTERPRISE}),
        (ENTERPRISE, {ENTERPRISE}),
        ("nothing", set()),
    ],
)
def test_what_is_asked_for_is_shown_and_the_id(asked, names):
    told = shown(KEPT, USERS, wanted=places(asked, USERS))
    assert told.keys() == {"schemas", "id"} | names


def test_parts_of_what_is_complex_are_asked_for():
    told = shown(KEPT, USERS, wanted=places("name.givenName,name.familyName,emails.type", USERS))
    assert told["name"] == KEPT["name"]
    assert told["emails"] == [{"type": "work"}, {"type": "home"}]
    told = shown(KEPT, USERS, wanted=places(f"{ENTERPRISE}:division", USERS))
    assert told[ENTERPRISE] == {"division": "North"}


def test_what_is_not_wanted_is_left_out_but_for_the_id():
    asked = f"id,schemas,meta,name.givenName,emails.type,{ENTERPRISE}:division,nothing"
    told = shown(KEPT, USERS, unwanted=places(asked, USERS))
    assert told.keys() == {"schemas", "id", "userName", "name", "emails", ENTERPRISE}
    assert told["name"] == {"familyName": "Example"}
    assert told["emails"] == [{"value": "a@x.example"}, {"value": "b@x.example"}]
    assert told[ENTERPRISE] == {"department": "Tours"}
    assert KEPT[ENTERPRISE] == {"department": "Tours", "division": "North"}
    assert ENTERPRISE not in shown(KEPT, USERS, unwanted=places(ENTERPRISE, USERS))
