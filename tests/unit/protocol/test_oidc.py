"""OpenID Connect: which issuers, ID tokens, userinfo and addresses are believed (attacks.md O2, O5)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from vestibule.errors import ProviderInvalid
from vestibule.model import Secret
from vestibule.protocol import base64url, jose, oidc
from vestibule.protocol.oidc import Expected, Metadata

ISSUER = "https://idp.example/realm"
DOCUMENT: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://idp.example/auth",
    "token_endpoint": "https://idp.example/token",
    "jwks_uri": "https://keys.example/jwks",
}


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://idp.example", "https://idp.example/.well-known/openid-configuration"),
        ("https://idp.example/", "https://idp.example/.well-known/openid-configuration"),
        ("https://idp.example/a/b", "https://idp.example/a/b/.well-known/openid-configuration"),
    ],
)
def test_where_the_metadata_stand(issuer: str, url: str) -> None:
    assert oidc.discovery_url(issuer) == url


def test_the_least_metadata_and_their_defaults() -> None:
    assert oidc.parse_metadata(DOCUMENT, ISSUER) == Metadata(
        issuer=ISSUER,
        authorization_endpoint="https://idp.example/auth",
        token_endpoint="https://idp.example/token",
        jwks_uri="https://keys.example/jwks",
    )


def test_full_metadata() -> None:
    found = oidc.parse_metadata(
        DOCUMENT
        | {
            "userinfo_endpoint": "https://idp.example/me",
            "end_session_endpoint": "https://idp.example/end?x=1",
            "revocation_endpoint": "https://idp.example/revoke",
            "id_token_signing_alg_values_supported": ["none", "HS256", "ES256", "RS256", 7],
            "response_types_supported": ["code", "code id_token"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "authorization_response_iss_parameter_supported": True,
            "code_challenge_methods_supported": ["plain", "S256"],
            "more": {},
        },
        ISSUER,
    )
    assert found.algorithms == ("ES256", "RS256")
    assert found.auth_methods == ("client_secret_post",)
    assert found.has_iss
    assert found.has_s256 is True
    assert (found.userinfo_endpoint, found.revocation_endpoint) == (
        "https://idp.example/me",
        "https://idp.example/revoke",
    )
    assert found.end_session_endpoint == "https://idp.example/end?x=1"


@pytest.mark.parametrize("base", ["http://127.0.0.1:9000", "http://idp.corp:8080/realms/a"])
def test_an_issuer_that_is_written_with_plain_http_may_speak_it(base: str) -> None:
    document = {
        "issuer": base,
        "authorization_endpoint": f"{base}/a",
        "token_endpoint": f"{base}/t",
        "jwks_uri": f"{base}/k",
    }
    assert oidc.parse_metadata(document, base).issuer == base


def test_metadata_that_came_by_plain_http_may_name_endpoints_by_it() -> None:
    """An issuer with a public name, whose back channel is a name inside."""
    inner = "http://keycloak:8080/doc"
    document = DOCUMENT | {"token_endpoint": "http://keycloak:8080/token", "jwks_uri": "http://keys:8080/"}
    assert oidc.parse_metadata(document, ISSUER, led_by=inner).token_endpoint == "http://keycloak:8080/token"
    for wrong, led_by in (
        (document, ""),
        (DOCUMENT | {"authorization_endpoint": "http://login.evil.example/"}, inner),
        (DOCUMENT | {"end_session_endpoint": "http://login.evil.example/"}, inner),
    ):
        with pytest.raises(ProviderInvalid) as caught:
            oidc.parse_metadata(wrong, ISSUER, led_by=led_by)
        assert caught.value.code == "metadata_endpoint"
    page = {"authorization_endpoint": "http://keycloak:8080/auth"}
    assert oidc.parse_metadata(DOCUMENT | page, ISSUER, led_by=inner)


@pytest.mark.parametrize(
    ("document", "issuer"),
    [
        (None, ISSUER),
        ([], ISSUER),
        ("x", ISSUER),
        ({}, ISSUER),
        (DOCUMENT, ISSUER + "/"),
        (DOCUMENT, ISSUER.upper()),
        (DOCUMENT | {"issuer": ISSUER + "/"}, ISSUER),
        (DOCUMENT | {"issuer": "https://evil.example"}, ISSUER),
        (DOCUMENT | {"issuer": [ISSUER]}, ISSUER),
        (DOCUMENT | {"issuer": ISSUER + "?x"}, ISSUER + "?x"),
        (DOCUMENT | {"issuer": ISSUER + "#x"}, ISSUER + "#x"),
        *(
            (DOCUMENT | {name: value}, ISSUER)
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
            for value in (None, "", "http://idp.example/x", "//idp.example/x", "javascript:alert(1)", "https://a@idp.example/x",
                          "https:///x", "https://idp.example/ x", "https://idp.example/x#y", "file:///x", ["https://idp.example"], 7,
                          "https://idp.example:99999/", "https://idp.example/\n", "https://[::1", "http://localhost.evil.example/")
        ),
        (DOCUMENT | {"userinfo_endpoint": "http://idp.example/me"}, ISSUER),
        (DOCUMENT | {"end_session_endpoint": "javascript:alert(1)"}, ISSUER),
        (DOCUMENT | {"response_types_supported": ["id_token"]}, ISSUER),
        (DOCUMENT | {"id_token_signing_alg_values_supported": ["none"]}, ISSUER),
        (DOCUMENT | {"id_token_signing_alg_values_supported": ["HS256", "RS1"]}, ISSUER),
    ],
    ids=lambda value: repr(value)[-60:],
)  # fmt: skip
def test_metadata_that_cannot_be_trusted_are_refused(document: Any, issuer: str) -> None:
    with pytest.raises(ProviderInvalid):
        oidc.parse_metadata(document, issuer)


@given(
    st.recursive(st.none() | st.booleans() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3))
)
def test_no_value_in_the_metadata_ends_in_anything_but_a_providers_fault(value: Any) -> None:
    for name in (
        "issuer",
        "jwks_uri",
        "userinfo_endpoint",
        "response_types_supported",
        "id_token_signing_alg_values_supported",
    ):
        try:
            oidc.parse_metadata(DOCUMENT | {name: value}, ISSUER)
        except ProviderInvalid as fault:
            assert fault.message  # noqa: PT017 - either outcome is right, a crash is not


NOW = 1_700_000_000.0
ACCESS = Secret("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y")
KEY = ec.generate_private_key(ec.SECP256R1())
PEM = Secret(
    KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
)
SIGNER = jose.SigningKey.load(PEM, algorithm="ES256", kid="1")
KEYS = (SIGNER.public_jwk(),)
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "client",
    "sub": "248289761001",
    "exp": NOW + 3600,
    "iat": NOW,
    "nonce": "n-0S6_WzA2Mj",
}


def verify(claims: dict[str, Any], *, kind: str = "JWT", **changes: Any) -> dict[str, Any]:
    options: dict[str, Any] = {
        "issuer": ISSUER,
        "client_id": "client",
        "nonce": "n-0S6_WzA2Mj",
        "access_token": ACCESS,
        "now": NOW,
        "algorithms": ("ES256",),
    }
    return oidc.verify_id_token(
        SIGNER.sign(claims, kind=kind).reveal(), changes.pop("keys", KEYS), **(options | changes)
    )


def test_a_good_id_token() -> None:
    assert verify(CLAIMS) == CLAIMS


def test_the_at_hash_of_core_appendix_a() -> None:
    assert oidc.half_hash_of(ACCESS, "RS256") == "77QmUPtjPfzWtF2AnpK9RQ"
    assert (
        oidc.half_hash_of(ACCESS, "ES384")
        != oidc.half_hash_of(ACCESS, "PS512")
        == oidc.half_hash_of(ACCESS, "EdDSA")
    )


AT_HASH = "77QmUPtjPfzWtF2AnpK9RQ"


class Absent:
    """Stands for a claim that is not there; its repr is the same in every test process."""

    def __repr__(self):
        return "absent"


ABSENT = Absent()


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("aud", ["client"]),
        ("aud", ["client", "client"]),
        ("azp", "client"),
        ("exp", NOW - 59),
        ("exp", int(NOW)),
        ("iat", NOW + 59),
        ("iat", NOW - oidc.MAX_AGE_S),
        ("nbf", NOW + 59),
        ("nbf", 0),
        ("at_hash", AT_HASH),
        ("typ", "ID"),
        ("token_use", "id"),
        ("sub", "auth0|ü 1"),
        ("sub", "x" * 255),
        ("unknown", {"a": [1, None]}),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_claims_that_fit(claim: str, value: Any) -> None:
    assert verify(CLAIMS | {claim: value})[claim] == value


@pytest.mark.parametrize(
    ("claim", "value", "code"),
    [
        ("iss", ABSENT, "iss"),
        ("iss", ISSUER + "/", "iss"),
        ("iss", "https://IDP.example/realm", "iss"),
        ("iss", "http://idp.example/realm", "iss"),
        ("iss", [ISSUER], "iss"),
        ("iss", "https://evil.example", "iss"),
        ("iss", ISSUER + "\ud800", "iss"),
        ("aud", ABSENT, "aud"),
        ("aud", "other", "aud"),
        ("aud", "Client", "aud"),
        ("aud", "client ", "aud"),
        ("aud", [], "aud"),
        ("aud", ["other"], "aud"),
        ("aud", ["client", "other"], "azp"),
        ("aud", ["client", 7], "aud"),
        ("aud", {"client": 1}, "aud"),
        ("aud", None, "aud"),
        ("azp", "other", "azp"),
        ("azp", "", "azp"),
        ("azp", ["client"], "azp"),
        ("sub", ABSENT, "sub"),
        ("sub", "", "sub"),
        ("sub", 7, "sub"),
        ("sub", None, "sub"),
        ("sub", " a", "sub"),
        ("sub", "a\n", "sub"),
        ("sub", "a\0", "sub"),
        ("sub", "\ud800", "sub"),
        ("sub", "x" * 256, "sub"),
        ("exp", ABSENT, "expired"),
        ("exp", NOW - 60, "expired"),
        ("exp", 0, "expired"),
        ("exp", "1800000000", "expired"),
        ("exp", True, "expired"),
        ("exp", None, "expired"),
        ("exp", 10**400, "expired"),
        ("iat", ABSENT, "iat"),
        ("iat", NOW + 61, "iat"),
        ("iat", NOW - oidc.MAX_AGE_S - 1, "iat"),
        ("iat", 0, "iat"),
        ("iat", "1700000000", "iat"),
        ("iat", -(10**400), "iat"),
        ("nbf", NOW + 61, "not_yet"),
        ("nbf", "0", "not_yet"),
        ("nbf", None, "not_yet"),
        ("nonce", ABSENT, "nonce"),
        ("nonce", "", "nonce"),
        ("nonce", "other", "nonce"),
        ("nonce", ["n-0S6_WzA2Mj"], "nonce"),
        ("nonce", "\ud800", "nonce"),
        ("at_hash", "", "at_hash"),
        ("at_hash", AT_HASH[:-1] + "A", "at_hash"),
        ("at_hash", AT_HASH + "==", "at_hash"),
        ("at_hash", None, "at_hash"),
        ("at_hash", "\ud800", "at_hash"),
        ("events", {"http://schemas.openid.net/event/backchannel-logout": {}}, "typ"),
        ("typ", "Bearer", "typ"),
        ("typ", "Logout", "typ"),
        ("typ", "Refresh", "typ"),
        ("token_use", "access", "typ"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_claim_that_does_not_fit_refuses_the_token(claim: str, value: Any, code: str) -> None:
    claims = {name: one for name, one in (CLAIMS | {claim: value}).items() if one is not ABSENT}
    # Signed by hand: our own signer has no way to write a lone surrogate, a provider's may.
    text = json.dumps(claims)
    raw = SIGNER.sign({}).reveal()
    signed = f"{raw.split('.')[0]}.{base64url.encode(text.encode())}"
    signature = base64url.encode(jose._model("ES256").sign(signed.encode(), SIGNER._key))
    with pytest.raises(ProviderInvalid) as caught:
        oidc.verify_id_token(
            f"{signed}.{signature}",
            KEYS,
            issuer=ISSUER,
            client_id="client",
            nonce="n-0S6_WzA2Mj",
            access_token=ACCESS,
            now=NOW,
            algorithms=("ES256",),
        )
    assert caught.value.code == f"id_token_{code}"


def test_several_audiences_need_the_authorised_party() -> None:
    assert verify(CLAIMS | {"aud": ["other", "client"], "azp": "client"})
    with pytest.raises(ProviderInvalid) as caught:
        verify(CLAIMS | {"aud": ["other", "client"], "azp": "other"})
    assert caught.value.code == "id_token_azp"


@pytest.mark.parametrize(
    "kind", ["at+jwt", "application/at+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "JOSE", ""]
)
def test_a_token_of_another_type_is_refused(kind: str) -> None:
    with pytest.raises(ProviderInvalid, match="believed") as caught:
        verify(CLAIMS, kind=kind)
    assert "another kind" in caught.value.detail


def test_type_is_read_without_case() -> None:
    assert verify(CLAIMS, kind="jwt")


def test_without_an_access_token_or_a_nonce_there_is_nothing_to_compare() -> None:
    assert verify(CLAIMS | {"at_hash": "x"}, access_token=None)
    assert verify({name: value for name, value in CLAIMS.items() if name != "nonce"}, nonce="")


def test_an_unknown_key_is_told_apart_so_that_keys_can_be_fetched_anew() -> None:
    with pytest.raises(ProviderInvalid) as caught:
        verify(CLAIMS, keys=())
    assert caught.value.code == "id_token_key"
    with pytest.raises(ProviderInvalid) as caught:
        verify(CLAIMS, algorithms=("RS256",))
    assert caught.value.code == "id_token_alg"


@pytest.mark.parametrize(("header", "code"), [({"alg": "ES256", "crit": ["x"]}, "crit"), ({"alg": 1}, "alg")])
def test_a_header_that_cannot_be_read_names_no_key(header: dict[str, Any], code: str) -> None:
    with pytest.raises(ProviderInvalid) as caught:
        oidc.key_id_of(f"{base64url.encode(json.dumps(header).encode())}.e30.AA")
    assert caught.value.code == f"id_token_{code}"
    assert oidc.key_id_of(SIGNER.sign(CLAIMS).reveal()) == "1"


AGES = {
    "just now": (NOW, True),
    "within the time": (NOW - 599, True),
    "within what clocks may differ by": (NOW - 659, True),
    "too long ago": (NOW - 661, False),
    "in a moment": (NOW + 59, True),
    "in the future": (NOW + 61, False),
    "as a fraction": (NOW - 0.5, True),
    "never": (0, False),
    "not said": (None, False),
    "text": (str(int(NOW)), False),
    "truth": (True, False),
    "beyond all times": (1e300, False),
}


@pytest.mark.parametrize(("auth_time", "holds"), AGES.values(), ids=list(AGES))
def test_how_long_ago_they_signed_in_is_proven_where_it_was_asked(auth_time: Any, holds: bool) -> None:
    """Threat: a provider that goes by the session it has, which somebody else may sit in front of."""
    claims = CLAIMS if auth_time is None else CLAIMS | {"auth_time": auth_time}
    assert verify(claims)  # not asked
    if holds:
        assert verify(claims, max_age_s=600)
        return
    with pytest.raises(ProviderInvalid) as caught:
        verify(claims, max_age_s=600)
    assert caught.value.code == "id_token_auth_time"


@pytest.mark.parametrize(
    ("auth_time", "at"), [(NOW, NOW), (NOW + 30, NOW), (NOW - 60, NOW), (NOW - 61, NOW - 61), (None, 0.0)]
)
def test_when_they_signed_in(auth_time: float | None, at: float) -> None:
    assert oidc.signed_in_at({"auth_time": auth_time}, NOW) == at


CODE, STATE = Secret("c0de"), Secret("st4te")


@pytest.mark.parametrize(("claim", "of"), [("c_hash", CODE), ("s_hash", STATE)])
def test_an_id_token_of_another_code_or_state_is_refused(claim: str, of: Secret) -> None:
    """Threat: a token of another sign-in, put in place of this one's."""
    good = CLAIMS | {claim: oidc.half_hash_of(of, "ES256")}
    assert verify(good, code=CODE, state=STATE)
    assert verify(CLAIMS | {claim: "x"})  # a refresh: there is none to hold it against
    for wrong in ("", None, good[claim] + "=", oidc.half_hash_of(Secret("other"), "ES256")):
        with pytest.raises(ProviderInvalid) as caught:
            verify(CLAIMS | {claim: wrong}, code=CODE, state=STATE)
        assert caught.value.code == f"id_token_{claim}"


