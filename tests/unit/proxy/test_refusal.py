"""A denial's line in the log: where it was written, and each condition with what it saw; the client is told none of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.proxy.plane import Plane, host, route
from vestibule.core.explain import CONDITIONS_LOGGED_MAX
from vestibule.core.policy import policy_of
from vestibule.core.route import Route
from vestibule.core.rule import Rule, rule
from vestibule.model import Bounds, Caller, Identity

pytestmark = pytest.mark.usefixtures("both_downstreams")

SIGN_IN = frozenset({"google"})


def rules(*texts: str) -> tuple[Rule, ...]:
    return tuple(rule(*text.split(":", 1), text=text) for text in texts)


def denying(
    prefix: bytes,
    allow: tuple[str, ...],
    *,
    all: tuple[str, ...] = (),  # noqa: A002 - as in the configuration
    deny: tuple[str, ...] = (),
    methods: frozenset[bytes] = frozenset(),
) -> Route:
    policy = policy_of(
        allow=rules(*allow), all=rules(*all), deny=rules(*deny), sign_in=SIGN_IN, methods=methods
    )
    return replace(route(prefix), policy=policy, place=f"app.hcl:{len(prefix)}")


HOSTS = (
    host(
        b"app.example",
        denying(b"", ("anyone",)),
        denying(b"/eng", ("group:eng", "email:root@app.example")),
        denying(b"/deny", ("anyone",), deny=("email:ada@app.example",)),
        denying(b"/both", ("anyone",), all=("group:eng", "anyone")),
        denying(b"/home", ("public", "network:10.0.0.0/8")),
        denying(b"/read", ("public",), methods=frozenset({b"GET"})),
        denying(b"/many", tuple(f"email:x{number}@app.example" for number in range(500))),
    ),
    replace(
        host(b"api.example", denying(b"", ("anyone",)), replace(denying(b"/jobs", ("anyone",)), needs_caller=True)),
        takes_callers=True,
    ),
)  # fmt: skip


@pytest.fixture
def plane(loop) -> Plane:
    return Plane(loop, hosts=HOSTS)


def line_of(plane: Plane) -> dict[str, Any]:
    (line,) = [line for line in plane.log_lines if line["event"] == "refused"]
    return line


@pytest.mark.parametrize(
    ("path", "method", "code", "conditions"),
    [
        (b"/eng/x", b"GET", "not_allowed", [
            "allow group:eng: fails (groups: staff by google)",
            "allow email:root@app.example: fails (ada@app.example by google)",
        ]),
        (b"/deny", b"GET", "denied", [
            "deny email:ada@app.example: holds (ada@app.example by google)",
            "allow anyone: holds (signed in by google)",
        ]),
        (b"/both", b"GET", "not_allowed", [
            "all group:eng: fails (groups: staff by google)",
            "all anyone: holds (signed in by google)",
            "allow anyone: holds (signed in by google)",
        ]),
        (b"/home", b"GET", "outside_network", [
            "allow network:10.0.0.0/8: fails (192.0.2.7)",
            "allow public: holds (anybody)",
        ]),
        (b"/read", b"POST", "method_not_allowed", [
            "methods GET: fails (POST)",
            "allow public: holds (anybody)",
        ]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_denial_is_logged_with_every_condition(plane, path, method, code, conditions):
    answer = plane.get(path, cookie=plane.sign_in(groups=("staff",)), method=method)
    line = line_of(plane)
    assert (line["code"], line["conditions"]) == (code, conditions)
    prefix = path.decode().removesuffix("/x")
    assert (line["host"], line["route"], line["place"]) == ("app.example", prefix, f"app.hcl:{len(prefix)}")
    assert line["id"] == json.loads(answer.body)["id"]


def test_whoever_is_denied_is_told_kinds_and_nothing_of_the_rules(plane):
    answer = plane.get(b"/eng", cookie=plane.sign_in(groups=("staff",)))
    told = answer.body.decode()
    assert "eng" not in told.replace("/eng", "")
    assert not any(name in told for name in ("root@", "staff", "app.hcl", "conditions"))


def test_the_line_has_an_end_however_many_rules_there_are(plane):
    plane.get(b"/many", cookie=plane.sign_in())
    assert len(line_of(plane)["conditions"]) == CONDITIONS_LOGGED_MAX


@pytest.mark.parametrize("path", [b"/a", b"/jobs/1"], ids=["out of its bounds", "no token"])
def test_what_no_rule_refused_has_no_conditions(plane, path):
    robot = Caller(
        id="t1",
        kind="app_token",
        identities=(Identity(client="google", issuer="https://google", subject="9"),),
        bounds=Bounds(prefixes=(b"/b",)),
    )
    plane.callers.known[b"Bearer good"] = robot
    lines = (b"Authorization: Bearer good",) if path == b"/a" else ()
    plane.get(path, *lines, host=b"api.example")
    line = line_of(plane)
    assert line["code"] in {"out_of_bounds", "token_required"}
    assert "conditions" not in line


def test_a_credential_is_never_in_the_line(plane):
    plane.callers.known[b"Bearer s3cret"] = Caller(id="t1", kind="jwt", scopes=frozenset({"read"}))
    plane.get(b"/a", b"Authorization: Bearer s3cret", host=b"api.example")
    line = line_of(plane)
    assert line["conditions"] == ["allow anyone: fails (a token that says nobody's name)"]
    assert "s3cret" not in json.dumps(plane.log_lines)


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [(b"", True), (b"Accept: */*", True), (b"Accept: text/html,*/*;q=0.8", False)],
    ids=["nothing said", "curl", "a browser"],
)
@pytest.mark.parametrize("shown", [b"Bearer good", b"Bearer wrong"])
def test_who_shows_a_credential_and_asks_for_no_page_is_told_as_a_program(plane, accept, is_json, shown):
    plane.callers.known[b"Bearer good"] = Caller(id="t1", kind="jwt", scopes=frozenset({"read"}))
    answer = plane.get(b"/a", b"Authorization: " + shown, *filter(None, (accept,)), host=b"api.example")
    assert answer.status in (401, 403)
    assert answer.value(b"kind") == (b"json" if is_json else b"page")
