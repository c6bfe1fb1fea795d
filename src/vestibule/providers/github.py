"""Signing in with GitHub: OAuth 2.0 and GitHub's own API (no OpenID Connect).

Organisations and teams may be written by number, which outlives a change of name; a number is never taken for a
name, for a name may be all digits and anybody's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlsplit

import msgspec

from vestibule.core import claim
from vestibule.core.person import primary_verified_email
from vestibule.errors import ClientError
from vestibule.model import Identity, Secret, Tokens
from vestibule.providers.base import Answer
from vestibule.providers.kit import Flow, Get, Reply, Send
from vestibule.providers.listing import listed, object_at, object_in, unreadable
from vestibule.providers.oauth2 import Endpoints, OAuth2, PersonConfig
from vestibule.providers.place import check_url

_HEADERS: Final = (("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28"))
_REPO_RE: Final = re.compile(r"([\w.-]+/[\w.-]+)(?:=(pull|push|admin))?", re.ASCII)
_READS_ORGS: Final = frozenset({"read:org", "write:org", "admin:org"})


class GitHubConfig(PersonConfig, frozen=True, kw_only=True, tag_field="type", tag="github"):
    """GitHub, or a GitHub Enterprise server. Of several `allowed_…` lists each must hold."""

    allowed_orgs: tuple[str, ...] = ()
    """Only active members of one of these organisations are let in, each by name or number; empty: any account."""
    allowed_teams: tuple[str, ...] = ()
    """Only members of one of these teams are let in, each as `org/team-slug` or by number; with one organisation in
    `allowed_orgs` the `team-slug` alone will do."""
    allowed_repos: tuple[str, ...] = ()
    """Only who may read one of these private repositories, or push to one of these public ones, is let in:
    `owner/name`. `owner/name=push` and `owner/name=admin` ask for more. Makes the scope `repo` be asked for."""
    allowed_users: tuple[str, ...] = ()
    """Only these accounts are let in, each by login or number; the other lists hold for them as well."""
    web_url: str = "https://github.com"
    """Where people sign in: `https://HOST` of an Enterprise server."""
    api_url: str = ""
    """Where the API is; without it `WEB_URL/api/v3`, and GitHub's own for github.com and for HOST.ghe.com."""
    revoke_at_sign_out: bool = True
    """Delete the token at sign-out. Other devices have tokens of their own."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        check_url("web_url", self.web_url, is_required=True)
        check_url("api_url", self.api_url)
        self._check_own_api()
        for name in ("allowed_orgs", "allowed_teams"):
            if getattr(self, name) and self.scopes and not _READS_ORGS & set(self.scopes):
                raise ValueError(f'{name} needs the scope "read:org"')
        if len(self.allowed_orgs) != 1 and not all(
            claim.is_number(t) or "/" in t for t in self.allowed_teams
        ):
            raise ValueError('allowed_teams are written "org/team-slug", or as numbers')
        if not all(_REPO_RE.fullmatch(repo) for repo in self.allowed_repos):
            raise ValueError(
                'allowed_repos are written "owner/name", "owner/name=push" or "owner/name=admin"'
            )

    def _check_own_api(self) -> None:
        """Threat: a row of the database whose accounts are GitHub's, and whose API says that it is any of them."""
        if not self.is_trusted and self.api_url.rstrip("/") not in {"", _api_of(self.web_url.rstrip("/"))}:
            raise ValueError("api_url can't be another than that of web_url in a database: leave it out")

    def open(self) -> GitHub:
        """The client; pure, fetches nothing."""
        return GitHub(self)


