"""OpenID Connect as a relying party reads it (Core 1.0, Discovery 1.0, RP-Initiated Logout 1.0).

An ID token is believed when its signature holds and every check of one table passes; each check is one
function of the claims and of what was expected, and has an error code of its own. All comparisons are exact: an
issuer with another slash is another issuer.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from vestibule.errors import ProviderInvalid
from vestibule.model import Secret
from vestibule.protocol import base64url, jose
from vestibule.protocol.address import is_loopback

SKEW_S = 60.0
#: An ID token comes straight from the token endpoint: one made long ago was kept by somebody.
MAX_AGE_S = 3600.0


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What an issuer says of itself, as far as it is used; empty where it says nothing."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""
    revocation_endpoint: str = ""
    algorithms: tuple[str, ...] = ("RS256",)
    """What it signs ID tokens with, as far as that is accepted here; never empty."""
    auth_methods: tuple[str, ...] = ("client_secret_basic",)
    """How clients may show who they are at the token endpoint."""
    has_iss: bool = False
    """Its authorisation responses carry `iss` (RFC 9207)."""
    has_s256: bool | None = None
    """Whether it names S256 among its PKCE methods; None when it names none."""
    logout_channels: tuple[str, ...] = ()
    """By which it says that a session of its own is over: `back` (Back-Channel Logout 1.0), `front`."""


def discovery_url(issuer: str) -> str:
    """Where an issuer's metadata stand. Spec: OpenID Connect Discovery 1.0 section 4."""
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


def is_safe_url(url: Any, *, plain: bool = False) -> bool:
    """True for an https URL with a host and without user, fragment or white space.

    `plain`: http will do as well; without it, http on loopback only.
    """
    if not isinstance(url, str) or not _URL_RE.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or plain or is_loopback(host)


_URL_RE = re.compile(r"https?://[!-~]{1,2040}")
#: where the browser is sent: nothing but this module looks at these URLs
_PAGES = frozenset({"authorization_endpoint", "end_session_endpoint"})
_OPTIONAL_ENDPOINTS = ("userinfo_endpoint", "end_session_endpoint", "revocation_endpoint")


def parse_metadata(document: Any, issuer: str, *, led_by: str = "") -> Metadata:
    """What the discovery document of this issuer says; `led_by` is where it came from, if not the usual place.

    Endpoints are https; http on loopback, and on a host that issuer or `led_by` name with http. What this gateway
    fetches itself may be http on any host where one of these two is: `fetch` says which it may go to.

    Raises: ProviderInvalid when it is another issuer's, lacks what a sign-in needs, names an endpoint that can't
    be trusted, or signs with nothing that is accepted. Spec: OpenID Connect Discovery 1.0 sections 3, 4.3.
    """
    if not isinstance(document, Mapping):
        raise _invalid("its discovery document is no object", code="answer_shape")
    is_issuer_fit = is_safe_url(issuer, plain=True) and "?" not in issuer and "#" not in issuer
    if document.get("issuer") != issuer or not is_issuer_fit:
        raise _invalid("its discovery document is another issuer's", code="wrong_issuer")
    plain = {urlsplit(url).hostname for url in (issuer, led_by) if url.startswith("http://")}
    needed = {
        name: _endpoint(document, name, plain)
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
    }
    if missing := [name for name, url in needed.items() if not url]:
        raise _invalid(f"its discovery document has no {missing[0]}", code="metadata_endpoint")
    if "code" not in _names(document, "response_types_supported", ("code",)):
        raise _invalid("it doesn't do the authorisation code flow", code="metadata_flow")
    signs_with = _names(document, "id_token_signing_alg_values_supported", ("RS256",))
    algorithms = tuple(name for name in signs_with if name in jose.ALGORITHMS)
    if not algorithms:
        raise _invalid("it signs ID tokens with nothing that is accepted here", code="metadata_alg")
    pkce = _names(document, "code_challenge_methods_supported", ())
    return Metadata(
        issuer=issuer,
        **needed,
        **{name: _endpoint(document, name, plain) for name in _OPTIONAL_ENDPOINTS},
        algorithms=algorithms,
        auth_methods=_names(document, "token_endpoint_auth_methods_supported", ("client_secret_basic",)),
        has_iss=document.get("authorization_response_iss_parameter_supported") is True,
        has_s256=("S256" in pkce) if pkce else None,
        logout_channels=tuple(
            name for name in ("back", "front") if document.get(f"{name}channel_logout_supported") is True
        ),
    )


