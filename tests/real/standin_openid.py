"""An OpenID provider that stands in for a large one: code with PKCE, refresh, and lists in pages that can go wrong."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

KEY: Final = RSAKey.generate_key(2048, {"kid": "standin-1", "use": "sig", "alg": "RS256"})
SLOW_S: Final = 30.0

#: what may happen to one page of a list, by name
TROUBLES: Final[Mapping[str, Callable[[], web.Response]]] = {
    "a 500": lambda: web.json_response({"error": {"code": 500}}, status=500),
    "a 503": lambda: web.Response(status=503),
    "too many requests": lambda: web.json_response({}, status=429, headers={"Retry-After": "30"}),
    "refused": lambda: web.json_response({"error": {"code": 403}}, status=403),
    "gone": lambda: web.json_response({"error": {"code": 404}}, status=404),
    "another content type": lambda: web.Response(text="<html>busy</html>", content_type="text/html"),
    "cut off": lambda: web.Response(body=b'{"value": [', content_type="application/json"),
    "of another shape": lambda: web.json_response({"value": "g1", "groups": "g1", "memberships": "g1"}),
}


class OpenIdStandIn:
    """Answers as `Api` asks; a subclass says where its endpoints are and what its lists are called."""

    page_size = 2

    def __init__(self) -> None:
        self.url = ""
        self.people: dict[str, dict[str, Any]] = {}
        """Claims of the ID token, by `login_hint`."""
        self.groups: dict[str, list[str]] = {}
        """Groups, by `sub`."""
        self.signed_out: set[str] = set()
        """People whose refresh tokens are refused, by `sub`."""
        self.trouble: dict[int, str] = {}
        """What goes wrong with a page of a list, by its number from 1; `slow` takes seconds."""
        self.counts: Counter[str] = Counter()
        self._codes: dict[str, dict[str, str]] = {}
        self._tokens: dict[str, tuple[str, str]] = {}

    def metadata(self, issuer: str, base: str) -> web.Response:
        """What an issuer says of itself."""
        return web.json_response(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{base}/authorize",
                "token_endpoint": f"{base}/token",
                "jwks_uri": f"{base}/keys",
                "end_session_endpoint": f"{base}/logout",
                "response_types_supported": ["code"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            }
        )

    def keys(self) -> web.Response:
        """The key set."""
        return web.json_response({"keys": [KEY.as_dict(private=False)]})

    def authorize(self, query: Mapping[str, str]) -> web.Response:
        """Straight back with a code for whom the hint names."""
        assert query["code_challenge_method"] == "S256"
        code = f"code-{len(self._codes)}"
        self._codes[code] = dict(query)
        back = urlencode({"code": code, "state": query["state"]})
        raise web.HTTPFound(f"{query['redirect_uri']}?{back}")

    async def token(self, request: web.Request) -> web.Response:
        """Tokens for a code, once and with its verifier, or for a refresh token, which is replaced."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.counts[f"grant {form['grant_type']}"] += 1
        if form["grant_type"] == "authorization_code":
            flow = self._codes.pop(form["code"], None)
            if flow is None or flow["code_challenge"] != _challenge(form["code_verifier"]):
                return _refused()
            return self._answer(flow["login_hint"], flow["client_id"], flow.get("nonce"))
        login, client_id = self._tokens.pop(form.get("refresh_token", ""), ("", ""))
        if not login or self.people[login]["sub"] in self.signed_out:
            return _refused()
        return self._answer(login, client_id, None)

    def claims_of(self, login: str) -> dict[str, Any]:
        """The claims of the ID token beside those of the protocol."""
        return self.people[login]

    def bearer(self, request: web.Request) -> str:
        """The login whose access token this request has. Raises 401."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self._tokens:
            raise web.HTTPUnauthorized
        return self._tokens[token][0]

    async def page(
        self, request: web.Request, items: Sequence[Any], shape: Callable[[list[Any], str], dict[str, Any]]
    ) -> web.Response:
        """One page of a list: `shape` of its items and of the token of the next page; or what trouble there is."""
        number = int(request.query.get("page", "1"))
        self.counts[f"page {number}"] += 1
        trouble = self.trouble.get(number, "")
        if trouble == "slow":
            await asyncio.sleep(SLOW_S)
        elif trouble:
            return TROUBLES[trouble]()
        end = number * self.page_size
        following = str(number + 1) if end < len(items) else ""
        return web.json_response(shape(list(items[end - self.page_size : end]), following))

    def _answer(self, login: str, client_id: str, nonce: str | None) -> web.Response:
        now = int(time.time())
        claims = {"aud": client_id, "iat": now, "exp": now + 3600, **self.claims_of(login)}
        if nonce:
            claims["nonce"] = nonce
        number = len(self._tokens)
        access, refresh = f"standin-at-{number}-{now}", f"standin-rt-{number}-{now}"
        self._tokens |= {access: (login, client_id), refresh: (login, client_id)}
        return web.json_response(
            {
                "access_token": access,
                "token_type": "Bearer",
                "expires_in": 3600,
                "refresh_token": refresh,
                "id_token": jwt.encode({"alg": "RS256", "kid": "standin-1"}, claims, KEY),
            }
        )


def _refused() -> web.Response:
    return web.json_response({"error": "invalid_grant"}, status=400)


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
