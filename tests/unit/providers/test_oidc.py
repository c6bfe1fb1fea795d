"""Signing in with an OpenID provider: what must hold before anybody is believed to be somebody."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc.jwk import ECKey, RSAKey

from tests.unit.providers.player import (
    NONCE,
    NOW,
    came_back,
    form_of,
    jwks_of,
    play,
    reply,
    start,
    token_reply,
)
from vestibule.core.claim import LISTS
from vestibule.errors import ClientError, ProviderInvalid, ProviderRefused, ProviderUnavailable
from vestibule.model import Identity, Secret, Tokens
from vestibule.protocol import base64url
from vestibule.protocol.jose import SigningKey
from vestibule.protocol.logout_token import EVENT
from vestibule.providers.base import EndsSessions
from vestibule.providers.kit import Discovery, Get, Keys, PostForm
from vestibule.providers.oidc import Oidc, OidcConfig

ISSUER = "https://op.example"
RSA = SigningKey.load(
    Secret(RSAKey.generate_key(2048, private=True).as_pem(private=True).decode()), algorithm="RS256", kid="r1"
)
OTHER_RSA = SigningKey.load(
    Secret(RSAKey.generate_key(2048, private=True).as_pem(private=True).decode()), algorithm="RS256", kid="r1"
)
EC = SigningKey.load(
    Secret(ECKey.generate_key("P-256", private=True).as_pem(private=True).decode()),
    algorithm="ES256",
    kid="e1",
)
METADATA = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/jwks",
    "userinfo_endpoint": f"{ISSUER}/me",
    "end_session_endpoint": f"{ISSUER}/end",
    "revocation_endpoint": f"{ISSUER}/revoke",
    "response_types_supported": ["code"],
    "id_token_signing_alg_values_supported": ["RS256", "ES256"],
    "code_challenge_methods_supported": ["S256"],
    "authorization_response_iss_parameter_supported": True,
}
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "alice",
    "aud": "cid",
    "iat": int(NOW) - 5,
    "exp": int(NOW) + 300,
    "nonce": NONCE,
    "name": "Alice",
    "preferred_username": "al",
    "email": "alice@example.com",
    "email_verified": True,
    "groups": ["staff"],
}


def client(**fields: Any) -> Oidc:
    return OidcConfig(
        **{"name": "op", "client_id": "cid", "client_secret": Secret("s3"), "issuer": ISSUER, **fields}
    ).open()


def id_token(key: SigningKey = RSA, **claims: Any) -> str:
    """A signed ID token; a claim given as None is left out."""
    merged = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return key.sign(merged).reveal()


def at_hash(access_token: str) -> str:
    half = hashlib.sha256(access_token.encode()).digest()[:16]
    return base64.urlsafe_b64encode(half).rstrip(b"=").decode()


CALLBACK = came_back(code="c0de", iss=ISSUER)


def finished(raw: str | None, *, keys: Any = None, op: Oidc | None = None, userinfo: Any = None) -> Any:
    """The end of a sign-in with this ID token, all other answers good."""
    answers = [METADATA, token_reply(**({} if raw is None else {"id_token": raw}))]
    if raw is not None:
        answers.append(jwks_of(RSA, EC) if keys is None else keys)
    if userinfo is not None:
        answers.append(userinfo)
    return play((op or client()).finish(CALLBACK), *answers)


def test_people_are_sent_where_the_metadata_says_with_a_nonce() -> None:
    url, asked = play(client().start(start(login_hint="alice", prompt="login", hd="x")), METADATA)
    assert asked == [Discovery(ISSUER)]
    query = dict(parse_qsl(urlsplit(url).query))
    assert url.startswith(f"{ISSUER}/auth?")
    assert (query["scope"], query["nonce"], query["code_challenge_method"]) == (
        "openid profile email",
        NONCE,
        "S256",
    )
    assert (query["login_hint"], query["prompt"]) == ("alice", "login")
    assert "hd" not in query


def test_another_account_is_asked_for_by_the_prompt_that_every_provider_knows() -> None:
    url, _ = play(client().start(start(prompt="select_account")), METADATA)
    assert dict(parse_qsl(urlsplit(url).query))["prompt"] == "login"


def test_openid_is_always_among_the_scopes() -> None:
    assert client(scopes=("email",)).scopes == ("openid", "email")


def test_a_good_sign_in_asks_for_tokens_and_keys_and_ends_in_the_person() -> None:
    signed_in, asked = finished(id_token(at_hash=at_hash("at-1")))
    assert [type(ask) for ask in asked] == [Discovery, PostForm, Keys]
    assert asked[1].via == asked[2].via == ISSUER
    assert asked[2].kid == "r1"
    assert signed_in.identity == Identity(
        client="op",
        issuer=ISSUER,
        subject="alice",
        login="al",
        name="Alice",
        email="alice@example.com",
        groups=("staff",),
        unknown=("orgs", "teams", "projects", "repos", "roles"),
    )
    assert signed_in.tokens.access_token == Secret("at-1")


def test_an_ec_key_is_as_good() -> None:
    assert finished(id_token(EC))[0].identity.subject == "alice"


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "wrong iss": {"iss": "https://evil.example"},
    "iss with a slash more": {"iss": ISSUER + "/"},
    "no iss": {"iss": None},
    "other client's aud": {"aud": "other"},
    "aud list without us": {"aud": ["other", "another"]},
    "aud list with others and no azp": {"aud": ["cid", "other"]},
    "azp is another": {"azp": "other"},
    "aud of a wrong type": {"aud": {"cid": 1}},
    "aud longer": {"aud": "cid2"},
    "no aud": {"aud": None},
    "no sub": {"sub": None},
    "empty sub": {"sub": ""},
    "numeric sub": {"sub": 5},
    "expired": {"exp": int(NOW) - 61},
    "no exp": {"exp": None},
    "exp as text": {"exp": "never"},
    "iat far in the past": {"iat": int(NOW) - 7200},
    "iat in the future": {"iat": int(NOW) + 120},
    "no iat": {"iat": None},
    "not yet valid": {"nbf": int(NOW) + 120},
    "wrong nonce": {"nonce": "m" * 43},
    "no nonce": {"nonce": None},
    "nonce in a list": {"nonce": [NONCE]},
    "at_hash of another token": {"at_hash": at_hash("at-2")},
    "a logout token": {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
    "an access token": {"typ": "Bearer"},
}


@pytest.mark.parametrize("claims", BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
def test_an_id_token_with_one_bad_claim_signs_nobody_in(claims: dict[str, Any]) -> None:
    with pytest.raises(ProviderInvalid):
        finished(id_token(**claims))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(NOW) - 30},
        {"iat": int(NOW) + 30},
        {"aud": ["cid"]},
        {"aud": ["cid", "other"], "azp": "cid"},
        {"nbf": int(NOW) + 30},
    ],
)
def test_clocks_may_be_a_minute_apart_and_audiences_a_list(claims: dict[str, Any]) -> None:
    assert finished(id_token(**claims))[0].identity.subject == "alice"


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(header: dict[str, Any], signature: Callable[[bytes], bytes] = lambda _: b"") -> str:
    head = f"{b64(msgspec.json.encode(header))}.{b64(msgspec.json.encode(CLAIMS))}"
    return f"{head}.{b64(signature(head.encode()))}"


def with_key_as_secret(head: bytes) -> bytes:
    return hmac.digest(msgspec.json.encode(RSA.public_jwk()), head, "sha256")


BAD_TOKENS = {
    "alg none": forged({"alg": "none"}),
    "alg None": forged({"alg": "None", "kid": "r1"}, lambda _: b"x"),
    "HS256 with the public key as secret": forged({"alg": "HS256", "kid": "r1"}, with_key_as_secret),
    "another key of the same kid": id_token(OTHER_RSA),
    "signature cut off": id_token().rpartition(".")[0] + ".",
    "signature altered": id_token()[:-6] + "AAAAAA",
    "claims altered": ".".join(
        (
            id_token().split(".")[0],
            b64(msgspec.json.encode({**CLAIMS, "sub": "bob"})),
            id_token().split(".")[2],
        )
    ),
    "key in the header": forged({"alg": "RS256", "jwk": OTHER_RSA.public_jwk()}, lambda _: b"x" * 256),
    "crit": forged({"alg": "RS256", "kid": "r1", "crit": ["exp"]}, lambda _: b"x" * 256),
    "not a token": "x",
    "two parts": "a.b",
    "encrypted": "a.b.c.d.e",
    "kid is no text": forged({"alg": "RS256", "kid": 5}, lambda _: b"x" * 256),
}


@pytest.mark.parametrize("raw", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
def test_an_id_token_with_a_bad_signature_signs_nobody_in(raw: str) -> None:
    def end() -> None:
        flow = client().finish(CALLBACK)
        next(flow)
        flow.send(METADATA)
        ask = flow.send(token_reply(id_token=raw))
        while True:  # keys may be asked for twice when the token names none
            assert isinstance(ask, Keys)
            ask = flow.send(jwks_of(RSA, EC))

    with pytest.raises(ProviderInvalid):
        end()


def test_without_an_id_token_nobody_is_signed_in() -> None:
    with pytest.raises(ProviderInvalid):
        finished(None)


def test_an_algorithm_the_provider_does_not_name_is_not_taken() -> None:
    metadata = {**METADATA, "id_token_signing_alg_values_supported": ["RS256"]}
    with pytest.raises(ProviderInvalid):
        play(client().finish(CALLBACK), metadata, token_reply(id_token=id_token(EC)), jwks_of(RSA, EC))


@pytest.mark.parametrize(
    "params",
    [
        {"code": "c0de"},
        {"code": "c0de", "iss": "https://evil.example"},
        {"code": "c0de", "iss": ISSUER + "/"},
    ],
    ids=["no iss though promised", "another issuer", "a slash more"],
)
def test_an_answer_of_another_issuer_is_not_exchanged(params: dict[str, str]) -> None:
    """Mix-up: the code must not go to a token endpoint of whom it isn't from (RFC 9207)."""
    with pytest.raises(ProviderInvalid) as caught:
        play(client().finish(came_back(**params)), METADATA)
    assert caught.value.code == "answer_iss"


