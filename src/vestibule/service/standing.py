"""By what old words of providers and password files are judged: what each of those in force is, in a few letters."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from vestibule.config.row import word_of
from vestibule.core.vouched import Standing
from vestibule.model import Secret
from vestibule.protocol import base64url
from vestibule.providers.base import Provider, ProviderConfig
from vestibule.service.offer import Offer

_FOR_SHOW: Final = frozenset({"title", "redirect_url"})
"""Settings that change nothing of what a provider says."""


def standing_of(offer: Offer, *, holds_s: float) -> Standing:
    """What is in force. `holds_s`: how long what was said of lists and claims holds."""
    providers = offer.providers
    passwords = [host.accepts.passwords for host in offer.table.hosts.values()]
    files = {file.name: _digest((file.name, file.path)) for file in passwords if file is not None}
    words = {
        name: _word(provider, offer.configs[name])
        for name, provider in providers.items()
        if name in offer.configs
    }
    return Standing(
        words={**files, **words},
        restricted=frozenset(
            (*files, *(name for name, provider in providers.items() if _is_restricted(provider)))
        ),
        holds_s=holds_s,
    )


def _word(provider: Provider, config: ProviderConfig) -> str:
    """Names what the provider's word rests on; another one where that is changed.

    Where only some are let in, any setting may be about whom.
    """
    rests_on: Any = word_of(provider.kind, config)
    if _is_restricted(provider) and isinstance(config, msgspec.Struct):
        fields = msgspec.structs.asdict(config)
        rests_on = {name: value for name, value in fields.items() if name not in _FOR_SHOW}
    return _digest(rests_on)


def _digest(rests_on: Any) -> str:
    told = msgspec.json.encode(rests_on, enc_hook=_told, order="sorted")
    return base64url.encode(hashlib.sha256(told).digest()[:16])


def _told(value: object) -> str:
    """A new secret is no new provider."""
    return "" if isinstance(value, Secret) else repr(value)


def _is_restricted(provider: Provider) -> bool:
    return bool(getattr(provider, "is_restricted", False))
