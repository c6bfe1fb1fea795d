"""Stands in for Apple, as its documentation for Sign in with Apple REST API says it answers.

The answer is posted to the callback by a page of Apple's own; the client secret is a token signed with the team's
key; the name comes once; booleans are text; there is no userinfo endpoint.
"""

from __future__ import annotations

import html
import time
from collections import Counter
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

TEAM, KEY_ID, CLIENT_ID = "TEAM123456", "KEY1234567", "com.example.web"
_PRIVATE = generate_private_key(SECP256R1())
PEM = _PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
_TEAM_KEY = ECKey.import_key(PEM)
_APPLE_KEY = RSAKey.generate_key(2048, {"kid": "apple-1", "use": "sig", "alg": "RS256"})


class Apple:
    """One answer function for `tests.real.api.Api`; `issuer` is its address."""

    def __init__(self) -> None:
        self.issuer = ""
        self.counts: Counter[str] = Counter()
        self.secrets: list[dict[str, Any]] = []
        """Claims of the client secrets it was shown."""
        self.claims: dict[str, Any] = {"email": "zoe@example.com", "email_verified": "true"}
        self.user = '{"name":{"firstName":"Zoë","lastName":"Ångström"},"email":"victim@corp.example"}'
        """Sent at the first sign-in only."""
        self.refuses = ""
        self._flows: dict[str, dict[str, str]] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Whatever is asked for."""
        self.counts[request.path] += 1
        match request.path:
            case "/.well-known/openid-configuration":
                return web.json_response(self._metadata())
            case "/auth/keys":
                return web.json_response({"keys": [_APPLE_KEY.as_dict(private=False)]})
            case "/auth/authorize":
                return self._authorize(dict(request.query))
            case "/auth/token":
                return self._token({name: str(value) for name, value in (await request.post()).items()})
            case "/auth/revoke":
                self._check_secret(str((await request.post())["client_secret"]))
                return web.Response()
        return web.Response(status=404)

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth/authorize",
            "token_endpoint": f"{self.issuer}/auth/token",
            "revocation_endpoint": f"{self.issuer}/auth/revoke",
            "jwks_uri": f"{self.issuer}/auth/keys",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }

    def _authorize(self, query: dict[str, str]) -> web.Response:
        """The page that posts the answer by itself."""
        if query.get("response_mode") != "form_post":
            return web.Response(status=400, text="invalid_request: response_mode must be form_post")
        code = f"authorization-code-{len(self._flows)}"
        self._flows[code] = query
        fields = {"state": query["state"], "code": code}
        if self.refuses:
            fields = {"state": query["state"], "error": self.refuses}
        elif len(self._flows) == 1:
            fields["user"] = self.user
        inputs = "".join(
            f'<input type="hidden" name="{name}" value="{html.escape(value)}">'
            for name, value in fields.items()
        )
        action = html.escape(query["redirect_uri"])
        page = (
            f'<body onload="document.forms[0].submit()"><form method="post" action="{action}">{inputs}</form>'
        )
        return web.Response(text=page, content_type="text/html")

    def _token(self, form: dict[str, str]) -> web.Response:
        self._check_secret(form["client_secret"])
        flow = self._flows.pop(form["code"], None)
        if flow is None or flow["redirect_uri"] != form["redirect_uri"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        self._flows[f"spent {form['code']}"] = flow
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "001234.abcdef.0123",
            "aud": form["client_id"],
            "iat": now,
            "exp": now + 86400,
            "nonce": flow["nonce"],
            "nonce_supported": True,
            "auth_time": now,
            **self.claims,
        }
        token = jwt.encode({"alg": "RS256", "kid": "apple-1"}, claims, _APPLE_KEY)
        answer = {"access_token": "apple-at", "token_type": "Bearer", "expires_in": 3600, "id_token": token}
        return web.json_response({**answer, "refresh_token": "apple-rt"})

    def _check_secret(self, secret: str) -> None:
        """Raises for a client secret that Apple would answer `invalid_client`."""
        token = jwt.decode(secret, _TEAM_KEY, algorithms=["ES256"])
        claims = token.claims
        assert token.header["kid"] == KEY_ID
        assert (claims["iss"], claims["sub"], claims["aud"]) == (TEAM, CLIENT_ID, self.issuer)
        assert time.time() < claims["exp"] < time.time() + 15777000
        self.secrets.append(claims)
