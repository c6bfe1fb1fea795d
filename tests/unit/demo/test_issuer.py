"""The demo's provider as a machine: what it grants, what it refuses, and what ends a grant."""

from __future__ import annotations

import base64
import hashlib
import itertools
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from vestibule.demo.issuer import (
    ACCESS_LIFE_S,
    CODE_LIFE_S,
    CODE_MEMORY_S,
    Browsers,
    Client,
    Issuer,
    Refusal,
    answers_without_asking,
)
from vestibule.demo.people import BY_LOGIN
from vestibule.model import Secret

URL = "http://127.0.0.1:9999"
CALLBACK = "http://localhost:8000/@demo/callback"
VERIFIER = "a-verifier-of-forty-three-characters-or-more"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
GOOD = {
    "client_id": "app",
    "redirect_uri": CALLBACK,
    "response_type": "code",
    "scope": "openid profile email groups",
    "state": "the state",
    "nonce": "the nonce",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
NOW = 1_000_000.0


def counter(prefix="random"):
    numbers = itertools.count(1)
    return lambda: f"{prefix}-{next(numbers)}"


@pytest.fixture(scope="module")
def key():
    return RSAKey.generate_key(2048, parameters={"alg": "RS256", "use": "sig"}, auto_kid=True)


@pytest.fixture
def issuer(key):
    client = Client(id="app", secret=Secret("s"), redirect_uris=frozenset({CALLBACK}))
    return Issuer(issuer=URL, client=client, key=key, random=counter())


@pytest.fixture
def login():
    return Browsers(random=counter("browser")).sign_in("", "alice", NOW)[1]


def query(url):
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def code_of(issuer, login, now=NOW, **changes):
    return query(issuer.give_code(issuer.read({**GOOD, **changes}), login, now))["code"]


def tokens_of(issuer, login, now=NOW, **changes):
    return issuer.exchange(code_of(issuer, login, now, **changes), CALLBACK, VERIFIER, now)


def refused(error):
    return pytest.raises(Refusal, check=lambda refusal: refusal.error == error)


class TestAuthorizationRequest:
    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"client_id": "other"}, "invalid_client"),
            ({"client_id": ""}, "invalid_client"),
            ({"redirect_uri": ""}, "invalid_request"),
            ({"redirect_uri": CALLBACK + "/"}, "invalid_request"),
            ({"redirect_uri": CALLBACK + "?x"}, "invalid_request"),
            ({"redirect_uri": CALLBACK.replace("localhost", "LOCALHOST")}, "invalid_request"),
            ({"redirect_uri": "http://127.0.0.1:8000/@demo/callback"}, "invalid_request"),
        ],
        ids=str,
    )
    def test_an_unknown_client_or_address_is_never_redirected_to(self, issuer, changes, error):
        with refused(error) as caught:
            issuer.read({**GOOD, **changes})
        assert caught.value.redirect == ""

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"response_type": "code id_token"}, "unsupported_response_type"),
            ({"response_mode": "fragment"}, "invalid_request"),
            ({"request": "eyJ"}, "request_not_supported"),
            ({"request_uri": "https://x"}, "request_uri_not_supported"),
            ({"code_challenge": ""}, "invalid_request"),
            ({"code_challenge": CHALLENGE + "="}, "invalid_request"),
            ({"code_challenge_method": "plain"}, "invalid_request"),
            ({"code_challenge_method": ""}, "invalid_request"),
            ({"prompt": "none login"}, "invalid_request"),
            ({"max_age": "-1"}, "invalid_request"),
            ({"max_age": "soon"}, "invalid_request"),
        ],
        ids=str,
    )
    def test_what_else_is_wrong_is_told_to_the_client(self, issuer, changes, error):
        with refused(error) as caught:
            issuer.read({**GOOD, **changes})
        assert caught.value.redirect.startswith(CALLBACK + "?")
        told = query(caught.value.redirect)
        assert (told["error"], told["state"], told["iss"]) == (error, "the state", URL)

    def test_unknown_scopes_are_left_out(self, issuer):
        assert issuer.read({**GOOD, "scope": "openid admin"}).scopes == ("openid",)

    def test_a_good_one_ends_in_a_code_with_state_and_issuer(self, issuer, login):
        told = query(issuer.give_code(issuer.read(GOOD), login, NOW))
        assert set(told) == {"code", "state", "iss"}
        assert (told["state"], told["iss"]) == ("the state", URL)

    @pytest.mark.parametrize(
        ("changes", "signed_in_s_ago", "answered"),
        [
            ({}, 0, True),
            ({}, None, False),
            ({"prompt": "none"}, 0, True),
            ({"prompt": "login"}, 0, False),
            ({"prompt": "select_account"}, 0, False),
            ({"max_age": "60"}, 60, True),
            ({"max_age": "60"}, 61, False),
        ],
        ids=str,
    )
    def test_somebody_signed_in_is_asked_again_only_when_the_client_wants_it(
        self, issuer, login, changes, signed_in_s_ago, answered
    ):
        request = issuer.read({**GOOD, **changes})
        here = None if signed_in_s_ago is None else login
        assert answers_without_asking(request, here, NOW + (signed_in_s_ago or 0)) is answered


