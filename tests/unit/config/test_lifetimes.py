"""How long sessions live and how old a sign-in may be: what holds for each host, and what can't."""

from __future__ import annotations

import math

import pytest

from tests.unit.config.conftest import Desk
from tests.unit.config.test_domain import domain
from vestibule.config.compile import Compiled, compile_config
from vestibule.core.lifetimes import Span

DAY = 86400.0


def provider(name: str, more: str = "") -> str:
    return (
        f'provider "{name}" {{\n type = "oidc"\n issuer = "https://{name}.example"\n client_id = "i"\n'
        f' client_secret = "s"\n {more}\n}}\n'
    )


OP, CLUB = provider("op"), provider("club", 'lifetimes { session_absolute = "1h" }')


def host(name: str, more: str = "", *, sign_in: str = '"op", "club"', allow: str = "anyone") -> str:
    return (
        f'host "{name}" {{\n backend = "localhost:3000"\n sign_in = [{sign_in}]\n'
        f' public_url = "https://{name}"\n access {{ allow = ["{allow}"] }}\n{more}\n}}\n'
    )


def compiled(desk: Desk, *texts: str) -> Compiled:
    return compile_config(desk.load("".join((OP, CLUB, *texts))))


def faults(desk: Desk, *texts: str) -> list[str]:
    return [fault.split(": ", 1)[1] for fault in desk.faults("".join((OP, CLUB, *texts)))]


def warnings(desk: Desk, *texts: str) -> list[str]:
    return [told.split(": ", 1)[1] for told in desk.warnings("".join((OP, CLUB, *texts)))]


APP = "app.example.com"
ISSUER = """issuer "ci" {
  url               = "https://ci.example"
  introspection_url = "https://ci.example/i"
  client_id         = "i"
  client_secret     = "s"
}
"""
REMEMBER = 'lifetimes { remember_me = "30d" }\n'


@pytest.mark.parametrize(
    ("top", "inside", "client", "ends"),
    [
        pytest.param("", "", "op", ((7 * DAY, DAY), None), id="nothing said"),
        pytest.param("", "", "club", ((3600.0, DAY), None), id="a provider's"),
        pytest.param("", 'lifetimes { session_idle = "10m" }', "op", ((7 * DAY, 600.0), None), id="a host's"),
        pytest.param("", 'lifetimes { session_absolute = "30d" }', "op", ((7 * DAY, DAY), None), id="longer than elsewhere"),
        pytest.param(REMEMBER, "", "op", ((7 * DAY, DAY), (30 * DAY, 30 * DAY)), id="asked everywhere"),
        pytest.param(REMEMBER, "", "club", ((3600.0, DAY), (3600.0, 30 * DAY)), id="asked, by a short provider"),
        pytest.param(REMEMBER, 'lifetimes { remember_me = "2d" }', "op", ((7 * DAY, DAY), (2 * DAY, 2 * DAY)), id="a shorter one"),
        pytest.param("", 'lifetimes { remember_me = "90d" }', "op", ((7 * DAY, DAY), (90 * DAY, 90 * DAY)), id="asked by the host alone"),
    ],
)  # fmt: skip
def test_the_shortest_of_those_that_apply_holds(desk: Desk, top, inside, client, ends) -> None:
    usual, kept = ends
    found = compiled(desk, top, host(APP, inside)).table.hosts[APP.encode()]
    span = found.span_by((client,))
    assert span.life(is_kept=False) == usual
    assert (span.life(is_kept=True) if span.may_keep else None) == kept
    assert found.offers_to_keep is (kept is not None)


def test_what_holds_for_all(desk: Desk) -> None:
    text = 'lifetimes { remember_me = "30d" }\nlifetimes { sessions_per_person = 5 }\n'
    found = compiled(desk, text, host(APP)).lifetimes
    assert (found.remember_s, found.sessions_max) == (30 * DAY, 5)
    found = compiled(desk, host(APP)).lifetimes
    assert (found.remember_s, found.sessions_max) == (0.0, 0)