@pytest.mark.parametrize("issuer", ["https://evil.example", ISSUER + "/", None])
def test_metadata_of_another_issuer_sends_nobody_off(issuer: object) -> None:
    with pytest.raises(ProviderInvalid):
        play(client().start(start()), {**METADATA, "issuer": issuer})


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("url", ["http://op.example/x", "javascript:alert(1)", "", None, 5])
def test_metadata_with_an_unsafe_endpoint_sends_nobody_off(name: str, url: object) -> None:
    with pytest.raises(ProviderInvalid):
        play(client().start(start()), {**METADATA, name: url})


def test_a_provider_that_is_down_signs_nobody_in_and_says_so() -> None:
    with pytest.raises(ProviderUnavailable):
        play(client().start(start()), ProviderUnavailable("down"))


def test_pkce_is_used_with_every_provider_and_demanded_on_request() -> None:
    silent = {name: value for name, value in METADATA.items() if not name.startswith("code_challenge")}
    assert "code_challenge=" in play(client().start(start()), silent)[0]
    for methods in (silent, {**METADATA, "code_challenge_methods_supported": ["plain"]}):
        with pytest.raises(ProviderInvalid) as caught:
            play(client(require_pkce=True).start(start()), methods)
        assert caught.value.code == "no_pkce"
    assert play(client(require_pkce=True).start(start()), METADATA)


