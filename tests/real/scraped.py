"""What `/metrics` tells, read by Prometheus' own parser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

Sample = tuple[str, tuple[tuple[str, str], ...]]


class Scrape(dict[Sample, float]):
    """Values by name and labels."""

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of this name that have these labels."""
        return sum(
            value
            for (known, has), value in self.items()
            if known == name and labels.items() <= dict(has).items()
        )

    def labels(self) -> dict[str, set[str]]:
        """Which labels each name has."""
        found: dict[str, set[str]] = {}
        for name, has in self:
            found.setdefault(name, set()).update(dict(has))
        return found


async def text_of(state: Path) -> str:
    """What is told on the socket."""
    connector = aiohttp.UnixConnector(str(state / "admin.sock"))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get("http://localhost/metrics") as answer,
    ):
        assert answer.status == 200, await answer.text()
        return await answer.text()


async def scrape(state: Path) -> Scrape:
    """All of it."""
    return parsed(await text_of(state))


def parsed(text: str) -> Scrape:
    """What the text says."""
    return Scrape(
        {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    )


async def scraped_until(state: Path, holds: Callable[[Scrape], bool]) -> Scrape:
    """The first of which this holds."""
    async with asyncio.timeout(60):
        while not holds(found := await scrape(state)):
            await asyncio.sleep(0.05)
    return found
