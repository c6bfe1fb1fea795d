"""What becomes of an app's authorization request."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.core.app import App, Apps
from vestibule.core.authorize import Back, Confirm, Give, Refuse, SignIn, audience, next_step
from vestibule.model import Session
from vestibule.protocol.authorization_server import AuthorizationRequest

NOW = 1_800_000_000.0
LINK, OWN = "https://forum.example.com/app", "com.example.forum:/callback"
IOS = App(
    id="ios", hosts=("forum.example.com", "api.example.com"), redirects=(LINK, OWN), scopes=("read", "write")
)
APPS = Apps.of(
    (IOS, App(id="ci", hosts=("api.example.com",), redirects=(LINK,), grants=frozenset({"credentials"})))
)
HOSTS = ("forum.example.com", "api.example.com")
ASKED = AuthorizationRequest(
    client_id="ios", redirect_uri=LINK, response_type="code", challenge="c" * 43, challenge_method="S256"
)
ANN = Session(
    id="s",
    host="auth.example.com",
    user_id="u1",
    created_at=NOW,
    seen_at=NOW,
    expires_at=NOW + 9,
    idle_s=9.0,
    signed_in_at=NOW,
)
GIVEN = Give(IOS, "forum.example.com", ("read", "write"))
ASK_FIRST = Confirm(IOS, "forum.example.com", ("read", "write"))


@pytest.mark.parametrize(
    ("more", "step"),
    [
        ({}, GIVEN),
        ({"scopes": ("read",)}, Give(IOS, "forum.example.com", ("read",))),
        ({"resource": "api.example.com"}, Give(IOS, "api.example.com", ("read", "write"))),
        ({"resource": "https://api.example.com/v1"}, Give(IOS, "api.example.com", ("read", "write"))),
        ({"redirect_uri": OWN}, ASK_FIRST),
        ({"prompt": "consent"}, ASK_FIRST),
        ({"prompt": "none", "redirect_uri": OWN}, Back("consent_required")),
        ({"prompt": "login"}, SignIn(anew=True)),
        ({"client_id": "nobody"}, Refuse("app_unknown")),
        ({"client_id": ""}, Refuse("app_unknown")),
        ({"redirect_uri": "https://evil.example/"}, Refuse("redirect_unknown")),
        ({"redirect_uri": ""}, Refuse("redirect_unknown")),
    ],
)
def test_for_somebody_who_is_signed_in(more, step):
    assert next_step(replace(ASKED, **more), APPS, hosts=HOSTS, session=ANN) == step


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": ""}, "unsupported_response_type"),
        ({"challenge": ""}, "invalid_request"),
        ({"challenge": "c" * 42}, "invalid_request"),
        ({"challenge": "c" * 42 + "="}, "invalid_request"),
        ({"challenge_method": "plain"}, "invalid_request"),
        ({"challenge_method": ""}, "invalid_request"),
        ({"scopes": ("read", "admin")}, "invalid_scope"),
        ({"scopes": ("",)}, "invalid_scope"),
        ({"resource": "https://evil.example"}, "invalid_target"),
        ({"resource": "https://forum.example.com@evil.example"}, "invalid_target"),
        ({"client_id": "ci"}, "unauthorized_client"),
        ({"prompt": "surprise"}, "invalid_request"),
        ({"fault": "state is too long"}, "invalid_request"),
    ],
)
def test_an_app_is_told_what_is_wrong(more, code):
    for session in (ANN, None):
        step = next_step(replace(ASKED, **more), APPS, hosts=HOSTS, session=session)
        assert isinstance(step, Back)
        assert step.code == code


def test_nobody_signs_in_first():
    assert next_step(ASKED, APPS, hosts=HOSTS, session=None) == SignIn()
    assert next_step(ASKED, APPS, hosts=HOSTS, session=replace(ANN, user_id="")) == SignIn()
    silent = replace(ASKED, prompt="none")
    assert next_step(silent, APPS, hosts=HOSTS, session=None) == Back("login_required")


def test_who_said_yes_is_not_asked_again():
    request = replace(ASKED, redirect_uri=OWN, prompt="consent")
    assert next_step(request, APPS, hosts=HOSTS, session=ANN, is_confirmed=True) == GIVEN


def test_a_sign_in_since_it_was_asked_for_is_one():
    request = replace(ASKED, prompt="login")
    assert next_step(request, APPS, hosts=HOSTS, session=ANN, signed_in_since=NOW) == GIVEN
    assert next_step(request, APPS, hosts=HOSTS, session=ANN, signed_in_since=NOW + 1) == SignIn(anew=True)


def test_tokens_are_for_hosts_that_are_served_here():
    assert audience(IOS, "", ("api.example.com",)) == "api.example.com"
    assert audience(IOS, "", ()) is None
    assert audience(IOS, "forum.example.com", ("api.example.com",)) is None
