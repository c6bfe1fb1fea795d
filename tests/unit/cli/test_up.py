"""`vestibule up`: writes once, says what to do, checks, and becomes the gateway."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from vestibule.cli.up import up

_SET = {"GOOGLE_CLIENT_ID": "id", "GOOGLE_CLIENT_SECRET": "hidden"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs it in a folder of its own; instead of becoming the gateway it notes what it would have become."""
    monkeypatch.chdir(tmp_path)
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: became.append([path, *arguments]))

    def invoke(*arguments: str, environ: dict[str, str] | None = None):
        return CliRunner().invoke(up, list(arguments), env=environ or {}), became

    return invoke


def test_it_writes_checks_and_serves(run, tmp_path: Path) -> None:
    result, became = run("localhost", "3000", "--google", "you@gmail.com", environ=_SET)
    assert result.exit_code == 0
    assert (tmp_path / "vestibule.hcl").read_text("utf-8").startswith("gateway {\n")
    assert "Register this redirect URL with google: http://localhost:8000/@google/callback\n" in result.stdout
    assert "It listens on 127.0.0.1:8000, for this machine alone\n" in result.stdout
    assert "good: 1 host, 0 routes, 1 identity client, 0 calling interfaces\n" in result.stdout
    assert became == [[sys.executable, sys.executable, "-P", "-m", "vestibule", "serve", "vestibule.hcl"]]
    assert "hidden" not in result.output


def test_with_a_name_a_certificate_is_ordered(run) -> None:
    arguments = (
        "app.example.com",
        "3000",
        "--google",
        "example.com",
        "--email",
        "ops@example.com",
        "--no-serve",
    )
    result, _ = run(*arguments, environ=_SET)
    assert (
        "It listens on 0.0.0.0:80 and 0.0.0.0:443. A certificate for app.example.com is ordered"
        in result.stdout
    )
    assert '  email = "ops@example.com"\n' in result.stdout


def test_behind_an_edge_that_must_speak_tls(run) -> None:
    result, _ = run(
        "app.example.com", "3000", "--google", "example.com", "--edge", "--no-serve", environ=_SET
    )
    assert (
        "It listens on 127.0.0.1:8000, for this machine alone: an edge here must speak TLS for app.example.com"
        in result.stdout
    )


def test_without_serving_it_ends(run) -> None:
    result, became = run("localhost", "3000", "--google", "you@gmail.com", "--no-serve", environ=_SET)
    assert (result.exit_code, became) == (0, [])


@pytest.mark.parametrize(("further", "code"), [((), 1), (("--no-serve",), 0)])
def test_what_is_to_be_set_is_told_and_nothing_is_started(run, further, code) -> None:
    result, became = run("localhost", "3000", "--google", "you@gmail.com", *further)
    assert (result.exit_code, became) == (code, [])
    assert "Set GOOGLE_CLIENT_ID\nSet GOOGLE_CLIENT_SECRET\n" in result.stdout
    assert result.stdout.endswith("Then: vestibule serve vestibule.hcl\n")


def test_a_file_that_is_there_is_never_overwritten(run, tmp_path: Path) -> None:
    (tmp_path / "vestibule.hcl").write_text("mine", "utf-8")
    result, became = run("localhost", "3000", "--google", "you@gmail.com", environ=_SET)
    assert (result.exit_code, became) == (1, [])
    assert result.stderr == "vestibule.hcl is there already: --force overwrites it, --file names another\n"
    assert (tmp_path / "vestibule.hcl").read_text("utf-8") == "mine"


def test_but_where_that_is_asked_for(run, tmp_path: Path) -> None:
    (tmp_path / "vestibule.hcl").write_text("mine", "utf-8")
    result, _ = run("localhost", "3000", "--google", "you@gmail.com", "--force", environ=_SET)
    assert result.exit_code == 0
    assert (tmp_path / "vestibule.hcl").read_text("utf-8") != "mine"


def test_another_file_may_be_written(run, tmp_path: Path) -> None:
    result, became = run("localhost", "3000", "--github", "acme", "--file", "a.hcl", "--no-serve")
    assert (result.exit_code, became) == (0, [])
    assert 'allowed_orgs  = ["acme"]' in (tmp_path / "a.hcl").read_text("utf-8")


def test_where_nothing_can_be_written_it_says_so(run) -> None:
    result, _ = run("localhost", "3000", "--github", "acme", "--file", "no/such/folder.hcl")
    assert (result.exit_code, result.stderr) == (
        1,
        "no/such/folder.hcl can't be written: No such file or directory\n",
    )


def test_another_kind_of_provider(run, tmp_path: Path) -> None:
    result, _ = run(
        *("localhost", "3000", "--provider", "oidc", "--set", "issuer=https://id.example.com"),
        *("--allow", "domain:example.com", "--no-serve"),
        environ={"OIDC_CLIENT_ID": "a", "OIDC_CLIENT_SECRET": "b"},
    )
    assert result.exit_code == 0
    assert 'issuer        = "https://id.example.com"' in (tmp_path / "vestibule.hcl").read_text("utf-8")


def test_what_the_check_finds_is_told_and_nothing_is_started(run) -> None:
    result, became = run(
        *("localhost", "3000", "--provider", "oidc", "--set", "issuer=nonsense", "--allow", "anyone"),
        environ={"OIDC_CLIENT_ID": "a", "OIDC_CLIENT_SECRET": "b"},
    )
    assert (result.exit_code, became) == (1, [])
    assert result.stderr.startswith('vestibule.hcl:6:19: provider "oidc": issuer is not a URL')


@pytest.mark.parametrize(
    "arguments",
    [
        ("localhost",),
        ("localhost", "3000"),
        ("localhost", "3000", "--provider", "oidc"),
        ("localhost", "3000", "--google", "a@b.example", "--allow", "anyone"),
        ("10.0.0.4", "3000", "--google", "a@b.example"),
        ("localhost", "3000", "--provider", "frob", "--allow", "anyone"),
    ],
    ids=["no backend", "nobody", "no rule", "a rule for nothing", "an address", "no such kind"],
)
def test_wrong_usage_is_2_and_writes_nothing(run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result, _ = run(*arguments)
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []
