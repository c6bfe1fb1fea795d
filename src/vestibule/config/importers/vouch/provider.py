"""Vouch's provider as a block of ours. Its file has no issuer: which provider it is, is told by the URLs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from vestibule.config.importers.note import About, Notes
from vestibule.config.importers.option import Options
from vestibule.config.importers.provider import NO_TENANT, base_of, believed_at_adfs, sign_out
from vestibule.config.importers.secret import secret_of
from vestibule.config.write import Block, Env, Value


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's block, and how rules name it."""

    block: Block
    id: str
    kind: str


def provider(options: Options, redirect_url: str, rules: tuple[str, ...], notes: Notes) -> Made:
    """The provider; *redirect_url* is the one registered with it, *rules* what its word is needed for."""
    maker = _Maker(options, notes)
    written = options.text("oauth.provider")
    build = _KINDS.get(written)
    if build is None:
        notes.add(
            About.DO, "oauth.provider", f"`{written}` is no provider of Vouch's: it is taken for `oidc`"
        )
        build = _Maker.oidc
    build(maker)
    return maker.made(redirect_url, rules)


class _Maker:
    """Collects the attributes of the provider; a method for each of Vouch's kinds."""

    def __init__(self, options: Options, notes: Notes) -> None:
        self.options = options
        self.notes = notes
        self.type = "provider"
        self.kind = "oauth2"
        self.place: dict[str, Value] = {}
        self.has_secret = True
        self.scopes: tuple[str, ...] = options.items("oauth.scopes")
        self.auth_url = options.text("oauth.auth_url")

    def made(self, redirect_url: str, rules: tuple[str, ...]) -> Made:
        """The block."""
        options = self.options
        id_ = "oidc" if self.kind == "oauth2" else self.kind
        attributes: dict[str, Value] = dict(self.place)
        client = options.reference("oauth.client_id")
        attributes["client_id"] = client or self._missing("OAUTH_CLIENT_ID", "client_id")
        secret = secret_of(options, "oauth.client_secret", "OAUTH_CLIENT_SECRET", self.notes)
        if secret is not None:
            attributes["client_secret"] = secret
        elif self.has_secret:
            attributes["client_secret"] = self._missing("OAUTH_CLIENT_SECRET", "client_secret")
        if any(rule.startswith(("org:", "team:")) for rule in rules) and "read:org" not in self.scopes:
            self.scopes = (*(self.scopes or ("read:user", "user:email")), "read:org")
        if self.scopes:
            attributes["scopes"] = tuple(dict.fromkeys(self.scopes))
        if redirect_url:
            attributes["redirect_url"] = redirect_url
        attributes |= sign_out(self.kind, options, "oauth.end_session_endpoint", self.notes)
        attributes |= self._believed(rules)
        inside = [*self._claims(), *self._parameters()]
        return Made(block=Block(self.type, id_, attributes, tuple(inside)), id=id_, kind=self.kind)

    def _missing(self, variable: str, what: str) -> Env:
        self.notes.add(About.SET, variable, f"no {what} was found in what was imported")
        return Env(variable)

    def _believed(self, rules: tuple[str, ...]) -> dict[str, Value]:
        needs = any(rule.startswith(("domain:", "email:")) for rule in rules)
        if not needs or self.kind not in _SILENT:
            return {}
        if self.kind == "adfs":
            return believed_at_adfs("Vouch", self.notes)
        about = (
            f"`{self.kind}` doesn't say that an address is verified; Vouch believed it. Until you write "
            "`assume_email_verified = true` into the provider, rules on addresses let nobody in"
        )
        self.notes.add(About.DO, "assume_email_verified", about)
        return {}

    def _claims(self) -> list[Block]:
        wanted = self.options.items("vouch.headers.claims")
        standard = {"email", "email_verified", "name", "preferred_username", "sub"}
        kept: dict[str, Value] = {
            claim_name(one): one for one in wanted if one not in standard and claim_name(one) != "groups"
        }
        return [Block("claims", attributes=kept)] if kept else []

    def _parameters(self) -> list[Block]:
        found = {
            "claims": self.options.text("oauth.claims"),
            "hd": self.options.text("oauth.preferredDomain"),
        }
        return [
            Block("authorize_parameter", attributes={"name": name, "value": value})
            for name, value in found.items()
            if value and (name != "hd" or self.kind == "google")
        ]

    # -- kinds --------------------------------------------------------------------------------

    def _known(self, kind: str, **place: str) -> None:
        self.kind = kind
        self.place = {name: value for name, value in place.items() if value}
        for name in ("oauth.token_url", "oauth.user_info_url"):
            self.options.given(name)  # it knows its own

    def google(self) -> None:
        self._known("google")

    def github(self) -> None:
        web = base_of(self.auth_url, "/login/oauth/authorize")
        self._known("github", web_url="" if web == "https://github.com" else web)
        api = self.options.text("oauth.user_info_url").partition("?")[0].removesuffix("/user")
        if api and web and api not in ("https://api.github.com", f"{web}/api/v3"):
            self.place["api_url"] = api

    def indieauth(self) -> None:
        self._known("indieauth")
        self.has_secret = False
        about = (
            "people write their own web address, and its own server says who they are: nothing is sent to "
            f"{urlsplit(self.auth_url).hostname or 'a service in between'}"
        )
        self.notes.add(About.CHANGED, "oauth.auth_url", about)

    def adfs(self) -> None:
        self._known("adfs", issuer=self.auth_url.partition("/oauth2/")[0] or str(self.auth_url))
        self.has_secret = False
        if resource := self.options.text("oauth.relying_party_id"):
            self.place["resource"] = resource

    def azure(self) -> None:
        parts = urlsplit(self.auth_url)
        tenant = parts.path.strip("/").partition("/")[0].lower()
        self._known(
            "entra", tenant=tenant if re.fullmatch(r"[0-9a-z.-]+", tenant) and "..." not in tenant else ""
        )
        if parts.hostname and parts.hostname != "login.microsoftonline.com":
            self.place["login_url"] = f"https://{parts.hostname}"
        if "tenant" not in self.place or tenant in ("common", "organizations"):
            self.place.setdefault("tenant", "organizations")
            self.place["allowed_tenants"] = (NO_TENANT,)
            about = (
                "anybody could come, of a tenant they made: write the IDs of those that may in the place of the zeros, "
                "which let nobody in"
            )
            self.notes.add(About.DO, "allowed_tenants", about)

    def homeassistant(self) -> None:
        self._known("homeassistant", web_url=base_of(self.auth_url, "/auth/authorize"))
        self.has_secret = False

    def openstax(self) -> None:
        web = base_of(self.auth_url, "/oauth/authorize")
        self._known("openstax", web_url="" if web == "https://accounts.openstax.org" else web)

    def nextcloud(self) -> None:
        self._known("nextcloud", web_url=re.split(r"/(?:index\.php/)?apps/oauth2/", self.auth_url)[0])
        self.scopes = ()

    def alibaba(self) -> None:
        parts = urlsplit(self.auth_url)
        self._known("alibaba", web_url=f"{parts.scheme}://{parts.netloc}")

    def discord(self) -> None:
        self._known("discord")

    def oidc(self) -> None:
        for pattern, kind, attribute in _BY_URL:
            found = re.match(pattern, self.auth_url)
            if found:
                self._known(kind, **({attribute: found[1]} if attribute else {}))
                return
        self.type = "oauth"
        self.has_secret = False
        urls = {
            "authorize_url": "oauth.auth_url",
            "access_token_url": "oauth.token_url",
            "userinfo_url": "oauth.user_info_url",
        }
        for attribute, option in urls.items():
            self.place[attribute] = self.options.reference(option) or self._missing(
                option.replace(".", "_").upper(), option
            )
        self.notes.add(
            About.DO,
            "oauth.auth_url",
            "Vouch's file has no issuer, and this URL doesn't tell it: people are known by `userinfo_url`. If it "
            'speaks OpenID Connect, a `provider` block with `type = "oidc"` and its `issuer` also checks who signed',
        )


