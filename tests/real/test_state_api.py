"""What the admin API says of a gateway that runs, with people, a provider, an app and an API behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys

import pytest

from tests.real.house import CONFIGURATION, House, build
from tests.real.visitor import new_visitor
from vestibule.admin_client import AdminClient
from vestibule.core.event import CREDENTIAL_REVEALED
from vestibule.errors import VestibuleError
from vestibule.model import Secret

pytestmark = pytest.mark.real

MORE = """
admin {
  listen = "127.0.0.1:ADMIN"
}
# a line that was taken out: CANARY-of-a-comment
secret "legacy" {
  value = "CANARY-of-a-secret"
}
secret "kept" {
  value = file("KEPT")
}
call "legacy" {
  port     = LEGACY
  endpoint = "https://127.0.0.1:API"
  hosts    = ["app.example.com"]
  auth {
    name       = "X-Key"
    credential = "secret:legacy"
  }
  auth {
    name       = "X-Kept"
    credential = "secret:kept"
  }
}
webhook "ops" {
  url    = "https://127.0.0.1:1/hooks/CANARY-of-a-hook"
  secret = "${env("HOOK_SECRET")}"
}
"""
WHSEC = "whsec_Q0FOQVJZLW9mLWEtd2ViaG9vay0xMjM0NTY3ODkw"
PLAIN = """  access {
    allow = ["anyone"]
  }
  route "/open/" {"""
HEADER = """  header "X-Api-Key" {
    value = "CANARY-of-a-header"
  }
  access {
    allow = ["anyone"]
  }
  route "/open/" {"""


@pytest.fixture
async def house(ports, api, openid, gateway, tmp_path):
    admin, legacy = ports.take(), ports.take()
    kept = tmp_path / "kept.key"
    kept.write_text("CANARY-of-a-file\n")
    text = (CONFIGURATION + MORE).replace("ADMIN", str(admin)).replace("LEGACY", str(legacy))
    head, _, tail = text.replace("KEPT", str(kept)).partition(PLAIN)
    assert tail

    def started(configuration, *, port):
        return gateway(configuration, port=port, env={"HOOK_SECRET": WHSEC})

    made = await build(
        ports=ports, api=api, openid=openid, gateway=started, configuration=head + HEADER + tail
    )
    made.admin_port = admin
    made.kept = kept
    async with new_visitor(user_agent="app/1") as made.client:
        yield made


@pytest.fixture
def client(house: House) -> AdminClient:
    return AdminClient(f"unix:{house.gateway.directory / 'state' / 'admin.sock'}")


@contextlib.asynccontextmanager
async def alice(house: House):
    """Her browser, signed in, and her session's id."""
    async with house.browser() as browser:
        await browser.sign_in()
        assert (await browser.get("/")).status == 200
        yield browser, session_of(house)


def session_of(house: House) -> str:
    database = house.gateway.directory / "state" / "vestibule.db"
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        [(session_id,)] = connection.execute("SELECT id FROM sessions").fetchall()
    return str(session_id)


async def said(work, *arguments):
    return await asyncio.to_thread(work, *arguments)


async def test_the_program_at_a_glance(house: House, client: AdminClient):
    async with alice(house), asyncio.timeout(60):
        while not sum((overview := await said(client.overview)).series.sign_ins) or not overview.sessions:
            await asyncio.sleep(0.2)  # it is counted a moment later
    assert (overview.sessions, overview.users) == (1, 1)
    assert [(one.name, one.pid) for one in overview.workers] == [("gateway", house.gateway.process.pid)]
    assert overview.workers[0].memory_bytes > 1 << 20
    assert sum(overview.series.requests) > 3
    assert sum(overview.series.sign_ins) == 1
    assert {(one.name, one.kind, one.ok) for one in overview.stores} == {
        ("records", "sqlite", True),
        ("sessions", "sqlite", True),
    }
    assert all(one.took_ms is not None and one.where == "state/vestibule.db" for one in overview.stores)
    listeners = {(one.purpose, one.name): one.address for one in overview.listeners}
    assert listeners["hosts", ""] == f"127.0.0.1:{house.gateway.port}"
    assert listeners["call", "api"] == f"127.0.0.1:{house.call_port}"
    assert {purpose for purpose, _ in listeners} == {"hosts", "call", "admin"}
    assert overview.started_at < overview.now
    assert overview.concerns == ()


async def test_what_is_wrong_is_told_with_what_to_do(house: House, client: AdminClient):
    file = house.gateway.file
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime + 3600))
    state = house.gateway.directory / "state"
    state.chmod(0o777)
    (state / "vestibule.key").chmod(0o644)
    house.provider.go_down()
    await said(client.provider_states)
    async with asyncio.timeout(60):
        while len(found := (await said(client.overview)).concerns) < 4:
            await asyncio.sleep(0.2)
    told = {one.what: one for one in found}
    assert told["others can read the key file"].advice.startswith("chmod 600 ")
    assert told["others can write to the state"].advice.startswith("chmod go-w ")
    assert told["the files are newer than what is in force"].detail == str(file)
    assert told["a provider does not do as it should"].advice == "vestibule providers test op"


