"""Machines of AWS through the whole gateway: botocore signs, a stand-in for STS judges signatures with botocore.

And `vestibule machine` as a build runs it, with what its platform has for it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.real.rogue import KEY, jwk_of, signed_by_key
from tests.real.standin_aws import IDENTITY, TAGS, Aws, Key
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {
  http = ["127.0.0.1:{port}"]
}

host "127.0.0.1" {
  backend = "internal:echo"
  access {
    allow = ["machine:runner", "machine:tagged", "machine:job"]
  }
}

machine "runner" {
  kind     = "aws"
  hosts    = ["127.0.0.1"]
  scopes   = ["deploy", "read"]
  accounts = ["123456789012"]
  roles    = ["arn:aws:iam::123456789012:role/ci-*"]
  endpoint = "AWS"
}

machine "tagged" {
  kind     = "aws"
  hosts    = ["127.0.0.1"]
  accounts = ["123456789012"]
  roles    = ["arn:aws:iam::123456789012:role/ci-*"]
  tags     = { env = "prod", "runner.example.com/id" = "r-*" }
  endpoint = "AWS"
}

machine "job" {
  kind     = "jwt"
  hosts    = ["127.0.0.1"]
  issuer   = "AWS"
  jwks_url = "AWS/jwks"
  claims   = { sub = "repo:acme/app:ref:refs/heads/main" }
}
"""
GATEWAY = "127.0.0.1"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
AWS_REQUEST = "urn:ietf:params:aws:token-type:aws4_request"


