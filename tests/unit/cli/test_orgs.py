"""`vestibule orgs`, over the real API."""

from __future__ import annotations

import pytest

from tests.unit.cli.test_remote import Shell
from tests.unit.web.api.desk import ApiDesk


@pytest.fixture
def shell(monkeypatch) -> Shell:
    return Shell(ApiDesk(), monkeypatch)


def test_an_organisation_from_beginning_to_end(shell):
    user = shell.api.person(1)
    assert shell.run("orgs", "list").stdout == "No organisations.\n"
    assert shell.run("orgs", "create", "acme").stdout == "acme is an organisation: rules name it org:acme.\n"
    assert shell.run("orgs", "rename", "acme", "Acme Ltd").exit_code == 0
    assert [one["name"] for one in shell.json("orgs", "list")] == ["Acme Ltd"]
    assert "Acme Ltd" in shell.run("orgs", "show", "acme").stdout
    made = shell.json("orgs", "put-member", "acme", user.email, "--role", "admin")
    assert (made["user_id"], made["roles"]) == (user.id, ["admin"])
    assert shell.json("orgs", "put-member", "acme", user.id)["roles"] == ["admin"]
    assert shell.json("orgs", "put-member", "acme", user.id, "--no-roles")["roles"] == []
    assert shell.run("orgs", "create-group", "acme", "ops").exit_code == 0
    assert shell.run("orgs", "join-group", "acme", "ops", user.email).exit_code == 0
    assert user.id in shell.run("orgs", "group", "acme", "ops").stdout
    assert [one["name"] for one in shell.json("orgs", "groups", "acme")] == ["ops"]
    assert shell.run("orgs", "leave-group", "acme", "ops", user.id).exit_code == 0
    assert shell.run("orgs", "group", "acme", "ops").stdout == "Nobody is in it.\n"
    assert shell.run("orgs", "delete-group", "acme", "ops").exit_code == 0
    gone = shell.run("orgs", "delete-group", "acme", "ops")
    assert (gone.exit_code, "acme has no group ops." in gone.stderr) == (1, True)
    assert shell.run("orgs", "remove-member", "acme", user.id).exit_code == 0
    assert shell.run("orgs", "members", "acme").stdout == "No members.\n"
    assert shell.run("orgs", "delete", "acme", "--yes").exit_code == 0


def test_domains(shell):
    shell.run("orgs", "create", "acme")
    said = shell.run("orgs", "add-domain", "acme", "acme.example").stdout
    assert "_vestibule-verification.acme.example TXT" in said
    assert shell.run("orgs", "verify-domain", "acme", "acme.example").exit_code == 1
    assert (
        shell.json("orgs", "verify-domain", "acme", "acme.example", "--unasked")["verified_by"] == "operator"
    )
    assert "by operator" in shell.run("orgs", "domains", "acme").stdout
    assert shell.run("orgs", "remove-domain", "acme", "acme.example").exit_code == 0
    assert shell.run("orgs", "domains", "acme").stdout == "No domains.\n"


def test_roles_are_given_or_taken(shell):
    shell.run("orgs", "create", "acme")
    result = shell.run("orgs", "put-member", "acme", "u1", "--role", "x", "--no-roles")
    assert result.exit_code == 2