def test_a_token_that_names_no_key_gets_one_try_with_keys_fetched_anew() -> None:
    nameless = SigningKey(RSA._key, "RS256", "")
    raw = id_token(nameless)
    header, claims, _ = raw.split(".")
    assert b'"kid":""' in base64.urlsafe_b64decode(header + "==")
    bare = b64(b'{"alg":"RS256"}')
    unsigned = f"{bare}.{claims}"
    signed = f"{unsigned}.{b64(_signature(unsigned))}"
    stale, fresh = jwks_of(OTHER_RSA), jwks_of(RSA)
    signed_in, asked = play(client().finish(CALLBACK), METADATA, token_reply(id_token=signed), stale, fresh)
    assert signed_in.identity.subject == "alice"
    assert [ask.kid for ask in asked if isinstance(ask, Keys)] == [None, ""]


def _signature(unsigned: str) -> bytes:
    return RSA._key.private_key.sign(unsigned.encode(), padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize(
    ("methods", "fields", "is_basic"),
    [
        (["client_secret_basic", "client_secret_post"], {}, True),
        (["client_secret_post"], {}, False),
        (None, {}, True),
        (["private_key_jwt"], {}, True),
        (["client_secret_basic"], {"auth_style": "post"}, False),
    ],
)
def test_the_secret_is_shown_as_the_provider_wants_it(methods: Any, fields: Any, *, is_basic: bool) -> None:
    metadata = METADATA if methods is None else {**METADATA, "token_endpoint_auth_methods_supported": methods}
    _, asked = play(
        client(**fields).finish(CALLBACK), metadata, token_reply(id_token=id_token()), jwks_of(RSA, EC)
    )
    assert isinstance(asked[1], PostForm)
    assert (asked[1].basic is not None) is is_basic
    assert ("client_secret" in form_of(asked[1])) is not is_basic


# Userinfo


def test_userinfo_is_asked_for_claims_the_id_token_lacks() -> None:
    raw = id_token(name=None, groups=None)
    signed_in, asked = finished(
        raw, userinfo=reply({"sub": "alice", "name": "Alice A.", "groups": ["a", "b"]})
    )
    assert asked[3] == Get(url=f"{ISSUER}/me", bearer=Secret("at-1"), via=ISSUER)
    assert (signed_in.identity.name, signed_in.identity.groups) == ("Alice A.", ("a", "b"))


def test_what_is_signed_wins_over_userinfo() -> None:
    told = {
        "sub": "alice",
        "name": "Mallory",
        "groups": ["a"],
        "email": "m@evil.example",
        "email_verified": True,
    }
    identity = finished(id_token(groups=None), userinfo=reply(told))[0].identity
    assert (identity.name, identity.email, identity.groups) == ("Alice", "alice@example.com", ("a",))


@pytest.mark.parametrize(
    "told",
    [{"sub": "bob", "groups": ["a"]}, {"groups": ["a"]}, [], "x", {"sub": ["alice"]}],
    ids=["another subject", "no subject", "a list", "a text", "subject in a list"],
)
def test_userinfo_about_somebody_else_signs_nobody_in(told: Any) -> None:
    with pytest.raises(ProviderInvalid):
        finished(id_token(groups=None), userinfo=reply(told))


@pytest.mark.parametrize("status", [401, 403, 404])
def test_userinfo_that_is_refused_signs_nobody_in(status: int) -> None:
    with pytest.raises(ProviderInvalid):
        finished(id_token(groups=None), userinfo=reply({}, status))


def test_userinfo_can_be_switched_off() -> None:
    signed_in, asked = finished(id_token(groups=None), op=client(userinfo=False))
    assert signed_in.identity.groups == ()
    assert not any(isinstance(ask, Get) for ask in asked)


@pytest.mark.parametrize(
    ("signed", "told", "email"),
    [
        (
            {"email_verified": None},
            {"email": "alice@example.com", "email_verified": True},
            "alice@example.com",
        ),
        ({"email_verified": None}, {"email": "m@evil.example", "email_verified": True}, "m@evil.example"),
        ({"email_verified": None}, {"email_verified": True}, ""),
        ({"email_verified": False}, {"email": "alice@example.com", "email_verified": True}, ""),
        (
            {"email": None, "email_verified": None},
            {"email": "a@b.example", "email_verified": True},
            "a@b.example",
        ),
        ({"email": None, "email_verified": None}, {"email": "a@b.example"}, ""),
        ({"email": None}, {"email": "m@evil.example", "email_verified": False}, ""),
    ],
)
def test_an_address_and_its_verification_come_from_one_place(signed: Any, told: Any, email: str) -> None:
    raw = id_token(groups=None, **signed)
    assert finished(raw, userinfo=reply({"sub": "alice", **told}))[0].identity.email == email


def test_further_claims_are_kept_by_name() -> None:
    op = client(claims={"team": "team", "n": "nonce", "missing": "missing"}, userinfo=False)
    assert finished(id_token(team={"name": "x"}), op=op)[0].identity.claims == {"team": {"name": "x"}}


def test_claims_may_have_other_names() -> None:
    op = client(claims={"login": "upn", "groups": "access.roles"}, userinfo=False)
    identity = finished(id_token(upn="alice@corp", access={"roles": ["admin"]}), op=op)[0].identity
    assert (identity.login, identity.groups) == ("alice@corp", ("admin",))


# Refresh, sign-out, revocation

TOKENS = Tokens(access_token=Secret("at-0"), refresh_token=Secret("rt-0"), id_token=Secret(id_token()))


def test_a_refresh_may_come_without_an_id_token() -> None:
    fresh, asked = play(client().refresh(TOKENS, NOW), METADATA, token_reply(refresh_token="rt-1"))
    assert (fresh.refresh_token, fresh.id_token) == (Secret("rt-1"), TOKENS.id_token)
    assert [type(ask) for ask in asked] == [Discovery, PostForm]


def test_a_new_id_token_at_a_refresh_is_about_the_same_person() -> None:
    raw = id_token(nonce=None, iat=int(NOW))
    fresh, _ = play(
        client().refresh(TOKENS, NOW), METADATA, token_reply(id_token=raw), METADATA, jwks_of(RSA)
    )
    assert fresh.id_token == Secret(raw)


@pytest.mark.parametrize(
    "claims", [{"sub": "bob"}, {"iss": "https://evil.example"}, {"aud": "other"}, {"exp": int(NOW) - 100}]
)
def test_a_refresh_that_brings_another_persons_id_token_is_not_taken(claims: dict[str, Any]) -> None:
    raw = id_token(nonce=None, **{"iat": int(NOW), **claims})
    with pytest.raises(ProviderInvalid):
        play(client().refresh(TOKENS, NOW), METADATA, token_reply(id_token=raw), METADATA, jwks_of(RSA))


def test_a_refused_refresh_is_a_refusal() -> None:
    with pytest.raises(ProviderRefused):
        play(client().refresh(TOKENS, NOW), METADATA, reply({"error": "invalid_grant"}, 400))


def test_signing_out_leads_to_the_providers_page_and_back() -> None:
    url, _ = play(client().sign_out_url(TOKENS, "https://app.example/@/signedout"), METADATA)
    assert url is not None
    query = dict(parse_qsl(urlsplit(url).query))
    assert url.startswith(f"{ISSUER}/end?")
    assert query["post_logout_redirect_uri"] == "https://app.example/@/signedout"
    assert (query["client_id"], query["id_token_hint"]) == ("cid", id_token())


@pytest.mark.parametrize("op", [client(sign_out_at_provider=False), client()])
def test_there_may_be_no_sign_out_page(op: Oidc) -> None:
    metadata = {**METADATA, "end_session_endpoint": ""}
    assert play(op.sign_out_url(TOKENS, "https://app.example/"), metadata)[0] is None


def test_tokens_are_revoked_unless_it_is_switched_off() -> None:
    _, asked = play(client().revoke(TOKENS, NOW), METADATA, reply({}), reply({}))
    assert [form_of(ask)["token"] for ask in asked[1:]] == ["rt-0", "at-0"]
    assert len(play(client(revoke_at_sign_out=False).revoke(TOKENS, NOW), METADATA)[1]) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"issuer": ""},
        {"issuer": "op.example"},
        {"issuer": "https://a@op.example"},
        {"discovery_url": "ftp://x/"},
    ],
)
def test_an_issuer_that_cannot_be_one_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        client(**fields)


