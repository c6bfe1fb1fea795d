"""All of it at once: every part in a task of its own, with a time of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from vestibule.doctor import (
    backends,
    certificates,
    clocks,
    edge,
    files,
    names,
    patient,
    ports,
    proxies,
    stores,
)
from vestibule.doctor import providers as identity
from vestibule.doctor.clocks import Heard
from vestibule.doctor.finding import About, Finding, in_order
from vestibule.doctor.patient import Patient
from vestibule.observe import clock

PART_S: Final = 13.5
"""How long each part may take; they run side by side."""


async def examined(one: Patient) -> tuple[Finding, ...]:
    """All that was found, in order."""
    heard: list[Heard] = []
    now = clock.now()

    async def provided() -> list[Finding]:
        found, noting = await identity.look(one)
        heard.extend(noting.heard.values())
        return found

    parts: dict[str, Callable[[], Awaitable[list[Finding]]]] = {
        "gateway": lambda: asyncio.to_thread(patient.of_gateway, one),
        "ports": lambda: asyncio.to_thread(ports.look, one),
        "names": lambda: names.look(one),
        "certificates": lambda: certificates.look(one, now),
        "edge": lambda: edge.look(one),
        "trusted proxies": lambda: proxies.look(one),
        "providers": provided,
        "backends": lambda: backends.look(one, now),
        "store": lambda: stores.look(one, heard),
        "files": lambda: asyncio.to_thread(files.look, one),
    }
    found = await asyncio.gather(*(_within(area, part) for area, part in parts.items()))
    all_found = names.told_once(finding for each in found for finding in each)
    once = {(finding.subject, finding.code, finding.detail): finding for finding in all_found}
    return in_order([*patient.of_configuration(one), *once.values(), *clocks.findings_of(heard)])


async def _within(area: str, part: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    """What one part found; its own fault, or being late, is a finding, too, and costs nothing of the others."""
    about = About(area)
    try:
        async with asyncio.timeout(PART_S):
            return await part()
    except TimeoutError:
        return [
            about.fail(area, "late", "it did not come to an end in time", "see what of it doesn't answer")
        ]
    except Exception as error:  # noqa: BLE001 - the boundary of a part
        return [
            about.fail(
                area, "fault", f"it could not be looked at: {type(error).__name__}", "please report this"
            )
        ]
