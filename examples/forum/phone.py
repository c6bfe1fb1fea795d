#!/usr/bin/env python3
"""The forum's app on a phone, played by a program: it signs in as AppAuth does (RFC 8252, RFC 7636).

    phone.py sign-in        opens the system's browser, which comes back with a code; `--sdk` does without
    phone.py feed           the newsfeed
    phone.py post "Hello"
    phone.py sign-out       on this phone only

`--phone NAME` is another phone. What it keeps lies in a file that nobody else may read, in the place of a keychain. It
needs nothing but Python.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.server
import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

APP = "forum-phone"
METADATA = "/.well-known/oauth-authorization-server"
EARLY_S = 30.0
"""An access token that is about to end is not shown any more."""
BROWSER_S = 300.0
ANSWERED_WITHIN_S = 60.0


class Refused(Exception):
    """What the forum said no to."""

    def __init__(self, status: int, told: dict[str, Any]) -> None:
        super().__init__(f"{status} {told.get('error') or told.get('code') or ''}".strip())
        self.status, self.told = status, told
        self.code = str(told.get("error") or told.get("code") or "")


class SystemBrowser(Protocol):
    """The browser of the phone, which the app can open at an address and can't look into."""

    redirect_uri: str
    """Where it comes back to the app: a link that the system gives to the app."""

    def visit(self, url: str) -> str:
        """The link that the browser came back by."""


class SDK(Protocol):
    """What Google's or Apple's SDK is on a phone."""

    def give(self, nonce: str) -> dict[str, str]:
        """The `id_token` of who is signed in there, for this app; of Apple `user` at the first time."""


class Phone:
    """The app on one phone, and its keychain."""

    def __init__(self, site: str, keychain: Path) -> None:
        self._site = site.rstrip("/")
        self._keychain = keychain

    @property
    def is_signed_in(self) -> bool:
        """True while it keeps tokens: they may be good no more."""
        return self._keychain.exists()

    def sign_in(self, browser: SystemBrowser, **hints: str) -> None:
        """Sign a person in by the system's browser. Raises Refused.

        Threat: another app that has the same link: the code is of no use without the verifier, which stays here;
        another server's answer: `state` and `iss` are compared.
        """
        at = self._endpoints()
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
        asked = {
            "response_type": "code",
            "client_id": APP,
            "redirect_uri": browser.redirect_uri,
            "state": state,
            "code_challenge": _base64url(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
            **hints,
        }
        link = browser.visit(f"{at['authorization_endpoint']}?{urllib.parse.urlencode(asked)}")
        back = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(link).query))
        if back.get("iss") != at["issuer"] or not secrets.compare_digest(back.get("state", ""), state):
            raise Refused(0, {"error": "somebody else answered"})
        if "error" in back:
            raise Refused(0, back)
        self._keep(
            self._post(
                at["token_endpoint"],
                grant_type="authorization_code",
                code=back["code"],
                redirect_uri=browser.redirect_uri,
                code_verifier=verifier,
            )
        )

    def sign_in_by_sdk(
        self, sdk: SDK, provider: str, register: Callable[[dict[str, Any]], dict[str, str]]
    ) -> None:
        """Sign in whoever is signed in at Google or Apple on this phone; `register` answers what a newcomer is asked.

        Raises Refused. Threat: an ID token that somebody read elsewhere: the nonce in it is of this sign-in.
        """
        nonce = secrets.token_urlsafe(24)
        given = sdk.give(hashlib.sha256(nonce.encode()).hexdigest())
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "subject_issuer": provider,
            "subject_token": given["id_token"],
            "nonce": nonce,
            "user": given.get("user", ""),
        }
        try:
            told = self._post(self._endpoints()["token_endpoint"], **form)
        except Refused as refused:
            if refused.code != "registration_required":
                raise
            asked = refused.told["registration"]
            body = {"client_id": APP, "token": asked["token"], "fields": register(asked)}
            request = urllib.request.Request(asked["url"], data=json.dumps(body).encode())
            request.add_header("Content-Type", "application/json")
            told = _answer(request)
        self._keep(told)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """What the forum's API answers who is signed in here. Raises Refused."""
        kept = self._kept()
        if time.time() > kept["until"] - EARLY_S:
            kept = self.refresh()
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self._site + path, data=data, method=method)
        request.add_header("Authorization", f"Bearer {kept['access_token']}")
        request.add_header("Content-Type", "application/json")
        return _answer(request)

    def refresh(self) -> dict[str, Any]:
        """Other tokens for those that are kept, which are good no more. Raises Refused; the person signs in again."""
        kept, at = self._kept(), self._endpoints()
        form = {"grant_type": "refresh_token", "refresh_token": kept["refresh_token"]}
        try:
            return self._keep(self._post(at["token_endpoint"], **form))
        except Refused as refused:
            if refused.code == "invalid_grant":
                self._keychain.unlink()
            raise

    def sign_out(self) -> None:
        """Sign out here; other devices of the person stay signed in."""
        kept = self._kept()
        self._post(self._endpoints()["revocation_endpoint"], token=kept["refresh_token"])
        self._keychain.unlink()

    def _endpoints(self) -> dict[str, str]:
        """Where everything is. Raises Refused. Spec: RFC 8414 section 3.3."""
        told: dict[str, str] = _answer(urllib.request.Request(self._site + METADATA))
        if told["issuer"] != self._site:
            raise Refused(0, {"error": f"{self._site} says that it is {told['issuer']}"})
        return told

    def _post(self, url: str, **form: str) -> dict[str, Any]:
        body = urllib.parse.urlencode({"client_id": APP, **form}).encode()
        told: dict[str, Any] = _answer(urllib.request.Request(url, data=body))
        return told

    def _keep(self, told: dict[str, Any]) -> dict[str, Any]:
        kept = {name: told[name] for name in ("access_token", "refresh_token")}
        kept["until"] = time.time() + told["expires_in"]
        beside = self._keychain.with_suffix(".new")
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(kept, file)
        beside.replace(self._keychain)
        return kept

    def _kept(self) -> dict[str, Any]:
        if not self._keychain.exists():
            raise Refused(401, {"error": "nobody is signed in on this phone"})
        kept: dict[str, Any] = json.loads(self._keychain.read_text())
        return kept


