"""`/metrics`: both formats are what parsers take, and only who may see traffic sees them."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.web.api.desk import ApiDesk
from vestibule.errors import StoreError
from vestibule.observe.meter import Meter
from vestibule.observe.metrics import COUNTED, LOG_DROPPED, REFRESHES, SEEN, SESSIONS, STORE_SECONDS


def told(text: str, parse: Any = text_string_to_metric_families) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by those of the labels, in the order of their names, by metric."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in parse(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(value for _, value in sorted(sample.labels.items()))] = (
                sample.value
            )
    return found


def counted(api: ApiDesk) -> Meter:
    """The gateway's meter, with something on it."""
    meter = api.metrics.meter
    meter.add(REFRESHES, ('op"\\\n', "ok"), 2.0)
    meter.observe(STORE_SECONDS, ("records", "sessions.by_id"), 0.002)
    meter.observe(STORE_SECONDS, ("records", "sessions.by_id"), 9.0)
    return meter


@pytest.mark.parametrize(
    ("accept", "begins", "parse"),
    [
        pytest.param("", "text/plain; version=0.0.4", text_string_to_metric_families, id="text"),
        pytest.param(
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text; version=1.0.0",
            openmetrics.text_string_to_metric_families,
            id="OpenMetrics",
        ),
    ],
)
def test_what_is_counted_is_told_in_the_format_that_was_asked_for(api, accept, begins, parse):
    counted(api)
    answer = api.call("GET", "/metrics", prefix="", headers={"accept": accept})
    assert answer.headers["content-type"].startswith(begins)
    found = told(answer.text, parse)
    assert found["vestibule_refreshes_total"]["ok", 'op"\\\n'] == 2.0
    buckets = found["vestibule_store_duration_seconds_bucket"]
    assert [value for labels, value in buckets.items() if labels[2] == "records"] == [
        0,
        0,
        1,
        1,
        1,
        1,
        1,
        1,
        2,
    ]
    assert found["vestibule_store_duration_seconds_sum"]["sessions.by_id", "records"] == pytest.approx(9.002)


def test_every_metric_has_its_kind_and_its_sentence_also_while_it_has_no_value(api):
    text = api.call("GET", "/metrics", prefix="").text
    for family in (*COUNTED, *SEEN):
        assert f"# HELP {family.name} {family.told}\n# TYPE {family.name} {family.kind}\n" in text
    assert told(text)[LOG_DROPPED.name] == {(): 0.0}  # so that its first step is seen


def test_a_store_that_does_not_answer_takes_no_other_metric_with_it(api):
    async def away() -> Any:
        raise StoreError("gone")

    api.metrics.show_later(SESSIONS, away)
    counted(api)
    found = told(api.call("GET", "/metrics", prefix="").text)
    assert SESSIONS.name not in found
    assert "vestibule_refreshes_total" in found


@pytest.mark.parametrize(
    ("scopes", "status"), [((), 200), (("traffic:read",), 200), (("users:read", "audit:read"), 403)]
)
def test_a_token_needs_the_scope_that_traffic_needs(api, scopes, status):
    bearer = api.call("POST", "/tokens", {"name": "prometheus", "scopes": list(scopes)}).json["token"]
    more = [(b"authorization", f"Bearer {bearer}".encode())]
    assert api.call("GET", "/metrics", prefix="", is_owner=False, more=more).status == status


def test_without_a_token_nothing_is_told(api):
    answer = api.call("GET", "/metrics", prefix="", is_owner=False)
    assert answer.status == 401
    assert "vestibule_" not in answer.text
