"""Tokens of organisations' directories by the API: made and shown once, listed, ended; and who is who."""

from __future__ import annotations

import pytest

from tests.unit.web.api.desk import ApiDesk

PLACE = "/orgs/acme/directory"
TOKENS = f"{PLACE}/tokens"


@pytest.fixture(autouse=True)
def acme(api: ApiDesk) -> None:
    for slug in ("acme", "beta"):
        assert api.call("POST", "/orgs", {"slug": slug, "name": slug}).status == 201


def test_a_token_is_shown_once_listed_and_ended(api: ApiDesk) -> None:
    made = api.call("POST", TOKENS, {"name": "Okta", "expires_in": 3600})
    assert made.status == 201
    assert made.json["token"].startswith("vst_scim_")
    told = {name: value for name, value in made.json.items() if name != "token"}
    assert api.call("GET", TOKENS).json == {"items": [told]}
    assert api.call("GET", "/orgs/beta/directory/tokens").json == {"items": []}
    assert api.call("DELETE", f"/orgs/beta/directory/tokens/{told['id']}").status == 404
    assert api.call("DELETE", f"{TOKENS}/{told['id']}").status == 204
    assert api.call("DELETE", f"{TOKENS}/{told['id']}").status == 404
    assert api.call("GET", TOKENS).json == {"items": []}
    changes = [change[1] for change in api.changes]
    assert changes[-2:] == ["directory.token_created", "directory.token_revoked"]
    assert made.json["token"] not in str(api.log)


def test_what_cant_be_made_is_told(api: ApiDesk) -> None:
    assert api.call("POST", "/orgs/nobody/directory/tokens", {}).status == 404
    for wrong in ({"name": "x" * 101}, {"expires_in": 0}, {"x": 1}):
        assert api.call("POST", TOKENS, wrong).status == 422
    for _ in range(2):
        assert api.call("POST", TOKENS, {}).status == 201
    refused = api.call("POST", TOKENS, {})
    assert (refused.status, refused.json["code"]) == (409, "too_many_tokens")
    assert api.call("POST", "/orgs/beta/directory/tokens", {}).status == 201


def test_the_rule_is_the_organisations(api: ApiDesk) -> None:
    assert api.call("GET", PLACE).json == {"join_by": "subject"}
    assert api.call("PUT", PLACE, {"join_by": "user_name"}).json == {"join_by": "user_name"}
    assert api.call("GET", PLACE).json == {"join_by": "user_name"}
    assert api.call("GET", "/orgs/beta/directory").json == {"join_by": "subject"}
    assert api.call("PUT", PLACE, {"join_by": "email"}).status == 422
    assert api.call("GET", "/orgs/nobody/directory").status == 404