class GitHub(OAuth2):
    """The client."""

    title_of_kind: ClassVar[str] = "GitHub"
    hints: ClassVar[Mapping[str, str]] = {"login_hint": "login", "prompt": "prompt"}
    default_auth_style: ClassVar[str] = "post"
    folds_case: ClassVar[bool] = True
    default_scopes: ClassVar[tuple[str, ...]] = ("read:user", "user:email")
    default_claims: ClassVar[Mapping[str, str]] = {"login": "login", "name": "name"}

    def __init__(self, config: GitHubConfig) -> None:
        super().__init__(config)
        self._github = config
        if not config.scopes:
            self.scopes = (*self.default_scopes, *_further_scopes(config))
        self._web = config.web_url.rstrip("/")
        self._api = config.api_url.rstrip("/") or _api_of(self._web)
        self._teams = tuple(
            team if claim.is_number(team) or "/" in team else f"{config.allowed_orgs[0]}/{team}"
            for team in config.allowed_teams
        )

    def endpoints(self) -> Flow[Endpoints]:
        """GitHub's URLs."""
        yield from ()
        return Endpoints(
            authorize_url=f"{self._web}/login/oauth/authorize",
            token_url=f"{self._web}/login/oauth/access_token",
        )

    def identify(self, at: Endpoints, tokens: Tokens, answer: Answer) -> Flow[Identity | None]:
        """Who holds the token. Raises ClientError (`not_admitted`, `single_sign_on`; 403) outside a list."""
        del at, answer
        config, token = self._github, tokens.access_token
        user = yield from object_at(f"{self._api}/user", token, headers=_HEADERS)
        number = _number_of(user)
        hidden: list[str] = []
        self._check("allowed_users", config.allowed_users, _keys(number, user.get("login")), hidden)
        lists: dict[str, tuple[str, ...]] = {}
        if _READS_ORGS & set(self.scopes):
            orgs = yield from self._orgs(token, hidden)
            teams = yield from self._teams_in(orgs, token, hidden)
            self._check("allowed_orgs", config.allowed_orgs, orgs, hidden)
            self._check("allowed_teams", self._teams, teams, hidden)
            lists = {"orgs": _names(orgs.values()), "teams": _names(teams.values())}
        repos = yield from self._repos(token, hidden)
        wanted = [repo.partition("=")[0] for repo in config.allowed_repos]
        self._check("allowed_repos", wanted, repos, hidden)
        identity = claim.identity_of(
            user,
            self.claims,
            client=config.name,
            issuer=self._web,
            subject=str(number),
            email=(yield from self._email(token)),
        )
        # `repos` stay among the unknown lists: no others than those of the configuration were asked about.
        return msgspec.structs.replace(claim.with_lists(identity, **lists), repos=repos)

    def check_admitted(self, identity: Identity) -> None:
        """Nothing more: `identify` held every list against what was found, numbers included."""

    def revoke(self, tokens: Tokens, now: float, *, for_good: bool = False) -> Flow[None]:
        """Delete this one access token; `for_good`, all that the account gave this client, on every device."""
        del now
        config = self._github
        if not (for_good or config.revoke_at_sign_out) or not config.client_secret:
            return
        yield Send(
            method="DELETE",
            url=f"{self._api}/applications/{quote(config.client_id, safe='')}/{'grant' if for_good else 'token'}",
            body=msgspec.json.encode({"access_token": tokens.access_token.reveal()}),
            basic=(config.client_id, config.client_secret),
            headers=_HEADERS,
        )

    def _check(self, name: str, allowed: Iterable[str], held: Iterable[str], hidden: list[str]) -> None:
        """`check_held`, with the way in for those whose organisations GitHub keeps from us (`hidden`)."""
        try:
            self.check_held(name, allowed, held)
        except ClientError:
            if hidden:
                raise self._sign_on_first(hidden[0]) from None
            raise

    def _orgs(self, token: Secret, hidden: list[str]) -> Flow[dict[str, str]]:
        """The organisations the account is an active member of: their names, by every name and number they have."""
        found = yield from self._listed("/user/memberships/orgs?state=active&per_page=100", token, hidden)
        orgs = [_inner(entry, "organization") for entry in found if entry.get("state") == "active"]
        return {key: org["login"] for org in orgs for key in _keys(_number_of(org), org.get("login"))}

    def _teams_in(self, orgs: Mapping[str, str], token: Secret, hidden: list[str]) -> Flow[dict[str, str]]:
        """The teams the account is in, of organisations it is an active member of, as `_orgs` has these."""
        teams: dict[str, str] = {}
        for team in (yield from self._listed("/user/teams?per_page=100", token, hidden)):
            org, slug = _inner(team, "organization"), claim.text_of(team.get("slug"))
            if not slug:
                raise unreadable("a team without a slug")
            if str(_number_of(org)) not in orgs:
                continue
            keys = [f"{key}/{slug}" for key in _keys(_number_of(org), org.get("login"))]
            teams |= dict.fromkeys([str(_number_of(team)), *keys], f"{org['login']}/{slug}")
        return teams

    def _repos(self, token: Secret, hidden: list[str]) -> Flow[tuple[str, ...]]:
        """Those of `allowed_repos` in which the account may do what is asked for."""
        held = []
        for written in self._github.allowed_repos:
            name, _, permission = written.partition("=")
            url = f"{self._api}/repos/{name}"
            reply: Reply = yield Get(url=url, bearer=token, headers=_HEADERS)
            _note_hidden(reply, hidden)
            # 404: there is none for this account; 403 with a sign-on: it is in `hidden` now
            if reply.status == 404 or (reply.status == 403 and "x-github-sso" in reply.headers):
                continue
            if _may(object_in(reply, url), name, permission or "pull"):
                held.append(name)
        return tuple(held)

    def _email(self, token: Secret) -> Flow[str]:
        """The primary address, if it is verified; "" where addresses may not be asked for."""
        if not {"user:email", "user"} & set(self.scopes):
            return ""
        found = yield from self._listed("/user/emails?per_page=100", token, [])
        return primary_verified_email(found, email_domains=self.email_domains)

    def _listed(self, path: str, token: Secret, hidden: list[str]) -> Flow[list[dict[str, Any]]]:
        def look(reply: Reply) -> None:
            _note_hidden(reply, hidden)
            if reply.status == 403 and hidden:
                raise self._sign_on_first(hidden[0])

        return (yield from listed(f"{self._api}{path}", token, headers=_HEADERS, look=look))

    def _sign_on_first(self, detail: str) -> ClientError:
        return ClientError(
            "An organisation of your GitHub account asks for its single sign-on before it shows that you are "
            "a member: sign in to it at GitHub, then sign in here again.",
            code="single_sign_on",
            status=403,
            detail=f"x-github-sso: {detail}",
        )


