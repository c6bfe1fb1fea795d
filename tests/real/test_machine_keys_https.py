"""A cluster and a SPIFFE server that serve their keys over HTTPS, by an authority of their own; and keys in a file.

Documents and tokens: Kubernetes "Configure Service Accounts for Pods" (issuer discovery) and "Managing Service
Accounts"; SPIFFE "Trust Domain and Bundle" and "JWT-SVID".
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web

from tests.ports import Ports
from tests.real.api import Api
from tests.real.rogue import KEY, jwk_of, signed_by_key
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {
  http = ["127.0.0.1:{port}"]
}

host "app.example.com" {
  backend = "internal:echo"
  access {
    allow = ["machine:job", "machine:by-system", "machine:by-other", "machine:mesh", "machine:mesh-file"]
  }
}

machine "job" {
  kind    = "kubernetes"
  hosts   = ["app.example.com"]
  issuer  = "CLUSTER"
  ca_file = "FILES/cluster.pem"
  claims  = { sub = "system:serviceaccount:ci:deployer" }
}

machine "by-system" {
  kind   = "kubernetes"
  hosts  = ["app.example.com"]
  issuer = "CLUSTER"
  claims = { sub = "system:serviceaccount:ci:deployer" }
}

machine "by-other" {
  kind    = "kubernetes"
  hosts   = ["app.example.com"]
  issuer  = "CLUSTER"
  ca_file = "FILES/other.pem"
  claims  = { sub = "system:serviceaccount:ci:deployer" }
}

machine "mesh" {
  kind         = "spiffe"
  hosts        = ["app.example.com"]
  trust_domain = "example.org"
  jwks_url     = "CLUSTER/bundle"
  ca_file      = "FILES/cluster.pem"
  claims       = { sub = "spiffe://example.org/ns/prod/sa/*" }
}

machine "mesh-file" {
  kind         = "spiffe"
  hosts        = ["app.example.com"]
  trust_domain = "example.org"
  jwks_file    = "FILES/bundle.json"
  claims       = { sub = "spiffe://example.org/ns/prod/sa/*" }
}
"""
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def bundle(kid: str) -> str:
    """As a SPIFFE server has it, with a key for certificates beside that for tokens."""
    keys = [jwk_of(KEY, use="x509-svid", x5c=["MIIB"]), jwk_of(KEY, use="jwt-svid", kid=kid)]
    return json.dumps({"keys": keys, "spiffe_sequence": 12, "spiffe_refresh_hint": 300})


class Cluster:
    """What an API server says of its service accounts, and the tokens of its pods."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        match request.path:
            case "/.well-known/openid-configuration":
                said = {
                    "issuer": self.url,
                    "jwks_uri": f"{self.url}/openid/v1/jwks",
                    "response_types_supported": ["id_token"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                }
                return web.json_response(said)
            case "/openid/v1/jwks":
                keys = {"keys": [jwk_of(KEY, use="sig", alg="RS256", kid="k8s")]}
                return web.json_response(keys, content_type="application/jwk-set+json")
            case "/bundle":
                return web.Response(text=bundle("mesh"), content_type="application/json")
        return web.Response(status=404)

    def pod_token(self, audience: str) -> str:
        now = int(time.time())
        claims = {
            "aud": [audience],
            "exp": now + 3607,
            "iat": now,
            "iss": self.url,
            "jti": "aed34954-b33a-4142-b1ec-389d6bbb4936",
            "kubernetes.io": {
                "namespace": "ci",
                "node": {"name": "my-node", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
                "pod": {"name": "my-pod", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
                "serviceaccount": {"name": "deployer", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
            },
            "nbf": now,
            "sub": "system:serviceaccount:ci:deployer",
        }
        return signed_by_key({"alg": "RS256", "kid": "k8s"}, claims)


def svid(audience: str, kid: str) -> str:
    claims = {"sub": "spiffe://example.org/ns/prod/sa/web", "aud": [audience], "exp": int(time.time()) + 300}
    return signed_by_key({"alg": "RS256", "kid": kid, "typ": "JOSE"}, claims)


class Site:
    def __init__(self, gateway: Any, cluster: Cluster, program: aiohttp.ClientSession, files: Path) -> None:
        self.cluster, self.program, self.files = cluster, program, files
        self.origin = f"http://app.example.com:{gateway.port}"

    async def ask(self, machine: str, token: str) -> tuple[int, str]:
        """The status, and the token or what is said instead."""
        form = {"grant_type": JWT_BEARER, "assertion": token, "client_id": machine}
        async with self.program.post(f"{self.origin}/@/token", data=form) as answer:
            told = await answer.json()
            return answer.status, told.get("access_token") or f"{told['error']}: {told['error_description']}"

    async def admits(self, machine: str, token: str) -> None:
        status, access = await self.ask(machine, token)
        assert status == 200, access
        headers = {"Authorization": f"Bearer {access}"}
        async with self.program.get(f"{self.origin}/", headers=headers) as answer:
            assert answer.status == 200

    def put(self, text: str) -> None:
        """Another bundle, as those write it who have it: whole, or not at all."""
        new = self.files / "new.json"
        new.write_text(text)
        new.replace(self.files / "bundle.json")


@pytest.fixture
async def site(ports: Ports, gateway: Any, tmp_path: Path) -> AsyncIterator[Site]:
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "cluster.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    (tmp_path / "bundle.json").write_text(bundle("one"))
    cluster = Cluster()
    async with Api(ports.take(), tls=tls, answer=cluster.answer) as server, new_visitor() as program:
        cluster.url = server.url
        text = CONFIGURATION.replace("CLUSTER", server.url).replace("FILES", str(tmp_path))
        yield Site(gateway(text, port=ports.take()), cluster, program, tmp_path)


async def test_keys_come_from_whom_the_clusters_own_authority_vouches_for(site: Site) -> None:
    token = site.cluster.pod_token(site.origin)
    # Whoever else vouches for the server: nothing is fetched, and it is nobody's fault here.
    for machine in ("by-system", "by-other"):
        status, said = await site.ask(machine, token)
        assert (status, said.partition(":")[0]) == (503, "temporarily_unavailable"), said
        assert "certificate_refused" in said
    assert site.cluster.asked == []
    await site.admits("job", token)
    assert site.cluster.asked == ["/.well-known/openid-configuration", "/openid/v1/jwks"]
    # What was fetched by the one authority is not there for the others.
    assert (await site.ask("by-system", token))[0] == 503
    assert (await site.ask("by-other", token))[0] == 503
    status, said = await site.ask("job", site.cluster.pod_token("https://elsewhere.example"))
    assert (status, said.partition(":")[0]) == (400, "invalid_grant")

    await site.admits("mesh", svid(site.origin, "mesh"))
    assert (await site.ask("mesh", svid(site.origin, "another")))[0] == 400


async def test_keys_of_a_file_are_those_that_stand_there_now(site: Site) -> None:
    first, second = svid(site.origin, "one"), svid(site.origin, "two")
    await site.admits("mesh-file", first)
    assert (await site.ask("mesh-file", second))[0] == 400
    site.put(bundle("two"))
    await site.admits("mesh-file", second)
    assert (await site.ask("mesh-file", first))[0] == 400
    site.put("{")
    status, said = await site.ask("mesh-file", second)
    assert (status, said.partition(":")[0]) == (503, "temporarily_unavailable")
    assert str(site.files) not in said
    (site.files / "bundle.json").unlink()
    assert (await site.ask("mesh-file", second))[0] == 503
    site.put(bundle("two"))
    await site.admits("mesh-file", second)
    assert site.cluster.asked == []