class Site:
    """The gateway with AWS played, and programs without cookies."""

    def __init__(self, origin: str, aws: Aws, url: str, gateway: Any, program: aiohttp.ClientSession) -> None:
        self.origin, self.aws, self.url, self.gateway, self.program = origin, aws, url, gateway, program

    async def exchange(self, shown: Any, **more: str) -> tuple[int, dict[str, Any]]:
        text = shown if isinstance(shown, str) else json.dumps(shown)
        form = {"grant_type": EXCHANGE, "subject_token_type": AWS_REQUEST, "subject_token": text, **more}
        async with self.program.post(f"{self.origin}/@/token", data=form) as answer:
            return answer.status, await answer.json()

    async def refused(self, shown: Any, **more: str) -> str:
        """The refusal's code and words."""
        status, told = await self.exchange(shown, **more)
        assert (status, "access_token" in told) == (400, False), told
        return f"{told['error']}: {told.get('error_description', '')}"

    async def admits(self, token: str) -> bool:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        async with self.program.get(f"{self.origin}/", headers=headers) as answer:
            return answer.status == 200

    async def run(self, *argv: str, **env: str) -> tuple[int, str, str]:
        """`vestibule machine` where only this stands in the environment."""
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "PYTHONPATH", "LANG"}}
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "vestibule", "machine", argv[0], self.origin, *argv[1:]],
            env={**kept, "HOME": "/nonexistent", **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def key() -> Key:
    return Key()


@pytest.fixture
async def site(api, gateway, ports, key) -> AsyncIterator[Site]:
    aws = Aws(key)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/jwks":
            return web.json_response({"keys": [jwk_of(KEY, kid="k")]})
        return await aws.answer(request)

    server = await api(answer=answer)
    port = ports.take()
    started = gateway(CONFIGURATION.replace("AWS", server.url), port=port)
    async with new_visitor(user_agent="runner/1") as program:
        yield Site(f"http://127.0.0.1:{port}", aws, server.url, started, program)


async def test_who_signs_as_aws_does_is_let_in_and_nobody_else(site, key):
    for shown in (
        key.signed(GATEWAY),
        key.signed(GATEWAY, is_presigned=True),
        key.signed(GATEWAY, query="", body=IDENTITY),
    ):
        status, told = await site.exchange(shown, scope="deploy")
        assert status == 200, told
        assert (told["token_type"], told["scope"]) == ("Bearer", "deploy")
        assert await site.admits(told["access_token"])
        assert "before" in await site.refused(shown)
    assert site.aws.calls == {"GetCallerIdentity": 3}

    other, stranger, unknown = Key("admin"), Key("ci-deploy", account="210987654321"), Key()
    site.aws.keys |= {other.id: other, stranger.id: stranger}
    assert "no machine here is arn:aws:iam::123456789012:role/admin" in await site.refused(
        other.signed(GATEWAY)
    )
    assert "no machine here" in await site.refused(stranger.signed(GATEWAY))
    assert "InvalidClientTokenId" in await site.refused(unknown.signed(GATEWAY))
    assert "SignatureDoesNotMatch" in await site.refused(key.signed(GATEWAY, secret="guessed"))
    forged = json.dumps(other.signed(GATEWAY)).replace(other.id, key.id)
    assert "AWS refuses it" in await site.refused(forged)
    assert site.aws.calls == {"GetCallerIdentity": 8}

    both = {"sts": key.signed(GATEWAY), "tags": key.signed(GATEWAY, service="ec2", query=TAGS)}
    status, told = await site.exchange(both, client_id="tagged")
    assert status == 200, told
    assert site.aws.calls == {"GetCallerIdentity": 9, "DescribeTags": 1}


async def test_what_is_bad_by_its_shape_is_never_sent(site, key):
    good = key.signed(GATEWAY)
    bad = [
        key.signed("other.example.com"),
        key.signed(GATEWAY, query="Action=AssumeRole&Version=2011-06-15"),
        key.signed(GATEWAY, query=f"{IDENTITY}&Action=AssumeRole"),
        key.signed(GATEWAY, query="", body=f"{IDENTITY}&RoleArn=x"),
        key.signed(GATEWAY, service="iam"),
        key.signed(GATEWAY, **{"X-Amz-Target": "AWSSecurityTokenServiceV20110615.AssumeRole"}),
        {**good, "url": f"{site.url}/?{IDENTITY}"},
        {**good, "url": good["url"].replace("amazonaws.com", "amazonaws.com.evil.example")},
        {**good, "method": "DELETE"},
        {**good, "body": IDENTITY},
        {**good, "headers": [one for one in good["headers"] if one["key"] != "X-Vestibule-Server-Id"]},
        {**good, "headers": [*good["headers"], {"key": "X-Forwarded-Host", "value": "evil.example"}]},
        {**good, "endpoint": site.url},
        {
            "sts": good,
            "tags": key.signed(GATEWAY, service="ec2", query="Action=RunInstances&Version=2016-11-15"),
        },
        "nonsense",
    ]
    for shown in bad:
        assert (await site.refused(shown)).startswith(("invalid_request", "invalid_grant"))
    assert "no machine here is asked for" in await site.refused(key.signed(GATEWAY), client_id="tagged")
    assert not site.aws.calls
    assert (await site.exchange(good))[0] == 200
    assert key.secret not in site.gateway.log
    assert key.token not in site.gateway.log


async def test_a_program_has_a_token_by_one_command(site, key, tmp_path):
    status, out, err = await site.run("aws", **key.env)
    assert (status, err) == (0, "")
    assert await site.admits(out.strip())

    agent = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{site.url}/agent",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "of-the-container",
        "AWS_REGION": "us-east-1",
    }
    status, out, err = await site.run("aws", "--as-header", "--machine", "runner", "--scope", "read", **agent)
    assert (status, err) == (0, "")
    assert await site.admits(out.strip().removeprefix("Authorization: Bearer "))

    instance = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": site.url}
    status, out, err = await site.run("aws", "--tags", "--machine", "tagged", **instance)
    assert (status, err) == (0, "")
    assert await site.admits(out.strip())
    assert site.aws.calls["DescribeTags"] == 1

    status, out, err = await site.run("aws", "--server-id", "other.example.com", **key.env)
    assert (status, out) == (1, "")
    assert "no machine here is asked for" in err
    assert key.secret not in err

    now = int(time.time())
    claims = {"iss": site.url, "sub": "repo:acme/app:ref:refs/heads/main", "aud": site.origin}
    site.aws.job_token = signed_by_key(
        {"alg": "RS256", "kid": "k", "typ": "JWT"}, {**claims, "iat": now, "exp": now + 300, "jti": "1"}
    )
    job = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{site.url}/job?v=2",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-job",
    }
    status, out, err = await site.run("jwt", "--from", "github", **job)
    assert (status, err) == (0, "")
    assert await site.admits(out.strip())

    file = tmp_path / "token"
    file.write_text(site.aws.job_token + "\n")
    status, out, err = await site.run("jwt", "--token-file", str(file), "--machine", "job")
    assert (status, err) == (0, "")
    assert await site.admits(out.strip())

    file.write_text(site.aws.job_token[:-4] + "AAAA")
    status, out, err = await site.run("jwt", "--token-file", str(file))
    assert (status, out) == (1, "")
    assert "invalid_grant" in err
