"""The ladder of DESIGN.md: a module imports only from lower rungs, and the lower rungs know nothing of the world."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

import pytest

from tests.house.source import PACKAGE, imports, modules

LADDER = (
    {"errors", "model"},
    {"protocol"},
    {"core"},
    {"observe"},
    {"fetch", "store", "providers", "admin_link", "admin_model"},
    {"config"},
    {"service"},
    {"proxy", "edge", "web"},
    {"role", "systemd", "state"},
    {"certifying"},
    {"opening", "back_office", "handover"},
    {"showing"},
    {"control", "waiting", "measuring", "readiness", "line"},
    {"identifying", "agreeing", "child"},
    {"generation"},
    {"listening"},
    {"app"},
    {"following"},
    {"process", "offspring"},
    {"admin_organisations", "admin_watching", "keychain", "token_client"},
    {"supervisor", "demo", "client", "admin_client", "wallet", "doctor", "runner"},
    {"tui"},
    {"cli"},
    {"__main__"},
)
RUNG = {unit: number for number, units in enumerate(LADDER) for unit in units}

PURE = {"errors", "model", "protocol", "core"}
WORLD = {
    *("asyncio", "socket", "ssl", "time", "random", "secrets", "logging", "os"),
    *(
        "aiohttp",
        "aiosqlite",
        "http",
        "pathlib",
        "select",
        "selectors",
        "shutil",
        "signal",
        "sqlalchemy",
        "sqlite3",
    ),
    *("starlette", "structlog", "subprocess", "tempfile", "threading", "uvloop"),
}
CLOCKS = {"now", "utcnow", "today"}

# The composition root, what it opens first and what it loads after listening, and the doctor, who tries each by itself:
# they alone name implementations, which is all of `store` and `providers` but these modules.
ROOTS = {
    "app",
    "generation",
    "control",
    "opening",
    "back_office",
    "certifying",
    "measuring",
    "readiness",
    "doctor",
    "showing",
}
SEAMS = {
    "store": {
        "store",
        "store.base",
        "store.base_acme",
        "store.base_directory",
        "store.base_events",
        "store.base_machine",
        "store.base_organisations",
    },
    "providers": {"providers", "providers.base", "providers.kit"},
}

Sources = Mapping[str, ast.Module]


def unit_of(module: str) -> str:
    """`vestibule.core.route` → `core`; the package itself, which only has its version, → ``."""
    return module.removeprefix(PACKAGE).lstrip(".").partition(".")[0]


def ladder_faults(sources: Sources) -> Iterator[str]:
    """Imports that go up, or sideways to another unit of the same rung; units the ladder doesn't name."""
    for module, tree in sources.items():
        unit = unit_of(module)
        if unit and unit not in RUNG:
            yield f"{module}: the ladder has no rung for {unit!r}"
            continue
        for target, line in imports(module, tree, sources):
            other = unit_of(target)
            if not _is_ours(target) or not other or other == unit or other not in RUNG:
                continue
            if not unit or RUNG[other] > RUNG[unit]:
                yield f"{module}:{line}: {target} is on a higher rung"
            elif RUNG[other] == RUNG[unit]:
                yield f"{module}:{line}: {target} is a sibling on the same rung"


def world_faults(sources: Sources) -> Iterator[str]:
    """What the pure rungs must not touch: modules that wait, look or act, coroutines, the clock, files."""
    for module, tree in sources.items():
        if unit_of(module) not in PURE:
            continue
        for target, line in imports(module, tree, sources):
            if target.partition(".")[0] in WORLD or target == "urllib.request":
                yield f"{module}:{line}: imports {target}"
        for node in ast.walk(tree):
            match node:
                case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                    yield f"{module}:{node.lineno}: is asynchronous"
                case ast.Call(func=ast.Attribute(value=ast.Name(id="datetime" | "date"), attr=attr)) if (
                    attr in CLOCKS
                ):
                    yield f"{module}:{node.lineno}: reads the clock"
                case ast.Call(func=ast.Name(id="open" | "print" | "input" as name)):
                    yield f"{module}:{node.lineno}: calls {name}()"


def seam_faults(sources: Sources) -> Iterator[str]:
    """Implementations of a store or of a provider that are named outside their package and the composition root."""
    for module, tree in sources.items():
        unit = unit_of(module)
        for target, line in imports(module, tree, sources):
            other = unit_of(target)
            inner = target.removeprefix(PACKAGE + ".")
            if (
                _is_ours(target)
                and other in SEAMS
                and unit not in {other, *ROOTS}
                and inner not in SEAMS[other]
            ):
                yield f"{module}:{line}: only the composition root names {target}"


