"""Tokens with scopes: what they open, and what they can't get by themselves."""

from __future__ import annotations

import pytest

from vestibule.core.scope import NEEDED, SCOPES

PLACES = {
    "createSession": ("POST", "/sessions"),
    "listSessions": ("GET", "/sessions"),
    "endSessions": ("DELETE", "/sessions"),
    "introspectSession": ("POST", "/sessions/introspect"),
    "getSession": ("GET", "/sessions/x"),
    "updateSession": ("PATCH", "/sessions/x"),
    "endSession": ("DELETE", "/sessions/x"),
    "listUsers": ("GET", "/users"),
    "getUser": ("GET", "/users/x"),
    "updateUser": ("PATCH", "/users/x"),
    "deleteUser": ("DELETE", "/users/x"),
    "blockUser": ("POST", "/users/x/block"),
    "listIdentities": ("GET", "/identities"),
    "createInvitation": ("POST", "/invitations"),
    "listIdentityProviders": ("GET", "/identity-providers"),
    "createIdentityProvider": ("POST", "/identity-providers"),
    "listTokens": ("GET", "/tokens"),
    "explain": ("GET", "/explain"),
}


def token(api, *scopes: str, **more):
    made = api.call("POST", "/tokens", {"name": "service", "scopes": list(scopes), **more})
    assert made.status == 201, made.text
    return made.json


def by(api, bearer: str, method: str, path: str, value=None):
    more = [(b"authorization", f"Bearer {bearer}".encode())]
    return api.call(method, path, value, is_owner=False, address="127.0.0.1", more=more)


@pytest.mark.parametrize("operation", PLACES)
def test_without_the_scope_it_is_403_that_names_it(api, operation):
    method, path = PLACES[operation]
    others = [scope for scope in SCOPES if scope != NEEDED[operation]]
    answer = by(api, token(api, *others)["token"], method, path)
    assert (answer.status, answer.json["code"]) == (403, "scope_missing")
    assert NEEDED[operation] in answer.json["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == (
        f'Bearer realm="vestibule admin", error="insufficient_scope", scope="{NEEDED[operation]}"'
    )


@pytest.mark.parametrize("operation", PLACES)
def test_with_the_scope_it_is_answered(api, operation):
    method, path = PLACES[operation]
    answer = by(api, token(api, NEEDED[operation])["token"], method, path)
    assert answer.status in {200, 404, 422}, answer.text


def test_what_is_wrong_with_a_body_is_told_to_nobody_who_may_not_send_it(api):
    answer = by(api, token(api, "users:read")["token"], "POST", "/invitations", {"nonsense": True})
    assert answer.status == 403


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/openapi.json", 200),
        ("GET", "/nowhere", 404),
        ("PUT", "/users", 405),
        ("HEAD", "/users", 405),
    ],
)
def test_what_is_no_operation_is_answered_as_to_everybody(api, method, path, status):
    assert by(api, token(api, "audit:read")["token"], method, path).status == status


def test_scopes_are_listed_and_a_token_without_any_may_do_everything(api):
    made = token(api, "users:read", "sessions:read", "users:read")
    assert made["scopes"] == ["sessions:read", "users:read"]
    whole = token(api)
    assert whole["scopes"] == []
    listed = by(api, whole["token"], "GET", "/tokens").json["items"]
    assert {one["id"]: one["scopes"] for one in listed} == {
        made["id"]: ["sessions:read", "users:read"],
        whole["id"]: [],
    }


@pytest.mark.parametrize("scopes", [["sessions:all"], ["SESSIONS:READ"], [""], [7], "users:read", None])
def test_a_scope_that_there_is_none_of_is_422(api, scopes):
    assert api.call("POST", "/tokens", {"name": "x", "scopes": scopes}).status == 422


def test_a_token_gives_only_what_it_has(api):
    maker = token(api, "tokens:write", "sessions:read")["token"]
    made = by(api, maker, "POST", "/tokens", {"name": "a", "scopes": ["sessions:read"]})
    assert (made.status, made.json["scopes"]) == (201, ["sessions:read"])
    for scopes, lacks in ((["sessions:write"], "sessions:write"), ([], "")):
        answer = by(api, maker, "POST", "/tokens", {"name": "b", "scopes": scopes})
        assert (answer.status, answer.json["code"]) == (403, "scope_missing")
        assert (f'scope="{lacks}"' in answer.headers["www-authenticate"]) == bool(lacks)
    assert by(api, maker, "POST", "/tokens", {"name": "c"}).status == 403


def test_what_a_token_with_scopes_makes_does_not_outlast_it(api):
    maker = token(api, "tokens:write", expires_in=600)
    for asked in ({}, {"expires_in": 86400}):
        made = by(api, maker["token"], "POST", "/tokens", {"name": "a", "scopes": ["tokens:write"], **asked})
        assert made.json["expires_at"] == maker["expires_at"]
    short = {"name": "a", "scopes": ["tokens:write"], "expires_in": 60}
    assert by(api, maker["token"], "POST", "/tokens", short).json["expires_at"] < maker["expires_at"]


def test_a_token_with_scopes_ends_none_that_may_do_more(api):
    maker = token(api, "tokens:write", "users:read")["token"]
    whole, other, like = token(api), token(api, "users:write"), token(api, "users:read")
    for one in (whole, other):
        assert by(api, maker, "DELETE", f"/tokens/{one['id']}").json["code"] == "scope_missing"
    assert by(api, maker, "DELETE", f"/tokens/{like['id']}").status == 204
    assert by(api, maker, "DELETE", "/tokens/none").status == 404
