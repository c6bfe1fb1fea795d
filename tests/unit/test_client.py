"""Sessions for applications in Python, against the API in this process."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.cli.test_remote import InProcess
from tests.unit.web.api.desk import ApiDesk
from vestibule import admin_link
from vestibule.client import Device, SessionClient
from vestibule.errors import ClientError, Invalid
from vestibule.model import Secret

HOST = "app.example.com"


@pytest.fixture
def api() -> ApiDesk:
    return ApiDesk()


@pytest.fixture
def sessions(api: ApiDesk, monkeypatch: pytest.MonkeyPatch) -> SessionClient:
    monkeypatch.setattr(
        admin_link, "_connector", lambda where, timeout_s: lambda: InProcess(api, "http://127.0.0.1:9000")
    )
    token: Any = api.call("POST", "/tokens", {"name": "shop"}).json["token"]
    return SessionClient("http://127.0.0.1:9000", token)


def test_a_session_from_its_beginning_to_its_end(api, sessions):
    alice = api.person()
    device = Device(user_agent="Shop/2", address="192.0.2.7")
    made = sessions.create(alice.id, HOST, attributes={"cart": 7}, life_s=600, idle_s=60, device=device)
    assert (made.user_id, made.device, made.idle_timeout, made.made_by) == (alice.id, device, 60, "shop")
    assert made.expires_at - made.created_at == timedelta(seconds=600)
    whose = sessions.introspect(made.bearer, touch=True)
    assert (whose.id, whose.attributes) == (made.id, {"cart": 7})
    assert sessions.introspect(made.bearer.reveal()) == whose
    changed = sessions.update(made.id, {"cart": None, "a": 1}, version=whose.version)
    assert (changed.attributes, changed.version) == ({"a": 1}, 1)
    longer = sessions.update(made.id, expires_at=made.expires_at + timedelta(hours=1))
    assert longer.expires_at == made.expires_at + timedelta(hours=1)
    assert sessions.get(made.id) == longer
    assert list(sessions.list(alice.id)) == [longer]
    assert list(sessions.list(alice.id, host="other.example.com")) == []
    sessions.end(made.id)
    assert sessions.introspect(made.bearer) is None
    assert sessions.end_all(alice.id) == 0


def test_the_bearer_is_not_seen_by_accident(api, sessions):
    made = sessions.create(api.person().id, HOST, form="jwt")
    assert made.bearer.reveal().count(".") == 2
    assert made.bearer.reveal() not in repr(made)


def test_a_list_goes_on_over_its_pages(api, sessions, monkeypatch):
    monkeypatch.setattr("vestibule.client.PAGE", 2)
    alice = api.person()
    made = {sessions.create(alice.id, HOST).id for _ in range(5)}
    assert {one.id for one in sessions.list(alice.id)} == made


@pytest.mark.parametrize(
    ("do", "status", "code"),
    [
        (lambda sessions, made: sessions.update(made.id, {"a": 1}, version=7), 412, "changed"),
        (lambda sessions, made: sessions.get("none"), 404, "not_found"),
        (lambda sessions, made: sessions.get("../users"), 422, "invalid"),
        (lambda sessions, made: sessions.create(made.user_id, "other.example.com"), 409, "not_vouched"),
        (lambda sessions, made: sessions.update(made.id, {"a b": 1}), 422, "invalid"),
    ],
)
def test_what_is_refused_has_a_code(api, sessions, do, status, code):
    made = sessions.create(api.person().id, HOST)
    with pytest.raises(ClientError) as caught:
        do(sessions, made)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert isinstance(caught.value, Invalid) is (code == "invalid")


@pytest.mark.parametrize("where", ["", "unix:", "127.0.0.1:9000", "http://a/path"])
def test_what_is_no_place_of_a_service(where):
    with pytest.raises(ValueError, match="write unix:PATH, or a URL"):
        SessionClient(where, Secret("x"))


def test_it_brings_nothing_heavy_along():
    heavy = {"aiohttp", "fastapi", "pydantic", "sqlalchemy", "starlette", "requests", "asyncio", "click"}
    script = "import sys, vestibule.client; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    # A process of its own: this one has loaded everything.
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert heavy.isdisjoint(loaded.split())
