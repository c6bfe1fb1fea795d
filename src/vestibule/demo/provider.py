"""The demo's OpenID provider over HTTP: `python -m vestibule.demo.provider`.

Real in what it checks (PKCE, exact redirect URIs, single use, rotation), unreal in one thing: it asks nobody
for a password. So it listens on loopback only, and answers under its own address only.
"""

from __future__ import annotations

import argparse
import base64
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote_plus, urlencode, urlsplit

from aiohttp import web
from joserfc.jwk import RSAKey
from multidict import MultiMapping

from vestibule.demo import CLIENT_ID, SECRET_VARIABLE, server
from vestibule.demo.issuer import (
    Browsers,
    Client,
    Issuer,
    Login,
    Refusal,
    Request,
    answers_without_asking,
)
from vestibule.demo.pages import Pages, static
from vestibule.demo.people import BY_LOGIN, PEOPLE, Person, find, portrait_svg
from vestibule.model import Secret

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COOKIE = "demo-provider"
_MAX_PENDING = 1000
_MAX_NOTES = 8
_MAX_NOTE = 200


class Provider:
    """The handlers; what they decide is the `Issuer`'s."""

    def __init__(self, issuer: Issuer, *, clock: Callable[[], float] = time.time) -> None:
        self._issuer = issuer
        self._clock = clock
        self._browsers = Browsers(random=_random)
        self._pages = Pages()
        self._pending: dict[str, Request] = {}
        self._notes: dict[str, list[str]] = {}

    def app(self) -> web.Application:
        """Everything it answers."""
        app = web.Application(client_max_size=64 * 1024, middlewares=[self._own_address, _refusals])
        app.add_routes(
            [
                web.get("/", self._about),
                web.get("/static/{name}", static),
                web.get("/people/{login}.svg", self._portrait),
                web.get("/.well-known/openid-configuration", self._metadata),
                web.get("/jwks.json", self._keys),
                web.get("/authorize", self._authorize),
                web.post("/authorize", self._authorize),
                web.post("/choose", self._choose),
                web.post("/token", self._token),
                web.post("/revoke", self._revoke),
                web.get("/userinfo", self._userinfo),
                web.post("/userinfo", self._userinfo),
                web.get("/end-session", self._end_session),
                web.post("/end-session", self._end_session),
                web.get("/api/notes", self._read_notes),
                web.post("/api/notes", self._add_note),
                web.get("/api/token", self._token_facts),
                web.post("/api/token/expire", self._expire_token),
            ]
        )
        return app

    @web.middleware
    async def _own_address(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer under the issuer's own address only.

        Threat: a web page anywhere could point a name of its own at 127.0.0.1 and read what is answered here.
        """
        if request.host != urlsplit(self._issuer.issuer).netloc:
            return web.Response(text=f"This is {self._issuer.issuer}; use that address.\n", status=421)
        return await handler(request)

    # Pages

    async def _about(self, _: web.Request) -> web.StreamResponse:
        return self._pages.page("provider_about.html", issuer=self._issuer.issuer)

    async def _portrait(self, request: web.Request) -> web.StreamResponse:
        person = BY_LOGIN.get(request.match_info["login"])
        if person is None:
            raise web.HTTPNotFound
        headers = {"Cache-Control": "max-age=300", "Cross-Origin-Resource-Policy": "cross-origin"}
        return web.Response(text=portrait_svg(person), content_type="image/svg+xml", headers=headers)

    async def _metadata(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self._issuer.metadata())

    async def _keys(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self._issuer.keys())

    # Signing in

    async def _authorize(self, request: web.Request) -> web.StreamResponse:
        params = _single(request.query if request.method == "GET" else await request.post())
        asked = self._issuer.read(params)
        login = self._browsers.find(request.cookies.get(COOKIE, ""))
        hinted = find(asked.login_hint)
        if answers_without_asking(asked, login, self._clock()) and login and hinted in {None, login.person}:
            return _see_other(self._issuer.give_code(asked, login, self._clock()))
        if "none" in asked.prompts:
            return _see_other(self._issuer.refuse(asked, "login_required", "Nobody is signed in here."))
        if hinted is not None and not asked.prompts:
            return self._sign_in(request, asked, hinted)
        return self._ask(asked, login, hinted)

    def _ask(self, asked: Request, login: Login | None, hinted: Person | None) -> web.Response:
        if len(self._pending) >= _MAX_PENDING:
            self._pending.pop(next(iter(self._pending)))
        ticket = _random()
        self._pending[ticket] = asked
        return self._pages.page(
            "provider_people.html",
            people=[_shown(person) for person in PEOPLE],
            ticket=ticket,
            here=login.person.login if login else "",
            first=hinted.login if hinted else PEOPLE[0].login,
            app=urlsplit(asked.redirect_uri).netloc,
            # Not the app's origin alone: an auth host leads on from there to whichever host of its domain.
            forms="http: https:",
        )

    async def _choose(self, request: web.Request) -> web.StreamResponse:
        form = _single(await request.post())
        # Kept until it is crowded out: a person may come back to the page and choose again.
        asked = self._pending.get(form.get("ticket", ""))
        if asked is None:
            raise Refusal("invalid_request", "This page is too old. Go back to the app and sign in again.")
        person = BY_LOGIN.get(form.get("person", ""))
        if person is None:
            return _see_other(self._issuer.refuse(asked, "access_denied", "The person refused."))
        return self._sign_in(request, asked, person)

    def _sign_in(self, request: web.Request, asked: Request, person: Person) -> web.Response:
        handle = request.cookies.get(COOKIE, "")
        fresh, login = self._browsers.sign_in(handle, person.login, self._clock())
        answer = _see_other(self._issuer.give_code(asked, login, self._clock()))
        answer.set_cookie(COOKIE, fresh, httponly=True, samesite="Lax", path="/")
        return answer

    # Tokens

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = _single(await request.post())
        self._check_client(request, form)
        now = self._clock()
        match form.get("grant_type"):
            case "authorization_code":
                code, verifier = form.get("code", ""), form.get("code_verifier", "")
                answer = self._issuer.exchange(code, form.get("redirect_uri", ""), verifier, now)
            case "refresh_token":
                answer = self._issuer.refresh(form.get("refresh_token", ""), form.get("scope", ""), now)
            case _:
                raise Refusal("unsupported_grant_type", "authorization_code or refresh_token.")
        return web.json_response(answer, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    async def _revoke(self, request: web.Request) -> web.StreamResponse:
        form = _single(await request.post())
        self._check_client(request, form)
        self._issuer.revoke(form.get("token", ""))
        return web.Response()

    def _check_client(self, request: web.Request, form: Mapping[str, str]) -> None:
        """Return when the client has shown its secret, in one way only (RFC 6749 section 2.3)."""
        header = request.headers.get("Authorization", "")
        if header and "client_secret" in form:
            raise Refusal("invalid_request", "Credentials in the header or in the body, not in both.")
        if not header:
            self._issuer.check_client(form.get("client_id", ""), form.get("client_secret", ""))
            return
        self._issuer.check_client(*_basic(header))

    # The API

    async def _userinfo(self, request: web.Request) -> web.StreamResponse:
        access = self._issuer.bearer(_bearer(request), self._clock())
        person = access.grant.login.person
        claims = person.claims(access.grant.scopes)
        if "profile" in access.grant.scopes:
            claims["picture"] = f"{self._issuer.issuer}/people/{person.login}.svg"
        return _fresh_json(claims)

    async def _token_facts(self, request: web.Request) -> web.StreamResponse:
        """What the API may say about the token it was sent: everything but the token."""
        now = self._clock()
        access = self._issuer.bearer(_bearer(request), now)
        return _fresh_json(
            {
                "serial": access.serial,
                "age_s": round(now - access.issued_at, 1),
                "left_s": round(access.expires_at - now, 1),
            }
        )

    async def _expire_token(self, request: web.Request) -> web.StreamResponse:
        """Forget the token this very request came with, so that the next call with it is answered 401."""
        token = _bearer(request)
        self._issuer.bearer(token, self._clock())
        self._issuer.revoke(token)
        return _fresh_json({"expired": True})

    async def _read_notes(self, request: web.Request) -> web.StreamResponse:
        person = self._issuer.bearer(_bearer(request), self._clock()).grant.login.person
        return _fresh_json({"notes": self._notes.get(person.login, [])})

    async def _add_note(self, request: web.Request) -> web.StreamResponse:
        person = self._issuer.bearer(_bearer(request), self._clock()).grant.login.person
        try:
            text = str((await request.json())["text"]).strip()[:_MAX_NOTE]
        except (ValueError, KeyError, TypeError) as exc:
            raise Refusal("invalid_request", 'Send JSON: {"text": "…"}.') from exc
        if text:
            self._notes[person.login] = [text, *self._notes.get(person.login, [])][:_MAX_NOTES]
        return _fresh_json({"notes": self._notes.get(person.login, [])})

    # Signing out

    async def _end_session(self, request: web.Request) -> web.StreamResponse:
        """RP-initiated logout; the person is asked where no ID token vouches.

        Spec: OpenID Connect RP-Initiated Logout 1.0, section 2.
        """
        params = _single(request.query if request.method == "GET" else await request.post())
        target = params.get("post_logout_redirect_uri", "")
        if target and target not in self._issuer.client.sign_out_uris:
            raise Refusal("invalid_request", "The app has not registered this post_logout_redirect_uri.")
        handle = request.cookies.get(COOKIE, "")
        login = self._browsers.find(handle)
        hinted = self._issuer.hinted(params.get("id_token_hint", ""))
        vouched = hinted is not None and (login is None or hinted[0] == login.person.subject)
        if hinted is not None and vouched:
            self._issuer.end_login(hinted[1])
        if login is not None and not vouched and not (request.method == "POST" and "yes" in params):
            return self._pages.page(
                "provider_signout.html", person=_shown(login.person), params=params, forms=_origin(target)
            )
        ended = self._browsers.sign_out(handle)
        if ended is not None:
            self._issuer.end_login(ended.sid)
        answer = (
            _see_other(_with_state(target, params.get("state", "")))
            if target
            else self._pages.page("provider_signed_out.html")
        )
        answer.del_cookie(COOKIE, path="/", httponly=True, samesite="Lax")
        return answer


def build(issuer: str, client: Client, *, access_life_s: float = 60.0) -> web.Application:
    """The provider as an aiohttp application, with a signing key of its own made now."""
    key = RSAKey.generate_key(2048, parameters={"alg": "RS256", "use": "sig"}, auto_kid=True)
    core = Issuer(issuer=issuer, client=client, key=key, random=_random, access_life_s=access_life_s)
    return Provider(core).app()


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn a `Refusal` into what its asker can read: a redirect, an OAuth error in JSON, or a page."""
    try:
        return await handler(request)
    except Refusal as refusal:
        if refusal.redirect:
            return _see_other(refusal.redirect)
        if request.path in {"/authorize", "/choose", "/end-session"}:
            return Pages().page("provider_error.html", status=refusal.status, message=refusal.message)
        return _error_json(refusal)


def _error_json(refusal: Refusal) -> web.Response:
    """RFC 6749 section 5.2 for clients, RFC 6750 section 3 for bearers."""
    headers = {"Cache-Control": "no-store"}
    if refusal.status == 401:
        scheme = "Bearer" if refusal.error == "invalid_token" else "Basic"
        headers["WWW-Authenticate"] = f'{scheme} realm="demo", error="{refusal.error}"'
    body = {"error": refusal.error, "error_description": refusal.message}
    return web.json_response(body, status=refusal.status, headers=headers)


def _single(params: MultiMapping[Any]) -> dict[str, str]:
    """The parameters as a dict. Raises Refusal when one is sent twice (RFC 6749 section 3.1) or is a file."""
    if len(set(params)) != len(params):
        raise Refusal("invalid_request", "A parameter was sent twice.")
    return {name: value for name, value in params.items() if isinstance(value, str)}


def _basic(header: str) -> tuple[str, str]:
    """Client id and secret, each form-decoded (RFC 6749 section 2.3.1). Raises Refusal `invalid_client`."""
    scheme, _, credentials = header.partition(" ")
    try:
        pair = base64.b64decode(credentials, validate=True).decode()
    except ValueError as exc:
        raise Refusal("invalid_client", "The Authorization header can't be read.", status=401) from exc
    client_id, colon, secret = pair.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise Refusal("invalid_client", "The Authorization header is not a Basic one.", status=401)
    return unquote_plus(client_id), unquote_plus(secret)


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _fresh_json(body: Mapping[str, object]) -> web.Response:
    return web.json_response(body, headers={"Cache-Control": "no-store"})


def _see_other(url: str) -> web.Response:
    headers = {"Location": url, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return web.Response(status=303, headers=headers)


def _with_state(url: str, state: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'state': state})}" if state else url


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if url else ""


