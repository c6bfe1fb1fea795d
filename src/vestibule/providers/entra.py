"""Signing in with Microsoft Entra ID (Azure AD): OpenID Connect over many tenants, and groups by Microsoft Graph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec

from vestibule.core import claim
from vestibule.core.person import verified_email
from vestibule.errors import ProviderInvalid, ProviderRefused
from vestibule.model import Identity, Secret, Tokens
from vestibule.protocol import base64url
from vestibule.protocol import oauth2 as wire
from vestibule.protocol import oidc as connect
from vestibule.providers.base import Answer
from vestibule.providers.kit import Discovery, Flow
from vestibule.providers.listing import by_member, listed
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.oidc import Oidc, OidcConfig, with_sid
from vestibule.providers.place import check_url

SHARED: Final = frozenset({"common", "organizations", "consumers"})
"""What stands in the place of a tenant where people of many sign in."""
TEMPLATE: Final = "{tenantid}"
"""What stands in the issuer of their metadata."""
PERSONAL: Final = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant of all personal Microsoft accounts."""

_TENANT_RE: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DOMAIN_RE: Final = re.compile(r"(?=.{4,255}$)[a-z0-9-]+(\.[a-z0-9-]+)+")
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class EntraConfig(OidcConfig, frozen=True, kw_only=True, tag_field="type", tag="entra"):
    """Microsoft Entra ID, formerly Azure AD."""

    issuer: str = ""
    """Made of `login_url` and `tenant`: leave it out."""
    tenant: str
    """Whose accounts: the tenant's ID or a domain of it; or `organizations` (work accounts), `common` (and personal
    ones), each together with `allowed_tenants`; or `consumers` (personal ones only)."""
    allowed_tenants: tuple[str, ...] = ()
    """IDs of the tenants whose accounts are let in. Personal accounts are all of the tenant
    `9188040d-6c67-4c5b-b112-36a304b66dad`."""
    group_names: bool = False
    """True: groups by their display names, which Microsoft Graph is asked for at each sign-in, instead of by ID.
    Names aren't unique, and in many tenants anybody may make a group and call it what they like: rules by ID are
    safe, rules by name are not. Needs the permission `GroupMember.Read.All`."""
    userinfo: bool = False
    """Ask the userinfo endpoint for claims that the ID token doesn't have; Microsoft's has none."""
    login_url: str = "https://login.microsoftonline.com"
    """Where people sign in; another in a sovereign cloud: `https://login.microsoftonline.us`."""
    graph_url: str = "https://graph.microsoft.com"
    """Where Microsoft Graph is; another in a sovereign cloud: `https://graph.microsoft.us`."""
    federated_token_file: str = ""
    """File with the token by which this workload shows who it is, in place of a secret; it is read anew each time.
    On AKS: `federated_token_file = "${env("AZURE_FEDERATED_TOKEN_FILE")}"`."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        for name in ("login_url", "graph_url"):
            check_url(name, getattr(self, name), is_required=True)
        if self.issuer:
            raise ValueError("issuer is made of login_url and tenant: leave it out")
        if not (
            self.tenant in SHARED or _TENANT_RE.fullmatch(self.tenant) or _DOMAIN_RE.fullmatch(self.tenant)
        ):
            raise ValueError(
                "tenant is an ID or a domain, in lower case, or common, organizations, consumers"
            )
        for tenant in self.allowed_tenants:
            if not _TENANT_RE.fullmatch(tenant):
                raise ValueError("allowed_tenants are tenants' IDs, in lower case")
        if self.tenant in {"common", "organizations"} and not self.allowed_tenants:
            raise ValueError(
                f'allowed_tenants is missing: with tenant = "{self.tenant}" anybody could come, of a tenant they made'
            )
        self._check_federation()
        msgspec.structs.force_setattr(self, "issuer", f"{self.login_url.rstrip('/')}/{self.tenant}/v2.0")
        super().__post_init__()

    def _check_federation(self) -> None:
        if self.federated_token_file and (self.client_secret or self.private_key):
            raise ValueError("federated_token_file stands instead of client_secret or private_key")
        if self.federated_token_file and not self.is_trusted:
            raise ValueError(
                "federated_token_file can't be set in a database: it names a file of this machine"
            )

    def open(self) -> Entra:
        """The client; pure, fetches nothing."""
        return Entra(self)


class Entra(Oidc):
    """The client. A person is the tenant's issuer and `oid`: `sub` is another for every app, an address is nobody."""

    title_of_kind: ClassVar[str] = "Microsoft"
    # Its tokens say when somebody signed in only where the app's registration asks for that.
    hints: ClassVar[Mapping[str, str]] = {
        **{name: to for name, to in Oidc.hints.items() if name != "max_age"},
        "hd": "domain_hint",
    }
    prompt_to_switch: ClassVar[str] = "select_account"
    default_scopes: ClassVar[tuple[str, ...]] = ("openid", "profile", "email", "offline_access", "User.Read")
    default_claims: ClassVar[Mapping[str, str]] = {**Oidc.default_claims, "orgs": "", "roles": "roles"}

    def __init__(self, config: EntraConfig) -> None:
        super().__init__(config)
        self._entra = config
        if config.group_names and not config.scopes:
            self.scopes = (*self.default_scopes, "GroupMember.Read.All")
        self._base = config.login_url.rstrip("/")

    def endpoints(self) -> Flow[Endpoints]:
        """What the tenant's metadata says; its issuer names one tenant, or is a template for many.

        Raises ProviderInvalid. Threat: metadata of another tenant than the one that was written.
        """
        config = self._entra
        place = config.discovery_url or connect.discovery_url(config.issuer)
        document = yield Discovery(self._expected_issuer(), place)
        issuer = document.get("issuer")
        if not isinstance(issuer, str) or not self._is_issuer(issuer):
            raise ProviderInvalid("the provider's metadata is another's", detail=place, code="wrong_issuer")
        found = connect.parse_metadata(document, issuer)
        return Endpoints(
            authorize_url=found.authorization_endpoint,
            token_url=found.token_endpoint,
            userinfo_url=found.userinfo_endpoint if config.userinfo else "",
            end_session_url=found.end_session_endpoint if config.sign_out_at_provider else "",
            jwks_url=found.jwks_uri,
            issuer=issuer,
            has_iss=found.has_iss,
            algorithms=found.algorithms,
            auth_methods=found.auth_methods,
            logout_channels=found.logout_channels,
            via=f"{config.issuer} {config.discovery_url}".strip(),
        )

    def identity(self, at: Endpoints, claims: Mapping[str, Any], email: str) -> Identity:
        """The identity these claims give: the account's `oid` in its tenant. Raises ProviderInvalid."""
        oid = claims.get("oid")
        if not isinstance(oid, str) or not _TENANT_RE.fullmatch(oid):
            detail = "no oid in the ID token: the scope profile is needed"
            raise ProviderInvalid("the provider doesn't say who this is", detail=detail, code="id_token_oid")
        found = claim.identity_of(
            claims,
            self.claims,
            client=self.name,
            issuer=_issuer_of(at.issuer, claims["tid"]),
            subject=oid,
            email=email,
        )
        return found if self.claims["orgs"] else claim.with_lists(found, orgs=(claims["tid"],))

    def identify(self, at: Endpoints, tokens: Tokens, answer: Answer) -> Flow[Identity | None]:
        """Who the ID token says has come, with groups by Graph where the token only says that there are too many."""
        signed = yield from self.signed(at, tokens, answer)
        self.check_claims(signed)
        found = with_sid(self.identity(at, signed, self._email(signed, {})), signed)
        asks = "groups" not in self._entra.claims and (self._entra.group_names or has_overage(signed))
        if not asks:
            return found
        groups = yield from self._groups(tokens.access_token)
        return claim.with_lists(found, groups=groups)

    def speaks_for(self, issuer: str) -> bool:
        """Whether this is an issuer of Microsoft's: each tenant is one, and an identity names its own."""
        tenant = issuer.removeprefix(f"{self._base}/").removesuffix("/v2.0")
        return issuer == f"{self._base}/{tenant}/v2.0" and _TENANT_RE.fullmatch(tenant) is not None

    def check_claims(self, signed: Mapping[str, Any]) -> None:
        """Refuse accounts of other tenants. Threat: anybody can make a tenant, and in it any account."""
        config = self._entra
        allowed = config.allowed_tenants or ((PERSONAL,) if config.tenant == "consumers" else ())
        if allowed and signed["tid"] not in allowed:
            raise self.not_admitted(f"tenant {signed['tid']} is none of allowed_tenants")

    def _claims(
        self, at: Endpoints, tokens: Tokens, raw: Secret, keys: tuple[dict[str, Any], ...], answer: Answer
    ) -> dict[str, Any]:
        """The ID token's claims, checked against the issuer of the very tenant that they name.

        Where the metadata is a template, each tenant is an issuer of its own; a key may be bound to one of them.
        Threat: a token of one tenant, or signed with the key of one, that names another.
        """
        tenant = _tenant_of(raw)
        issuer = _issuer_of(at.issuer, tenant)
        bound = tuple(key for key in keys if _issuer_of(str(key.get("issuer") or issuer), tenant) == issuer)
        at = msgspec.structs.replace(at, issuer=issuer)
        return super()._claims(at, tokens, raw, bound, answer)

    def _email(self, signed: Mapping[str, Any], told: Mapping[str, Any]) -> str:
        """The address, where Microsoft or the operator vouches for it; "" otherwise.

        Threat (nOAuth): `email` is what the admin of any tenant writes into it, without owning the address.
        """
        del told
        config = self._entra
        verified = (
            config.assume_email_verified
            or claim.at(signed, self.claims["email_verified"]) is True
            or signed.get("xms_edov") in (True, "1", "true")
            or (bool(config.email_domains) and self._is_one_tenant() and not _is_guest(signed))
        )
        return verified_email(
            claim.at(signed, self.claims["email"]), verified, email_domains=config.email_domains
        )

    def _retold(self, at: Endpoints, identity: Identity, tokens: Tokens) -> Flow[Identity]:
        """Nothing: userinfo names people by another subject, and tells nothing. Raises ProviderRefused."""
        del at, identity, tokens
        yield from ()
        raise ProviderRefused(
            "invalid_grant", "nothing fresh: no new ID token (the scope offline_access is needed)"
        )

    def _groups(self, bearer: Secret) -> Flow[tuple[str, ...]]:
        """All groups of the person, nested ones too, by Microsoft Graph; all of them or an error."""
        name = "displayName" if self._entra.group_names else "id"
        url = (
            f"{self._entra.graph_url.rstrip('/')}/v1.0/me/transitiveMemberOf/microsoft.graph.group"
            "?$select=id,displayName&$top=999&$count=true"
        )
        found = yield from listed(
            url,
            bearer,
            items="value",
            following=by_member("@odata.nextLink"),
            headers=(("ConsistencyLevel", "eventual"),),  # Graph wants both with a cast to groups
        )
        names = [entry.get(name) for entry in found]
        if not all(isinstance(one, str) and one for one in names):
            detail = f"Graph gives groups without {name}: is GroupMember.Read.All granted?"
            raise ProviderInvalid("the provider's list can't be read", detail=detail, code="list_shape")
        return claim.texts_of(names, "groups")

    def authenticated(
        self, form: wire.Form, at: Endpoints, now: float
    ) -> tuple[wire.Form, tuple[str, Secret] | None]:
        """By the workload's own token where there is one. Spec: RFC 7523 section 2.2."""
        path = self._entra.federated_token_file
        if not path:
            return super().authenticated(form, at, now)
        proof = (
            ("client_id", self._entra.client_id),
            ("client_assertion_type", _ASSERTION),
            ("client_assertion", _read(path)),
        )
        return (*form, *proof), None

    def _expected_issuer(self) -> str:
        """The issuer of the metadata; empty where only the metadata knows it: a domain's tenant."""
        tenant = self._entra.tenant
        if _TENANT_RE.fullmatch(tenant):
            return f"{self._base}/{tenant}/v2.0"
        if tenant == "consumers":
            return f"{self._base}/{PERSONAL}/v2.0"
        return f"{self._base}/{TEMPLATE}/v2.0" if tenant in SHARED else ""

    def _is_issuer(self, issuer: str) -> bool:
        expected = self._expected_issuer()
        return issuer == expected if expected else self.speaks_for(issuer)

    def _is_one_tenant(self) -> bool:
        """True where all accounts are of one tenant, whose domains the operator can speak for."""
        config = self._entra
        return config.tenant not in SHARED or (
            len(config.allowed_tenants) == 1 and PERSONAL not in config.allowed_tenants
        )


