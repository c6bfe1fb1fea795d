"""What is checked of the block `log`, and what it comes to."""

from __future__ import annotations

from pathlib import Path

from vestibule.config import schema
from vestibule.config.path import beside
from vestibule.config.place import Report, nearest
from vestibule.config.schema_log import Component
from vestibule.observe.log import ACCESS, COMPONENTS, LEVELS, OFF
from vestibule.observe.outlet import FORMATS, STDERR, STDOUT, Outlet


def check_log(config: schema.Config, report: Report) -> None:
    """All that is wrong with it goes to *report*."""
    node = config.log
    if node is None:
        return
    for name, known in (("format", FORMATS), ("level", tuple(LEVELS))):
        value = getattr(node, name)
        if value not in known:
            report.fault(node.at(name), f"is one of {', '.join(known)}{nearest(value, known)}")
    if not node.output:
        report.fault(node.at("output"), f"is `{STDERR}`, `{STDOUT}` or a file")
    found: dict[str, Component] = {}
    for one in node.component:
        _check_component(one, report)
        if one.label in found:
            first = found[one.label].label_at.short
            report.fault(one.label_at, f"`{one.label}` stands here twice; the first is at {first}")
        found.setdefault(one.label, one)


def outlet_of(config: schema.Config) -> Outlet:
    """How much is logged, how, and where to."""
    node = config.log
    if node is None:
        return Outlet()
    own = {one.label: one.level for one in node.component}
    own[ACCESS] = "info" if node.access else OFF
    output: str | Path = node.output
    if node.output not in (STDERR, STDOUT):
        output = beside(node, "output", node.output)
    return Outlet(format=node.format, level=node.level, own=own, output=output)


def _check_component(one: Component, report: Report) -> None:
    if one.label == ACCESS:
        report.fault(one.label_at, "is on or off: log { access = true }")
    elif one.label not in COMPONENTS:
        report.fault(
            one.label_at,
            f"there is no component `{one.label}`: {', '.join(COMPONENTS)}{nearest(one.label, COMPONENTS)}",
        )
    known = (*LEVELS, OFF)
    if one.level not in known and one.has("level"):
        report.fault(one.at("level"), f"is one of {', '.join(known)}{nearest(one.level, known)}")
