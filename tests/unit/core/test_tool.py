"""Which rule is said of a tool."""

from __future__ import annotations

import pytest

from vestibule.core.policy import policy_of
from vestibule.core.rule import rule
from vestibule.core.tool import Tool, tools_of

EMPTY = policy_of(allow=())
NAMES = ("drop", "drop_*", "drop_all*", "read*", "drop_all_of_it")


def tool(name: str, *rules: str) -> Tool:
    return Tool(
        name,
        policy_of(allow=tuple(rule(*text.split(":", 1)) for text in rules), sign_in=frozenset({"a"})),
        name,
    )


@pytest.mark.parametrize(
    ("called", "holds"),
    [
        ("drop", "drop"),
        ("drop_", "drop_*"),
        ("drop_x", "drop_*"),
        ("drop_all", "drop_all*"),
        ("drop_all_of_it", "drop_all_of_it"),
        ("drop_all_of_them", "drop_all*"),
        ("read", "read*"),
        ("Drop", ""),
        ("dro", ""),
    ],
)
def test_the_name_before_a_beginning_and_the_longest_of_these(called: str, holds: str) -> None:
    for order in (NAMES, NAMES[::-1]):
        tools = tools_of(Tool(name, EMPTY) for name in order)
        assert tools is not None
        found = tools.of(called)
        assert (found.name if found else "") == holds


def test_a_star_alone_is_of_all_others() -> None:
    tools = tools_of([tool("*"), tool("add")])
    assert tools is not None
    assert [found.name if (found := tools.of(name)) else "" for name in ("add", "sub")] == ["add", "*"]


def test_nothing_is_said_of_none() -> None:
    assert tools_of([]) is None


def test_the_last_of_a_name_holds() -> None:
    tools = tools_of([Tool("add", EMPTY, "host"), Tool("add", EMPTY, "route")])
    assert tools is not None
    assert [one.place for one in tools.all] == ["route"]


def test_rules_on_what_changes_are_looked_at_again() -> None:
    for text, is_fresh in (("email:a@b.example", False), ("group:staff", True)):
        tools = tools_of([tool("add", text), tool("sub*")])
        assert tools is not None
        assert tools.is_fresh is is_fresh


def test_providers_of_the_database_count_for_tools_too() -> None:
    tools = tools_of([tool("add", "group:okta/staff")])
    assert tools is not None
    found = tools.joined(["okta"], {"okta": "okta"}).of("add")
    assert found is not None
    assert found.policy.sign_in == {"a", "okta"}
    assert found.policy.allow is not None
    assert found.policy.allow[0].provider == "okta"
