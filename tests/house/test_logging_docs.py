"""docs/logging.md: every event that the source writes, with its component, level and fields, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from tests.house.source import ROOT, modules
from vestibule.core.event import NAMES
from vestibule.observe import sink
from vestibule.observe.access import as_event
from vestibule.observe.log import COMPONENTS, ITEMS_MAX, LEVELS, VALUE_LIMIT_CHARS, shown
from vestibule.observe.outlet import FORMATS
from vestibule.observe.render import renderer
from vestibule.observe.traffic import Kind, Record
from vestibule.offspring import FLUSH_S
from vestibule.service.events import component_of

PAGE = (ROOT / "docs" / "logging.md").read_text("utf-8")

#: by the beginning of a module's name, the longest that fits: whose events those are that name no component themselves
COMPONENT_OF: Final = {
    "vestibule": {"program"},
    "vestibule.proxy.refusal": {"proxy", "edges", "calls", "admin"},
    "vestibule.proxy.forward": {"edges"},
    "vestibule.web": {"signin"},
    "vestibule.web.admin": {"admin"},
    "vestibule.web.api": {"admin"},
}
#: `Log.of` of a whole module, but of one event in it
ALONE: Final = {
    ("vestibule.proxy.refusal", "allowed"): {"proxy", "edges"},
    ("vestibule.app", "job_failed"): {"jobs"},
    ("vestibule.proxy.calling", "credential_used"): {"credentials"},
}
#: who is given the name by somebody else
FORWARDED: Final = {
    "vestibule.observe.clock": {"clock_set_right", "clock_jumped", "clock_believed"},
    "vestibule.service.key_watch": {"keys_read", "keys_rotated"},
    "vestibule.service.events": set(NAMES),
    "vestibule.web.answers": {
        "account_linked",
        "account_unlinked",
        "app_token_made",
        "app_token_revoked",
        "device_signed_out",
        "entered",
        "other_devices_signed_out",
        "registered",
        "signed_in",
        "signed_out",
        "signed_out_by_provider",
        "signed_out_everywhere",
        "user_deleted",
    },
}
#: functions that are given a name and write it
GIVERS: Final = {"note", "arrived"}
#: what the log says of itself, and of requests
ITS_OWN: Final = {("access", "access"), ("log_dropped", "program"), ("log_event_broken", "program")}


class Said(NamedTuple):
    """An event somewhere in the source, or a row of the page."""

    name: str
    component: str
    levels: frozenset[str]
    fields: frozenset[str]


def _is_log(node: ast.expr) -> bool:
    text = ast.unparse(node)
    return text.rsplit(".", 1)[-1] in {"log", "_log"} or ".of(" in text


def _writes(call: ast.Call) -> frozenset[str]:
    """Levels at which the call writes an event, if it does."""
    match call.func:
        case ast.Attribute(value=value, attr=level) if level in LEVELS and _is_log(value):
            return frozenset({level})
        case ast.Name(id="write") if isinstance(call.args[0], ast.Constant):
            return frozenset({"info", "warning"})
        case ast.IfExp(body=ast.Attribute(attr=one), orelse=ast.Attribute(attr=other)):
            return frozenset({one, other}) if {one, other} <= LEVELS.keys() else frozenset()
        case _:
            return frozenset()


def _calls(tree: ast.Module) -> Iterator[tuple[ast.Call, frozenset[str]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and (levels := _writes(node)):
            yield node, levels


def _own(tree: ast.Module) -> set[str]:
    """Components that the module names."""
    return {
        str(node.args[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "of"
        and len(node.args) == 1
        and isinstance(node.args[0], ast.Constant)
        and node.args[0].value in COMPONENTS
    }


def _components(module: str, tree: ast.Module, event: str) -> set[str]:
    if (module, event) in ALONE:
        return ALONE[module, event]
    alone = {one for (name, _), ones in ALONE.items() if name == module for one in ones}
    # A module that hands its log on to a part of another component writes nothing of that one's itself.
    own = _own(tree) - alone
    beginnings = [start for start in COMPONENT_OF if module.startswith(start)]
    return own or COMPONENT_OF[max(beginnings, key=len)]


def said() -> Iterator[Said]:
    """All that the source writes by name."""
    for module, tree in modules().items():
        for call, levels in _calls(tree):
            if isinstance(call.args[0], ast.Constant):
                name = str(call.args[0].value)
                fields = frozenset(keyword.arg for keyword in call.keywords if keyword.arg)
                for component in _components(module, tree, name):
                    yield Said(name, component, levels, fields)


def rows() -> Iterator[Said]:
    """All that stands on the page."""
    component = ""
    for line in PAGE.splitlines():
        if heading := re.fullmatch(r"### `(\w+)`", line):
            component = heading[1]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if component and len(cells) == 4 and cells[0].startswith("`"):
            fields = frozenset(re.findall(r"`(\w+)`", cells[2]))
            yield Said(cells[0].strip("`"), component, frozenset(cells[1].split(", ")), fields)


ROWS: Final = {(row.name, row.component): row for row in rows()}
SAID: Final = sorted(
    said(), key=lambda one: (one.name, one.component, sorted(one.levels), sorted(one.fields))
)


@pytest.mark.parametrize("one", SAID, ids=lambda one: f"{one.component}-{one.name}")
def test_what_is_written_stands_on_the_page(one: Said):
    row = ROWS.get((one.name, one.component))
    assert row is not None, f"{one.name} of {one.component} has no row in docs/logging.md"
    assert one.levels <= row.levels
    assert one.fields <= row.fields


def test_what_stands_on_the_page_is_written():
    forwarded = {
        (name, component_of(name)) if module == "vestibule.service.events" else (name, component)
        for module, names in FORWARDED.items()
        for name in names
        for component in _components(module, modules()[module], name)
    }
    known = {(one.name, one.component) for one in SAID} | forwarded | ITS_OWN
    assert ROWS.keys() - known == set(), "gone from the source"
    assert forwarded - ROWS.keys() == set(), "not on the page"


def test_a_name_is_written_where_the_event_is_or_comes_from_where_we_know():
    dynamic = {
        module
        for module, tree in modules().items()
        for call, _ in _calls(tree)
        if not isinstance(call.args[0], ast.Constant)
    }
    assert dynamic == FORWARDED.keys()
    given = {
        str(argument.value)
        for tree in modules().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in GIVERS
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }
    assert given == FORWARDED["vestibule.web.answers"]


def test_every_component_has_its_table():
    assert tuple(re.findall(r"^### `(\w+)`", PAGE, re.MULTILINE)) == tuple(COMPONENTS)


def test_the_fields_of_an_access_line_are_those_of_a_record():
    texts = dict.fromkeys(
        ("address", "session_id", "decision", "request_id", "user_id", "person", "provider"), "x"
    )
    record = Record(
        at=1.0,
        kind=Kind.HOST,
        name=b"a",
        method=b"GET",
        path=b"/",
        status=200,
        took_s=0.1,
        route=b"/",
        backend_s=0.1,
        span="a" * 48,
        parent_id="b",
        edge="c",
        **texts,
    )
    fields = as_event(record, shown, {}).keys() - {"at", "level", "component", "event"}
    assert ROWS["access", "access"].fields == fields


def test_formats_are_shown_as_they_are():
    event = {"at": 1_795_324_440.25, "level": "info", "component": "proxy", "event": "refused"}
    for name in FORMATS[1:]:
        line = renderer(name)({**event, "status": 403, "path": "/a b"}).decode().strip()
        assert f"| `{name}` | `{line}` |" in PAGE


def test_numbers_in_the_text_are_those_of_the_program():
    assert f"{VALUE_LIMIT_CHARS:,} characters, a list {ITEMS_MAX} items" in PAGE
    assert f"{sink.LINES_MAX:,} events ({sink.BYTES_MAX >> 20} MiB)" in PAGE
    assert f"for {sink.WAIT_S * 1000:.0f} ms at most" in PAGE
    assert f"up to {sink.GATHER_S * 1000:.0f} ms later" in PAGE
    assert f"waits {FLUSH_S:.0f} s" in PAGE
    assert sink._AGAIN_S == 0.25
