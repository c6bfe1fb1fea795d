"""Stands in for Apple, as its documentation of Sign in with Apple says it answers. It asks nobody for a password.

Like the real one: the answer is posted to the callback by a page of Apple's; the client secret is a token (ES256) that
is signed with the team's key; the name comes once, at the first sign-in, beside the code; the address may be one that
Apple forwards; booleans are text; `sub` is another one for each team; no userinfo, no page to sign out at.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from pages import button, form, left_half, own_address, page, refusal
from people import AT_APPLE, Person, find

CLAIMS = [
    "aud",
    "email",
    "email_verified",
    "exp",
    "iat",
    "is_private_email",
    "iss",
    "nonce",
    "nonce_supported",
    "sub",
]
CODE_S = 300.0
SECRET_MOST_S = 15_777_000
"""How long a client secret may be good for: six months."""


@dataclass(frozen=True)
class Given:
    """What a code or a refresh token stands for."""

    person: Person
    asked: dict[str, str]
    at: float


class Apple:
    """One team is registered here, with a Services ID, an app and a key: ours."""

    def __init__(
        self,
        issuer: str,
        *,
        client_id: str,
        bundle_id: str,
        team_id: str,
        key_id: str,
        redirect_uris: frozenset[str],
    ) -> None:
        self.issuer = issuer
        self.team_key = ECKey.generate_key("P-256", {"kid": key_id})
        """Apple gives it out once, as a file, and keeps the public half."""
        self._client_id, self._team_id, self._key_id = client_id, team_id, key_id
        self._bundle_id = bundle_id
        self._redirect_uris = redirect_uris
        self._key = RSAKey.generate_key(2048, {"kid": "apple-1", "use": "sig", "alg": "RS256"})
        self._asked: dict[str, dict[str, str]] = {}
        self._codes: dict[str, Given] = {}
        self._refresh: dict[str, Given] = {}
        self._consented: dict[str, bool] = {}
        """Whose consent this team has, by login; True: with an address that is forwarded."""

    def app(self) -> web.Application:
        """Everything it answers."""
        app = web.Application(client_max_size=64 * 1024, middlewares=[own_address(self.issuer)])
        app.add_routes(
            [
                web.get("/.well-known/openid-configuration", self._metadata),
                web.get("/auth/keys", self._keys),
                web.get("/auth/authorize", self._authorize),
                web.post("/auth/choose", self._choose),
                web.post("/auth/token", self._token),
                web.post("/auth/revoke", self._revoke),
                web.post("/sdk", self._sdk),
            ]
        )
        return app

    async def _metadata(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/auth/authorize",
                "token_endpoint": f"{self.issuer}/auth/token",
                "revocation_endpoint": f"{self.issuer}/auth/revoke",
                "jwks_uri": f"{self.issuer}/auth/keys",
                "response_types_supported": ["code"],
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid", "email", "name"],
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
                "claims_supported": CLAIMS,
            }
        )

    async def _keys(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [self._key.as_dict(private=False)]})

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        if fault := self._fault(asked):
            return page("Apple ID", f"<h1>{fault}</h1><p>This stands in for Apple.</p>", status=400)
        key = secrets.token_urlsafe(16)
        self._asked[key] = asked
        choices = "".join(self._choices(person) for person in AT_APPLE)
        body = "<h1>Sign in with Apple</h1><p>This stands in for Apple.</p>"
        return page("Sign in with Apple (stand-in)", body + form("/auth/choose", {"key": key}, choices))

    def _choices(self, person: Person) -> str:
        """At the first time one chooses whether the address is told."""
        if person.login in self._consented:
            return button("person", person.login, person.name, "Continue")
        return button("person", person.login, person.name, f"Share {person.email}") + button(
            "hidden", person.login, person.name, "Hide my email"
        )

    async def _choose(self, request: web.Request) -> web.Response:
        """The page of Apple's that posts the answer to us by itself."""
        told = await request.post()
        asked = self._asked.pop(str(told.get("key")), None)
        person = find(AT_APPLE, str(told.get("person") or told.get("hidden")))
        if asked is None or person is None:
            return page("Apple ID", "<h1>This page is over</h1><p>Begin again.</p>", status=400)
        user = self._consents(person, is_hidden="hidden" in told)
        code = f"c{secrets.token_hex(20)}.0.{secrets.token_urlsafe(12)}"
        self._codes[code] = Given(person, asked, time.time())
        answer = {"state": asked.get("state", ""), "code": code}
        if user:
            answer["user"] = user
        onward = form(asked["redirect_uri"], answer, "<noscript><button>Continue</button></noscript>")
        return page("Sign in with Apple (stand-in)", f"{onward}<script>document.forms[0].submit()</script>")

    async def _sdk(self, request: web.Request) -> web.Response:
        """What iOS gives an app of ours on a phone whose person is signed in at Apple (AuthenticationServices)."""
        told = await request.post()
        person = find(AT_APPLE, str(told.get("person")))
        if person is None:
            return refusal("access_denied", "Nobody of that name is signed in on this phone.")
        user = self._consents(person, is_hidden="hidden" in told)
        more = {"nonce": str(told.get("nonce", ""))}
        return web.json_response({"id_token": self._id_token(person, self._bundle_id, more), "user": user})

    def _consents(self, person: Person, *, is_hidden: bool) -> str:
        """The `user` of a first sign-in; "" for another."""
        if person.login in self._consented:
            return ""
        self._consented[person.login] = is_hidden
        name = {"firstName": person.given_name, "lastName": person.family_name}
        return json.dumps({"name": name, "email": self._email(person)})

    async def _token(self, request: web.Request) -> web.Response:
        told = {name: str(value) for name, value in (await request.post()).items()}
        if not self._is_ours(told):
            return refusal("invalid_client", "", status=400)
        match told.get("grant_type"):
            case "authorization_code":
                given = self._codes.pop(told.get("code", ""), None)
                if given is None or time.time() > given.at + CODE_S:
                    return refusal("invalid_grant", "The code has expired or has been revoked.")
                if told.get("redirect_uri") != given.asked["redirect_uri"]:
                    return refusal("invalid_grant", "The redirect_uri does not match.")
                token = f"r{secrets.token_hex(20)}.0.{secrets.token_urlsafe(12)}"
                self._refresh[token] = given
                return web.json_response({**self._tokens(given), "refresh_token": token})
            case "refresh_token" if given := self._refresh.get(told.get("refresh_token", "")):
                return web.json_response(self._tokens(given))
            case "refresh_token":
                return refusal("invalid_grant", "The token has expired or has been revoked.")
        return refusal("unsupported_grant_type", "")

    async def _revoke(self, request: web.Request) -> web.Response:
        """Takes the consent back: the next sign-in is a first one."""
        told = {name: str(value) for name, value in (await request.post()).items()}
        if not self._is_ours(told):
            return refusal("invalid_client", "", status=400)
        if given := self._refresh.pop(told.get("token", ""), None):
            self._consented.pop(given.person.login, None)
        return web.Response()

    def _fault(self, asked: dict[str, str]) -> str:
        """What is wrong with it; Apple shows that, and sends nobody back."""
        if asked.get("client_id") != self._client_id:
            return "invalid_client"
        if asked.get("redirect_uri") not in self._redirect_uris:
            return "invalid_request: Invalid web redirect url."
        wants_person = {"name", "email"} & set(asked.get("scope", "").split())
        if wants_person and asked.get("response_mode") != "form_post":
            return "invalid_request: response_mode must be form_post when name or email scope is requested."
        return "" if asked.get("response_type") == "code" else "unsupported_response_type"

    def _is_ours(self, told: dict[str, str]) -> bool:
        """True for a client secret that the team's key has signed, for this client, for a time that is allowed."""
        try:
            shown = jwt.decode(told.get("client_secret", ""), self.team_key, algorithms=["ES256"])
        except (JoseError, ValueError):
            return False
        claims, now = shown.claims, time.time()
        whose = (shown.header.get("kid"), claims.get("iss"), claims.get("sub"), claims.get("aud"))
        if whose != (self._key_id, self._team_id, self._client_id, self.issuer):
            return False
        return told.get("client_id") == self._client_id and now < claims["exp"] <= now + SECRET_MOST_S

    def _tokens(self, given: Given) -> dict[str, Any]:
        token = f"a{secrets.token_hex(20)}.0.{secrets.token_urlsafe(12)}"
        more: dict[str, Any] = {"at_hash": left_half(token), "auth_time": int(given.at)}
        if "nonce" in given.asked:
            more["nonce"] = given.asked["nonce"]
        id_token = self._id_token(given.person, self._client_id, more)
        return {"access_token": token, "token_type": "Bearer", "expires_in": 3600, "id_token": id_token}

    def _id_token(self, person: Person, client_id: str, more: dict[str, Any]) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": client_id,
            "iat": now,
            "exp": now + 86400,
            "sub": _subject(person, self._team_id),
            "nonce_supported": True,
            "email": self._email(person),
            "email_verified": "true",
            **more,
        }
        if self._consented.get(person.login):
            claims["is_private_email"] = "true"
        return jwt.encode({"alg": "RS256", "kid": "apple-1"}, claims, self._key)

    def _email(self, person: Person) -> str:
        if not self._consented.get(person.login):
            return person.email
        return f"{_digest(person.login, self._team_id)[:10]}@privaterelay.appleid.example"


def _subject(person: Person, team_id: str) -> str:
    return f"001{_digest(team_id)[:3]}.{_digest(person.login, team_id)[:32]}.0{_digest(person.login)[:3]}"


def _digest(*parts: str) -> str:
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
