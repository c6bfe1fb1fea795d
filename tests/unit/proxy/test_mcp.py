"""What programs are told that look for the way in by themselves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.proxy.plane import ANYONE, PUBLIC, Plane, host, route
from vestibule.core.policy import policy_of
from vestibule.core.rule import rule
from vestibule.model import Deny
from vestibule.proxy import mcp

PLAIN: Any = SimpleNamespace(scheme="http", port=8000)
HOST = replace(
    host(b"tools.example", route()), mcp=True, apps={"ios": frozenset({"read"})}, registered_scopes=("tools",)
)
ROOT = "http://tools.example:8000/.well-known/oauth-protected-resource"
MISSING = Deny(403, "not_allowed", "", ("token", "group"))


@pytest.mark.parametrize(
    ("path", "url"),
    [
        (b"/mcp", f"{ROOT}/mcp"),
        (b"/a/b-c.d", f"{ROOT}/a/b-c.d"),
        (b"/", ROOT),
        (b"/a/", ROOT),
        (b'/a"b', ROOT),
        (b"/a%22", ROOT),
        (b"/" + b"a" * 200, ROOT),
        (b"/a" * 9, ROOT),
    ],
    ids=["path", "longer", "root", "slash", "quote", "escape", "long", "deep"],
)
def test_metadata_are_of_what_was_asked_for_where_that_is_plain(path, url) -> None:
    assert mcp.metadata_url(HOST, PLAIN, path) == url


def test_other_hosts_tell_of_none() -> None:
    bare = replace(HOST, mcp=False)
    assert mcp.metadata_url(bare, PLAIN, b"/mcp") == ""
    assert mcp.scope_for(bare, policy_of(allow=(rule("token", "tools"),))) == ""


@pytest.mark.parametrize(
    ("allow", "every", "scope"),
    [
        ((rule("token", "tools"),), (), "tools"),
        ((rule("token", "tools"), rule("token", "read")), (), "read tools"),
        ((rule("email", "a@b.example"),), (rule("token", "read"),), "read"),
        ((*ANYONE, rule("token", "tools")), (), "tools"),
        ((rule("token", "nobodys"),), (), ""),
        (PUBLIC, (), ""),
    ],
    ids=["one", "more", "all", "of apps alone", "nobody may have it", "none"],
)
def test_scopes_are_those_that_rules_ask_for_and_an_app_may_have(allow, every, scope) -> None:
    policy = policy_of(allow=allow, all=every, sign_in=frozenset({"google"}))
    assert mcp.scope_for(HOST, policy) == scope


AGENT = "registered-" + "a" * 43


def judged(**more: Any) -> Any:
    said = {"app": AGENT, "session": object(), "allow": (rule("token", "tools"),), "has": (), **more}
    policy = policy_of(allow=said["allow"], all=said.get("every", ()), sign_in=frozenset({"google"}))
    view = SimpleNamespace(host=said.get("host", HOST))
    access = SimpleNamespace(access=SimpleNamespace(app=said["app"])) if said["app"] else None
    ask = SimpleNamespace(view=view, route=SimpleNamespace(policy=policy), access=access)
    return SimpleNamespace(
        ask=ask, session=said["session"], scopes=frozenset(said["has"]), besides=said.get("besides", ())
    )


def test_who_shows_a_token_with_too_few_scopes_is_told_which() -> None:
    [line] = mcp.insufficient(judged(), MISSING, PLAIN, b"/mcp")
    assert line.decode() == (
        'WWW-Authenticate: Bearer realm="tools.example", error="insufficient_scope", scope="tools", '
        f'resource_metadata="{ROOT}/mcp"'
    )


DEPLOYING = replace(HOST, registered_scopes=("tools", "deploy", "more"))
TOOLS_ALONE = policy_of(allow=None, all=(rule("token", "tools"),), sign_in=frozenset({"google"}))


@pytest.mark.parametrize("has", [(), ("tools",), ("deploy",), ("more",)])
def test_of_a_tool_it_is_told_what_the_route_wants_besides(has) -> None:
    """Whoever asks for just what is named has all that the call needs."""
    deploy = (rule("token", "deploy"), rule("token", "nobodys"))
    call = judged(host=DEPLOYING, allow=None, every=deploy, besides=(TOOLS_ALONE,), has=has)
    [line] = mcp.insufficient(call, MISSING, PLAIN, b"/mcp")
    assert b'scope="deploy tools"' in line


@pytest.mark.parametrize(
    ("more", "decision"),
    [
        ({"app": ""}, MISSING),
        ({"session": None}, MISSING),
        ({"host": replace(HOST, mcp=False)}, MISSING),
        ({"allow": (rule("token", "nobodys"),)}, MISSING),
        ({"allow": (rule("token", "read"),)}, MISSING),
        ({"has": ("tools",)}, MISSING),
        ({}, Deny(403, "not_allowed", "", ("group",))),
        ({}, Deny(405, "method_not_allowed", "", ("token",))),
    ],
    ids=["browser", "nobody", "host", "scope", "another app's", "has it", "rule", "method"],
)
def test_nobody_else_is(more, decision) -> None:
    assert mcp.insufficient(judged(**more), decision, PLAIN, b"/mcp") == []


@pytest.mark.parametrize("is_mcp", [True, False])
def test_a_client_in_a_browser_reads_where_tokens_come_from(loop, is_mcp) -> None:
    plane = Plane(loop, hosts=(replace(host(b"app.example", route()), mcp=is_mcp),))
    answer = plane.get(b"/mcp", b"Origin: https://inspector.example")
    assert answer.status == 401
    assert answer.values(b"access-control-allow-origin") == ([b"*"] if is_mcp else [])
    assert (b"WWW-Authenticate" in (answer.value(b"access-control-expose-headers") or b"")) is is_mcp
    assert plane.get(b"/mcp").values(b"access-control-allow-origin") == []
    assert plane.get(b"/mcp", b"Origin: https://x.example", cookie=plane.sign_in()).status == 200
