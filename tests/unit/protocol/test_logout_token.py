"""Logout tokens: what a provider may send is believed, and nothing else is (Back-Channel Logout 1.0, attacks.md S6)."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry

from vestibule.errors import ClientError, ProviderInvalid
from vestibule.model import Secret
from vestibule.protocol import logout_token, oidc
from vestibule.protocol.jose import SigningKey
from vestibule.protocol.logout_token import EVENT, LogoutToken
from vestibule.protocol.oidc import MAX_AGE_S, SKEW_S

NOW = 1_800_000_000.0
ISSUER = "https://op.example"


def new_key() -> SigningKey:
    pem = RSAKey.generate_key(2048, private=True).as_pem(private=True).decode()
    return SigningKey.load(Secret(pem), algorithm="RS256", kid="r1")


KEY, OTHER = new_key(), new_key()
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "alice",
    "aud": "cid",
    "iat": int(NOW) - 5,
    "exp": int(NOW) + 120,
    "jti": "once",
    "sid": "s-1",
    "events": {EVENT: {}},
}


def signed(key: SigningKey = KEY, *, kind: str = "logout+jwt", **claims: Any) -> str:
    """A token; a claim given as None is left out."""
    merged = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return key.sign(merged, kind=kind).reveal()


def read(raw: str, **changes: Any) -> LogoutToken:
    given = {"issuer": ISSUER, "client_id": "cid", "now": NOW, "algorithms": ("RS256",), **changes}
    return logout_token.verified(raw, (KEY.public_jwk(),), **given)


def refused(raw: str) -> str:
    with pytest.raises(ClientError) as told:
        read(raw)
    assert told.value.status == 400
    assert told.value.code.startswith("logout_token_")
    return told.value.code.removeprefix("logout_token_")


def test_a_good_one_says_whose_session_is_over_and_until_when_it_may_be_shown() -> None:
    assert read(signed()) == LogoutToken(
        issuer=ISSUER,
        sid="s-1",
        subject="alice",
        jti="once",
        issued_at=NOW - 5,
        until=NOW + 120 + SKEW_S,
    )


def test_what_lives_for_ever_is_believed_for_an_hour() -> None:
    assert read(signed(exp=int(NOW) + 10**6)).until == NOW - 5 + MAX_AGE_S + SKEW_S


@pytest.mark.parametrize(
    ("claims", "sid", "subject"),
    [
        pytest.param({"sid": None}, "", "alice", id="all of a subject"),
        pytest.param({"sub": None}, "s-1", "", id="one session, whose is not said"),
        pytest.param({"aud": ["other", "cid"]}, "s-1", "alice", id="for others too"),
        pytest.param({"iat": int(NOW) + 59}, "s-1", "alice", id="a clock a minute ahead"),
        pytest.param({"exp": int(NOW) - 59}, "s-1", "alice", id="a clock a minute behind"),
        pytest.param({"events": {EVENT: {"x": 1}, "other": 1}}, "s-1", "alice", id="more is passed over"),
        pytest.param({"typ": "Logout"}, "s-1", "alice", id="as Keycloak marks it"),
    ],
)
def test_what_providers_may_leave_out_or_add(claims: dict[str, Any], sid: str, subject: str) -> None:
    found = read(signed(**claims))
    assert (found.sid, found.subject) == (sid, subject)


@pytest.mark.parametrize("kind", ["logout+jwt", "LOGOUT+JWT", "application/logout+jwt", "JWT"])
def test_its_type_in_every_spelling(kind: str) -> None:
    assert read(signed(kind=kind)).sid == "s-1"


def test_a_token_without_a_type_is_told_by_its_claims() -> None:
    head = _b64(b'{"alg":"RS256","kid":"r1"}')
    text = f"{head}.{signed().split('.')[1]}"
    signature = JWSRegistry.algorithms["RS256"].sign(text.encode(), KEY._key)
    assert read(f"{text}.{_b64(signature)}").sid == "s-1"


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        pytest.param({"iss": "https://op.example/"}, "iss", id="issuer with a slash"),
        pytest.param({"iss": None}, "iss", id="no issuer"),
        pytest.param({"iss": [ISSUER]}, "iss", id="issuers"),
        pytest.param({"aud": "other"}, "aud", id="another client's"),
        pytest.param({"aud": None}, "aud", id="nobody's"),
        pytest.param({"aud": [["cid"]]}, "aud", id="audience in a list of lists"),
        pytest.param({"aud": ["cid", 1]}, "aud", id="audience with a number"),
        pytest.param({"iat": None}, "iat", id="no iat"),
        pytest.param({"iat": int(NOW) + 61}, "iat", id="of tomorrow"),
        pytest.param({"iat": int(NOW - MAX_AGE_S) - 1}, "iat", id="of long ago"),
        pytest.param({"iat": "now"}, "iat", id="iat a text"),
        pytest.param({"iat": True}, "iat", id="iat true"),
        pytest.param({"exp": None}, "expired", id="no end"),
        pytest.param({"exp": int(NOW) - 60}, "expired", id="expired"),
        pytest.param({"exp": 1e300}, "expired", id="an end beyond all times"),
        pytest.param({"sid": None, "sub": None}, "sub_or_sid", id="names nobody"),
        pytest.param({"sid": ""}, "sub_or_sid", id="empty sid"),
        pytest.param({"sid": 1}, "sub_or_sid", id="sid a number"),
        pytest.param({"sid": "x\x00"}, "sub_or_sid", id="sid with a NUL"),
        pytest.param({"sub": "x" * 256}, "sub_or_sid", id="endless subject"),
        pytest.param({"events": None}, "events", id="no events"),
        pytest.param({"events": {}}, "events", id="another event"),
        pytest.param({"events": {EVENT: True}}, "events", id="an event that is no object"),
        pytest.param({"events": [EVENT]}, "events", id="events in a list"),
        pytest.param({"nonce": "n"}, "nonce", id="nonce"),
        pytest.param({"nonce": ""}, "nonce", id="empty nonce"),
        pytest.param({"jti": None}, "jti", id="no jti"),
        pytest.param({"jti": 7}, "jti", id="jti a number"),
        pytest.param({"typ": "ID"}, "typ", id="Keycloak's ID token"),
        pytest.param({"typ": "Bearer"}, "typ", id="Keycloak's access token"),
    ],
)
def test_each_claim_that_is_wrong_is_refused_by_its_name(claims: dict[str, Any], code: str) -> None:
    assert refused(signed(**claims)) == code


@pytest.mark.parametrize("kind", ["at+jwt", "secevent+jwt", "dpop+jwt", "id_token", ""])
def test_a_token_of_another_type_is_none(kind: str) -> None:
    assert refused(signed(kind=kind)) == "typ"


def test_another_key_and_another_algorithm_are_refused() -> None:
    assert refused(signed(OTHER)) == "signature"
    head, body, _ = signed().split(".")
    none = _b64(b'{"alg":"none","typ":"logout+jwt"}')
    assert refused(f"{none}.{body}.") == "alg"
    assert refused(f"{head}.{body}.") == "signature"
    assert refused("nothing") == "malformed"
    with pytest.raises(ClientError) as told:
        read(signed(), algorithms=("ES256",))
    assert told.value.code == "logout_token_alg"


def test_its_key_is_named_for_whoever_fetches_keys() -> None:
    assert logout_token.key_id_of(signed()) == "r1"
    with pytest.raises(ClientError):
        logout_token.key_id_of("x.y")


def test_an_id_token_is_no_logout_token_and_a_logout_token_no_id_token() -> None:
    id_claims: dict[str, Any] = {"events": None, "jti": None, "sid": "s-1", "nonce": "n"}
    assert refused(signed(kind="JWT", **id_claims)) == "events"
    with pytest.raises(ProviderInvalid) as told:
        oidc.verify_id_token(
            signed(kind="JWT"),
            (KEY.public_jwk(),),
            issuer=ISSUER,
            client_id="cid",
            nonce="",
            access_token=None,
            now=NOW,
            algorithms=("RS256",),
        )
    assert told.value.code == "id_token_typ"
