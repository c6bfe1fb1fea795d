"""The first requests after a start: they wait for nothing that is still being imported."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest

from vestibule.app import App
from vestibule.config.compile import compile_config
from vestibule.config.load import load
from vestibule.core.organisation import Organisation
from vestibule.core.route import cookie_name
from vestibule.errors import StoreError
from vestibule.generation import Generation
from vestibule.model import Account, Device, Identity, User
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.service.affiliated import ORGANISATION
from vestibule.service.sessions import USER
from vestibule.store.base import EVERYTHING
from vestibule.store.records import open_records

pytestmark = pytest.mark.real

ANN = Identity(client="acme", issuer="https://issuer.example.com", subject="1", name="Ann")
CONFIGURATION = """
gateway {
  http  = ["127.0.0.1:0"]
  state = "DIR/state"
}

provider "acme" {
  type          = "oidc"
  issuer        = "https://issuer.example.com"
  client_id     = "app"
  client_secret = "0123456789abcdef0123456789abcdef"
}

host "app.test" {
  backend = "internal:echo"
  tls     = "off"
  sign_in = ["acme"]
  access { allow = ["anyone"] }
}
"""


@pytest.fixture
async def app(tmp_path: Path, monkeypatch):
    """A gateway that is never done with its imports."""

    async def never(_self: Generation, *, must_know: bool = False) -> None:
        del must_know
        await asyncio.Event().wait()

    monkeypatch.setattr(Generation, "load", never)
    (tmp_path / "state").mkdir(mode=0o700)
    file = tmp_path / "app.hcl"
    file.write_text(CONFIGURATION.replace("DIR", str(tmp_path)))
    found = await App.open(compile_config(load((file,), {})), Log(io.StringIO()))
    yield found
    await found.close(drain_s=0.0)


async def signed_in(app: App, user_id: str) -> str:
    """The handle of a session of somebody who is known, which the gateway has not read yet."""
    kept = open_records(app.generation.compiled.database, ring=app._kept.ring)
    user = User(id=user_id, created_at=clock.now() - 1)
    account = Account(issuer=ANN.issuer, subject=ANN.subject, user_id=user_id, client="acme")
    assert await kept.people.register(user, account)
    await kept.close()
    _, handle = await app.generation.who.sessions.start(
        host="app.test",
        user_id=user_id,
        identities=(ANN,),
        clients=("acme",),
        device=Device(),
        now=clock.now(),
    )
    app._kept.changes.publish(USER, user_id)
    assert app.generation.who.sessions.peek(handle) is None
    return handle


async def answered(app: App, handle: str) -> bytes:
    """The status line of the answer to a request with this session."""
    port = app.listeners[0].port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    cookie = f"{cookie_name(port, secure=False)}={handle}"
    try:
        writer.write(f"GET / HTTP/1.1\r\nHost: app.test:{port}\r\nCookie: {cookie}\r\n\r\n".encode())
        return await reader.readline()
    finally:
        writer.close()


async def test_where_there_is_no_organisation_a_request_waits_for_no_import(app: App):
    handle = await signed_in(app, "ann")
    async with asyncio.timeout(60):
        assert await answered(app, handle) == b"HTTP/1.1 200 OK\r\n"
    assert not app.generation.is_loaded


async def test_whether_there_is_one_is_asked_at_the_start_and_by_no_request(app: App, monkeypatch):
    handle = await signed_in(app, "ann")

    async def away() -> bool:
        raise StoreError("no request asks")

    monkeypatch.setattr(app.generation.who.affiliated, "_ask", away)
    async with asyncio.timeout(60):
        assert await answered(app, handle) == b"HTTP/1.1 200 OK\r\n"


async def test_nobody_is_let_in_while_it_cannot_be_known(app: App, monkeypatch):
    handle = await signed_in(app, "ann")

    async def away() -> bool:
        raise StoreError("it is not there")

    monkeypatch.setattr(app.generation.who.affiliated, "_ask", away)
    app._kept.changes.publish(ORGANISATION, EVERYTHING)
    async with asyncio.timeout(60):
        assert await answered(app, handle) == b"HTTP/1.1 503 Service Unavailable\r\n"


async def test_where_there_is_one_a_request_waits_until_it_is_known_what_they_are_in(app: App):
    """Threat: a rule that denies by group, and somebody who is let in because nobody has looked."""
    handle = await signed_in(app, "ann")
    kept = open_records(app.generation.compiled.database, ring=app._kept.ring)
    now = clock.now()
    await kept.organisations.create(
        Organisation(id="o1", slug="acme", name="Acme", created_at=now, updated_at=now)
    )
    await kept.close()
    app._kept.changes.publish(ORGANISATION, "o1")
    asked = asyncio.create_task(answered(app, handle))
    done, _ = await asyncio.wait((asked,), timeout=0.5)
    assert not done
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
