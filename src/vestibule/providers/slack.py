"""Signing in with Slack: OpenID Connect. A person is an account of one workspace."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from vestibule.core import claim
from vestibule.model import Identity
from vestibule.providers.listing import unreadable
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.oidc import Oidc, OidcConfig

_TEAM_ID: Final = "https://slack.com/team_id"
_TEAM_DOMAIN: Final = "https://slack.com/team_domain"
#: domains that some workspace has as its ID but for upper case: `t0123abcd`
_LIKE_ID_RE: Final = re.compile(r"t(?:[0-9a-z]{8,10}|(?=[a-z]*[0-9])[0-9a-z]{5,})")


class SlackConfig(OidcConfig, frozen=True, kw_only=True, tag_field="type", tag="slack"):
    """Slack accounts."""

    issuer: str = "https://slack.com"
    """Slack's issuer; only a test has another."""
    allowed_workspaces: tuple[str, ...] = ()
    """Only accounts of one of these workspaces are let in, each by its ID (`T0123ABCD`, which outlives a change of
    name) or its domain (`acme` of acme.slack.com). Empty: any account. A domain that could be an ID (`t0123abcd`)
    counts for nothing: anybody may take that of your ID."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        for name in self.allowed_workspaces:
            if _LIKE_ID_RE.fullmatch(name):
                raise ValueError(
                    f"allowed_workspaces: {name} could be the ID of another workspace: write the ID"
                )

    def open(self) -> Slack:
        """The client; pure, fetches nothing."""
        return Slack(self)


class Slack(Oidc):
    """The client."""

    title_of_kind: ClassVar[str] = "Slack"
    hints: ClassVar[Mapping[str, str]] = {}
    default_auth_style: ClassVar[str] = "post"
    default_claims: ClassVar[Mapping[str, str]] = {
        "name": "name",
        "email": "email",
        "email_verified": "email_verified",
    }

    def __init__(self, config: SlackConfig) -> None:
        super().__init__(config)
        self._slack = config

    def parameters(self) -> tuple[tuple[str, str], ...]:
        """The workspace to sign in to, where there is but one, by its ID."""
        ids = [name for name in self._slack.allowed_workspaces if name.isupper()]
        return (("team", ids[0]),) if len(self._slack.allowed_workspaces) == len(ids) == 1 else ()

    def allowed(self, name: str) -> tuple[str, ...]:
        """Workspaces are its organisations; else as written."""
        return self._slack.allowed_workspaces if name == "orgs" else super().allowed(name)

    def identity(self, at: Endpoints, claims: Mapping[str, Any], email: str) -> Identity:
        """The account, as one of its workspace.

        Threat: user IDs are unique within a workspace only, so the workspace is part of who vouches. A workspace that
        took for its domain the ID of another: rules on organisations don't tell upper from lower case.
        """
        team, domain = claim.text_of(claims.get(_TEAM_ID)), claim.text_of(claims.get(_TEAM_DOMAIN))
        if not team:
            raise unreadable("no team_id")
        found = super().identity(at, claims, email)
        orgs = tuple(
            dict.fromkeys(name for name in (team, domain) if name and not _LIKE_ID_RE.fullmatch(name))
        )
        return claim.with_lists(msgspec.structs.replace(found, issuer=f"{found.issuer}/{team}"), orgs=orgs)
