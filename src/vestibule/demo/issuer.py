"""The demo's OpenID provider as a machine: requests and times in; codes, tokens and refusals out.

No HTTP, no clock, no randomness of its own: `demo.provider` lends it all three. Everything is kept in memory.

A code turns into a grant; a grant gives access tokens that live a minute, and one refresh token at a time.
What must not happen twice ends the grant: a code used again (RFC 6749 section 4.1.2), a refresh token that
was already rotated away (RFC 9700 section 4.14.2).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from vestibule.demo.people import BY_LOGIN, Person
from vestibule.errors import ClientError
from vestibule.model import Secret

ACCESS_LIFE_S = 60.0
CODE_LIFE_S = 60.0
CODE_MEMORY_S = 600.0  # a used code is remembered this long, so that a replay is seen
SCOPES = ("openid", "profile", "email", "groups", "offline_access")
_MAX_GRANTS = 2000


class Refusal(ClientError):
    """The provider says no, with an error code of RFC 6749 or OpenID Connect."""

    code = "demo_refusal"

    def __init__(self, error: str, description: str, *, redirect: str = "", status: int = 400) -> None:
        super().__init__(description, status=status)
        self.error = error
        self.redirect = redirect
        """The whole URL to send the browser to; empty where the client must not be told (or can't be)."""


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """An app that is registered here."""

    id: str
    secret: Secret
    redirect_uris: frozenset[str]
    sign_out_uris: frozenset[str] = frozenset()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An authorization request that passed every check (RFC 6749 section 4.1.1, RFC 7636 section 4.3)."""

    client_id: str
    redirect_uri: str
    state: str
    scopes: tuple[str, ...]
    nonce: str
    challenge: str
    prompts: frozenset[str]
    login_hint: str
    max_age_s: float | None


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody signed in at the provider, in one browser."""

    sid: str
    person: Person
    at: float


class Code(msgspec.Struct, kw_only=True):
    """An authorization code that was given out."""

    request: Request
    login: Login
    issued_at: float
    grant_id: str = ""
    """What it was turned into; empty while it is unused."""


class Grant(msgspec.Struct, kw_only=True):
    """What one sign-in gave one client."""

    id: str
    client_id: str
    login: Login
    scopes: tuple[str, ...]
    refresh_token: str
    serial: int = 0
    """How many access tokens it has given so far."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """An access token that is good now."""

    grant: Grant
    serial: int
    issued_at: float
    expires_at: float


class Issuer:
    """The provider's whole state. `random` gives a fresh unguessable text each time it is called."""

    def __init__(
        self,
        *,
        issuer: str,
        client: Client,
        key: RSAKey,
        random: Callable[[], str],
        access_life_s: float = ACCESS_LIFE_S,
    ) -> None:
        self.issuer = issuer
        self.client = client
        self.access_life_s = access_life_s
        self._key = key
        self._random = random
        self._codes: dict[str, Code] = {}
        self._grants: dict[str, Grant] = {}
        self._access: dict[str, Access] = {}

    # What everybody may know

    def metadata(self) -> dict[str, object]:
        """The discovery document (OpenID Connect Discovery 1.0 section 3, RFC 8414)."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/jwks.json",
            "end_session_endpoint": f"{self.issuer}/end-session",
            "revocation_endpoint": f"{self.issuer}/revoke",
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "prompt_values_supported": ["none", "login", "select_account"],
            "claims_supported": [
                *("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "sid"),
                *("name", "preferred_username", "email", "email_verified", "picture", "groups"),
            ],
            "authorization_response_iss_parameter_supported": True,
        }

    def keys(self) -> dict[str, object]:
        """The public key set that ID tokens are checked with (RFC 7517)."""
        public = self._key.as_dict(private=False)
        return {"keys": [{**public, "use": "sig", "alg": "RS256", "kid": self._key.kid}]}

    # At the authorization endpoint

    def read(self, params: Mapping[str, str]) -> Request:
        """The authorization request in these parameters.

        Raises Refusal: without `redirect` while client and redirect URI are not known to belong together,
        with it for whatever else is wrong.
        """
        redirect_uri = params.get("redirect_uri", "")
        if params.get("client_id") != self.client.id:
            raise Refusal("invalid_client", "No app of that name is registered here.")
        if redirect_uri not in self.client.redirect_uris:
            raise Refusal(
                "invalid_request", "The app has not registered this redirect_uri, letter by letter."
            )
        state = params.get("state", "")
        for error, description in _faults(params):
            told = self._error_url(redirect_uri, state, error, description)
            raise Refusal(error, description, redirect=told)
        return Request(
            client_id=self.client.id,
            redirect_uri=redirect_uri,
            state=state,
            scopes=tuple(scope for scope in params.get("scope", "").split() if scope in SCOPES),
            nonce=params.get("nonce", ""),
            challenge=params["code_challenge"],
            prompts=frozenset(params.get("prompt", "").split()),
            login_hint=params.get("login_hint", ""),
            max_age_s=float(params["max_age"]) if params.get("max_age") else None,
        )

    def refuse(self, request: Request, error: str, description: str) -> str:
        """The URL that tells the client that this request ended in an error (RFC 6749 section 4.1.2.1)."""
        return self._error_url(request.redirect_uri, request.state, error, description)

    def give_code(self, request: Request, login: Login, now: float) -> str:
        """The URL that takes a fresh code to the client, with `iss` (RFC 9207)."""
        self._forget(now)
        code = self._random()
        self._codes[code] = Code(request=request, login=login, issued_at=now)
        answer = {"code": code, "state": request.state, "iss": self.issuer}
        return _with_query(request.redirect_uri, answer)

    # At the token endpoint

    def check_client(self, client_id: str, secret: str) -> None:
        """Return when this is the registered client. Raises Refusal `invalid_client`."""
        known = hmac.compare_digest(client_id.encode(), self.client.id.encode())
        if not (hmac.compare_digest(secret.encode(), self.client.secret.reveal().encode()) and known):
            raise Refusal("invalid_client", "Unknown client, or not its secret.", status=401)

    def exchange(self, code: str, redirect_uri: str, verifier: str, now: float) -> dict[str, object]:
        """The token answer for a code. Raises Refusal; a code used before ends what it gave."""
        self._forget(now)
        known = self._codes.get(code)
        if known is None or now >= known.issued_at + CODE_MEMORY_S:
            raise Refusal("invalid_grant", "No such code.")
        if known.grant_id:
            self._end(known.grant_id)
            raise Refusal("invalid_grant", "This code was used before; what it gave has been revoked.")
        if now >= known.issued_at + CODE_LIFE_S:
            raise Refusal("invalid_grant", "This code has expired.")
        if redirect_uri != known.request.redirect_uri:
            raise Refusal("invalid_grant", "Another redirect_uri than the one the code was asked for with.")
        if not hmac.compare_digest(_s256(verifier), known.request.challenge):
            raise Refusal("invalid_grant", "The code_verifier does not belong to the code_challenge.")
        grant = self._open(known)
        return self._answer(grant, now, nonce=known.request.nonce)

    def refresh(self, refresh_token: str, scope: str, now: float) -> dict[str, object]:
        """The token answer for a refresh token, with its successor.

        Raises Refusal; a refresh token used before ends its grant.
        """
        self._forget(now)
        grant = self._grants.get(refresh_token.partition(".")[0])
        if grant is None:
            raise Refusal("invalid_grant", "No such refresh token, or it has been revoked.")
        if not hmac.compare_digest(refresh_token.encode(), grant.refresh_token.encode()):
            self._end(grant.id)
            raise Refusal("invalid_grant", "This refresh token was used before; its grant has been revoked.")
        if set(scope.split()) - set(grant.scopes):
            raise Refusal("invalid_scope", "More than was granted.")
        grant.refresh_token = self._refresh_token(grant.id)
        return self._answer(grant, now)

    def revoke(self, token: str) -> None:
        """End a refresh token's whole grant, or one access token; any other text is fine too (RFC 7009)."""
        grant = self._grants.get(token.partition(".")[0])
        if grant is not None and hmac.compare_digest(token.encode(), grant.refresh_token.encode()):
            self._end(grant.id)
        self._access.pop(token, None)

    # For the API and for sign-out

    def bearer(self, token: str, now: float) -> Access:
        """What this access token stands for. Raises Refusal `invalid_token` (RFC 6750 section 3.1)."""
        access = self._access.get(token)
        if access is None or now >= access.expires_at:
            raise Refusal("invalid_token", "The access token is unknown, expired or revoked.", status=401)
        return access

    def hinted(self, id_token: str) -> tuple[str, str] | None:
        """The (sub, sid) of an ID token of ours, expired or not; None for any other text."""
        try:
            claims = jwt.decode(id_token, self._key, algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            return None
        if claims.get("iss") != self.issuer or claims.get("aud") != self.client.id:
            return None
        return str(claims["sub"]), str(claims["sid"])

    def end_login(self, sid: str) -> None:
        """End every grant that came out of this sign-in."""
        for grant in [grant for grant in self._grants.values() if grant.login.sid == sid]:
            self._end(grant.id)

    # Inside

    def _error_url(self, redirect_uri: str, state: str, error: str, description: str) -> str:
        answer = {"error": error, "error_description": description, "state": state, "iss": self.issuer}
        return _with_query(redirect_uri, answer)

    def _open(self, code: Code) -> Grant:
        grant_id = self._random()
        code.grant_id = grant_id
        if len(self._grants) >= _MAX_GRANTS:
            self._end(next(iter(self._grants)))
        grant = Grant(
            id=grant_id,
            client_id=code.request.client_id,
            login=code.login,
            scopes=code.request.scopes,
            refresh_token=self._refresh_token(grant_id),
        )
        self._grants[grant_id] = grant
        return grant

    def _refresh_token(self, grant_id: str) -> str:
        # It names its grant, so that a rotated one is known again without keeping every one there was.
        return f"{grant_id}.{self._random()}"

    def _answer(self, grant: Grant, now: float, *, nonce: str = "") -> dict[str, object]:
        token = self._random()
        grant.serial += 1
        self._access[token] = Access(
            grant=grant, serial=grant.serial, issued_at=now, expires_at=now + self.access_life_s
        )
        answer: dict[str, object] = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(self.access_life_s),
            "refresh_token": grant.refresh_token,
            "scope": " ".join(grant.scopes),
        }
        if "openid" in grant.scopes:
            answer["id_token"] = self._id_token(grant, token, nonce, now)
        return answer

    def _id_token(self, grant: Grant, access_token: str, nonce: str, now: float) -> str:
        claims = {
            **grant.login.person.claims(grant.scopes),
            "iss": self.issuer,
            "aud": grant.client_id,
            "iat": int(now),
            "exp": int(now + 300),
            "auth_time": int(grant.login.at),
            "sid": grant.login.sid,
            "at_hash": _left_half(access_token),
        }
        if nonce:
            claims["nonce"] = nonce
        return jwt.encode({"alg": "RS256", "kid": self._key.kid}, claims, self._key)

    def _end(self, grant_id: str) -> None:
        self._grants.pop(grant_id, None)
        self._access = {text: token for text, token in self._access.items() if token.grant.id != grant_id}

    def _forget(self, now: float) -> None:
        self._codes = {
            text: code for text, code in self._codes.items() if now < code.issued_at + CODE_MEMORY_S
        }
        self._access = {text: token for text, token in self._access.items() if now < token.expires_at}


class Browsers:
    """Who is signed in at the provider in which browser, by the random text in its cookie."""

    def __init__(self, *, random: Callable[[], str], most: int = 1000) -> None:
        self._random = random
        self._most = most
        self._logins: dict[str, Login] = {}

    def find(self, handle: str) -> Login | None:
        """Who is signed in under this handle."""
        return self._logins.get(handle)

    def sign_in(self, handle: str, login_name: str, now: float) -> tuple[str, Login]:
        """A new handle and the sign-in it stands for; the same person again keeps their `sid`."""
        old = self._logins.pop(handle, None)
        person = BY_LOGIN[login_name]
        sid = old.sid if old is not None and old.person == person else self._random()
        if len(self._logins) >= self._most:
            self._logins.pop(next(iter(self._logins)))
        fresh, login = self._random(), Login(sid=sid, person=person, at=now)
        self._logins[fresh] = login
        return fresh, login

    def sign_out(self, handle: str) -> Login | None:
        """Forget the sign-in under this handle and return it; None when there is none."""
        return self._logins.pop(handle, None)


def answers_without_asking(request: Request, login: Login | None, now: float) -> bool:
    """True where the person already signed in here is the answer, and no page is needed."""
    if login is None or request.prompts & {"login", "select_account"}:
        return False
    return request.max_age_s is None or now - login.at <= request.max_age_s


def _faults(params: Mapping[str, str]) -> list[tuple[str, str]]:
    """What is wrong with a request whose client can be told, the first fault first."""
    prompts = params.get("prompt", "").split()
    pkce = params.get("code_challenge_method") == "S256" and _is_challenge(params.get("code_challenge", ""))
    checks = (
        (params.get("response_type") != "code", "unsupported_response_type", "Only response_type=code."),
        (params.get("response_mode", "query") != "query", "invalid_request", "Only response_mode=query."),
        ("request" in params, "request_not_supported", "No request objects here."),
        ("request_uri" in params, "request_uri_not_supported", "No request objects here."),
        (not pkce, "invalid_request", "PKCE is required: code_challenge with code_challenge_method=S256."),
        ("none" in prompts and len(prompts) > 1, "invalid_request", "prompt=none stands alone."),
        (not (params.get("max_age") or "0").isdecimal(), "invalid_request", "max_age is in seconds."),
    )
    return [(error, description) for bad, error, description in checks if bad]


def _is_challenge(text: str) -> bool:
    return len(text) == 43 and all(char.isascii() and (char.isalnum() or char in "-_") for char in text)


def _s256(verifier: str) -> str:
    return _base64url(hashlib.sha256(verifier.encode()).digest())


def _left_half(access_token: str) -> str:
    """`at_hash` (OpenID Connect Core section 3.1.3.6)."""
    return _base64url(hashlib.sha256(access_token.encode()).digest()[:16])


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _with_query(url: str, params: Mapping[str, str]) -> str:
    joint = "&" if "?" in url else "?"
    return url + joint + urlencode({name: value for name, value in params.items() if value})
