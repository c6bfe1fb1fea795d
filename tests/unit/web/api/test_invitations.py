"""Invitations."""

from __future__ import annotations

import pytest

from vestibule.model import Identity

DAY_S = 86400


def make(api, **fields) -> dict:
    answer = api.call("POST", "/invitations", {"email": "bob@example.com"} | fields)
    assert answer.status == 201, answer.text
    return answer.json


def test_an_invitation_by_address(api):
    made = make(api, email="Bob@Example.COM", note="new colleague", expires_in=DAY_S)
    assert made == {
        "id": made["id"],
        "email": "bob@example.com",
        "issuer": "",
        "subject": "",
        "note": "new colleague",
        "state": "open",
        "created_at": "2027-01-15T08:00:00Z",
        "created_by": "socket",
        "expires_at": "2027-01-16T08:00:00Z",
        "used_at": None,
        "used_by": "",
    }
    assert api.call("GET", f"/invitations/{made['id']}").json == made
    assert api.changes == [("socket", "invitation.created", f"invitation {made['id']}")]


def test_an_invitation_of_an_account(api):
    body = {"issuer": "https://a.example", "subject": "7"}
    made = api.call("POST", "/invitations", body)
    assert (made.status, made.json["email"], made.json["subject"]) == (201, "", "7")


def test_it_is_good_for_a_week_when_nothing_is_said(api):
    assert make(api)["expires_at"] == "2027-01-22T08:00:00Z"


def test_the_end_may_be_a_time(api):
    assert make(api, expires_at="2027-01-15T10:00:00+01:00")["expires_at"] == "2027-01-15T09:00:00Z"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "email"),
        ({"email": ""}, "email"),
        ({"email": "bob"}, "email"),
        ({"email": "bob@a@b.example"}, "email"),
        ({"email": "bob @example.com"}, "email"),
        ({"email": "Bob <bob@example.com>"}, "email"),
        ({"email": "bob@example.com\n"}, "email"),
        ({"email": "bob@example.com", "issuer": "https://a", "subject": "1"}, "email"),
        ({"issuer": "https://a.example"}, "subject"),
        ({"subject": "1"}, "issuer"),
        ({"email": "bob@example.com", "expires_in": 0}, "expires_in"),
        ({"email": "bob@example.com", "expires_in": -5}, "expires_in"),
        ({"email": "bob@example.com", "expires_in": 10**12}, "expires_in"),
        ({"email": "bob@example.com", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"email": "bob@example.com", "expires_at": "2027-02-01T00:00:00"}, "expires_at"),
        ({"email": "bob@example.com", "expires_at": "2027-02-01T00:00:00Z", "expires_in": 60}, "expires_at"),
        ({"email": "bob@example.com", "created_by": "me"}, "created_by"),
    ],
    ids=repr,
)
def test_what_can_not_be_an_invitation(api, body, path):
    answer = api.call("POST", "/invitations", body)
    assert answer.status == 422
    assert answer.json["faults"][0]["path"] == path
    assert api.call("GET", "/invitations").json["items"] == []
    assert api.changes == []


@pytest.fixture
def three(api) -> dict[str, str]:
    """An invitation in each state, by state."""
    used = make(api, email="used@example.com")["id"]
    identity = Identity(client="google", issuer="https://a.example", subject="9", email="used@example.com")
    user = api.do(api.people.admit(identity, api.now))
    assert user is not None
    expired = make(api, email="late@example.com", expires_in=60)["id"]
    still = make(api, email="bob@example.com")["id"]
    api.now += DAY_S
    return {"used": used, "expired": expired, "open": still}


@pytest.mark.parametrize("state", ["open", "used", "expired"])
def test_a_filter_by_state(api, three, state):
    found = api.call("GET", f"/invitations?state={state}").json["items"]
    assert [(one["id"], one["state"]) for one in found] == [(three[state], state)]


def test_a_filter_by_address_and_no_filter(api, three):
    found = api.call("GET", "/invitations?email=LATE@example.com").json["items"]
    assert [one["id"] for one in found] == [three["expired"]]
    assert {one["id"] for one in api.call("GET", "/invitations").json["items"]} == set(three.values())


def test_a_short_page_of_used_ones_still_leads_to_the_next(api, three):
    found, cursor = [], ""
    while True:
        page = api.call("GET", f"/invitations?state=expired&limit=1&cursor={cursor}").json
        found += [one["id"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == [three["expired"]]


def test_who_used_it_is_told(api, three):
    used = api.call("GET", f"/invitations/{three['used']}").json
    (user,) = api.call("GET", "/users").json["items"]
    assert used["used_by"] == user["id"]
    assert used["used_at"] is not None


def test_a_withdrawn_one_is_gone(api, three):
    path = f"/invitations/{three['open']}"
    assert api.call("DELETE", path).status == 204
    assert api.call("DELETE", path).status == 404
    assert api.call("GET", path).status == 404