class Desktop:
    """The browser of this machine, which comes back to a port of its own: a desktop gives no links to programs."""

    def __init__(self) -> None:
        self._came = ""
        phone = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/callback?"):
                    phone._came = self.path
                body = b"<!doctype html><title>The forum</title><p>Go back to the phone."
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                """Nothing: codes stand in the addresses."""

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.redirect_uri = f"http://127.0.0.1:{self._server.server_port}/callback"

    def visit(self, url: str) -> str:
        """The address that the browser came back to. Raises Refused."""
        print(f"Sign in by your browser. If none opens, go to\n\n  {url}\n")
        webbrowser.open(url)
        until = time.monotonic() + BROWSER_S
        while not self._came and (left_s := until - time.monotonic()) > 0:
            self._server.timeout = left_s
            self._server.handle_request()
        self._server.server_close()
        if not self._came:
            raise Refused(0, {"error": "nobody came back from the browser"})
        return self._came


class StandIn:
    """The SDK of the stand-ins, at one's address: somebody is signed in there already."""

    def __init__(self, url: str, person: str) -> None:
        self._url, self._person = url, person

    def give(self, nonce: str) -> dict[str, str]:
        """What it gives an app. Raises Refused."""
        body = urllib.parse.urlencode({"person": self._person, "nonce": nonce}).encode()
        told: dict[str, str] = _answer(urllib.request.Request(f"{self._url}/sdk", data=body))
        return told


def _answer(request: urllib.request.Request) -> Any:
    """The JSON of an answer. Raises Refused."""
    request.add_header("Accept", "application/json")
    request.add_header("User-Agent", "Forum/1 CFNetwork/1494 Darwin/23.4.0")
    try:
        with urllib.request.urlopen(request, timeout=ANSWERED_WITHIN_S) as answer:
            return json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        with error:
            text = error.read()
        try:
            told = json.loads(text)
        except ValueError:
            told = {"error": text[:200].decode("utf-8", "replace")}
        raise Refused(error.code, told if isinstance(told, dict) else {}) from None


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _feed(phone: Phone) -> None:
    for post in phone.call("GET", "/api/feed")["posts"]:
        print(f"{post['id']:>4}  {post['name']} ({post['likes']} likes)\n      {post['text']}\n")


def _registered(asked: dict[str, Any]) -> dict[str, str]:
    """What a newcomer says; what is known already need not be typed."""
    filled = {}
    for field in asked["fields"]:
        known = asked["known"].get(field["name"], "")
        label = field.get("label", field["name"])
        filled[field["name"]] = input(f"{label}{f' [{known}]' if known else ''}: ") or known
    return filled


def main() -> int:
    """Do what a tap would; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--site", default="http://localhost:8080")
    parser.add_argument("--phone", default="phone")
    commands = parser.add_subparsers(dest="command", required=True)
    sign_in = commands.add_parser("sign-in")
    sign_in.add_argument(
        "--sdk", default="", help="without a browser, by a stand-in's SDK: google=http://127.0.0.1:…"
    )
    sign_in.add_argument("--as", dest="person", default="", help="who is signed in there: ada, bo, dana …")
    for name in ("me", "feed", "refresh", "sign-out"):
        commands.add_parser(name)
    commands.add_parser("post").add_argument("text")
    commands.add_parser("like").add_argument("id", type=int)
    options = parser.parse_args()
    home = Path.home() / ".local" / "state" / "vestibule-forum"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    phone = Phone(options.site, home / f"{urllib.parse.quote(options.phone, safe='')}.json")
    try:
        match options.command:
            case "sign-in":
                provider, _, url = options.sdk.partition("=")
                if provider:
                    phone.sign_in_by_sdk(StandIn(url, options.person), provider, _registered)
                else:
                    phone.sign_in(Desktop())
                print(f"You are {phone.call('GET', '/api/me')['name']} on {options.phone}.")
            case "me":
                print(phone.call("GET", "/api/me")["name"])
            case "feed":
                _feed(phone)
            case "post":
                phone.call("POST", "/api/posts", {"text": options.text})
            case "like":
                phone.call("PUT", f"/api/posts/{options.id}/like")
            case "refresh":
                phone.refresh()
            case "sign-out":
                phone.sign_out()
    except (Refused, OSError) as error:
        print(f"phone.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
