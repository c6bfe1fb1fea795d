"""Identity providers as they are in force, and as they are listed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from vestibule.core.claim import kept_names
from vestibule.core.route import Host, RouteTable, joined_by
from vestibule.core.session import is_top
from vestibule.providers.base import Provider, ProviderConfig, RedirectLogin
from vestibule.service.confined import org_of

Faults = tuple[tuple[str, str], ...]
"""All that is wrong, each (path, message)."""


class Offer(msgspec.Struct, frozen=True):
    """What is in force now."""

    table: RouteTable
    providers: Mapping[str, Provider]
    """By full name: those of files and environment first."""
    configs: Mapping[str, ProviderConfig] = {}
    """What they were made of, by full name."""


def with_more(
    fixed: Offer, more: Mapping[str, tuple[Provider, ProviderConfig]], *, absent: Iterable[str]
) -> Offer:
    """The offer of files and environment with these clients of the database; `absent`: those switched off."""
    # What an organisation's provider says by other names is not kept, so no host has a header for it.
    own = (config for provider, config in more.values() if not org_of(provider))
    claims = [getattr(config, "claims", None) or {} for config in own]
    table = joined_by(
        fixed.table,
        {name: redirect_url_of(provider) for name, (provider, _) in more.items()},
        absent=absent,
        kinds={name: provider.kind for name, (provider, _) in more.items()},
        claims=[name for mapping in claims for name in kept_names(mapping)],
    )
    return Offer(
        table,
        {**fixed.providers, **{name: provider for name, (provider, _) in more.items()}},
        {**fixed.configs, **{name: config for name, (_, config) in more.items()}},
    )


def redirect_url_of(provider: Provider) -> str:
    """The redirect URL it is registered with, where that is not the usual one; else empty."""
    return provider.redirect_url if isinstance(provider, RedirectLogin) else ""


def places_of(
    table: RouteTable,
    name: str,
    base_urls: Callable[[Host], Iterable[str]],
    *,
    is_fixed: bool = True,
) -> tuple[tuple[str, str], ...]:
    """The base URLs of the hosts where people come back from this provider, each with its ID there.

    `is_fixed`: it stands in the configuration, so that only hosts that name it have it.
    """
    found: dict[tuple[str, str], None] = {}
    for host in table.hosts.values():
        if host.is_led_away and is_top(name):
            continue
        ids = [client for client, full in host.clients.items() if full == name]
        if not ids and host.takes_more and not is_fixed:
            ids = [name]
        found |= {(base_url, client): None for client in ids for base_url in base_urls(host)}
    return tuple(found)


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as it is listed: never a secret."""

    id: str
    provider_type: str
    enabled: bool
    source: str
    """`database`, or `configuration` (files and environment), which can't be changed here."""
    title: str = ""
    """What its button says."""
    document: Mapping[str, Any] = {}
    """In the shape in which it is written, without secrets; of `configuration` only its frame."""
    secrets: tuple[str, ...] = ()
    """Paths of the secrets that are set: `openid_config.client_secret`."""
    faults: Faults = ()
    """Why it is left out; empty: it is good."""
    redirect_urls: tuple[str, ...] = ()
    """To register with the provider: one for each host that it serves."""
    version: int = 0
    """For `If-Match`; grows with each change."""
    created_at: float = 0.0
    updated_at: float = 0.0
