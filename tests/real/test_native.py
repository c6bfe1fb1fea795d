"""Apps that sign people in by ID tokens of an SDK, with a provider that signs whatever it is told to.

One gateway, and on it: a newcomer, who fills in a form as JSON; the same person on a second phone and in a browser; all
tokens that are none; and one phone signed out on the account page.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

import aiohttp
import pytest

from tests.ports import Ports
from tests.real.house import Browser, House
from tests.real.lies import by_another_key
from tests.real.rogue import Later, Rogue
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {
  http = ["127.0.0.1:{port}"]
}

people {
  registration    = "form"
  allowed_domains = ["example.com"]
  field "nickname" {
    label    = "How shall others call you?"
    required = true
  }
}

provider "google" {
  client_id         = "web.example"
  client_secret     = "canary-web-secret"
  issuer            = "ISSUER"
  native_client_ids = ["ios.example", "android.example"]
}

provider "other" {
  type      = "oidc"
  issuer    = "ISSUER"
  client_id = "web.example"
}

app "forum-ios" {
  name   = "Forum for iPhone"
  hosts  = ["app.example.com"]
  grants = ["native", "refresh"]
  scopes = ["read", "write"]
}

app "forum-android" {
  name   = "Forum for Android"
  hosts  = ["app.example.com"]
  grants = ["native", "refresh"]
}

app "browser-only" {
  hosts     = ["app.example.com"]
  redirects = ["https://app.example.com/callback"]
}

host "app.example.com" {
  backend = "127.0.0.1:BACKEND"
  sign_in = ["google", "other"]
  access {
    allow = ["anyone"]
  }
}
"""
ALICE = {"sub": "alice", "email": "alice@example.com", "email_verified": True}


