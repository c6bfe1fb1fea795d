"""What answers on the machine where a program looks for what its platform gives it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest

from vestibule.errors import ClientError
from vestibule.protocol.sigv4 import Credentials
from vestibule.runner import aws, aws_role


class Platform:
    """Answers by URL; keeps what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.forms: list[dict[str, str]] = []

    def __call__(
        self,
        url: str,
        *,
        headers: dict[str, str],
        method: str = "GET",
        body: bytes | None = None,
        is_near: bool = True,
        why: Any = None,
        what: str,
    ) -> bytes:
        self.asked.append((method, url, dict(headers)))
        self.forms.append(dict(parse_qsl((body or b"").decode())))
        assert is_near is (why is None)
        if url not in self.answers:
            raise ClientError(f"{what} can't be had", code="platform_silent")
        answer = self.answers[url]
        return (json.dumps(answer) if isinstance(answer, dict) else str(answer)).encode()


def shown(found: Credentials) -> tuple[str, str, str]:
    """Credentials, in the open."""
    return found.key_id, found.secret.reveal(), found.token.reveal() if found.token else ""


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    """In the place of everything that a machine of AWS has beside it, and of STS."""
    found = Platform()
    monkeypatch.setattr(aws, "asked", found)
    monkeypatch.setattr(aws_role, "asked", found)
    return found
