"""A provider that means harm: speaks OpenID Connect well until a test says in which way it does not."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Self

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from yarl import URL

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def encoded(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed_by_key(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A token as it should be: RS256 with the key that is published."""
    text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
    return f"{text}.{encoded(KEY.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


class Rogue:
    """Listens in the test's own loop; set the attributes to misbehave, `behave()` to stop."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.issuer = f"http://127.0.0.1:{port}"
        self.counts: Counter[str] = Counter()
        self.seen: list[tuple[str, str, str]] = []
        self.behave()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)

    def behave(self) -> None:
        """As a good provider again."""
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.tokens: dict[str, Any] = {}
        self.keys: list[dict[str, Any]] = [self.public_key()]
        self.sign: Callable[[dict[str, Any], dict[str, Any]], str] = signed_by_key
        self.instead: dict[str, Answer] = {}
        self.nonces: list[str] = []

    def public_key(self, kid: str = "one") -> dict[str, Any]:
        """The published key as a JWK."""
        numbers = KEY.public_key().public_numbers()
        return {
            "kty": "RSA",
            "kid": kid,
            "n": encoded(numbers.n.to_bytes(256, "big")),
            "e": encoded(numbers.e.to_bytes(3, "big")),
        }

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.counts[request.path] += 1
        self.seen.append((request.method, request.raw_path, (await request.read()).decode()))
        answer = self.instead.get(request.path)
        if answer is not None:
            return await answer(request)
        match request.path:
            case "/.well-known/openid-configuration":
                return web.json_response(self.document())
            case "/jwks":
                return web.json_response({"keys": self.keys})
            case "/authorize":
                return self._authorize(request)
            case "/token":
                return web.json_response(self._tokens())
            case "/me":
                return web.json_response({"sub": "eve", **self.userinfo})
        return web.Response(status=404)

    def document(self) -> dict[str, Any]:
        """Its metadata."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/me",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            **self.metadata,
        }

    def _authorize(self, request: web.Request) -> web.Response:
        self.nonces.append(request.query.get("nonce", ""))
        back = URL(request.query["redirect_uri"]).update_query(
            code="rogue-code", state=request.query["state"]
        )
        return web.Response(status=303, headers={"Location": str(back)})

    def _tokens(self) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "eve",
            "aud": "app",
            "iat": now,
            "exp": now + 600,
            "nonce": self.nonces[-1] if self.nonces else "",
            "email": "eve@evil.example",
            "email_verified": True,
            **self.claims,
        }
        header = {"alg": "RS256", "kid": "one", **self.header}
        tokens = {
            "access_token": "rogue-access",
            "refresh_token": "rogue-refresh",
            "token_type": "Bearer",
            "expires_in": 3600,
            "id_token": self.sign(
                {name: value for name, value in header.items() if value is not None},
                {name: value for name, value in claims.items() if value is not ...},
            ),
            **self.tokens,
        }
        return {name: value for name, value in tokens.items() if value is not ...}
