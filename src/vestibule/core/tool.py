"""Rules on single tools of an MCP server: who may call which, of those whom the route lets in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from vestibule.core.policy import Policy, joined

ANY: Final = "*"
"""Ends a name that stands for all that begin so."""


class Tool(msgspec.Struct, frozen=True, gc=False):
    """What is said of one tool, or of all whose names begin so."""

    name: str
    policy: Policy
    """What must hold beside the route's."""
    place: str = ""
    """`file:line` it was written at."""


class Tools(msgspec.Struct, frozen=True, gc=False):
    """The rules on the tools of a route; those that none names are open to whom the route lets in."""

    named: Mapping[str, Tool]
    beginning: tuple[Tool, ...]
    """Those that stand for several, the longest first."""

    def of(self, name: str) -> Tool | None:
        """What is said of the tool: by its name, else by the longest beginning of it; None: nothing."""
        found = self.named.get(name)
        if found is not None:
            return found
        return next((tool for tool in self.beginning if name.startswith(tool.name[:-1])), None)

    @property
    def all(self) -> tuple[Tool, ...]:
        """All that are written."""
        return (*self.named.values(), *self.beginning)

    @property
    def is_fresh(self) -> bool:
        """True where a rule looks at what a provider must be asked for anew now and then."""
        return any(tool.policy.is_fresh for tool in self.all)

    def joined(self, clients: Iterable[str], named: Mapping[str, str]) -> Tools:
        """The same with these clients signing people in, too (`core.policy.joined`)."""
        more = tuple(clients)
        found = tools_of(
            msgspec.structs.replace(tool, policy=joined(tool.policy, more, named)) for tool in self.all
        )
        return found or self


def tools_of(tools: Iterable[Tool]) -> Tools | None:
    """The rules on these, of which the last of a name holds; None: there are none."""
    by_name = {tool.name: tool for tool in tools}
    if not by_name:
        return None
    beginning = [tool for tool in by_name.values() if tool.name.endswith(ANY)]
    return Tools(
        {name: tool for name, tool in by_name.items() if not name.endswith(ANY)},
        tuple(sorted(beginning, key=lambda tool: -len(tool.name))),
    )
