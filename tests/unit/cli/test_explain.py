"""`vestibule explain`: with files and without, what it prints, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.unit.cli.test_remote import Shell
from tests.unit.web.api.desk import ApiDesk
from tests.unit.web.api.test_explain import TABLE, signed_in
from vestibule.cli.explain import explain
from vestibule.service.offer import Offer

TEXT = """provider "google" {
  client_id     = "a"
  client_secret = "b"
  hosted_domain = "example.com"
  claims { team = "team" }
}
host "app.example.com" {
  backend = "localhost:3000"
  sign_in = ["google"]
  access {
    allow = ["domain:example.com", "group:friends"]
    deny  = ["email:bob@example.com"]
  }
  route "/admin/" {
    methods = ["GET"]
    access {
      allow = ["group:admins", "claim:team=ops", "token:admin"]
      all   = ["network:10.0.0.0/8"]
    }
  }
  app_tokens = true
}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "app.hcl"
    path.write_text(TEXT, "utf-8")
    return path


def run(file: Path, *argv: str) -> Result:
    return CliRunner().invoke(explain, ["--config", str(file), *argv])


def test_an_explanation_names_host_route_rules_and_what_would_have_to_change(file: Path):
    result = run(file, "https://app.example.com/%61dmin/x", "--email", "eve@example.com", "--group", "staff", "--address", "10.0.0.7")  # fmt: skip
    assert result.exit_code == 1
    assert (
        result.stdout.replace(f"{file.parent}/", "")
        == """\
host          app.example.com (app.hcl:7)
route         /admin/ (app.hcl:14)
path          /admin/x
asked         GET by eve@example.com from 10.0.0.7
known by      what was said of them
answer        403 not_allowed
because       no rule allows it: group:admins, claim:team=ops, token:admin
to be let in  have admins among one's groups, have the claim team=ops or show a token with the scope admin

  methods  GET: holds; saw GET
  deny     email:bob@example.com: does not hold; saw eve@example.com by google (app.hcl:12)
  all      network:10.0.0.0/8: holds; saw 10.0.0.7 (app.hcl:18)
> allow    group:admins: does not hold; saw groups: staff by google (app.hcl:17)
> allow    claim:team=ops: can't be told; saw no claim team by google (app.hcl:17)
> allow    token:admin: does not hold; saw no token (app.hcl:17)
"""
    )


@pytest.mark.parametrize(
    ("argv", "answer", "code"),
    [
        (["/", "--email", "ann@example.com"], "in", 0),
        (["/", "--email", "bob@example.com"], "denied", 1),
        (["/", "--group", "friends"], "denied_unknown", 1),
        (["/"], "sign_in", 1),
        (["/admin"], "outside_network", 1),
        (["/admin", "--address", "10.0.0.1"], "sign_in", 1),
        (["/admin", "--address", "10.0.0.1", "--scope", "admin"], "denied_unknown", 1),
        (["/admin", "--address", "10.0.0.1", "--scope", "admin", "--email", "a@b.example"], "in", 0),
        (["/admin", "--address", "10.0.0.1", "--email", "a@b.example", "--claim", "team=dev", "--claim", "team=ops"], "in", 0),
        (["/admin", "--address", "10.0.0.1", "--method", "post"], "method_not_allowed", 1),
        (["/@/account"], "own", 0),
        (["/", "--email", "ann@example.com", "--provider", "google"], "in", 0),
    ],
)  # fmt: skip
def test_the_exit_code_says_whether_it_is_let_in(file: Path, argv: list[str], answer: str, code: int):
    path, *options = argv
    result = run(file, f"app.example.com{path}", *options, "--json")
    assert (json.loads(result.stdout)["answer"], result.exit_code) == (answer, code)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["app.example.com", "--as", "ann"], "--as is for users of the running gateway"),
        (["app.example.com", "--address", "10.1"], "10.1 is no IP address"),
        (["app.example.com", "--method", "g t"], "g t is no method"),
        (["app.example.com", "--email", "a@b.example", "--provider", "okta"], "okta can't sign in on app.example.com: google can"),
        (["app.example.com", "--claim", "team"], "write NAME=VALUE"),
        (["ftp://app.example.com"], "is no address of a web page"),
        (["app.example.com/a%2fb"], "malformed"),
        ([], "Missing argument 'URL'"),
    ],
)  # fmt: skip
def test_wrong_usage_is_2_and_says_what_is_wrong(file: Path, argv: list[str], said: str):
    result = run(file, *argv)
    assert result.exit_code == 2
    assert said in result.stderr


def test_facts_without_a_file_are_wrong_usage():
    result = CliRunner().invoke(explain, ["app.example.com", "--email", "ann@example.com"])
    assert result.exit_code == 2
    assert "goes with --config; --as names a user" in result.stderr


def test_a_file_at_fault_is_told_with_its_faults(tmp_path: Path):
    file = tmp_path / "bad.hcl"
    file.write_text("gatway { }\n", "utf-8")
    result = run(file, "app.example.com")
    assert result.exit_code == 1
    assert "bad.hcl:1:1: there is no block `gatway` here" in result.stderr


def test_a_name_that_would_steer_a_terminal_is_shown_tamed(file: Path):
    result = run(file, "app.example.com", "--email", "\x1b[31m@example.com")
    assert "\x1b" not in result.stdout


# -- of a running gateway ---------------------------------------------------------------------


@pytest.fixture
def api() -> ApiDesk:
    desk = ApiDesk()
    desk.registry._offer = Offer(TABLE, {})
    return desk


def test_a_user_of_the_running_gateway_is_explained_by_it(api: ApiDesk, monkeypatch: pytest.MonkeyPatch):
    shell = Shell(api, monkeypatch)
    signed_in(api, 1, groups=("admins",))
    argv = ("explain", "https://app.example.com/admin", "--as", "p1@example.com", "--address")
    let_in, denied = (shell.run(*argv, address) for address in ("10.0.0.7", "203.0.113.9"))
    assert (let_in.exit_code, denied.exit_code) == (0, 1)
    assert "known by  their session at app.example.com\nanswer    let in\n" in let_in.stdout
    assert "to be let in  come from 10.0.0.0/8\n" in denied.stdout


def test_somebody_unknown_is_told_in_a_line(api: ApiDesk, monkeypatch: pytest.MonkeyPatch):
    result = Shell(api, monkeypatch).run("explain", "app.example.com", "--as", "eve@example.com")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith("explain: nobody here is eve@example.com: name an id, an address or a login of a user\n")  # fmt: skip


@pytest.mark.parametrize(
    ("name", "who", "answer"),
    [
        ("", "eve", "let in"),
        ("read", "eve", "let in"),
        ("drop_all", "eve", "403 not_allowed"),
        ("drop_all", "ops", "let in"),
        ("drop_all", "bob", "403 denied"),
    ],
)
def test_a_tool_of_an_mcp_server_has_rules_of_its_own(tmp_path: Path, name: str, who: str, answer: str):
    file = tmp_path / "app.hcl"
    tool = 'tool "drop_*" {\n access {\n allow = ["email:ops@example.com"]\n }\n }\n'
    more = f'public_url = "https://app.example.com"\n mcp = true\n register_apps = true\n {tool} app_tokens = true'
    file.write_text(TEXT.replace("app_tokens = true", more), "utf-8")
    result = run(file, "https://app.example.com/mcp", "--email", f"{who}@example.com", "--tool", name)
    assert f" {answer}\n" in result.stdout
    assert result.exit_code == (answer != "let in"), result.output
    assert ("email:ops@example.com" in result.stdout) == (name == "drop_all" and who != "bob")
