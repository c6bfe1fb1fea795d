"""What every test stands on: the loop the product runs on, the hypothesis profiles, ports, processes, directories.

`tests` is imported from the root of the project (`from tests.process import Process`), without `__init__` files.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import uvloop

from tests.ports import Ports
from tests.process import Process

# No deadlines: a test asserts what happens, never how fast.
hypothesis.settings.register_profile("dev", deadline=None, max_examples=50)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=200, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every asynchronous test runs on uvloop, as the product does."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def ports() -> Iterator[Ports]:
    """Hands out loopback ports no other test process, and no outgoing connection, can get."""
    with Ports() as ports:
        yield ports


@pytest.fixture
def free_port(ports: Ports) -> int:
    """One loopback port that stays this test's own for the whole run."""
    return ports.take()


@pytest.fixture
def processes(request: pytest.FixtureRequest) -> Iterator[Callable[..., Process]]:
    """Starts processes (`processes("name", [argv…])`), and stops them, and all they started, after the test."""
    with Process.keeper(lambda text: request.node.add_report_section("call", "server log", text)) as start:
        yield start


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A short-named private directory (Unix socket paths end at 107 bytes), gone after the test."""
    with tempfile.TemporaryDirectory(prefix="vst-") as name:
        yield Path(name)
