"""Signing in with Bitbucket Cloud: OAuth 2.0 and its API 2.0 (no OpenID Connect), by endpoints of one workspace each.

The endpoints across workspaces (`/user/permissions/…`, `/workspaces`) were removed by Atlassian in 2026 (CHANGE-2770).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

import msgspec

from vestibule.core import claim
from vestibule.core.person import primary_verified_email
from vestibule.model import Identity, Secret, Tokens
from vestibule.providers.base import Answer
from vestibule.providers.kit import Flow
from vestibule.providers.listing import by_member, listed, object_at, unreadable
from vestibule.providers.oauth2 import Endpoints, OAuth2, PersonConfig
from vestibule.providers.place import check_own_urls

WEB_URL: Final = "https://bitbucket.org"
API_URL: Final = "https://api.bitbucket.org/2.0"
_REPO_RE: Final = re.compile(r"([\w.-]+/[\w.-]+)(?:=(read|write|admin))?", re.ASCII)
#: what Bitbucket's `role` filter calls explicit rights to read, write, administer
_ROLES: Final = {"read": "member", "write": "contributor", "admin": "admin"}


class BitbucketConfig(PersonConfig, frozen=True, kw_only=True, tag_field="type", tag="bitbucket"):
    """Bitbucket Cloud. Of several `allowed_…` lists each must hold."""

    allowed_workspaces: tuple[str, ...] = ()
    """Only members of one of these workspaces are let in, each by its slug or its `{uuid}`; empty: any account."""
    allowed_repos: tuple[str, ...] = ()
    """Only who was given access to one of these repositories is let in: `workspace/repository`, or
    `workspace/repository=write` or `=admin` for more than reading. That a repository is public gives nobody access."""
    web_url: str = WEB_URL
    """Where people sign in; only a test has another."""
    api_url: str = API_URL
    """Where the API is; only a test has another."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        check_own_urls(self, web_url=WEB_URL, api_url=API_URL)
        if not all(_REPO_RE.fullmatch(repo) for repo in self.allowed_repos):
            raise ValueError(
                'allowed_repos are written "workspace/repository", with "=write" or "=admin" behind'
            )

    def open(self) -> Bitbucket:
        """The client; pure, fetches nothing."""
        return Bitbucket(self)


class Bitbucket(OAuth2):
    """The client."""

    title_of_kind: ClassVar[str] = "Bitbucket"
    hints: ClassVar[Mapping[str, str]] = {}
    folds_case: ClassVar[bool] = True
    default_scopes: ClassVar[tuple[str, ...]] = ("account", "email")
    default_claims: ClassVar[Mapping[str, str]] = {
        "subject": "uuid",
        "login": "nickname",
        "name": "display_name",
    }

    def __init__(self, config: BitbucketConfig) -> None:
        super().__init__(config)
        self._bitbucket = config
        self._web = config.web_url.rstrip("/")
        self._api = config.api_url.rstrip("/")
        if config.allowed_repos and not config.scopes:
            self.scopes = (*self.default_scopes, "repository")

    def endpoints(self) -> Flow[Endpoints]:
        """Bitbucket's URLs."""
        yield from ()
        return Endpoints(
            authorize_url=f"{self._web}/site/oauth2/authorize",
            token_url=f"{self._web}/site/oauth2/access_token",
        )

    def allowed(self, name: str) -> tuple[str, ...]:
        """Repositories without what is asked for in them; else as written."""
        if name == "repos":
            return tuple(repo.partition("=")[0] for repo in self._bitbucket.allowed_repos)
        return super().allowed(name)

    def identify(self, at: Endpoints, tokens: Tokens, answer: Answer) -> Flow[Identity | None]:
        """Who holds the token. Raises ClientError (`not_admitted`, 403) outside `allowed_workspaces`."""
        del at, answer
        token = tokens.access_token
        user = yield from object_at(f"{self._api}/user", token)
        workspaces = yield from self._workspaces(token)
        held = (*workspaces, *workspaces.values())
        self.check_held("allowed_workspaces", self._bitbucket.allowed_workspaces, held)
        identity = claim.identity_of(
            user,
            self.claims,
            client=self.name,
            issuer=self._web,
            subject=claim.subject_of(user, self.claims["subject"]),
            email=(yield from self._email(token)),
        )
        repos = yield from self._repos(token)
        # `repos` stay among the unknown lists: no others than those of the configuration were asked about.
        return msgspec.structs.replace(claim.with_lists(identity, orgs=tuple(workspaces)), repos=repos)

    def _workspaces(self, token: Secret) -> Flow[dict[str, str]]:
        """The workspaces the account is a member of: uuids by slug."""
        workspaces: dict[str, str] = {}
        for entry in (yield from self._listed("/user/workspaces?pagelen=100", token)):
            workspace = entry.get("workspace")
            workspace = workspace if isinstance(workspace, dict) else {}
            slug, uuid = claim.text_of(workspace.get("slug")), claim.text_of(workspace.get("uuid"))
            if not slug or not uuid:
                raise unreadable("no workspace")
            workspaces[slug] = uuid
        return workspaces

    def _repos(self, token: Secret) -> Flow[tuple[str, ...]]:
        """Those of `allowed_repos` in which the account was given what is asked for."""
        held = []
        for written in self._bitbucket.allowed_repos:
            name, _, right = written.partition("=")
            workspace, _, slug = name.partition("/")
            query = urlencode(
                {"role": _ROLES[right or "read"], "q": f'slug="{slug.lower()}"', "pagelen": "100"}
            )
            found = yield from self._listed(f"/repositories/{workspace}?{query}", token, may_be_gone=True)
            if any(str(repo.get("full_name")).casefold() == name.casefold() for repo in found):
                held.append(name)
        return tuple(dict.fromkeys(held))

    def _email(self, token: Secret) -> Flow[str]:
        """The primary address, if it is confirmed; "" where addresses may not be asked for."""
        if "email" not in self.scopes:
            return ""
        found = yield from self._listed("/user/emails?pagelen=100", token)
        return primary_verified_email(
            found, primary="is_primary", verified="is_confirmed", email_domains=self.email_domains
        )

    def _listed(self, path: str, token: Secret, *, may_be_gone: bool = False) -> Flow[list[dict[str, Any]]]:
        return (
            yield from listed(
                f"{self._api}{path}",
                token,
                items="values",
                following=by_member("next"),
                may_be_gone=may_be_gone,
            )
        )
