"""`vestibule trust`: which authority, what is printed, and the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from vestibule.cli import trust as module
from vestibule.cli.trust import trust
from vestibule.cli.trust_stores import Done

HOST = 'host "app.localhost" { backend = "localhost:1" access { allow = ["public"] } }'


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path, str]]:
    """What was asked of the stores, which are none of this machine's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "v.hcl").write_text(HOST)
    found: list[tuple[str, Path, str]] = []

    class Stores:
        answer = (Done("system", ok=True, said="there"),)

        def trust(self, certificate: Path, name: str) -> tuple[Done, ...]:
            found.append(("trust", certificate, name))
            return self.answer

        def forget(self, certificate: Path, name: str) -> tuple[Done, ...]:
            found.append(("forget", certificate, name))
            return self.answer

    monkeypatch.setattr(module, "Stores", Stores)
    return found


def test_the_configurations_own_authority_is_trusted(asked: list[tuple[str, Path, str]], tmp_path: Path):
    result = CliRunner().invoke(trust, ["v.hcl"])
    assert result.exit_code == 0
    ((what, path, name),) = asked
    assert (what, path) == ("trust", tmp_path / "state" / "local-authority" / "root.pem")
    assert name.startswith("vestibule-")
    assert "It can vouch for localhost, test" in result.stdout


def test_without_a_file_it_is_the_demos(asked: list[tuple[str, Path, str]], tmp_path: Path):
    CliRunner().invoke(trust, [])
    assert asked[0][1] == tmp_path / "data" / "vestibule" / "local-authority" / "root.pem"


def test_it_is_taken_back_under_the_same_name(asked: list[tuple[str, Path, str]]):
    CliRunner().invoke(trust, ["v.hcl"])
    CliRunner().invoke(trust, ["--remove", "v.hcl"])
    assert [what for what, _, _ in asked] == ["trust", "forget"]
    assert asked[0][2] == asked[1][2]


def test_printing_changes_nothing_and_shows_no_key(asked: list[tuple[str, Path, str]], tmp_path: Path):
    result = CliRunner().invoke(trust, ["--print", "v.hcl"])
    assert asked == []
    path, begin = result.stdout.splitlines()[:2]
    assert path == str(tmp_path / "state" / "local-authority" / "root.pem")
    assert begin == "-----BEGIN CERTIFICATE-----"
    assert "PRIVATE" not in result.output


def test_what_is_left_to_do_is_told_with_the_exit_code(
    asked: list[tuple[str, Path, str]], monkeypatch: pytest.MonkeyPatch
):
    refused = (Done("system", ok=False, said="Permission denied", advice="sudo install …"),)
    monkeypatch.setattr(module.Stores, "answer", refused)
    result = CliRunner().invoke(trust, ["v.hcl"])
    assert result.exit_code == 1
    assert "to do system: Permission denied\n        sudo install …" in result.stdout
    assert asked


def test_a_configuration_with_faults_is_told_of(asked: list[tuple[str, Path, str]], tmp_path: Path):
    (tmp_path / "v.hcl").write_text("host")
    result = CliRunner().invoke(trust, ["v.hcl"])
    assert result.exit_code == 1
    assert "v.hcl:1" in result.stderr
    assert asked == []
