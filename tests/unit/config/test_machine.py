"""The block `machine`: what each kind needs, what it may say, and what it comes to."""

from __future__ import annotations

import pytest
import trustme

from tests.unit.config.conftest import Desk
from vestibule.config.compile import compile_config
from vestibule.core.machine import KINDS, ClaimRule, Machine

HOST = 'host "a.example.com" {\n  backend = "localhost:1"\n  access { allow = ["public"] }\n}\n'
OTHER = 'host "b.example.com" {\n  backend = "localhost:1"\n  access { allow = ["public"] }\n}\n'
TENANT = "11111111-2222-3333-4444-555555555555"
ISSUER = 'issuer = "https://issuer.example"'
NEEDS = {
    "aws": ('accounts = ["123456789012"]',),
    "azure": (f'tenant = "{TENANT}"', 'audience = "api://gateway"', 'claims = { oid = "o" }'),
    "github": ('claims = { repository = "acme/app" }',),
    "gitlab": ('claims = { project_path = "acme/app" }',),
    "google": ('claims = { email = "deployer@acme.iam.gserviceaccount.com" }',),
    "jwt": (ISSUER, 'claims = { sub = "build" }'),
    "key": (),
    "kubernetes": (ISSUER, 'claims = { sub = "system:serviceaccount:ci:*" }'),
    "spiffe": (
        'trust_domain = "example.org"',
        'jwks_url = "https://spire.example/keys"',
        'claims = { sub = "spiffe://example.org/ns/*/sa/web" }',
    ),
}
"""What each kind needs, and no more."""


def machine(kind: str, *lines: str, name: str = "m", hosts: str = '["a.example.com"]') -> str:
    inside = "".join(f"  {line}\n" for line in (f'kind = "{kind}"', f"hosts = {hosts}", *lines))
    return f'machine "{name}" {{\n{inside}}}\n'


def found(desk: Desk, kind: str, *lines: str) -> Machine:
    return compile_config(desk.load(HOST + machine(kind, *lines))).machines.by_name["m"]


def test_every_kind_is_here() -> None:
    assert NEEDS.keys() == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_what_it_needs_and_not_less(desk: Desk, kind: str) -> None:
    one = found(desk, kind, *NEEDS[kind])
    assert (one.name, one.kind, one.hosts, one.token_s) == ("m", kind, ("a.example.com",), 900.0)
    for missing in range(len(NEEDS[kind])):
        lines = [line for number, line in enumerate(NEEDS[kind]) if number != missing]
        assert desk.faults(HOST + machine(kind, *lines)), NEEDS[kind][missing]


@pytest.mark.parametrize(
    ("kind", "issuers"),
    [
        ("github", ("https://token.actions.githubusercontent.com",)),
        ("gitlab", ("https://gitlab.com",)),
        ("google", ("https://accounts.google.com",)),
        (
            "azure",
            (f"https://login.microsoftonline.com/{TENANT}/v2.0", f"https://sts.windows.net/{TENANT}/"),
        ),
        ("spiffe", ()),
        ("kubernetes", ("https://issuer.example",)),
    ],
)
def test_the_issuer_is_the_documented_one(desk: Desk, kind: str, issuers: tuple[str, ...]) -> None:
    assert found(desk, kind, *NEEDS[kind]).issuers == issuers


def test_another_issuer_of_the_same_kind_can_be_written(desk: Desk) -> None:
    one = found(desk, "gitlab", 'issuer = "https://gitlab.acme.example"', *NEEDS["gitlab"])
    assert one.issuers == ("https://gitlab.acme.example",)


def test_what_holds_besides_what_is_written(desk: Desk) -> None:
    assert found(desk, "github", *NEEDS["github"]).once
    assert not found(desk, "github", "once = false", *NEEDS["github"]).once
    assert not found(desk, "kubernetes", *NEEDS["kubernetes"]).once
    assert ClaimRule("email_verified", ("true",)) in found(desk, "google", *NEEDS["google"]).claims
    assert ClaimRule("tid", (TENANT,)) in found(desk, "azure", *NEEDS["azure"]).claims
    assert found(desk, "spiffe", *NEEDS["spiffe"]).trust_domain == "example.org"


