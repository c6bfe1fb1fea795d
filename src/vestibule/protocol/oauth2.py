"""OAuth 2.0 as a client speaks it (RFC 6749, 6750, 7009, 7636, 9207; advice of RFC 9700).

Requests are built and answers are read here; nothing is sent. A form is a tuple of pairs for `kit.PostForm`.
PKCE goes with every code, S256 only. Nothing a provider sent is put into a message: what it calls an error is
kept apart, after its characters were checked, and its description is for the log.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qsl, quote, quote_plus, urlencode

from vestibule.errors import ProviderInvalid, ProviderRefused, ProviderUnavailable
from vestibule.model import Secret, Tokens
from vestibule.protocol import base64url
from vestibule.protocol.document import DocumentError, json_of, without_twins

Form: TypeAlias = tuple[tuple[str, str], ...]
ClientAuth: TypeAlias = Literal["client_secret_basic", "client_secret_post", "none"]

#: Parameters of the authorisation request that only this module sets.
RESERVED = frozenset(
    """
    response_type client_id redirect_uri state nonce code_challenge code_challenge_method response_mode
    request request_uri scope
    """.split()  # noqa: SIM905 - reads better than a line for each
)
MAX_PARAMETERS = 32
MAX_TOKEN_BYTES = 16 * 1024
#: Longer than any token lives: what is above is a provider's way to say "never".
MAX_LIFETIME_S = 10 * 365 * 86400

_ERROR_RE = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]{1,128}")
_TOKEN_RE = re.compile(r"[\x21-\x7e]+")
#: Errors that tell of the provider's health (RFC 6749 section 4.1.2.1, RFC 8628 section 3.5).
_TEMPORARY = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
#: Errors that tell of this gateway's registration and requests (RFC 6749 section 5.2).
_OF_CLIENT = frozenset({"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_request"})


def challenge_of(verifier: Secret) -> str:
    """The S256 code challenge. Spec: RFC 7636 section 4.2."""
    return base64url.encode(hashlib.sha256(verifier.reveal().encode("ascii")).digest())


def authorization_url(
    endpoint: str,
    *,
    client_id: str,
    redirect_uri: str,
    state: str,
    verifier: Secret,
    scopes: Iterable[str] = (),
    nonce: str = "",
    response_mode: str = "",
    more: Iterable[tuple[str, str]] = (),
) -> str:
    """The URL to send the browser to; a query the endpoint already has is kept (RFC 6749 section 3.1).

    `more` are parameters from the configuration and allowed hints. An empty `nonce` or
    `response_mode` (`query`, `form_post`) is left out.

    Raises: ValueError when `more`, or the endpoint's query, names a parameter this module sets, or one twice.
    """
    base, _, query = endpoint.partition("?")
    further = [*parse_qsl(query, keep_blank_values=True), *more]
    names = [name for name, _ in further]
    if RESERVED.intersection(names) or len(set(names)) != len(names):
        raise ValueError("a parameter of the authorisation request is set twice")
    scope = " ".join(scopes)
    pairs = [
        *further,
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", redirect_uri),
        *((("scope", scope),) if scope else ()),
        ("state", state),
        *((("nonce", nonce),) if nonce else ()),
        *((("response_mode", response_mode),) if response_mode else ()),
        ("code_challenge", challenge_of(verifier)),
        ("code_challenge_method", "S256"),
    ]
    return f"{base}?{urlencode(pairs, quote_via=quote)}"


def authorization_code(params: Mapping[str, str], *, issuer: str = "", has_iss: bool = False) -> Secret:
    """The code of an authorisation response whose state was already matched.

    `issuer` is whom the browser was sent to, empty for a plain OAuth client; `has_iss`: its metadata promises
    `iss` (authorization_response_iss_parameter_supported).

    Raises: ProviderRefused for an error response; ProviderUnavailable when that says so; ProviderInvalid for
    one from another issuer, or without a code. Spec: RFC 6749 section 4.1.2, RFC 9207 section 2.4. Threat:
    mix-up.
    """
    check_issuer(params.get("iss"), issuer=issuer, has_iss=has_iss)
    if "error" in params:
        raise _refusal(params["error"], params.get("error_description"))
    code = params.get("code", "")
    if not _is_token(code):
        raise ProviderInvalid("the provider's answer has no code", code="answer_code")
    return Secret(code)


def check_issuer(iss: str | None, *, issuer: str, has_iss: bool) -> None:
    """Raise ProviderInvalid unless the `iss` of an authorisation response is that of the issuer asked.

    Without `iss` it passes where none is promised; an `iss` nobody can check (plain OAuth) is not looked at.
    """
    if issuer and (iss != issuer if iss is not None else has_iss):
        raise ProviderInvalid("the answer is not from the provider that was asked", code="answer_iss")


def code_form(code: Secret, *, redirect_uri: str, verifier: Secret) -> Form:
    """Exchange of a code. Spec: RFC 6749 section 4.1.3, RFC 7636 section 4.5."""
    return (
        ("grant_type", "authorization_code"),
        ("code", code.reveal()),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier.reveal()),
    )


def refresh_form(refresh_token: Secret) -> Form:
    """Refresh, for the scopes there were. Spec: RFC 6749 section 6."""
    return (("grant_type", "refresh_token"), ("refresh_token", refresh_token.reveal()))


def client_credentials_form(scopes: Iterable[str] = (), more: Iterable[tuple[str, str]] = ()) -> Form:
    """A token of the client's own. Spec: RFC 6749 section 4.4."""
    scope = " ".join(scopes)
    return (("grant_type", "client_credentials"), *((("scope", scope),) if scope else ()), *more)