def cycle_faults(sources: Sources) -> Iterator[str]:
    """Import cycles, those dodged by an import inside a function included."""
    graph = {
        module: sorted(
            {target for target, _ in imports(module, tree, sources) if target in sources} - {module}
        )
        for module, tree in sources.items()
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> Iterator[str]:
        if module in path:
            yield " → ".join([*path[path.index(module) :], module])
        elif module not in done:
            for target in graph[module]:
                yield from visit(target, (*path, module))
            done.add(module)

    for module in graph:
        yield from visit(module, ())


def allow_faults(sources: Sources) -> Iterator[str]:
    """`Allow` made, or given another name, anywhere but in the one function that decides."""
    for module, tree in sources.items():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name(id="Allow") | ast.Attribute(attr="Allow")):
                    if module != f"{PACKAGE}.core.policy":
                        yield f"{module}:{node.lineno}: makes an Allow"
                case ast.alias(name="Allow", asname=str()):
                    yield f"{module}:{node.lineno}: gives Allow another name"
                case ast.Assign(value=ast.Name(id="Allow")):
                    yield f"{module}:{node.lineno}: gives Allow another name"


def _is_ours(target: str) -> bool:
    return target == PACKAGE or target.startswith(PACKAGE + ".")


CHECKS = (ladder_faults, world_faults, seam_faults, cycle_faults, allow_faults)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_source_has_no(check):
    assert list(check(modules())) == []


def test_allow_is_made_in_one_function():
    """The decision is the only way to the backend, so it has one door."""
    policy = modules()[f"{PACKAGE}.core.policy"]
    makers = {
        function.name
        for function in ast.walk(policy)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Allow"
    }
    assert len(makers) == 1


@pytest.mark.parametrize(
    ("check", "module", "source", "said"),
    [
        (ladder_faults, "core.route", "import vestibule.store.base", "higher rung"),
        (ladder_faults, "core.route", "from vestibule import app", "higher rung"),
        (ladder_faults, "core.route", "def f():\n    from vestibule.proxy.gateway import x", "higher rung"),
        (ladder_faults, "core.route", "from ..service import visit", "higher rung"),
        (ladder_faults, "errors", "from vestibule.model import Session", "sibling"),
        (ladder_faults, "proxy.gateway", "from vestibule.web import pages", "sibling"),
        (ladder_faults, "utils", "", "no rung"),
        (world_faults, "core.route", "import time", "imports time"),
        (world_faults, "protocol.url", "from os import path", "imports os"),
        (world_faults, "model", "async def f(): ...", "asynchronous"),
        (world_faults, "core.seal", "def f():\n    return datetime.now(UTC)", "reads the clock"),
        (world_faults, "core.seal", "open('/etc/passwd')", "calls open()"),
        (
            seam_faults,
            "proxy.gateway",
            "from vestibule.store.sqlite import Store",
            "only the composition root",
        ),
        (seam_faults, "cli.check", "from vestibule.providers import oidc", "only the composition root"),
        (allow_faults, "proxy.gateway", "model.Allow(user=None)", "makes an Allow"),
        (allow_faults, "proxy.gateway", "from vestibule.model import Allow as Yes", "another name"),
        (allow_faults, "core.policy", "Yes = Allow", "another name"),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value else None,
)
def test_a_check_finds(check, module, source, said):
    """The checks themselves, on one bad module among good ones."""
    others = (
        "app",
        "store.base",
        "store.sqlite",
        "providers.oidc",
        "proxy.gateway",
        "service.visit",
        "web.pages",
    )
    sources = {f"{PACKAGE}.{name}": ast.parse("") for name in others}
    sources[f"{PACKAGE}.{module}"] = ast.parse(source)
    faults = list(check(sources))
    assert len(faults) == 1
    assert said in faults[0]


def test_a_cycle_through_a_function_level_import_is_found():
    sources = {
        f"{PACKAGE}.core.a": ast.parse("from vestibule.core import b"),
        f"{PACKAGE}.core.b": ast.parse("from vestibule.core.c import x"),
        f"{PACKAGE}.core.c": ast.parse("def f():\n    from vestibule.core.a import y"),
    }
    assert list(cycle_faults(sources)) == [
        "vestibule.core.a → vestibule.core.b → vestibule.core.c → vestibule.core.a"
    ]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("app", "from vestibule.store.sqlite import Store\nfrom vestibule.providers.oidc import Oidc"),
        ("proxy.gateway", "from vestibule.store.base import Sessions\nfrom vestibule.core import policy"),
        ("store.memory", "from vestibule.store.sqlite import rows"),
        ("cli.serve", "import time, os\nfrom vestibule import __version__"),
        ("core.policy", "def decide():\n    return Allow()"),
    ],
    ids=lambda value: value.partition("\n")[0],
)
def test_the_checks_leave_alone(module, source):
    sources = {f"{PACKAGE}.{name}": ast.parse("") for name in ("store.base", "store.sqlite", "core.policy")}
    sources[f"{PACKAGE}.{module}"] = ast.parse(source)
    assert [fault for check in CHECKS for fault in check(sources)] == []
