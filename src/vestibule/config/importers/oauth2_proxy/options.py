"""The table of oauth2-proxy's options: by name, by flag, by environment variable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vestibule.config.importers.oauth2_proxy.options_gateway import (
    ACCESS,
    HEADERS,
    LOGS,
    PAGES,
    SERVER,
    SESSION,
    UPSTREAM,
)
from vestibule.config.importers.oauth2_proxy.options_provider import KINDS, OIDC, PROVIDER
from vestibule.config.importers.option import Kind, Option, by_name

GROUPS: Final[Mapping[str, tuple[Option, ...]]] = {
    "The provider": PROVIDER,
    "OpenID Connect": OIDC,
    "One kind of provider": KINDS,
    "Who gets in": ACCESS,
    "Upstreams": UPSTREAM,
    "Headers": HEADERS,
    "Sessions and cookies": SESSION,
    "Addresses and paths": SERVER,
    "Pages": PAGES,
    "Logs": LOGS,
}
BY_NAME: Final = by_name(option for group in GROUPS.values() for option in group)
#: flags that aren't the option's name with hyphens, without the plural
_FLAGS: Final = {
    "extra_jwt_issuers": "extra-jwt-issuers",
    "google_group": "google-group",
    "redis_cluster_connection_urls": "redis-cluster-connection-urls",
    "redis_sentinel_connection_urls": "redis-sentinel-connection-urls",
    "skip_auth_regex": "skip-auth-regex",
}


def flag(option: Option) -> str:
    """The flag of an option, without hyphens before it."""
    plural = option.name.removesuffix("s") if option.kind is Kind.LIST else option.name
    return _FLAGS.get(option.name) or plural.replace("_", "-")


#: `--google-group` is the flag of both; the old name is an environment variable's
BY_FLAG: Final[Mapping[str, Option]] = {
    flag(option): option for option in BY_NAME.values() if option.name != "google_group"
}
PREFIX: Final = "OAUTH2_PROXY_"
#: flags about the program itself; the files they name are imported beside
OWN_FLAGS: Final = frozenset(
    {"alpha-config", "config", "config-test", "convert-config-to-alpha", "help", "version"}
)


def variable(option: Option) -> str:
    """The environment variable of an option."""
    return PREFIX + option.name.upper()
