"""A provider that says when its sessions are over, for the tests of logout."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.unit.service.conftest import Clock
from tests.unit.service.test_signin import Op, World
from vestibule.errors import ClientError, ProviderUnavailable
from vestibule.model import Identity, Secret, Tokens
from vestibule.protocol import base64url
from vestibule.protocol.logout_token import LogoutToken
from vestibule.providers.base import Answer, SignedIn
from vestibule.providers.kit import Flow


class Ender(Op):
    """Believes codes like `alice@s-1`: who, in which session of its own; a logout token is the JSON of what it says."""

    def __init__(self, name: str, clock: Clock, *, issuer: str = "https://op.example") -> None:
        super().__init__(name, issuer=issuer)
        self.clock = clock
        self.is_down = False
        self.asked = 0

    def finish(self, answer: Answer) -> Flow[SignedIn]:
        found = yield from super().finish(answer)
        assert isinstance(found.identity, Identity)
        assert isinstance(found.tokens, Tokens)
        subject, _, sid = found.identity.subject.partition("@")
        payload = base64url.encode(msgspec.json.encode({"iat": int(self.clock.now())}))
        header = base64url.encode(b'{"alg":"RS256"}')
        return SignedIn(
            identity=msgspec.structs.replace(found.identity, subject=subject, sid=sid),
            tokens=msgspec.structs.replace(found.tokens, id_token=Secret(f"{header}.{payload}.x")),
        )

    def ended(self, logout_token: Secret, now: float) -> Flow[LogoutToken]:
        yield from ()
        self.asked += 1
        if self.is_down:
            raise ProviderUnavailable("down")
        try:
            return msgspec.json.decode(logout_token.reveal(), type=LogoutToken)
        except msgspec.MsgspecError:
            raise ClientError("no", code="logout_token_malformed", status=400) from None

    def speaks_for(self, issuer: str) -> bool:
        return issuer == self.issuer

    def sign_out_ways(self) -> Flow[tuple[str, ...]]:
        yield from ()
        return ("back",)

    def frame_origins(self) -> Flow[tuple[str, ...]]:
        yield from ()
        return (self.issuer,)


def with_ender(world: World) -> Ender:
    """Google of this world says from now on when its sessions are over."""
    ender = Ender("google", world.clock)
    world.ops["google"] = ender
    world.signin.use(world.ops, frozenset({"b.example"}))
    return ender


def token(world: World, **says: Any) -> Secret:
    """What its server would post now."""
    now = world.clock.now()
    told = {"issuer": "https://op.example", "jti": "j-1", "issued_at": now, "until": now + 120.0, **says}
    return Secret(msgspec.json.encode(LogoutToken(**told)).decode())