class TestCode:
    def test_it_turns_into_tokens_of_whoever_signed_in(self, issuer, login):
        answer = tokens_of(issuer, login)
        access = issuer.bearer(answer["access_token"], NOW)
        assert access.grant.login.person is BY_LOGIN["alice"]
        assert answer["token_type"] == "Bearer"
        assert answer["expires_in"] == ACCESS_LIFE_S

    @pytest.mark.parametrize(
        ("redirect_uri", "verifier", "later_s"),
        [
            (CALLBACK, "another-verifier-of-forty-three-characters!", 0),
            (CALLBACK, "", 0),
            (CALLBACK, CHALLENGE, 0),
            (CALLBACK + "/", VERIFIER, 0),
            ("", VERIFIER, 0),
            (CALLBACK, VERIFIER, CODE_LIFE_S),
        ],
        ids=["other verifier", "no verifier", "challenge", "other address", "no address", "too late"],
    )
    def test_it_is_refused(self, issuer, login, redirect_uri, verifier, later_s):
        with refused("invalid_grant"):
            issuer.exchange(code_of(issuer, login), redirect_uri, verifier, NOW + later_s)

    def test_used_again_it_ends_what_it_gave(self, issuer, login):
        code = code_of(issuer, login)
        answer = issuer.exchange(code, CALLBACK, VERIFIER, NOW)
        with refused("invalid_grant"):
            issuer.exchange(code, CALLBACK, VERIFIER, NOW + CODE_MEMORY_S - 1)
        with refused("invalid_token"):
            issuer.bearer(answer["access_token"], NOW)
        with refused("invalid_grant"):
            issuer.refresh(answer["refresh_token"], "", NOW)

    def test_the_replay_of_one_leaves_another_alone(self, issuer, login):
        first, second = code_of(issuer, login), code_of(issuer, login)
        issuer.exchange(first, CALLBACK, VERIFIER, NOW)
        kept = issuer.exchange(second, CALLBACK, VERIFIER, NOW)
        with refused("invalid_grant"):
            issuer.exchange(first, CALLBACK, VERIFIER, NOW)
        assert issuer.bearer(kept["access_token"], NOW)


class TestIdToken:
    def test_it_says_who_for_whom_and_when(self, issuer, login):
        answer = tokens_of(issuer, login)
        keys = KeySet.import_key_set(issuer.keys())
        token = jwt.decode(answer["id_token"], keys, algorithms=["RS256"])
        at_hash = base64.urlsafe_b64encode(hashlib.sha256(answer["access_token"].encode()).digest()[:16])
        assert token.header["kid"] == issuer.keys()["keys"][0]["kid"]
        assert token.claims == {
            "iss": URL,
            "aud": "app",
            "sub": "u-4f1c8a20",
            "sid": login.sid,
            "iat": NOW,
            "exp": NOW + 300,
            "auth_time": NOW,
            "nonce": "the nonce",
            "at_hash": at_hash.rstrip(b"=").decode(),
            "name": "Alice Adeyemi",
            "preferred_username": "alice",
            "email": "alice@example.com",
            "email_verified": True,
            "groups": ["admins", "staff"],
        }

    def test_it_comes_with_openid_only(self, issuer, login):
        assert "id_token" not in tokens_of(issuer, login, scope="profile")

    def test_the_published_keys_have_no_private_part(self, issuer):
        assert set(issuer.keys()["keys"][0]) == {"kty", "n", "e", "kid", "use", "alg"}

    def test_as_a_hint_it_names_person_and_sign_in(self, issuer, login):
        id_token = tokens_of(issuer, login)["id_token"]
        assert issuer.hinted(id_token) == ("u-4f1c8a20", login.sid)
        assert issuer.hinted("") is None
        assert issuer.hinted(id_token[:-4] + "AAAA") is None

    def test_another_issuers_is_no_hint(self, issuer, key, login):
        other = Issuer(issuer="http://127.0.0.1:1", client=issuer.client, key=key, random=counter())
        assert issuer.hinted(tokens_of(other, login)["id_token"]) is None