def _shown(person: Person) -> dict[str, object]:
    """What a page shows of a person."""
    return {
        "login": person.login,
        "name": person.name,
        "email": person.email,
        "email_verified": person.email_verified,
        "groups": list(person.groups),
        "about": person.about,
    }


def _random() -> str:
    return secrets.token_urlsafe(32)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m vestibule.demo.provider", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--client-id", default=CLIENT_ID)
    parser.add_argument("--redirect-uri", action="append", default=[], help="may be repeated")
    parser.add_argument("--sign-out-uri", action="append", default=[], help="may be repeated")
    parser.add_argument("--access-life", type=float, default=60.0, help="seconds an access token lives")
    parser.add_argument("--child", action="store_true", help="stop when standard input closes")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Run the provider; the client's secret is taken from VESTIBULE_DEMO_CLIENT_SECRET."""
    arguments = _arguments(argv)
    secret = os.environ.get(SECRET_VARIABLE, "")
    if not secret:
        print(f"set {SECRET_VARIABLE} to the client's secret", file=sys.stderr)  # noqa: T201 - its answer
        return 2
    client = Client(
        id=arguments.client_id,
        secret=Secret(secret),
        redirect_uris=frozenset(arguments.redirect_uri),
        sign_out_uris=frozenset(arguments.sign_out_uri),
    )
    return server.run(
        lambda url: build(url, client, access_life_s=arguments.access_life),
        address=arguments.address,
        port=arguments.port,
        child=arguments.child,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
