"""`vestibule import`: what goes where, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from vestibule.cli import main
from vestibule.cli.import_ import import_
from vestibule.config.importers.source import MAX_BYTES

_TOML = (
    'provider = "google"\nclient_id = "a"\nclient_secret = "hidden"\nemail_domains = "example.com"\n'
    'upstreams = "http://127.0.0.1:1"\nredirect_url = "https://app.example.com/oauth2/callback"\nfrob = 1\n'
)


def run(product: str, *arguments: str, stdin: str | bytes | None = None):
    return CliRunner().invoke(import_, [product, *arguments], input=stdin)


def test_the_configuration_goes_to_standard_output_and_what_is_told_of_it_to_standard_error(
    tmp_path: Path,
) -> None:
    file = tmp_path / "o.cfg"
    file.write_text(_TOML, "utf-8")
    result = run("oauth2-proxy", str(file))
    assert result.exit_code == 0
    assert result.stdout.startswith("# Made by `vestibule import oauth2-proxy`.")
    assert 'host "app.example.com" {' in result.stdout
    assert result.stderr == (
        f"set: OAUTH2_PROXY_CLIENT_SECRET: to what stood as client_secret in {file}: a secret is not printed\n"
        "unknown: frob: no option of oauth2-proxy\n"
    )
    assert "hidden" not in result.output


def test_the_command_is_called_import(tmp_path: Path) -> None:
    file = tmp_path / "o.cfg"
    file.write_text(_TOML, "utf-8")
    assert CliRunner().invoke(main, ["import", "oauth2-proxy", str(file)]).exit_code == 0


def test_a_dash_is_standard_input() -> None:
    assert run("oauth2-proxy", "-", stdin=_TOML).stdout == run("oauth2-proxy", "-", stdin=_TOML).stdout
    assert 'host "other.example" {' in run("oauth2-proxy", "-", "--host", "other.example", stdin=_TOML).stdout


def test_files_that_options_name_are_looked_for_here_and_beside_the_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "emails").write_text("ann@example.com\n", "utf-8")
    for folder, name in ((tmp_path, "etc/emails"), (tmp_path / "etc", "emails")):
        file = folder / "o.cfg"
        file.write_text(_TOML + f'authenticated_emails_file = "{name}"\n', "utf-8")
        assert '"email:ann@example.com"' in run("oauth2-proxy", str(file)).stdout


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "can't be read: No such file or directory"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"x" * (MAX_BYTES + 10), "is larger than 1 MiB: that is no configuration"),
        (b"hello\n", "holds neither YAML nor environment variables of Vouch"),
    ],
    ids=["missing", "no text", "large", "something else"],
)
def test_what_can_t_be_read_is_a_line_and_1(tmp_path: Path, content: bytes | None, fault: str) -> None:
    file = tmp_path / "v.yml"
    if content is not None:
        file.write_bytes(content)
    result = run("vouch", str(file))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"{file}: {fault}\n"


def test_what_loads_as_it_is_is_printed_as_it_is() -> None:
    text = 'host "a.example" {\n  backend = "localhost:1"\n}\n'
    result = run("io", "-", stdin=text)
    assert (result.exit_code, result.stdout) == (0, text)
    assert result.stderr == "nothing to change: it loads as it is\n"


def test_what_would_steer_a_terminal_is_not_repeated() -> None:
    result = run("oauth2-proxy", "-", stdin='"\\u001b[31mfrob" = 1\nprovider = "google"\n')
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize("arguments", [(), ("oauth2-proxy",), ("traefik", "x"), ("vouch", "--frob", "x")])
def test_wrong_usage_is_2(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(import_, list(arguments)).exit_code == 2
