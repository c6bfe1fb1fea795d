"""`vestibule check`: exit codes, and what goes where."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from vestibule.cli.check import check

GOOD = 'host "a.example" {\n  backend = "localhost:1"\n  access { allow = ["public"] }\n}\n'


def run(tmp_path: Path, *texts: str, environ: dict[str, str] | None = None):
    files = []
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.hcl"
        path.write_text(text, "utf-8")
        files.append(str(path))
    return CliRunner().invoke(check, files, env=environ or {})


def test_a_good_configuration_is_one_line_and_0(tmp_path: Path) -> None:
    result = run(tmp_path, GOOD)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "good: 1 host, 0 routes, 0 identity clients, 0 calling interfaces\n"


def test_every_fault_is_a_line_and_1(tmp_path: Path) -> None:
    result = run(tmp_path, GOOD + "gatway { }\n", "a = \n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"{tmp_path}/0.hcl:5:1: there is no block `gatway` here; did you mean `gateway`?\n"
        f"{tmp_path}/1.hcl:1:5: the line ends too early; expected a value\n"
    )


def test_a_warning_is_no_fault(tmp_path: Path) -> None:
    result = run(tmp_path, GOOD.replace('"localhost:1"', '"https://x"\n  insecure = true'))
    assert result.exit_code == 0
    assert result.stdout.startswith("good: ")
    assert result.stderr.startswith(f"warning: {tmp_path}/0.hcl:3:14: ")


def test_templates_are_tried_on_every_page(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "message.html").write_text("<p>\n{{ no_such_value }}", "utf-8")
    result = run(tmp_path, GOOD + 'branding { templates = "pages" }\n')
    assert result.exit_code == 1
    assert result.stderr == (
        f"{tmp_path}/pages/message.html:2:1: undefined value: `no_such_value` is undefined\n"
    )


def test_without_a_file_the_environment_is_checked(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith("environment: no configuration file is given, and VESTIBULE_BACKEND")


def test_wrong_usage_is_2() -> None:
    assert CliRunner().invoke(check, ["--frobnicate"]).exit_code == 2
