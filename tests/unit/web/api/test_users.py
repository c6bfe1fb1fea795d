"""Users and identities."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.core.app_token import DAY_S, Wish
from vestibule.model import Account, Device


def listed(api, path: str) -> list[str]:
    """Ids over all pages."""
    found: list[str] = []
    page = api.call("GET", path)
    while True:
        assert page.status == 200, page.text
        found += [item["id"] for item in page.json["items"]]
        if page.json["next"] is None:
            return found
        page = api.call("GET", f"{path}{'&' if '?' in path else '?'}cursor={page.json['next']}")


def session(api, user) -> str:
    _, handle = api.do(
        api.sessions.start(
            host="app.example.com", user_id=user.id, identities=(), clients=(), device=Device(), now=api.now
        )
    )
    return handle


def test_a_user_with_all_identities(api):
    user = api.person(1, name="Alice", login="alice", email="alice@example.com")
    shown = api.call("GET", f"/users/{user.id}")
    assert shown.status == 200
    found = shown.json
    (identity,) = found.pop("identities")
    assert found == {
        "id": user.id,
        "name": "Alice",
        "login": "alice",
        "email": "alice@example.com",
        "disabled": False,
        "profile": {},
        "created_at": "2027-01-15T08:00:01Z",
        "seen_at": "2027-01-15T08:00:01Z",
    }
    assert (identity["issuer"], identity["subject"], identity["kind"]) == ("https://a.example", "1", "google")
    assert identity["user_id"] == user.id


def test_pages_hold_every_user_once_in_the_order_they_came(api):
    users = [api.person(number).id for number in range(7)]
    for limit in (1, 2, 3, 7, 200):
        assert listed(api, f"/users?limit={limit}") == users
    assert len(api.call("GET", "/users").json["items"]) == 7


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("email=P2@example.com", [2]),
        ("email=nobody@example.com", []),
        ("text=person", [1, 2, 3]),
        ("text=p3", [3]),
        ("text=%25", []),
        ("disabled=true", [3]),
        ("disabled=false", [1, 2]),
        ("disabled=false&text=p1", [1]),
    ],
)
def test_filters(api, query, found):
    users = {number: api.person(number).id for number in (1, 2, 3)}
    api.call("POST", f"/users/{users[3]}/block")
    assert listed(api, f"/users?limit=1&{query}") == [users[number] for number in found]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "?limit"),
        ("limit=201", "?limit"),
        ("limit=x", "?limit"),
        ("disabled=maybe", "?disabled"),
        ("offset=1", "?offset"),
        ("text=a%00b", "?text"),
        ("cursor=x", "?cursor"),
        ("email=" + "a" * 600, "?email"),
    ],
)
def test_a_query_that_can_not_be_taken(api, query, path):
    answer = api.call("GET", f"/users?{query}")
    assert (answer.status, answer.json["faults"][0]["path"]) == (422, path)


def test_what_is_not_known_is_called_what_it_is(api):
    (fault,) = api.call("GET", "/users?offset=1").json["faults"]
    assert fault["message"] == "there is no such parameter"
    (fault,) = api.call("PATCH", f"/users/{api.person(1).id}", {"colour": "red"}).json["faults"]
    assert fault["message"] == "there is no such member"


def test_a_cursor_is_good_for_its_own_list_and_filters_only(api):
    for number in range(3):
        api.person(number)
    cursor = api.call("GET", "/users?limit=1").json["next"]
    assert api.call("GET", f"/users?limit=2&cursor={cursor}").status == 200
    for path in (
        f"/users?text=x&cursor={cursor}",
        f"/identities?cursor={cursor}",
        f"/invitations?cursor={cursor}",
        f"/users?cursor={cursor[:-1]}",
        f"/users?cursor={cursor}A",
        f"/users?cursor={'A' if cursor[0] != 'A' else 'B'}{cursor[1:]}",
        f"/users?cursor={cursor[:50]}{'A' if cursor[50] != 'A' else 'B'}{cursor[51:]}",
    ):
        answer = api.call("GET", path)
        assert (answer.status, answer.json["faults"][0]["path"]) == (422, "?cursor"), path


def test_a_change_is_merged_and_survives_the_next_sign_in(api):
    user = api.person(1)
    path = f"/users/{user.id}"
    changed = api.call("PATCH", path, {"name": "New", "profile": {"team": "a", "room": "1"}})
    assert (changed.status, changed.json["name"]) == (200, "New")
    api.call("PATCH", path, {"profile": {"room": None, "desk": "2"}})
    shown = api.call("GET", path).json
    assert shown["profile"] | {"team": "a", "desk": "2"} == shown["profile"]
    assert "room" not in shown["profile"]
    api.person(1)
    assert api.call("GET", path).json["name"] == "New"
    assert ("socket", "user.updated", user.id) in api.changes


@pytest.mark.parametrize(
    "changes",
    [
        {"name": 1},
        {"nme": "x"},
        {"disabled": None},
        {"disabled": "yes"},
        {"id": "x"},
        {"email": "x@example.com"},
        {"profile": {"a": 1}},
        {"profile": {"a": {}}},
        {"profile": []},
        {"name": "a\u0000b"},
        {"name": "x" * 201},
        {"profile": {str(number): "x" for number in range(51)}},
        [],
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_change_that_can_not_be_taken_changes_nothing(api, changes):
    user = api.person(1)
    before = api.call("GET", f"/users/{user.id}").json
    assert api.call("PATCH", f"/users/{user.id}", changes).status == 422
    assert api.call("GET", f"/users/{user.id}").json == before
    assert api.changes == []


@pytest.mark.parametrize("by_patch", [False, True], ids=["block", "PATCH"])
def test_a_block_ends_the_sessions_at_once_and_an_unblock_lets_the_person_in_again(api, by_patch):
    user = api.person(1)
    handle = session(api, user)
    assert api.do(api.sessions.load(handle)) is not None
    path = f"/users/{user.id}"
    blocked = api.call("PATCH", path, {"disabled": True}) if by_patch else api.call("POST", f"{path}/block")
    assert (blocked.status, blocked.json["disabled"]) == (200, True)
    assert api.do(api.sessions.load(handle)) is None
    assert api.call("POST", f"{path}/unblock").json["disabled"] is False
    assert api.do(api.sessions.load(handle)) is None, "what was over stays over"
    assert [what for _, what, _ in api.changes] == ["user.blocked", "user.unblocked"]


def test_a_patch_to_what_is_already_so_ends_no_session(api):
    user = api.person(1)
    handle = session(api, user)
    assert api.call("PATCH", f"/users/{user.id}", {"disabled": False, "name": "New"}).status == 200
    assert api.do(api.sessions.load(handle)) is not None


def test_a_deleted_user_is_gone_with_sessions_and_identities(api):
    user = api.person(1)
    handle = session(api, user)
    assert api.call("DELETE", f"/users/{user.id}").status == 204
    assert api.do(api.sessions.load(handle)) is None
    assert api.call("GET", "/identities").json["items"] == []
    assert api.call("GET", f"/users/{user.id}").status == 404
    assert api.call("DELETE", f"/users/{user.id}").status == 404
    assert api.changes == [("socket", "user.deleted", user.id)]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/block"),
        ("POST", "/unblock"),
        ("GET", "/identities"),
        ("DELETE", "/identities/x"),
        ("GET", "/tokens"),
        ("DELETE", "/tokens/x"),
    ],
)
def test_nobody_is_404(api, method, path):
    value = {"name": "x"} if method == "PATCH" else None
    answer = api.call(method, f"/users/nobody{path}", value)
    assert (answer.status, answer.json["code"]) == (404, "not_found")


def minted(api, user, **more) -> str:
    wish = Wish(name="laptop", host="git.example.com", life_s=DAY_S, **more)
    token, _ = api.do(api.app_tokens.mint(user.id, wish, api.now))
    return token.id


def test_app_tokens_are_listed_without_themselves(api):
    user = api.person(1)
    token_id = minted(api, user, prefixes=("/alice/repo",), methods=("GET",))
    page = api.call("GET", f"/users/{user.id}/tokens")
    assert page.status == 200
    [token] = page.json["items"]
    assert token == {
        "id": token_id,
        "name": "laptop",
        "host": "git.example.com",
        "paths": ["/alice/repo"],
        "methods": ["GET"],
        "created_at": token["created_at"],
        "expires_at": token["expires_at"],
        "seen_at": None,
    }


def test_all_app_tokens_are_listed_with_whose_they_are_and_when_they_were_used(api):
    alice, bob = api.person(1), api.person(2)
    tokens = [minted(api, alice)]
    api.now += 1
    tokens.append(minted(api, bob))
    api.do(api.store.app_tokens.seen([(tokens[1], api.now)]))
    first = api.call("GET", "/app-tokens?limit=1").json
    [one] = first["items"]
    assert (one["id"], one["user_id"], one["person"], one["seen_at"]) == (
        tokens[0],
        alice.id,
        alice.email,
        None,
    )
    rest = api.call("GET", f"/app-tokens?limit=1&cursor={first['next']}").json
    assert [one["id"] for one in rest["items"]] == tokens[1:]
    assert rest["items"][0]["seen_at"] is not None
    assert rest["next"] is None
    assert "token" not in one


def test_an_app_token_is_revoked_for_its_user_only(api):
    alice, bob = api.person(1), api.person(2)
    token_id = minted(api, alice)
    assert api.call("DELETE", f"/users/{bob.id}/tokens/{token_id}").status == 404
    assert api.call("DELETE", f"/users/{alice.id}/tokens/{token_id}").status == 204
    assert api.call("GET", f"/users/{alice.id}/tokens").json["items"] == []
    assert api.changes == [("socket", "app_token.revoked", f"app token {token_id}")]


def second(api, user) -> None:
    account = Account(
        issuer="https://b.example",
        subject="b/1?#",
        user_id=user.id,
        client="okta",
        kind="oidc",
        created_at=api.now,
    )
    assert api.do(api.store.people.link(account))


def test_an_identity_is_taken_from_a_user_but_not_the_last(api):
    user = api.person(1)
    second(api, user)
    path = f"/users/{user.id}/identities"
    first, other = [identity["id"] for identity in api.call("GET", path).json["items"]]
    assert api.call("DELETE", f"{path}/{other}").status == 204
    assert api.call("DELETE", f"{path}/{other}").status == 404
    last = api.call("DELETE", f"{path}/{first}")
    assert (last.status, last.json["code"]) == (409, "last_account")
    assert [one["id"] for one in api.call("GET", path).json["items"]] == [first]
    assert api.changes == [("socket", "identity.removed", f"identity {other}")]


def test_an_identity_of_somebody_else_stays_theirs(api):
    alice, bob = api.person(1), api.person(2)
    second(api, bob)
    theirs = api.call("GET", f"/users/{bob.id}/identities").json["items"][0]["id"]
    assert api.call("DELETE", f"/users/{alice.id}/identities/{theirs}").status == 404
    assert len(api.call("GET", f"/users/{bob.id}/identities").json["items"]) == 2


def test_identities_are_listed_by_pages_and_filters(api):
    users = [api.person(number) for number in range(3)]
    second(api, replace(users[0]))
    everything = listed(api, "/identities?limit=1")
    assert len(everything) == len(set(everything)) == 4
    assert len(listed(api, f"/identities?limit=1&user={users[0].id}")) == 2
    assert len(listed(api, "/identities?limit=1&issuer=https://a.example")) == 3
    assert len(listed(api, "/identities?client=okta")) == 1
    assert listed(api, "/identities?client=none") == []
