"""`vestibule log levels`, against the API in this process."""

from __future__ import annotations

import pytest

from tests.unit.cli.test_remote import Shell
from tests.unit.web.api.desk import ApiDesk
from vestibule.observe.log import COMPONENTS


@pytest.fixture
def shell(monkeypatch) -> Shell:
    return Shell(ApiDesk(), monkeypatch)


def levels_in(shell: Shell, *changes: str) -> dict[str, str]:
    lines = shell.run("log", "levels", *changes).stdout.splitlines()
    assert lines[0].split() == ["COMPONENT", "LEVEL"]
    return dict(line.split() for line in lines[1:])


def test_what_is_shown_is_the_level_that_counts(shell):
    shown = levels_in(shell)
    assert shown == {"level": "info", **dict.fromkeys(COMPONENTS, "info"), "access": "off"}


def test_changes_are_shown_as_they_are_then(shell):
    shown = levels_in(shell, "store=debug", "level=warning", "access=info")
    assert (shown["store"], shown["proxy"], shown["access"]) == ("debug", "warning", "info")
    assert levels_in(shell, "store=")["store"] == "warning"
    assert shell.json("log", "levels")["components"]["store"] == ""


@pytest.mark.parametrize("change", ["store", "=debug"])
def test_what_is_no_change_is_told(shell, change: str):
    refused = shell.run("log", "levels", change)
    assert (refused.exit_code, f"`{change}` is no change: store=debug" in refused.stderr) == (2, True)


def test_a_level_there_is_not_is_told(shell):
    refused = shell.run("log", "levels", "store=loud")
    assert (refused.exit_code, "store: is one of debug, info" in refused.stderr) == (1, True)
