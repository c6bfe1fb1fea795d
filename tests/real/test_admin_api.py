"""The admin API of a running gateway: by its socket, by its port, and by the commands that use it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.real.house import CONFIGURATION, House, build
from vestibule.admin_client import AdminClient
from vestibule.errors import VestibuleError
from vestibule.model import Secret

pytestmark = pytest.mark.real

PUBLIC = """
gateway {
  http = ["127.0.0.1:{port}"]
}
ADMIN
host "localhost" {
  backend = "internal:echo"
  access {
    allow = ["public"]
  }
}
"""
OKTA = {
    "id": "okta",
    "provider_type": "oidc",
    "title": "Okta of Example",
    "email_domains": ["example.com"],
    "openid_config": {
        "client_id": "0oa1",
        "client_secret": "hunter2-of-okta",
        "issuer_url": "https://example.okta.com",
    },
}


class Administered:
    """A gateway with nothing but its admin API."""

    def __init__(self, gateway: Any, port: int) -> None:
        self.gateway = gateway
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.socket = gateway.directory / "state" / "admin.sock"
        self.client = AdminClient(f"unix:{self.socket}")

    def ask(
        self, method: str, path: str, *, body: bytes | None = None, host: str = "", **headers: str
    ) -> tuple[int, Any]:
        """Status and JSON of one request to the port, as it is written here."""
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {host or f'127.0.0.1:{self.port}'}",
            "Connection: close",
        ]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, content = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), json.loads(content) if content else None

    def token(self, **options: Any) -> str:
        return self.client.create_token("test", **options).token or ""

    def run(self, *argv: str, text: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """One command, run in the folder of the configuration."""
        return subprocess.run(
            [sys.executable, "-m", "vestibule", *argv],
            cwd=self.gateway.directory,
            env={**os.environ, "COLUMNS": "80", **env},
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def changes(self) -> list[tuple[str, str, str]]:
        lines = [json.loads(line) for line in self.gateway.log.splitlines() if line.startswith("{")]
        return [(one["who"], one["what"], one["target"]) for one in lines if one["event"] == "admin_change"]

    def fill(self, count: int) -> list[str]:
        """This many users more, whom nobody has signed in; their ids in order."""
        ids = [f"user-{number:05d}" for number in range(count)]
        database = self.gateway.directory / "state" / "vestibule.db"
        users = [
            (one, 1_700_000_000.0 + n // 3, 0, f"N {n}", f"u{n}@example.com") for n, one in enumerate(ids)
        ]
        accounts = [("https://a.example", one, one, "op", 1_700_000_000.0) for one in ids]
        with contextlib.closing(sqlite3.connect(database, timeout=20)) as connection, connection:
            connection.executemany(
                "INSERT INTO users (id, created_at, seen_at, name, email, email_lower) VALUES (?, ?, ?, ?, ?5, ?5)",
                users,
            )
            connection.executemany(
                "INSERT INTO identities (issuer, subject, user_id, client, created_at) VALUES (?, ?, ?, ?, ?)",
                accounts,
            )
        return ids


@pytest.fixture
def administered(gateway, ports) -> Administered:
    port = ports.take()
    return Administered(
        gateway(PUBLIC.replace("ADMIN", f'admin {{\n  listen = "127.0.0.1:{port}"\n}}')), port
    )


# -- the listeners ----------------------------------------------------------------------------


def test_health_and_readiness_are_open_and_everything_else_is_not(administered: Administered):
    administered.client.tokens()
    assert list(administered.client.users()) == []
    assert administered.ask("GET", "/healthz") == (200, {"status": "ok"})
    # The admin listener stands before the rest is loaded, and says so: it is ready a moment later.
    administered.gateway.process.wait_until(
        lambda: administered.ask("GET", "/readyz") == (200, {"status": "ready"}), "ready"
    )
    for path in ("/api/v1/users", "/api/v1/openapi.json", "/metrics", "/api/v1"):
        status, problem = administered.ask("GET", path)
        assert (status, problem["code"]) == (401, "admin_token_required"), path
    # Beside the API are pages: who isn't signed in is led to where one signs in, and told nothing.
    for path in ("/", "/people", "/audit/verify", "/configuration"):
        assert administered.ask("GET", path) == (303, None), path


def test_the_socket_is_for_its_owner_alone_and_gone_after_the_end(administered: Administered):
    assert administered.socket.stat().st_mode & 0o777 == 0o600
    administered.gateway.stop()
    assert not administered.socket.exists()


def test_a_socket_that_a_killed_gateway_left_is_replaced(administered: Administered):
    administered.gateway.kill()
    assert administered.socket.exists()
    administered.gateway.start_again()
    assert list(administered.client.users()) == []


def test_a_second_gateway_on_the_same_state_is_refused_and_the_first_goes_on(
    administered: Administered, process, ports, tmp_path
):
    state = administered.socket.parent
    file = tmp_path / "second.hcl"
    text = PUBLIC.replace("ADMIN", "").replace("{port}", str(ports.take()))
    file.write_text(text.replace("gateway {", f'gateway {{\n  state = "{state}"'))
    second = process("second", [sys.executable, "-m", "vestibule", "serve", file])
    assert second.wait() == 1
    assert "perhaps another vestibule on this state directory" in second.log
    assert "Traceback" not in second.log
    assert list(administered.client.users()) == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9000", "localhost.evil.example", "0.0.0.0"])
def test_a_rebound_name_reaches_nothing_even_with_a_token(administered: Administered, host: str):
    bearer = f"Bearer {administered.token()}"
    status, problem = administered.ask("GET", "/api/v1/users", host=host, Authorization=bearer)
    assert (status, problem["code"]) == (403, "foreign_host")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
        {"Sec_Fetch_Site": "same-origin"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_no_web_page_can_post(administered: Administered, headers: dict[str, str], kind: str):
    bearer = f"Bearer {administered.token()}"
    body = b'{"email": "mallory@evil.example"}'
    for path in ("/api/v1/invitations", "/api/v1/tokens"):
        status, problem = administered.ask(
            "POST", path, body=body, Content_Type=kind, Authorization=bearer, **headers
        )
        assert (status, problem["code"]) == (403, "browser_call")
    assert list(administered.client.invitations()) == []


def test_a_preflight_is_refused(administered: Administered):
    status, _ = administered.ask(
        "OPTIONS", "/api/v1/users", Origin="https://evil.example", Access_Control_Request_Method="POST"
    )
    assert status == 403


async def test_a_page_in_a_browser_reads_and_changes_nothing(administered: Administered, browser, api):
    elsewhere = await api()
    page = await (await browser.new_context()).new_page()
    await page.goto(f"http://evil.example:{elsewhere.port}/")
    script = """async ([url, token]) => {
      const authorized = {Authorization: "Bearer " + token};
      const form = {method: "POST", mode: "no-cors", body: '{"email": "mallory@evil.example"}'};
      const found = [];
      for (const [path, options] of [["/api/v1/users", {}], ["/api/v1/users", {headers: authorized}],
                                     ["/healthz", {}], ["/api/v1/invitations", form]]) {
        found.push(await fetch(url + path, options).then((answer) => answer.type, () => "failed"));
      }
      return found;
    }"""
    found = await page.evaluate(script, [administered.url, administered.token()])
    assert found == ["failed"] * 4
    assert administered.gateway.log.count('"browser_call"') == 4, "all of them came, and were refused"
    assert list(administered.client.invitations()) == []
    for path in ("/healthz", "/api/v1/users"):
        rebound = await page.goto(f"http://evil.example:{administered.port}{path}")
        assert rebound is not None
        assert rebound.status == 403


# -- tokens -----------------------------------------------------------------------------------


def test_a_token_is_good_until_it_is_revoked_and_after_a_restart(administered: Administered):
    made = administered.client.create_token("deploy")
    by_port = AdminClient(administered.url, Secret(made.token or ""))
    assert list(by_port.users()) == []
    administered.gateway.kill()
    administered.gateway.start_again()
    assert list(by_port.users()) == []
    (listed,) = administered.client.tokens()
    assert (listed.name, listed.token) == ("deploy", None)
    assert listed.seen_at is not None
    administered.client.revoke_token(made.id)
    with pytest.raises(VestibuleError) as caught:
        list(by_port.users())
    assert (caught.value.status, caught.value.code) == (401, "admin_token_invalid")


def test_no_token_stands_in_log_or_database(administered: Administered):
    token = administered.token()
    administered.ask("GET", f"/api/v1/users?access_token={token}")
    administered.ask("GET", "/api/v1/users", Authorization=f"Bearer {token}")
    administered.ask("GET", "/api/v1/users", Authorization=f"Basic {token}")
    kept = b"".join(path.read_bytes() for path in administered.socket.parent.glob("vestibule.db*"))
    assert token.encode() not in kept
    assert token not in administered.gateway.log


def test_a_token_in_the_query_opens_nothing(administered: Administered):
    token = administered.token()
    for query in (f"access_token={token}", f"token={token}", f"authorization=Bearer%20{token}"):
        assert administered.ask("GET", f"/api/v1/users?{query}")[0] == 401


def test_whoever_tries_tokens_is_not_listened_to_and_the_socket_still_is(administered: Administered):
    wrong = "Bearer vst_admin_" + "a" * 43
    statuses = [administered.ask("GET", "/api/v1/users", Authorization=wrong)[0] for _ in range(25)]
    assert statuses == [401] * 20 + [429] * 5
    assert list(administered.client.users()) == []


def test_a_giant_body_is_refused(administered: Administered):
    bearer = f"Bearer {administered.token()}"
    body = b'{"name": "' + b"x" * (256 * 1024) + b'"}'
    status, problem = administered.ask(
        "POST", "/api/v1/tokens", body=body, Authorization=bearer, Content_Type="application/json"
    )
    assert (status, problem["code"]) == (413, "body_too_large")


# -- users ------------------------------------------------------------------------------------


def test_pages_through_500_users_hold_each_once(administered: Administered):
    ids = administered.fill(500)
    assert [user.id for user in administered.client.users()] == ids
    bearer = f"Bearer {administered.token()}"
    found: list[str] = []
    target = "/api/v1/users?limit=77"
    while target:
        status, page = administered.ask("GET", target, Authorization=bearer)
        assert status == 200
        assert len(page["items"]) <= 77
        found += [user["id"] for user in page["items"]]
        target = page["next"] and f"/api/v1/users?limit=77&cursor={page['next']}"
    assert found == ids
    accounts = [identity.subject for identity in administered.client.identities()]
    assert sorted(accounts) == ids
    assert [user.email for user in administered.client.users(text="u499@")] == ["u499@example.com"]


@pytest.fixture
async def open_house(ports, api, openid, gateway) -> House:
    """A house whose host also offers the providers of the database."""
    configuration = CONFIGURATION.replace('sign_in = ["op"]', 'sign_in = ["op", "*"]')
    return await build(ports=ports, api=api, openid=openid, gateway=gateway, configuration=configuration)


def client_of(house: House) -> AdminClient:
    return AdminClient(f"unix:{house.gateway.directory / 'state' / 'admin.sock'}")


async def test_a_block_ends_a_live_session_at_once_and_keeps_the_person_out(open_house: House):
    client = client_of(open_house)
    async with open_house.browser() as alice, open_house.browser() as bob:
        await alice.sign_in("alice")
        await bob.sign_in("bob")
        (user,) = client.users(text="alice")
        assert (await alice.who() or {})["user"]["id"] == user.id
        client.block_user(user.id)
        assert await alice.who() is None
        assert await bob.who() is not None
        page = await alice.sign_in("alice")
        assert page.status == 403
        client.unblock_user(user.id)
        assert (await alice.sign_in("alice")).status == 200


async def test_a_block_breaks_off_a_stream_within_the_second(ports, api, openid, gateway):
    async def stream(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        answer = aiohttp.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        with contextlib.suppress(aiohttp.ClientError):
            while True:
                await answer.write(b"data: x\n\n")
                await asyncio.sleep(0.05)
        return answer

    house = await build(ports=ports, api=api, openid=openid, gateway=gateway)
    async with house.browser() as alice:
        await alice.sign_in("alice")
        house.app.answer = stream
        (user,) = client_of(house).users()
        async with alice.session.get(f"{house.origin}/stream") as answer:
            await answer.content.readany()
            client_of(house).block_user(user.id)
            began = time.monotonic()
            with contextlib.suppress(aiohttp.ClientError):
                while await answer.content.readany():
                    assert time.monotonic() - began < 20, "it goes on and on"


async def test_a_deleted_user_is_out_and_new_at_the_next_sign_in(open_house: House):
    client = client_of(open_house)
    async with open_house.browser() as alice:
        await alice.sign_in("alice")
        (user,) = client.users()
        client.delete_user(user.id)
        assert await alice.who() is None
        await alice.sign_in("alice")
        (again,) = client.users()
        assert again.id != user.id


# -- identity providers -----------------------------------------------------------------------


async def test_a_provider_is_on_the_sign_in_page_as_long_as_it_is_there(open_house: House):
    client = client_of(open_house)

    async def is_offered() -> bool:
        async with open_house.browser() as visitor:
            return "Okta of Example" in (await visitor.get("/@/signin")).text

    assert not await is_offered()
    made = client.create_provider(OKTA)
    assert made["redirect_urls"] == [f"{open_house.origin}/@okta/callback"]
    assert "hunter2" not in json.dumps(made)
    assert await is_offered()
    client.disable_provider("okta")
    assert not await is_offered()
    client.enable_provider("okta")
    assert await is_offered()
    open_house.gateway.kill()
    open_house.gateway.start_again()
    assert await is_offered()
    client.delete_provider("okta")
    assert not await is_offered()


def test_a_providers_secret_stands_nowhere_in_clear(administered: Administered):
    administered.client.create_provider(OKTA)
    administered.client.update_provider("okta", {"title": "Other"})
    kept = b"".join(path.read_bytes() for path in administered.socket.parent.glob("vestibule.db*"))
    assert b"hunter2" not in kept
    assert "hunter2" not in administered.gateway.log
    assert "hunter2" not in json.dumps(list(administered.client.providers()))


def test_changes_say_who_made_them(administered: Administered):
    made = administered.client.create_token("deploy")
    by_port = AdminClient(administered.url, Secret(made.token or ""))
    by_port.create_provider(OKTA)
    assert administered.changes() == [
        ("socket", "token.created", f"token {made.id}"),
        ("token deploy", "provider.created", "provider okta"),
    ]


# -- two gateways on one PostgreSQL ------------------------------------------------------------

KEY = {"VESTIBULE_SESSION_KEY": "kS8q1ZrX0bT4yWm7uJ2cVf6hNd3gLp9aEoIxRtQsYvU="}


def test_what_one_process_changes_the_other_has(gateway, ports, postgres):
    environ = {**KEY, "DATABASE_URL": postgres.url}
    one, other = (
        Administered(
            gateway(
                PUBLIC.replace(
                    "ADMIN",
                    f'store {{\n  url = "${{env("DATABASE_URL")}}"\n}}\nadmin {{\n  listen = "127.0.0.1:{port}"\n}}',
                ),
                env=environ,
            ),
            port,
        )
        for port in (ports.take(), ports.take())
    )
    emails = [f"{number}@example.com" for number in range(5)]
    for email in emails:
        one.client.invite(email=email)
    bearer = f"Bearer {one.token()}"
    found: list[str] = []
    target = "/api/v1/invitations?limit=2&state=open"
    while target:
        # Each page of the other gateway: cursors are good wherever the key is the same.
        asked = other if len(found) % 4 else one
        status, page = asked.ask("GET", target, Authorization=bearer)
        assert status == 200
        found += [invitation["email"] for invitation in page["items"]]
        target = page["next"] and f"/api/v1/invitations?limit=2&state=open&cursor={page['next']}"
    assert found == emails
    made = one.client.create_provider(OKTA)
    one.gateway.process.wait_until(
        lambda: [row["id"] for row in other.client.providers()] == [made["id"]], "the other lists it"
    )
    assert other.client.update_provider("okta", {"title": "New"}, version=0)["version"] == 1
    with pytest.raises(VestibuleError) as caught:
        one.client.update_provider("okta", {"title": "Newer"}, version=0)
    assert (caught.value.status, caught.value.code) == (412, "changed")
    (token,) = one.client.tokens()
    one.client.revoke_token(token.id)
    assert other.ask("GET", "/api/v1/users", Authorization=bearer)[0] == 401


# -- commands ---------------------------------------------------------------------------------


def test_users_are_listed_shown_blocked_and_deleted_by_commands(administered: Administered):
    administered.fill(3)
    listed = administered.run("users", "list")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [
        "ID",
        "user-00000",
        "user-00001",
        "user-00002",
    ]
    assert all(len(line) <= 80 for line in listed.stdout.splitlines())
    shown = administered.run("users", "show", "u1@example.com", "--json")
    assert json.loads(shown.stdout)["id"] == "user-00001"
    assert administered.run("users", "block", "user-00001").returncode == 0
    assert "blocked" in administered.run("users", "list", "--blocked").stdout
    assert administered.run("users", "unblock", "user-00001").returncode == 0
    refused = administered.run("users", "delete", "user-00002")
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    assert administered.run("users", "delete", "user-00002", "--yes").returncode == 0
    assert len(json.loads(administered.run("users", "list", "--json").stdout)) == 2


def test_invitations_by_commands(administered: Administered):
    made = administered.run("invitations", "create", "Bob@Example.com", "--expires", "2d", "--json")
    invitation = json.loads(made.stdout)
    assert (invitation["email"], invitation["state"]) == ("bob@example.com", "open")
    assert "bob@example.com" in administered.run("invitations", "list", "--only", "open").stdout
    assert administered.run("invitations", "revoke", invitation["id"]).returncode == 0
    assert administered.run("invitations", "list").stdout == "No invitations.\n"
    assert administered.run("invitations", "create").returncode == 2
    wrong = administered.run("invitations", "create", "bob")
    assert (wrong.returncode, wrong.stderr) == (
        1,
        "vestibule invitations create: email: is no e-mail address\n",
    )


def test_providers_by_commands(administered: Administered, tmp_path: Path):
    file = tmp_path / "okta.json"
    file.write_text(json.dumps(OKTA))
    assert administered.run("providers", "create", str(file)).returncode == 0
    again = administered.run("providers", "create", str(file))
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "okta" in administered.run("providers", "list").stdout
    changed = administered.run("providers", "update", "okta", "-", text='{"title": "Other"}')
    assert changed.returncode == 0, changed.stderr
    shown = administered.run("providers", "show", "okta").stdout
    assert json.loads(shown)["title"] == "Other"
    assert "hunter2" not in shown
    assert administered.run("providers", "disable", "okta").returncode == 0
    tested = administered.run("providers", "test", "okta", "--json")
    assert tested.returncode == 1, "nobody reaches example.okta.com here, and no host offers it"
    assert json.loads(tested.stdout)["ok"] is False
    assert administered.run("providers", "delete", "okta", "--yes").returncode == 0
    faulty = administered.run("providers", "create", "-", text='{"provider_type": "oidc"}')
    assert faulty.returncode == 1
    assert "vestibule providers create: email_domains: is missing" in faulty.stderr
    assert "vestibule providers create: openid_config: is missing" in faulty.stderr


def test_a_token_by_command_opens_the_port(administered: Administered):
    made = administered.run("tokens", "create", "deploy", "--expires", "1h")
    token = made.stdout.strip()
    refused = administered.run("users", "list", "--admin", administered.url)
    assert refused.returncode == 1
    assert "VESTIBULE_ADMIN_TOKEN" in refused.stderr
    listed = administered.run("users", "list", "--admin", administered.url, VESTIBULE_ADMIN_TOKEN=token)
    assert (listed.returncode, listed.stdout) == (0, "No users.\n")
    assert "deploy" in administered.run("tokens", "list").stdout


def test_without_a_gateway_a_command_says_what_to_do(administered: Administered, tmp_path: Path):
    away = administered.run("users", "list", "--state", str(tmp_path))
    assert (away.returncode, away.stdout) == (1, "")
    assert away.stderr == (
        f"vestibule users list: no gateway runs here: there is no {tmp_path}/admin.sock; "
        "start one, or say --state DIR or --admin URL\n"
    )
    administered.gateway.kill()
    ended = administered.run("users", "list")
    assert ended.returncode == 1
    assert "has ended: start it again" in ended.stderr


def test_names_of_people_do_not_steer_a_terminal(administered: Administered):
    administered.fill(1)
    database = administered.gateway.directory / "state" / "vestibule.db"
    with contextlib.closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        connection.execute("UPDATE users SET name = ?", ("\x1b]0;owned\x07\x1b[2J\u202e" + "x" * 100,))
    listed = administered.run("users", "list").stdout
    assert "\x1b" not in listed
    assert "\u202e" not in listed
    assert all(len(line) <= 80 for line in listed.splitlines())


def test_a_malformed_row_hurts_no_other_and_is_told_of_everywhere(administered: Administered):
    administered.client.create_provider(OKTA)
    with contextlib.closing(sqlite3.connect(administered.gateway.directory / "state" / "vestibule.db")) as db:
        db.execute(
            "INSERT INTO identity_providers (id, provider_type, enabled, config, sealed, version, created_at, updated_at) "
            "SELECT 'broken', provider_type, 1, '{', sealed, 0, created_at, updated_at FROM identity_providers"
        )
        db.commit()
    administered.gateway.process.wait_log("provider_left_out")
    rows = {row["id"]: row["faults"] for row in administered.client.providers()}
    assert rows == {"okta": [], "broken": [{"path": "", "message": "its configuration is not JSON"}]}
    listed = administered.run("providers", "list").stdout
    [line] = [line for line in listed.splitlines() if line.startswith("broken")]
    assert ("faulty" in line, "not JSON" in line) == (True, True), listed
    assert administered.run("providers", "delete", "broken", "--yes").returncode == 0
    assert [row["id"] for row in administered.client.providers()] == ["okta"]