def keys_url(document: Any, issuer: str) -> str:
    """Where the keys of this issuer are, by metadata that may belong to one that signs nobody in.

    Raises: ProviderInvalid when they are another issuer's, or name no URL that can be trusted. Spec: RFC 8414
    sections 2 and 3.3.
    """
    if not isinstance(document, Mapping) or document.get("issuer") != issuer:
        raise _invalid("its metadata is another issuer's", code="wrong_issuer")
    plain = {urlsplit(issuer).hostname} if issuer.startswith("http://") else set()
    url = _endpoint(document, "jwks_uri", plain)
    if not url:
        raise _invalid("its metadata has no jwks_uri", code="metadata_endpoint")
    return url


def _endpoint(document: Mapping[str, Any], name: str, plain: Container[str | None]) -> str:
    """The endpoint's URL; empty where there is none. `plain`: the hosts that may speak http."""
    url = document.get(name)
    if url is None or url == "":
        return ""
    is_safe = isinstance(url, str) and is_safe_url(url, plain=bool(plain)) and "#" not in url
    if is_safe and name in _PAGES:
        is_safe = is_safe_url(url, plain=urlsplit(url).hostname in plain)
    if not is_safe:
        raise _invalid(f"its {name} is not a URL that can be trusted", code="metadata_endpoint")
    return str(url)


