"""oauth2-proxy's provider as a block of ours: its kind, where it is, whom it lets in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from vestibule.config.client import class_of, fields_of
from vestibule.config.importers.note import About, Notes
from vestibule.config.importers.oauth2_proxy.read import Read
from vestibule.config.importers.provider import NO_TENANT, base_of, believed_at_adfs, sign_out
from vestibule.config.importers.secret import secret_of
from vestibule.config.place import Unfit
from vestibule.config.value import client_id
from vestibule.config.write import Block, Env, File, Text, Value


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's block, and what of its restrictions must be rules."""

    block: Block
    id: str
    rules: tuple[str, ...] = ()
    """One of them must hold, besides what is asked of the address; empty: the block says it all."""


def provider(read: Read, redirect_url: str, domains: tuple[str, ...], notes: Notes) -> Made:
    """The provider; *redirect_url* is the one registered with it, *domains* those of the addresses let in."""
    maker = _Maker(read, redirect_url, domains, notes)
    written = read.options.text("provider") or "google"
    build = _KINDS.get(written)
    if build is None:
        notes.add(About.DO, "provider", f"`{written}` is no kind of oauth2-proxy's: it is taken for `oidc`")
        build = _Maker.oidc
    build(maker)
    return maker.made()


#: GitLab, "Members API", valid access levels
_LEVELS: Final = {
    "10": "guest",
    "15": "planner",
    "20": "reporter",
    "30": "developer",
    "40": "maintainer",
    "50": "owner",
}
_SHARED_TENANTS: Final = frozenset({"common", "consumers", "organizations"})
_TENANT_RE = re.compile(r"https://([^/]+)/([^/]+)(?:/v2\.0)?/?$")


