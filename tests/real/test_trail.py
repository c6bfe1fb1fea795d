"""The trail of a running gateway: written by all it does, verified, exported, tampered with, and told to."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.real.postgres import Database
from tests.real.test_admin_api import KEY, OKTA, PUBLIC, Administered
from vestibule.admin_client import AdminClient
from vestibule.client import SessionClient
from vestibule.errors import ClientError, Invalid
from vestibule.model import Secret

pytestmark = pytest.mark.real

EXAMPLE = Path(__file__).parents[2] / "examples" / "sessions" / "tell.py"
STORE = 'store {\n  url = "${env("DATABASE_URL")}"\n}\n'


def config(port: int, store: str = "") -> str:
    return PUBLIC.replace("ADMIN", f'{store}admin {{\n  listen = "127.0.0.1:{port}"\n}}')


@pytest.fixture(params=["sqlite", "postgres"])
def place(request) -> Iterator[tuple[Administered, Callable[[str], object]]]:
    """A gateway on each database, and how to write to its tables behind its back."""
    gateway, ports = (request.getfixturevalue(name) for name in ("gateway", "ports"))
    port = ports.take()
    if request.param == "sqlite":
        started = gateway(config(port))
        administered = Administered(started, port)
        file = started.directory / "state" / "vestibule.db"

        def execute(sql: str) -> object:
            with closing(sqlite3.connect(file, timeout=10)) as connection:
                connection.execute(sql)
                connection.commit()
            return None

        yield administered, execute
        return
    database: Database = request.getfixturevalue("postgres")
    started = gateway(config(port, STORE), env={**KEY, "DATABASE_URL": database.url})
    yield Administered(started, port), database.execute


def test_what_admins_do_is_in_a_trail_that_is_whole_until_somebody_touches_it(place, tmp_path):
    gateway, execute = place
    client = gateway.client
    made = client.create_token("deploy", scopes=["providers:write", "audit:read"])
    deploy = AdminClient(gateway.url, Secret(made.token or ""))
    deploy.create_provider(OKTA)
    deploy.update_provider("okta", {"title": "Okta"})
    with pytest.raises(ClientError, match="lacks the scope"):
        next(deploy.users())
    found = {(one.action, one.actor, one.target): one.detail for one in deploy.audit()}
    assert found["token.created", "socket", f"token {made.id}"]["after"]["name"] == "deploy"
    assert found["provider.created", "token deploy", "provider okta"]["secrets_written"] == [
        "openid_config.client_secret"
    ]
    changed = found["provider.updated", "token deploy", "provider okta"]
    assert changed["after"]["title"] == "Okta"
    assert found["admin.refused", "token deploy", ""]["scope"] == "users:read"

    # Whole, by the API and the command, and so is a copy, with the key and without.
    done = gateway.run("audit", "verify")
    assert done.returncode == 0, done.stderr
    head = done.stdout.splitlines()[-1].removeprefix("head: ")
    assert client.verify_audit(head).ok
    copy = tmp_path / "trail.ndjson"
    exported = gateway.run("audit", "export")
    assert exported.returncode == 0, exported.stderr
    copy.write_text(exported.stdout)
    assert OKTA["openid_config"]["client_secret"] not in exported.stdout
    keys = gateway.gateway.directory / "state" / "keys.json"
    by_key = ["--key-file", str(keys)] if keys.exists() else []
    for more in ([], by_key, ["--head", head]):
        checked = gateway.run("audit", "verify", "--file", str(copy), *more)
        assert checked.returncode == 0, checked.stdout

    # The export itself is in the trail; a copy can be gone on with.
    rows = [json.loads(line) for line in exported.stdout.splitlines()]
    rest = gateway.run("audit", "export", "--after", str(rows[-1]["seq"]))
    assert "audit.exported" in rest.stdout

    # Somebody with the database, and without the key.
    execute("UPDATE audit SET actor = 'socket' WHERE action = 'provider.created'")
    broken = gateway.run("audit", "verify")
    assert broken.returncode == 1
    bad = next(row["id"] for row in rows if row.get("action") == "provider.created")
    assert f"first broken row: {bad}" in broken.stdout
    altered = copy.read_text().replace("token deploy", "token nobody")
    copy.write_text(altered)
    assert gateway.run("audit", "verify", "--file", str(copy)).returncode == 1


def test_the_end_can_not_be_cut_off_unseen_by_a_gateway_that_goes_on(place):
    gateway, execute = place
    for name in ("one", "two", "three"):
        gateway.client.create_token(name)
    head = gateway.client.verify_audit().head
    execute("DELETE FROM audit WHERE seq > 1")
    execute(
        "UPDATE audit_ends SET seq = 1, hash = (SELECT hash FROM audit WHERE seq = 1) WHERE name = 'head'"
    )
    assert not gateway.client.verify_audit().ok
    gateway.client.create_token("four")
    proof = gateway.client.verify_audit(head)
    assert not proof.ok
    assert [one.action for one in gateway.client.audit(action="audit.broken")] == ["audit.broken"]


def test_an_application_tells_what_happens_in_it(place):
    gateway, _ = place
    token = gateway.token(scopes=["events:write"])
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "u1", "4711"],
        env={**os.environ, "VESTIBULE_URL": gateway.url, "VESTIBULE_TOKEN": token},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["written true same true", "refused events[0].action"]
    (paid,) = gateway.client.audit(action="app.order.paid")
    assert (paid.actor, paid.user_id, paid.target) == ("token test", "u1", "order 4711")
    assert paid.detail == {"amount": "12.50", "currency": "EUR"}
    with SessionClient(gateway.url, token) as shop:
        with pytest.raises(Invalid) as caught:
            shop.tell({"action": "app.ok"}, {"action": "app.ok", "detail": {"a": "x" * 5000}})
        assert [path for path, _ in caught.value.faults] == ["events[1].detail"]
        assert list(gateway.client.audit(action="app.ok")) == []
    assert gateway.client.verify_audit().ok
