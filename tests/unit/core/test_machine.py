"""What makes a proof one of ours: patterns, and rules on claims."""

from __future__ import annotations

import pytest

from vestibule.core.machine import ClaimRule, Machine, Machines, matches

MAIN = "repo:acme/app:ref:refs/heads/main"


@pytest.mark.parametrize(
    ("pattern", "text", "is_one"),
    [
        (MAIN, MAIN, True),
        (MAIN, MAIN + "x", False),
        ("repo:acme/app:*", MAIN, False),
        ("repo:acme/*:ref:refs/heads/main", MAIN, True),
        ("repo:acme/*", "repo:acme/app", True),
        ("repo:acme/*", "repo:acme/app:environment:x", False),
        ("repo:acme/*", "repo:acme/", True),
        ("repo:*/app", "repo:a/b/app", False),
        ("refs/tags/v*", "refs/tags/v1.2", True),
        ("refs/tags/v*", "refs/tags/v1/evil", False),
        ("a*b*c", "aXbXbc", True),
        ("a*b*c", "aXcXb", False),
        ("*", "", False),
        ("", "", True),
        ("*", "x\ny", True),
        ("*:*", "a:b", True),
        ("*:*", "a:b:c", False),
        ("**", "a", True),
        ("a.c", "abc", False),
        ("[a]*", "a", False),
        ("Acme", "acme", False),
        ("arn:aws:iam::*:role/ci-*", "arn:aws:iam::123456789012:role/ci-build", True),
        ("arn:aws:iam::*:role/ci-*", "arn:aws:iam::123456789012:role/path/ci-build", False),
        ("spiffe://example.org/ns/*/sa/web", "spiffe://example.org/ns/prod/sa/web", True),
        ("spiffe://example.org/*", "spiffe://example.org/ns/prod", False),
    ],
)
def test_a_star_stands_for_a_part_and_never_for_two(pattern: str, text: str, is_one: bool) -> None:
    assert matches(pattern, text) is is_one


def test_no_text_is_slow_for_any_pattern() -> None:
    """Were each place tried for each star, this would take as long as the world has been there."""
    assert not matches("a*" * 50 + "b", "a" * 4000)


@pytest.mark.parametrize(
    ("claims", "holds"),
    [
        ({"repository": "acme/app"}, True),
        ({"repository": "acme/lib"}, True),
        ({"repository": ["x/y", "acme/app"]}, True),
        ({"repository": "evil/app"}, False),
        ({"repository": ["x/y"]}, False),
        ({"repository": []}, False),
        ({"repository": None}, False),
        ({"repository": {"acme/app": True}}, False),
        ({}, False),
    ],
)
def test_a_claim_must_be_there_and_be_one_of_the_texts(claims: dict[str, object], holds: bool) -> None:
    assert ClaimRule("repository", ("acme/app", "acme/l*")).holds(claims) is holds


def test_a_claim_may_stand_inside_of_another_and_be_no_text() -> None:
    claims = {"kubernetes.io": {"namespace": "ci"}, "email_verified": True, "project_id": 22}
    assert ClaimRule("kubernetes.io.namespace", ("ci",)).holds(claims)
    assert ClaimRule("email_verified", ("true",)).holds(claims)
    assert ClaimRule("project_id", ("22",)).holds(claims)
    assert not ClaimRule("kubernetes.io", ("ci",)).holds(claims)


def test_they_are_kept_by_name_in_its_order() -> None:
    two = Machine(name="b", kind="key", hosts=("x", "y"))
    one = Machine(name="a", kind="key", hosts=("y",))
    found = Machines.of([two, one])
    assert tuple(found.by_name) == ("a", "b")
    assert found.of_host("x") == (two,)
    assert found.of_host("y") == (one, two)
