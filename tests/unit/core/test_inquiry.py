"""Where an address leads, and what is answered there: as a request would be."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.core.inquiry import Findings, findings, spot_of
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, RouteTable, routes_of
from vestibule.core.rule import Rule, rule
from vestibule.errors import BadRequest, NotFound
from vestibule.model import Asker, Identity

ADA = Identity(client="google", issuer="https://google", subject="1", email="ada@app.example")


def made(prefix: bytes, *allow: str, sign_in: tuple[str, ...] = ("google",), **fields: object) -> Route:
    rules: tuple[Rule, ...] = tuple(rule(*text.split(":", 1), text=text) for text in allow)
    policy = policy_of(allow=rules, sign_in=frozenset(sign_in))
    place = f"app.hcl:{len(prefix)}"
    return Route(prefix=prefix, backend=Backend(internal="echo"), policy=policy, place=place, **fields)  # type: ignore[arg-type]  # fields of a table


def host(name: bytes, *routes: Route, **fields: object) -> Host:
    table, depth = routes_of(routes)
    return Host(name=name, title="", clients={"google": "google"}, routes=table, depth=depth, place="app.hcl:1", **fields)  # type: ignore[arg-type]  # fields of a table  # fmt: skip


TABLE = RouteTable(
    (
        host(b"app.example", made(b"", "anyone"), made(b"/admin", "email:root@app.example"), made(b"/jobs", "anyone", needs_caller=True)),
        host(b"inner.example", made(b"", "public"), base_url="https://outer.example:8443"),
        host(b"new.example", made(b"", "anyone", sign_in=()), takes_more=True),
        host(b"xn--bcher-kva.example", made(b"", "public")),
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("address", "name", "route", "path"),
    [
        ("https://app.example/", b"app.example", b"", "/"),
        ("https://app.example", b"app.example", b"", "/"),
        ("app.example/admin", b"app.example", b"/admin", "/admin"),
        ("HTTP://APP.example.:8000/admin/?x=1#y", b"app.example", b"/admin", "/admin/"),
        ("https://app.example/x/../%61dmin/users", b"app.example", b"/admin", "/admin/users"),
        ("https://app.example//admin", b"app.example", b"/admin", "/admin"),
        ("https://app.example/administrator", b"app.example", b"", "/administrator"),
        ("https://app.example/a b/é", b"app.example", b"", "/a%20b/%C3%A9"),
        ("https://app.example?x=/admin", b"app.example", b"", "/"),
        ("https://outer.example:8443/x", b"inner.example", b"", "/x"),
        ("https://bücher.example/x", b"xn--bcher-kva.example", b"", "/x"),
        ("app.example/@/account", b"app.example", b"", "/@/account"),
    ],
)
def test_an_address_is_read_as_a_requests_target_is(address, name, route, path):
    spot = spot_of(TABLE, address)
    assert (spot.host.name, spot.route.prefix, spot.path) == (name, route, path)


@pytest.mark.parametrize(
    "address",
    [
        "ftp://app.example/",
        "https://ada@app.example/",
        "https://app.example/a%2fb",
        "https://app.example/..;x/admin",
        "https://app.example/admin;x/y",
        "https://app.example/%",
        "https://127.1/",
        "javascript:alert(1)",
        "",
    ],
)
def test_what_no_request_could_ask_for_is_refused(address):
    with pytest.raises(BadRequest):
        spot_of(TABLE, address)


def test_an_unknown_host_is_told_with_those_there_are():
    with pytest.raises(NotFound, match=r"no host other\.example here, but app\.example, inner"):
        spot_of(TABLE, "https://other.example/")


def found(address: str, asker: Asker = Asker(), method: bytes = b"GET") -> Findings:  # noqa: B008 - an immutable value
    return findings(spot_of(TABLE, address), method, asker)


PERSON = Asker((ADA,), "u1", "192.0.2.7")


@pytest.mark.parametrize(
    ("findings", "answer", "status", "is_let_in"),
    [
        (found("app.example/", PERSON), "in", None, True),
        (found("app.example/"), "sign_in", 302, False),
        (found("app.example/admin", PERSON), "not_allowed", 403, False),
        (found("app.example/@/account"), "own", None, True),
        (found("app.example/@google/callback"), "own", None, True),
        (found("app.example/@alice"), "sign_in", 302, False),
        (found("app.example/jobs", PERSON), "token_required", 401, False),
        (found("app.example/jobs", replace(PERSON, scopes=frozenset())), "in", None, True),
        (found("new.example/"), "no_sign_in_yet", 503, False),
        (found("inner.example/", method=b"TRACE"), "method_not_allowed", 405, False),
        (found("inner.example/", method=b"PROPFIND"), "in", None, True),
    ],
)
def test_what_is_answered_there(findings, answer, status, is_let_in):
    assert (findings.answer, findings.status, findings.is_let_in) == (answer, status, is_let_in)
    assert bool(findings.change) is not is_let_in


def test_findings_say_where_all_of_it_was_written():
    told = found("app.example/admin/x", PERSON)
    assert (told.host, told.host_place, told.route, told.route_place, told.path) == (
        "app.example",
        "app.hcl:1",
        "/admin/",
        "app.hcl:6",
        "/admin/x",
    )
    (condition,) = told.conditions
    assert (condition.rule, condition.saw) == ("email:root@app.example", "ada@app.example by google")


KEYS = replace(made(b"", "user:apikey_auth/robot", sign_in=()), place="app.hcl:9")
SERVED = RouteTable(
    (
        host(b"app.example", made(b"", "anyone"), replace(made(b"/keys", "public"), backend=Backend(serving="keys"))),
        replace(host(b"serving:keys", KEYS, issuers=("apikey_auth",), base_url="http://localhost:4801"), clients={}),
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("address", "host_name", "answer", "rules"),
    [
        ("https://app.example/keys/x", "serving:keys", ("no_sign_in", 403), ["public", "user:apikey_auth/robot"]),
        ("https://app.example/", "app.example", ("sign_in", 302), ["anyone"]),
        ("http://localhost:4801/x", "serving:keys", ("no_sign_in", 403), ["user:apikey_auth/robot"]),
    ],
)  # fmt: skip
def test_what_a_serving_behind_the_host_refuses_is_told(address, host_name, answer, rules):
    found = findings(spot_of(SERVED, address), b"GET", Asker())
    assert (found.host, (found.answer, found.status)) == (host_name, answer)
    assert [condition.rule for condition in found.conditions] == rules
    assert not any(condition.decides for condition in found.conditions if condition.rule == "public")
    assert found.change


def test_who_is_let_in_by_both_is_let_in():
    policy = policy_of(allow=(rule("public", text="public"),))
    inner = Route(prefix=b"", backend=Backend(internal="echo"), policy=policy)
    outer = replace(made(b"", "public"), backend=Backend(serving="keys"))
    found = findings(
        spot_of(RouteTable((host(b"app.example", outer), host(b"serving:keys", inner))), "app.example/x"),
        b"GET",
        Asker(),
    )
    assert (found.host, found.is_let_in, len(found.conditions)) == ("app.example", True, 2)


def test_a_serving_is_not_among_the_hosts_there_are_and_is_found_by_its_port_alone():
    for address in ("http://localhost:4802/", "http://localhost/", "https://serving:4801/"):
        with pytest.raises(NotFound) as told:
            spot_of(SERVED, address)
        assert str(told.value.message).endswith("but app.example")
