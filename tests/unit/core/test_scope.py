"""What a service's token may do."""

from __future__ import annotations

from typing import get_args

import pytest

from vestibule.core import scope
from vestibule.web.api.app import api
from vestibule.web.api.tokens import Scope


def operations() -> set[str]:
    document = api().openapi()
    return {one["operationId"] for methods in document["paths"].values() for one in methods.values()}


def test_every_operation_of_the_api_asks_for_a_scope_that_there_is():
    assert operations() == scope.NEEDED.keys()
    assert set(scope.NEEDED.values()) <= scope.SCOPES.keys()


def test_the_api_takes_the_scopes_of_the_table():
    assert get_args(Scope) == tuple(scope.SCOPES)


def test_no_scopes_are_everything_also_what_is_in_no_table():
    for operation in (*scope.NEEDED, "madeTomorrow"):
        scope.check((), operation)


@pytest.mark.parametrize("held", scope.SCOPES)
def test_a_scope_lets_do_what_it_names_and_nothing_else(held):
    for operation, needed in scope.NEEDED.items():
        if needed == held:
            scope.check((held,), operation)
        else:
            with pytest.raises(scope.ScopeMissing) as caught:
                scope.check((held,), operation)
            assert (caught.value.scope, caught.value.status, caught.value.code) == (
                needed,
                403,
                "scope_missing",
            )


def test_an_operation_in_no_table_is_for_tokens_without_scopes():
    with pytest.raises(scope.ScopeMissing) as caught:
        scope.check(tuple(scope.SCOPES), "madeTomorrow")
    assert caught.value.scope == ""


@pytest.mark.parametrize(
    ("held", "wanted", "lacks"),
    [
        ((), (), None),
        ((), ("users:read",), None),
        (("tokens:write", "users:read"), ("users:read",), None),
        (("tokens:write",), ("tokens:write",), None),
        (("tokens:write",), (), ""),
        (("tokens:write",), ("users:read",), "users:read"),
        (("tokens:write", "users:read"), ("users:read", "users:write"), "users:write"),
    ],
)
def test_a_token_has_to_do_with_those_that_may_no_more_than_it(held, wanted, lacks):
    if lacks is None:
        scope.check_within(held, wanted)
        return
    with pytest.raises(scope.ScopeMissing) as caught:
        scope.check_within(held, wanted)
    assert caught.value.scope == lacks


def test_scopes_are_kept_once_each_in_one_order():
    assert scope.in_order(["users:read", "sessions:read", "users:read"]) == ("sessions:read", "users:read")
    assert scope.in_order([]) == ()
    with pytest.raises(ValueError, match="no scope 'sessions:all'"):
        scope.in_order(["sessions:all"])