def test_who_hands_on_and_who_is_handed_on_to_ask_alike(desk: Desk) -> None:
    """Threat: a cookie of a host that outlives the browser of somebody who didn't want to be kept."""
    auth = host("auth.example.com", REMEMBER).replace('"localhost:3000"', '"internal:account"')
    table = compiled(desk, domain(), auth, host(APP)).table
    assert [one.offers_to_keep for one in table.hosts.values()] == [True, True]
    assert table.hosts[APP.encode()].span == Span(idle_s=DAY, absolute_s=7 * DAY, keeps=True)
    assert not table.hosts[APP.encode()].span.may_keep


# -- how old a sign-in may be -----------------------------------------------------------------


def test_a_routes_age_stands_instead_of_the_hosts(desk: Desk) -> None:
    text = host(
        APP,
        'max_age = "8h"\nroute "/pay" { max_age = "10m" }\nroute "/x" { methods = ["GET"] }\nroute "/y" {}',
    )
    found = compiled(desk, text).table.hosts[APP.encode()]
    ages = {prefix: one.policy.max_age_s for prefix, one in found.routes.items()}
    assert ages == {b"": 28800.0, b"/pay": 600.0, b"/x": 28800.0, b"/y": 28800.0}
    assert found.routes[b"/y"].policy is found.routes[b""].policy
    assert found.asks_when


def test_an_auth_host_asks_for_those_that_want_to_know(desk: Desk) -> None:
    table = compiled(
        desk, domain(), host(APP, 'route "/pay" { max_age = "10m" }'), host("b.example.com")
    ).table
    asking = {name.decode().partition(".")[0]: one.asks_when for name, one in table.hosts.items()}
    assert asking == {"app": True, "b": False, "auth": True}


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        ((host(APP, 'max_age = "1h"', allow="public"),), "has no effect here: everybody gets in, signed in or not"),
        (
            (host(APP, 'route "/open" {\n max_age = "1h"\n access { allow = ["public"] }\n}'),),
            "has no effect here: everybody gets in, signed in or not",
        ),
        ((host(APP), "lifetimes { sessions_per_person = -1 }"), "is a number of sessions, or 0 for any number"),
        (
            (host(APP), host("open.test", 'lifetimes { session_idle = "1h" }', sign_in="", allow="public")),
            "nobody signs in at open.test, so it has no sessions",
        ),
        (
            (domain('sso = "cookie"'), host(APP, 'lifetimes { session_idle = "1h" }')),
            "has no effect here: all hosts of example.com have one session, of which auth.example.com says it",
        ),
        (
            (
                ISSUER,
                host(APP, 'session_bearer = true\nissuers = ["ci"]'),
            ),
            "tokens of an issuer with `introspection_url` can't be told from handles: take one of the two here",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_can_not_be_is_told(desk: Desk, texts: tuple[str, ...], fault: str) -> None:
    assert faults(desk, *texts) == [fault]


def test_a_public_part_of_a_host_that_asks_is_no_fault(desk: Desk) -> None:
    text = host(APP, 'max_age = "1h"\nroute "/open" {\n access { allow = ["public"] }\n}')
    assert faults(desk, text) == []


def test_who_shortens_what_is_handed_on_is_told_what_that_does(desk: Desk) -> None:
    text = host(APP, 'lifetimes { session_idle = "1h" }')
    assert warnings(desk, text) == []
    (told,) = warnings(desk, domain(), text)
    assert told.startswith("ends the sessions of this host only: while the one at auth.example.com lives")


def test_a_wish_that_shortens_is_told_of(desk: Desk) -> None:
    text = 'lifetimes {\n session_absolute = "60d"\n remember_me = "30d"\n}\n'
    assert warnings(desk, text, host(APP)) == [
        "is shorter than session_absolute: who asks to be kept signed in is signed out sooner"
    ]


def test_an_age_that_is_over_on_the_way_back_is_told_of(desk: Desk) -> None:
    assert warnings(desk, host(APP, 'max_age = "60s"')) == []
    (told,) = warnings(desk, host(APP, 'max_age = "59s"'))
    assert told == "is less than a minute: people are hardly back when it is over"


def test_a_handle_as_bearer_is_taken_where_that_is_written(desk: Desk) -> None:
    hosts = compiled(desk, host(APP, "session_bearer = true"), host("b.example.com")).table.hosts
    assert [one.session_bearer for one in hosts.values()] == [True, False]
    assert hosts[b"b.example.com"].span.kept_absolute_s == math.inf
