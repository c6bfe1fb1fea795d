"""A provider that means harm: speaks OpenID Connect well until a test says in which way it does not.

`Rogue` is one of them, told by its attributes. `Liar` is as many as there are lies in a table, each at a path of its
own, so that one gateway can be lied to in every way at once: documents and keys are kept by the gateway.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Self

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from yarl import URL

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: which provider a request for one of many is for
SPEAKER: web.RequestKey[Any] = web.RequestKey("speaker", object)
Sign = Callable[[dict[str, Any], dict[str, Any]], str]


def encoded(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed_by_key(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A token as it should be: RS256 with the key that is published."""
    text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
    return f"{text}.{encoded(KEY.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def jwk_of(key: rsa.RSAPrivateKey, **more: Any) -> dict[str, Any]:
    """The public half as it stands in a key set."""
    numbers = key.public_key().public_numbers()
    return {
        "kty": "RSA",
        "n": encoded(numbers.n.to_bytes(256, "big")),
        "e": encoded(numbers.e.to_bytes(3, "big")),
        **more,
    }


class Later(NamedTuple):
    """Stands for the time so many seconds from now, in a claim."""

    seconds: int


class Speaker:
    """One provider without its socket; set the attributes to misbehave, `behave()` to stop."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.counts: Counter[str] = Counter()
        self.seen: list[tuple[str, str, str]] = []
        self.sent_bytes = 0
        """Of the answers that have no end, what was taken off its hands."""
        self.behave()

    def behave(self) -> None:
        """As a good provider again."""
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.tokens: dict[str, Any] = {}
        self.refreshed: dict[str, Any] = {}
        """Claims of the ID token that comes with a refresh; `...` as elsewhere: left out."""
        self.callback: dict[str, Any] = {}
        """Parameters of the callback."""
        self.keys: Any = [self.public_key()]
        self.sign: Sign = signed_by_key
        self.instead: dict[str, Answer] = {}
        self.nonces: list[str] = []

    def public_key(self, kid: str = "one") -> dict[str, Any]:
        """The published key as a JWK."""
        return jwk_of(KEY, kid=kid)

    async def serve(self, request: web.Request, path: str) -> web.StreamResponse:
        """The answer to a request for this path below the issuer."""
        self.counts[path] += 1
        self.seen.append((request.method, request.raw_path, (await request.read()).decode()))
        answer = self.instead.get(path)
        if answer is not None:
            request[SPEAKER] = self
            return await answer(request)
        match path:
            case "/.well-known/openid-configuration":
                return web.json_response(self.document())
            case "/jwks":
                return web.json_response({"keys": self.keys})
            case "/authorize":
                return self._authorize(request)
            case "/token":
                form = await request.post()
                return web.json_response(self._tokens(is_refresh=form.get("grant_type") == "refresh_token"))
            case "/me":
                return web.json_response(_without_gaps({"sub": "eve", **self.userinfo}))
        return web.Response(status=404)

    def document(self) -> dict[str, Any]:
        """Its metadata."""
        return _without_gaps(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "userinfo_endpoint": f"{self.issuer}/me",
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
                **self.metadata,
            }
        )

    def _authorize(self, request: web.Request) -> web.Response:
        self.nonces.append(request.query.get("nonce", ""))
        params = {"code": "rogue-code", "state": request.query["state"], **self.callback}
        back = URL(request.query["redirect_uri"]).update_query(_without_gaps(params))
        return web.Response(status=303, headers={"Location": str(back)})

    def claims_now(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The claims of a token it makes now."""
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
            **changes,
        }
        return _without_gaps(
            {
                name: now + value.seconds if isinstance(value, Later) else value
                for name, value in claims.items()
            }
        )

    def _tokens(self, *, is_refresh: bool) -> dict[str, Any]:
        claims = self.claims_now(self.refreshed if is_refresh else self.claims)
        header = {"alg": "RS256", "kid": "one", **self.header}
        return _without_gaps(
            {
                "access_token": "rogue-access-2" if is_refresh else "rogue-access",
                "refresh_token": "rogue-refresh",
                "token_type": "Bearer",
                "expires_in": 3600,
                "id_token": self.sign(
                    {name: value for name, value in header.items() if value is not None},
                    _without_gaps(claims),
                ),
                **self.tokens,
            }
        )


def _without_gaps(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not ...}


class _Listening:
    """A server on loopback in the test's own loop."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.base = f"http://127.0.0.1:{port}"
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError


class Rogue(_Listening, Speaker):
    """One provider."""

    def __init__(self, port: int) -> None:
        _Listening.__init__(self, port)
        Speaker.__init__(self, self.base)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        return await self.serve(request, request.path)


class Liar(_Listening):
    """A provider at `/NAME` for each lie: what it changes are attributes of a `Speaker`."""

    def __init__(self, port: int, lies: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(port)
        self.speakers = {name: Speaker(f"{self.base}/{name}") for name in lies}
        for name, changes in lies.items():
            for attribute, value in changes.items():
                setattr(self.speakers[name], attribute, value)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        name, slash, path = request.path.removeprefix("/").partition("/")
        speaker = self.speakers.get(name)
        return await speaker.serve(request, slash + path) if speaker else web.Response(status=404)


def answering(
    body: bytes, *, status: int = 200, content_type: str = "application/json", **headers: str
) -> Answer:
    """Always this."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, content_type=content_type, headers=headers)

    return answer


def streaming(chunk: bytes, *, times: int, pause_s: float = 0.0) -> Answer:
    """This, over and over; how much of it was taken is counted."""

    async def answer(request: web.Request) -> web.StreamResponse:
        speaker = request[SPEAKER]
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for _ in range(times):
            try:
                await response.write(chunk)
            except ConnectionError:
                break
            speaker.sent_bytes += len(chunk)
            await asyncio.sleep(pause_s)
        return response

    return answer


def late(seconds: float) -> Answer:
    """An answer that would be good, if anybody waited for it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return web.json_response(request[SPEAKER].document())

    return answer


async def broken_off(request: web.Request) -> web.StreamResponse:
    """Half an answer."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "9000"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.close()
    return response
