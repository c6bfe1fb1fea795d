"""What is legal in access rules but risky: each with its place, and silence where nothing is."""

from __future__ import annotations

import pytest

from tests.house.test_docs import quoted, table
from tests.unit.config.conftest import Desk
from vestibule.config.risk import TELLS
from vestibule.core import claim

OKTA = """provider "okta" {
  issuer = "https://okta.example"
  client_id = "i"
  client_secret = "s"
  claims { team = "team" }
}
"""
GITHUB = 'provider "github" {\n  client_id = "i"\n  client_secret = "s"\n  allowed_orgs = ["example"]\n}\n'


def host(access: str, more: str = "", *, sign_in: str = '"okta"', backend: str = "x:1") -> str:
    return (
        f'{OKTA}{GITHUB}host "a.example" {{\nbackend = "{backend}"\nsign_in = [{sign_in}]\n'
        f"access {{ {access} }}\n{more}\n}}"
    )


def route(inside: str) -> str:
    return f'route "/x/" {{\n{inside}\n}}'


BOTH = '"okta", "github"'
BOB = "email:bob@example.com"
GROUP = '"group:staff"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # rules that hold for everybody
        (host('allow = ["public", "anyone"]'), ["15:19: `public` lets everyone in; the other rules do nothing"]),
        (host(f'allow = [{GROUP}]\nall = ["public"]'), ["16:8: `public` always holds, so in `all` it does nothing"]),
        (host('all = ["public"]'), ["15:17: `public` lets everyone in, where no `allow` says who"]),
        (host('allow = ["anyone"]\ndeny = ["anyone"]'), ["15:19: `anyone` stands in deny, too, which wins", "16:9: `anyone` refuses every signed-in person"]),
        (host('allow = ["anyone", "network:0.0.0.0/0"]'), ["15:29: `network:0.0.0.0/0` holds for everybody who comes by IPv4, and nobody by IPv6"]),
        (host('allow = ["anyone"]\ndeny = ["network:::/0"]'), ["16:9: `network:::/0` refuses everybody who comes by IPv6, and nobody by IPv4"]),
        # twice
        (host(f'allow = ["{BOB}", "email:Bob@example.com"]'), ["15:44: `email:Bob@example.com` stands in allow twice"]),
        (host(f'allow = ["anyone", "{BOB}"]\ndeny = ["{BOB}"]'), [f"15:29: `{BOB}` stands in deny, too, which wins"]),
        # what no provider tells
        (host('allow = ["org:example"]'), ["15:19: `org:example` holds for nobody: `okta` says nothing of orgs; claims { orgs ="]),
        (host('allow = ["anyone"]\ndeny = ["role:temp"]'), ["16:9: `role:temp` refuses everybody: `okta` says nothing of roles"]),
        (host(f'allow = ["anyone"]\ndeny = [{GROUP}]', sign_in=BOTH), ["16:9: `group:staff` refuses everybody who comes by `github`, which says nothing of groups"]),
        (host('allow = ["repo:example/app"]', sign_in='"github"'), ["15:19: `repo:example/app` holds for nobody: `github` says nothing of repos; it does with allowed_repos"]),
        (host('allow = ["claim:level=3"]'), ["15:19: `claim:level=3` holds for nobody: `okta` says nothing of the claim `level`"]),
        (host('all = ["anyone", "team:okta/a/b"]', sign_in=BOTH), ["15:27: `team:okta/a/b` holds for nobody: `okta` says nothing of teams"]),
        # `public` beside what needs somebody
        (host(f'allow = ["public"]\nall = [{GROUP}, "network:10.0.0.0/8"]'), ["15:19: `public` lets nobody in by itself: `group:staff` of `all` must hold, too"]),
        (host(f'allow = ["public"]\ndeny = ["{BOB}"]'), [f"15:19: `public`, but everybody must sign in here, so that it is known whether `{BOB}` denies them"]),
        (host(f'allow = [{GROUP}]\ndeny = ["{BOB}"]', route('methods = ["GET"]\naccess { allow = ["public"] }')), [f"19:19: `public`, but everybody must sign in here, so that it is known whether `{BOB}`"]),
        # routes
        (host(f"allow = [{GROUP}]", route('access { allow = ["public"] }')), ['17:19: `public`: here anybody may write, too, without signing in; methods = ["GET", "HEAD"] in route "/x/"']),
        (host(f"allow = [{GROUP}]", route('access { allow = ["public"] }'), backend="grpc://x:1"), ["17:19: `public`: here anybody may write, too, without signing in; calls of gRPC are all POST"]),
        (host(f"allow = [{GROUP}]", route('methods = ["GET", "POST"]\naccess { allow = ["public"] }')), ["18:19: `public`: here anybody may write"]),
        (host('allow = ["anyone", "network:10.0.0.0/8"]', route(f"access {{ allow = [{GROUP}] }}")), ["17:18: stands instead of the host's list, so `network:10.0.0.0/8` doesn't hold here; in `all` of the host"]),
        # an edge in front
        (host('allow = ["anyone", "network:10.0.0.0/8"]\ndeny = ["network:10.0.0.9"]', 'public_url = "https://a.example"'), ["15:29: `network:10.0.0.0/8`: behind an edge proxy every request comes from the proxy's own address, unless gateway { trusted_proxies }"]),
    ],
)  # fmt: skip
def test_it_is_warned_of(desk: Desk, text: str, expected: list[str]):
    warnings = [warning for warning in desk.warnings(text) if "serves no host" not in warning]
    assert len(warnings) == len(expected), warnings
    for warning, start in zip(warnings, expected, strict=True):
        assert warning.startswith(f"v.hcl:{start}"), warnings


@pytest.mark.parametrize(
    "text",
    [
        host('allow = ["public", "network:10.0.0.0/8"]'),
        host(f'allow = [{GROUP}, "network:10.0.0.0/8"]'),
        host(f'allow = ["anyone"]\ndeny = [{GROUP}, "claim:team=red"]'),
        host('allow = ["anyone"]\ndeny = ["group:okta/staff", "org:github/x"]', sign_in=BOTH),
        host('allow = ["group:staff", "org:example"]', sign_in=BOTH),
        host('allow = ["public"]\nall = ["network:10.0.0.0/8"]\ndeny = ["network:10.9.0.0/16"]'),
        host(f"allow = [{GROUP}]", route('methods = ["GET", "HEAD"]\naccess { allow = ["public"] }')),
        host(f"allow = [{GROUP}]", route('backend = "internal:echo"\naccess { allow = ["public"] }')),
        host(f"allow = [{GROUP}]", route(f'access {{\nallow = ["public"]\nall = [{GROUP}]\n}}')).replace('["public"]', '["anyone"]'),
        host('allow = ["anyone", "network:10.0.0.0/8"]', route('access { all = ["network:10.0.0.0/16"] }')),
        'gateway { trusted_proxies = ["10.0.0.1"] }\n' + host('allow = ["anyone", "network:10.0.0.0/8"]', 'public_url = "https://a.example"'),
    ],
)  # fmt: skip
def test_nothing_is_said_of_what_is_not_risky(desk: Desk, text: str):
    assert [warning for warning in desk.warnings(text) if "serves no host" not in warning] == []


@pytest.mark.parametrize(
    "row", table("docs/providers.md", "kind | address counts"), ids=lambda row: row[0][:20]
)
def test_what_a_kind_tells_is_what_the_docs_say(row: list[str]):
    told = {name for name in claim.LISTS if f"{name}" in row[2].replace("(in groups, too)", "")}
    assert set(TELLS[quoted(row[0])[0]]) == told
