"""Signing in with GitLab: OpenID Connect, its groups by full path, and access levels in projects by its API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote

import msgspec

from vestibule.core.claim import is_number
from vestibule.model import Identity, Secret, Tokens
from vestibule.providers.kit import Flow, Get, Reply
from vestibule.providers.listing import object_in, unreadable
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.oidc import Oidc, OidcConfig

#: GitLab, "Members API", valid access levels
LEVELS: Final[Mapping[str, int]] = {
    "guest": 10,
    "planner": 15,
    "reporter": 20,
    "developer": 30,
    "maintainer": 40,
    "owner": 50,
}
_DEFAULT_LEVEL: Final = "reporter"
_PROJECT_RE: Final = re.compile(rf"([\w.-]+(?:/[\w.-]+)+)(?:=({'|'.join(LEVELS)}))?")


class GitLabConfig(OidcConfig, frozen=True, kw_only=True, tag_field="type", tag="gitlab"):
    """GitLab, at gitlab.com or your own. Of several `allowed_…` lists each must hold."""

    web_url: str = "https://gitlab.com"
    """Where GitLab is: its `external_url`, a relative root included."""
    issuer: str = ""
    """Its issuer, where that isn't `web_url`."""
    allowed_groups: tuple[str, ...] = ()
    """Only members of one of these groups are let in, by full path: `acme/platform`. Members of a group are members
    of its subgroups as well; members of a subgroup alone are not members of the group above. Empty: any account."""
    allowed_projects: tuple[str, ...] = ()
    """Only members of one of these projects are let in: `group/project=LEVEL` or more, where LEVEL is `guest`,
    `planner`, `reporter`, `developer`, `maintainer` or `owner`; `reporter` without it. An archived project lets
    nobody in. Makes the scope `read_api` be asked for."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        self.take_issuer(self.web_url)
        super().__post_init__()
        if not all(_PROJECT_RE.fullmatch(project) for project in self.allowed_projects):
            raise ValueError(f'allowed_projects are written "group/project=LEVEL": {", ".join(LEVELS)}')
        if self.allowed_projects and self.scopes and not {"api", "read_api"} & set(self.scopes):
            raise ValueError('allowed_projects needs the scope "read_api"')

    def open(self) -> GitLab:
        """The client; pure, fetches nothing."""
        return GitLab(self)


class GitLab(Oidc):
    """The client."""

    title_of_kind: ClassVar[str] = "GitLab"
    folds_case: ClassVar[bool] = True

    def __init__(self, config: GitLabConfig) -> None:
        super().__init__(config)
        self._gitlab = config
        self._api = f"{config.web_url.rstrip('/')}/api/v4"
        if config.allowed_projects and not config.scopes:
            self.scopes = (*self.scopes, "read_api")

    def allowed(self, name: str) -> tuple[str, ...]:
        """Projects without their levels; else as written."""
        if name == "projects":
            return tuple(project.partition("=")[0] for project in self._gitlab.allowed_projects)
        return super().allowed(name)

    def completed(self, identity: Identity, at: Endpoints, tokens: Tokens) -> Flow[Identity]:
        """The identity with those of `allowed_projects` in which the account has the level asked for.

        `projects` stay among the unknown lists: no others than those of the configuration were asked about.
        """
        del at
        if not self._gitlab.allowed_projects:
            return identity
        if not is_number(identity.subject):
            raise unreadable("no numeric sub")
        held = []
        for written in self._gitlab.allowed_projects:
            path, _, level = written.partition("=")
            found = yield from self._level_in(path, identity.subject, tokens.access_token)
            if found >= LEVELS[level or _DEFAULT_LEVEL]:
                held.append(path)
        return msgspec.structs.replace(identity, projects=tuple(dict.fromkeys(held)))

    def _level_in(self, path: str, subject: str, token: Secret) -> Flow[int]:
        """The account's access level in this project, by itself, by groups above and by groups invited; 0 for none.

        Threat: a project that moved elsewhere, to which GitLab redirects; a blocked or waiting member.
        """
        project = yield from self._object(f"/projects/{quote(path, safe='')}", token)
        if project is None or str(project.get("path_with_namespace")).casefold() != path.casefold():
            return 0
        if project.get("archived") is not False:
            return 0
        member = yield from self._object(f"/projects/{quote(path, safe='')}/members/all/{subject}", token)
        if member is None or member.get("state", "active") != "active":
            return 0
        level = member.get("access_level")
        if str(member.get("id")) != subject or not isinstance(level, int) or isinstance(level, bool):
            raise unreadable(f"{path}: no level")
        return level

    def _object(self, path: str, token: Secret) -> Flow[dict[str, Any] | None]:
        """What the API has at this path; None where there is nothing for this account."""
        url = f"{self._api}{path}"
        reply: Reply = yield Get(url=url, bearer=token)
        return None if reply.status == 404 else object_in(reply, url)
