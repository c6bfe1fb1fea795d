"""Identity clients and token sources, one file a kind; the one table of the built-in ones.

Other packages add kinds by the entry-point group `vestibule.providers`: the entry's name is the kind, its value a
configuration class as described in `providers.base`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, Final

from vestibule.providers.adfs import AdfsConfig
from vestibule.providers.alibaba import AlibabaConfig
from vestibule.providers.apple import AppleConfig
from vestibule.providers.auth0 import Auth0Config
from vestibule.providers.bitbucket import BitbucketConfig
from vestibule.providers.cidaas import CidaasConfig
from vestibule.providers.client_credentials import ClientCredentialsConfig
from vestibule.providers.cognito import CognitoConfig
from vestibule.providers.digitalocean import DigitalOceanConfig
from vestibule.providers.discord import DiscordConfig
from vestibule.providers.entra import EntraConfig
from vestibule.providers.facebook import FacebookConfig
from vestibule.providers.forgejo import ForgejoConfig
from vestibule.providers.gitea import GiteaConfig
from vestibule.providers.github import GitHubConfig
from vestibule.providers.gitlab import GitLabConfig
from vestibule.providers.google import GoogleConfig
from vestibule.providers.homeassistant import HomeAssistantConfig
from vestibule.providers.indieauth import IndieAuthConfig
from vestibule.providers.keycloak import KeycloakConfig
from vestibule.providers.linkedin import LinkedInConfig
from vestibule.providers.logingov import LoginGovConfig
from vestibule.providers.nextcloud import NextcloudConfig
from vestibule.providers.oauth2 import OAuth2Config, PersonConfig
from vestibule.providers.oidc import OidcConfig
from vestibule.providers.okta import OktaConfig
from vestibule.providers.openstax import OpenStaxConfig
from vestibule.providers.saml import SamlConfig
from vestibule.providers.service_account import ServiceAccountConfig
from vestibule.providers.slack import SlackConfig
from vestibule.providers.sourcehut import SourcehutConfig
from vestibule.providers.twitch import TwitchConfig

BUILTIN: Final[Mapping[str, type[Any]]] = MappingProxyType(
    {
        "oauth2": OAuth2Config,
        "oidc": OidcConfig,
        "google": GoogleConfig,
        "github": GitHubConfig,
        "gitlab": GitLabConfig,
        "bitbucket": BitbucketConfig,
        "gitea": GiteaConfig,
        "forgejo": ForgejoConfig,
        "sourcehut": SourcehutConfig,
        "nextcloud": NextcloudConfig,
        "digitalocean": DigitalOceanConfig,
        "discord": DiscordConfig,
        "slack": SlackConfig,
        "twitch": TwitchConfig,
        "facebook": FacebookConfig,
        "linkedin": LinkedInConfig,
        "homeassistant": HomeAssistantConfig,
        "openstax": OpenStaxConfig,
        "alibaba": AlibabaConfig,
        "keycloak": KeycloakConfig,
        "entra": EntraConfig,
        "adfs": AdfsConfig,
        "auth0": Auth0Config,
        "okta": OktaConfig,
        "cognito": CognitoConfig,
        "cidaas": CidaasConfig,
        "logingov": LoginGovConfig,
        "apple": AppleConfig,
        "indieauth": IndieAuthConfig,
        "saml": SamlConfig,
        "client_credentials": ClientCredentialsConfig,
        "service_account": ServiceAccountConfig,
    }
)
COMMON: Final[tuple[type[Any], ...]] = (PersonConfig, OidcConfig)
"""What the configurations of several kinds have in common, the special after the general."""
GROUP: Final = "vestibule.providers"


def kinds(found: Iterable[EntryPoint] | None = None) -> dict[str, type[Any]]:
    """Every kind there is: the built-in ones and those installed beside. Raises ValueError for a name taken twice.

    `found` are the entry points, those of this installation by default.
    """
    table = dict(BUILTIN)
    for entry in entry_points(group=GROUP) if found is None else found:
        if entry.name in table:
            raise ValueError(f"two providers are of the kind {entry.name!r}; one comes from {entry.value}")
        table[entry.name] = entry.load()
    return table
