"""Providers of the database, tried by the gateway that runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import msgspec
import pytest

from vestibule.admin_link import Link
from vestibule.doctor import providers
from vestibule.doctor.providers import of_database
from vestibule.errors import ClientError, VestibuleError


class Gateway(Link):
    """Answers as the API does."""

    rows: Any = ()
    outcomes: ClassVar[dict[str, Any]] = {}
    is_away = False
    asked: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, where: str, *, timeout_s: float) -> None:
        assert where.endswith("/admin.sock")

    def call(self, method: str, path: str, *_: Any, **__: Any) -> bytes:
        if self.is_away:
            raise VestibuleError("nobody is there", code="unreachable", status=503)
        if path == "/identity-providers":
            return msgspec.json.encode({"items": self.rows})
        self.asked.append((method, path))
        found = self.outcomes[path.split("/")[2]]
        if isinstance(found, Exception):
            raise found
        return msgspec.json.encode({"ok": True, "findings": found})

    def close(self) -> None:
        pass


def row(name: str, *, source: str = "database", enabled: bool = True) -> dict[str, Any]:
    return {"id": name, "source": source, "enabled": enabled, "title": "x"}


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> type[Gateway]:
    made = type("Made", (Gateway,), {"asked": []})
    monkeypatch.setattr(providers, "Link", made)
    return made


def found(pid: int = 7) -> list[tuple[str, str, str]]:
    patient: Any = SimpleNamespace(running=SimpleNamespace(pid=pid), state=Path("/state"))
    return [(one.level, one.subject, one.code) for one in of_database(patient)]


def test_without_a_gateway_nothing_is_asked(gateway: type[Gateway]):
    assert found(pid=0) == []


def test_those_of_the_database_that_are_offered_are_tried_and_no_others(gateway: type[Gateway]):
    gateway.rows = [row("op", source="configuration"), row("okta"), row("old", enabled=False), row("b/c")]
    good = {"what": "discovery", "ok": True, "detail": "it is there", "advice": ""}
    bad = {"what": "client credentials", "ok": False, "detail": "refused", "advice": "check the secret"}
    gateway.outcomes = {"okta": [good, bad], "b%2Fc": [good]}
    assert found() == [
        ("ok", "okta", "provider_discovery"),
        ("fail", "okta", "provider_credentials"),
        ("ok", "b/c", "provider_discovery"),
    ]
    assert gateway.asked == [
        ("POST", "/identity-providers/okta/test"),
        ("POST", "/identity-providers/b%2Fc/test"),
    ]


def test_one_that_can_t_be_tried_keeps_no_other_from_it(gateway: type[Gateway]):
    gateway.rows = [row("okta"), row("other")]
    good = {"what": "discovery", "ok": True, "detail": "", "advice": ""}
    gateway.outcomes = {"okta": ClientError("gone", code="not_found", status=404), "other": [good]}
    assert found() == [("fail", "okta", "provider"), ("ok", "other", "provider_discovery")]


def test_a_gateway_that_does_not_answer_is_told_of(gateway: type[Gateway]):
    gateway.is_away = True
    assert found() == [("warn", "database", "providers_unread")]


def test_when_the_time_is_over_the_rest_is_told_to_be_untried(
    gateway: type[Gateway], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(providers, "DATABASE_S", -1.0)
    gateway.rows = [row("okta")]
    assert found() == [("fail", "okta", "provider")]
    assert gateway.asked == []
