"""Rules on single tools of an MCP server: checked, and made into values."""

from __future__ import annotations

from collections.abc import Iterator

from vestibule.config.access import Door, tool_policy
from vestibule.config.place import Report
from vestibule.config.schema_host import Host, Route, Tool
from vestibule.core.tool import ANY, Tools, tools_of
from vestibule.core.tool import Tool as Rules

NAME_MAX_CHARS = 128


def tools_of_door(door: Door) -> tuple[Tools | None, ...]:
    """Of the host itself, then of its routes in their order: the host's and their own, of which the latter hold."""
    whole = tuple(_rules(door, 0, door.host))
    own = (tuple(_rules(door, number, route)) for number, route in enumerate(door.host.route, 1))
    # What is the host's is judged by whose word counts on the route.
    inherited = (tuple(_rules(door, number, door.host)) for number in range(1, len(door.host.route) + 1))
    return (
        tools_of(whole),
        *(tools_of((*more, *rules)) for more, rules in zip(inherited, own, strict=True)),
    )


def _rules(door: Door, number: int, part: Host | Route) -> Iterator[Rules]:
    for tool in part.tool:
        if tool.access is not None:
            yield Rules(tool.label, tool_policy(door, number, tool.access), tool.block.place.short)


def check_tools(host: Host, report: Report) -> None:
    """Report rules that nobody would look at: without an MCP server, without saying who, on one name twice."""
    parts: tuple[Host | Route, ...] = (host, *host.route)
    for part in parts:
        _check_names(part, report)
        for tool in part.tool:
            if not host.mcp:
                report.fault(tool.block.place, "only MCP servers have tools: add mcp = true to the host")
            if tool.access is None or not (tool.access.has("allow") or tool.access.has("all")):
                report.fault(
                    tool.block.place,
                    f'this does not say who may call `{tool.label}`: access {{ allow = ["group:staff"] }}; '
                    "allow = [] is nobody",
                )
        backends = part.backend or host.backend
        tools = (*host.tool, *part.tool)
        if tools and (not backends or not all(backend.servers for backend in backends)):
            report.fault(
                (part.tool or tools)[0].block.place,
                "what is called can be known of requests to servers alone: this backend is none",
            )
    _check_other_ways(host, report)


def _check_other_ways(host: Host, report: Report) -> None:
    """Warn of a rule of a route that isn't looked at on another way to the same server.

    Threat: `/MCP` for `/mcp`, which many servers take for the same, and another route or the host itself leads there.
    """
    ways: tuple[Host | Route, ...] = (host, *host.route)
    for route in host.route:
        for tool in route.tool:
            others = (way for way in ways if way is not route and _servers(host, way) & _servers(host, route))
            if any(tool.label not in {one.label for one in (*host.tool, *way.tool)} for way in others):
                report.warn(
                    tool.block.place,
                    f"another route of `{host.label}` leads to the same server, where this does not hold for "
                    f"`{tool.label}`: write it into the host, so that no other path goes round it",
                )


def _servers(host: Host, way: Host | Route) -> frozenset[str]:
    return frozenset(str(server) for backend in way.backend or host.backend for server in backend.servers)


def _check_names(part: Host | Route, report: Report) -> None:
    found: dict[str, Tool] = {}
    for tool in part.tool:
        name = tool.label
        if not name.isprintable() or name != name.strip() or not 0 < len(name) <= NAME_MAX_CHARS:
            report.fault(tool.label_at, "is no name of a tool")
        elif ANY in name[:-1]:
            report.fault(tool.label_at, f"`{ANY}` stands at the end, for names that begin so")
        first = found.setdefault(name, tool)
        if first is not tool:
            report.fault(
                tool.label_at, f"there are two rules on `{name}`; the first is at {first.label_at.short}"
            )
