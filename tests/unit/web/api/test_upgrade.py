"""`/upgrade`: answered when the other program serves, or with what went wrong."""

from __future__ import annotations

from tests.unit.web.api.desk import ApiDesk


def test_it_is_answered_when_the_other_program_serves(api: ApiDesk) -> None:
    done = api.call("POST", "/upgrade")
    assert (done.status, done.json) == (200, {"is_upgraded": True})


def test_what_went_wrong_is_told(api: ApiDesk) -> None:
    api.upgrade_faults = ("v.hcl:3:1: `htp` is not known here", "and more")
    refused = api.call("POST", "/upgrade")
    assert (refused.status, refused.json["code"]) == (422, "not_upgraded")
    assert "v.hcl:3:1" in str(refused.json)
