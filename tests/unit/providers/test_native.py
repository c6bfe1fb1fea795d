"""ID tokens that apps got themselves, of SDKs: which of them say who somebody is."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from tests.unit.providers import test_apple
from tests.unit.providers.player import NONCE, NOW, jwks_of, play
from tests.unit.providers.test_oidc import EC, ISSUER, METADATA, OTHER_RSA, RSA, client, id_token
from vestibule.errors import ClientError, ProviderInvalid
from vestibule.model import Secret
from vestibule.protocol import base64url
from vestibule.protocol.jose import SigningKey
from vestibule.providers.base import Native, NativeLogin, NativeToken
from vestibule.providers.google import GoogleConfig
from vestibule.providers.kit import Discovery, Keys
from vestibule.providers.oidc import Oidc

IDS = ("ios.example", "web.example")
HASHED = hashlib.sha256(NONCE.encode()).hexdigest()


def native(op: Oidc | None = None, key: SigningKey = RSA, by: str = NONCE, **claims: Any) -> Native:
    """Whom an app's ID token is about; nothing but metadata and keys is asked for."""
    raw = id_token(key, **{"aud": "ios.example", **claims})
    return of(raw, op or client(native_client_ids=IDS), nonce=by)


def of(raw: str, op: Oidc, *, nonce: str = NONCE, user: str = "", metadata: Any = METADATA) -> Native:
    shown = NativeToken(id_token=Secret(raw), nonce=Secret(nonce), user=user, now=NOW)
    found, asked = play(op.native(shown), metadata, jwks_of(RSA, EC))
    assert [type(ask) for ask in asked] == [Discovery, Keys]
    return found


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"nonce": HASHED},
        {"azp": "ios.example"},
        {"aud": "web.example", "azp": "ios.example"},
        {"aud": ["ios.example"]},
        {"aud": ["ios.example", "api"], "azp": "ios.example"},
        {"at_hash": "of-an-access-token-that-stays-with-the-app"},
    ],
    ids=[
        "as it is",
        "nonce hashed",
        "azp",
        "Android: for the server, by the app",
        "list",
        "many, azp ours",
        "at_hash",
    ],
)
def test_it_says_who_has_come(claims: dict[str, Any]) -> None:
    found = native(**claims)
    one = found.identity
    assert (one.client, one.issuer, one.subject, one.email, one.groups) == (
        "op",
        ISSUER,
        "alice",
        "alice@example.com",
        ("staff",),
    )
    assert NOW < found.until <= NOW + 300 + 120


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"aud": "cid"}, "aud"),
        ({"aud": "android.evil.example"}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": ["ios.example", "api"]}, "azp"),
        ({"azp": "evil.example"}, "azp"),
        ({"azp": "cid"}, "azp"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"iss": f"{ISSUER}/"}, "iss"),
        ({"exp": int(NOW) - 61}, "expired"),
        ({"exp": None}, "expired"),
        ({"iat": int(NOW) - 3601, "exp": int(NOW) + 86_400}, "iat"),
        ({"iat": int(NOW) + 61}, "iat"),
        ({"nonce": None}, "nonce"),
        ({"nonce": "m" * 43}, "nonce"),
        ({"nonce": HASHED.upper()}, "nonce"),
        ({"nonce": 7}, "nonce"),
        ({"sub": ""}, "sub"),
        ({"typ": "Logout"}, "typ"),
    ],
    ids=str,
)
def test_o11_it_is_refused(claims: dict[str, Any], code: str) -> None:
    with pytest.raises(ProviderInvalid) as told:
        native(**claims)
    assert told.value.code == f"id_token_{code}"


def test_another_key_signs_nobody_in() -> None:
    with pytest.raises(ProviderInvalid) as told:
        native(key=OTHER_RSA)
    assert told.value.code == "id_token_signature"


def test_an_empty_nonce_fits_nothing() -> None:
    with pytest.raises(ProviderInvalid) as told:
        native(by="")
    assert told.value.code == "id_token_nonce"


@pytest.mark.parametrize("nonce", [None, ""])
def test_a_token_without_nonce_is_nobodys_whatever_is_shown_with_it(nonce: Any) -> None:
    with pytest.raises(ProviderInvalid):
        native(by="", nonce=nonce)


def test_where_no_apps_are_named_none_signs_in() -> None:
    op = client()
    shown = NativeToken(id_token=Secret(id_token(aud="cid")), nonce=Secret(NONCE), now=NOW)
    with pytest.raises(ProviderInvalid):
        play(op.native(shown))
    assert isinstance(op, NativeLogin)
    assert op.native_client_ids == ()


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_address_that_is_not_verified_is_none(verified: Any) -> None:
    assert native(email_verified=verified).identity.email == ""


def test_what_keeps_accounts_out_on_the_web_keeps_them_out_here() -> None:
    op = client(native_client_ids=IDS, allowed_groups=("admins",))
    with pytest.raises(ClientError) as told:
        native(op)
    assert told.value.code == "not_admitted"
    google = GoogleConfig(
        name="google", client_id="cid", issuer=ISSUER, native_client_ids=IDS, hosted_domain="corp.example"
    ).open()
    assert native(google, hd="corp.example").identity.orgs == ("corp.example",)
    with pytest.raises(ClientError):
        native(google, hd="other.example")


def test_the_mark_is_of_what_is_signed() -> None:
    """Threat: ECDSA has a second good signature for everything that was signed."""
    op = client(native_client_ids=IDS)
    raw = id_token(EC, aud="ios.example")
    text, _, signature = raw.rpartition(".")
    decoded = base64url.decode(signature)
    assert decoded is not None
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    s = order - int.from_bytes(decoded[32:], "big")
    twin = f"{text}.{base64url.encode(decoded[:32] + s.to_bytes(32, 'big'))}"
    assert twin != raw
    assert of(twin, op).mark == of(raw, op).mark
    assert native().mark != native(sub="bob").mark


@pytest.mark.parametrize(
    ("claims", "ago_s"), [({}, 5), ({"auth_time": int(NOW) - 900}, 900), ({"auth_time": "x"}, 5)]
)
def test_that_a_token_is_new_says_not_that_somebody_was_just_there(
    claims: dict[str, Any], ago_s: int
) -> None:
    assert native(**claims).identity.signed_in_at == NOW - ago_s


@pytest.mark.parametrize("ids", [("",), (" x",), ("a\n",)])
def test_client_ids_are_as_the_provider_shows_them(ids: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="native_client_ids"):
        client(native_client_ids=ids)


def test_apples_name_is_what_the_app_says_and_nobodys_word() -> None:
    op = test_apple.client(native_client_ids=("com.example.forum",))
    raw = id_token(iss=test_apple.ISSUER, aud="com.example.forum", name=None, nonce=HASHED)
    user = msgspec.json.encode({"name": {"firstName": "Zoë"}, "email": "victim@example.com"}).decode()
    found = of(raw, op, user=user, metadata=test_apple.APPLE)
    assert (found.name, found.identity.name, found.identity.email) == ("Zoë", "", "alice@example.com")
