"""Signing in with Google: OpenID Connect, with Google's way to a refresh token, to organisations and their groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from vestibule.core import claim
from vestibule.errors import ClientError, ProviderInvalid, ProviderRefused
from vestibule.model import Identity, Secret, Tokens
from vestibule.providers.base import Answer
from vestibule.providers.kit import Flow
from vestibule.providers.listing import by_token, listed
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.oidc import Oidc, OidcConfig
from vestibule.providers.place import check_url
from vestibule.providers.service_account import ServiceAccount, ServiceAccountConfig

ISSUER: Final = "https://accounts.google.com"
DIRECTORY_SCOPE: Final = "https://www.googleapis.com/auth/admin.directory.group.readonly"
CLOUD_IDENTITY_SCOPE: Final = "https://www.googleapis.com/auth/cloud-identity.groups.readonly"
#: the label that every group has
_ANY_GROUP: Final = "cloudidentity.googleapis.com/groups.discussion_forum"


class GoogleConfig(OidcConfig, frozen=True, kw_only=True, tag_field="type", tag="google"):
    """Google accounts."""

    issuer: str = ISSUER
    """Google's issuer; only a test has another."""
    hosted_domain: str = ""
    """Only accounts of this Google Workspace domain are let in; empty: any account."""
    hosted_domains: tuple[str, ...] = ()
    """The same for several domains."""
    groups_key: Secret = Secret("")
    """Key file's JSON text of a service account with domain-wide delegation, by which people's groups are asked for:
    `groups_key = "${file("account.json")}"`. Groups are then known by their addresses."""
    groups_admin: str = ""
    """Address of the administrator for whom the service account asks."""
    nested_groups: bool = False
    """True: also groups that a person is in through other groups. Asks Cloud Identity, which not every edition of
    Workspace has, instead of the Directory API."""
    directory_url: str = "https://admin.googleapis.com"
    """Where the Directory API is; only a test has another."""
    cloud_identity_url: str = "https://cloudidentity.googleapis.com"
    """Where Cloud Identity is; only a test has another."""
    offline_access: bool = True
    """Get a refresh token, so that calls go on when the access token expires after an hour. Google gives one only
    when it asks for consent, so it asks at every sign-in; false where people only sign in."""
    revoke_at_sign_out: bool = False
    """Revoke the tokens at sign-out. At Google that takes the app's access back everywhere, on the person's other
    devices too."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        for name in ("directory_url", "cloud_identity_url"):
            check_url(name, getattr(self, name), is_required=True)
        if bool(self.groups_key) != bool(self.groups_admin):
            missing = "groups_admin" if self.groups_key else "groups_key"
            raise ValueError(f"{missing} is missing: groups_key and groups_admin go together")
        if (
            (self.allowed_groups or self.nested_groups)
            and not self.groups_key
            and "groups" not in self.claims
        ):
            name = "allowed_groups" if self.allowed_groups else "nested_groups"
            raise ValueError(f"{name} needs groups_key and groups_admin: Google's tokens name no groups")

    @property
    def domains(self) -> tuple[str, ...]:
        """The Workspace domains whose accounts are let in; empty: any account."""
        return (*((self.hosted_domain,) if self.hosted_domain else ()), *self.hosted_domains)

    def open(self) -> Google:
        """The client; pure, fetches nothing. Raises ValueError for a key file that can't be used."""
        return Google(self)


