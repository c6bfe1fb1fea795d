"""Plays a provider's flow by hand: answers go in, the result and what was asked come out. No sockets, no loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from vestibule.model import Secret
from vestibule.protocol.jose import SigningKey
from vestibule.providers.base import Answer, Start
from vestibule.providers.kit import Ask, Flow, PostForm, Reply

T = TypeVar("T")
NOW = 1_800_000_000.0
REDIRECT = "https://app.example/@op/callback"
#: the pair printed in RFC 7636 appendix B
VERIFIER = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
NONCE = "n" * 43


def play(flow: Flow[T], *answers: Any) -> tuple[T, list[Ask]]:
    """What the flow returns when its asks are answered in this order, and the asks.

    An exception among the answers is raised into the flow.
    """
    asked: list[Ask] = []
    left = list(answers)
    try:
        ask = next(flow)
        while True:
            asked.append(ask)
            assert left, f"asked for more than there are answers: {ask}"
            answer = left.pop(0)
            ask = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
    except StopIteration as stop:
        assert not left, f"never asked for: {left}"
        return stop.value, asked


def answered(flow: Flow[T], by: Callable[[Ask], Any]) -> tuple[T, list[Ask]]:
    """Like `play`, with answers worked out of each ask."""
    asked: list[Ask] = []
    try:
        ask = next(flow)
        while True:
            asked.append(ask)
            ask = flow.send(by(ask))
    except StopIteration as stop:
        return stop.value, asked


def reply(body: Any, status: int = 200, *, kind: str = "application/json", **headers: str) -> Reply:
    """A reply with a JSON body, or with these very bytes."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Reply(status, {"content-type": kind, **headers}, raw)


def token_reply(**members: Any) -> Reply:
    """A token endpoint's answer."""
    return reply({"access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, **members})


def start(**hints: str) -> Start:
    """What a flow starts from."""
    return Start(redirect_uri=REDIRECT, state="st", nonce=NONCE, verifier=VERIFIER, hints=hints)


def came_back(**params: str) -> Answer:
    """What the browser came back with."""
    return Answer(
        params=params or {"code": "c0de"}, redirect_uri=REDIRECT, nonce=NONCE, verifier=VERIFIER, now=NOW
    )


def form_of(ask: Ask) -> dict[str, str]:
    """The form of an ask that posts one."""
    assert isinstance(ask, PostForm)
    return dict(ask.form)


def jwks_of(*keys: SigningKey) -> tuple[Mapping[str, Any], ...]:
    """The key set these keys are published in."""
    return tuple(key.public_jwk() for key in keys)