def test_where_the_metadata_stands_is_as_much_the_operators_as_the_issuer() -> None:
    """A back channel inside, behind an issuer with a public name: both hosts are written."""
    inner = "http://keycloak:8080/realms/a"
    op = client(discovery_url=f"{inner}/.well-known/openid-configuration")
    found, [ask] = play(op.endpoints(), METADATA | {"token_endpoint": f"{inner}/token"})
    assert ask == Discovery(ISSUER, f"{inner}/.well-known/openid-configuration")
    assert found.token_url == f"{inner}/token"
    assert found.via.split() == [ISSUER, f"{inner}/.well-known/openid-configuration"]
    assert play(client().endpoints(), METADATA)[0].via == ISSUER


# -- when the provider's own session ends --------------------------------------------------------

LOGOUT: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "cid",
    "iat": int(NOW) - 5,
    "exp": int(NOW) + 120,
    "jti": "j-1",
    "sid": "s-1",
    "events": {EVENT: {}},
}


def logout(key: SigningKey = RSA, **claims: Any) -> Secret:
    return key.sign({**LOGOUT, **claims}, kind="logout+jwt")


@pytest.mark.parametrize(
    ("sid", "kept"),
    [
        pytest.param("s-1", "s-1", id="a name"),
        pytest.param(None, "", id="none"),
        pytest.param(7, "", id="a number"),
        pytest.param("x\n", "", id="a control character"),
        pytest.param("x" * 256, "", id="an endless one"),
    ],
)
def test_an_identity_knows_the_session_that_its_id_token_names(sid: Any, kept: str) -> None:
    done, _ = finished(id_token(sid=sid))
    assert done.identity is not None
    assert done.identity.sid == kept


