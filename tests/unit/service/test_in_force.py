"""The configuration in force, and what the files say by now."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vestibule.config.compile import compile_config
from vestibule.config.load import Loaded, load
from vestibule.errors import ConfigError
from vestibule.service.in_force import InForce

TEXT = """
provider "op" {
  type          = "oidc"
  issuer        = "https://op.example"
  client_id     = "app"
  client_secret = file("secret.txt")
}
host "app.example.com" {
  backend = "127.0.0.1:3000"
  sign_in = ["op"]
  access {
    allow = ["anyone"]
  }
}
"""


class Running:
    """A program that was started with a file."""

    def __init__(self, folder: Path, rehearse: Callable[[Loaded], None] = lambda loaded: None) -> None:
        self.file, self.secret = folder / "v.hcl", folder / "secret.txt"
        self.file.write_text(TEXT)
        self.secret.write_text("CANARY-one")
        self.in_force = InForce(compile_config(load([self.file], {})), {}, rehearse=rehearse)

    def write(self, *pairs: tuple[str, str]) -> None:
        text = TEXT
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        self.file.write_text(text)


@pytest.fixture
def running(tmp_path: Path) -> Running:
    return Running(tmp_path)


def test_what_is_in_force_has_its_places(running: Running) -> None:
    told = running.in_force.told()
    assert told.files == (str(running.file),)
    assert [(one.kind, one.name, one.place) for one in told.parts] == [
        ("provider", "op", f"{running.file}:2"),
        ("host", "app.example.com", f"{running.file}:8"),
    ]
    assert "CANARY" not in repr(told)


async def test_as_long_as_nothing_changes_there_is_no_difference(running: Running) -> None:
    found = await running.in_force.difference()
    assert (found.is_changed, found.diff, found.restart, found.faults) == (False, "", (), ())


async def test_layout_and_comments_are_no_difference(running: Running) -> None:
    running.write(("  backend =", "# who\n  backend      =   "))
    assert not (await running.in_force.difference()).is_changed


async def test_lines_that_differ_are_told_and_the_names_of_what_changed(running: Running) -> None:
    running.write(
        ('"127.0.0.1:3000"', '"127.0.0.1:3001"'),
        ('provider "op"', 'provider "other"'),
        ('["op"]', '["other"]'),
    )
    read = await running.in_force.read()
    found = read.difference
    assert '-  backend = "http://127.0.0.1:3000"' not in found.diff
    assert '-  backend = "127.0.0.1:3000"\n' in found.diff
    assert '+  backend = "127.0.0.1:3001"\n' in found.diff
    assert found.restart == ()
    assert read.changed == {
        "added": ("provider other",),
        "changed": ("host app.example.com",),
        "removed": ("provider op",),
    }


async def test_what_takes_more_than_a_reload_is_told_with_its_line(running: Running) -> None:
    text = running.file.read_text()
    line = text.count("\n") + 1
    running.file.write_text(text + 'gateway {\n  state = "elsewhere"\n}\nlog {\n  output = "stdout"\n}\n')
    found = await running.in_force.difference()
    assert [fault.partition(" can't")[0] for fault in found.restart] == [
        f"{running.file}:{line + 1}:3: `state`",
        f"{running.file}:{line + 4}:3: `output`",
    ]


async def test_the_fingerprint_is_another_whenever_the_files_say_something_else(running: Running) -> None:
    first = (await running.in_force.difference()).fingerprint
    assert (await running.in_force.difference()).fingerprint == first
    running.secret.write_text("CANARY-two")
    second = (await running.in_force.difference()).fingerprint
    assert len({first, second, (await running.in_force.difference()).fingerprint}) == 2


async def test_a_secret_that_changed_is_said_to_have_and_not_shown(running: Running) -> None:
    running.secret.write_text("CANARY-two")
    found = await running.in_force.difference()
    assert found.is_changed
    assert '-  client_secret = "***"\n+  client_secret = "***" (changed)' in found.diff
    assert "CANARY" not in repr(found)
    assert "\0" not in found.diff


async def test_faults_are_told_as_check_tells_them(running: Running) -> None:
    running.write(
        ("backend =", "bakend ="), ('"https://op.example"', '"https://u:CANARY@op.example/x?a=CANARY"')
    )
    with pytest.raises(ConfigError) as caught:
        load([running.file], {})
    found = await running.in_force.difference()
    assert (found.is_changed, found.diff) == (True, "")
    assert len(found.faults) == len(caught.value.faults)
    assert found.faults[-1] == caught.value.faults[-1]
    assert "CANARY" not in repr(found)


async def test_a_file_that_is_gone_is_a_fault(running: Running) -> None:
    running.file.unlink()
    found = await running.in_force.difference()
    assert "can't be read" in found.faults[0]


async def test_what_only_pages_show_is_a_fault_too(tmp_path: Path) -> None:
    def rehearse(loaded: Loaded) -> None:
        raise ConfigError((f"{loaded.files[0]}:3:1: the template is broken",))

    found = await Running(tmp_path, rehearse).in_force.difference()
    assert found.faults == (f"{tmp_path}/v.hcl:3:1: the template is broken",)


def test_files_written_since_are_newer(running: Running) -> None:
    os.utime(running.file, (0, 0))
    assert running.in_force.newer == ()
    os.utime(running.file, (4e9, 4e9))
    assert running.in_force.newer == (str(running.file),)
