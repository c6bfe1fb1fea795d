"""Keys of machines by the API: made and shown once, listed, ended."""

from __future__ import annotations

from tests.unit.web.api.desk import ApiDesk

KEYS = "/machine-keys"


def test_a_key_is_shown_once_listed_and_ended(api: ApiDesk) -> None:
    made = api.call("POST", KEYS, {"machine": "backup", "name": "nas", "expires_in": 3600})
    assert made.status == 201
    assert made.json["key"].startswith("vst_mk_")
    told = {name: value for name, value in made.json.items() if name != "key"}
    assert api.call("GET", KEYS).json == {"items": [told]}
    assert (told["machine"], told["name"], told["seen_at"]) == ("backup", "nas", None)
    assert api.call("DELETE", f"{KEYS}/{told['id']}").status == 204
    assert api.call("GET", KEYS).json == {"items": []}
    assert api.call("DELETE", f"{KEYS}/{told['id']}").status == 404
    assert [change[1] for change in api.changes] == ["machine_key.created", "machine_key.revoked"]
    assert made.json["key"] not in str(api.log)


def test_what_cant_be_made_is_told(api: ApiDesk) -> None:
    assert api.call("POST", KEYS, {"machine": "nobody"}).status == 404
    for wrong in ({"machine": ""}, {"machine": "backup", "expires_in": 0}, {"machine": "backup", "x": 1}):
        assert api.call("POST", KEYS, wrong).status == 422
    for _ in range(2):
        assert api.call("POST", KEYS, {"machine": "backup"}).status == 201
    refused = api.call("POST", KEYS, {"machine": "backup"})
    assert (refused.status, refused.json["code"]) == (409, "too_many_keys")