def has_overage(signed: Mapping[str, Any]) -> bool:
    """True for a token that leaves out groups because they are too many (more than 200, or 6 in a URL)."""
    names = signed.get("_claim_names")
    return (isinstance(names, Mapping) and "groups" in names) or signed.get("hasgroups") in (True, "true")


def _is_guest(signed: Mapping[str, Any]) -> bool:
    """True for an account that another tenant vouches for: its address is what they say there."""
    home = signed.get("idp", signed["tid"])
    return signed.get("acct") in (1, "1") or not isinstance(home, str) or signed["tid"] not in home


def _issuer_of(template: str, tenant: Any) -> str:
    return template.replace(TEMPLATE, tenant)


def _tenant_of(raw: Secret) -> str:
    """The tenant a token names, before it is verified: it chooses the issuer that it is held against."""
    try:
        claims = msgspec.json.decode(base64url.decode(raw.reveal().split(".")[1]) or b"")
    except (msgspec.MsgspecError, IndexError, ValueError):
        claims = None
    tenant = claims.get("tid") if isinstance(claims, dict) else None
    if not isinstance(tenant, str) or not _TENANT_RE.fullmatch(tenant):
        raise ProviderInvalid(
            "its ID token can't be believed", detail="tid is no tenant", code="id_token_tid"
        )
    return tenant


def _read(path: str) -> str:
    try:
        return Path(path).read_text("ascii").strip()
    except (OSError, UnicodeError) as exc:
        detail = f"{path}: {type(exc).__name__}"
        raise ProviderInvalid(
            "this gateway can't show who it is", detail=detail, code="federated_token"
        ) from None