class Google(Oidc):
    """The client."""

    title_of_kind: ClassVar[str] = "Google"
    # Its tokens don't say when somebody signed in.
    hints: ClassVar[Mapping[str, str]] = {
        **{name: to for name, to in Oidc.hints.items() if name != "max_age"},
        "hd": "hd",
    }
    prompt_to_switch: ClassVar[str] = "select_account"
    default_claims: ClassVar[Mapping[str, str]] = {
        **Oidc.default_claims,
        "login": "",
        "groups": "",
        "orgs": "",
    }
    folds_case: ClassVar[bool] = True

    def __init__(self, config: GoogleConfig) -> None:
        super().__init__(config)
        self._google = config
        self._account = _account_of(config)
        self.needs_tokens = config.offline_access

    @property
    def is_restricted(self) -> bool:
        """Whether only some accounts are let in."""
        return super().is_restricted or bool(self._google.domains)

    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Offline access with the consent it needs, and the domain as a hint to the account chooser."""
        offline = (("access_type", "offline"), ("prompt", "consent")) if self._google.offline_access else ()
        domains = self._google.domains
        hint = domains[0] if len(domains) == 1 else "*"  # any Workspace account
        return (*offline, *((("hd", hint),) if domains else ()))

    def check_claims(self, signed: Mapping[str, Any]) -> None:
        """Refuse accounts of other domains: the `hd` parameter is only a hint, the signed claim decides."""
        domains = self._google.domains
        if domains and signed.get("hd") not in domains:
            names = ", ".join(domains)
            raise ClientError(f"Your Google account is not one of {names}.", code="not_admitted", status=403)

    def identify(self, at: Endpoints, tokens: Tokens, answer: Answer) -> Flow[Identity | None]:
        """Who the ID token says has come, with the groups that their Workspace's directory has them in."""
        signed = yield from self.signed(at, tokens, answer)
        self.check_claims(signed)
        told = yield from self._told(at, tokens.access_token, signed)
        found = self.identity(at, {**told, **signed}, self._email(signed, told))
        if isinstance(domain := signed.get("hd"), str) and domain:
            found = claim.with_lists(found, orgs=(domain,))
        if self._account is None or not signed.get("hd"):
            return found  # a personal account is in nobody's directory: its groups stay unknown
        return (yield from self._with_groups(found, self._account, answer.now))

    def recheck(self, identity: Identity, tokens: Tokens, now: float) -> Flow[Identity]:
        """The same person as Google has them now; where people leave no refresh token, their groups alone are new.

        Raises as `Oidc.recheck` does. Not noticed without refresh tokens: an account that is suspended or deleted.
        """
        if self.needs_tokens:
            return (yield from super().recheck(identity, tokens, now))
        found = identity
        if self._account is not None and "groups" not in identity.unknown:
            found = yield from self._with_groups(identity, self._account, now)
        self.check_admitted(found)
        return found

    def _with_groups(self, identity: Identity, account: ServiceAccount, now: float) -> Flow[Identity]:
        """The identity with all groups of the person, by address. Raises ProviderInvalid, ProviderUnavailable."""
        try:
            tokens = yield from account.token(now)
        except ProviderRefused as exc:  # not the person is refused, nor their credential
            detail = f"{exc.error}: {exc.description}"
            raise ProviderInvalid(
                "the provider refuses the service account", detail=detail, code="service_account_refused"
            ) from exc
        asked = self._nested if self._google.nested_groups else self._direct
        groups = yield from asked(identity, tokens.access_token)
        return claim.with_lists(identity, groups=claim.texts_of([one.lower() for one in groups], "groups"))

    def _direct(self, identity: Identity, bearer: Secret) -> Flow[list[str]]:
        """Groups that have the person as a member, by the Directory API; by the account's ID, which never changes."""
        base = self._google.directory_url.rstrip("/")
        url = f"{base}/admin/directory/v1/groups?{urlencode({'userKey': identity.subject, 'maxResults': '200'})}"
        found = yield from listed(
            url, bearer, items="groups", may_lack=True, following=by_token("nextPageToken", "pageToken")
        )
        return [_address(entry.get("email")) for entry in found]

    def _nested(self, identity: Identity, bearer: Secret) -> Flow[list[str]]:
        """Groups the person is in, through however many others, by Cloud Identity.

        Threat: a quote in an address, which would end the text in the query.
        """
        if not identity.email or "'" in identity.email or "\\" in identity.email:
            detail = "nested_groups needs a verified address without quotes"
            raise ProviderInvalid("the provider's list can't be asked for", detail=detail, code="list_query")
        base = self._google.cloud_identity_url.rstrip("/")
        query = f"member_key_id == '{identity.email}' && '{_ANY_GROUP}' in labels"
        found = yield from listed(
            f"{base}/v1/groups/-/memberships:searchTransitiveGroups?{urlencode({'query': query, 'pageSize': '200'})}",
            bearer,
            items="memberships",
            may_lack=True,
            following=by_token("nextPageToken", "pageToken"),
        )
        return [_address(claim.at(entry, "groupKey.id")) for entry in found]


def _address(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ProviderInvalid(
            "the provider's list can't be read", detail="a group without an address", code="list_shape"
        )
    return value


def _account_of(config: GoogleConfig) -> ServiceAccount | None:
    if not config.groups_key:
        return None
    scope = CLOUD_IDENTITY_SCOPE if config.nested_groups else DIRECTORY_SCOPE
    account = ServiceAccountConfig(
        name=config.name, key=config.groups_key, scopes=(scope,), subject=config.groups_admin
    )
    return account.open()
