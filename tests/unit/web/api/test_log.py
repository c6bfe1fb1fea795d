"""`/log/levels`: read, changed, audited; nothing is changed where one thing is wrong."""

from __future__ import annotations

from tests.unit.web.api.desk import ApiDesk
from vestibule.core.event import LOG_LEVELS_CHANGED
from vestibule.observe.log import COMPONENTS
from vestibule.store.base_events import AuditFilter

PATH = "/log/levels"


def test_every_component_is_there_with_its_own_level(api: ApiDesk) -> None:
    found = api.call("GET", PATH).json
    assert found["level"] == "info"
    assert found["components"] == {**dict.fromkeys(COMPONENTS, ""), "access": "off"}


def test_a_change_counts_at_once_and_is_in_the_trail(api: ApiDesk) -> None:
    changed = api.call("PATCH", PATH, {"store": "debug", "level": "warning"})
    assert changed.status == 200
    assert (changed.json["level"], changed.json["components"]["store"]) == ("warning", "debug")
    assert api.call("GET", PATH).json == changed.json
    [event] = api.do(api.store.audit.list(AuditFilter(limit=10)))
    assert (event.action, event.actor) == (LOG_LEVELS_CHANGED, "socket")
    assert event.detail == {
        "before": {"level": "info", "store": ""},
        "after": {"level": "warning", "store": "debug"},
    }


def test_what_changes_nothing_is_no_event(api: ApiDesk) -> None:
    assert (api.call("PATCH", PATH, {"level": "info", "access": "off"})).status == 200
    assert api.do(api.store.audit.list(AuditFilter(limit=10))) == ()


def test_a_fault_changes_nothing(api: ApiDesk) -> None:
    before = api.call("GET", PATH).json
    refused = api.call("PATCH", PATH, {"store": "debug", "stores": "debug"})
    assert refused.status == 422
    assert [one["path"] for one in refused.json["faults"]] == ["stores"]
    assert api.call("GET", PATH).json == before