class Phone:
    """An app with the provider's SDK."""

    def __init__(self, house: House, rogue: Rogue, program: aiohttp.ClientSession, app: str) -> None:
        self.house, self.rogue, self.program, self.app = house, rogue, program, app
        self.tokens: dict[str, Any] = {}

    def id_token(self, nonce: str, /, **claims: Any) -> str:
        """What the SDK gives: the nonce is hashed before it is sent to the provider."""
        hashed = hashlib.sha256(nonce.encode()).hexdigest()
        made = self.rogue.claims_now({**ALICE, "aud": "ios.example", "nonce": hashed, **claims})
        return self.rogue.sign({"alg": "RS256", "kid": "one"}, made)

    async def sign_in(self, nonce: str = "", token: str = "", **more: str) -> tuple[int, dict[str, Any]]:
        nonce = nonce or secrets.token_urlsafe(24)
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "client_id": self.app,
            "subject_issuer": "google",
            "subject_token": token or self.id_token(nonce),
            "nonce": nonce,
            **more,
        }
        return await self._post("/@/token", data=form)

    async def register(self, token: str, **fields: str) -> tuple[int, dict[str, Any]]:
        sent = {"client_id": self.app, "token": token, "fields": fields}
        return await self._post("/@/registration", json=sent)

    async def refresh(self) -> tuple[int, dict[str, Any]]:
        form = {"grant_type": "refresh_token", "refresh_token": self.tokens["refresh_token"]}
        return await self._post("/@/token", data={**form, "client_id": self.app})

    async def status(self) -> int:
        bearer = {"Authorization": f"Bearer {self.tokens['access_token']}"}
        async with self.program.get(f"{self.house.origin}/posts", headers=bearer) as answer:
            return answer.status

    async def _post(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        async with self.program.post(f"{self.house.origin}{path}", **body) as answer:
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Set-Cookie" not in answer.headers
            told = json.loads(await answer.text())
            self.tokens = told if answer.status == 200 else self.tokens
            return answer.status, told


def none_of(phone: Phone) -> dict[str, tuple[int, str, dict[str, str]]]:
    """What is no sign-in: the status, what is said of it, what the app sends."""
    nonce = secrets.token_urlsafe(24)

    def shown(**claims: Any) -> dict[str, str]:
        return {"nonce": nonce, "token": phone.id_token(nonce, **claims)}

    forged = by_another_key({"alg": "RS256", "kid": "one"}, phone.rogue.claims_now({"nonce": nonce}))
    return {
        "another's app": (400, "aud", shown(aud="evil.example")),
        "the site's own": (400, "aud", shown(aud="web.example")),
        "asked for by another's app": (400, "azp", shown(azp="evil.example")),
        "of another sign-in": (400, "nonce", {**shown(), "nonce": secrets.token_urlsafe(24)}),
        "no nonce in it": (400, "nonce", shown(nonce=...)),
        "no nonce with it": (400, "nonce is needed", {**shown(), "nonce": "x"}),
        "over": (400, "expired", shown(exp=Later(-3600), iat=Later(-3700))),
        "old": (400, "iat", shown(iat=Later(-7200), exp=Later(7200))),
        "another issuer": (400, "iss", shown(iss="https://accounts.google.com")),
        "another's signature": (400, "signature", {"nonce": nonce, "token": forged}),
        "address not verified": (403, "domains", shown(sub="mallory", email_verified=False)),
        "address elsewhere": (403, "domains", shown(sub="mallory", email="m@example.com.evil.example")),
        "a provider without apps": (400, "subject_issuer", {**shown(), "subject_issuer": "other"}),
        "no token": (400, "good here", {"nonce": nonce, "token": "x.y.z"}),
        "an app of browsers": (400, "may not", {**shown(), "client_id": "browser-only"}),
    }


async def test_two_phones_sign_in_by_the_sdk_and_one_is_signed_out(ports: Ports, api, gateway) -> None:
    async with (
        Rogue(ports.take()) as rogue,
        new_visitor(user_agent="Forum/1 CFNetwork") as one,
        new_visitor(user_agent="Forum/1 (Android 15)") as two,
        new_visitor() as visitor,
    ):
        app = await api()
        text = CONFIGURATION.replace("ISSUER", rogue.issuer).replace("BACKEND", str(app.port))
        house = House(gateway(text, port=ports.take()), None, app, app, 0)  # type: ignore[arg-type]
        iphone, android = Phone(house, rogue, one, "forum-ios"), Phone(house, rogue, two, "forum-android")

        # 1. What is no sign-in, while nobody is known yet.
        wrong = {}
        for what, (status, says, form) in none_of(iphone).items():
            told = await iphone.sign_in(**form)
            if told[0] != status or says not in told[1]["error_description"]:
                wrong[what] = told
        assert wrong == {}

        # 2. A newcomer is asked first; nothing is there before the form is sent.
        nonce = secrets.token_urlsafe(24)
        token = iphone.id_token(nonce)
        status, told = await iphone.sign_in(nonce, token)
        assert (status, told["error"]) == (403, "registration_required")
        asked = told["registration"]
        assert [field["name"] for field in asked["fields"]] == ["name", "login", "nickname"]
        status, told = await iphone.register(asked["token"], name="Alice")
        assert (status, list(told["faults"])) == (422, ["nickname"])
        assert (await android.register(asked["token"], name="Alice", nickname="Al"))[0] == 400
        assert (await iphone.register(asked["token"], name="Alice", nickname="Al"))[0] == 200
        assert (await iphone.register(asked["token"], name="Alice", nickname="Al"))[0] == 400
        assert await iphone.status() == 200
        assert app.seen[-1].all("user-email") == ["alice@example.com"]
        assert app.seen[-1].all("authorization") == []

        # 3. The same token again is nobody's; another phone of the same person is a sign-in of its own.
        assert "shown before" in (await iphone.sign_in(nonce, token))[1]["error_description"]
        nonce = secrets.token_urlsafe(24)
        raw = android.id_token(nonce, aud="android.example", nonce=nonce, azp="android.example")
        assert (await android.sign_in(nonce, raw))[0] == 200
        assert (await android.refresh())[0] == 200
        assert (await iphone.status(), await android.status()) == (200, 200)

        # 4. On the web it is the same person, who sees both and signs one out.
        rogue.claims, rogue.userinfo = {**ALICE, "aud": "web.example"}, ALICE
        laptop = Browser(house, visitor)
        assert (await laptop.get("/@google/signin?rd=/", follow=True)).status == 200
        page = await laptop.get("/@/account", Accept="application/json")
        devices = {device["app"]: device for device in json.loads(page.text)["devices"]}
        assert set(devices) == {"", "forum-ios", "forum-android"}
        assert "Forum for iPhone" in (await laptop.get("/@/account")).text
        headers = {"Origin": house.origin, "Sec-Fetch-Site": "same-origin"}
        url = f"{house.origin}/@/account/devices/signout"
        async with visitor.post(url, json={"id": devices["forum-ios"]["id"]}, headers=headers) as answer:
            assert (answer.status, await answer.json()) == (200, {"signed_out": 1})
        assert (await iphone.status(), (await iphone.refresh())[0]) == (401, 400)
        assert (await android.status(), (await android.refresh())[0]) == (200, 200)

        # 5. What nobody may read stands nowhere.
        log = house.gateway.log
        assert "sign_in.refused" in log
        for secret in (token, nonce, android.tokens["access_token"]):
            assert secret not in log
