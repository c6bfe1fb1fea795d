"""The log: one JSON object a line, no secret in it, and no line of a client's making."""

from __future__ import annotations

import io
import json

import pytest

from vestibule.model import Secret
from vestibule.observe.log import COMPONENTS, ITEMS_MAX, LEVELS, VALUE_LIMIT_CHARS, Levels, Log


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def lines(out: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in out.getvalue().split("\n")[:-1]]


def test_an_event_is_one_line_with_time_level_and_fields(out):
    Log(out, now=lambda: 1_800_000_000.25).info("started", port=80, path=b"/a", tls=False, none=None)
    assert lines(out) == [
        {
            "at": "2027-01-15T08:00:00.250Z",
            "level": "info",
            "component": "program",
            "event": "started",
            "port": 80,
            "path": "/a",
            "tls": False,
            "none": None,
        }
    ]


def test_a_secret_is_masked_wherever_it_stands(out):
    Log(out).error(
        "e",
        token=Secret("s3cret"),
        all=[Secret("s3cret"), ("x", Secret("s3cret"))],
        text=f"{Secret('s3cret')}",
    )
    assert "s3cret" not in out.getvalue()
    assert lines(out)[0]["token"] == "***"


@pytest.mark.parametrize(
    "value", ['x\n{"level":"error"}', b"x\r\ny", "\u2028", b"\xff\0", '"', "\ud800"], ids=repr
)
def test_no_value_makes_a_line_of_its_own(out, value):
    Log(out).info("e", value=value)
    assert len(out.getvalue().split("\n")) == 2
    assert len(lines(out)) == 1


def test_a_long_value_is_cut(out):
    Log(out).info("e", text="x" * 10_000, raw=b"y" * 10_000)
    [record] = lines(out)
    assert len(record["text"]) == len(record["raw"]) == VALUE_LIMIT_CHARS


def test_below_its_level_nothing_is_written(out):
    log = Log(out, level="warning")
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.bind(x=1).info("d")
    log.bind(x=1).error("e")
    assert [record["event"] for record in lines(out)] == ["c", "e"]


def test_a_bound_log_adds_its_fields_and_leaves_the_other_alone(out):
    log = Log(out)
    log.bind(call="api").bind(id="1").info("e", id="2")
    log.info("f")
    assert {key: value for key, value in lines(out)[0].items() if key in {"call", "id"}} == {
        "call": "api",
        "id": "2",
    }
    assert "call" not in lines(out)[1]


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_stops_no_request():
    log = Log(Full())
    log.info("e")
    log.info("e")
    assert log.dropped == 2


def test_an_object_is_shown_as_its_text(out):
    Log(out).info("e", error=ValueError("x"), names={"a"})
    assert lines(out)[0]["error"] == "x"


def test_an_event_says_whose_it_is(out):
    log = Log(out)
    log.of("store").bind(x=1).info("e")
    log.info("f")
    assert [record["component"] for record in lines(out)] == ["store", "program"]


def test_there_is_no_other_component(out):
    with pytest.raises(KeyError):
        Log(out).of("nobody's")


def test_no_field_stands_in_the_place_of_the_events_own(out):
    Log(out, now=lambda: 0.0).bind(level="x", at="y").info("e", component="z")
    assert lines(out) == [
        {"at": "1970-01-01T00:00:00.000Z", "level": "info", "component": "program", "event": "e"}
    ]


@pytest.mark.parametrize(
    ("own", "component", "least"),
    [
        pytest.param({}, "store", "warning", id="as all"),
        pytest.param({"store": "debug"}, "store", "debug", id="more"),
        pytest.param({"store": "debug"}, "proxy", "warning", id="another"),
        pytest.param({"store": "error"}, "store", "error", id="less"),
        pytest.param({"store": "off"}, "store", "", id="nothing"),
    ],
)
def test_a_component_is_written_from_its_level_on(out, own: dict[str, str], component: str, least: str):
    log = Log(out, levels=Levels("warning", own)).of(component)
    for level in LEVELS:
        getattr(log, level)(level)
    written = [record["event"] for record in lines(out)]
    assert written == [level for level in LEVELS if log.wants(level)]
    assert written[:1] == ([least] if least else [])


def test_levels_change_for_all_that_stand_on_one_log(out):
    log = Log(out)
    store, bound = log.of("store"), log.bind(x=1)
    log.levels.set("error", {"store": "debug"})
    store.debug("a")
    bound.warning("b")
    log.levels.set("debug", {})
    bound.debug("c")
    assert [record["event"] for record in lines(out)] == ["a", "c"]


def test_the_access_log_is_off_until_somebody_wants_it(out):
    Log(out).of("access").error("e")
    assert out.getvalue() == ""
    assert "access" in COMPONENTS


def test_a_long_list_is_cut_and_what_is_nested_is_masked(out):
    Log(out).info("e", many=list(range(1000)), nested={"a": [Secret("s3cret")], "b": {"c": b"\xff"}})
    assert len(lines(out)[0]["many"]) == ITEMS_MAX
    assert lines(out)[0]["nested"] == {"a": ["***"], "b": {"c": "\\xff"}}
