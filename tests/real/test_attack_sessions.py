"""Sessions under attack: ways around a fresh sign-in, what hides one, and who keeps whom out of the session service."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.ports import Ports
from tests.real.gateway import Gateway
from tests.real.house import NAVIGATION
from tests.real.raw import Answer, connect
from tests.real.realm import PROVIDER
from tests.real.rogue import Later, Rogue
from tests.real.visitor import new_visitor
from vestibule.admin_client import AdminClient
from vestibule.client import SessionClient
from vestibule.errors import ClientError
from vestibule.service.admin import FAILURES_MAX

pytestmark = pytest.mark.real

HOST = "bank.localhost"
BANK = """
admin {
  listen = "127.0.0.1:ADMIN"
}
host "bank.localhost" {
  backend        = "internal:echo"
  sign_in        = ["op"]
  session_bearer = true
  access { allow = ["anyone"] }
  route "/pay" { max_age = "1h" }
}
"""


@dataclass
class Den:
    """A gateway whose provider says of when people signed in what a test wants."""

    gateway: Gateway
    rogue: Rogue
    admin_url: str

    @property
    def admin(self) -> AdminClient:
        return AdminClient(f"unix:{self.gateway.directory / 'state' / 'admin.sock'}")

    def service(self) -> SessionClient:
        """By the port, with a token of its own."""
        made = self.admin.create_token("shop", scopes=("sessions:read", "sessions:introspect"))
        return SessionClient(self.admin_url, made.token or "")

    async def sign_in(self, user_agent: str = "Test/1", **claims: object) -> str:
        """The handle of somebody who has."""
        self.rogue.claims = {"auth_time": Later(0), **claims}
        base = f"http://{HOST}:{self.gateway.port}"
        async with new_visitor() as visitor:
            headers = {**NAVIGATION, "User-Agent": user_agent}
            async with visitor.get(f"{base}/@op/signin?rd=/", headers=headers) as page:
                assert page.status == 200, await page.text()
            name = f"vestibule-{self.gateway.port}"
            return next(one.value for one in visitor.cookie_jar if one.key == name)

    async def ask(self, target: str, *lines: str) -> Answer:
        """The answer to these very bytes."""
        head = [f"GET {target} HTTP/1.1", f"Host: {HOST}:{self.gateway.port}", *lines, "", ""]
        async with connect(self.gateway.port) as raw:
            return await raw.ask("\r\n".join(head).encode())


@pytest.fixture
async def den(gateway, ports: Ports) -> AsyncIterator[Den]:
    port = ports.take()
    async with Rogue(ports.take()) as rogue:
        text = (PROVIDER + BANK).replace("ISSUER", rogue.issuer).replace("ADMIN", str(port))
        yield Den(gateway(text), rogue, f"http://127.0.0.1:{port}")


SPELLINGS = (
    "/pay",
    "/pay/",
    "/pay/x",
    "/pay?x",
    "/pay;x",
    "//pay",
    "/./pay",
    "/x/../pay",
    "/x/..;/pay",
    "/%70ay",
    "/pay%2f",
    "/pay%2fx",
    "/%2e/pay",
    "/x%2f..%2fpay",
    "/x\\..\\pay",
    "/pay%00",
    "/pay#/",
    "http://bank.localhost/pay",
)


@pytest.mark.parametrize("shown", ["cookie", "bearer", "both"])
async def test_no_spelling_of_an_address_gets_past_a_fresh_sign_in(den: Den, shown: str) -> None:
    handle = await den.sign_in(auth_time=Later(-7200))
    lines = {
        "cookie": f"Cookie: vestibule-{den.gateway.port}={handle}",
        "bearer": f"Authorization: Bearer {handle}",
    }
    sent = tuple(lines.values()) if shown == "both" else (lines[shown],)
    assert (await den.ask("/", *sent)).status == 200
    upgrade = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(b'0' * 16).decode()}",
    )
    let_in = [
        (target, answer.status)
        for target in SPELLINGS
        for more in ((), upgrade)
        if (answer := await den.ask(target, *sent, *more)).status < 300
    ]
    assert let_in == []


async def test_no_browser_hides_its_session_from_who_looks(den: Den) -> None:
    handles = [await den.sign_in(agent) for agent in ("Test/1", "x" * 4000, "a\tb", "\x9b31m")]
    with den.service() as service:
        whose = await asyncio.to_thread(service.introspect, handles[0])
        assert whose is not None
        found = await asyncio.to_thread(lambda: list(service.list(whose.user_id)))
    assert len(found) == len(handles)
    agents = [one.device.user_agent for one in found]
    assert all(len(agent) <= 500 and agent.isprintable() for agent in agents)


@pytest.mark.parametrize("header", [b"[" * 20_000, b'{"typ":' * 2000, b"\xff" * 100, b"{}"])
async def test_what_is_no_token_fails_nothing(den: Den, header: bytes) -> None:
    shown = f"{base64.urlsafe_b64encode(header).rstrip(b'=').decode()}.e30.x"
    assert (await den.ask("/", f"Authorization: Bearer {shown}", "Accept: application/json")).status == 401
    assert "Traceback" not in den.gateway.log


async def test_wrong_tokens_of_another_keep_no_service_out(den: Den) -> None:
    handle = await den.sign_in()

    def attack() -> bool:
        with den.service() as service, SessionClient(den.admin_url, "vst_admin_" + "a" * 43) as other:
            assert service.introspect(handle) is not None
            for _ in range(2 * FAILURES_MAX):
                with pytest.raises(ClientError):
                    other.introspect(handle)
            return service.introspect(handle) is not None

    assert await asyncio.to_thread(attack)
