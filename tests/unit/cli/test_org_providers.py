"""`vestibule orgs providers`, over the real API."""

from __future__ import annotations

import json

import pytest

from tests.unit.cli.test_remote import Shell
from tests.unit.web.api.desk import OKTA, ApiDesk

GROUP = ("orgs", "providers")
THEIRS = json.dumps({**OKTA, "id": "acme.okta"})


@pytest.fixture
def shell(monkeypatch) -> Shell:
    shell = Shell(ApiDesk(), monkeypatch)
    for slug in ("acme", "other"):
        assert shell.run("orgs", "create", slug).exit_code == 0
    return shell


def test_a_provider_from_beginning_to_end(shell):
    assert shell.run(*GROUP, "list", "acme").stdout == "No identity providers.\n"
    made = shell.run(*GROUP, "create", "acme", "-", text=THEIRS)
    assert made.stdout.startswith("acme.okta is enabled."), made.output
    assert [one["id"] for one in shell.json(*GROUP, "list", "acme")] == ["acme.okta"]
    assert "acme.okta" in shell.run(*GROUP, "list", "acme").stdout
    shown = shell.run(*GROUP, "show", "acme", "acme.okta").stdout
    assert json.loads(shown)["provider_type"] == OKTA["provider_type"]
    assert OKTA["openid_config"]["client_secret"] not in shown
    changed = shell.run(*GROUP, "update", "acme", "acme.okta", "-", text='{"title": "Okta"}')
    assert changed.stdout == "acme.okta is changed, and enabled.\n"
    assert shell.json(*GROUP, "show", "acme", "acme.okta")["title"] == "Okta"
    assert shell.run(*GROUP, "delete", "acme", "acme.okta").exit_code == 2
    assert shell.run(*GROUP, "delete", "acme", "acme.okta", "--yes").stdout == "acme.okta is deleted.\n"
    assert shell.run(*GROUP, "list", "acme").stdout == "No identity providers.\n"


def test_another_organisations_is_not_there(shell):
    assert shell.run(*GROUP, "create", "acme", "-", text=THEIRS).exit_code == 0
    for argv in (("show",), ("update", "-"), ("delete", "--yes")):
        command, *more = argv
        told = shell.run(*GROUP, command, "other", "acme.okta", *more, text="{}")
        assert told.exit_code == 1, told.output
    assert shell.run(*GROUP, "list", "other").stdout == "No identity providers.\n"
    assert shell.run(*GROUP, "create", "other", "-", text=THEIRS).exit_code == 1


def test_all_commands_are_told_of(shell):
    told = shell.run("orgs", "--help").stdout
    assert "directory" in told
    assert "providers" in told
    assert "acme.okta" in shell.run(*GROUP, "create", "--help").stdout
