"""`vestibule keys`: what is written, what is told, what is refused."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vestibule.cli import keys as command
from vestibule.core.seal import Key, in_order
from vestibule.store import keyfile

CONFIG = 'lifetimes { session_absolute = "60d" }\nhost "a.example" {\n  backend = "localhost:1"\n  access { allow = ["public"] }\n}\n'
DAY_S = 86400.0


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """The directory of a configuration, with a key file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vestibule.hcl").write_text(CONFIG, "utf-8")
    keyfile.read_or_create(key_file(tmp_path))
    return tmp_path


def key_file(home: Path) -> Path:
    return home / "state" / "vestibule.key"


def run(*words: str, environ: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(
        command.keys, [*words, "vestibule.hcl"], env=environ or {}, prog_name="vestibule keys"
    )


def put(home: Path, *keys: Key) -> None:
    keyfile.change(key_file(home), lambda _old: keys)


def listed(result: Result) -> dict[str, str]:
    return {key["id"]: key["state"] for key in json.loads(result.stdout)["keys"]}


OLD = Key("old", b"o" * 32)


def replaced(days: float) -> tuple[Key, Key]:
    """A new key in place of the old one since so many days."""
    return Key("new", b"n" * 32, time.time() - days * DAY_S), OLD


def test_a_rotated_key_waits_and_then_seals_and_the_old_one_stays(home):
    [first] = keyfile.read_keys(key_file(home))
    before = time.time()
    result = run("rotate")
    assert result.exit_code == 0, result.output
    new, kept = keyfile.read_keys(key_file(home))
    assert kept == first
    assert before + 60 <= new.active_at <= time.time() + 60
    assert result.stdout.startswith(f"{new.id} seals from ")
    assert listed(run("list", "--json")) == {new.id: "waits", first.id: "seals"}
    assert in_order((new, kept), new.active_at)[0] == new


def test_a_key_can_seal_at_once_or_later(home):
    assert run("rotate", "--now").exit_code == 0
    assert run("rotate", "--delay", "12h").exit_code == 0
    later, now, _ = keyfile.read_keys(key_file(home))
    assert now.active_at <= time.time()
    assert later.active_at > time.time() + 11 * 3600


def test_a_key_is_not_passed_over_that_waits(home):
    assert run("rotate", "--delay", "12h").exit_code == 0
    result = run("rotate")
    assert result.exit_code == 1
    assert "begins to seal at that time or later" in result.stderr
    assert len(keyfile.read_keys(key_file(home))) == 2


def test_no_secret_is_shown(home):
    result = run("list", "--json")
    [key] = keyfile.read_keys(key_file(home))
    shown = run("list").output + result.output
    assert key.id in shown
    assert json.loads(result.stdout)["keys"][0].keys() == {"id", "state", "active_at", "free_at"}


@pytest.mark.parametrize(
    ("days", "state"),
    [
        pytest.param(60, "needed", id="sessions of it may live"),
        pytest.param(62, "free", id="the longest are over"),
    ],
)
def test_a_key_is_retired_when_the_longest_session_of_it_is_over(home, days, state):
    put(home, *replaced(days))
    assert listed(run("list", "--json")) == {"new": "seals", "old": state}
    result = run("retire", "old")
    if state == "free":
        assert (result.exit_code, result.stdout) == (0, "old is retired.\n")
        assert [key.id for key in keyfile.read_keys(key_file(home))] == ["new"]
    else:
        assert result.exit_code == 1
        assert result.stderr.startswith("vestibule keys retire: old may be needed until ")
        assert len(keyfile.read_keys(key_file(home))) == 2


def test_a_host_with_longer_sessions_has_its_say(home):
    put(home, *replaced(62))
    text = CONFIG.replace("60d", "90d")
    (home / "vestibule.hcl").write_text(text, "utf-8")
    assert run("retire", "old").exit_code == 1


def test_a_needed_key_can_be_taken_away_all_the_same(home):
    put(home, *replaced(1))
    assert run("retire", "old", "--force").exit_code == 0
    assert [key.id for key in keyfile.read_keys(key_file(home))] == ["new"]


def test_a_key_that_was_replaced_by_hand_is_needed_for_nobody_knows_how_long(home):
    put(home, Key("hand", b"h" * 32), OLD)
    result = run("retire", "old")
    assert result.exit_code == 1
    assert "for a time nobody wrote down" in result.stderr


def test_a_key_that_never_sealed_can_go(home):
    put(home, Key("new", b"n" * 32, time.time() + 3600), OLD)
    assert run("retire", "new").exit_code == 0


@pytest.mark.parametrize("key_id", ["new", "old"])
@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "forced"])
def test_the_key_that_seals_never_goes(home, key_id, force):
    put(home, *(replaced(1) if key_id == "new" else (OLD,)))
    result = run("retire", key_id, *force)
    assert result.exit_code == 1
    assert f"{key_id} is the key that seals" in result.stderr


def test_an_unknown_key_is_told(home):
    result = run("retire", "nobody's", "--force")
    assert (result.exit_code, "there is no key nobody's" in result.stderr) == (1, True)


@pytest.mark.parametrize("words", [("rotate",), ("retire", "x", "--force")])
def test_keys_of_the_environment_are_changed_there(home, words):
    result = run(*words, environ={"VESTIBULE_SESSION_KEY": "0123456789abcdefghijklmnopqrstuv"})
    assert result.exit_code == 1
    assert "the keys stand in VESTIBULE_SESSION_KEY" in result.stderr


def test_keys_of_the_environment_are_listed_the_first_seals(home):
    one, two = "0123456789abcdefghijklmnopqrstuv", "vutsrqponmlkjihgfedcba9876543210"
    first = listed(run("list", "--json", environ={"VESTIBULE_SESSION_KEY": f"{one}, {two}"}))
    assert list(first.values()) == ["seals", "needed"]
    again = listed(run("list", "--json", environ={"VESTIBULE_SESSION_KEY": f"{two},{one}"}))
    assert list(again) == list(first)[::-1]


@pytest.mark.parametrize("words", [("list",), ("rotate",), ("retire", "x")])
def test_a_file_that_is_not_there_is_told_and_not_made(home, words):
    key_file(home).unlink()
    result = run(*words)
    assert result.exit_code == 1
    assert "vestibule.key can't be" in result.stderr
    assert not key_file(home).exists()


def test_a_faulty_configuration_is_told(home):
    (home / "vestibule.hcl").write_text("gatway { }\n", "utf-8")
    result = run("list")
    assert result.exit_code == 1
    assert "there is no block `gatway` here" in result.stderr