#: kinds that never call an address verified
_SILENT: Final = frozenset({"adfs", "alibaba", "indieauth", "nextcloud"})
#: OpenID providers by their authorization URL: a kind, and its attribute that the first group is the value of
_BY_URL: Final = (
    (r"https://accounts\.google\.com/", "google", ""),
    (r"https://slack\.com/openid/connect/", "slack", ""),
    (r"https://id\.twitch\.tv/oauth2/", "twitch", ""),
    (r"https://(?:www\.)?linkedin\.com/oauth/", "linkedin", ""),
    (r"(https?://.+/realms/[^/]+)/protocol/openid-connect/auth", "keycloak", "issuer"),
    (r"(https://[^/]+/oauth2/[^/]+)/v1/authorize", "okta", "issuer"),
    (r"https://([^/]+\.okta(?:preview|-emea)?\.com)/oauth2/v1/authorize", "okta", "domain"),
    (r"https://([^/]+\.auth0\.com)/authorize", "auth0", "domain"),
    (r"(https?://[^/]*gitlab[^/]*(?:/.+)?)/oauth/authorize", "gitlab", "web_url"),
    (r"(https?://.+)/login/oauth/authorize", "gitea", "web_url"),
    (r"https://login\.microsoftonline\.com/([0-9a-f-]{36})/", "entra", "tenant"),
)
_KINDS: Final[Mapping[str, Callable[[_Maker], None]]] = {
    "adfs": _Maker.adfs,
    "alibaba": _Maker.alibaba,
    "azure": _Maker.azure,
    "discord": _Maker.discord,
    "github": _Maker.github,
    "google": _Maker.google,
    "homeassistant": _Maker.homeassistant,
    "indieauth": _Maker.indieauth,
    "nextcloud": _Maker.nextcloud,
    "oidc": _Maker.oidc,
    "openstax": _Maker.openstax,
}
KINDS: Final = frozenset(_KINDS)
"""Vouch's kinds of providers."""


def claim_name(claim: str) -> str:
    """A claim's name as an attribute can have it."""
    return re.sub(r"\W+", "_", re.sub(r"^https?://", "", claim)).strip("_")
