"""oauth2-proxy's alpha configuration: YAML for what its flags say of providers, upstreams, headers, addresses.

Most of it is the same options under other names. What only it can say stands in `Alpha`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from vestibule.config.importers import source
from vestibule.config.importers.note import About, Notes
from vestibule.config.importers.oauth2_proxy.options import BY_NAME, GROUPS
from vestibule.config.importers.option import Given, Unreadable, given, list_of, span_of
from vestibule.config.importers.source import Source
from vestibule.config.place import nearest
from vestibule.config.write import Env, File, Text
from vestibule.errors import ConfigError

_OIDC: Final = {
    "issuerURL": "oidc_issuer_url",
    "insecureAllowUnverifiedEmail": "insecure_oidc_allow_unverified_email",
    "insecureSkipIssuerVerification": "insecure_oidc_skip_issuer_verification",
    "insecureSkipNonce": "insecure_oidc_skip_nonce",
    "skipDiscovery": "skip_oidc_discovery",
    "jwksURL": "oidc_jwks_url",
    "publicKeyFiles": "oidc_public_key_files",
    "emailClaim": "oidc_email_claim",
    "groupsClaim": "oidc_groups_claim",
    "userIDClaim": "user_id_claim",
    "audienceClaims": "oidc_audience_claims",
    "extraAudiences": "oidc_extra_audiences",
    "enabledSigningAlgs": "oidc_enabled_signing_algs",
}
_GOOGLE: Final = {
    "group": "google_groups",
    "adminEmail": "google_admin_email",
    "serviceAccountJson": "google_service_account_json",
    "useApplicationDefaultCredentials": "google_use_application_default_credentials",
    "targetPrincipal": "google_target_principal",
    "useOrganizationID": "google_use_organization_id",
    "adminAPIUserScope": "google_admin_api_user_scope",
}
_PROVIDER: Final[Mapping[str, Any]] = {
    "clientID": "client_id",
    "clientSecret": "client_secret",
    "clientSecretFile": "client_secret_file",
    "provider": "provider",
    "name": "provider_display_name",
    "caFiles": "provider_ca_files",
    "useSystemTrustStore": "use_system_trust_store",
    "loginURL": "login_url",
    "redeemURL": "redeem_url",
    "profileURL": "profile_url",
    "validateURL": "validate_url",
    "skipClaimsFromProfileURL": "skip_claims_from_profile_url",
    "authRequestResponseMode": "auth_request_response_mode",
    "resource": "resource",
    "scope": "scope",
    "allowedGroups": "allowed_groups",
    "code_challenge_method": "code_challenge_method",
    "backendLogoutURL": "backend_logout_url",
    "oidcConfig": _OIDC,
    "googleConfig": _GOOGLE,
    "githubConfig": {
        "org": "github_org",
        "team": "github_team",
        "repo": "github_repo",
        "token": "github_token",
        "users": "github_users",
    },
    "gitlabConfig": {"group": "gitlab_groups", "projects": "gitlab_projects"},
    "keycloakConfig": {"groups": "keycloak_groups", "roles": "allowed_roles"},
    "azureConfig": {"tenant": "azure_tenant", "graphGroupField": "azure_graph_group_field"},
    "microsoftEntraIDConfig": {
        "allowedTenants": "entra_id_allowed_tenants",
        "federatedTokenAuth": "entra_id_federated_token_auth",
    },
    "bitbucketConfig": {"team": "bitbucket_team", "repository": "bitbucket_repository"},
    "loginGovConfig": {"jwtKey": "jwt_key", "jwtKeyFile": "jwt_key_file", "pubjwkURL": "pubjwk_url"},
}
_SERVER: Final[Mapping[str, str]] = {"bindAddress": "http_address", "secureBindAddress": "https_address"}
_METRICS: Final[Mapping[str, str]] = {
    "bindAddress": "metrics_address",
    "secureBindAddress": "metrics_secure_address",
}
#: core options of the groups that an alpha file replaces
_STAY: Final = frozenset({"ssl_insecure_skip_verify"})
REPLACES: Final = frozenset(
    option.name
    for group in ("The provider", "OpenID Connect", "One kind of provider", "Upstreams", "Headers")
    for option in GROUPS[group]
    if option.name not in _STAY
) | {
    "http_address",
    "https_address",
    "tls_cert_file",
    "tls_key_file",
    "tls_min_version",
    "tls_cipher_suites",
    "metrics_address",
    "metrics_secure_address",
    "metrics_tls_cert_file",
    "metrics_tls_key_file",
}
"""Options that count for nothing beside an alpha file."""
_TOP: Final = frozenset(
    {
        "injectRequestHeaders",
        "injectResponseHeaders",
        "metricsServer",
        "providers",
        "server",
        "upstreamConfig",
        "upstreams",
    }
)


_UPSTREAM: Final = frozenset(
    {
        "disableKeepAlives",
        "flushInterval",
        "id",
        "insecureSkipTLSVerify",
        "passHostHeader",
        "path",
        "proxyWebSockets",
        "rewriteTarget",
        "static",
        "staticCode",
        "timeout",
        "uri",
    }
)
_HEADER: Final = frozenset({"InsecureSkipHeaderNormalization", "name", "preserveRequestValue", "values"})
_VALUE: Final = frozenset(
    {"basicAuthPassword", "claim", "claimSource", "fromEnv", "fromFile", "prefix", "secretSource", "value"}
)
_ELSEWHERE: Final = (
    "ADFSConfig",
    "additionalClaims",
    "allow",
    "default",
    "loginURLParameters",
    "proxyRawPath",
    "tls",
)
#: keys are found in any case
_SPELLED: Final[Mapping[str, str]] = {
    key.lower(): key
    for keys in (_PROVIDER, *(part for part in _PROVIDER.values() if isinstance(part, dict)), _SERVER, _TOP)
    for key in keys
} | {key.lower(): key for key in (*_UPSTREAM, *_HEADER, *_VALUE, *_ELSEWHERE)}


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """Where the requests of some paths go."""

    name: str
    """As it was written."""
    path: str
    """With a last slash everything below; an expression where there is a `rewrite`."""
    uri: str = ""
    rewrite: str = ""
    static_code: int | None = None
    """Not None: nothing is behind it, it answers this."""
    insecure: bool = False
    pass_host: bool = True
    timeout_s: float | None = None


class HeaderValue(msgspec.Struct, frozen=True, kw_only=True):
    """Where a header's value comes from: a claim, or a fixed text."""

    claim: str = ""
    prefix: str = ""
    secret: Text | None = None
    is_inline: bool = False
    """The secret stood in the file itself."""
    is_basic: bool = False


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """A header to be set, towards the backend or in answers."""

    name: str
    values: tuple[HeaderValue, ...]
    written: str
    preserve: bool = False


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of the authorization URL."""

    name: str
    usual: tuple[str, ...] = ()
    is_open: bool = False
    """True: people's own links may set it."""


