"""Tokens of platforms, with their documented claims: which machine each proves, by keys and by rules.

The documentation: GitHub "OpenID Connect reference"; GitLab "OpenID Connect (OIDC) Authentication Using ID Tokens";
Kubernetes "Managing Service Accounts"; Google "Verify VM identity"; Microsoft "Access token claims reference" (versions
1.0 and 2.0); SPIFFE "JWT-SVID" and "Trust Domain and Bundle".
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from msgspec.structs import replace

from vestibule.core.machine import ClaimRule, Machine, Proven
from vestibule.errors import ProviderUnavailable
from vestibule.protocol.authorization_server import OAuthError
from vestibule.protocol.jose import ALGORITHMS
from vestibule.providers.kit import Discovery, Keys
from vestibule.service.key_files import FILE_MAX_BYTES
from vestibule.service.workloads import Workloads
from vestibule.store.memory import Marks

NOW = 1_800_000_000.0
HERE = "https://gate.example"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
TENANT = "11111111-2222-3333-4444-555555555555"
EVERY = tuple(sorted(ALGORITHMS))


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(value: int) -> str:
    return encoded(value.to_bytes((value.bit_length() + 7) // 8))


def rsa_jwk(**more: str) -> dict[str, Any]:
    numbers = RSA.public_key().public_numbers()
    return {"kty": "RSA", "kid": "rsa", "n": number(numbers.n), "e": number(numbers.e), **more}


def curve_jwk(**more: str) -> dict[str, Any]:
    numbers = CURVE.public_key().public_numbers()
    x, y = (encoded(value.to_bytes(32)) for value in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "kid": "curve", "x": x, "y": y, **more}


def signed(claims: Mapping[str, Any], **header: Any) -> str:
    head = {"alg": "RS256", "kid": "rsa", **header}
    text = f"{encoded(json.dumps(head).encode())}.{encoded(json.dumps(claims).encode())}"
    if head["alg"] == "ES256":
        pair = decode_dss_signature(CURVE.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{encoded(b''.join(value.to_bytes(32) for value in pair))}"
    return f"{text}.{encoded(RSA.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


class Platforms:
    """All issuers there are: metadata, and one key set."""

    def __init__(self) -> None:
        self.keys: tuple[dict[str, Any], ...] = (rsa_jwk(use="sig", alg="RS256"), curve_jwk(use="jwt-svid"))
        self.asked: list[str] = []
        self.is_away = False

    async def run(self, flow: Any, **_: Any) -> Any:
        """As `service.flow.Driver`."""
        try:
            ask = next(flow)
            while True:
                if self.is_away:
                    ask = flow.throw(ProviderUnavailable("away", code="away"))
                    continue
                match ask:
                    case Discovery(issuer=issuer):
                        self.asked.append(issuer)
                        ask = flow.send({"issuer": issuer, "jwks_uri": f"{issuer.rstrip('/')}/keys"})
                    case Keys(url=url):
                        self.asked.append(url)
                        ask = flow.send(self.keys)
        except StopIteration as stop:
            return stop.value


class World:
    def __init__(self) -> None:
        self.platforms = Platforms()
        self.marks = Marks()
        self.within: list[str] = []
        self.workloads = Workloads(self.driver_by, self.marks)

    def driver_by(self, authorities: str) -> Platforms:
        self.within.append(authorities)
        return self.platforms

    async def prove(self, text: str, *machines: Machine, now: float = NOW) -> Proven:
        return await self.workloads.prove(text, machines, now, here="gate.example")

    async def refused(self, text: str, *machines: Machine, now: float = NOW) -> str:
        with pytest.raises(OAuthError) as refused:
            await self.prove(text, *machines, now=now)
        assert refused.value.code in {"invalid_grant", "temporarily_unavailable"}
        return f"{refused.value.code}: {refused.value.description}"


@pytest.fixture
def world() -> World:
    return World()


def machine(kind: str, *rules: tuple[str, str], name: str = "m", **fields: Any) -> Machine:
    said = {"audience": (HERE,), "age_s": 86_400.0, "algorithms": EVERY, **fields}
    claims = tuple(ClaimRule(claim, (pattern,)) for claim, pattern in rules)
    return Machine(name=name, kind=kind, claims=claims, **said)


GITHUB = machine(
    "github",
    ("repository", "octo-org/octo-repo"),
    ("environment", "prod"),
    issuers=("https://token.actions.githubusercontent.com",),
    once=True,
)
OF_GITHUB = {
    "jti": "example-id",
    "sub": "repo:octo-org/octo-repo:environment:prod",
    "environment": "prod",
    "aud": HERE,
    "ref": "refs/heads/main",
    "sha": "example-sha",
    "repository": "octo-org/octo-repo",
    "repository_owner": "octo-org",
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
    "head_ref": "",
    "base_ref": "",
    "event_name": "workflow_dispatch",
    "ref_type": "branch",
    "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
    "iss": "https://token.actions.githubusercontent.com",
    "nbf": NOW - 600,
    "exp": NOW + 300,
    "iat": NOW,
}
GITLAB = machine(
    "gitlab",
    ("project_path", "my-group/my-project"),
    ("ref_protected", "true"),
    issuers=("https://gitlab.com",),
)
OF_GITLAB = {
    "namespace_id": "72",
    "namespace_path": "my-group",
    "project_id": "20",
    "project_path": "my-group/my-project",
    "user_id": "1",
    "user_login": "sample-user",
    "user_email": "sample-user@example.com",
    "pipeline_id": "574",
    "pipeline_source": "push",
    "job_id": "302",
    "ref": "feature-branch-1",
    "ref_type": "branch",
    "ref_path": "refs/heads/feature-branch-1",
    "ref_protected": "true",
    "environment": "test-environment2",
    "runner_id": 1,
    "runner_environment": "self-hosted",
    "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
    "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
    "iat": NOW - 30,
    "nbf": NOW - 35,
    "exp": NOW + 3600,
    "iss": "https://gitlab.com",
    "sub": "project_path:my-group/my-project:ref_type:branch:ref:feature-branch-1",
    "aud": HERE,
}
KUBERNETES = machine(
    "kubernetes",
    ("sub", "system:serviceaccount:my-namespace:*"),
    ("kubernetes.io.serviceaccount.name", "my-serviceaccount"),
    issuers=("https://kubernetes.default.svc.cluster.local",),
)
OF_KUBERNETES = {
    "aud": [HERE],
    "exp": NOW + 3607,
    "iat": NOW,
    "iss": "https://kubernetes.default.svc.cluster.local",
    "jti": "aed34954-b33a-4142-b1ec-389d6bbb4936",
    "kubernetes.io": {
        "namespace": "my-namespace",
        "node": {"name": "my-node", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
        "pod": {"name": "my-pod", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
        "serviceaccount": {"name": "my-serviceaccount", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
        "warnafter": int(NOW) + 3000,
    },
    "nbf": NOW,
    "sub": "system:serviceaccount:my-namespace:my-serviceaccount",
}
GOOGLE = machine(
    "google",
    ("email", "builder@project.iam.gserviceaccount.com"),
    ("email_verified", "true"),
    ("google.compute_engine.zone", "us-central1-a"),
    issuers=("https://accounts.google.com",),
)
OF_GOOGLE = {
    "iss": "https://accounts.google.com",
    "iat": NOW - 5,
    "exp": NOW + 3595,
    "aud": HERE,
    "sub": "107517467455664443765",
    "azp": "107517467455664443765",
    "email": "builder@project.iam.gserviceaccount.com",
    "email_verified": True,
    "google": {
        "compute_engine": {
            "project_id": "project",
            "project_number": 739419398126,
            "zone": "us-central1-a",
            "instance_id": "152986662232938449",
            "instance_name": "example",
            "instance_creation_timestamp": int(NOW) - 9000,
            "instance_confidentiality": 1,
        }
    },
}
AZURE = machine(
    "azure",
    ("oid", "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb"),
    ("tid", TENANT),
    issuers=(f"https://login.microsoftonline.com/{TENANT}/v2.0", f"https://sts.windows.net/{TENANT}/"),
    audience=("api://gateway",),
)
OF_AZURE = {
    "aud": "api://gateway",
    "iss": f"https://sts.windows.net/{TENANT}/",
    "iat": NOW - 5,
    "nbf": NOW - 5,
    "exp": NOW + 86_000,
    "aio": "E2NgYGh",
    "appid": "00001111-aaaa-2222-bbbb-3333cccc4444",
    "appidacr": "2",
    "idp": f"https://sts.windows.net/{TENANT}/",
    "idtyp": "app",
    "oid": "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb",
    "rh": "0.AAAA.",
    "sub": "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb",
    "tid": TENANT,
    "uti": "bYt1UWxc",
    "ver": "1.0",
    "xms_mirid": "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i",
}
SPIFFE = machine(
    "spiffe",
    ("sub", "spiffe://example.org/ns/prod/sa/*"),
    trust_domain="example.org",
    keys_url="https://spire.example/keys",
)
OF_SPIFFE = {"sub": "spiffe://example.org/ns/prod/sa/web", "aud": [HERE], "exp": NOW + 300}

KINDS: Mapping[str, tuple[Machine, dict[str, Any], dict[str, Any]]] = {
    "github": (GITHUB, OF_GITHUB, {"typ": "JWT", "x5t": "example-thumbprint"}),
    "gitlab": (GITLAB, OF_GITLAB, {"typ": "JWT"}),
    "kubernetes": (KUBERNETES, OF_KUBERNETES, {}),
    "google": (GOOGLE, OF_GOOGLE, {"typ": "JWT"}),
    "azure 1.0": (AZURE, OF_AZURE, {"typ": "JWT", "x5t": "t"}),
    "azure 2.0": (
        AZURE,
        {**OF_AZURE, "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0", "ver": "2.0"},
        {"typ": "JWT"},
    ),
    "spiffe": (SPIFFE, OF_SPIFFE, {"alg": "ES256", "kid": "curve", "typ": "JOSE"}),
}
"""The machine, the claims, and what of the header is not as usual."""


@pytest.mark.parametrize("kind", KINDS)
async def test_the_documented_token_proves_the_machine_until_it_ends(world: World, kind: str) -> None:
    one, claims, header = KINDS[kind]
    proven = await world.prove(signed(claims, **header), one)
    assert (proven.machine, proven.subject, proven.expires_at) == ("m", claims["sub"], claims["exp"])
    assert proven.claims.keys() == {rule.claim for rule in one.claims}


@pytest.mark.parametrize("kind", KINDS)
async def test_and_with_anything_else_in_it_it_proves_nothing(world: World, kind: str) -> None:
    one, claims, header = KINDS[kind]
    good = signed(claims, **header)
    head, _, signature = good.split(".")
    forged = encoded(json.dumps({**claims, "forged": True}).encode())
    wrong: dict[str, str] = {
        "forged": f"{head}.{forged}.{signature}",
        "another audience": signed({**claims, "aud": "https://elsewhere.example"}, **header),
        "over": signed({**claims, "exp": NOW - 61}, **header),
        "no end": signed({name: value for name, value in claims.items() if name != "exp"}, **header),
        "another key": signed(claims, **{**header, "kid": "nobody's"}),
        "no algorithm": f"{encoded(json.dumps({'alg': 'none'}).encode())}.{good.split('.')[1]}.",
    }
    if one.issuers:
        wrong["another issuer"] = signed({**claims, "iss": "https://evil.example"}, **header)
    for what, text in wrong.items():
        assert (await world.refused(text, one)).startswith("invalid_grant"), what


@pytest.mark.parametrize(
    ("kind", "claim", "value"),
    [
        ("github", "repository", "evil/octo-repo"),
        ("github", "environment", "staging"),
        ("gitlab", "project_path", "my-group/my-project-2"),
        ("gitlab", "ref_protected", "false"),
        ("kubernetes", "sub", "system:serviceaccount:other:my-serviceaccount"),
        ("kubernetes", "kubernetes.io", {"namespace": "my-namespace"}),
        ("google", "email_verified", False),
        ("google", "email", "somebody@project.iam.gserviceaccount.com"),
        ("google", "google", {}),
        ("azure 1.0", "oid", "bbbbbbbb-0000-1111-2222-bbbbbbbbbbbb"),
        ("azure 1.0", "tid", "99999999-2222-3333-4444-555555555555"),
        ("spiffe", "sub", "spiffe://example.org/ns/dev/sa/web"),
        ("spiffe", "sub", "spiffe://example.org/ns/prod/sa/web/x"),
        ("spiffe", "sub", "spiffe://evil.example/ns/prod/sa/web"),
    ],
)
async def test_another_workload_of_the_same_platform_is_none(
    world: World, kind: str, claim: str, value: object
) -> None:
    one, claims, header = KINDS[kind]
    assert "none of the machines" in await world.refused(signed({**claims, claim: value}, **header), one)


async def test_a_token_of_github_is_good_once_and_those_of_a_file_as_long_as_they_last(world: World) -> None:
    token = signed(OF_GITHUB)
    await world.prove(token, GITHUB)
    assert "shown before" in await world.refused(token, GITHUB)
    await world.prove(signed({**OF_GITHUB, "jti": "another"}), GITHUB)
    assert "jti" in await world.refused(signed({**OF_GITHUB, "jti": ""}), GITHUB)
    for _ in range(2):
        await world.prove(signed(OF_KUBERNETES), KUBERNETES)


async def test_its_mark_outlasts_it_also_where_a_nodes_clock_is_fast(world: World) -> None:
    token, ends_at = signed(OF_GITHUB), NOW + 300
    await world.prove(token, GITHUB)
    await world.marks.sweep(ends_at + 90)
    assert "shown before" in await world.refused(token, GITHUB, now=ends_at + 59)


@pytest.mark.parametrize(
    ("kind", "claims"),
    [
        ("azure 1.0", {"scp": "user_impersonation"}),
        ("azure 2.0", {"scp": ""}),
        ("azure 2.0", {"idtyp": "user"}),
    ],
    ids=["with scopes", "with none", "says so"],
)
async def test_a_persons_token_that_an_app_has_proves_no_machine(
    world: World, kind: str, claims: dict[str, str]
) -> None:
    one, usual, header = KINDS[kind]
    assert "a person's" in await world.refused(signed({**usual, **claims}, **header), one)


async def test_a_token_that_is_no_machines_is_not_used_up(world: World) -> None:
    strict = replace(GITHUB, claims=(*GITHUB.claims, ClaimRule("ref", ("refs/heads/x",))))
    token = signed(OF_GITHUB)
    await world.refused(token, strict)
    await world.prove(token, GITHUB)


async def test_the_first_that_it_can_be_is_it_and_keys_are_asked_for_once(world: World) -> None:
    others: Sequence[Machine] = (
        replace(GITHUB, name="a", claims=(ClaimRule("repository", ("octo-org/other",)),)),
        replace(GITHUB, name="b", audience=("https://elsewhere.example",)),
        machine("key", name="c"),
        replace(GITLAB, name="d"),
    )
    proven = await world.prove(signed(OF_GITHUB), *others, GITHUB)
    assert proven.machine == "m"
    assert world.platforms.asked == [
        "https://token.actions.githubusercontent.com",
        "https://token.actions.githubusercontent.com/keys",
    ]


async def test_nobody_is_asked_about_a_token_that_can_be_no_machines(world: World) -> None:
    for text in (signed({**OF_GITHUB, "iss": "https://evil.example"}), "x", "", "a.b.c", signed([1])):  # type: ignore[arg-type]
        assert (await world.refused(text, GITHUB)).startswith("invalid_grant")
    assert (await world.refused(signed({"aud": HERE, "exp": NOW + 60}), SPIFFE)).startswith("invalid_grant")
    assert world.platforms.asked == []


async def test_while_the_keys_cant_be_had_it_is_not_the_tokens_fault(world: World) -> None:
    world.platforms.is_away = True
    assert (await world.refused(signed(OF_GITHUB), GITHUB)).startswith("temporarily_unavailable")


async def test_only_the_algorithms_that_are_written_are_taken(world: World) -> None:
    header = {"alg": "ES256", "kid": "curve"}
    assert "algorithm" in await world.refused(
        signed(OF_SPIFFE, **header), replace(SPIFFE, algorithms=("RS256",))
    )


async def test_keys_of_a_bundle_for_certificates_sign_no_tokens(world: World) -> None:
    world.platforms.keys = (curve_jwk(use="x509-svid"),)
    assert "key" in await world.refused(signed(OF_SPIFFE, alg="ES256", kid="curve"), SPIFFE)


async def test_keys_are_fetched_by_the_authorities_that_are_written_and_not_for_others(world: World) -> None:
    """Two that differ by nothing else: what the one has doesn't prove the other."""
    strict = replace(KUBERNETES, name="a", authorities="PEM", claims=(ClaimRule("sub", ("nobody",)),))
    assert (await world.prove(signed(OF_KUBERNETES), strict, KUBERNETES)).machine == "m"
    assert world.within == ["PEM", ""]
    assert len(world.platforms.asked) == 4


async def test_keys_of_a_file_are_read_and_nobody_is_asked(world: World, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    one = replace(SPIFFE, keys_url="", keys_file=str(file))
    token = signed(OF_SPIFFE, alg="ES256", kid="curve")
    assert (await world.refused(token, one)).startswith("temporarily_unavailable")
    file.write_text(json.dumps({"keys": [rsa_jwk()]}))
    assert (await world.refused(token, one)).startswith("invalid_grant")
    file.write_text(json.dumps({"keys": [rsa_jwk(), curve_jwk(use="jwt-svid")]}))
    assert (await world.prove(token, one)).machine == "m"
    file.write_text(" " * (FILE_MAX_BYTES + 1))
    assert (await world.refused(token, one)).startswith("temporarily_unavailable")
    assert world.platforms.asked == []