def test_a_claim_has_one_text_or_many_as_an_object_or_a_block(desk: Desk) -> None:
    rules = (
        ClaimRule("repository", ("acme/app",)),
        ClaimRule("ref", ("refs/heads/main", "refs/tags/v*")),
    )
    refs = '["refs/heads/main", "refs/tags/v*"]'
    as_object = f'claims = {{ repository = "acme/app", ref = {refs} }}'
    as_block = f'claims {{\n    repository = "acme/app"\n    ref = {refs}\n  }}'
    assert found(desk, "github", as_object).claims == rules
    assert found(desk, "github", as_block).claims == rules


@pytest.mark.parametrize(
    ("kind", "claims"),
    [
        ("github", '{ ref = "refs/heads/main" }'),
        ("github", '{ repository = "*" }'),
        ("github", '{ repository = "*/app" }'),
        ("github", '{ repository = "acme*/app" }'),
        ("github", '{ repository = ["acme/app", "*/app"] }'),
        ("github", '{ repository_owner = "acme*" }'),
        ("github", '{ repository_id = "7*" }'),
        ("github", '{ sub = "repo:*/app:ref:refs/heads/main" }'),
        ("github", '{ sub = "*" }'),
        ("github", "{ }"),
        ("gitlab", '{ namespace_path = "acme*" }'),
        ("gitlab", '{ sub = "project_path:*/app:ref_type:branch:ref:main" }'),
        ("kubernetes", '{ sub = "system:serviceaccount:*:deployer" }'),
        ("google", '{ email = "*@acme.iam.gserviceaccount.com" }'),
        ("azure", '{ xms_mirid = "/subscriptions/*/resourcegroups/x" }'),
        ("spiffe", '{ sub = "spiffe://*/web" }'),
        ("spiffe", '{ sub = "spiffe://other.example/web" }'),
        ("jwt", "{ }"),
    ],
)
def test_a_rule_that_anybodys_workload_can_meet_is_not_enough(desk: Desk, kind: str, claims: str) -> None:
    needs = [line for line in NEEDS[kind] if not line.startswith("claims")]
    assert desk.faults(HOST + machine(kind, *needs, f"claims = {claims}"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (machine("githup", *NEEDS["github"]), "there is no kind `githup`"),
        (machine("key", name="a b"), "can't be a name"),
        (machine("key") + machine("key"), "there are two machines `m`"),
        (machine("key", hosts='["c.example.com"]'), "there is no host c.example.com"),
        (machine("key", hosts='["a.example.com", "a.example.com"]'), "stands here twice"),
        (machine("key", hosts='["a.example.com", "b.example.com"]'), "write a machine for each"),
        (machine("key", hosts="[]"), "the list is empty"),
        (machine("key", 'scopes = ["a b"]'), "is no scope"),
        (machine("key", 'token = "2h"'), "is an hour at most"),
        (machine("key", 'claims = { sub = "x" }'), "`claims` means nothing to the kind `key`"),
        (machine("key", 'claims {\n sub = "x"\n }'), "`claims` means nothing to the kind `key`"),
        (machine("github", *NEEDS["github"], 'accounts = ["1"]'), "`accounts` means nothing"),
        (machine("github", *NEEDS["github"], 'algorithms = ["HS256"]'), "could make one"),
        (machine("github", *NEEDS["github"], "audience = []"), "every token of theirs would do"),
        (machine("jwt", 'issuer = "http://issuer.example"', 'claims = { sub = "x" }'), "is https"),
        (machine("jwt", 'issuer = "https://issuer.example/?x"', 'claims = { sub = "x" }'), "no query"),
        (machine("azure", 'tenant = "acme"', *NEEDS["azure"][1:]), "is the directory's ID"),
        (machine("aws", 'accounts = ["12"]'), "12 digits"),
        (machine("aws", *NEEDS["aws"], 'roles = ["ci-deploy"]'), "is no ARN of a role or user"),
        (machine("aws", *NEEDS["aws"], 'roles = ["arn:aws:iam::*:role/ci/deploy"]'), "the path of a role"),
        (machine("aws", *NEEDS["aws"], 'roles = ["arn:aws:sts::*:assumed-role/ci/*"]'), "the role itself"),
        (machine("aws", *NEEDS["aws"], 'claims = { sesion = "i-*" }'), "doesn't tell `sesion`"),
        (machine("aws", *NEEDS["aws"], 'tags = { env = "prod" }'), "write the role"),
        (machine("aws", *NEEDS["aws"], 'claims = { session = "i-*" }'), "write the role"),
        (machine("aws", *NEEDS["aws"], "roles = []", 'tags = { env = "prod" }'), "write the role"),
        (machine("aws", *NEEDS["aws"], 'regions = ["Frankfurt"]'), "is no region"),
        (machine("aws", *NEEDS["aws"], 'partitions = ["aws-iso"]'), "is one of aws, aws-cn"),
        (machine("aws", *NEEDS["aws"], "partitions = []"), "nobody could be asked"),
        (machine("aws", *NEEDS["aws"], 'endpoint = "http://sts.example"'), "endpoint is https"),
    ],
)
def test_what_is_wrong_is_told(desk: Desk, text: str, says: str) -> None:
    assert any(says in fault for fault in desk.faults(HOST + OTHER + text)), desk.faults(HOST + OTHER + text)


