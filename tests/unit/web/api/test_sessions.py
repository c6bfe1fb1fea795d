"""`/sessions`: made, read, changed, ended, and whose one is."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from tests.unit.web.api.desk import RING
from vestibule.core import session_token
from vestibule.core.attributes import MAX_BYTES
from vestibule.core.lifetimes import USUAL
from vestibule.errors import StoreError
from vestibule.model import Device
from vestibule.protocol import base64url
from vestibule.service.steward import WRONG_MAX
from vestibule.web.api.shape import moment

HOST = "app.example.com"


def make(api, user, **more):
    answer = api.call("POST", "/sessions", {"user_id": user.id, "host": HOST, **more})
    assert answer.status == 201, answer.text
    return answer.json


def patch(api, session_id, value, if_match="*"):
    headers = {"if-match": if_match} if if_match else {}
    return api.call("PATCH", f"/sessions/{session_id}", value, headers=headers)


def introspect(api, bearer, **more):
    answer = api.call("POST", "/sessions/introspect", {"bearer": bearer, **more})
    assert answer.status == 200, answer.text
    return answer.json


def faults(answer):
    assert answer.status == 422, answer.text
    return [fault["path"] for fault in answer.json["faults"]]


# -- made -------------------------------------------------------------------------------------


def test_a_session_is_made_for_a_person_and_its_bearer_is_told_once(api):
    alice = api.person()
    device = {"user_agent": "Shop/2", "address": "192.0.2.7"}
    answer = api.call(
        "POST",
        "/sessions",
        {"user_id": alice.id, "host": HOST, "attributes": {"cart": [7]}, "device": device},
    )
    made = answer.json
    assert answer.status == 201
    assert answer.headers["location"] == f"/api/v1/sessions/{made['id']}"
    assert answer.headers["etag"] == '"0"'
    bearer = made.pop("bearer")
    assert made == api.call("GET", f"/sessions/{made['id']}").json
    assert made | {"id": "", "created_at": "", "seen_at": "", "expires_at": ""} == {
        "id": "",
        "user_id": alice.id,
        "host": HOST,
        "created_at": "",
        "seen_at": "",
        "expires_at": "",
        "idle_timeout": USUAL.idle_s,
        "attributes": {"cart": [7]},
        "device": device,
        "providers": ["google"],
        "parent_id": "",
        "made_by": "socket",
        "version": 0,
    }
    session = api.do(api.sessions.load(bearer))
    assert (session.id, session.user_id, session.device) == (
        made["id"],
        alice.id,
        Device(user_agent="Shop/2", address="192.0.2.7"),
    )
    assert api.changes == [("socket", "session.created", made["id"])]
    assert bearer not in api.written.getvalue()


@pytest.mark.parametrize("user_agent", ["x" * 501, "a\tb", "\x7f"], ids=["long", "with a tab", "a control"])
def test_no_user_agent_keeps_a_session_out_of_the_lists(api, user_agent):
    """Threat: who stole an account signs in with one, and nobody who looks sees their session."""
    alice = api.person()
    made = make(api, alice)
    odd = Device(user_agent=user_agent)
    api.do(api.sessions.update(made["id"], lambda session: replace(session, device=odd)))
    (shown,) = api.call("GET", f"/sessions?user_id={alice.id}").json["items"]
    assert shown["device"]["user_agent"] == user_agent
    assert api.call("GET", f"/sessions/{made['id']}").status == 200
    assert patch(api, made["id"], {"attributes": {"a": 1}}).status == 200


def test_it_is_known_by_what_providers_said_and_is_no_fresh_sign_in(api):
    alice = api.person(groups=("staff",))
    session = api.do(api.sessions.load(make(api, alice)["bearer"]))
    (identity,) = session.identities
    assert (identity.client, identity.subject, identity.groups) == ("google", "1", ("staff",))
    assert (session.signed_in_at, session.clients) == (0.0, ())


def test_a_token_s_name_says_who_made_it(api):
    alice = api.person()
    bearer = api.call("POST", "/tokens", {"name": "shop", "scopes": ["sessions:write"]}).json["token"]
    made = api.call(
        "POST",
        "/sessions",
        {"user_id": alice.id, "host": HOST},
        is_owner=False,
        address="127.0.0.1",
        headers={"authorization": f"Bearer {bearer}"},
    )
    assert (made.status, made.json["made_by"]) == (201, "shop")


def test_no_answer_but_the_first_has_a_handle_a_hash_or_a_token(api):
    alice = api.person()
    made = make(api, alice)
    digest = api.do(api.sessions.by_id(made["id"]))
    answers = [
        api.call("GET", f"/sessions?user_id={alice.id}"),
        api.call("GET", f"/sessions/{made['id']}"),
        patch(api, made["id"], {"attributes": {"a": 1}}),
        api.call("POST", "/sessions/introspect", {"bearer": made["bearer"]}),
        api.call("DELETE", f"/sessions?user_id={alice.id}"),
    ]
    assert digest is not None
    assert [answer.status for answer in answers] == [200] * 5
    assert not any(made["bearer"] in answer.text or "bearer" in answer.text for answer in answers)


def test_as_a_token_it_says_nothing_of_the_person(api):
    alice = api.person()
    made = make(api, alice, form="jwt", attributes={"cart": 7})
    token = made["bearer"].encode()
    handle = session_token.read(RING, token, domain=HOST)
    assert api.do(api.sessions.load(handle)).id == made["id"]
    assert session_token.read(RING, token, domain="other.example.com") is None
    claims = json.loads(base64url.decode(token.split(b".")[1].decode()))
    assert claims.keys() == {"aud", "sid", "iat", "exp"}
    assert introspect(api, made["bearer"])["id"] == made["id"]


def test_it_lasts_as_long_as_is_asked_and_no_longer_than_is_configured(api):
    alice = api.person()
    made = make(api, alice, expires_in=60, idle_timeout=30)
    session = api.do(api.sessions.by_id(made["id"]))
    assert (session.expires_at, session.idle_s) == (api.now + 60, 30)
    longest = make(api, alice)
    session = api.do(api.sessions.by_id(longest["id"]))
    assert (session.expires_at, session.idle_s) == (api.now + USUAL.absolute_s, USUAL.idle_s)
    asked = {"expires_in": int(USUAL.absolute_s) + 1, "idle_timeout": int(USUAL.idle_s) + 1}
    refused = api.call("POST", "/sessions", {"user_id": alice.id, "host": HOST, **asked})
    assert faults(refused) == ["expires_in", "idle_timeout"]


def test_of_nobody_there_is_none(api):
    answer = api.call("POST", "/sessions", {"user_id": "nobody", "host": HOST})
    assert (answer.status, answer.json["code"]) == (404, "not_found")


def test_of_somebody_who_is_blocked_there_is_none(api):
    alice = api.person()
    api.call("POST", f"/users/{alice.id}/block")
    answer = api.call("POST", "/sessions", {"user_id": alice.id, "host": HOST})
    assert (answer.status, answer.json["code"]) == (409, "user_disabled")


def test_where_no_provider_of_the_host_vouches_for_them_there_is_none(api):
    alice = api.person()
    answer = api.call("POST", "/sessions", {"user_id": alice.id, "host": "other.example.com"})
    assert (answer.status, answer.json["code"]) == (409, "not_vouched")


@pytest.mark.parametrize(
    "host", ["nowhere.example", "APP.example.com", "serving:app", "app.example.com:80", "ä"]
)
def test_a_host_that_is_not_there_is_422(api, host):
    answer = api.call("POST", "/sessions", {"user_id": api.person().id, "host": host})
    assert faults(answer) == ["host"]


@pytest.mark.parametrize(
    ("attributes", "path"),
    [
        ({"a": "x" * MAX_BYTES}, "attributes"),
        ({"a" * 65: 1}, "attributes"),
        ({"a b": 1}, "attributes"),
        ({"a": json.loads("[" * 40 + "]" * 40)}, "attributes"),
        ([], "attributes"),
        ("x", "attributes"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_attributes_are_bounded(api, attributes, path):
    asked = {"user_id": api.person().id, "host": HOST, "attributes": attributes}
    found = faults(api.call("POST", "/sessions", asked))
    assert all(one.startswith(path) for one in found)


# -- read -------------------------------------------------------------------------------------


def test_sessions_are_listed_the_newest_first_page_by_page(api):
    alice, bob = api.person(1), api.person(2)
    made = []
    for number in range(250):
        api.now += number % 2  # pairs begin at one time
        made.append(make(api, alice)["id"])
    make(api, bob)
    found, cursor = [], ""
    while True:
        page = api.call("GET", f"/sessions?user_id={alice.id}&limit=99&cursor={cursor}").json
        found += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = page["next"]
        if len(found) == 99:
            make(api, alice)  # what begins meanwhile moves nothing
            api.call("DELETE", f"/sessions/{found[0]}")
    assert len(found) == 250
    assert sorted(found) == sorted(made)
    starts = [(made.index(one) + 1) // 2 for one in found]
    assert starts == sorted(starts, reverse=True)


def test_a_list_is_of_one_person_and_of_one_host_where_that_is_asked(api):
    assert faults(api.call("GET", "/sessions")) == ["?user_id"]
    assert faults(api.call("GET", "/sessions?user_id=")) == ["?user_id"]
    alice = api.person()
    made = make(api, alice)
    assert api.call("GET", "/sessions?user_id=nobody").json == {"items": [], "next": None}
    for host, ids in ((HOST, [made["id"]]), ("other.example.com", [])):
        listed = api.call("GET", f"/sessions?user_id={alice.id}&host={host}").json["items"]
        assert [one["id"] for one in listed] == ids


def test_a_cursor_of_another_person_s_list_is_refused(api):
    alice, bob = api.person(1), api.person(2)
    make(api, alice), make(api, alice)
    cursor = api.call("GET", f"/sessions?user_id={alice.id}&limit=1").json["next"]
    assert faults(api.call("GET", f"/sessions?user_id={bob.id}&limit=1&cursor={cursor}")) == ["?cursor"]


def test_one_that_has_ended_is_404(api):
    made = make(api, api.person(), expires_in=60)
    api.now += 60
    assert api.call("GET", f"/sessions/{made['id']}").json["code"] == "not_found"
    assert api.call("GET", "/sessions/none").status == 404


def test_a_sign_in_s_session_is_there_too(api):
    alice = api.person()
    session, handle = api.do(
        api.sessions.start(
            host=HOST, user_id=alice.id, identities=(), clients=("google",), device=Device(), now=api.now
        )
    )
    shown = api.call("GET", f"/sessions/{session.id}").json
    assert (shown["made_by"], shown["user_id"]) == ("", alice.id)
    assert introspect(api, handle)["id"] == session.id


# -- changed ----------------------------------------------------------------------------------


def test_attributes_are_merged_and_the_etag_moves_on(api):
    made = make(api, api.person(), attributes={"cart": 7, "seen": {"a": 1, "b": 2}})
    answer = patch(api, made["id"], {"attributes": {"cart": None, "seen": {"a": None}, "new": True}}, '"0"')
    assert (answer.status, answer.headers["etag"]) == (200, '"1"')
    assert answer.json["attributes"] == {"seen": {"b": 2}, "new": True}
    again = api.call("GET", f"/sessions/{made['id']}")
    assert (again.json, again.headers["etag"]) == (answer.json, '"1"')
    assert patch(api, made["id"], {"attributes": None}).json["attributes"] == {}
    assert [what for _, what, _ in api.changes][1:] == ["session.updated", "session.updated"]


def test_of_two_writers_who_read_the_same_one_is_told(api):
    made = make(api, api.person())
    assert patch(api, made["id"], {"attributes": {"a": 1}}, '"0"').status == 200
    late = patch(api, made["id"], {"attributes": {"a": 2}}, '"0"')
    assert (late.status, late.json["code"]) == (412, "changed")
    assert api.call("GET", f"/sessions/{made['id']}").json["attributes"] == {"a": 1}


def test_without_if_match_it_is_428_and_a_star_is_any_version(api):
    made = make(api, api.person())
    answer = patch(api, made["id"], {"attributes": {"a": 1}}, "")
    assert (answer.status, answer.json["code"]) == (428, "if_match_required")
    assert patch(api, made["id"], {"attributes": {"a": 1}}, "*").status == 200
    assert patch(api, made["id"], {"attributes": {"a": 1}}, "1").status == 422


def test_a_hosts_sessions_are_listed_whosever_they_are(api):
    alice, bob = api.person(1), api.person(2)
    made = []
    for whose in (alice, bob, alice):
        made.append(make(api, whose)["id"])
        api.now += 1
    host = api.call("GET", f"/sessions/{made[0]}").json["host"]
    first = api.call("GET", f"/sessions?host={host}&limit=2").json
    assert [one["id"] for one in first["items"]] == made[:0:-1]
    rest = api.call("GET", f"/sessions?host={host}&limit=2&cursor={first['next']}").json
    assert ([one["id"] for one in rest["items"]], rest["next"]) == ([made[0]], None)
    assert faults(api.call("GET", f"/sessions?host=b.{host}&cursor={first['next']}")) == ["?cursor"]
    theirs = api.call("GET", f"/sessions?host={host}&user_id={bob.id}").json
    assert [one["id"] for one in theirs["items"]] == [made[1]]
    assert api.call("GET", "/sessions?host=other.example.com").json == {"items": [], "next": None}


def test_it_counts_as_no_change_that_it_was_used(api):
    made = make(api, api.person())
    api.now += 600
    assert introspect(api, made["bearer"], touch=True)["version"] == 0
    api.do(api.sessions.flush())
    assert patch(api, made["id"], {"attributes": {"a": 1}}, '"0"').status == 200


def at(api, seconds: float) -> str:
    return moment(api.now + seconds).isoformat()


def test_its_end_is_moved_to_what_is_configured_at_most(api):
    made = make(api, api.person(), expires_in=60)
    longest = USUAL.absolute_s
    assert patch(api, made["id"], {"expires_at": at(api, longest)}).status == 200
    api.now += 61
    assert api.call("GET", f"/sessions/{made['id']}").status == 200
    assert faults(patch(api, made["id"], {"expires_at": at(api, longest)})) == ["expires_at"]
    assert faults(patch(api, made["id"], {"expires_at": at(api, 0)})) == ["expires_at"]
    assert faults(patch(api, made["id"], {"expires_at": "2026-11-22T05:14:00"})) == ["expires_at"]
    assert faults(patch(api, made["id"], {"expires_at": None})) == ["expires_at"]
    shorter = patch(api, made["id"], {"expires_at": at(api, 5)})
    assert shorter.json["expires_at"] == at(api, 5).replace("+00:00", "Z")
    api.now += 5
    assert introspect(api, made["bearer"]) == {"active": False}


def test_what_can_t_be_kept_changes_nothing(api):
    made = make(api, api.person(), attributes={"a": 1})
    for value in ({"attributes": {"b": "x" * MAX_BYTES}}, {"attributes": {"a b": 1}}, {"user_id": "x"}):
        assert patch(api, made["id"], value).status == 422
    assert api.call("GET", f"/sessions/{made['id']}").json["version"] == 0


def test_what_is_not_there_can_t_be_changed(api):
    assert patch(api, "none", {"attributes": {}}).status == 404


# -- ended ------------------------------------------------------------------------------------


def test_one_is_ended_at_once(api):
    alice = api.person()
    made, other = make(api, alice), make(api, alice)
    assert introspect(api, made["bearer"])["active"]
    assert api.call("DELETE", f"/sessions/{made['id']}").status == 204
    assert introspect(api, made["bearer"]) == {"active": False}
    assert introspect(api, other["bearer"])["active"]
    assert api.call("DELETE", f"/sessions/{made['id']}").status == 404


def test_its_provider_is_told_of_one_that_is_ended(api):
    told = []

    async def before_end(session, now, *, for_good):
        told.append((session.id, for_good))
        return ()

    api.people.before_end(before_end)
    made = make(api, api.person())
    api.call("DELETE", f"/sessions/{made['id']}")
    assert told == [(made["id"], False)]


def test_somebody_is_signed_out_everywhere(api):
    alice, bob = api.person(1), api.person(2)
    bearers = [make(api, alice)["bearer"] for _ in range(3)]
    other = make(api, bob)["bearer"]
    assert api.call("DELETE", f"/sessions?user_id={alice.id}").json == {"ended": 3}
    assert [introspect(api, one)["active"] for one in (*bearers, other)] == [False] * 3 + [True]
    assert api.call("DELETE", f"/sessions?user_id={alice.id}").json == {"ended": 0}
    assert faults(api.call("DELETE", "/sessions")) == ["?user_id"]
    assert ("socket", "session.revoked_all", alice.id) in api.changes


def test_who_is_blocked_has_none(api):
    alice = api.person()
    made = make(api, alice)
    api.call("POST", f"/users/{alice.id}/block")
    assert introspect(api, made["bearer"]) == {"active": False}
    assert api.call("GET", f"/sessions/{made['id']}").status == 404


# -- whose it is ------------------------------------------------------------------------------


def test_whose_a_bearer_is(api):
    made = make(api, api.person(), attributes={"cart": 7})
    expected = ("id", "user_id", "host", "created_at", "seen_at", "expires_at", "attributes", "version")
    assert introspect(api, made["bearer"]) == {"active": True, **{name: made[name] for name in expected}}


@pytest.mark.parametrize("form", ["handle", "jwt"])
@pytest.mark.parametrize("change", ["cut", "last", "case", "space"])
def test_what_is_no_bearer_is_inactive(api, form, change):
    bearer = make(api, api.person(), form=form)["bearer"]
    wrong = {
        "cut": bearer[:-1],
        "last": bearer[:-2] + ("AA" if not bearer.endswith("AA") else "BB"),
        "case": bearer.swapcase(),
        "space": f" {bearer}",
    }[change]
    assert introspect(api, wrong) == {"active": False}


@pytest.mark.parametrize("bearer", ["", "x", "x" * 43, "a.b.c", "ä" * 43, "\x00", "x" * 2000], ids=ascii)
def test_any_text_is_inactive(api, bearer):
    assert introspect(api, bearer) == {"active": False}


def test_the_id_is_no_bearer(api):
    assert introspect(api, make(api, api.person())["id"]) == {"active": False}


def test_a_token_for_another_host_is_inactive(api):
    made = make(api, api.person())
    token = session_token.write(
        RING, made["bearer"], domain="other.example.com", now=api.now, expires_at=api.now + 60
    )
    assert introspect(api, token) == {"active": False}


def test_asking_counts_as_use_only_where_that_is_said(api):
    made = make(api, api.person(), idle_timeout=120)
    api.now += 100
    assert introspect(api, made["bearer"], touch=True)["seen_at"] > made["seen_at"]
    api.now += 100
    assert introspect(api, made["bearer"])["active"]
    api.now += 20
    assert introspect(api, made["bearer"]) == {"active": False}


def test_who_asks_about_wrong_ones_makes_no_service_of_the_same_name_wait(api):
    """Threat: a token that is called as another service's is, by who may make tokens with its scopes."""

    def ask(bearer):
        headers = {"authorization": f"Bearer {bearer}"}
        wrong = {"bearer": "a" * 43}
        return api.call("POST", "/sessions/introspect", wrong, is_owner=False, address="::1", headers=headers)

    shop, copy = (
        api.call("POST", "/tokens", {"name": "shop", "scopes": ["sessions:introspect"]}).json for _ in "12"
    )
    for _ in range(WRONG_MAX):
        api.steward._tries.add(copy["id"], api.now)
    assert (ask(copy["token"]).status, ask(shop["token"]).status) == (429, 200)


