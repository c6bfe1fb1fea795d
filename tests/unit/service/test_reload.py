"""Another configuration is taken whole, or refused with its lines; of either the trail is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vestibule.config.compile import Compiled, compile_config
from vestibule.config.load import load
from vestibule.core.event import CONFIGURATION_REFUSED, CONFIGURATION_RELOADED, Event
from vestibule.errors import ConfigError, Conflict, StoreError
from vestibule.observe.metrics import RELOADS, Metrics
from vestibule.observe.traffic import Traffic
from vestibule.service.in_force import InForce
from vestibule.service.reload import Refused, Reloading

TEXT = """
host "app.example.com" {
  backend = "127.0.0.1:3000"
  access {
    allow = ["public"]
  }
}
"""


class Told:
    def __init__(self) -> None:
        self.events: list[Event] = []

    async def tell(self, *events: Event) -> bool:
        self.events += events
        return True


class Running:
    def __init__(self, directory: Path) -> None:
        self.file = directory / "v.hcl"
        self.file.write_text(TEXT)
        self.told, self.applied = Told(), []
        self.fails: Exception | None = None
        self.metrics = Metrics(Traffic())
        compiled = compile_config(load([self.file], {}))
        in_force = InForce(compiled, {}, rehearse=lambda _loaded: None)
        events: Any = self.told
        self.reloading = Reloading(in_force, self.apply, events, self.metrics)

    async def apply(self, compiled: Compiled) -> None:
        if self.fails is not None:
            raise self.fails
        self.applied.append(compiled)

    def write(self, before: str, after: str) -> None:
        assert before in TEXT
        self.file.write_text(TEXT.replace(before, after))

    def counted(self) -> dict[tuple[str, ...], float]:
        return {labels: values[0] for labels, values in self.metrics.meter.series(RELOADS)}


@pytest.fixture
def running(tmp_path: Path) -> Running:
    return Running(tmp_path)


async def test_what_the_files_say_is_put_in_force_and_told_by_names(running: Running):
    running.write('"app.example.com"', '"other.example.com"')
    await running.reloading.reload()
    assert [bytes(name) for one in running.applied for name in one.table.hosts] == [b"other.example.com"]
    [event] = running.told.events
    assert (event.action, event.detail) == (
        CONFIGURATION_RELOADED,
        {"added": ["host other.example.com"], "removed": ["host app.example.com"]},
    )
    assert running.counted() == {("ok",): 1.0}


async def test_faults_are_refused_with_their_lines_and_nothing_is_put_in_force(running: Running):
    running.write("backend", "bakend")
    with pytest.raises(Refused) as caught:
        await running.reloading.reload()
    assert any(f"{running.file}:3:3: " in message for _, message in caught.value.faults)
    assert running.applied == []
    assert [event.action for event in running.told.events] == [CONFIGURATION_REFUSED]
    assert running.counted() == {("refused",): 1.0}


async def test_what_takes_a_restart_is_refused(running: Running):
    running.file.write_text(TEXT + 'gateway {\n  state = "elsewhere"\n}\n')
    with pytest.raises(Refused, match="`state` can't be changed while the gateway runs"):
        await running.reloading.reload()
    assert running.applied == []


async def test_an_address_that_can_not_be_had_is_told_as_a_fault(running: Running):
    running.fails = ConfigError(("can't listen on 127.0.0.1:1",))
    with pytest.raises(Refused, match="can't listen"):
        await running.reloading.reload()


async def test_while_the_store_is_away_nothing_is_put_in_force(running: Running):
    running.fails = StoreError("away")
    with pytest.raises(StoreError):
        await running.reloading.reload()
    assert [event.action for event in running.told.events] == [CONFIGURATION_REFUSED]
    assert not running.reloading.is_busy


async def test_nothing_else_is_taken_than_was_looked_at(running: Running):
    with pytest.raises(Conflict) as caught:
        await running.reloading.reload(expected="0" * 24)
    assert (caught.value.status, running.applied, running.told.events) == (412, [], [])
