"""Every change that is made by the API is told: who, what, to whom, what was before and what is after; no secret."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.unit.web.api.desk import OKTA, ApiDesk
from vestibule.core.event import Event
from vestibule.store.base_events import AuditFilter


def last(api: ApiDesk) -> Event:
    found: tuple[Event, ...] = api.do(api.store.audit.list(AuditFilter()))
    return found[0]


def told(api: ApiDesk) -> tuple[str, str, str, dict[str, Any]]:
    event = last(api)
    assert (event.actor, event.request_id, event.outcome) == ("socket", "req-0123", "ok")
    return event.action, event.target, event.user_id, event.detail


def done(api: ApiDesk, method: str, path: str, value: Any = None, **options: Any) -> Any:
    api.now += 1
    answer = api.call(method, path, value, **options)
    assert answer.status < 300, answer.text
    return answer.json if answer.body else None


def test_a_changed_person_is_told_as_they_were_and_are(api):
    user = api.person(name="Alice")
    done(api, "PATCH", f"/users/{user.id}", {"profile": {"team": "red"}})
    assert told(api) == (
        "user.updated",
        "",
        user.id,
        {"before": {"profile": {}}, "after": {"profile": {"team": "red"}}},
    )


@pytest.mark.parametrize(
    ("verb", "action", "was"), [("block", "user.blocked", False), ("unblock", "user.unblocked", True)]
)
def test_a_person_who_is_blocked_or_let_in_again_is_told(api, verb, action, was):
    user = api.person()
    if was:
        done(api, "POST", f"/users/{user.id}/block")
    done(api, "POST", f"/users/{user.id}/{verb}")
    detail = {"before": {"disabled": was}, "after": {"disabled": not was}}
    assert told(api) == (action, "", user.id, detail)


def test_a_deleted_person_is_told_as_they_were(api):
    user = api.person(email="p1@example.com")
    done(api, "DELETE", f"/users/{user.id}")
    action, _, user_id, detail = told(api)
    assert (action, user_id, detail["before"]["email"]) == ("user.deleted", user.id, "p1@example.com")
    assert "after" not in detail


def test_invitations_are_told(api):
    made = done(api, "POST", "/invitations", {"email": "bob@example.com", "note": "new"})
    kept = {"email": "bob@example.com", "issuer": "", "subject": "", "note": "new"}
    assert told(api) == ("invitation.created", f"invitation {made['id']}", "", {"after": kept})
    done(api, "DELETE", f"/invitations/{made['id']}")
    assert told(api) == ("invitation.withdrawn", f"invitation {made['id']}", "", {"before": kept})


def test_tokens_are_told_but_not_themselves(api):
    made = done(api, "POST", "/tokens", {"name": "deploy", "scopes": ["users:read"]})
    kept = {"name": "deploy", "scopes": ["users:read"], "expires_at": None}
    assert told(api) == ("token.created", f"token {made['id']}", "", {"after": kept})
    done(api, "DELETE", f"/tokens/{made['id']}")
    assert told(api) == ("token.revoked", f"token {made['id']}", "", {"before": kept})
    assert made["token"] not in everything(api)


def test_of_a_provider_settings_are_told_and_that_secrets_were_written(api):
    done(api, "POST", "/identity-providers", OKTA)
    action, target, _, detail = told(api)
    assert (action, target) == ("provider.created", "provider okta")
    assert detail["secrets_written"] == ["openid_config.client_secret"]
    assert detail["after"]["openid_config.client_id"] == "0oa1"
    patch = {"title": "Okta", "openid_config": {"client_secret": "another-s3cret"}}
    done(api, "PATCH", "/identity-providers/okta", patch)
    assert told(api)[3] == {"after": {"title": "Okta"}, "secrets_written": ["openid_config.client_secret"]}
    done(api, "POST", "/identity-providers/okta/disable")
    assert told(api)[::3] == ("provider.disabled", {"before": {"enabled": True}, "after": {"enabled": False}})
    done(api, "POST", "/identity-providers/okta/enable")
    assert told(api)[0] == "provider.enabled"
    done(api, "DELETE", "/identity-providers/okta")
    assert told(api)[:2] == ("provider.deleted", "provider okta")
    assert "s3cret" not in everything(api)


def everything(api: ApiDesk) -> str:
    """All that was told, in the trail and in the log."""
    events = api.do(api.store.audit.list(AuditFilter(limit=1000)))
    return msgspec.json.encode(events).decode() + api.written.getvalue()


def test_the_log_says_what_changed_and_not_from_what_to_what(api):
    user = api.person(name="Alice")
    done(api, "PATCH", f"/users/{user.id}", {"name": "Zelda"})
    (line,) = (one for one in api.log if one["event"] == "user.updated")
    assert "name" in line["detail_changed"]
    assert (line["actor"], line["user"]) == ("socket", user.id)
    assert "Zelda" not in api.written.getvalue()


def test_what_changed_nothing_for_it_failed_is_not_told(api):
    assert api.call("DELETE", "/identity-providers/okta").status == 404
    assert api.call("POST", "/users/nobody/block").status == 404
    assert api.do(api.store.audit.list(AuditFilter())) == ()
