"""Changes of a part of a resource, by the book and as Microsoft Entra ID and Okta send them.

The forms: learn.microsoft.com, "Develop and plan provisioning for a SCIM endpoint"; developer.okta.com, "SCIM 2.0".
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from vestibule.protocol.scim_error import ScimError
from vestibule.protocol.scim_patch import OPERATIONS_MAX, PATCH, Members, operations, patched
from vestibule.protocol.scim_schema import ENTERPRISE, GROUPS, USERS

ANN: dict[str, Any] = {
    "userName": "ann",
    "active": True,
    "name": {"givenName": "Ann", "familyName": "Example"},
    "emails": [
        {"value": "a@x.example", "type": "work", "primary": True},
        {"value": "b@x.example", "type": "home"},
    ],
    ENTERPRISE: {"department": "Tours", "manager": {"value": "m1"}},
}


def of(*changes: dict[str, Any], names: str = "Operations") -> dict[str, Any]:
    return {"schemas": [PATCH], names: list(changes)}


def person(*changes: dict[str, Any]) -> dict[str, Any]:
    before = copy.deepcopy(ANN)
    made = patched(ANN, operations(of(*changes)), USERS)
    assert before == ANN
    assert made.members == ()
    return made.document


def members(*changes: dict[str, Any]) -> tuple[Members, ...]:
    return patched({"displayName": "Devs"}, operations(of(*changes)), GROUPS).members


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ANN.items() if key != name}


#: (what is sent, what differs afterwards)
CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    # Entra ID
    ({"op": "Replace", "path": "active", "value": "False"}, {"active": False}),
    ({"op": "Replace", "path": "active", "value": False}, {"active": False}),
    ({"op": "Add", "path": "nickName", "value": "Babs"}, {"nickName": "Babs"}),
    (
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "n@x.example"},
        {"emails": [{"value": "n@x.example", "type": "work", "primary": True}, ANN["emails"][1]]},
    ),
    (
        {"op": "Add", "path": 'phoneNumbers[type eq "mobile"].value', "value": "12"},
        {"phoneNumbers": [{"type": "mobile", "value": "12"}]},
    ),
    (
        {"op": "Add", "path": "name.givenName", "value": "Anna"},
        {"name": {"givenName": "Anna", "familyName": "Example"}},
    ),
    (
        {"op": "Add", "path": f"{ENTERPRISE}:manager", "value": "m2"},
        {ENTERPRISE: {"department": "Tours", "manager": {"value": "m2"}}},
    ),
    (
        {"op": "Add", "path": f"{ENTERPRISE}:manager", "value": [{"$ref": "../Users/m2", "value": "m2"}][0]},
        {ENTERPRISE: {"department": "Tours", "manager": {"$ref": "../Users/m2", "value": "m2"}}},
    ),
    ({"op": "Remove", "path": f"{ENTERPRISE}:manager"}, {ENTERPRISE: {"department": "Tours"}}),
    (
        {"op": "Add", "path": 'roles[primary eq "True"].value', "value": "admin"},
        {"roles": [{"primary": True, "value": "admin"}]},
    ),
    (
        {
            "op": "Add",
            "value": {
                "name.givenName": "Anna",
                "active": "True",
                'emails[type eq "work"].value': "n@x.example",
                f"{ENTERPRISE}:department": "North",
                "nothing we know": 1,
            },
        },
        {
            "name": {"givenName": "Anna", "familyName": "Example"},
            "emails": [{"value": "n@x.example", "type": "work", "primary": True}, ANN["emails"][1]],
            ENTERPRISE: {"department": "North", "manager": {"value": "m1"}},
        },
    ),
    # Okta
    ({"op": "replace", "value": {"active": False}}, {"active": False}),
    (
        {"op": "replace", "value": {"id": "x", "schemas": [], "groups": [], "title": "Guide"}},
        {"title": "Guide"},
    ),
    # by the book
    ({"op": "add", "value": {"nickName": "Babs", "title": "Guide"}}, {"nickName": "Babs", "title": "Guide"}),
    (
        {
            "op": "add",
            "path": "emails",
            "value": [{"value": "c@x.example"}, {"value": "b@x.example", "type": "home"}],
        },
        {"emails": [*ANN["emails"], {"value": "c@x.example"}]},
    ),
    (
        {"op": "add", "path": "emails", "value": [{"value": "c@x.example", "primary": True}]},
        {
            "emails": [
                {"value": "a@x.example", "type": "work"},
                ANN["emails"][1],
                {"value": "c@x.example", "primary": True},
            ]
        },
    ),
    (
        {"op": "replace", "path": "emails", "value": [{"value": "c@x.example"}]},
        {"emails": [{"value": "c@x.example"}]},
    ),
    (
        {
            "op": "replace",
            "path": 'emails[type eq "home"]',
            "value": {"value": "c@x.example", "type": "other"},
        },
        {"emails": [ANN["emails"][0], {"value": "c@x.example", "type": "other"}]},
    ),
    ({"op": "remove", "path": 'emails[type eq "home"]'}, {"emails": ANN["emails"][:1]}),
    ({"op": "remove", "path": 'emails[type eq "pager"]'}, {}),
    (
        {"op": "remove", "path": 'emails[type eq "home"].type'},
        {"emails": [ANN["emails"][0], {"value": "b@x.example"}]},
    ),
    ({"op": "remove", "path": "title"}, {}),
    (
        {"op": "replace", "path": "name", "value": {"givenName": "Anna"}},
        {"name": {**ANN["name"], "givenName": "Anna"}},
    ),
    (
        {"op": "replace", "path": "emails.type", "value": "other"},
        {
            "emails": [
                {"value": "a@x.example", "type": "other", "primary": True},
                {"value": "b@x.example", "type": "other"},
            ]
        },
    ),
    (
        {"op": "add", "path": ENTERPRISE, "value": {"division": "N"}},
        {ENTERPRISE: {**ANN[ENTERPRISE], "division": "N"}},
    ),
    (
        {"op": "add", "value": {ENTERPRISE: {"division": "N"}}},
        {ENTERPRISE: {**ANN[ENTERPRISE], "division": "N"}},
    ),
    ({"op": "replace", "path": "title", "value": None}, {}),
]


@pytest.mark.parametrize(("change", "differs"), CHANGES, ids=lambda one: str(one)[:60])
def test_a_change_is_made(change, differs):
    assert person(change) == {**ANN, **differs}


def test_what_is_removed_is_gone():
    assert person({"op": "remove", "path": "emails"}) == without("emails")
    assert person({"op": "Remove", "path": ENTERPRISE}) == without(ENTERPRISE)
    assert person({"op": "remove", "path": "active"}) == without("active")


def test_changes_are_made_in_their_order():
    assert person(
        {"op": "add", "path": "title", "value": "a"}, {"op": "replace", "path": "title", "value": "b"}
    ) == {
        **ANN,
        "title": "b",
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"op": "remove"}, "noTarget"),
        ({"op": "replace", "path": 'emails[type eq "pager"].value', "value": "x"}, "noTarget"),
        ({"op": "add", "path": 'emails[type sw "pa"].value', "value": "x"}, "noTarget"),
        ({"op": "add", "path": "id", "value": "x"}, "mutability"),
        ({"op": "replace", "path": "meta.created", "value": "x"}, "mutability"),
        ({"op": "add", "path": "groups", "value": [{"value": "g1"}]}, "mutability"),
        ({"op": "remove", "path": "userName"}, "mutability"),
        ({"op": "add", "path": "nothing", "value": "x"}, "invalidPath"),
        ({"op": "add", "path": "password", "value": "x"}, "invalidPath"),
        ({"op": "add", "path": "urn:other:x", "value": "x"}, "invalidPath"),
        ({"op": "add", "path": 'userName[value eq "x"]', "value": "x"}, "invalidPath"),
        ({"op": "add", "path": "a b", "value": "x"}, "invalidPath"),
        ({"op": "add", "path": 7, "value": "x"}, "invalidPath"),
        ({"op": "add", "path": "emails[x", "value": "x"}, "invalidPath"),
        ({"op": "add", "path": "emails[nothing pr].value", "value": "x"}, "invalidFilter"),
        ({"op": "replace", "path": "active", "value": "maybe"}, "invalidValue"),
        ({"op": "replace", "path": "userName", "value": ""}, "invalidValue"),
        ({"op": "replace", "path": "userName", "value": None}, "invalidValue"),
        ({"op": "replace", "path": "name", "value": "Ann"}, "invalidValue"),
        ({"op": "add", "path": "title"}, "invalidValue"),
        ({"op": "add", "value": "x"}, "invalidValue"),
        ({"op": "move", "path": "title", "value": "x"}, "invalidSyntax"),
        ({"path": "title", "value": "x"}, "invalidSyntax"),
    ],
    ids=str,
)
def test_what_can_not_be_changed_is_told(change, code):
    with pytest.raises(ScimError) as told:
        person(change)
    assert told.value.scim_type == code


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"schemas": [PATCH]},
        of(),
        {"Operations": [{}]},
        {"schemas": "x", "Operations": [{}]},
        of("x"),
    ],  # type: ignore[arg-type]
    ids=str,
)
def test_what_is_no_patch_is_told(body):
    with pytest.raises(ScimError) as told:
        operations(body)
    assert told.value.scim_type == "invalidSyntax"


def test_there_are_not_operations_without_end():
    with pytest.raises(ScimError) as told:
        operations(of(*[{"op": "add", "path": "title", "value": "x"}] * (OPERATIONS_MAX + 1)))
    assert told.value.status == 413


def test_names_of_the_message_are_read_in_any_case():
    body = {"Schemas": [PATCH.upper()], "operations": [{"OP": "REPLACE", "Path": "active", "Value": "false"}]}
    assert patched(ANN, operations(body), USERS).document["active"] is False


@pytest.mark.parametrize(
    ("change", "step"),
    [
        (
            {"op": "Add", "path": "members", "value": [{"value": "a"}, {"value": "b"}]},
            Members(add=("a", "b")),
        ),
        ({"op": "add", "value": {"members": [{"value": "a", "display": "x"}]}}, Members(add=("a",))),
        ({"op": "add", "path": "members", "value": {"value": "a"}}, Members(add=("a",))),
        ({"op": "Remove", "path": "members", "value": [{"value": "a"}]}, Members(remove=("a",))),
        ({"op": "remove", "path": 'members[value eq "a"]'}, Members(remove=("a",))),
        ({"op": "remove", "path": 'members[value eq "a" or value eq "b"]'}, Members(remove=("a", "b"))),
        ({"op": "remove", "path": "members"}, Members(is_emptied=True)),
        (
            {"op": "replace", "path": "members", "value": [{"value": "a"}]},
            Members(add=("a",), is_emptied=True),
        ),
        ({"op": "replace", "path": "members", "value": []}, Members(is_emptied=True)),
        (
            {"op": "replace", "value": {"id": "g1", "members": [{"value": "a"}]}},
            Members(add=("a",), is_emptied=True),
        ),
    ],
    ids=str,
)
def test_members_are_told_apart(change, step):
    assert members(change) == (step,)


def test_thousands_of_members_come_in_one_change():
    several = [{"value": f"p{n}"} for n in range(20_000)]
    [step] = members({"op": "add", "path": "members", "value": several})
    assert len(step.add) == 20_000


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"op": "replace", "path": 'members[value eq "a"].value', "value": "b"}, "mutability"),
        ({"op": "add", "path": "members.value", "value": "b"}, "mutability"),
        ({"op": "remove", "path": 'members[type eq "User"]'}, "invalidFilter"),
        ({"op": "replace", "path": 'members[value eq "a"]', "value": {"value": "b"}}, "invalidFilter"),
        ({"op": "add", "path": "members", "value": [{"display": "x"}]}, "invalidValue"),
    ],
    ids=str,
)
def test_members_are_not_changed_otherwise(change, code):
    with pytest.raises(ScimError) as told:
        members(change)
    assert told.value.scim_type == code


def test_a_group_is_renamed_beside_its_members():
    change = {"op": "replace", "value": {"id": "g1", "displayName": "Devs 2"}}
    made = patched({"displayName": "Devs"}, operations(of(change)), GROUPS)
    assert made.document == {"displayName": "Devs 2"}
    assert made.members == ()


def test_a_list_is_refused_once_it_is_too_long_and_not_at_the_end():
    several = [
        {"op": "add", "path": "emails", "value": [{"value": f"{step} {number}"} for number in range(1000)]}
        for step in range(3)
    ]
    with pytest.raises(ScimError) as caught:
        person(*several, {"op": "add", "path": "nothing", "value": "is reached"})
    assert caught.value.scim_type == "tooMany"


def test_filters_of_one_change_compare_so_much_and_no_more():
    emails = [{"value": str(number)} for number in range(1000)]
    path = "emails[" + " or ".join(f'value eq "x{number}"' for number in range(60)) + "]"
    changes = [{"op": "remove", "path": path}] * 2
    with pytest.raises(ScimError) as caught:
        person({"op": "replace", "path": "emails", "value": emails}, *changes)
    assert caught.value.scim_type == "tooMany"
    assert len(person({"op": "replace", "path": "emails", "value": emails}, changes[0])["emails"]) == 1000


@pytest.mark.parametrize(
    "change",
    [
        {"op": "add", "path": "emails", "value": [{"value": "1"}]},
        {"op": "remove", "path": "emails", "value": [{"value": "x"}]},
        {"op": "replace", "path": "emails.type", "value": "work"},
    ],
    ids=str,
)
def test_a_long_list_is_looked_through_so_often_and_no_more(change):
    """Threat: a thousand changes of a thousand values, from a body of some kilobytes."""
    full = {"op": "replace", "path": "emails", "value": [{"value": str(number)} for number in range(1000)]}
    with pytest.raises(ScimError) as caught:
        person(full, *[change] * 999)
    assert caught.value.scim_type == "tooMany"
    assert len(person(full, *[change] * 99)["emails"]) == 1000
