"""Machines through the whole gateway: a build at GitHub, played by an issuer with its documented claims, gets a token.

The issuer is a real server with metadata and RS256 keys; the gateway fetches both.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.real.rogue import KEY, jwk_of, signed_by_key
from tests.real.visitor import new_visitor
from vestibule.admin_client import AdminClient
from vestibule.errors import VestibuleError

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {
  http = ["127.0.0.1:{port}"]
}

host "app.example.com" {
  backend = "127.0.0.1:BACKEND"
  access {
    allow = ["machine:deploy"]
  }
  route "/scoped/" {
    access {
      allow = ["token:deploy"]
    }
  }
  route "/others/" {
    access {
      allow = ["machine:staging", "machine:partner"]
    }
  }
}

host "other.example.com" {
  backend = "127.0.0.1:BACKEND"
  access {
    allow = ["machine:nightly"]
  }
}

machine "deploy" {
  kind   = "github"
  issuer = "ISSUER"
  hosts  = ["app.example.com"]
  scopes = ["deploy", "read"]
  claims = { repository = "acme/app", ref = ["refs/heads/main", "refs/tags/v*"] }
}

machine "nightly" {
  kind   = "github"
  issuer = "ISSUER"
  hosts  = ["other.example.com"]
  claims = { repository = "acme/nightly" }
}

machine "staging" {
  kind   = "github"
  issuer = "ISSUER"
  hosts  = ["app.example.com"]
  claims = { repository_id = "74", environment = "staging" }
}

machine "backup" {
  kind   = "key"
  hosts  = ["app.example.com"]
  scopes = ["deploy"]
}

app "partner" {
  hosts  = ["app.example.com"]
  grants = ["credentials"]
  secret = "a-secret-of-at-least-32-characters-0"
  scopes = ["deploy"]
}
"""
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"


class Site:
    """The gateway, the issuer, and a program that knows neither cookies nor pages."""

    def __init__(self, gateway: Any, backend: Any, issuer: Any, program: aiohttp.ClientSession) -> None:
        self.gateway, self.backend, self.issuer, self.program = gateway, backend, issuer, program
        self.client = AdminClient(f"unix:{gateway.directory / 'state' / 'admin.sock'}")

    def url(self, path: str, host: str = "app.example.com") -> str:
        return f"http://{host}:{self.gateway.port}{path}"

    def build_token(self, **claims: Any) -> str:
        """A build's token. Claims: docs.github.com, "OpenID Connect reference"."""
        now = int(time.time())
        said = {
            "jti": secrets.token_hex(16),
            "sub": "repo:acme/app:ref:refs/heads/main",
            "aud": self.url(""),
            "ref": "refs/heads/main",
            "sha": "example-sha",
            "repository": "acme/app",
            "repository_owner": "acme",
            "actor_id": "12",
            "repository_visibility": "private",
            "repository_id": "74",
            "repository_owner_id": "65",
            "run_id": "example-run-id",
            "run_number": "10",
            "run_attempt": "2",
            "runner_environment": "github-hosted",
            "actor": "octocat",
            "workflow": "example-workflow",
            "event_name": "workflow_dispatch",
            "ref_type": "branch",
            "job_workflow_ref": "acme/app/.github/workflows/deploy.yml@refs/heads/main",
            "iss": self.issuer.url,
            "nbf": now - 600,
            "exp": now + 3600,
            "iat": now,
        }
        header = {"typ": "JWT", "alg": "RS256", "x5t": "example-thumbprint", "kid": "example-key-id"}
        return signed_by_key(header, {**said, **claims})

    async def ask(self, host: str = "app.example.com", **form: str) -> tuple[int, dict[str, Any]]:
        async with self.program.post(self.url("/@/token", host), data=form) as answer:
            assert answer.headers["Cache-Control"] == "no-store"
            return answer.status, await answer.json()

    async def token(self, **form: str) -> str:
        status, told = await self.ask(**{"grant_type": JWT_BEARER, "assertion": self.build_token(), **form})
        assert status == 200, told
        return str(told["access_token"])

    async def status(self, token: str, path: str = "/", host: str = "app.example.com") -> int:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.program.get(self.url(path, host), headers=headers) as answer:
            return answer.status