@pytest.mark.parametrize(
    ("fresh", "code"),
    [
        ({"sub": "a"}, None),
        ({"sub": "a", "nonce": "n"}, None),
        ({"sub": "b"}, "refresh_sub"),
        ({"sub": "a", "nonce": "m"}, "refresh_nonce"),
        ({"sub": "a", "nonce": ["n"]}, "refresh_nonce"),
    ],
)
def test_a_refreshed_id_token_is_about_the_same(fresh: dict[str, Any], code: str | None) -> None:
    if code is None:
        oidc.check_refreshed(fresh, {"sub": "a", "nonce": "n"})
        return
    with pytest.raises(ProviderInvalid) as caught:
        oidc.check_refreshed(fresh, {"sub": "a", "nonce": "n"})
    assert caught.value.code == code


@given(st.dictionaries(st.sampled_from([*CLAIMS, "nbf", "azp", "at_hash"]), st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(max_size=3), max_size=2)))  # fmt: skip
def test_no_claims_end_in_anything_but_a_providers_fault(changes: dict[str, Any]) -> None:
    expected = Expected(
        issuer=ISSUER,
        client_id="client",
        nonce="n-0S6_WzA2Mj",
        access_token=ACCESS,
        now=NOW,
        algorithm="ES256",
    )
    try:
        oidc.check_claims(CLAIMS | changes, expected)
    except ProviderInvalid as fault:
        assert fault.detail.endswith("does not fit")  # noqa: PT017 - either outcome is right, a crash is not