def _further_scopes(config: GitHubConfig) -> tuple[str, ...]:
    """The scopes that the restrictions need. For repositories GitHub has none that only reads."""
    reads_orgs = ("read:org",) if config.allowed_orgs or config.allowed_teams else ()
    return (*reads_orgs, *(("repo",) if config.allowed_repos else ()))


def _api_of(web: str) -> str:
    """Where the API of the GitHub at this URL is."""
    host = urlsplit(web).hostname or ""
    if web == "https://github.com":
        return "https://api.github.com"
    return f"https://api.{host}" if host.endswith(".ghe.com") else f"{web}/api/v3"


def _note_hidden(reply: Reply, hidden: list[str]) -> None:
    """Add what the reply says of organisations whose single sign-on it wants first.

    Spec: docs.github.com, REST API, "SAML SSO": `required; url=…` with 403, `partial-results; organizations=…`
    with a list that lacks them.
    """
    if said := reply.headers.get("x-github-sso", ""):
        hidden.append(said.partition("?")[0][:200])


def _may(repo: Mapping[str, Any], name: str, permission: str) -> bool:
    """Whether the account has this permission in this repository.

    Threat: a public repository, which anybody may read; one that was moved elsewhere, to which GitHub redirects.
    """
    rights = _inner(repo, "permissions")
    if str(repo.get("full_name")).lower() != name.lower():
        return False
    if permission == "pull" and repo.get("private") is not True:
        permission = "push"
    return rights.get(permission) is True


def _keys(number: int, login: Any) -> tuple[str, ...]:
    """By what an account or organisation may be named in the configuration; a login of digits is none."""
    if not claim.text_of(login):
        raise unreadable("an account without a login")
    return (str(number),) if claim.is_number(login) else (str(number), login)


def _names(found: Iterable[str]) -> tuple[str, ...]:
    """Names that rules are made on, each once. Threat: an organisation called like the number of another."""
    return tuple(name for name in dict.fromkeys(found) if not claim.is_number(name.partition("/")[0]))


def _number_of(entry: Mapping[str, Any]) -> int:
    number = entry.get("id")
    if not isinstance(number, int) or isinstance(number, bool):
        raise unreadable("no numeric id")
    return number


def _inner(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if not isinstance(found := entry.get(name), dict):
        raise unreadable(f"no object {name}")
    return found
