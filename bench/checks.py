"""Auth checks: an edge asks, and nothing is proxied. Alone, and behind nginx as its `auth_request`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from statistics import median

from bench.figures import OURS, Figure
from bench.load import BROWSER
from bench.parts import Bench, loaded
from bench.process import Process, accepts
from vestibule.core.policy import Policy, decide, policy_of
from vestibule.core.route import Backend, Host, Route, RouteTable, Server, routes_of
from vestibule.core.rule import rule
from vestibule.model import Asker, Identity

BAR = "0.5 of nginx, 1.5 x vouch, 8 x oauth2-proxy"
ROUTES = (10, 100, 1_000, 10_000, 100_000)
ROUTES_A_HOST = 100
DECISIONS = 20_000


def check(bench: Bench) -> list[Figure]:
    """The answer to an edge's question about somebody signed in; nginx answers `return 200` to the same request."""
    ports = bench.stage.ports
    questions = {
        OURS: (f"http://127.0.0.1:{ports.check}/@/validate", _original(ports.vestibule)),
        "nginx": (f"http://127.0.0.1:{ports.nginx}/return", _original(ports.nginx)),
        "vouch": (f"http://127.0.0.1:{ports.vouch}/validate", _original(ports.vouch)),
        "oauth2-proxy": (f"http://127.0.0.1:{ports.other}/oauth2/auth", _forwarded(ports.other)),
    }
    figures: list[Figure] = []
    for kind, lines in (("bare", ()), ("browser's headers", BROWSER)):
        asked = {
            name: (url, [*lines, *of_edge, f"Cookie: {bench.subjects[name].cookie}"])
            for name, (url, of_edge) in questions.items()
            if name in bench.subjects
        }
        figures += loaded(bench, f"auth check, signed in, {kind}", asked, BAR)
    return figures


def edge(bench: Bench) -> list[Figure]:
    """Nginx with each of them as its `auth_request`, both on one core; beside nginx that asks nobody."""
    with ExitStack() as stack:
        nginx = bench.stage.edge()
        stack.callback(nginx.stop)
        ports = bench.stage.edge_ports
        nginx.wait_until(lambda: all(accepts(port) for port in ports.values()))
        asked = {
            name: (f"http://127.0.0.1:{ports[name]}/", [*BROWSER, f"Cookie: {subject.cookie}"])
            for name, subject in bench.subjects.items()
        }
        both = {name: _Both(nginx, s.process) for name, s in bench.subjects.items() if name != "nginx"}
        return loaded(bench, "nginx that asks for each request", asked, processes={"nginx": nginx, **both})


class _Both:
    """Two processes on one core, as one subject."""

    def __init__(self, *processes: Process) -> None:
        self._processes = processes

    def cpu_s(self) -> float:
        return sum(process.cpu_s() for process in self._processes)

    @property
    def log(self) -> str:
        return "\n".join(process.log for process in self._processes)


def _original(port: int) -> list[str]:
    return ["X-Original-Method: GET", f"X-Original-URL: http://127.0.0.1:{port}/"]


def _forwarded(port: int) -> list[str]:
    return ["X-Forwarded-Proto: http", f"X-Forwarded-Host: 127.0.0.1:{port}", "X-Forwarded-Uri: /"]


# -- what the number of routes costs --------------------------------------------------------------


def policy(bench: Bench) -> list[Figure]:
    """One decision, with its host and route looked up, by the number of routes there are; in this process."""
    figure = Figure(name="a decision", unit="us", values={}, higher_is_better=False, bar="flat")
    tables = {f"{count:,} routes": _table(count) for count in ROUTES}
    for _ in range(bench.rounds):
        for name, (table, asked) in tables.items():
            figure.values.setdefault(name, []).append(_decision_us(table, asked))
    return [figure]


def _table(count: int) -> tuple[RouteTable, Sequence[tuple[bytes, bytes]]]:
    """So many routes, a hundred to a host, and requests for ten of them."""
    hosts = max(1, count // ROUTES_A_HOST)
    each = min(count, ROUTES_A_HOST)
    table = RouteTable(_host(number, each) for number in range(hosts))
    step = max(1, count // 10)
    asked = [
        (b"h%d.example" % (number // each), b"/part%d/of/it" % (number % each))
        for number in range(0, count, step)
    ]
    return table, asked


def _host(number: int, routes: int) -> Host:
    backend = Backend(servers=(Server(host="127.0.0.1", port=9),))
    prefixes = [b"", *(b"/part%d" % part for part in range(routes))]
    made = [Route(prefix=prefix, backend=backend, policy=_policy(prefix)) for prefix in prefixes]
    table, depth = routes_of(made)
    return Host(
        name=b"h%d.example" % number,
        title="",
        clients={"demo": "demo"},
        sign_in=("demo",),
        routes=table,
        depth=depth,
    )


def _policy(prefix: bytes) -> Policy:
    group = f"group{prefix.decode().strip('/')}"
    allow = (rule("group", group), rule("domain", "example.com"))
    return policy_of(allow=allow, deny=(rule("email", "bob@example.com"),), sign_in=frozenset({"demo"}))


def _decision_us(table: RouteTable, asked: Sequence[tuple[bytes, bytes]]) -> float:
    identity = Identity(client="demo", issuer="i", subject="1", email="ann@example.com", groups=("staff",))
    asker = Asker((identity,), "u1", "192.0.2.7")
    took: list[float] = []
    for _ in range(5):
        began = time.perf_counter_ns()
        for number in range(DECISIONS):
            name, path = asked[number % len(asked)]
            host = table.hosts[name]
            decide(host.route(path).policy, b"GET", asker)
        took.append((time.perf_counter_ns() - began) / DECISIONS / 1000)
    return median(took)


#: as `parts.PARTS`
PARTS: dict[str, tuple[Callable[[Bench], list[Figure]], bool]] = {
    "check": (check, True),
    "edge": (edge, True),
    "policy": (policy, False),
}