class Alpha(msgspec.Struct, frozen=True, kw_only=True):
    """An alpha file."""

    given: tuple[Given, ...] = ()
    """What options can say, too."""
    provider_id: str = ""
    upstreams: tuple[Upstream, ...] = ()
    request_headers: tuple[Header, ...] = ()
    answer_headers: tuple[Header, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    claims: tuple[str, ...] = ()


def read(one: Source, notes: Notes) -> Alpha:
    """What the file says. Raises ConfigError."""
    whole = source.yaml_of(one)
    if not isinstance(whole, dict) or not _TOP & whole.keys():
        raise ConfigError(
            (
                f"{one.name}: is no alpha configuration of oauth2-proxy: it has none of {', '.join(sorted(_TOP))}",
            )
        )
    return _Reader(one, notes).alpha(whole)


class _Reader:
    """Reads one file; what it doesn't know is told."""

    def __init__(self, one: Source, notes: Notes) -> None:
        self.file = one.name
        self.notes = notes
        self.given: list[Given] = []

    def alpha(self, whole: dict[str, Any]) -> Alpha:
        self.unknown("", whole, _TOP)
        first, *further = self.mappings(whole.get("providers"), "providers") or [{}]
        if further:
            self.notes.add(
                About.DO,
                "providers",
                "only the first counts in oauth2-proxy, and is imported. Here several may sign people in: write a "
                "`provider` block for each, and list them in `sign_in`",
            )
        own = {"id", "loginURLParameters", "additionalClaims", "ADFSConfig"}
        self.options("providers[0]", first, _PROVIDER, own)
        if self.mapping(first.get("ADFSConfig"), "providers[0].ADFSConfig").get("skipScope"):
            self.notes.add(
                About.NONE, "providers[0].ADFSConfig.skipScope", "AD FS is asked for `scopes`, always"
            )
        self.server("server", whole, _SERVER)
        self.server("metricsServer", whole, _METRICS)
        return Alpha(
            given=tuple(self.given),
            provider_id=self.text(first.get("id")),
            upstreams=tuple(self.upstreams(whole)),
            request_headers=tuple(self.headers(whole, "injectRequestHeaders")),
            answer_headers=tuple(self.headers(whole, "injectResponseHeaders")),
            parameters=tuple(self.parameters(first)),
            claims=tuple(filter(None, map(self.text, first.get("additionalClaims") or ()))),
        )

    def options(self, at: str, part: Mapping[str, Any], names: Mapping[str, Any], own: set[str]) -> None:
        self.unknown(at, part, names.keys() | own)
        for key, value in part.items():
            name = names.get(key)
            if isinstance(name, Mapping):
                self.options(f"{at}.{key}", self.mapping(value, f"{at}.{key}"), name, set())
            elif name is not None and value is not None:
                self.take(f"{at}.{key}", name, value)

    def take(self, at: str, name: str, value: Any) -> None:
        self.given.append(given(BY_NAME[name], self.references(value), written=at, file=self.file))

    def server(self, at: str, whole: dict[str, Any], names: Mapping[str, str]) -> None:
        part = self.mapping(whole.get(at), at)
        self.options(at, part, names, {"tls"})
        if part.get("tls"):
            about = "`tls_certificate` and `tls_key` in each host, and `gateway { https }` (docs/tls.md)"
            self.notes.add(About.DO, f"{at}.tls", about)

    def upstreams(self, whole: dict[str, Any]) -> Iterator[Upstream]:
        part = whole.get("upstreamConfig", whole.get("upstreams"))
        config = {"upstreams": part} if isinstance(part, list) else self.mapping(part, "upstreamConfig")
        self.unknown("upstreamConfig", config, {"proxyRawPath", "upstreams"})
        if config.get("proxyRawPath"):
            self.notes.add(
                About.NONE,
                "upstreamConfig.proxyRawPath",
                "a path with `%2F` in it can be read in two ways, and is refused",
            )
        for number, one in enumerate(self.mappings(config.get("upstreams"), "upstreamConfig.upstreams")):
            yield self.upstream(f"upstreams[{number}]", one)

    def upstream(self, at: str, one: dict[str, Any]) -> Upstream:
        self.unknown(at, one, _UPSTREAM)
        if one.get("proxyWebSockets") is False:
            self.notes.add(About.NONE, f"{at}.proxyWebSockets", BY_NAME["proxy_websockets"].here)
        timeout = one.get("timeout")
        code = one.get("staticCode", 200)
        return Upstream(
            name=self.text(one.get("id")) or at,
            path=self.text(one.get("path")) or "/",
            uri=self.text(one.get("uri")),
            rewrite=self.text(one.get("rewriteTarget")),
            static_code=code if one.get("static") and isinstance(code, int) else None,
            insecure=one.get("insecureSkipTLSVerify") is True,
            pass_host=one.get("passHostHeader") is not False,
            timeout_s=None if timeout is None else self.span(timeout, f"{at}.timeout"),
        )

    def headers(self, whole: dict[str, Any], at: str) -> Iterator[Header]:
        for number, one in enumerate(self.mappings(whole.get(at), at)):
            place = f"{at}[{number}]"
            self.unknown(place, one, _HEADER)
            yield Header(
                name=self.text(one.get("name")),
                written=f"{place} ({self.text(one.get('name'))})",
                preserve=one.get("preserveRequestValue") is True,
                values=tuple(
                    self.header_value(place, value)
                    for value in self.mappings(one.get("values"), f"{place}.values")
                ),
            )

    def header_value(self, at: str, one: dict[str, Any]) -> HeaderValue:
        # Before 7.14 the two sources stood in the value itself.
        flat = {
            **one,
            **self.mapping(one.get("claimSource"), at),
            **self.mapping(one.get("secretSource"), at),
        }
        self.unknown(at, flat, _VALUE)
        secret, is_inline = self.secret(flat)
        return HeaderValue(
            claim=self.text(flat.get("claim")),
            prefix=self.text(flat.get("prefix")),
            secret=secret,
            is_inline=is_inline,
            is_basic=flat.get("basicAuthPassword") is not None,
        )

    def secret(self, one: Mapping[str, Any]) -> tuple[Text | None, bool]:
        if one.get("fromEnv"):
            return Env(self.text(one["fromEnv"])), False
        if one.get("fromFile"):
            return File(self.text(one["fromFile"])), False
        if one.get("value") is None:
            return None, False
        found = source.with_references(self.text(one["value"]))
        if isinstance(found, str):
            return "", True  # what it says is looked at by nobody: it is not printed
        self.notes.add(
            About.DO, "secretSource.value", "the variable it names held base64; here it is taken as it stands"
        )
        return found, False

    def parameters(self, provider: dict[str, Any]) -> Iterator[Parameter]:
        at = "providers[0].loginURLParameters"
        for one in self.mappings(provider.get("loginURLParameters"), at):
            self.unknown(at, one, {"name", "default", "allow"})
            usual = tuple(str(item) for item in list_of(one.get("default") or ()))
            yield Parameter(name=self.text(one.get("name")), usual=usual, is_open=bool(one.get("allow")))

    # -- small readers ------------------------------------------------------------------------

    def references(self, value: Any) -> Any:
        if isinstance(value, str):
            return source.with_references(value)
        if isinstance(value, list):
            return [self.references(item) for item in value]
        return value

    def text(self, value: Any) -> str:
        return "" if value is None or isinstance(value, dict | list) else str(value)

    def span(self, value: Any, at: str) -> float:
        try:
            return span_of(value)
        except Unreadable as exc:
            raise ConfigError((f"{self.file}: {at} {exc}",)) from None

    def mapping(self, value: Any, at: str) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ConfigError((f"{self.file}: {at} is no mapping",))
        return {_SPELLED.get(str(key).lower(), str(key)): item for key, item in value.items()}

    def mappings(self, value: Any, at: str) -> list[dict[str, Any]]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise ConfigError((f"{self.file}: {at} is no list",))
        return [self.mapping(item, at) for item in value]

    def unknown(self, at: str, part: Mapping[str, Any], known: frozenset[str] | set[str]) -> None:
        for key in part:
            if key not in known:
                name = f"{at}.{key}" if at else str(key)
                self.notes.add(About.UNKNOWN, name, f"no key of an alpha file{nearest(str(key), known)}")
