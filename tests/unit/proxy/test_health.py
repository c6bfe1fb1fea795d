"""Readiness at listeners for people: under any name, with a code and nothing more."""

from __future__ import annotations

import json

import pytest

from tests.unit.proxy.plane import Plane
from vestibule.errors import StoreError, VestibuleError
from vestibule.proxy.health import Health

pytestmark = pytest.mark.usefixtures("both_downstreams")


class Switch:
    """What is in the way, if anything."""

    fault: Exception | None = None

    async def __call__(self) -> None:
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def plane(loop) -> Plane:
    plane = Plane(loop)
    plane.switch = Switch()
    plane.gateway._health = Health(plane.switch)
    return plane


@pytest.mark.parametrize("host", [b"app.example", b"10.0.0.7:8000"], ids=["a host's name", "any other"])
@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        (None, 200, {"status": "ready"}),
        (
            StoreError("it can't be reached", detail="10.0.0.9"),
            503,
            {"status": "not ready", "code": "store_unavailable"},
        ),
        (VestibuleError("it ends", code="draining"), 503, {"status": "not ready", "code": "draining"}),
    ],
    ids=["ready", "store away", "draining"],
)
def test_platforms_are_told_whether_all_work_can_be_done(plane, host, fault, status, said):
    plane.switch.fault = fault
    answer = plane.get(b"/@/readyz", host=host)
    assert answer.status == status
    assert json.loads(answer.body) == said
    assert answer.value(b"Cache-Control") == b"no-store"


def test_what_is_no_answer_to_the_question_is_a_fault(plane):
    plane.switch.fault = RuntimeError("boom")
    assert plane.get(b"/@/readyz").status == 500


def test_only_reading_asks_for_it(plane):
    assert plane.get(b"/@/readyz", method=b"POST", host=b"10.0.0.7").status == 421
    assert plane.get(b"/@/readyz", method=b"HEAD", host=b"10.0.0.7").status == 200