def _names(document: Mapping[str, Any], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value = document.get(name)
    if not isinstance(value, list):
        return default
    return tuple(item for item in value if isinstance(item, str)) or default


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What the claims of an ID token are held against."""

    issuer: str
    client_id: str
    nonce: str
    access_token: Secret | None
    now: float
    algorithm: str
    """Of the token's own, verified signature: it chooses the hash of `at_hash`, `c_hash` and `s_hash`."""
    code: Secret | None = None
    """The authorisation code it was got for; None at a refresh."""
    state: Secret | None = None
    max_age_s: int | None = None
    """How long ago the person may have signed in, as the request said; None: it didn't."""
    client_ids: tuple[str, ...] = ()
    """Instead of `client_id`, where it is made for programs of the operator's, any of them; empty: for this gateway."""

    @property
    def parties(self) -> tuple[str, ...]:
        """For whom it may be made."""
        return self.client_ids or (self.client_id,)


def key_id_of(raw: str) -> str | None:
    """The key an ID token says it is signed with, unverified. Raises: ProviderInvalid."""
    try:
        return jose.key_id_of(raw)
    except jose.TokenError as exc:
        raise _unbelieved(exc.code, str(exc)) from exc


def verify_id_token(
    raw: str,
    keys: Sequence[Mapping[str, Any]],
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    access_token: Secret | None,
    now: float,
    algorithms: Sequence[str],
    code: Secret | None = None,
    state: Secret | None = None,
    max_age_s: int | None = None,
    client_ids: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The claims of an ID token, every one that this gateway relies on checked.

    An empty `nonce` expects none in particular: at a refresh, where there was no request to bind to, and where
    `check_native` looks at it.

    Raises: ProviderInvalid, whose code `id_token_…` names the check that failed; it is `id_token_key` when no
    key fits, so that the key set may be fetched anew. Spec: OpenID Connect Core 1.0 section 3.1.3.7.
    """
    try:
        verified = jose.verify(raw, keys, algorithms=algorithms)
    except jose.TokenError as exc:
        raise _unbelieved(exc.code, str(exc)) from exc
    expected = Expected(
        issuer=issuer,
        client_id=client_id,
        nonce=nonce,
        access_token=access_token,
        now=now,
        algorithm=verified.header["alg"],
        code=code,
        state=state,
        max_age_s=max_age_s,
        client_ids=client_ids,
    )
    if not _is_id_token(verified):
        raise _unbelieved("typ", "it is a token of another kind")
    check_claims(verified.claims, expected)
    return verified.claims


def check_claims(claims: Mapping[str, Any], expected: Expected) -> None:
    """Raise ProviderInvalid for the first check of the table that fails."""
    for code, (name, holds) in _CHECKS.items():
        if not holds(claims, expected):
            raise _unbelieved(code, f"{name} does not fit")


def _is_id_token(verified: jose.Verified) -> bool:
    """Threat: a logout token, an access token or signed userinfo of the same issuer, passed off as an ID token."""
    kind = verified.header.get("typ", "JWT")
    claims = verified.claims
    return (
        isinstance(kind, str)
        and kind.lower() == "jwt"
        and "events" not in claims  # logout tokens and security events (RFC 8417)
        and claims.get("typ", "ID") == "ID"  # Keycloak: Bearer, Refresh, Logout
        and claims.get("token_use", "id") == "id"  # Cognito: access
    )


def _is_issuer(claims: Mapping[str, Any], expected: Expected) -> bool:
    iss: Any = claims.get("iss")
    return isinstance(iss, str) and iss == expected.issuer


def _is_audience(claims: Mapping[str, Any], expected: Expected) -> bool:
    """Made for this client."""
    aud = claims.get("aud")
    audiences = [aud] if isinstance(aud, str) else aud
    if not isinstance(audiences, list) or not all(isinstance(one, str) for one in audiences):
        return False
    return any(one in audiences for one in expected.parties)


def _is_authorised_party(claims: Mapping[str, Any], expected: Expected) -> bool:
    """Where it is for others too, at least by this client's own request (section 3.1.3.7 steps 4 and 5)."""
    aud, azp = claims["aud"], claims.get("azp")
    is_for_others = isinstance(aud, list) and len(set(aud)) > 1
    return azp in expected.parties if is_for_others or azp is not None else True


def _is_subject(claims: Mapping[str, Any], _expected: Expected) -> bool:
    sub = claims.get("sub")
    return isinstance(sub, str) and 0 < len(sub) <= 255 and sub.isprintable() and sub.strip() == sub


def _is_unexpired(claims: Mapping[str, Any], expected: Expected) -> bool:
    exp = _number(claims.get("exp"))
    return exp is not None and expected.now < exp + SKEW_S


def _is_fresh(claims: Mapping[str, Any], expected: Expected) -> bool:
    iat = _number(claims.get("iat"))
    return iat is not None and expected.now - MAX_AGE_S <= iat <= expected.now + SKEW_S


def _has_begun(claims: Mapping[str, Any], expected: Expected) -> bool:
    if "nbf" not in claims:
        return True
    nbf = _number(claims["nbf"])
    return nbf is not None and nbf <= expected.now + SKEW_S


def _is_nonce(claims: Mapping[str, Any], expected: Expected) -> bool:
    """Threat: an ID token of another sign-in, injected with its code."""
    if not expected.nonce:
        return True
    nonce = claims.get("nonce")
    return isinstance(nonce, str) and _is_same(nonce, expected.nonce)


def check_native(claims: Mapping[str, Any], nonce: str) -> None:
    """Raise ProviderInvalid `id_token_nonce` unless a program asked for this token by this nonce.

    The claim is the nonce, or the hex of its SHA-256: an app that sends that to the provider alone (as Apple's and
    Google's SDKs are used) keeps a token of use to nobody who reads it on its way.
    """
    told = claims.get("nonce")
    hashed = hashlib.sha256(nonce.encode("utf-8")).hexdigest()
    if not nonce or not isinstance(told, str) or not (_is_same(told, nonce) or _is_same(told, hashed)):
        raise _unbelieved("nonce", "nonce does not fit")


def _is_recent(claims: Mapping[str, Any], expected: Expected) -> bool:
    """Where the request said how long ago they may have signed in, the token says when. Spec: step 11 there.

    Threat: a provider that leaves it at the session it has, which somebody else may sit in front of.
    """
    if expected.max_age_s is None:
        return True
    auth_time = _number(claims.get("auth_time"))
    return (
        auth_time is not None
        and expected.now - expected.max_age_s - SKEW_S <= auth_time <= expected.now + SKEW_S
    )


def signed_in_at(claims: Mapping[str, Any], now: float) -> float:
    """When the person signed in, by the claims of a verified token; what is as good as now is now."""
    auth_time = _number(claims.get("auth_time")) or 0.0
    return now if now - auth_time <= SKEW_S else float(auth_time)


def native_signed_in_at(claims: Mapping[str, Any], now: float) -> float:
    """When the person was there at the latest, by the claims of a verified token that an app asked for by itself.

    An SDK gives tokens of one sign-in again and again, unasked: that one is new says nothing.
    """
    return min(now, _number(claims.get("auth_time")) or claims["iat"])


def _is_at_hash(claims: Mapping[str, Any], expected: Expected) -> bool:
    """Where it is there, the access token is the one it came with. Spec: Core 1.0 section 3.1.3.6."""
    return _is_hash(claims, "at_hash", expected.access_token, expected.algorithm)


def _is_c_hash(claims: Mapping[str, Any], expected: Expected) -> bool:
    """Where it is there, the code is the one it was got for. Spec: Core 1.0 section 3.3.2.11."""
    return _is_hash(claims, "c_hash", expected.code, expected.algorithm)


def _is_s_hash(claims: Mapping[str, Any], expected: Expected) -> bool:
    """Where it is there, the state is that of this sign-in. Spec: FAPI 1.0 part 2 section 5.1."""
    return _is_hash(claims, "s_hash", expected.state, expected.algorithm)


def _is_hash(claims: Mapping[str, Any], name: str, of: Secret | None, algorithm: str) -> bool:
    if name not in claims or of is None:
        return True
    told = claims[name]
    return isinstance(told, str) and _is_same(told, half_hash_of(of, algorithm))


def _is_same(told: str, expected: str) -> bool:
    # JSON can hold lone surrogates, which plain UTF-8 can't.
    return hmac.compare_digest(told.encode("utf-8", "surrogatepass"), expected.encode("utf-8"))


#: code of the refusal, behind `id_token_` → the claim, and what is asked of it; in this order
_CHECKS: Mapping[str, tuple[str, Callable[[Mapping[str, Any], Expected], bool]]] = {
    "iss": ("iss", _is_issuer),
    "aud": ("aud", _is_audience),
    "azp": ("azp", _is_authorised_party),
    "sub": ("sub", _is_subject),
    "expired": ("exp", _is_unexpired),
    "iat": ("iat", _is_fresh),
    "not_yet": ("nbf", _has_begun),
    "nonce": ("nonce", _is_nonce),
    "auth_time": ("auth_time", _is_recent),
    "at_hash": ("at_hash", _is_at_hash),
    "c_hash": ("c_hash", _is_c_hash),
    "s_hash": ("s_hash", _is_s_hash),
}


def half_hash_of(value: Secret, algorithm: str) -> str:
    """The left half of the value's digest, by the hash of the signature's algorithm (EdDSA: SHA-512)."""
    digest = {"256": hashlib.sha256, "384": hashlib.sha384}.get(algorithm[-3:], hashlib.sha512)
    half = digest(value.reveal().encode("ascii")).digest()
    return base64url.encode(half[: len(half) // 2])


def _number(value: Any) -> float | int | None:
    """A NumericDate (RFC 7519 section 2): no text, no truth value, nothing beyond all times."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 1e15 else None


def parse_userinfo(document: Any, subject: str) -> dict[str, Any]:
    """The claims of a userinfo answer about the subject of the ID token.

    Raises: ProviderInvalid when `sub` is missing or another's. Spec: Core 1.0 section 5.3.2.
    Threat: token substitution.
    """
    if not isinstance(document, dict):
        raise _invalid("its userinfo is no object", code="answer_shape")
    sub: Any = document.get("sub")
    if not isinstance(sub, str) or sub != subject:
        raise _invalid("its userinfo is about somebody else", code="userinfo_sub")
    return document


def logout_url(
    endpoint: str, *, client_id: str, return_to: str, id_token: Secret | None = None, state: str = ""
) -> str:
    """Where to send the browser to sign out at the provider; a query the endpoint has is kept.

    The ID token goes along as the hint the specification asks for, so this URL belongs in a redirect and in
    no log. Spec: RP-Initiated Logout 1.0 section 2.
    """
    pairs = [("client_id", client_id), ("post_logout_redirect_uri", return_to)]
    if id_token:
        pairs.insert(0, ("id_token_hint", id_token.reveal()))
    if state:
        pairs.append(("state", state))
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(pairs, quote_via=quote)}"


_LOCAL_RE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN_RE = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")


def parse_email(raw: Any) -> str:
    """The address with its domain in lower case, or empty for anything but a plain ASCII one (RFC 5321 dot-atom).

    Threat: `a@evil.example@corp.example`, quoted local parts, look-alike letters and full-width signs,
    control characters, address literals: whatever one reader takes for another domain.
    """
    if not isinstance(raw, str) or len(raw) > 254 or raw.count("@") != 1:
        return ""
    local, _, domain = raw.partition("@")
    if len(local) > 64 or not _LOCAL_RE.fullmatch(local) or not _DOMAIN_RE.fullmatch(domain):
        return ""
    # A name that ends in a number is an IP address to some readers.
    return "" if domain.rpartition(".")[2].isdigit() else f"{local}@{domain.lower()}"


def check_refreshed(claims: Mapping[str, Any], old: Mapping[str, Any]) -> None:
    """Raise ProviderInvalid unless a refreshed ID token, verified, is about what the `old` one was about.

    Spec: OpenID Connect Core 1.0 section 12.2. A nonce may be missing from the new one, but not be another.
    """
    if claims["sub"] != old.get("sub"):
        raise _invalid("it refreshed somebody else's tokens", code="refresh_sub")
    if claims.get("nonce") not in (None, old.get("nonce")):
        raise _invalid("it refreshed another sign-in's tokens", code="refresh_nonce")


def _unbelieved(code: str, detail: str) -> ProviderInvalid:
    return _invalid("its ID token can't be believed", detail=detail, code=f"id_token_{code}")


def _invalid(what: str, *, detail: str = "", code: str) -> ProviderInvalid:
    return ProviderInvalid(f"the provider can't be used: {what}", detail=detail, code=code)
