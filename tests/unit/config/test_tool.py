"""Rules on tools, from the file to the table."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import GOOGLE, Desk
from vestibule.config.compile import compile_config
from vestibule.core.route import Host


def text(inside: str, *, more: str = "mcp = true\nregister_apps = true", backend: str = "x:1") -> str:
    return (
        f'{GOOGLE}host "a.example" {{\nbackend = "{backend}"\npublic_url = "https://a.example"\n{more}\n'
        f'sign_in = ["google"]\naccess {{ allow = ["anyone"] }}\n{inside}\n}}'
    )


def host(desk: Desk, inside: str) -> Host:
    return compile_config(desk.load(text(inside))).table.hosts[b"a.example"]


def tool(name: str, access: str) -> str:
    return f'tool "{name}" {{\n  access {{ {access} }}\n}}\n'


STAFF, NOBODY = 'allow = ["group:staff"]', "allow = []"


def said(host: Host, prefix: bytes, name: str) -> list[str] | None:
    tools = host.routes[prefix].tools
    found = tools.of(name) if tools is not None else None
    return None if found is None else [rule.text for rule in (*(found.policy.allow or ()), *found.policy.all)]


def test_a_hosts_tools_are_those_of_its_routes_which_may_say_otherwise(desk: Desk) -> None:
    route = f'route "/more" {{\n{tool("drop", NOBODY)}{tool("add", STAFF)}}}\n'
    found = host(
        desk, tool("drop", STAFF) + tool("x_*", 'all = ["email:a@b.example"]') + route + 'route "/other" {\n}'
    )
    assert [said(found, b"", name) for name in ("drop", "add", "x_y", "x")] == [
        ["group:staff"],
        None,
        ["email:a@b.example"],
        None,
    ]
    assert [said(found, b"/more", name) for name in ("drop", "add", "x_y")] == [
        [],
        ["group:staff"],
        ["email:a@b.example"],
    ]
    assert said(found, b"/other", "drop") == ["group:staff"]


def test_rules_know_where_they_stand_and_whose_word_counts(desk: Desk) -> None:
    tools = (
        host(desk, tool("drop", 'allow = ["group:google/staff"]\ndeny = ["email:x@y.example"]'))
        .routes[b""]
        .tools
    )
    assert tools is not None
    [one] = tools.all
    assert one.policy.sign_in == {"google"}
    assert one.policy.allow is not None
    assert (one.policy.allow[0].provider, one.policy.allow[0].place.rpartition("/")[2]) == (
        "google",
        "v.hcl:15",
    )
    assert [rule.text for rule in one.policy.deny] == ["email:x@y.example"]
    assert one.place.rpartition("/")[2] == "v.hcl:14"


def test_without_tools_no_body_is_read(desk: Desk) -> None:
    found = host(desk, 'route "/x" {\n}')
    assert [route.tools for route in found.routes.values()] == [None, None]


@pytest.mark.parametrize(
    ("inside", "more", "backend", "fault"),
    [
        (tool("drop", STAFF), "", "x:1", "only MCP servers have tools: add mcp = true to the host"),
        ('tool "drop" {\n}', None, "x:1", "this does not say who may call `drop`"),
        (tool("drop", 'deny = ["group:x"]'), None, "x:1", "this does not say who may call `drop`"),
        (tool("drop", STAFF), None, "internal:account", "this backend is none"),
        (
            tool("drop", STAFF) + 'route "/x" {\nbackend = "internal:echo"\n}',
            None,
            "x:1",
            "this backend is none",
        ),
        (tool("a*b", STAFF), None, "x:1", "`*` stands at the end"),
        (tool("", STAFF), None, "x:1", "is no name of a tool"),
        (tool(" a", STAFF), None, "x:1", "is no name of a tool"),
        (tool("a" * 129, STAFF), None, "x:1", "is no name of a tool"),
        (tool("a", STAFF) * 2, None, "x:1", "there are two rules on `a`; the first is at"),
        (tool("a", 'allow = ["group:okta/x", "user:bob"]'), None, "x:1", "is no id of a person here"),
    ],
)
def test_what_can_not_work_is_told(
    desk: Desk, inside: str, more: str | None, backend: str, fault: str
) -> None:
    written = text(inside, backend=backend) if more is None else text(inside, more=more, backend=backend)
    found = desk.faults(written)
    assert found
    assert all(fault in one for one in found), found


@pytest.mark.parametrize(
    ("route", "more", "is_warned"),
    [
        ("", "", True),
        ("", tool("drop", NOBODY), False),
        ("", tool("other", NOBODY), True),
        ('backend = "y:1"', "", False),
        ('backend = "y:1"', 'route "/more" {\nbackend = "y:1"\n}', True),
        ('backend = "y:1"', 'route "/more" {\nbackend = "y:2"\n}', False),
    ],
    ids=["host", "host has it", "host has another", "own server", "another route", "another server"],
)
def test_a_rule_that_another_path_goes_round_is_warned_of(
    desk: Desk, route: str, more: str, is_warned: bool
) -> None:
    written = text(f'route "/mcp" {{\n{route}\n{tool("drop", STAFF)}}}\n{more}')
    warnings = [one for one in desk.warnings(written) if "`drop`" in one]
    assert len(warnings) == is_warned
    assert all("leads to the same server" in one for one in warnings)
