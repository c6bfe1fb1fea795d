"""What was found, how bad it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec

Level: TypeAlias = Literal["ok", "skip", "warn", "fail"]

AREAS: Final = (
    "configuration",
    "gateway",
    "ports",
    "names",
    "certificates",
    "edge",
    "trusted proxies",
    "providers",
    "backends",
    "calls",
    "store",
    "files",
    "clock",
)
"""In the order they are shown in."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. No text of it holds a secret."""

    area: str
    """One of `AREAS`."""
    subject: str
    """What was looked at: a host, an address, a path."""
    level: Level
    """`skip`: it could not be looked at, which is nobody's fault."""
    code: str
    """Stable; docs/doctor.md has a row for each."""
    detail: str
    advice: str = ""
    """What to do; empty where nothing need be done."""


class About:
    """Makes findings of one area."""

    __slots__ = ("area",)

    def __init__(self, area: str) -> None:
        self.area = area

    def ok(self, subject: str, code: str, detail: str, advice: str = "") -> Finding:
        """All is well; `advice`: what is still to be done elsewhere."""
        return self._found("ok", subject, code, detail, advice)

    def skip(self, subject: str, code: str, detail: str, advice: str = "") -> Finding:
        """It could not be looked at."""
        return self._found("skip", subject, code, detail, advice)

    def warn(self, subject: str, code: str, detail: str, advice: str) -> Finding:
        """It works, and somebody should see to it."""
        return self._found("warn", subject, code, detail, advice)

    def fail(self, subject: str, code: str, detail: str, advice: str) -> Finding:
        """It doesn't work, or isn't safe."""
        return self._found("fail", subject, code, detail, advice)

    def _found(self, level: Level, subject: str, code: str, detail: str, advice: str) -> Finding:
        return Finding(area=self.area, subject=subject, level=level, code=code, detail=detail, advice=advice)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """By area; within one as they came."""
    return tuple(sorted(findings, key=lambda one: AREAS.index(one.area)))


def has_failed(findings: Iterable[Finding]) -> bool:
    """True where something has to be done before people can be served."""
    return any(one.level == "fail" for one in findings)