async def test_hosts_with_their_rules_and_what_came(house: House, client: AdminClient):
    async with alice(house) as (browser, _):
        await browser.get("/open/x")
    [host] = await said(client.hosts)
    assert (host.name, host.sign_in, host.urls) == ("app.example.com", ("op",), (house.origin,))
    whole, opened = host.routes
    assert (whole.prefix, whole.allow, opened.prefix, opened.allow) == (
        "/",
        ("anyone",),
        "/open/",
        ("public",),
    )
    lines = house.gateway.file.read_text().splitlines()
    assert lines[int(host.place.rpartition(":")[2]) - 1].startswith('host "app.example.com"')
    assert lines[int(opened.place.rpartition(":")[2]) - 1].strip().startswith('route "/open/"')
    assert host.backend == f"http://127.0.0.1:{house.app.port}"
    assert host.counts.requests > 3
    assert host.counts.last_at is not None


async def test_calls_and_their_credentials_by_name(house: House, client: AdminClient):
    async with alice(house) as (browser, _):
        handle = (await browser.seen_by_app()).one("proxy-session")
        async with house.call(handle) as answer:
            assert answer.status == 200
    named = {one.id: one for one in await said(client.calls)}
    assert named["api"].credentials == ("session:op in authorization",)
    assert named["legacy"].credentials == ("secret:legacy in X-Key", "secret:kept in X-Kept")
    assert named["api"].hosts == ("app.example.com",)
    assert (named["api"].counts.requests, named["legacy"].counts.requests) == (1, 0)
    assert await said(client.edges) == ()
    assert await said(client.certificates) == ()


async def test_how_a_provider_does(house: House, client: AdminClient):
    async with alice(house):
        [state] = await said(client.provider_states)
    assert (state.id, state.type, state.hosts, state.enabled) == ("op", "oidc", ("app.example.com",), True)
    assert (state.discovery, state.issuer, state.last_error) == ("ok", house.provider.issuer, "")
    assert state.keys >= 1
    assert state.last_ok_at is not None
    assert state.redirect_urls == (f"{house.origin}/@op/callback",)
    assert state.source.startswith(f"{house.gateway.file}:")


async def test_what_nobody_has_asked_yet_is_asked_while_somebody_looks(house: House, client: AdminClient):
    async with asyncio.timeout(60):
        while not (found := (await said(client.provider_states))[0]).keys:
            await asyncio.sleep(0.1)
    assert found.discovery == "ok"


async def test_with_workers_each_process_is_told_of(ports, api, openid, gateway):
    configuration = CONFIGURATION.replace("gateway {", "gateway {\n  workers = 2")
    house = await build(ports=ports, api=api, openid=openid, gateway=gateway, configuration=configuration)
    client = AdminClient(f"unix:{house.gateway.directory / 'state' / 'admin.sock'}")
    async with alice(house), asyncio.timeout(60):
        while (
            len((overview := await said(client.overview)).workers) < 3
            or not overview.sessions
            or not (await said(client.hosts))[0].counts.requests
        ):
            await asyncio.sleep(0.2)
        [state] = await said(client.provider_states)
    assert {one.name for one in overview.workers} == {"control", "worker 1", "worker 2"}
    assert len({one.pid for one in overview.workers}) == 3
    assert all(one.memory_bytes > 1 << 20 for one in overview.workers)
    assert (state.discovery, state.last_error, state.keys > 0) == ("ok", "", True)
    assert not (await said(client.difference)).is_changed


async def test_the_command_shows_how_providers_do(house: House):
    async with alice(house):
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "vestibule", "providers", "states"],
            cwd=house.gateway.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    head, line = done.stdout.splitlines()
    assert head.split()[:5] == ["ID", "TYPE", "FROM", "METADATA", "KEYS"]
    assert (line.split()[0], line.split()[3]) == ("op", "ok")


# -- credentials ----------------------------------------------------------------------------------


