"""Commands that ask a running gateway: what they call, what they print, how they end."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from tests.unit.web.api.desk import OKTA, ApiDesk
from vestibule import admin_client, admin_link
from vestibule.cli import COMMANDS, main
from vestibule.cli.remote import Span
from vestibule.core.app_token import Wish
from vestibule.errors import ClientError


class InProcess:
    """`http.client`'s connection and answer, to an API in this process."""

    will_close = True
    timeout = 0.0

    def __init__(self, api: ApiDesk, where: str) -> None:
        self.api = api
        self.where = where
        self.status = 0

    def request(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> None:
        more = {name.lower(): value for name, value in (headers or {}).items()}
        reply = self.api.call(
            method,
            target.removeprefix("/api/v1"),
            body=body or b"",
            headers=more,
            is_owner=self.where.startswith("unix:"),
            address="127.0.0.1",
        )
        self.status, self._body = reply.status, reply.body

    def getresponse(self) -> InProcess:
        return self

    def read(self, limit: int) -> bytes:
        return self._body[:limit]

    def readline(self, limit: int) -> bytes:
        line, end, self._body = self._body.partition(b"\n")
        return (line + end)[:limit]

    def isclosed(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing is open."""


class Shell:
    """Runs commands, each a new one."""

    def __init__(self, api: ApiDesk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.api = api
        self.asked: list[str] = []
        monkeypatch.setattr(admin_link, "_connector", self._connector)

    def _connector(self, where: str, timeout_s: float) -> Any:
        self.asked.append(where)
        return lambda: InProcess(self.api, where)

    def run(self, *argv: str, text: str | None = None, **environ: str) -> Result:
        return CliRunner().invoke(main, argv, input=text, env={"COLUMNS": "80", **environ})

    def json(self, *argv: str, **options: Any) -> Any:
        result = self.run(*argv, "--json", **options)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def api() -> ApiDesk:
    return ApiDesk()


@pytest.fixture
def shell(api, monkeypatch) -> Shell:
    return Shell(api, monkeypatch)


def leaves() -> list[tuple[str, click.Command]]:
    """Every command that asks a gateway, by its whole name."""
    found = []
    for name in ("users", "sessions", "invitations", "orgs", "providers", "tokens", "webhooks"):
        group = main.get_command(click.Context(main), name)
        assert isinstance(group, click.Group)
        found += _below(name, group)
    return found


def _below(name: str, group: click.Group) -> list[tuple[str, click.Command]]:
    """Those of a group, and of the groups in it."""
    found = []
    for own, command in group.commands.items():
        whole = f"{name} {own}"
        found += _below(whole, command) if isinstance(command, click.Group) else [(whole, command)]
    return found


@pytest.mark.parametrize(
    ("name", "command"), leaves(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_each_command_has_the_common_options_and_no_name_twice(name: str, command: click.Command):
    options = [option for parameter in command.params for option in parameter.opts]
    assert {"--admin", "--state", "--json"} <= set(options)
    assert len(options) == len(set(options))
    assert command.get_short_help_str()


def test_the_commands_are_in_the_table():
    assert {"users", "sessions", "invitations", "providers", "tokens"} <= set(COMMANDS)


@pytest.mark.parametrize(
    ("options", "environ", "where"),
    [
        ((), {}, "unix:state/admin.sock"),
        (("--state", "/var/lib/v"), {}, "unix:/var/lib/v/admin.sock"),
        ((), {"VESTIBULE_GATEWAY_STATE": "/srv/v"}, "unix:/srv/v/admin.sock"),
        (("--admin", "unix:/run/v.sock"), {}, "unix:/run/v.sock"),
        (("--admin", "http://127.0.0.1:9000"), {"VESTIBULE_ADMIN_TOKEN": "x"}, "http://127.0.0.1:9000"),
    ],
)
def test_where_the_gateway_is(shell, options, environ, where):
    shell.run("users", "list", *options, **environ)
    assert shell.asked == [where]


def test_a_place_said_twice_is_wrong_usage(shell):
    result = shell.run("users", "list", "--admin", "unix:/a", "--state", "b")
    assert (result.exit_code, shell.asked) == (2, [])


def test_users(shell, api):
    alice, bob = api.person(1, email="alice@example.com", name="Alice"), api.person(2)
    assert [user["id"] for user in shell.json("users", "list")] == [alice.id, bob.id]
    assert shell.run("users", "list").stdout.splitlines()[1].split()[:3] == [
        alice.id,
        "Alice",
        "alice@example.com",
    ]
    api.call("PATCH", f"/users/{alice.id}", {"profile": {"name": "Alice", "company": "ACME"}})
    shown = shell.run("users", "show", "alice@example.com").stdout
    assert shown.count("Alice") == 1, "a name from the registration form is told once"
    assert "ACME" in shown
    assert alice.id in shown
    assert "google" in shown
    assert shell.run("users", "block", bob.id).exit_code == 0
    assert [user["id"] for user in shell.json("users", "list", "--blocked")] == [bob.id]
    assert [user["id"] for user in shell.json("users", "list", "--not-blocked")] == [alice.id]
    assert shell.json("users", "unblock", bob.id)["disabled"] is False


def test_an_id_may_begin_with_a_dash(shell):
    for argv in (("users", "block"), ("users", "tokens"), ("sessions", "show"), ("tokens", "revoke")):
        refused = shell.run(*argv, "-gpnf8iaNscjY4gJQYtkLg")
        assert (refused.exit_code, "There is no" in refused.stderr) == (1, True), argv
    assert shell.run("users", "block", "x", "--jsno").exit_code == 2


def test_a_list_is_cut_and_says_so(shell, api):
    for number in range(3):
        api.person(number)
    cut = shell.run("users", "list", "--limit", "2")
    assert (len(cut.stdout.splitlines()), "--limit 0" in cut.stderr) == (3, True)
    assert shell.run("users", "list", "--limit", "3").stderr == ""
    assert len(shell.json("users", "list", "--limit", "0")) == 3


def test_an_address_that_two_have_asks_which(shell, api):
    first, second = api.person(1, email="same@example.com"), api.person(2, email="same@example.com")
    refused = shell.run("users", "block", "same@example.com")
    assert (refused.exit_code, first.id in refused.stderr, second.id in refused.stderr) == (1, True, True)
    assert shell.json("users", "list", "--blocked") == []
    assert shell.run("users", "block", "nobody@example.com").exit_code == 1


def test_nothing_is_deleted_unasked(shell, api):
    user = api.person(1)
    assert shell.run("users", "delete", user.id).exit_code == 2
    assert len(shell.json("users", "list")) == 1
    assert shell.run("users", "delete", user.id, "--yes").exit_code == 0
    assert shell.json("users", "list") == []
    gone = shell.run("users", "delete", user.id, "--yes")
    assert (gone.exit_code, gone.stderr) == (1, f"main users delete: There is no user {user.id}.\n")


def test_invitations(shell):
    made = shell.json("invitations", "create", "bob@example.com", "--expires", "2d", "--note", "new")
    assert made["expires_at"] == "2027-01-17T08:00:00Z"
    other = shell.json("invitations", "create", "--issuer", "https://a.example", "--subject", "7")
    assert "7 at https://a.example" in shell.run("invitations", "list").stdout
    assert [one["id"] for one in shell.json("invitations", "list", "--email", "bob@example.com")] == [
        made["id"]
    ]
    assert shell.run("invitations", "revoke", other["id"]).exit_code == 0
    assert shell.json("invitations", "list", "--only", "open") == [made]
    assert shell.run("invitations", "list", "--only", "used").stdout == "No invitations.\n"


@pytest.mark.parametrize(
    "argv",
    [
        ("invitations", "create"),
        ("invitations", "create", "a@b.example", "--issuer", "x", "--subject", "y"),
        ("invitations", "create", "a@b.example", "--expires", "soon"),
        ("invitations", "create", "a@b.example", "--expires", "0d"),
        ("invitations", "list", "--only", "odd"),
        ("users", "list", "--limit", "-1"),
        ("users", "show"),
        ("users", "nothing"),
        ("providers", "create", "/no/such/file.json"),
        ("sessions", "list"),
        ("sessions", "show"),
        ("sessions", "revoke-all"),
        ("tokens", "create", "x", "--scope", "sessions:all"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(shell, argv):
    assert shell.run(*argv).exit_code == 2


def test_providers(shell):
    made = shell.run("providers", "create", "-", text=json.dumps(OKTA))
    assert made.stdout == (
        "okta is enabled. Register this redirect URL with it: https://app.example.com/@okta/callback\n"
    )
    assert shell.run("providers", "update", "okta", "-", text='{"title": "Other"}').exit_code == 0
    assert shell.json("providers", "show", "okta")["title"] == "Other"
    assert shell.run("providers", "update", "okta", "-", "--replace", text=json.dumps(OKTA)).exit_code == 0
    assert shell.json("providers", "show", "okta")["title"] == "okta"
    assert shell.run("providers", "disable", "okta").stdout == "okta is disabled.\n"
    assert shell.run("providers", "enable", "okta").stdout == "okta is enabled.\n"
    assert shell.run("providers", "list").stdout.splitlines()[1].split() == [
        "okta",
        "oidc",
        "enabled",
        "database",
        "okta",
    ]
    tested = shell.run("providers", "test", "okta")
    assert tested.exit_code == 1, "there is no network here"
    assert tested.stdout.startswith("ok    redirect URL: https://app.example.com/@okta/callback (register it")
    assert shell.run("providers", "delete", "okta", "--yes").exit_code == 0
    assert shell.json("providers", "list") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "<stdin> is no JSON: "),
        ("[]", "<stdin> holds no JSON object"),
        ('{"provider_type": "odd"}', "provider_type: there is no kind of provider `odd`"),
    ],
)
def test_a_file_that_is_no_provider_is_1_with_a_line_for_each_fault(shell, text, said):
    result = shell.run("providers", "create", "-", text=text)
    assert result.exit_code == 1
    assert f"main providers create: {said}" in result.stderr


def test_tokens(shell, api):
    made = shell.run("tokens", "create", "deploy", "--expires", "30d")
    token = made.stdout.strip()
    assert token.startswith("vst_admin_")
    assert "shown once" in made.stderr
    (listed,) = shell.json("tokens", "list")
    assert "token" not in listed
    by_port = ("--admin", "http://127.0.0.1:9000")
    assert shell.run("users", "list", *by_port, VESTIBULE_ADMIN_TOKEN=token).exit_code == 0
    for environ in ({}, {"VESTIBULE_ADMIN_TOKEN": token + "x"}):
        refused = shell.run("users", "list", *by_port, **environ)
        assert refused.exit_code == 1
        assert "put one into VESTIBULE_ADMIN_TOKEN" in refused.stderr
        assert token not in refused.output
    assert shell.run("tokens", "revoke", listed["id"]).exit_code == 0
    assert shell.run("tokens", "list").stdout == "No admin tokens.\n"


def test_a_token_with_scopes(shell, api):
    made = shell.json("tokens", "create", "shop", "--scope", "sessions:read", "--scope", "users:read")
    assert made["scopes"] == ["sessions:read", "users:read"]
    shell.run("tokens", "create", "whole")
    rows = [line.split() for line in shell.run("tokens", "list", COLUMNS="120").stdout.splitlines()]
    assert {(row[1], " ".join(row[5:])) for row in rows[1:]} == {
        ("shop", "sessions:read users:read"),
        ("whole", "all"),
    }
    by_port = ("--admin", "http://127.0.0.1:9000")
    refused = shell.run("providers", "list", *by_port, VESTIBULE_ADMIN_TOKEN=made["token"])
    assert refused.exit_code == 1
    assert "lacks the scope providers:read: `vestibule tokens create NAME --scope …`" in refused.stderr


def test_sessions(shell, api):
    alice = api.person(1, email="alice@example.com")
    made = [
        api.call(
            "POST",
            "/sessions",
            {
                "user_id": alice.id,
                "host": "app.example.com",
                "attributes": {"cart": number},
                "device": {"user_agent": "Shop/2", "address": "192.0.2.7"},
            },
        ).json
        for number in range(3)
    ]
    for user in (alice.id, "alice@example.com"):
        listed = shell.json("sessions", "list", "--user", user)
        assert sorted(one["id"] for one in listed) == sorted(one["id"] for one in made)
    first = shell.run("sessions", "list", "--user", alice.id, COLUMNS="120").stdout.splitlines()[1]
    assert first.split()[1:4] == ["app.example.com", "Shop/2", "192.0.2.7"]
    assert shell.run("sessions", "list", "--user", alice.id, "--host", "x").stdout == "No sessions.\n"
    shown = shell.run("sessions", "show", made[0]["id"]).stdout
    assert '{"cart":0}' in shown
    assert shell.json("sessions", "show", made[0]["id"])["attributes"] == {"cart": 0}
    assert shell.run("sessions", "revoke", made[0]["id"]).stdout == f"{made[0]['id']} has ended.\n"
    assert shell.run("sessions", "show", made[0]["id"]).exit_code == 1
    unasked = shell.run("sessions", "revoke-all", "--user", alice.id)
    assert (unasked.exit_code, len(shell.json("sessions", "list", "--user", alice.id))) == (2, 2)
    done = shell.run("sessions", "revoke-all", "--user", "alice@example.com", "--yes")
    assert done.stdout == f"{alice.id} is signed out: 2 sessions have ended.\n"
    assert shell.json("sessions", "list", "--user", alice.id) == []
    assert not any(one["bearer"] in shown for one in made)


def test_a_token_is_not_shown_to_a_socket(shell, api, monkeypatch):
    seen: list[dict[str, str]] = []
    asked = InProcess.request

    def request(self: InProcess, method: str, target: str, body: Any, headers: dict[str, str]) -> None:
        seen.append(headers)
        asked(self, method, target, body, headers)

    monkeypatch.setattr(InProcess, "request", request)
    shell.run("users", "list", VESTIBULE_ADMIN_TOKEN="vst_admin_x")
    assert [headers for headers in seen if "Authorization" in headers] == []


def test_a_fault_of_the_gateway_is_1_with_its_id(shell, api, monkeypatch):
    async def broken() -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(api.tokens, "list", broken)
    result = shell.run("tokens", "list")
    assert (result.exit_code, "(id req-0123)" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("30m", 1800), ("12h", 43200), ("7d", 604800), ("2w", 1209600)]
)
def test_spans(text, seconds):
    assert Span().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5d", "0s", "7 d", "1y", "9999999999d"])
def test_what_is_no_span(text):
    with pytest.raises(click.BadParameter):
        Span().convert(text, None, None)


@pytest.mark.parametrize(
    "where",
    ["", "unix:", "ftp://a", "127.0.0.1:9000", "http://", "http://a/path", "http://a?token=x", "file:///x"],
)
def test_what_is_no_place_of_an_api(where):
    with pytest.raises(ValueError, match="write unix:PATH, or a URL"):
        admin_client.AdminClient(where)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (404, b"<html>", "unreachable"),
        (302, b"", "unreachable"),
        (500, b'{"status": 500}', "unreachable"),
        (418, b'{"detail": "no", "code": "teapot", "id": "1"}', "teapot"),
    ],
)
def test_what_is_no_answer_of_this_api_is_told(status, body, code):
    refusal = admin_link.refusal("http://127.0.0.1:1", status, body)
    assert refusal.code == code
    assert isinstance(refusal, ClientError) is (code == "teapot")


def test_the_client_needs_nothing_heavy():
    heavy = {"aiohttp", "fastapi", "pydantic", "sqlalchemy", "starlette", "requests"}
    script = (
        "import sys, vestibule.cli.users; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    # A process of its own: this one has loaded everything.
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert heavy.isdisjoint(loaded.split())


def test_who_holds_what_and_each_is_ended_by_its_id(shell, api):
    alice = api.person(1, email="alice@example.com")
    wish = Wish(name="laptop", host="git.example.com", life_s=3600)
    token, _ = api.do(api.app_tokens.mint(alice.id, wish, api.now))
    shell.run("tokens", "create", "deploy", "--scope", "sessions:read")
    made = shell.run("tokens", "key", "backup", "--name", "nas")
    assert made.stdout.startswith("vst_mk_")
    held = shell.json("tokens", "held")
    assert sorted((one["kind"], one["holder"], one["name"]) for one in held) == [
        ("admin", "sessions:read", "deploy"),
        ("app", "alice@example.com", "laptop"),
        ("machine", "backup", "nas"),
    ]
    shown = shell.run("tokens", "held", COLUMNS="120").stdout
    assert all(one["id"] in shown for one in held)
    assert made.stdout.strip() not in shown
    for one in held:
        ended = shell.run("tokens", "revoke", one["id"])
        assert (ended.exit_code, ended.stdout) == (0, f"{one['id']} is revoked.\n")
    assert shell.run("tokens", "held").stdout == "Nobody holds any.\n"
    again = shell.run("tokens", "revoke", token.id)
    assert (again.exit_code, f"There is no token or key {token.id}" in again.stderr) == (1, True)


def test_who_may_only_do_with_one_kind_ends_that_kind(shell, api):
    key = json.loads(shell.run("tokens", "key", "backup", "--json").stdout)
    deploy = shell.json("tokens", "create", "deploy", "--scope", "machines:write")
    by_port = ("--admin", "http://127.0.0.1:9000")
    refused = shell.run("tokens", "revoke", deploy["id"], *by_port, VESTIBULE_ADMIN_TOKEN=deploy["token"])
    assert (refused.exit_code, "lacks the scope" in refused.stderr) == (1, True)
    ended = shell.run("tokens", "revoke", key["id"], *by_port, VESTIBULE_ADMIN_TOKEN=deploy["token"])
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert [one["id"] for one in shell.json("tokens", "held")] == [deploy["id"]]


def test_a_key_is_rotated_the_older_of_two_ends(shell, api):
    def keys() -> list[str]:
        return [one["name"] for one in shell.json("tokens", "held")]

    for name in ("first", "second"):
        api.now += 1
        assert shell.run("tokens", "key", "backup", "--name", name, "--rotate").exit_code == 0
    assert keys() == ["first", "second"]
    api.now += 1
    full = shell.run("tokens", "key", "backup", "--name", "third")
    assert (full.exit_code, "2 keys at most" in full.stderr) == (1, True)
    first = shell.json("tokens", "held")[0]["id"]
    rotated = shell.run("tokens", "key", "backup", "--name", "third", "--rotate")
    assert rotated.stdout.startswith("vst_mk_")
    assert f"{first} is revoked." in rotated.stderr
    assert keys() == ["second", "third"]
    nobody = shell.run("tokens", "key", "nobody", "--rotate")
    assert (nobody.exit_code, keys()) == (1, ["second", "third"])


def test_each_kind_is_ended_where_it_is(api, monkeypatch):
    Shell(api, monkeypatch)
    alice = api.person(1)
    wish = Wish(name="laptop", host="git.example.com", life_s=3600)
    api.do(api.app_tokens.mint(alice.id, wish, api.now))
    client = admin_client.AdminClient("unix:state/admin.sock")
    client.create_token("deploy")
    client.create_machine_key("backup")
    held = list(client.held())
    assert {one.kind for one in held} == {"admin", "app", "machine"}
    for one in held:
        client.revoke_held(one)
    assert list(client.held()) == []
