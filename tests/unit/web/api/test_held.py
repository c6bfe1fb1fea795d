"""Who holds what: tokens of the API, app tokens of people, keys of machines, in one list."""

from __future__ import annotations

import pytest

from tests.unit.web.api.desk import ApiDesk
from vestibule.core.app_token import Wish


def filled(api: ApiDesk) -> list[tuple[str, str, str]]:
    """Kind, id and holder of one of each, and one more, in the order they were made in."""
    found = []
    deploy = api.call("POST", "/tokens", {"name": "deploy", "scopes": ["sessions:read"]}).json
    found.append(("admin", deploy["id"], "sessions:read"))
    api.now += 1
    alice = api.person(1)
    wish = Wish(name="laptop", host="git.example.com", life_s=3600)
    token, _ = api.do(api.app_tokens.mint(alice.id, wish, api.now))
    found.append(("app", token.id, str(alice.email)))
    api.now += 1
    found.append(("machine", api.call("POST", "/machine-keys", {"machine": "backup"}).json["id"], "backup"))
    api.now += 1
    found.append(("admin", api.call("POST", "/tokens", {"name": "whole"}).json["id"], "everything"))
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 200])
def test_all_kinds_are_in_one_list_by_pages_the_oldest_first(api: ApiDesk, limit: int) -> None:
    expected = filled(api)
    found, cursor, pages = [], "", 0
    while pages < 10:
        page = api.call("GET", f"/held?limit={limit}&cursor={cursor}").json
        found += page["items"]
        pages += 1
        if page["next"] is None:
            break
        cursor = page["next"]
    assert [(one["kind"], one["id"], one["holder"]) for one in found] == expected
    assert pages == -(-len(expected) // limit)
    assert [one["user_id"] is not None for one in found] == [False, True, False, False]
    assert "vst_" not in str(found)


def test_nobody_holds_any(api: ApiDesk) -> None:
    assert api.call("GET", "/held").json == {"items": [], "next": None}


@pytest.mark.parametrize("missing", ["tokens:write", "users:read", "machines:write"])
def test_a_list_with_holes_is_not_told(api: ApiDesk, missing: str) -> None:
    scopes = sorted({"tokens:write", "users:read", "machines:write"} - {missing})
    made = api.call("POST", "/tokens", {"name": "some", "scopes": scopes}).json
    more = [(b"authorization", f"Bearer {made['token']}".encode())]
    answer = api.call("GET", "/held", is_owner=False, address="127.0.0.1", more=more)
    assert (answer.status, answer.json["code"]) == (403, "scope_missing")
    assert missing in answer.json["detail"]


def test_a_cursor_of_another_list_is_none(api: ApiDesk) -> None:
    filled(api)
    cursor = api.call("GET", "/held?limit=1").json["next"]
    assert api.call("GET", f"/app-tokens?limit=1&cursor={cursor}").status == 422