@pytest.fixture
async def site(ports, api, gateway) -> AsyncIterator[Site]:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/jwks":
            return web.json_response({"keys": [jwk_of(KEY, kid="example-key-id", use="sig", alg="RS256")]})
        return web.json_response({"issuer": issuer.url, "jwks_uri": f"{issuer.url}/jwks"})

    issuer, backend = await api(answer=answer), await api()
    text = CONFIGURATION.replace("ISSUER", issuer.url).replace("BACKEND", str(backend.port))
    started = gateway(text, port=ports.take())
    async with new_visitor(user_agent="runner") as program:
        yield Site(started, backend, issuer, program)


async def test_a_build_gets_a_token_and_is_let_in_until_it_leaves_the_configuration(site: Site) -> None:
    status, told = await site.ask(grant_type=JWT_BEARER, assertion=site.build_token())
    assert status == 200, told
    assert (told["token_type"], told["expires_in"], told["scope"]) == ("Bearer", 900, "deploy read")
    assert "refresh_token" not in told
    token = told["access_token"]

    assert await site.status(token) == 200
    seen = site.backend.seen[-1]
    assert seen.one("proxy-machine") == "deploy"
    assert seen.one("proxy-machine-subject") == "repo:acme/app:ref:refs/heads/main"
    assert not seen.all("authorization")
    assert not seen.all("user-id")
    assert await site.status(token, "/scoped/x") == 200
    assert await site.status(token, "/others/x") == 403
    assert await site.status(token, host="other.example.com") == 401
    assert await site.status(token, "/@/account") in (302, 303, 401, 403, 404)

    reader = await site.token(scope="read")
    assert await site.status(reader) == 200
    assert await site.status(reader, "/scoped/x") == 403
    assert token not in site.gateway.process.whole_log
    site.gateway.process.wait_log("machine.token_issued")

    file = site.gateway.file
    whole = file.read_text()
    file.write_text(
        whole.replace('machine "deploy" {', 'machine "gone" {').replace("machine:deploy", "public")
    )
    await asyncio.to_thread(site.client.reload)
    assert await site.status(token, "/scoped/x") == 401
    file.write_text(whole)
    await asyncio.to_thread(site.client.reload)
    assert await site.status(token, "/scoped/x") == 200


async def test_a_token_says_what_it_is_to_a_service_and_is_revoked_by_who_holds_it(site: Site) -> None:
    async def posted(path: str, **form: str) -> tuple[int, dict[str, Any]]:
        async with site.program.post(site.url(path), data=form) as answer:
            return answer.status, await answer.json()

    mine = {"client_id": "partner", "client_secret": "a-secret-of-at-least-32-characters-0"}
    token, other = await site.token(), await site.token(scope="read")
    status, told = await posted("/@/introspect", token=token, **mine)
    assert (status, told["active"], told["client_id"], told["aud"]) == (
        200,
        True,
        "deploy",
        "app.example.com",
    )
    assert (told["sub"], told["scope"]) == ("repo:acme/app:ref:refs/heads/main", "deploy read")
    assert (await posted("/@/introspect", token=token, client_id="backup"))[0] == 401

    assert await site.status(token) == 200
    assert await posted("/@/revoke", token=token, client_id="nightly") == (200, {})
    assert await site.status(token) == 200, "it is another machine's"
    assert await posted("/@/revoke", token=token) == (200, {})
    assert await site.status(token) == 401
    assert (await posted("/@/introspect", token=token, **mine))[1] == {"active": False}
    assert await site.status(other) == 200

    status, told = await site.ask(grant_type="client_credentials", **mine)
    own = told["access_token"]
    assert (await posted("/@/revoke", token=own))[0] == 401, "an app proves who it is"
    assert await site.status(own, "/others/x") == 200
    assert await posted("/@/revoke", token=own, **mine) == (200, {})
    assert await site.status(own, "/others/x") == 401


