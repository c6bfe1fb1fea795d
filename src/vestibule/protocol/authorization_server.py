"""OAuth 2.1 as an authorization server speaks it: requests read, answers written. Nothing is decided here.

Spec: RFC 6749, 7636 (S256 alone), 8414, 8707, 9207; draft-ietf-oauth-v2-1.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import unquote_plus, urlencode, urlsplit, urlunsplit

import msgspec

from vestibule.model import Secret
from vestibule.protocol import base64url

OAuthErrorCode: TypeAlias = Literal[
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
    "unsupported_token_type",
    "invalid_scope",
    "invalid_target",
    "access_denied",
    "login_required",
    "interaction_required",
    "consent_required",
    "server_error",
    "temporarily_unavailable",
    "authorization_pending",
    "slow_down",
    "expired_token",
    "registration_required",
    "invalid_redirect_uri",
    "invalid_client_metadata",
]
ID_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - a name
ACCESS_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name
JWT_TYPE: Final = "urn:ietf:params:oauth:token-type:jwt"
"""Spec: RFC 8693 section 3."""
VALUE_MAX_CHARS: Final = 2048
STATE_MAX_CHARS: Final = 1024
_CHALLENGE_RE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER_RE: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_SCOPE_RE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}")
_TEXT_RE: Final = re.compile(r"[\x20-\x7e]*")


class OAuthError(Exception):
    """What is wrong with a request, as the client is told it (RFC 6749 sections 4.1.2.1 and 5.2)."""

    def __init__(
        self,
        code: OAuthErrorCode,
        description: str = "",
        *,
        status: int = 400,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """`more`: what stands beside it in the answer."""
        super().__init__(code)
        self.more = more or {}
        self.code: OAuthErrorCode = code
        self.description = description
        self.status = status


class AuthorizationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What came to the authorization endpoint, unchecked but for its form (RFC 6749 section 4.1.1)."""

    client_id: str = ""
    redirect_uri: str = ""
    response_type: str = ""
    scopes: tuple[str, ...] = ()
    state: str = ""
    challenge: str = ""
    challenge_method: str = ""
    resource: str = ""
    """What the token is for (RFC 8707), or `audience`."""
    prompt: str = ""
    login_hint: str = ""
    provider: str = ""
    """ID of the client by which the person is to sign in; ours."""
    fault: str = ""
    """What can't be read of it; empty where all can."""


def authorization_request(parameters: Mapping[str, str]) -> AuthorizationRequest:
    """The request in these parameters; one that was sent twice isn't among them."""
    found = {
        name: parameters.get(name, "") for name in ("client_id", "redirect_uri", "response_type", "prompt")
    }
    state = parameters.get("state", "")
    fault = ""
    if len(state) > STATE_MAX_CHARS or not _TEXT_RE.fullmatch(state):
        fault, state = "state is too long, or no visible ASCII", ""
    if any(len(value) > VALUE_MAX_CHARS for value in parameters.values()):
        fault = fault or "a parameter is too long"
    return AuthorizationRequest(
        **found,
        scopes=scopes_in(parameters.get("scope", "")),
        state=state,
        challenge=parameters.get("code_challenge", ""),
        challenge_method=parameters.get("code_challenge_method", ""),
        resource=parameters.get("resource", "") or parameters.get("audience", ""),
        login_hint=parameters.get("login_hint", ""),
        provider=parameters.get("provider", ""),
        fault=fault,
    )


def scopes_in(text: str) -> tuple[str, ...]:
    """The scopes, each once, in order; one that breaks the grammar stays, so that it is refused by name of nobody's.

    Spec: RFC 6749 section 3.3.
    """
    return tuple(dict.fromkeys(text.split(" "))) if text else ()


def is_scope(text: str) -> bool:
    """True for what can be a scope."""
    return bool(_SCOPE_RE.fullmatch(text))


