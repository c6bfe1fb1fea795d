"""What every stand-in for a provider does: OAuth 2.0 with PKCE, lists in pages, and to misbehave where it is told to.

One is started by `api(answer=standin.answer)`; its `url` is then set to that server's. It lets everybody in whom the
browser brings, and is strict with the gateway: what that does wrong is kept in `wrong`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar
from urllib.parse import unquote

from aiohttp import web
from yarl import URL

from tests.real.rogue import KEY as SIGNING_KEY
from tests.real.rogue import encoded, jwk_of, signed_by_key

CLIENT, SECRET = "app", "canary-app-secret"
PAGE = 2
"""Entries of a list on one page."""
Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


class StandIn:
    """One provider. `faults` are by path, or by `PATH#2` for a list's second page."""

    authorize_path: ClassVar[str]
    token_path: ClassVar[str]
    takes_pkce: ClassVar[bool] = True

    def __init__(self) -> None:
        self.url = ""
        self.wrong: list[str] = []
        self.counts: Counter[str] = Counter()
        self.faults: dict[str, Fault] = {}
        self.deleted: list[tuple[str, Any]] = []
        self.queries: list[dict[str, str]] = []
        """Of the requests that sent people here."""
        self._codes: dict[str, dict[str, str]] = {}
        self._tokens: set[str] = set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Whatever is asked for."""
        self.counts[request.path] += 1
        page = request.query.get("page", "1")
        fault = self.faults.get(request.path if page == "1" else f"{request.path}#{page}")
        if fault is not None:
            return await fault(request)
        if request.path == self.authorize_path:
            return self._authorize(dict(request.query))
        if request.path == self.token_path:
            return self._token(request, {k: str(v) for k, v in (await request.post()).items()})
        if (public := self.public(request)) is not None:
            return web.json_response(public)
        if not self.is_admitted(request):
            return web.json_response({"message": "Bad credentials"}, status=401)
        found = await self.api(request)
        if isinstance(found, web.StreamResponse):
            return found
        return web.json_response(found) if found is not None else web.json_response({}, status=404)

    async def api(self, request: web.Request) -> Any:
        """JSON of what an admitted request asks for, an answer, or None for 404."""
        raise NotImplementedError

    def public(self, request: web.Request) -> Any:
        """JSON of what anybody may ask for; None for nothing."""
        del request

    def is_admitted(self, request: web.Request) -> bool:
        """Whether the request shows a token of this server."""
        return request.headers.get("Authorization", "").removeprefix("Bearer ") in self._tokens

    def paged(self, request: web.Request, entries: Sequence[Any]) -> web.Response:
        """One page of a list, with a `Link` header to the next."""
        number = int(request.query.get("page", "1"))
        shown, rest = list(entries[(number - 1) * PAGE : number * PAGE]), entries[number * PAGE :]
        following = URL(self.url + request.raw_path, encoded=True).update_query(page=str(number + 1))
        links = {"Link": f'<{self.url}{request.path}?page=1>; rel="first", <{following}>; rel="next"'}
        return web.json_response(shown, headers=links if rest else {})

    def id_claims(self, flow: dict[str, str]) -> dict[str, Any] | None:
        """Claims of the ID token that goes with a code's tokens; None where there is none."""
        del flow

    def form(self, form: dict[str, str], request: web.Request) -> tuple[str, str]:
        """The client and the secret that a form was sent with."""
        scheme, _, raw = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            user, _, password = base64.b64decode(raw).decode().partition(":")
            return unquote(user), unquote(password)
        return form.get("client_id", ""), form.get("client_secret", "")

    def _authorize(self, query: dict[str, str]) -> web.Response:
        self.queries.append(query)
        if ("code_challenge" in query) is not self.takes_pkce:
            self.wrong.append("a challenge that shouldn't be, or none where one should")
        code = f"code-{len(self._codes)}"
        self._codes[code] = query
        back = URL(query["redirect_uri"]).update_query(code=code, state=query["state"])
        return web.Response(status=302, headers={"Location": str(back)})

    def _token(self, request: web.Request, form: dict[str, str]) -> web.Response:
        flow = self._codes.pop(form.get("code", ""), None)
        if not self._is_right(request, form, flow):
            return web.json_response({"error": "invalid_grant"}, status=400)
        assert flow is not None
        token = f"canary-token-{time.monotonic_ns()}"
        self._tokens.add(token)
        answer = {"access_token": token, "token_type": "bearer", "expires_in": 7200}
        if (claims := self.id_claims(flow)) is not None:
            answer["id_token"] = self._id_token(claims, flow)
        return web.json_response(answer)

    def _is_right(self, request: web.Request, form: dict[str, str], flow: dict[str, str] | None) -> bool:
        if flow is None or form.get("grant_type") != "authorization_code":
            self.wrong.append("a code that isn't one, or was used before")
            return False
        proof = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        right = {
            "client": self.form(form, request) in {(CLIENT, SECRET), (flow["client_id"], "")},
            "redirect_uri": form.get("redirect_uri") == flow["redirect_uri"],
            "verifier": encoded(proof) == flow["code_challenge"]
            if self.takes_pkce
            else "code_verifier" not in form,
        }
        self.wrong += [name for name, is_right in right.items() if not is_right]
        return all(right.values())

    def _id_token(self, claims: dict[str, Any], flow: dict[str, str]) -> str:
        now = int(time.time())
        nonce = {"nonce": flow["nonce"]} if "nonce" in flow else {}
        always = {"iss": self.issuer, "aud": flow["client_id"], "iat": now, "exp": now + 600, **nonce}
        return signed_by_key({"alg": "RS256", "kid": "one"}, {**always, **claims})

    @property
    def issuer(self) -> str:
        """Of an OpenID provider."""
        return self.url

    def metadata(self, **more: Any) -> dict[str, Any]:
        """Of an OpenID provider whose keys stand at `/keys`."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.url}{self.authorize_path}",
            "token_endpoint": f"{self.url}{self.token_path}",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            **more,
        }

    @property
    def keys(self) -> dict[str, Any]:
        """The published key set."""
        return {"keys": [jwk_of(SIGNING_KEY, kid="one", use="sig", alg="RS256")]}


def failing(status: int, **headers: str) -> Fault:
    """This status, with a JSON body that holds an empty list: whoever doesn't look takes it for "none"."""

    async def fault(_request: web.Request) -> web.StreamResponse:
        return web.json_response(
            [], status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    return fault


def slow(seconds: float) -> Fault:
    """An answer after everybody stopped waiting."""

    async def fault(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return web.json_response([])

    return fault


async def as_page(_request: web.Request) -> web.StreamResponse:
    """An HTML page where JSON should be."""
    return web.Response(text="<html>maintenance</html>", content_type="text/html")


async def bare_object(_request: web.Request) -> web.StreamResponse:
    """An object where a list should be."""
    return web.json_response({"message": "moved"})


#: what a list's second page can do, and how the person's way ends then
PAGE_2_FAULTS: dict[str, tuple[Fault, int]] = {
    "fails": (failing(500), 503),
    "is refused": (failing(403), 502),
    "is gone": (failing(404), 502),
    "is rate-limited": (failing(429, retry_after="60"), 503),
    "is rate-limited as GitHub does it": (failing(403, x_ratelimit_remaining="0"), 503),
    "is too slow": (slow(30), 503),
    "is a page for people": (as_page, 502),
    "is no list": (bare_object, 502),
}
