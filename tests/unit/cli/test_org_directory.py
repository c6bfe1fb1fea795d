"""`vestibule orgs directory`, over the real API."""

from __future__ import annotations

from typing import get_args

import pytest

from tests.unit.cli.test_remote import Shell
from tests.unit.web.api.desk import ApiDesk
from vestibule.cli.org_directory import RULES
from vestibule.store.base_directory import JoinBy

TOKENS = ("orgs", "directory", "tokens", "acme")
CREATE = ("orgs", "directory", "create-token", "acme")


@pytest.fixture
def shell(monkeypatch) -> Shell:
    shell = Shell(ApiDesk(), monkeypatch)
    assert shell.run("orgs", "create", "acme").exit_code == 0
    return shell


def test_by_what_people_are_joined(shell):
    assert get_args(JoinBy) == RULES
    assert shell.run("orgs", "directory", "show", "acme").stdout.split() == ["join", "by", "subject"]
    assert shell.run("orgs", "directory", "join-by", "acme", "external_id").stdout == (
        "The people of acme are joined by external_id.\n"
    )
    assert shell.json("orgs", "directory", "show", "acme") == {"join_by": "external_id"}
    assert shell.run("orgs", "directory", "join-by", "acme", "email").exit_code == 2
    assert shell.run("orgs", "directory", "show", "nobody").exit_code == 1


def test_tokens_from_beginning_to_end(shell):
    assert shell.run(*TOKENS).stdout == "No tokens.\n"
    made = shell.run(*CREATE, "--name", "Okta", "--expires", "90d")
    assert made.stdout.startswith("vst_scim_")
    assert len(made.stdout.split()) == 1
    assert "This is shown once." in made.stderr
    [known] = shell.json(*TOKENS)
    assert (known["name"], "token" in known) == ("Okta", False)
    assert made.stdout.strip() not in shell.run(*TOKENS).output
    assert f"revoke-token acme {known['id']}" in made.stderr
    assert (
        shell.run("orgs", "directory", "revoke-token", "acme", known["id"]).stdout
        == f"{known['id']} is revoked.\n"
    )
    assert shell.run(*TOKENS).stdout == "No tokens.\n"
    assert shell.run("orgs", "directory", "revoke-token", "acme", known["id"]).exit_code == 1


def test_a_third_token_needs_the_word_and_takes_the_place_of_the_one_not_used_last(shell):
    first = shell.json(*CREATE)
    shell.api.now += 1
    second = shell.json(*CREATE)
    shell.api.now += 1
    refused = shell.run(*CREATE)
    assert (refused.exit_code, "revoke one first" in refused.stderr) == (1, True)
    assert len(shell.json(*TOKENS)) == 2

    third = shell.json(*CREATE, "--rotate")
    assert {one["id"] for one in shell.json(*TOKENS)} == {second["id"], third["id"]}
    assert first["id"] not in {second["id"], third["id"]}

    # `second` is what the directory has; `third` was never written down there
    shell.api.do(shell.api.store.directory.token_seen(second["id"], shell.api.now))
    shell.api.now += 1
    told = shell.run(*CREATE, "--rotate")
    assert f"{third['id']} is revoked." in told.stderr
    assert second["id"] in {one["id"] for one in shell.json(*TOKENS)}


def test_with_one_token_rotating_ends_none(shell):
    first = shell.json(*CREATE)
    second = shell.json(*CREATE, "--rotate")
    assert {one["id"] for one in shell.json(*TOKENS)} == {first["id"], second["id"]}