def is_challenge(text: str) -> bool:
    """True for what SHA-256 can have made. Spec: RFC 7636 section 4.2."""
    return bool(_CHALLENGE_RE.fullmatch(text))


def proves(verifier: str, challenge: str) -> bool:
    """True where the challenge was made of this verifier. Spec: RFC 7636 section 4.6."""
    if not _VERIFIER_RE.fullmatch(verifier):
        return False
    made = base64url.encode(hashlib.sha256(verifier.encode("ascii")).digest())
    return hmac.compare_digest(made.encode(), challenge.encode())


def answer_url(redirect_uri: str, parameters: Iterable[tuple[str, str]]) -> str:
    """The redirect URI with these parameters behind its own. Spec: RFC 6749 section 4.1.2."""
    parts = urlsplit(redirect_uri)
    more = urlencode([(name, value) for name, value in parameters if value])
    query = f"{parts.query}&{more}" if parts.query else more
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def code_answer(redirect_uri: str, code: str, *, state: str, issuer: str) -> str:
    """Where the browser goes with a code. Spec: RFC 6749 section 4.1.2, RFC 9207 section 2."""
    return answer_url(redirect_uri, (("code", code), ("state", state), ("iss", issuer)))


def error_answer(redirect_uri: str, code: OAuthErrorCode, why: str, *, state: str, issuer: str) -> str:
    """Where the browser goes without one. Spec: RFC 6749 section 4.1.2.1."""
    return answer_url(
        redirect_uri,
        (("error", code), ("error_description", why), ("state", state), ("iss", issuer)),
    )


class ClientShown(msgspec.Struct, frozen=True, kw_only=True):
    """Who a client says it is at the token endpoint."""

    id: str = ""
    secret: Secret | None = None
    """None: it showed none."""
    by_header: bool = False
    """It used HTTP Basic, so a refusal is a 401 with a challenge (RFC 6749 section 5.2)."""


def client_shown(authorization: str, form: Mapping[str, str]) -> ClientShown:
    """Who it says it is. Raises OAuthError for two ways at once, or one that can't be read.

    Spec: RFC 6749 section 2.3.1 (in Basic both are form-encoded first).
    """
    scheme, _, given = authorization.partition(" ")
    if not authorization:
        secret = form.get("client_secret")
        return ClientShown(
            id=form.get("client_id", ""), secret=Secret(secret) if secret is not None else None
        )
    if scheme.lower() != "basic" or "client_secret" in form:
        raise OAuthError("invalid_client", "one way to say who you are", status=401)
    try:
        name, colon, secret = base64.b64decode(given.strip(), validate=True).decode().partition(":")
    except ValueError:
        colon = name = secret = ""
    client_id = unquote_plus(name)
    if not colon or form.get("client_id", client_id) != client_id:
        raise OAuthError("invalid_client", "the Basic credentials can't be read", status=401)
    return ClientShown(id=client_id, secret=Secret(unquote_plus(secret)), by_header=True)


def token_answer(
    access_token: Secret,
    *,
    expires_in_s: float,
    scopes: Iterable[str],
    refresh_token: Secret | None = None,
    token_type: str = "",
) -> dict[str, Any]:
    """What the token endpoint says; `token_type`: of a token that was exchanged.

    Spec: RFC 6749 section 5.1, RFC 8693 section 2.2.1.
    """
    found: dict[str, Any] = {
        "access_token": access_token.reveal(),
        "token_type": "Bearer",
        "expires_in": int(expires_in_s),
        "scope": " ".join(scopes),
    }
    if refresh_token is not None:
        found["refresh_token"] = refresh_token.reveal()
    if token_type:
        found["issued_token_type"] = token_type
    return found


def error_body(error: OAuthError) -> dict[str, Any]:
    """What it says of an error. Spec: RFC 6749 section 5.2."""
    told: dict[str, Any] = {"error": error.code}
    if error.description:
        told["error_description"] = error.description
    return {**told, **error.more}