def test_who_asks_about_wrong_ones_without_end_waits_and_good_ones_are_answered(api, monkeypatch):
    good, unread = make(api, api.person(1))["bearer"], make(api, api.person(2))["bearer"]
    assert introspect(api, good)["active"]
    for number in range(WRONG_MAX - 1):
        api.steward._tries.add("socket", api.now + number / WRONG_MAX)
    assert introspect(api, "w" * 43) == {"active": False}
    wrong = api.call("POST", "/sessions/introspect", {"bearer": "x" * 43})
    assert (wrong.status, wrong.json["code"], wrong.headers["retry-after"]) == (429, "too_many_tries", "60")
    assert introspect(api, good)["active"]
    api.now += 61
    assert introspect(api, unread)["active"]


def test_the_same_wrong_one_again_and_again_asks_the_store_once(api, monkeypatch):
    asked = []
    load = api.sessions.load

    async def counted(handle):
        asked.append(handle)
        return await load(handle)

    monkeypatch.setattr(api.sessions, "load", counted)
    for _ in range(5):
        assert introspect(api, "x" * 43) == {"active": False}
    assert len(asked) == 1


def test_a_store_that_is_away_is_503_and_nobody_is_called_inactive(api, monkeypatch):
    async def away(*args, **more):
        raise StoreError("The store can't be reached just now.")

    made = make(api, api.person())
    monkeypatch.setattr(api.store.sessions, "by_handle", away)
    answer = api.call("POST", "/sessions/introspect", {"bearer": made["bearer"]})
    assert (answer.status, answer.json["code"]) == (503, "store_unavailable")


def test_what_was_said_of_the_person_is_looked_at_anew_each_hour(api):
    alice = api.person(groups=("staff",))
    made = make(api, alice)
    api.person(1, groups=("guests",))
    api.now += USUAL.restriction_s
    assert introspect(api, made["bearer"], touch=True)["active"]
    (identity,) = api.do(api.sessions.by_id(made["id"])).identities
    assert identity.groups == ("guests",)