def test_userinfo_is_about_the_subject_of_the_id_token() -> None:
    assert oidc.parse_userinfo({"sub": "a", "name": "A"}, "a") == {"sub": "a", "name": "A"}
    for document in (
        None,
        [],
        "a",
        {},
        {"sub": "b"},
        {"sub": None},
        {"sub": ["a"]},
        {"sub": "A"},
        {"sub": "a "},
    ):
        with pytest.raises(ProviderInvalid):
            oidc.parse_userinfo(document, "a")


def test_the_logout_url() -> None:
    url = oidc.logout_url(
        "https://idp.example/end?x=1",
        client_id="c",
        return_to="https://app.example/@/signedout",
        id_token=Secret("a.b.c"),
        state="s",
    )
    assert parse_qsl(urlsplit(url).query) == [
        ("x", "1"),
        ("id_token_hint", "a.b.c"),
        ("client_id", "c"),
        ("post_logout_redirect_uri", "https://app.example/@/signedout"),
        ("state", "s"),
    ]
    assert oidc.logout_url("https://idp.example/end", client_id="c", return_to="https://a/") == (
        "https://idp.example/end?client_id=c&post_logout_redirect_uri=https%3A%2F%2Fa%2F"
    )


@pytest.mark.parametrize(
    ("raw", "email"),
    [
        ("a@corp.example", "a@corp.example"),
        ("A.b+c@Corp.EXAMPLE", "A.b+c@corp.example"),
        ("o'neil_1=x@a-b.example", "o'neil_1=x@a-b.example"),
        ("a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        ("a" * 64 + "@corp.example", "a" * 64 + "@corp.example"),
        *(
            (raw, "")
            for raw in (
                None, 7, True, [], ["a@corp.example"], {"a": 1}, "", "@", "a", "a@", "@corp.example", "corp.example",
                "a@evil.example@corp.example", "a@@corp.example", "a%40evil.example@corp.example@", '"a@evil.example"@corp.example',
                '"a"@corp.example', "a b@corp.example", "a@corp.example ", " a@corp.example", "a@corp.example\n", "a\n@corp.example",
                "a\r\nX: y@corp.example", "a\0@corp.example", "a@corp.example\0.evil.example", "a@corp.example.", "a@.corp.example",
                "a@corp..example", "a@corp", "a@-corp.example", "a@corp-.example", "a@corp_x.example", ".a@corp.example", "a.@corp.example",
                "a..b@corp.example", "<a@corp.example>", "A <a@corp.example>", "a@corp.example,b@evil.example", "a@corp.example;b",
                "a(x)@corp.example", "a@corp.example(x)", "a@[127.0.0.1]", "a@127.0.0.1", "a@corp.1", "a@ｃorp.example", "a＠corp.example",
                "a@corp。example", "a@cоrp.example", "ä@corp.example", "a@bücher.example", "a\u200b@corp.example", "a@corp.example\u202e",
                "a@corp.example/x", "a@corp.example?x", "a@corp.example:25", "a\\@corp.example", "a" * 65 + "@corp.example",
                "a@" + "b" * 64 + ".example", "a@" + "b." * 130 + "example", "mailto:a@corp.example", "a!evil.example!x@corp.example@x",
            )
        ),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_an_address_has_one_reading_or_is_none(raw: Any, email: str) -> None:
    assert oidc.parse_email(raw) == email
    assert oidc.parse_email(email) == email


# -- keys of an issuer that signs nobody in -----------------------------------------------------


def test_an_issuer_of_tokens_alone_needs_no_endpoints() -> None:
    document = {"issuer": ISSUER, "jwks_uri": "https://keys.example/jwks"}
    assert oidc.keys_url(document, ISSUER) == "https://keys.example/jwks"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"issuer": ISSUER + "/", "jwks_uri": "https://keys.example/jwks"}, "wrong_issuer"),
        ({"jwks_uri": "https://keys.example/jwks"}, "wrong_issuer"),
        ([], "wrong_issuer"),
        ({"issuer": ISSUER}, "metadata_endpoint"),
        ({"issuer": ISSUER, "jwks_uri": "http://keys.example/jwks"}, "metadata_endpoint"),
        ({"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"}, "metadata_endpoint"),
        ({"issuer": ISSUER, "jwks_uri": "https://a@keys.example/"}, "metadata_endpoint"),
    ],
)
def test_where_its_keys_are_must_be_its_own_word(document: Any, code: str) -> None:
    with pytest.raises(ProviderInvalid) as told:
        oidc.keys_url(document, ISSUER)
    assert told.value.code == code


def test_an_issuer_on_plain_http_may_have_its_keys_there() -> None:
    issuer = "http://idp.internal:8080"
    document = {"issuer": issuer, "jwks_uri": "http://idp.internal:8080/jwks"}
    assert oidc.keys_url(document, issuer) == "http://idp.internal:8080/jwks"