async def test_a_credential_is_masked_and_the_command_goes_by_the_calling_interface(
    house: House, client: AdminClient
):
    async with alice(house) as (browser, session_id):
        handle = (await browser.seen_by_app()).one("proxy-session")
        [held] = await said(client.credentials, session_id)
        assert (held.client, held.owner, held.session_id) == ("op", "session", session_id)
        assert "openid" in held.scopes
        assert len(held.shown) <= 5
        [command] = held.curls
        assert command == f'curl -H "Proxy-Session: $PROXY_SESSION" http://127.0.0.1:{house.call_port}/'
        done = await asyncio.to_thread(
            subprocess.run,
            ["sh", "-c", f"{command} -s -o /dev/null -w '%{{http_code}}'"],
            env={**os.environ, "PROXY_SESSION": handle},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout == "200"
        [token] = house.secrets_told()
    assert token not in repr(held)
    assert token not in house.gateway.log


async def test_it_is_told_for_a_reason_that_is_kept_before(house: House, client: AdminClient):
    async with alice(house) as (browser, session_id):
        handle = (await browser.seen_by_app()).one("proxy-session")
        async with house.call(handle):
            pass
        [token] = house.secrets_told()
        revealed = await said(client.reveal, session_id, "op", "ticket 4711: the API refuses her")
    assert revealed.access_token.reveal() == token
    [event] = await said(lambda: list(client.audit(action=CREDENTIAL_REVEALED)))
    assert event.actor == "socket"
    assert event.session_id == session_id
    assert event.user_id
    assert event.detail["reason"] == "ticket 4711: the API refuses her"
    assert event.detail["client"] == "op"
    assert token not in house.gateway.log


@pytest.mark.parametrize("reason", ["", "ab", "x" * 501, "a\nb c", "   "])
async def test_without_a_reason_nothing_is_told(house: House, client: AdminClient, reason: str):
    async with alice(house) as (_, session_id):
        with pytest.raises(VestibuleError) as caught:
            await said(client.reveal, session_id, "op", reason)
    assert caught.value.status == 422
    assert not list(await said(lambda: list(client.audit(action=CREDENTIAL_REVEALED))))


async def test_a_name_with_a_slash_in_it_reaches_the_operation(house: House, client: AdminClient):
    async with alice(house) as (_, session_id):
        with pytest.raises(VestibuleError) as caught:
            await said(client.reveal, session_id, "app.example.com/own", "whether it gets there")
    assert (caught.value.status, caught.value.code) == (404, "not_found")
    assert "no credential of app.example.com/own" in str(caught.value)


async def test_where_the_trail_can_t_be_written_nothing_is_told(house: House, client: AdminClient):
    database = house.gateway.directory / "state" / "vestibule.db"
    async with alice(house) as (_, session_id):
        with contextlib.closing(sqlite3.connect(database, timeout=20, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(VestibuleError) as caught:
                await said(client.reveal, session_id, "op", "to see whether it is told")
            other.execute("ROLLBACK")
    assert caught.value.status == 503
    assert not list(await said(lambda: list(client.audit(action=CREDENTIAL_REVEALED))))


async def test_scopes_say_who_is_told_what(house: House, client: AdminClient):
    def by(*scopes: str) -> AdminClient:
        made = client.create_token("some", scopes=scopes)
        return AdminClient(f"http://127.0.0.1:{house.admin_port}", Secret(made.token))

    async with alice(house) as (_, session_id):
        reads, tells, watches, configures = (
            by("credentials:read"),
            by("credentials:reveal"),
            by("traffic:read"),
            by("configuration:read"),
        )
        assert await said(reads.credentials, session_id)
        assert (await said(tells.reveal, session_id, "op", "by a token")).access_token
        assert (await said(watches.overview)).version
        assert (await said(configures.configuration)).parts
        for asked in (
            lambda: reads.reveal(session_id, "op", "may it"),
            lambda: watches.credentials(session_id),
            watches.configuration,
            configures.hosts,
            tells.difference,
        ):
            with pytest.raises(VestibuleError) as caught:
                await said(asked)
            assert caught.value.code == "scope_missing"


# -- configuration --------------------------------------------------------------------------------


def text_of(value) -> str:
    return json.dumps([repr(value)])


async def test_the_configuration_in_force_has_places_and_no_secret(house: House, client: AdminClient):
    found = await said(client.configuration)
    assert found.files == (str(house.gateway.file),)
    assert found.environment == ("HOOK_SECRET",)
    lines = house.gateway.file.read_text().splitlines()
    for part in found.parts:
        assert lines[int(part.place.rpartition(":")[2]) - 1].startswith(part.kind)
    assert {one.name for one in found.parts if one.kind == "call"} == {"api", "legacy"}
    told = text_of(found)
    assert '"***"' in next(one.text for one in found.parts if (one.kind, one.name) == ("secret", "legacy"))
    assert "CANARY" not in told
    assert "app-secret" not in told
    assert "Q0FOQVJZ" not in told


async def test_the_difference_is_what_a_reload_would_bring(house: House, client: AdminClient):
    assert not (await said(client.difference)).is_changed
    file = house.gateway.file
    text = file.read_text()
    file.write_text(
        text.replace('"CANARY-of-a-secret"', '"CANARY-of-another"').replace(
            'allow = ["public"]', 'allow = ["anyone"]'
        )
    )
    house.kept.write_text("CANARY-of-another-file")
    found = await said(client.difference)
    assert found.is_changed
    assert '-      allow = ["public"]' in found.diff
    assert '+      allow = ["anyone"]' in found.diff
    assert found.diff.count('+  value = "***" (changed)') == 2
    assert found.restart == ()  # nothing of this takes more than a reload
    assert "CANARY" not in text_of(found)
    [host] = await said(client.hosts)
    assert host.routes[1].allow == ("public",)


async def test_what_can_t_be_loaded_is_told_with_its_places_and_nothing_is_touched(
    house: House, client: AdminClient
):
    file = house.gateway.file
    file.write_text(file.read_text().replace("backend =", "bakend ="))
    found = await said(client.difference)
    checked = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "vestibule", "check", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "HOOK_SECRET": WHSEC},
    )
    assert set(found.faults) == {
        line for line in checked.stderr.splitlines() if not line.startswith("warning")
    }
    async with alice(house):
        pass
