"""Which traces are sent: whole ones, by their id alone."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from vestibule.core.tracing import Tracing

LOW, HIGH = "f" * 16 + "0" * 15 + "1", "0" * 16 + "f" * 16


@pytest.mark.parametrize(
    ("sample", "trace_id", "expected"),
    [
        pytest.param(1.0, HIGH, True, id="all"),
        pytest.param(0.0, LOW, False, id="none"),
        pytest.param(0.5, LOW, True, id="below the share"),
        pytest.param(0.5, HIGH, False, id="above it"),
    ],
)
def test_a_trace_is_taken_by_its_id(sample: float, trace_id: str, expected: bool):
    assert Tracing(endpoint="http://c", sample=sample).takes(trace_id) is expected


@pytest.mark.parametrize("number", range(0, 1 << 64, 1 << 59))
def test_programs_with_opentelemetrys_own_sampler_take_the_same(number: int):
    theirs = TraceIdRatioBased(0.3).should_sample(None, number | 1 << 100, "x")
    ours = Tracing(endpoint="http://c", sample=0.3).takes(f"{number | 1 << 100:032x}")
    assert ours is (theirs.decision is Decision.RECORD_AND_SAMPLE)
