"""Texts with places for values."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.template import NOBODY, Person, Template, parse
from vestibule.model import Identity
from vestibule.protocol import url
from vestibule.protocol.headers import VALUE_LIMIT_BYTES, request_kind

ASKED = {"path": "/a%20b", "method": "GET", "address": "192.0.2.7", "scheme": "https"}


def identity(client: str = "okta", **fields) -> Identity:
    return Identity(client=client, issuer="https://issuer", subject="1", **fields)


ADA = Person(
    "u1",
    (
        identity(
            login="ada",
            name="Ada Lovelace",
            email="ada@example.com",
            groups=("a", "b,c"),
            claims={
                "team": "blue",
                "floor": 3,
                "is_lead": True,
                "tags": ["x", "y z"],
                "one": ["only"],
                "place": ["London, UK"],
                "address": {"city": "London"},
                "empty": "",
            },
        ),
        identity("github", login="ada-l", orgs=("example",), claims={"team": "red", "plan": "pro"}),
    ),
    {"plan": "gold", "a.b-c": "x y", "tags": ["a", "b,c"], "n": 7, "inner": {"x": 1}, "none": "", "up": ".."},
)


def header(text: str, person: Person = ADA) -> str:
    return (
        parse(text).fixed({"host": "app.example", "prefix": "/admin"}, {"gh": "github"}).header(person, ASKED)
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("fixed, as written; a=b", "fixed, as written; a=b"),
        ("{user.id}", "u1"),
        ("{session.plan} of {claim.plan}", "gold of pro"),
        ("{session.a.b-c}", "x%20y"),
        ("{session.tags}", "a,b%2Cc"),
        ("{session.n}", "7"),
        ("{user.login}", "ada"),
        ("{user.name}", "Ada%20Lovelace"),
        ("{user.email}", "ada@example.com"),
        ("{user.groups}", "a,b%2Cc"),
        ("{user.orgs}", "example"),
        ("{claim.team}", "blue"),
        ("{claim.okta/team}", "blue"),
        ("{claim.gh/team}", "red"),
        ("{claim.github/team}", "red"),
        ("{claim.plan}", "pro"),
        ("{claim.floor}", "3"),
        ("{claim.is_lead}", "true"),
        ("{claim.tags}", "x,y%20z"),
        ("{claim.one}", "only"),
        ("{claim.place}", "London%2C%20UK"),
        ("{claim.address.city}", "London"),
        ("{host}", "app.example"),
        ("{prefix}/x", "/admin/x"),
        ("{path}", "/a%20b"),
        ("{method} from {address} by {scheme}", "GET from 192.0.2.7 by https"),
        ('{{"team":"{claim.team}"}}', '{"team":"blue"}'),
        ("{{claim.team}}", "{claim.team}"),
    ],
)
def test_places_are_filled_in(text, value):
    assert header(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "{claim.unknown}",
        "{claim.empty}",
        "{claim.address}",
        "{claim.gh/floor}",
        "{claim.nobody/team}",
        "{user.roles}",
        "{session.inner}",
        "{session.none}",
        "{session.unknown}",
        "team-{claim.unknown}",
        "{claim.team}{claim.unknown}",
    ],
)
def test_a_text_one_of_whose_values_is_not_known_is_none_at_all(text):
    assert header(text) == ""


@pytest.mark.parametrize(
    "name", ["user.id", "user.login", "user.name", "user.email", "user.groups", "claim.team", "session.plan"]
)
def test_of_nobody_nothing_is_known(name):
    assert header(f"{{{name}}}", NOBODY) == ""


def test_a_value_too_long_is_left_out_whole():
    long = Person("u1", (identity(groups=tuple(f"group-{number}" for number in range(2000))),))
    assert header("{user.groups}", long) == ""
    fitting = Person("u1", (identity(name="x" * VALUE_LIMIT_BYTES),))
    assert len(header("{user.name}", fitting)) == VALUE_LIMIT_BYTES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{team}", "`{team}` is no value"),
        ("{claim}", "`{claim}` is no value"),
        ("{claim.}", "`{claim.}` is no value"),
        ("{user.}", "`{user.}` is no value"),
        ("{user.password}", "`{user.password}` is no value"),
        ("{env.secret}", "`{env.secret}` is no value"),
        ("{session}", "`{session}` is no value"),
        ("{session.}", "`{session.}` is no value"),
        ("{session.a b}", "is no value"),
        ("{http.request.uri}", "`{http.request.uri}` is no value"),
        ("{}", "`{}` is no value"),
        ("{user.id", "without its other half"),
        ("user.id}", "without its other half"),
        ("{a{user.id}}", "without its other half"),
    ],
)
def test_a_name_that_is_no_value_is_refused_with_what_there_is(text, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        parse(text)


def test_what_may_be_part_of_a_secret_is_not_repeated():
    with pytest.raises(ValueError, match="is no value") as told:
        parse("Basic pass{W0rd!}")
    assert "W0rd" not in str(told.value)


def test_what_is_literal_may_be_a_secret_and_is_not_shown():
    template = parse("Basic aGVsbG8= {user.id}")
    assert "aGVsbG8" not in repr(template)
    assert "user.id" in repr(template)


# -- what a value can't do ------------------------------------------------------------------------

HOSTILE = (
    "Zoë\r\nX-Admin: 1",
    "a\nb",
    "a\0b",
    "{user.id}",
    "{{user.id}}",
    '${env("SECRET")}',
    "%0d%0aX-Admin: 1",
    "\u2028X-Admin: 1",
    "half \ud83d",
)


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
@pytest.mark.parametrize("name", ["claim.x", "user.name", "user.groups"])
def test_h7_no_value_makes_a_header_line_and_none_is_expanded_again(name, value):
    person = Person("u1", (identity(name=value, groups=(value,), claims={"x": value}),))
    made = header(f"a {{{name}}} z", person)
    assert made.isascii()
    assert made.isprintable()
    assert unquote(made) == f"a {value} z".encode(errors="replace").decode()
    assert request_kind(f"X-Team: {made}".encode()) == 0


@given(st.text(min_size=1), st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_whatever_a_value_holds_it_is_one_header_value_and_can_be_read_back(text, items):
    person = Person("u1", (identity(name=text, claims={"items": items}),))
    single = header("{user.name}", person)
    listed = header("{claim.items}", person)
    for made in (single, listed):
        assert made.isascii()
        assert made.isprintable()
    assert unquote(single) == text
    assert [unquote(item) for item in listed.split(",")] == items


# -- paths ----------------------------------------------------------------------------------------


def path(text: str, **claims) -> bytes:
    return (
        parse(text)
        .fixed({"host": "app.example", "prefix": ""}, {})
        .path(Person("u1", (identity(claims=claims),)))
    )


@pytest.mark.parametrize(
    ("text", "claims", "made"),
    [
        ("/v2", {}, b"/v2"),
        ("/v2/{claim.team}", {"team": "blue"}, b"/v2/blue"),
        ("/v2/team-{claim.team}/x", {"team": "blue"}, b"/v2/team-blue/x"),
        ("/{host}/{user.id}", {}, b"/app.example/u1"),
        ("/{claim.team}", {"team": "Zoë & co"}, b"/Zo%C3%AB%20%26%20co"),
        ("/{claim.team}", {"team": ["one"]}, b"/one"),
        ("/{claim.team}", {"team": 7}, b"/7"),
    ],
)
def test_a_path_is_made_of_whole_segments(text, claims, made):
    assert path(text, **claims) == made
    assert url.canonical(made).full == made


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            ".",
            "..",
            "a/b",
            "../admin",
            "a\\b",
            "..;x",
            "a;b",
            "%2e%2e",
            "a%2Fb",
            "a\0b",
            "a\r\nb",
            "\u2028",
        ),
        *([], ["a", "b"], {"a": "b"}, None),
    ],
)
def test_a_value_that_is_no_segment_makes_no_path(value):
    assert path("/v2/{claim.team}/x", team=value) == b""


@given(st.text())
def test_whatever_a_claim_holds_the_path_is_canonical_or_none(value):
    made = path("/v2/{claim.team}", team=value)
    if made:
        target = url.canonical(made)
        assert target.path == target.plain == target.full == made
        assert made.count(b"/") == 2
        assert unquote(made[4:].decode("ascii")) == value


def test_a_template_knows_whether_requests_of_one_person_differ():
    assert parse("{path}").is_of_request
    assert not parse("{user.id} at {host}").is_of_request
    assert Template(()).slots == ()
