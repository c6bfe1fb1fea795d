"""The schemas that are published, held against those of another implementation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from scim2_models import EnterpriseUser, Group, User

from vestibule.protocol.scim_schema import (
    CORE_GROUP,
    CORE_USER,
    ENTERPRISE_USER,
    GROUPS,
    USERS,
    found,
    kind_document,
    schema_document,
)

BASE = "https://auth.example.com/scim/v2"
#: where we differ from RFC 7643 section 8.7.1 on purpose
OWN = {
    "password": "none is taken",
    "groups.$ref": "",
    "members.value": "",
    "members.$ref": "people alone are members",
    "members.type": "people alone are members",
    "members.display": "not in RFC 7643 section 8.7.1, either",
    "manager.value": "a manager may be taken away by an empty one",
    "manager.$ref": "a directory sends the id alone",
}


def traits(attributes: list[dict[str, Any]], above: str = "") -> Iterator[tuple[str, Any]]:
    for one in attributes:
        name = above + one["name"]
        defaults = {"multiValued": False, "required": False, "mutability": "readWrite", "caseExact": False}
        yield name, (one["type"], *(one.get(key, default) for key, default in defaults.items()))
        yield from traits(one.get("subAttributes", []), f"{name}.")


@pytest.mark.parametrize(
    ("ours", "theirs"), [(CORE_USER, User), (CORE_GROUP, Group), (ENTERPRISE_USER, EnterpriseUser)], ids=str
)
def test_attributes_are_those_of_the_book(ours, theirs):
    book = theirs.to_schema().model_dump(mode="json", exclude_none=True)
    told = schema_document(ours, BASE)
    assert told["id"] == book["id"]
    mine, other = dict(traits(told["attributes"])), dict(traits(book["attributes"]))
    # Whether letters of a complex attribute count says nothing.
    different = {
        name
        for name in mine.keys() | other.keys()
        if mine.get(name) != other.get(name) and (mine.get(name, other.get(name)) or [""])[0] != "complex"
    }
    assert different <= OWN.keys(), {name: (mine.get(name), other.get(name)) for name in different}


def test_a_kind_says_where_it_is_and_what_extends_it():
    told = kind_document(USERS, BASE)
    assert (told["endpoint"], told["schema"]) == ("/Users", CORE_USER.id)
    assert told["schemaExtensions"] == [{"schema": ENTERPRISE_USER.id, "required": False}]
    assert "schemaExtensions" not in kind_document(GROUPS, BASE)


def test_names_are_found_in_any_case():
    email = found(CORE_USER.attributes, "EMAILS")
    assert email is not None
    assert email.sub("Primary") is not None
    assert found(CORE_USER.attributes, "password") is None
    assert USERS.extension(ENTERPRISE_USER.id.upper()) is ENTERPRISE_USER
