"""Stands in for Google, as its documentation of OpenID Connect says it answers. It asks nobody for a password.

Like the real one: discovery, RS256, PKCE, codes that are good once, `hd` for accounts of a Workspace and for no other,
`email_verified`, a refresh token only where `access_type=offline` asks for one; no page to sign out at.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey
from pages import button, form, is_verifier, left_half, own_address, page, refusal
from people import AT_GOOGLE, Person, find

CODE_S = 600.0
TOKEN_S = 3599
SCOPES = ("openid", "email", "profile")
CLAIMS = [
    "aud",
    "email",
    "email_verified",
    "exp",
    "family_name",
    "given_name",
    "hd",
    "iat",
    "iss",
    "name",
    "sub",
]


@dataclass(frozen=True)
class Given:
    """What a code, an access token or a refresh token stands for."""

    person: Person
    asked: dict[str, str]
    at: float


class Google:
    """A website is registered here, and an app: ours."""

    def __init__(
        self,
        issuer: str,
        *,
        client_id: str,
        client_secret: str,
        native_client_id: str,
        redirect_uris: frozenset[str],
    ) -> None:
        self.issuer = issuer
        self._client_id, self._client_secret = client_id, client_secret
        self._native_client_id = native_client_id
        self._redirect_uris = redirect_uris
        self._key = RSAKey.generate_key(2048, {"kid": "google-1", "use": "sig", "alg": "RS256"})
        self._asked: dict[str, dict[str, str]] = {}
        self._codes: dict[str, Given] = {}
        self._access: dict[str, Given] = {}
        self._refresh: dict[str, Given] = {}

    def app(self) -> web.Application:
        """Everything it answers."""
        app = web.Application(client_max_size=64 * 1024, middlewares=[own_address(self.issuer)])
        app.add_routes(
            [
                web.get("/.well-known/openid-configuration", self._metadata),
                web.get("/oauth2/v3/certs", self._certs),
                web.get("/o/oauth2/v2/auth", self._authorize),
                web.post("/o/oauth2/v2/choose", self._choose),
                web.post("/token", self._token),
                web.post("/revoke", self._revoke),
                web.get("/v1/userinfo", self._userinfo),
                web.post("/sdk", self._sdk),
            ]
        )
        return app

    async def _metadata(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/o/oauth2/v2/auth",
                "token_endpoint": f"{self.issuer}/token",
                "userinfo_endpoint": f"{self.issuer}/v1/userinfo",
                "revocation_endpoint": f"{self.issuer}/revoke",
                "jwks_uri": f"{self.issuer}/oauth2/v3/certs",
                "response_types_supported": ["code"],
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": list(SCOPES),
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                "claims_supported": CLAIMS,
                "code_challenge_methods_supported": ["plain", "S256"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
            }
        )

    async def _certs(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [self._key.as_dict(private=False)]})

    async def _authorize(self, request: web.Request) -> web.Response:
        """The account chooser; who is named by `login_hint` is signed in here already."""
        asked = dict(request.query)
        if fault := self._fault(asked):
            return page("Error 400", f"<h1>Access blocked</h1><p>{fault}</p>", status=400)
        if asked.get("prompt") == "none":
            raise _back(asked, error="interaction_required")
        if person := find(AT_GOOGLE, asked.get("login_hint", "")):
            raise self._given(asked, person)
        key = secrets.token_urlsafe(16)
        self._asked[key] = asked
        shown = [one for one in AT_GOOGLE if asked.get("hd", "*") in {"*", one.workspace}]
        choices = "".join(button("person", one.login, one.name, one.email) for one in shown)
        body = "<h1>Choose an account</h1><p>to continue to the forum. This stands in for Google.</p>"
        return page(
            "Sign in with Google (stand-in)", body + form("/o/oauth2/v2/choose", {"key": key}, choices)
        )

    async def _choose(self, request: web.Request) -> web.Response:
        told = await request.post()
        asked = self._asked.pop(str(told.get("key")), None)
        person = find(AT_GOOGLE, str(told.get("person")))
        if asked is None or person is None:
            return page("Error 400", "<h1>This page is over</h1><p>Begin again.</p>", status=400)
        raise self._given(asked, person)

    async def _token(self, request: web.Request) -> web.Response:
        told = {name: str(value) for name, value in (await request.post()).items()}
        auth = request.headers.get("Authorization", "")
        if auth.startswith("Basic "):
            from aiohttp import BasicAuth  # noqa: PLC0415 - the rarer of the two ways

            shown = BasicAuth.decode(auth)
            told |= {"client_id": shown.login, "client_secret": shown.password}
        is_ours = hmac.compare_digest(told.get("client_secret", "").encode(), self._client_secret.encode())
        if not is_ours or told.get("client_id") != self._client_id:
            return refusal("invalid_client", "Unauthorized", status=401)
        match told.get("grant_type"):
            case "authorization_code":
                return self._of_code(told)
            case "refresh_token" if given := self._refresh.get(told.get("refresh_token", "")):
                return web.json_response(self._tokens(given))
            case "refresh_token":
                return refusal("invalid_grant", "Token has been expired or revoked.")
        return refusal("unsupported_grant_type", "Invalid grant_type")

    def _of_code(self, told: dict[str, str]) -> web.Response:
        given = self._codes.pop(told.get("code", ""), None)
        if given is None or time.time() > given.at + CODE_S:
            return refusal("invalid_grant", "Malformed auth code.")
        if told.get("redirect_uri") != given.asked["redirect_uri"]:
            return refusal("redirect_uri_mismatch", "Bad Request")
        challenge = given.asked.get("code_challenge", "")
        if challenge and not is_verifier(told.get("code_verifier", ""), challenge):
            return refusal("invalid_grant", "Invalid code verifier.")
        answer = self._tokens(given)
        if given.asked.get("access_type") == "offline":
            token = f"1//{secrets.token_urlsafe(32)}"
            self._refresh[token] = given
            answer["refresh_token"] = token
        return web.json_response(answer, headers={"Cache-Control": "no-store"})

    async def _revoke(self, request: web.Request) -> web.Response:
        token = str((await request.post()).get("token", ""))
        gone = self._refresh.pop(token, None) or self._access.pop(token, None)
        return web.json_response({}) if gone else refusal("invalid_token", "Token expired or revoked")

    async def _sdk(self, request: web.Request) -> web.Response:
        """What Google's SDK gives an app of ours on a phone whose person is signed in at Google."""
        told = await request.post()
        person = find(AT_GOOGLE, str(told.get("person")))
        if person is None:
            return refusal("access_denied", "Nobody of that name is signed in on this phone.")
        more = {"nonce": str(told.get("nonce", ""))}
        return web.json_response({"id_token": self._id_token(person, SCOPES, self._native_client_id, more)})

    async def _userinfo(self, request: web.Request) -> web.Response:
        given = self._access.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if given is None:
            return refusal("invalid_request", "Invalid Credentials", status=401)
        return web.json_response(_claims(given.person, tuple(given.asked["scope"].split())))

    def _fault(self, asked: dict[str, str]) -> str:
        """What is wrong with it; Google shows that, and sends nobody back."""
        if asked.get("client_id") != self._client_id:
            return "Error 401: invalid_client"
        if asked.get("redirect_uri") not in self._redirect_uris:
            return "Error 400: redirect_uri_mismatch"
        if asked.get("response_type") != "code" or "openid" not in asked.get("scope", "").split():
            return "Error 400: invalid_request"
        return ""

    def _given(self, asked: dict[str, str], person: Person) -> web.HTTPFound:
        code = f"4/{secrets.token_urlsafe(32)}"
        self._codes[code] = Given(person, asked, time.time())
        return _back(asked, code=code, scope=asked["scope"], authuser="0", prompt="none")

    def _tokens(self, given: Given) -> dict[str, Any]:
        token = f"ya29.{secrets.token_urlsafe(32)}"
        self._access[token] = given
        scopes = tuple(given.asked["scope"].split())
        more = {"at_hash": left_half(token)}
        if "nonce" in given.asked:
            more["nonce"] = given.asked["nonce"]
        id_token = self._id_token(given.person, scopes, self._client_id, more)
        told = {"access_token": token, "expires_in": TOKEN_S, "token_type": "Bearer", "id_token": id_token}
        return {**told, "scope": " ".join(scopes)}

    def _id_token(self, person: Person, scopes: tuple[str, ...], client_id: str, more: dict[str, str]) -> str:
        now = int(time.time())
        times = {"iat": now, "exp": now + TOKEN_S}
        whose = {"iss": self.issuer, "azp": client_id, "aud": client_id}
        claims = {**whose, **times, **more, **_claims(person, scopes)}
        return jwt.encode({"alg": "RS256", "kid": "google-1", "typ": "JWT"}, claims, self._key)


def _back(asked: dict[str, str], **answer: str) -> web.HTTPFound:
    query = urlencode({"state": asked.get("state", ""), **answer})
    return web.HTTPFound(f"{asked['redirect_uri']}?{query}")


def _claims(person: Person, scopes: tuple[str, ...]) -> dict[str, Any]:
    told: dict[str, Any] = {"sub": _subject(person)}
    if person.workspace:
        told["hd"] = person.workspace
    if "email" in scopes:
        told |= {"email": person.email, "email_verified": True}
    if "profile" in scopes:
        told |= {"name": person.name, "given_name": person.given_name, "family_name": person.family_name}
    return told


def _subject(person: Person) -> str:
    """Twenty-one digits, the same for every client."""
    return str(10**20 + int(hashlib.sha256(person.login.encode()).hexdigest()[:16], 16))
