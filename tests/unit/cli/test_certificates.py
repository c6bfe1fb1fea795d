"""`vestibule certificates`, against the API in this process."""

from __future__ import annotations

import pytest

from tests.unit.cli.test_remote import Shell
from tests.unit.web.api.desk import ApiDesk
from tests.unit.web.api.test_certificates import failing, want


@pytest.fixture
def shell(monkeypatch) -> Shell:
    return Shell(ApiDesk(), monkeypatch)


def test_what_is_not_ordered_is_told(shell):
    done = shell.run("certificates", "renew", "app.example.com")
    assert done.exit_code == 1
    assert "no certificate for app.example.com is ordered here" in done.stderr


def test_it_wants_a_name(shell):
    assert shell.run("certificates", "renew").exit_code == 2


def test_a_name_without_a_certificate_is_listed_with_why_what_to_do_and_when_it_is_tried_again(shell):
    want(shell.api, "bad.example.com")
    shell.api.orders = (failing("bad.example.com", shell.api.now + 60),)
    said = shell.run("certificates", "list", COLUMNS="400").stdout
    head, row = said.splitlines()
    assert head.split()[:2] == ["NAMES", "STATE"]
    assert row.split()[:3] == ["bad.example.com", "failing", "-"]
    assert "NXDOMAIN looking up A; point an A record here; next try 2027-01-15 08:01 UTC" in row
