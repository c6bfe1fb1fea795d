"""What the tests of callers stand on: a host, an issuer that signs, and who is known here."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from tests.unit.protocol.test_access_token import CLAIMS, ISSUER, KEY, KEYS
from tests.unit.service.conftest import Clock, Heartbeats
from vestibule.core.credential import Accepted, Issuer
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, routes_of
from vestibule.errors import ProviderUnavailable
from vestibule.model import Caller, Identity, User
from vestibule.protocol.jose import SigningKey
from vestibule.providers.kit import Discovery, Keys, PostForm, Reply
from vestibule.service.proof import Proofs

CI = Issuer(name="ci", url=ISSUER, audience=("https://api.example",))


def host_of(accepted: Accepted, name: bytes = b"app.example") -> Host:
    routes, depth = routes_of(
        [Route(prefix=b"", backend=Backend(internal="echo"), policy=policy_of(allow=()))]
    )
    return Host(name=name, title="", clients={}, accepts=accepted, routes=routes, depth=depth)


def bearer(token: str) -> bytes:
    return b"Bearer " + token.encode()


def basic(user: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


def signed(key: SigningKey = KEY, *, kind: str = "at+jwt", without: str = "", **claims: Any) -> str:
    whole = {name: value for name, value in {**CLAIMS, **claims}.items() if name != without}
    return key.sign(whole, kind=kind).reveal()


class People:
    """Whose accounts are whose here."""

    def __init__(self) -> None:
        self.users: dict[tuple[str, str], User] = {}
        self.error: Exception | None = None
        self.asked = 0

    async def owner_of(self, identity: Identity) -> User | None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.users.get((identity.issuer, identity.subject))

    def add(self, user_id: str, issuer: str, subject: str) -> None:
        self.users[issuer, subject] = User(id=user_id, created_at=0.0)

    def block(self, issuer: str, subject: str) -> None:
        self.users[issuer, subject] = replace(self.users[issuer, subject], disabled=True)


class Internet:
    """Answers what flows ask for, and notes it."""

    def __init__(self) -> None:
        self.metadata: Any = {"issuer": ISSUER, "jwks_uri": "https://keys.example/jwks"}
        self.keys: tuple[Mapping[str, Any], ...] = KEYS
        self.fresh_keys: tuple[Mapping[str, Any], ...] | None = None
        self.reply: Reply | Exception = Reply(200, {}, b"{}")
        self.asked: list[Any] = []
        self.away: set[str] = set()
        """URLs of key sets that can't be had."""

    async def run(self, flow: Any, *, trusted: bool = True, about: str = "") -> Any:
        assert trusted
        try:
            ask = next(flow)
            while True:
                self.asked.append(ask)
                answer = self._answer(ask)
                ask = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
        except StopIteration as stop:
            return stop.value

    def _answer(self, ask: Any) -> Any:
        match ask:
            case Discovery():
                return self.metadata
            case Keys() if ask.url in self.away:
                return ProviderUnavailable("away")
            case Keys(kid=""):
                return self.keys if self.fresh_keys is None else self.fresh_keys
            case Keys():
                return self.keys
            case PostForm():
                return self.reply
        raise AssertionError(ask)


def proofs_of(people: People, clock: Clock, changes: Heartbeats | None = None, **more: Any) -> Proofs:
    return Proofs(people.owner_of, changes or Heartbeats(), now=clock.now, mono=clock.mono, **more)


def caller(subject: str = "alice", **more: Any) -> Caller:
    identity = Identity(client="ci", issuer=ISSUER, subject=subject)
    return Caller(id="x", kind="jwt", identities=(identity,), **more)
