"""GitHub, GitLab and Bitbucket through the whole gateway: each restriction admits one and denies another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.real.forge import Forge, opened
from tests.real.standin import PAGE_2_FAULTS, failing
from tests.real.standin_bitbucket import Bitbucket
from tests.real.standin_github import ACME, FURTHER, GitHub, membership
from tests.real.standin_gitlab import GitLab
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

GITHUB = 'web_url = "URL"\n  '
GITHUBS = {
    "any": GITHUB,
    "org": f'{GITHUB}allowed_orgs = ["Acme"]',
    "number": f'{GITHUB}allowed_orgs = ["999999999"]',
    "team": f'{GITHUB}allowed_teams = ["acme/core"]',
    "seed": f'{GITHUB}allowed_orgs = ["999999999"]\n  allowed_teams = ["1111111"]',
    "repo": f'{GITHUB}allowed_repos = ["acme/app"]',
    "push": f'{GITHUB}allowed_repos = ["acme/app=push"]',
    "user": f'{GITHUB}allowed_users = ["octocat"]',
    "domain": f'{GITHUB}email_domains = ["evil.example"]',
}
Change = Callable[[Any], None]


def with_(**members: Any) -> Change:
    """Sets these attributes of a stand-in."""

    def change(standin: Any) -> None:
        for name, value in members.items():
            setattr(standin, name, value)

    return change


POSER = {"id": 8, "login": "999999999"}
DENIED: dict[str, tuple[str, Change]] = {
    "organisation": ("org", with_(memberships=[membership(org) for org in FURTHER])),
    "organisation, pending": ("org", with_(memberships=[membership(ACME, "pending")])),
    "organisation by number": ("number", with_(memberships=[membership(POSER)])),
    "team": ("team", with_(teams=[{"id": 9, "slug": "core", "organization": FURTHER[0]}])),
    "team by number": ("seed", with_(teams=[{"id": 9, "slug": "1111111", "organization": ACME}])),
    "organisation by number, with its team": ("seed", with_(memberships=[])),
    "repository": ("repo", with_(repos={})),
    "user": ("user", with_(user={"id": 9, "login": "octodog", "name": ""})),
}


@pytest.fixture
async def github(api, gateway) -> Forge:
    return await opened(GitHub(), api, gateway, "github", GITHUBS)


async def test_a_person_from_github_is_told_of_to_the_app(github: Forge):
    came = await github.come("org")
    assert came.status == 200, came.words
    assert came.headers["user-email"] == "octocat@example.com"
    assert came.who["user"]["name"] == "The Octocat"
    assert github.standin.wrong == []
    assert github.standin.queries[-1]["scope"] == "read:user user:email read:org"
    assert "canary" not in github.gateway.log


async def test_each_restriction_at_github_admits_and_denies(github: Forge):
    assert {name for name in GITHUBS if name != "push" and await github.is_let_in(name)} == {*GITHUBS} - {
        "push"
    }
    assert not await github.is_let_in("push")
    github.standin.repos["acme/app"]["permissions"]["push"] = True
    assert await github.is_let_in("push")
    for what, (name, change) in DENIED.items():
        kept = dict(vars(github.standin))
        change(github.standin)
        assert not await github.is_let_in(name), what
        assert await github.is_let_in("any"), what
        vars(github.standin).update(kept)
        assert await github.is_let_in(name), what
    assert github.standin.wrong == []


async def test_only_the_primary_address_at_github_counts(github: Forge):
    came = await github.come("domain")
    assert came.status == 200
    assert "user-email" not in came.headers
    github.standin.emails = [{"email": "octocat@evil.example", "primary": True, "verified": True}]
    assert (await github.come("domain")).headers["user-email"] == "octocat@evil.example"


async def test_a_list_at_github_that_breaks_on_page_two_is_no_list(github: Forge):
    for what, (fault, status) in PAGE_2_FAULTS.items():
        for path in ("/api/v3/user/memberships/orgs", "/api/v3/user/teams", "/api/v3/user/emails"):
            if what == "is too slow" and path != "/api/v3/user/teams":
                continue  # each costs the gateway's whole patience
            github.standin.faults = {f"{path}#2": fault}
            # On the first page stands an organisation that is let in: the second may not be left out.
            github.standin.memberships = [membership(org) for org in (ACME, *FURTHER)]
            came = await github.come("org")
            assert (came.status, came.who) == (status, None), f"{path} {what}: {came.words}"


async def test_single_sign_on_at_github_is_said(github: Forge):
    github.standin.memberships = []
    github.standin.sso = {"X-GitHub-SSO": "partial-results; organizations=999999999"}
    came = await github.come("org")
    assert (came.status, came.who) == (403, None)
    assert "Sign in to your organisation first" in came.words


@pytest.mark.parametrize("is_removed", [True, False], ids=["removed", "still a member"])
async def test_who_is_put_out_at_github_is_out_here(api, gateway, is_removed: bool):
    settings = {"org": GITHUBS["org"]}
    github = await opened(
        GitHub(), api, gateway, "github", settings, lifetimes='lifetimes { restriction = "1s" }'
    )
    path = "/api/v3/user/memberships/orgs"
    async with new_visitor() as visitor:
        assert (await github.come("org", visitor=visitor)).status == 200
        if is_removed:
            github.standin.memberships = [membership(org) for org in FURTHER]
        asked = github.standin.counts[path]
        while github.standin.counts[path] == asked:
            async with visitor.get(f"{github.url}/a", headers={"Accept": "application/json"}) as page:
                status = page.status
            await asyncio.sleep(0.1)
        async with visitor.get(f"{github.url}/a", headers={"Accept": "application/json"}) as page:
            assert (status, page.status) == ((401, 401) if is_removed else (200, 200))


async def test_signing_out_deletes_githubs_token(github: Forge):
    async with new_visitor() as visitor:
        assert (await github.come("any", visitor=visitor)).status == 200
        headers = {"Origin": github.url, "Sec-Fetch-Site": "same-origin"}
        async with visitor.post(f"{github.url}/@/signout", headers=headers) as page:
            assert page.status == 200, await page.text()
    async with asyncio.timeout(60):  # the person is out at once, and GitHub is told after that
        while not github.standin.deleted:
            await asyncio.sleep(0.02)
    ((path, body),) = github.standin.deleted
    assert path == "/api/v3/applications/app/token"
    assert body["access_token"].startswith("canary-token-")


GITLAB = 'web_url = "URL"\n  '
GITLABS = {
    "any": GITLAB,
    "group": f'{GITLAB}allowed_groups = ["acme"]',
    "subgroup": f'{GITLAB}allowed_groups = ["acme/platform"]',
    "project": f'{GITLAB}allowed_projects = ["acme/app"]',
    "developer": f'{GITLAB}allowed_projects = ["acme/app=developer"]',
    "maintainer": f'{GITLAB}allowed_projects = ["acme/app=maintainer"]',
}


@pytest.fixture
async def gitlab(api, gateway) -> Forge:
    return await opened(GitLab(), api, gateway, "gitlab", GITLABS)


async def test_each_restriction_at_gitlab_admits_and_denies(gitlab: Forge):
    came = await gitlab.come("group")
    assert came.status == 200, came.words
    assert came.headers["user-email"] == "ann@example.com"
    assert {name for name in GITLABS if await gitlab.is_let_in(name)} == {*GITLABS} - {"maintainer"}
    gitlab.standin.level = 40
    assert await gitlab.is_let_in("maintainer")
    gitlab.standin.level = 20
    assert {name for name in ("project", "developer") if await gitlab.is_let_in(name)} == {"project"}
    gitlab.standin.groups = ["acme/platform"]
    assert {name for name in ("group", "subgroup") if await gitlab.is_let_in(name)} == {"subgroup"}
    gitlab.standin.groups = []
    gitlab.standin.level = 0
    assert {name for name in GITLABS if await gitlab.is_let_in(name)} == {"any"}
    gitlab.standin.level = 50
    gitlab.standin.projects["acme%2Fapp"]["archived"] = True
    assert not await gitlab.is_let_in("project")
    assert gitlab.standin.wrong == []


async def test_what_gitlab_fails_to_say_lets_nobody_in(gitlab: Forge):
    for path in ("/oauth/userinfo", "/api/v4/projects/acme/app", "/api/v4/projects/acme/app/members/all/17"):
        for fault, status in ((failing(500), 503), (failing(429), 503), (failing(403), 502)):
            gitlab.standin.faults = {path: fault}
            came = await gitlab.come("project")
            assert (came.status, came.who) == (status, None), f"{path}: {came.words}"
    gitlab.standin.faults = {}
    gitlab.standin.groups = "acme"
    assert (await gitlab.come("group")).status == 502


BITBUCKET = 'web_url = "URL"\n  api_url = "URL/2.0"\n  '
BITBUCKETS = {
    "any": BITBUCKET,
    "workspace": f'{BITBUCKET}allowed_workspaces = ["acme"]',
    "uuid": f'{BITBUCKET}allowed_workspaces = ["{{acme-id}}"]',
    "repo": f'{BITBUCKET}allowed_repos = ["acme/app"]',
    "write": f'{BITBUCKET}allowed_repos = ["acme/app=write"]',
}


@pytest.fixture
async def bitbucket(api, gateway) -> Forge:
    return await opened(Bitbucket(), api, gateway, "bitbucket", BITBUCKETS)


async def test_each_restriction_at_bitbucket_admits_and_denies(bitbucket: Forge):
    came = await bitbucket.come("workspace")
    assert came.status == 200, came.words
    assert came.headers["user-email"] == "ann@example.com"
    assert {name for name in BITBUCKETS if await bitbucket.is_let_in(name)} == {*BITBUCKETS} - {"write"}
    bitbucket.standin.roles["contributor"] = ["acme/app"]
    assert await bitbucket.is_let_in("write")
    bitbucket.standin.roles = {"member": ["acme/app2"], "contributor": [], "admin": []}
    bitbucket.standin.workspaces = ["one", "acme-evil"]
    assert {name for name in BITBUCKETS if await bitbucket.is_let_in(name)} == {"any"}
    assert bitbucket.standin.wrong == []


async def test_a_list_at_bitbucket_that_breaks_on_page_two_is_no_list(bitbucket: Forge):
    bitbucket.standin.workspaces = ["acme", "two", "three"]
    for what, (fault, status) in PAGE_2_FAULTS.items():
        if what == "is too slow":
            continue  # as with GitHub
        bitbucket.standin.faults = {"/2.0/user/workspaces#2": fault}
        came = await bitbucket.come("workspace")
        assert (came.status, came.who) == (status, None), f"{what}: {came.words}"
