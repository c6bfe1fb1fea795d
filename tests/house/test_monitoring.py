"""monitoring/ and docs/metrics.md: every metric and label in them is one that there is, and the other way round."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.house.source import ROOT
from tests.house.test_docs import quoted, table
from vestibule.core.event import NAMES
from vestibule.observe.meter import SERIES_MAX, Family
from vestibule.observe.metrics import COUNTED, SEEN, WORDS_MAX
from vestibule.observe.trace import WAITING_MAX

MONITORING = ROOT / "monitoring"
DASHBOARD = json.loads((MONITORING / "grafana-dashboard.json").read_text("utf-8"))
RULES = (MONITORING / "vestibule.rules.yml").read_text("utf-8")
FAMILIES = {family.name: family for family in (*COUNTED, *SEEN)}
OWN_OF_PROMETHEUS = {"instance", "job"}
_METRIC = re.compile(r"\bvestibule_[a-z_]+\b")
_SELECTOR = re.compile(r"\b([a-z_]+)\{([^}]*)\}")
_MATCHER = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"([^\"]*)\"")
_BY = re.compile(r"\bby \(([^)]*)\)")
_LEGEND = re.compile(r"\{\{\s*(?:\$labels\.)?([a-z_]+)\s*(?:\|[^}]*)?\}\}")


class Used(NamedTuple):
    """An expression, and the labels that a text beside it names."""

    where: str
    expression: str
    named: tuple[str, ...]


def panels() -> Iterator[Any]:
    yield from (one for one in DASHBOARD["panels"] if one["type"] != "row")


def of_dashboard() -> Iterator[Used]:
    for panel in panels():
        for target in panel["targets"]:
            legend = target.get("legendFormat", "")
            yield Used(f"panel {panel['title']}", target["expr"], tuple(_LEGEND.findall(legend)))
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.*), ([a-z]+)\)", variable["definition"])
            assert found
            yield Used(f"variable {variable['name']}", found[1], (found[2],))


def of_rules() -> Iterator[Used]:
    """Each alert's expression; what `promtool` understands of the file is none of this one's."""
    for alert in RULES.split("- alert: ")[1:]:
        name = alert.partition("\n")[0]
        found = re.search(r"expr: (?:>\n)?(.*?)\n        (?:for|labels):", alert, re.DOTALL)
        assert found, name
        rest = alert.partition("annotations:")[2]
        yield Used(f"alert {name}", found[1], tuple(re.findall(r"\$labels\.([a-z_]+)", rest)))


USES = [*of_dashboard(), *of_rules()]


def family_of(metric: str) -> Family:
    """The family that a series of this name is of."""
    for ending in ("_bucket", "_count", "_sum"):
        plain = metric.removesuffix(ending)
        if plain != metric and plain in FAMILIES and FAMILIES[plain].kind == "histogram":
            return FAMILIES[plain]
    family = FAMILIES[metric]
    assert family.kind != "histogram", f"{metric} is a histogram: _bucket, _count or _sum"
    return family


@pytest.mark.parametrize("used", USES, ids=lambda used: used.where)
def test_what_is_plotted_and_alerted_by_is_there(used: Used):
    metrics = set(_METRIC.findall(used.expression))
    labels = {label for metric in metrics for label in (*family_of(metric).labels, *OWN_OF_PROMETHEUS)}
    if any(metric.endswith("_bucket") for metric in metrics):
        labels.add("le")
    if not metrics:
        assert used.expression == 'up{job="vestibule"} == 0'
        labels = OWN_OF_PROMETHEUS
    for metric, inside in _SELECTOR.findall(used.expression):
        has = OWN_OF_PROMETHEUS | (set(family_of(metric).labels) if metric != "up" else set())
        for label, _ in _MATCHER.findall(inside):
            assert label in has, (metric, label)
    for by in _BY.findall(used.expression):
        assert {label.strip() for label in by.split(",")} <= labels, by
    # What a legend names has survived the aggregation.
    sums = [{label.strip() for label in by.split(",")} for by in _BY.findall(used.expression)]
    kept = sums[0] if sums else labels
    assert set(used.named) <= kept, (used.named, kept)


@pytest.mark.parametrize("used", USES, ids=lambda used: used.where)
def test_a_counter_is_asked_for_its_growth_and_a_gauge_is_not(used: Used):
    for metric in set(_METRIC.findall(used.expression)):
        family = family_of(metric)
        grows = bool(re.search(rf"(?:rate|increase)\({metric}\b", used.expression))
        assert grows is (family.kind != "gauge") or used.where.startswith("variable"), metric


def test_every_status_and_outcome_that_is_asked_for_is_one_that_is_counted():
    told = " ".join(family.told for family in FAMILIES.values())
    for used in USES:
        for _, inside in _SELECTOR.findall(used.expression):
            for label, value in _MATCHER.findall(inside):
                if label == "outcome":
                    assert all(f"`{one}`" in told for one in value.split("|")), value
                if label == "status":
                    assert value == "5xx"


def test_every_action_that_is_asked_for_is_one_that_happens():
    for used in USES:
        for _, inside in _SELECTOR.findall(used.expression):
            for label, value in _MATCHER.findall(inside):
                assert label != "action" or any(re.fullmatch(value, name) for name in NAMES), value


@pytest.mark.parametrize("where", ["panel", "alert"])
@pytest.mark.parametrize(
    "metric",
    ["vestibule_certificate_expires_timestamp_seconds", "vestibule_audit_events_total{action"],
    ids=["their end", "those that can't be had"],
)
def test_certificates_are_plotted_and_alerted_by(where: str, metric: str):
    told = [
        used.expression.replace('{instance=~"$instance", action', "{action")
        for used in USES
        if used.where.startswith(where)
    ]
    assert any(metric in one and "certificate" in one for one in told)


def test_every_metric_is_in_the_table_of_the_docs_with_its_labels():
    rows = {quoted(row[0])[0]: row for row in table("docs/metrics.md", "metric")}
    assert list(rows) == list(FAMILIES)
    for name, row in rows.items():
        family = FAMILIES[name]
        assert row[1] == family.kind, name
        assert tuple(quoted(row[2])) == family.labels, name
        assert row[3] == family.told, name


def test_every_alert_is_in_the_table_of_the_docs():
    rows = [quoted(row[0])[0] for row in table("docs/metrics.md", "alert")]
    assert rows == [used.where.removeprefix("alert ") for used in of_rules()]


def test_numbers_in_the_text_are_those_of_the_program():
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    for number in (SERIES_MAX, WORDS_MAX, WAITING_MAX):
        assert f"{number:,}" in page


def test_the_dashboard_can_be_imported_anywhere():
    """It names no data source of somebody's, and each panel has a number and a place of its own."""
    assert DASHBOARD["id"] is None
    for panel in panels():
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "instance", "host"]
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


# -- by Prometheus itself ---------------------------------------------------------------------------


def promtool() -> str:
    unpacked = ROOT / "build" / "debian" / "usr" / "bin" / "promtool"
    found = shutil.which("promtool") or (str(unpacked) if unpacked.exists() else "")
    assert found, "promtool is missing: tools/servers.sh prometheus"
    return found


def ran(*arguments: str | Path, cwd: Path = MONITORING) -> None:
    done = subprocess.run(
        [promtool(), *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules_and_the_scrape_configuration():
    ran("check", "rules", "vestibule.rules.yml")
    ran("check", "config", "--syntax-only", "prometheus.yml")


def test_prometheus_understands_every_expression_of_the_dashboard(tmp_path):
    """As rules, with the dashboard's variables filled in."""
    rules = []
    for number, used in enumerate(of_dashboard()):
        expression = used.expression.replace("$__rate_interval", "5m")
        expression = re.sub(r"\$[a-z]+", ".*", expression)
        rules.append({"record": f"dashboard:{number}", "expr": expression})
    file = tmp_path / "rules.yml"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), "utf-8")
    ran("check", "rules", file)