APP = (
    'app "m" {\n  hosts = ["a.example.com"]\n  grants = ["credentials"]\n'
    f'  secret = "{"s" * 32}"\n  scopes = ["read"]\n}}\n'
)


def test_nobody_is_a_machine_and_an_app(desk: Desk) -> None:
    assert any("is an app, too" in fault for fault in desk.faults(HOST + APP + machine("key")))


def test_a_rule_names_a_machine_of_its_host(desk: Desk) -> None:
    asks = HOST.replace('"public"', '"machine:m"')
    desk.load(asks + machine("key"))
    desk.load(asks + APP)
    assert any("there is no machine `m`" in fault for fault in desk.faults(asks))
    elsewhere = machine("key", hosts='["b.example.com"]')
    assert any("has no tokens for this host" in fault for fault in desk.faults(asks + OTHER + elsewhere))


def test_the_hosts_know_their_machines_and_the_apps_that_stand_for_themselves(desk: Desk) -> None:
    table = compile_config(desk.load(HOST + OTHER + APP + machine("key", 'scopes = ["x"]', name="n"))).table
    known = {name: dict(host.machines) for name, host in table.hosts.items()}
    assert known == {
        b"a.example.com": {"n": frozenset({"x"}), "m": frozenset({"read"})},
        b"b.example.com": {},
    }
    assert table.hosts[b"a.example.com"].takes_access
    assert not table.hosts[b"b.example.com"].takes_access


def test_keys_may_come_from_a_file_or_from_one_whom_an_own_authority_vouches_for(desk: Desk) -> None:
    desk.file('{"keys": []}', "keys.json")
    authority = trustme.CA().cert_pem.bytes().decode()
    desk.file(authority, "ca.pem")
    one = found(desk, "kubernetes", 'jwks_file = "keys.json"', *NEEDS["kubernetes"])
    assert (one.keys_file, one.authorities) == (str(desk.folder / "keys.json"), "")
    one = found(desk, "kubernetes", 'ca_file = "ca.pem"', *NEEDS["kubernetes"])
    assert (one.keys_file, one.authorities) == ("", authority)
    bundle = ('trust_domain = "example.org"', 'jwks_file = "keys.json"', NEEDS["spiffe"][2])
    assert found(desk, "spiffe", *bundle).issuers == ()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (('jwks_file = "no.json"',), "can't read no.json: No such file"),
        (('jwks_file = "broken.json"',), "is no key set: it is not JSON"),
        (('jwks_file = "empty.json"',), "is no key set: it has no keys"),
        (('jwks_file = "keys.json"', 'jwks_url = "https://a.example/keys"'), "nothing is fetched"),
        (('jwks_file = "keys.json"', 'ca_file = "keys.json"'), "nothing is fetched"),
        (('ca_file = "no.pem"',), "can't read no.pem: No such file"),
        (('ca_file = "keys.json"',), "holds no certificates in PEM"),
        (('ca_file = "strange.pem"',), "holds no certificates in PEM"),
    ],
    ids=str,
)
def test_files_that_are_no_good_are_told(desk: Desk, lines: tuple[str, ...], said: str) -> None:
    for name, text in {
        "keys.json": '{"keys": []}',
        "broken.json": '{"keys": [}',
        "empty.json": "{}",
        "strange.pem": "ä",
    }.items():
        desk.file(text, name)
    faults = desk.faults(HOST + machine("kubernetes", *lines, *NEEDS["kubernetes"]))
    assert any(said in fault for fault in faults), faults


@pytest.mark.parametrize("kind", ["aws", "key"])
def test_files_of_keys_mean_nothing_where_no_token_is_shown(desk: Desk, kind: str) -> None:
    for line in ('jwks_file = "keys.json"', 'ca_file = "ca.pem"'):
        assert any(
            "means nothing" in fault for fault in desk.faults(HOST + machine(kind, line, *NEEDS[kind]))
        )