def assertion_form(assertion: Secret) -> Form:
    """A token for a signed JWT, as service accounts have it. Spec: RFC 7523 section 2.1."""
    return (("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion.reveal()))


def revocation_form(token: Secret, hint: Literal["access_token", "refresh_token"]) -> Form:
    """Revocation of one token. Spec: RFC 7009 section 2.1."""
    return (("token", token.reveal()), ("token_type_hint", hint))


def authenticated(
    form: Form, *, method: ClientAuth, client_id: str, client_secret: Secret
) -> tuple[Form, tuple[str, Secret] | None]:
    """The form and the `basic` of a `PostForm` that show who the client is. Spec: RFC 6749 section 2.3.1.

    `none` is for public clients: their id goes into the form.
    """
    if method == "client_secret_basic":
        return form, (client_id, client_secret)
    if method == "client_secret_post":
        return (*form, ("client_id", client_id), ("client_secret", client_secret.reveal())), None
    return (*form, ("client_id", client_id)), None


def client_basic(client_id: str, client_secret: Secret) -> Secret:
    """The Authorization value of client_secret_basic, form-encoded first. Spec: RFC 6749 section 2.3.1."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret.reveal())}"
    return Secret("Basic " + base64.b64encode(pair.encode("ascii")).decode("ascii"))


def parse_token_answer(
    status: int,
    content_type: str,
    body: bytes,
    *,
    now: float,
    asked: tuple[str, ...] = (),
    old: Tokens | None = None,
) -> Tokens:
    """The tokens in a token endpoint's answer, JSON or (as some send when not asked otherwise) a form.

    `asked` are the scopes that were asked for, granted when the answer names none. `old`, at a refresh: its
    refresh token, scopes and ID token are kept where no new ones came.

    Raises: ProviderRefused for an OAuth error, with whatever status (GitHub's has 200); ProviderUnavailable
    for 429, 5xx and errors that call themselves temporary; ProviderInvalid for anything else. Spec: RFC 6749
    sections 5.1, 5.2, 6.
    """
    if status == 429 or status >= 500:
        raise ProviderUnavailable("the provider can't answer now", detail=f"token endpoint: {status}")
    answer = _decoded(status, content_type, body)
    if error := answer.get("error"):
        raise _refusal(error, answer.get("error_description"))
    if status != 200:
        raise ProviderInvalid(
            "the provider's token answer is no answer",
            detail=f"token endpoint: {status}",
            code="token_answer_status",
        )
    return _tokens(answer, now=now, asked=asked, old=old)


def blames_grant(error: str) -> bool:
    """True for an OAuth error by which a credential itself is refused: it is dead, and may be forgotten.

    Threat: a changed client secret, or a provider in trouble, that costs everybody their credentials.
    """
    return error not in _TEMPORARY and error not in _OF_CLIENT


def _tokens(answer: Mapping[str, Any], *, now: float, asked: tuple[str, ...], old: Tokens | None) -> Tokens:
    kind = answer.get("token_type", "bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise ProviderInvalid(
            "the provider's token is of a type this gateway can't use", code="token_answer_type"
        )
    access_token = _token(answer, "access_token")
    if access_token is None:
        raise ProviderInvalid("the provider's token answer has no access token", code="token_answer_empty")
    return Tokens(
        access_token=access_token,
        refresh_token=_token(answer, "refresh_token") or (old.refresh_token if old else None),
        expires_at=_expiry(answer.get("expires_in"), now),
        scopes=_scopes(answer.get("scope")) or (old.scopes if old else asked),
        id_token=_token(answer, "id_token") or (old.id_token if old else None),
    )


def _decoded(status: int, content_type: str, body: bytes) -> Mapping[str, Any]:
    kind = content_type.partition(";")[0].strip().lower()
    try:
        is_form = kind in {"application/x-www-form-urlencoded", "text/plain"}
        if is_form and not body.lstrip().startswith(b"{"):
            pairs = parse_qsl(body.decode("ascii"), strict_parsing=True, max_num_fields=MAX_PARAMETERS)
            return without_twins(pairs)
        answer = json_of(body, "" if is_form else content_type)
    except DocumentError as exc:
        raise _unreadable(f"token endpoint: {status}, {exc}", exc.code) from None
    except ValueError:
        # Not chained: the decoder's message may quote the body, and that holds tokens.
        raise _unreadable(f"token endpoint: {status}, it is no form") from None
    if not isinstance(answer, dict):
        raise _unreadable(f"token endpoint: {status}, it is no object", "answer_shape")
    return answer


def _unreadable(detail: str, code: str = "answer_unreadable") -> ProviderInvalid:
    return ProviderInvalid("the provider's token answer can't be read", detail=detail, code=code)


def _token(answer: Mapping[str, Any], name: str) -> Secret | None:
    """A token as text that can stand in a header; None where it is absent, null or empty."""
    value = answer.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _is_token(value):
        raise ProviderInvalid(f"the provider's {name} is malformed", code="token_answer_malformed")
    return Secret(value)


def _is_token(value: str) -> bool:
    return len(value) <= MAX_TOKEN_BYTES and _TOKEN_RE.fullmatch(value) is not None


def _expiry(raw: Any, now: float) -> float | None:
    """When a token expires; None where the answer doesn't say, or says what can't be meant (0, "never")."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    try:
        seconds = float(raw)
    except (ValueError, OverflowError):
        return None if isinstance(raw, str) else now + MAX_LIFETIME_S
    if math.isnan(seconds) or seconds <= 0:
        return None
    return now + min(seconds, MAX_LIFETIME_S)


def _scopes(raw: Any) -> tuple[str, ...]:
    """Granted scopes: space-separated (RFC 6749 section 3.3), with commas (GitHub), or a list (Twitch)."""
    if isinstance(raw, str):
        return tuple(raw.replace(",", " ").split())
    if isinstance(raw, list):
        return tuple(scope for scope in raw if isinstance(scope, str) and scope)
    return ()


def check_parameters(parameters: tuple[tuple[str, str], ...]) -> None:
    """Raise ValueError for parameters that protect the flow, and for one written twice."""
    names = [name for name, _ in parameters]
    for name in names:
        if name in RESERVED:
            raise ValueError(f"the parameter {name} is set by the gateway for each sign-in")
        if names.count(name) > 1:
            raise ValueError(f"the parameter {name} is written twice")


def _refusal(error: Any, description: Any) -> ProviderRefused | ProviderUnavailable | ProviderInvalid:
    """What an OAuth error is, as an exception; text beyond the RFC's characters is not repeated."""
    if not isinstance(error, str) or not _ERROR_RE.fullmatch(error):
        return ProviderInvalid("the provider's answer is an error that can't be read", code="answer_error")
    text = description[:512] if isinstance(description, str) else ""
    text = "".join(char if char.isprintable() else " " for char in text)
    if error in _TEMPORARY:
        return ProviderUnavailable("the provider can't answer now", detail=f"{error}: {text}")
    return ProviderRefused(error, text)