class TestRefresh:
    def test_it_rotates_and_counts(self, issuer, login):
        first = tokens_of(issuer, login)
        second = issuer.refresh(first["refresh_token"], "", NOW + 50)
        assert second["refresh_token"] != first["refresh_token"]
        assert issuer.bearer(first["access_token"], NOW + 50).serial == 1
        assert issuer.bearer(second["access_token"], NOW + 50).serial == 2

    def test_one_used_before_ends_the_grant(self, issuer, login):
        first = tokens_of(issuer, login)
        second = issuer.refresh(first["refresh_token"], "", NOW)
        with refused("invalid_grant"):
            issuer.refresh(first["refresh_token"], "", NOW)
        with refused("invalid_grant"):
            issuer.refresh(second["refresh_token"], "", NOW)
        with refused("invalid_token"):
            issuer.bearer(second["access_token"], NOW)

    @pytest.mark.parametrize("token", ["", ".", "unknown", "unknown.x"])
    def test_an_unknown_one_is_refused(self, issuer, token):
        with refused("invalid_grant"):
            issuer.refresh(token, "", NOW)

    def test_more_than_was_granted_is_refused_and_costs_nothing(self, issuer, login):
        answer = tokens_of(issuer, login, scope="openid")
        with refused("invalid_scope"):
            issuer.refresh(answer["refresh_token"], "openid email", NOW)
        assert issuer.refresh(answer["refresh_token"], "openid", NOW)

    def test_its_id_token_has_no_nonce(self, issuer, login):
        answer = issuer.refresh(tokens_of(issuer, login)["refresh_token"], "", NOW)
        token = jwt.decode(answer["id_token"], KeySet.import_key_set(issuer.keys()), algorithms=["RS256"])
        assert "nonce" not in token.claims


class TestAccessToken:
    def test_it_lives_a_minute(self, issuer, login):
        token = tokens_of(issuer, login)["access_token"]
        assert issuer.bearer(token, NOW + ACCESS_LIFE_S - 1)
        with refused("invalid_token"):
            issuer.bearer(token, NOW + ACCESS_LIFE_S)

    def test_revoked_it_is_dead_and_its_grant_lives(self, issuer, login):
        answer = tokens_of(issuer, login)
        issuer.revoke(answer["access_token"])
        with refused("invalid_token"):
            issuer.bearer(answer["access_token"], NOW)
        assert issuer.refresh(answer["refresh_token"], "", NOW)

    def test_it_dies_with_its_refresh_token(self, issuer, login):
        answer = tokens_of(issuer, login)
        issuer.revoke(answer["refresh_token"])
        with refused("invalid_token"):
            issuer.bearer(answer["access_token"], NOW)

    def test_it_dies_with_its_sign_in(self, issuer, login):
        gone, kept = (
            tokens_of(issuer, login),
            tokens_of(issuer, Browsers(random=counter("b")).sign_in("", "bob", NOW)[1]),
        )
        issuer.end_login(login.sid)
        with refused("invalid_token"):
            issuer.bearer(gone["access_token"], NOW)
        assert issuer.bearer(kept["access_token"], NOW)

    def test_revoking_what_is_unknown_is_fine(self, issuer):
        issuer.revoke("unknown")
        issuer.revoke("")


@pytest.mark.parametrize(
    ("client_id", "secret"), [("app", "x"), ("x", "s"), ("app", ""), ("", ""), ("", "s")]
)
def test_a_client_without_its_secret_is_refused(issuer, client_id, secret):
    with refused("invalid_client") as caught:
        issuer.check_client(client_id, secret)
    assert caught.value.status == 401


def test_the_client_is_known_by_id_and_secret(issuer):
    issuer.check_client("app", "s")


class TestBrowsers:
    def test_each_sign_in_has_a_new_handle_and_the_old_one_is_dead(self):
        browsers = Browsers(random=counter())
        first, _ = browsers.sign_in("", "alice", NOW)
        second, _ = browsers.sign_in(first, "alice", NOW)
        assert second != first
        assert browsers.find(first) is None

    def test_the_same_person_keeps_the_sid_and_another_gets_a_new_one(self):
        browsers = Browsers(random=counter())
        handle, alice = browsers.sign_in("", "alice", NOW)
        handle, again = browsers.sign_in(handle, "alice", NOW + 9)
        _, bob = browsers.sign_in(handle, "bob", NOW + 9)
        assert (again.sid, again.at) == (alice.sid, NOW + 9)
        assert bob.sid != alice.sid

    def test_a_handle_from_elsewhere_is_not_taken_over(self):
        browsers = Browsers(random=counter())
        assert browsers.sign_in("planted", "alice", NOW)[0] != "planted"

    def test_signed_out_nobody_is_there(self):
        browsers = Browsers(random=counter())
        handle, login = browsers.sign_in("", "alice", NOW)
        assert browsers.sign_out(handle) == login
        assert browsers.find(handle) is None
        assert browsers.sign_out(handle) is None

    def test_the_oldest_make_room(self):
        browsers = Browsers(random=counter(), most=2)
        handles = [browsers.sign_in("", "alice", NOW)[0] for _ in range(3)]
        assert [browsers.find(handle) is not None for handle in handles] == [False, True, True]