def test_userinfo_names_no_session() -> None:
    done, _ = finished(id_token(groups=None), userinfo=reply({"sub": "alice", "sid": "s-9", "groups": []}))
    assert done.identity is not None
    assert done.identity.sid == ""


def test_whoever_is_looked_at_again_is_in_the_same_session_unless_a_new_id_token_names_another() -> None:
    known = Identity(client="op", issuer=ISSUER, subject="alice", sid="s-1", unknown=LISTS)
    by_userinfo = Tokens(access_token=Secret("at-1"))
    told = reply({"sub": "alice", "groups": []})
    found, _ = play(client().recheck(known, by_userinfo, NOW), METADATA, told)
    assert found.sid == "s-1"
    for sid, kept in ((None, "s-1"), ("s-2", "s-2")):
        fresh = Tokens(access_token=Secret("at-1"), id_token=Secret(id_token(sid=sid)))
        found, _ = play(client().recheck(known, fresh, NOW), METADATA, jwks_of(RSA, EC))
        assert found.sid == kept


def test_a_logout_token_is_read_with_the_issuers_keys() -> None:
    ended, asked = play(client().ended(logout(), NOW), METADATA, jwks_of(RSA, EC))
    assert (ended.issuer, ended.sid, ended.jti) == (ISSUER, "s-1", "j-1")
    assert [type(ask) for ask in asked] == [Discovery, Keys]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        pytest.param(logout(OTHER_RSA), "logout_token_signature", id="another key"),
        pytest.param(logout(aud="other"), "logout_token_aud", id="another client"),
        pytest.param(Secret(id_token(sid="s-1")), "logout_token_events", id="ID token"),
    ],
)
def test_a_logout_token_that_does_not_hold_ends_nothing(raw: Secret, code: str) -> None:
    with pytest.raises(ClientError) as told:
        play(client().ended(raw, NOW), METADATA, jwks_of(RSA, EC))
    assert told.value.code == code


