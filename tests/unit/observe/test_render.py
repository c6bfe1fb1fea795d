"""Lines of events in each format: readable, in one piece, and nothing in them that a client wrote as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vestibule.observe.log import shown
from vestibule.observe.render import FORMATS, renderer
from vestibule.observe.traffic import Kind, Record

EVENT = {"at": 1_800_000_000.25, "level": "warning", "component": "proxy", "event": "refused"}


def line(name: str, *, has_colours: bool = False, **fields: Any) -> str:
    made = renderer(name, has_colours=has_colours)({**EVENT, **fields}).decode()
    assert made.endswith("\n")
    return made[:-1]


def test_json_is_an_object_with_values_as_they_are():
    assert json.loads(line("json", status=403, path="/a b", ok=True, why=None, items=["a", 1])) == {
        **EVENT,
        "at": "2027-01-15T08:00:00.250Z",
        "status": 403,
        "path": "/a b",
        "ok": True,
        "why": None,
        "items": ["a", 1],
    }


def test_logfmt_is_pairs_with_quotes_where_they_are_needed():
    assert line("logfmt", status=403, path="/a b", ok=True, why=None, items=["a", 1], e="a=b") == (
        "at=2027-01-15T08:00:00.250Z level=warning component=proxy event=refused "
        'status=403 path="/a b" ok=true why= items="[\\"a\\",1]" e="a=b"'
    )


def test_the_console_has_columns_and_then_pairs():
    assert line("console", status=403, path="/a b", ok=True, why=None, text="") == (
        '2027-01-15T08:00:00.250Z warning proxy       refused status=403 path="/a b" ok=true why=- text=""'
    )


def test_colours_are_only_where_they_are_wanted():
    assert "\x1b[33mwarning" in line("console", has_colours=True, status=403)
    assert "\x1b" not in line("console", status=403)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "value",
    [
        "x\nlevel=error",
        "x\r\ny",
        "\u2028",
        "\x1b[2J",
        "\x9b2J",
        "\t",
        '"',
        "\\",
        "\x00",
        "\u202e",
        "\x7f",
        "\U000e0001",
        "a=b c=d",
    ],
    ids=repr,
)
def test_no_value_makes_a_line_or_moves_a_terminal(name: str, value: str):
    written = line(name, value=value, items=[value], nested={value: value})
    assert written.isprintable()
    if name == "json":
        assert json.loads(written)["value"] == value


@pytest.mark.parametrize("name", ["logfmt", "console"])
def test_no_value_looks_like_a_pair_of_its_own(name: str):
    assert " user=admin" not in line(name, path='/x" user=admin').replace('\\" user=admin"', "")


@pytest.mark.parametrize("name", FORMATS)
def test_a_name_that_is_none_costs_no_line(name: str):
    written = line(name, **{"a b\n=": 1, "exception": "x", "exc_info": True, "stack": "y"})
    assert len(written.split("\n")) == 1


def test_a_trace_stands_below_its_line_and_is_none_itself():
    written = line("console", trace="Traceback\n  File x\nValueError: a\n2027 error \x1b[2J")
    first, *rest = written.split("\n")
    assert first.endswith("refused")
    assert len(rest) == 4
    assert all(one.startswith("    ") and one.isprintable() for one in rest)


def test_a_record_is_an_access_event_without_what_is_not_known():
    record = Record(
        at=1_800_000_000.25,
        kind=Kind.HOST,
        name=b"app.example",
        method=b"GET",
        path=b"/a\xff",
        status=200,
        took_s=0.0123,
        backend_s=0.01,
        session_id="s1",
        request_id="r1",
    )
    assert json.loads(renderer("json")((record, {"process": "worker 1"}))) == {
        "at": "2027-01-15T08:00:00.250Z",
        "level": "info",
        "component": "access",
        "event": "access",
        "process": "worker 1",
        "id": "r1",
        "kind": "host",
        "name": "app.example",
        "method": "GET",
        "path": "/a\\xff",
        "status": 200,
        "session": "s1",
        "bytes_out": 0,
        "took_ms": 12.3,
        "backend_ms": 10.0,
    }
    assert shown(b"/a\xff") == "/a\\xff"