async def test_each_way_of_asking_and_what_is_refused(site: Site) -> None:
    shown = {"subject_token_type": ID_TOKEN, "grant_type": EXCHANGE}
    status, told = await site.ask(**shown, subject_token=site.build_token(), client_id="deploy")
    assert status == 200, told
    assert told["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"

    once = site.build_token()
    assert (await site.ask(grant_type=JWT_BEARER, assertion=once))[0] == 200
    nightly = site.build_token(repository="acme/nightly")
    refused: list[tuple[dict[str, str], str]] = [
        ({"assertion": once}, "invalid_grant"),
        ({"assertion": site.build_token(repository="evil/app")}, "invalid_grant"),
        ({"assertion": site.build_token(ref="refs/heads/x")}, "invalid_grant"),
        ({"assertion": site.build_token(ref="refs/tags/v1/x")}, "invalid_grant"),
        ({"assertion": site.build_token(aud="https://github.com/acme")}, "invalid_grant"),
        ({"assertion": site.build_token(exp=int(time.time()) - 600)}, "invalid_grant"),
        ({"assertion": site.build_token()[:-8] + "AAAAAAAA"}, "invalid_grant"),
        ({"assertion": nightly}, "invalid_grant"),
        ({"assertion": site.build_token(), "client_id": "nightly"}, "invalid_grant"),
        ({"assertion": site.build_token(), "client_id": "nobody"}, "invalid_client"),
        ({"assertion": site.build_token(), "scope": "admin"}, "invalid_scope"),
        ({"assertion": site.build_token(), "resource": site.url("", "other.example.com")}, "invalid_target"),
        ({"assertion": ""}, "invalid_request"),
        ({"assertion": "x"}, "invalid_grant"),
    ]
    for form, error in refused:
        status, told = await site.ask(grant_type=JWT_BEARER, **form)
        assert (status in (400, 401), told["error"]) == (True, error), (form, told)

    mine = {"client_id": "partner", "client_secret": "a-secret-of-at-least-32-characters-0"}
    status, told = await site.ask(grant_type="client_credentials", **mine)
    assert status == 200, told
    assert await site.status(told["access_token"], "/others/x") == 200
    assert await site.status(told["access_token"], "/scoped/x") == 200
    assert await site.status(told["access_token"]) == 403
    status, told = await site.ask(grant_type="client_credentials", **{**mine, "client_secret": "x" * 36})
    assert (status, told["error"]) == (401, "invalid_client")


async def test_a_key_has_tokens_that_end_with_it(site: Site) -> None:
    first = await asyncio.to_thread(site.client.create_machine_key, "backup", "nas")
    second = await asyncio.to_thread(site.client.create_machine_key, "backup")
    with pytest.raises(VestibuleError) as refused:
        await asyncio.to_thread(site.client.create_machine_key, "backup")
    assert refused.value.code == "too_many_keys"
    with pytest.raises(VestibuleError) as refused:
        await asyncio.to_thread(site.client.create_machine_key, "deploy")
    assert refused.value.status == 404

    asked = {"grant_type": "client_credentials", "client_id": "backup"}
    tokens = []
    for key in (first, second):
        status, told = await site.ask(**asked, client_secret=str(key.key))
        assert status == 200, told
        tokens.append(told["access_token"])
        assert await site.status(tokens[-1], "/scoped/x") == 200
    assert site.backend.seen[-2].one("proxy-machine-subject") == "nas"
    for wrong in ("", "vst_mk_x", str(first.key)[:-1] + "x"):
        status, told = await site.ask(**asked, client_secret=wrong)
        assert (status, told["error"]) == (401, "invalid_client")
    status, told = await site.ask(**{**asked, "client_id": "deploy"}, client_secret=str(first.key))
    assert (status, told["error"]) == (400, "unauthorized_client")

    await asyncio.to_thread(site.client.revoke_machine_key, first.id)
    assert await site.status(tokens[0], "/scoped/x") == 401
    assert await site.status(tokens[1], "/scoped/x") == 200
    status, told = await site.ask(**asked, client_secret=str(first.key))
    assert (status, told["error"]) == (401, "invalid_client")
    (left,) = await asyncio.to_thread(lambda: list(site.client.machine_keys()))
    assert (left.id, left.machine, left.key) == (second.id, "backup", None)
    assert left.seen_at is not None
    log = site.gateway.process.whole_log
    for secret in (str(first.key), str(second.key), *tokens):
        assert secret not in log
    site.gateway.process.wait_log("machine_key.revoked")