def test_what_is_no_token_has_nothing_fetched() -> None:
    with pytest.raises(ClientError):
        play(client().ended(Secret("nonsense"), NOW))


def test_a_logout_token_that_names_no_key_gets_one_try_with_keys_fetched_anew() -> None:
    head = {"alg": "RS256", "typ": "logout+jwt"}
    text = ".".join(base64url.encode(msgspec.json.encode(part)) for part in (head, LOGOUT))
    raw = Secret(f"{text}.{base64url.encode(_signature(text))}")
    old, new = jwks_of(OTHER_RSA), jwks_of(RSA)
    ended, asked = play(client().ended(raw, NOW), METADATA, old, new)
    assert ended.sid == "s-1"
    assert [ask.kid for ask in asked if isinstance(ask, Keys)] == [None, ""]


def test_it_speaks_for_its_own_issuer_to_the_letter() -> None:
    assert client().speaks_for(ISSUER)
    assert not client().speaks_for(f"{ISSUER}/")
    assert isinstance(client(), EndsSessions)


@pytest.mark.parametrize(
    ("said", "channels"),
    [
        ({}, ("page",)),
        ({"end_session_endpoint": None, "backchannel_logout_supported": True}, ("back",)),
        (
            {"backchannel_logout_supported": True, "frontchannel_logout_supported": True},
            ("page", "back", "front"),
        ),
        ({"backchannel_logout_supported": "true"}, ("page",)),
    ],
)
def test_how_it_tells_of_sessions_that_end_its_metadata_says(said: Any, channels: Any) -> None:
    assert play(client().sign_out_ways(), {**METADATA, **said})[0] == channels


def test_pages_of_the_provider_may_frame_ours_wherever_it_has_them() -> None:
    elsewhere = {**METADATA, "end_session_endpoint": "https://end.op.example:8443/x?y"}
    assert play(client().frame_origins(), elsewhere)[0] == (ISSUER, "https://end.op.example:8443")
    odd = {**METADATA, "end_session_endpoint": "https://evil;script-src/x"}
    assert play(client().frame_origins(), odd)[0] == (ISSUER,)
    assert play(client().frame_origins(), ProviderUnavailable("away"))[0] == (ISSUER,)