class _Maker:
    """Collects the attributes of one provider; a method for each kind."""

    def __init__(self, read: Read, redirect_url: str, domains: tuple[str, ...], notes: Notes) -> None:
        self.options = read.options
        self.alpha = read.alpha
        self.redirect_url = redirect_url
        self.domains = domains
        self.notes = notes
        self.kind = "oidc"
        self.type = "provider"
        self.place: dict[str, Value] = {}
        """Where the provider is."""
        self.restrictions: dict[str, Value] = {}
        self.rules: list[str] = []
        self.claims: dict[str, Value] = {}
        self.parameters: dict[str, str] = {}
        self.scopes: tuple[str, ...] = tuple(self.options.text("scope").split())
        self.has_secret = True

    def made(self) -> Made:
        """The block."""
        id_ = self._id()
        if self.type == "provider":
            self._knows_urls()
        self._common_claims()
        self._common_parameters()
        attributes: dict[str, Value] = {}
        if self.type == "provider" and id_ != self.kind:
            attributes["type"] = self.kind
        attributes |= self.place
        if title := self.options.reference("provider_display_name"):
            attributes["title"] = title
        attributes["client_id"] = self.options.reference("client_id") or self._missing("client_id")
        if self.has_secret:
            attributes |= self._secret()
        if self.scopes:
            attributes["scopes"] = self.scopes
        if self.redirect_url:
            attributes["redirect_url"] = self.redirect_url
        if mode := self.options.text("auth_request_response_mode"):
            attributes |= self._mode(mode)
        if self.type == "provider":
            root = (self.options.text("proxy_prefix") or "/oauth2").rstrip("/")
            attributes |= sign_out(self.kind, self.options, "backend_logout_url", self.notes, root=root)
        attributes |= self.restrictions
        inside = [Block("claims", attributes=self.claims)] if self.claims else []
        inside += [
            Block("authorize_parameter", attributes={"name": name, "value": value})
            for name, value in self.parameters.items()
        ]
        block = Block(self.type, id_, attributes, tuple(inside))
        return Made(block=block, id=id_, rules=tuple(dict.fromkeys(self.rules)))

    def _id(self) -> str:
        written = self.alpha.provider_id if self.alpha is not None else ""
        try:
            return client_id(written) if written and "=" not in written else self.kind
        except Unfit:
            return self.kind

    def _missing(self, name: str) -> Env:
        variable = f"OAUTH2_PROXY_{name.upper()}"
        self.notes.add(About.SET, variable, f"no {name} was found in what was imported")
        return Env(variable)

    def _mode(self, mode: str) -> dict[str, Value]:
        if mode == "form_post":
            return {"form_post": True}
        if mode != "query":
            about = f"`{mode}` is not taken; an answer comes in the query, or with `form_post` in a form"
            self.notes.add(About.NONE, "auth_request_response_mode", about)
        return {}

    def _secret(self) -> dict[str, Value]:
        found = secret_of(self.options, "client_secret", "OAUTH2_PROXY_CLIENT_SECRET", self.notes)
        if found is None and (path := self.options.reference("client_secret_file")):
            found = _file(path)
        return {"client_secret": self._missing("client_secret") if found is None else found}

    def _has(self, attribute: str) -> bool:
        """True where providers of this kind have such an attribute."""
        cls = class_of("oauth2" if self.type == "oauth" else self.kind)
        return cls is not None and attribute in fields_of(cls).attributes

    def _common_claims(self) -> None:
        options = self.options
        email = options.text("oidc_email_claim") or "email"
        old = options.text("user_id_claim") or "email"
        email = old if email == "email" else email
        if email != "email":
            self.claims["email"] = email
        groups = options.text("oidc_groups_claim")
        if groups and groups != "groups":
            self.claims["groups"] = groups
        for name in self.alpha.claims if self.alpha is not None else ():
            self.claims[re.sub(r"\W", "_", name)] = name
        if options.switch("insecure_oidc_allow_unverified_email"):
            self.restrictions["assume_email_verified"] = True
        if options.switch("skip_claims_from_profile_url") and self._has("userinfo"):
            self.restrictions["userinfo"] = False

    def _common_parameters(self) -> None:
        options = self.options
        if prompt := options.text("prompt"):
            self.parameters["prompt"] = prompt
        if (acr := options.text("acr_values")) and self.kind != "logingov":
            self.parameters["acr_values"] = acr
        for parameter in self.alpha.parameters if self.alpha is not None else ():
            at = f"loginURLParameters ({parameter.name})"
            if parameter.is_open:
                about = (
                    "links may give `login_hint`, `prompt` and `provider`, with any value, and nothing else"
                )
                self.notes.add(About.CHANGED, at, about)
            if parameter.usual:
                self.parameters[parameter.name] = " ".join(parameter.usual)
        if "prompt" in self.parameters:
            self.parameters.pop("approval_prompt", None)
        if self.parameters.get("approval_prompt") == "force":
            del self.parameters["approval_prompt"]

    # -- restrictions -------------------------------------------------------------------------

    def _narrow(self, attribute: str, items: tuple[str, ...], rule: str) -> None:
        """One of these, by the provider's own list where nothing else is one of them, too."""
        if items:
            self.restrictions[attribute] = items
            self.rules += [f"{rule}:{item}" for item in items]

    def _settle(self, *attributes: str) -> None:
        """Of lists that are alternatives of each other: the list itself where it is one, else rules."""
        found = [name for name in attributes if name in self.restrictions]
        if len(found) > 1:
            for name in found:
                del self.restrictions[name]
        else:
            self.rules = []

    def _groups(self, *further: str) -> tuple[str, ...]:
        names = ("allowed_groups", *further)
        return tuple(dict.fromkeys(item for name in names for item in self.options.items(name)))

    def _believe(self, why: str) -> None:
        """Told for kinds whose addresses count only where the operator says so."""
        if self.domains and not self.options.switch("insecure_oidc_allow_unverified_email"):
            self.notes.add(
                About.DO,
                "assume_email_verified",
                f"{why}; oauth2-proxy believed it. Until you write `assume_email_verified = true` into the provider, "
                "rules on addresses let nobody in",
            )

    def _knows_urls(self) -> None:
        """Told where URLs were given for a kind that finds its own."""
        for name in ("login_url", "redeem_url", "profile_url"):
            given = self.options.given(name)
            if given is not None and given.value:
                about = f"providers of the kind `{self.kind}` are found by {self._where()}"
                self.notes.add(About.CHANGED, given.written, about)

    def _where(self) -> str:
        names = ("issuer", "tenant", "web_url", "environment")
        return next((f"`{name}`" for name in names if name in self.place), "themselves")

    # -- kinds --------------------------------------------------------------------------------

    def oidc(self) -> None:
        issuer = self.options.reference("oidc_issuer_url")
        login, redeem = self.options.text("login_url"), self.options.text("redeem_url")
        if issuer or not (login and redeem):
            self.place["issuer"] = issuer or self._missing("oidc_issuer_url")
        else:
            self.type = "oauth"
            userinfo = self.options.text("profile_url") or self.options.text("validate_url")
            self.place = {"authorize_url": login, "access_token_url": redeem}
            if userinfo:
                self.place["userinfo_url"] = userinfo
        self._oidc_groups()

    def _oidc_groups(self, *further: str) -> None:
        if groups := self._groups(*further):
            self.restrictions["allowed_groups"] = groups
            is_plain = self.kind == "oidc" and self.type == "provider" and not self.scopes
            if is_plain and not self.options.text("oidc_groups_claim"):
                self.scopes = ("openid", "profile", "email", "groups")

    def adfs(self) -> None:
        self.kind = "adfs"
        self.oidc()
        if resource := self.options.text("resource"):
            self.place["resource"] = resource
        if self.domains:
            self.restrictions |= believed_at_adfs("oauth2-proxy", self.notes)

    def cidaas(self) -> None:
        self.kind = "cidaas"
        self.oidc()

    def keycloak_oidc(self) -> None:
        self.kind = "keycloak"
        self.oidc()
        self.type = "provider"
        self._narrow("allowed_groups", self._groups("keycloak_groups"), "group")
        self._narrow("allowed_roles", self.options.items("allowed_roles"), "role")
        self._settle("allowed_groups", "allowed_roles")

    def keycloak(self) -> None:
        self.kind = "keycloak"
        realm = self.options.text("login_url").partition("/protocol/openid-connect/")[0]
        self.place["issuer"] = (
            realm or self.options.reference("oidc_issuer_url") or self._missing("oidc_issuer_url")
        )
        self._oidc_groups("keycloak_groups")

    def entra(self) -> None:
        self.kind = "entra"
        found = _TENANT_RE.match(self.options.text("oidc_issuer_url"))
        tenant = found[2] if found else self.options.text("azure_tenant") or "common"
        self.place["tenant"] = tenant.lower()
        if found and found[1] not in ("login.microsoftonline.com", "sts.windows.net"):
            self.place["login_url"] = f"https://{found[1]}"
        tenants = tuple(item.lower() for item in self.options.items("entra_id_allowed_tenants"))
        if tenants:
            self.restrictions["allowed_tenants"] = tenants
        elif tenant.lower() in _SHARED_TENANTS - {"consumers"}:
            self.restrictions["allowed_tenants"] = (NO_TENANT,)
            self.notes.add(
                About.DO,
                "allowed_tenants",
                f"with the tenant `{tenant}` anybody could come, of a tenant they made: write the IDs of those that "
                "may in the place of the zeros, which let nobody in",
            )
        elif self.domains:
            # Threat (nOAuth): an address is whatever a tenant's administrator writes; of one's own tenant it counts.
            self.restrictions["email_domains"] = self.domains
        if self.options.text("azure_graph_group_field") == "displayName":
            self.restrictions["group_names"] = True
        if self.options.switch("entra_id_federated_token_auth"):
            self.has_secret = False
            self.place["federated_token_file"] = Env("AZURE_FEDERATED_TOKEN_FILE")
        if self.options.text("resource"):
            self.notes.add(About.NONE, "resource", "the v2 endpoints of Microsoft know scopes alone")
        self.scopes = tuple(scope for scope in self.scopes if scope != "groups")
        self._oidc_groups()

    def google(self) -> None:
        self.kind = "google"
        groups = self._groups("google_groups", "google_group")
        key, admin = (
            self.options.reference("google_service_account_json"),
            self.options.reference("google_admin_email"),
        )
        if key and admin:
            self.place |= {"groups_key": _file(key), "groups_admin": admin}
            if groups:
                self.restrictions["allowed_groups"] = groups
        elif groups or key or admin:
            self.rules += [f"group:{group}" for group in groups]
            self.notes.add(
                About.DO,
                "google_groups",
                "groups are asked for by a service account's key, and for an administrator: write `groups_key` and "
                "`groups_admin` into the provider, both. Until then `group:` rules let nobody in",
            )

    def github(self) -> None:
        self.kind = "github"
        web, api = (
            base_of(self.options.text("login_url"), "/login/oauth/authorize"),
            self.options.text("validate_url"),
        )
        if "/api/v1" in api:
            self.kind = "gitea"
            self.place["web_url"] = web or api.partition("/api/v1")[0]
            self._github_lists()
            return
        if web and web != "https://github.com":
            self.place["web_url"] = web
            api = api.partition("/api/v3")[0] + "/api/v3" if "/api/v3" in api else ""
            if api and api != f"{web}/api/v3":
                self.place["api_url"] = api
        self._github_lists()

    def _github_lists(self) -> None:
        org = self.options.text("github_org")
        written = [team.strip() for team in self.options.text("github_team").split(",") if team.strip()]
        teams = [team.replace(":", "/", 1) if ":" in team or not org else f"{org}/{team}" for team in written]
        groups = self._groups()
        teams += [group.replace(":", "/", 1) for group in groups if ":" in group]
        orgs = [group for group in groups if ":" not in group] + ([org] if org and not teams else [])
        users = self.options.items("github_users")
        self._narrow("allowed_teams", tuple(teams), "team")
        self._narrow("allowed_orgs", tuple(orgs), "org")
        if self.kind == "github":
            self._narrow("allowed_users", users, f"user:{self._id()}")
            self.rules = [re.sub(r"^(user:[^:]+):", r"\1/", rule) for rule in self.rules]
        self._settle("allowed_orgs", "allowed_teams", "allowed_users")
        if self.rules:
            self.scopes = tuple(dict.fromkeys((*(self.scopes or ("read:user", "user:email")), "read:org")))
        elif self.scopes and (teams or orgs) and "read:org" not in self.scopes:
            self.scopes = (*self.scopes, "read:org")
        if repo := self.options.text("github_repo"):
            if users:
                about = (
                    f"members of `{repo}` would have come in beside `github_users`: a rule can't say so here"
                )
                self.notes.add(About.NONE, "github_repo", about)
            else:
                self.restrictions["allowed_repos"] = (repo,)
                self.scopes = ()

    def gitlab(self) -> None:
        self.kind = "gitlab"
        issuer = self.options.text("oidc_issuer_url").rstrip("/")
        if issuer and issuer != "https://gitlab.com":
            self.place["web_url"] = issuer
        projects = tuple(_project(item) for item in self.options.items("gitlab_projects"))
        self._narrow("allowed_groups", self._groups("gitlab_groups"), "group")
        self._narrow("allowed_projects", projects, "project")
        if len(self.restrictions) > 1:
            about = "groups and projects were alternatives; here both are asked for. Write rules where one is enough"
            self.notes.add(About.DO, "gitlab_projects", about)
        self.rules = []
        if projects and self.scopes and not {"api", "read_api"} & set(self.scopes):
            self.scopes = (*self.scopes, "read_api")

    def bitbucket(self) -> None:
        self.kind = "bitbucket"
        if team := self.options.text("bitbucket_team"):
            self.restrictions["allowed_workspaces"] = (team,)
        if repository := self.options.text("bitbucket_repository"):
            self.restrictions["allowed_repos"] = (repository,)
        self.rules += [f"group:{group}" for group in self._groups()]

    def logingov(self) -> None:
        self.kind = "logingov"
        self.has_secret = False
        urls = self.options.text("login_url") + self.options.text("oidc_issuer_url")
        if "identitysandbox" in urls:
            self.place["environment"] = "sandbox"
        key: Value | None = secret_of(self.options, "jwt_key", "OAUTH2_PROXY_JWT_KEY", self.notes)
        if key is None and (path := self.options.reference("jwt_key_file")):
            key = _file(path)
        self.place["private_key"] = key or self._missing("jwt_key")
        if acr := self.options.text("acr_values"):
            self.place["acr_values"] = acr
        self._oidc_groups()

    def nextcloud(self) -> None:
        self.kind = "nextcloud"
        login = self.options.text("login_url")
        self.place["web_url"] = re.split(r"/(?:index\.php/)?apps/oauth2/", login)[0] or self._missing(
            "login_url"
        )
        if groups := self._groups():
            self.restrictions["allowed_groups"] = groups
        self._believe("Nextcloud never says that an address is verified, and people may change theirs")

    def sourcehut(self) -> None:
        self.kind = "sourcehut"
        web = base_of(self.options.text("login_url"), "/oauth2/authorize")
        if web and web != "https://meta.sr.ht":
            self.place["web_url"] = web

    def facebook(self) -> None:
        self.kind = "facebook"
        self._believe("Facebook never says that an address is verified")

    def plain(self) -> None:
        self.kind = self.options.text("provider")
        self.rules += [f"group:{group}" for group in self._groups()]


_KINDS: Final[Mapping[str, Callable[[_Maker], None]]] = {
    "adfs": _Maker.adfs,
    "azure": _Maker.entra,
    "bitbucket": _Maker.bitbucket,
    "cidaas": _Maker.cidaas,
    "digitalocean": _Maker.plain,
    "entra-id": _Maker.entra,
    "facebook": _Maker.facebook,
    "github": _Maker.github,
    "gitlab": _Maker.gitlab,
    "google": _Maker.google,
    "keycloak": _Maker.keycloak,
    "keycloak-oidc": _Maker.keycloak_oidc,
    "linkedin": _Maker.plain,
    "login.gov": _Maker.logingov,
    "nextcloud": _Maker.nextcloud,
    "oidc": _Maker.oidc,
    "sourcehut": _Maker.sourcehut,
}
KINDS: Final = frozenset(_KINDS)
"""oauth2-proxy's kinds of providers."""


def _file(path: Text) -> Text:
    return File(path) if isinstance(path, str) else path


def _project(written: str) -> str:
    """`group/project=30` with the level's name."""
    path, mark, level = written.partition("=")
    return f"{path}={_LEVELS.get(level, level)}" if mark else path
