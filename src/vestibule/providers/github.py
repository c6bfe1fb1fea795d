"""Signing in with GitHub: OAuth 2.0 and GitHub's own API (no OpenID Connect)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from vestibule.core.claim import text_of
from vestibule.core.person import verified_email
from vestibule.errors import ClientError, ProviderInvalid
from vestibule.model import Identity, Secret, Tokens
from vestibule.providers.base import Answer
from vestibule.providers.kit import Flow, Get, Reply
from vestibule.providers.listing import object_at
from vestibule.providers.oauth2 import Endpoints, OAuth2, PersonConfig, check_url

PAGES_MAX: Final = 10
_NEXT_RE: Final = re.compile(r'<([^<>]+)>\s*;\s*rel="next"')


class GitHubConfig(PersonConfig, frozen=True, kw_only=True, tag_field="type", tag="github"):
    """GitHub, or a GitHub Enterprise server."""

    allowed_orgs: tuple[str, ...] = ()
    """Only members of one of these organisations are let in; empty: any account."""
    web_url: str = "https://github.com"
    """Where people sign in."""
    api_url: str = "https://api.github.com"
    """Where the API is: `https://HOST/api/v3` for an Enterprise server."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        for name in ("web_url", "api_url"):
            check_url(name, getattr(self, name), is_required=True)
        if self.allowed_orgs and self.scopes and not {"read:org", "admin:org"} & set(self.scopes):
            raise ValueError('allowed_orgs needs the scope "read:org"')

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

    def __init__(self, config: GitHubConfig) -> None:
        super().__init__(config)
        self._github = config
        if config.allowed_orgs and not config.scopes:
            self.scopes = (*self.default_scopes, "read:org")
        web = config.web_url.rstrip("/")
        self._endpoints = Endpoints(
            authorize_url=f"{web}/login/oauth/authorize", token_url=f"{web}/login/oauth/access_token"
        )

    def endpoints(self) -> Flow[Endpoints]:
        """GitHub's URLs."""
        yield from ()
        return self._endpoints

    def identify(self, at: Endpoints, tokens: Tokens, answer: Answer) -> Flow[Identity | None]:
        """Who holds the token. Raises ClientError (`not_admitted`, 403) outside `allowed_orgs`."""
        del at, answer
        config, token = self._github, tokens.access_token
        user = yield from object_at(self._api("/user"), token)
        number = user.get("id")
        if not isinstance(number, int) or isinstance(number, bool):
            raise ProviderInvalid("GitHub doesn't say who this is", detail="no numeric id")
        orgs = yield from self._orgs(token)
        email = yield from self._email(token)
        return Identity(
            client=config.name,
            issuer=config.web_url.rstrip("/"),
            subject=str(number),
            login=text_of(user.get("login")),
            name=text_of(user.get("name")),
            email=email,
            orgs=orgs,
        )

    def _orgs(self, token: Secret) -> Flow[tuple[str, ...]]:
        """The organisations the account is a member of, where that may be asked; all of them or an error.

        Threat: a page that fails taken for "no more" lets a removed member's rule pass or fail at random.
        """
        if not {"read:org", "admin:org"} & set(self.scopes):
            return ()
        found = yield from self._listed("/user/orgs?per_page=100", token)
        orgs = tuple(text_of(org.get("login")) for org in found)
        allowed = {org.lower() for org in self._github.allowed_orgs}
        if allowed and allowed.isdisjoint(org.lower() for org in orgs):
            raise ClientError(
                "Your GitHub account is not a member of an organisation that is let in here.",
                code="not_admitted",
                status=403,
            )
        return tuple(org for org in orgs if org)

    def _email(self, token: Secret) -> Flow[str]:
        """The primary address, if it is verified; "" where addresses may not be asked for."""
        if not {"user:email", "user"} & set(self.scopes):
            return ""
        found = yield from self._listed("/user/emails?per_page=100", token)
        primary = next((entry for entry in found if entry.get("primary") is True), {})
        return verified_email(
            primary.get("email"), primary.get("verified"), email_domains=self._github.email_domains
        )

    def _listed(self, path: str, token: Secret) -> Flow[list[dict[str, Any]]]:
        """All objects of a list that comes in pages. Raises ProviderInvalid unless every page was good."""
        url, found = self._api(path), []
        for _ in range(PAGES_MAX):
            reply: Reply = yield Get(url=url, bearer=token)
            page = reply.json if reply.status == 200 else None
            if not isinstance(page, list) or not all(isinstance(entry, dict) for entry in page):
                raise ProviderInvalid("GitHub doesn't answer as it should", detail=f"{path}: {reply.status}")
            found += page
            following = _NEXT_RE.search(reply.headers.get("link", ""))
            if following is None:
                return found
            url = following[1]
            if not url.startswith(self._api("/")):
                raise ProviderInvalid("GitHub names a next page elsewhere", detail=path)
        raise ProviderInvalid("GitHub's list has too many pages", detail=path)

    def _api(self, path: str) -> str:
        return f"{self._github.api_url.rstrip('/')}{path}"
